"""Every key of a scenario: the shape of its value, and what an editor says about it.

Data for `schema`; needs no pydantic. Shape only: what the values mean is checked in `build`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from injector.words.model import FdKind
from injector.words.syscalls import ERRNOS, GROUPS, NEVER, SIGNALS, X86_64

from . import values

Json: TypeAlias = dict[str, Any]
Scalar: TypeAlias = str | int | float

ERRNO_WORDS = sorted(ERRNOS)
CALL_WORDS = sorted(X86_64.numbers.keys() - NEVER.keys())
_WORDS = (str, int, float)
_TEXT: Json = {"type": "string"}
_PERCENT: Json = {"type": "string", "pattern": r"^[0-9.]+ *%$"}


class WrongShape(ValueError):
    """A value of another shape than its key takes."""


def kind_of(value: object) -> str:
    """Return how messages call a value: `a list`, `'read'`."""
    names = {dict: "a mapping", list: "a list", bool: f"{value}".lower(), type(None): "nothing"}
    return names.get(type(value), f"'{value}'")


def _scalar(value: object) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, _WORDS):
        raise WrongShape(f"expected one value, not {kind_of(value)}")
    return value


def _scalars(value: object) -> Scalar | list[Scalar]:
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise WrongShape("expected a value or a list, not a mapping")
        return _scalar(value)
    if not value:
        raise WrongShape("the list is empty")
    return [_scalar(item) for item in value]


def _weights(value: object) -> object:
    if isinstance(value, dict):
        if not value:
            raise WrongShape("the mapping is empty")
        return {name: _scalar(weight) for name, weight in value.items()}
    return _scalars(value)


def _arguments(value: object) -> object:
    if not isinstance(value, dict):
        raise WrongShape(
            f"expected a mapping of parameters, like {{flags: O_CREAT}}, not {kind_of(value)}"
        )
    return {name: _scalars(test) for name, test in value.items()}


def _whole(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongShape(f"expected a whole number, not {kind_of(value)}")
        if not least <= value <= most:
            raise WrongShape(f"{value} is not in {least}..{most}")
        return value

    return check


def _true(value: object) -> bool:
    if value is not True:
        raise WrongShape("true is the only value; leave the key out otherwise")
    return True


def _one_or_list(item: Json) -> Json:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _words(words: Sequence[str], *others: Json) -> Json:
    """Return a schema that completes the words, and takes others as well."""
    return {"anyOf": [{"type": "string", "enum": list(words)}, *others]}


class Key(NamedTuple):
    """A key: JSON Schema of its value, title, description, examples, and check of the shape.

    `check` raises WrongShape for a value of the wrong shape.
    """

    schema: Json
    title: str
    about: str
    examples: Sequence[object]
    check: Callable[[object], object] = _scalar


_SET_ITEM = _words([*CALL_WORDS, *(f"%{name}" for name in sorted(GROUPS)), "all"], _TEXT)
_ERRNO = _words(ERRNO_WORDS, {"type": "integer", "minimum": 1, "maximum": 4095})
_TIME: Json = {"type": "string", "pattern": r"^[0-9.]+ *(ns|us|µs|μs|ms|s|m|min|h)$"}
_GLOBS = _one_or_list(_TEXT)


RULE: dict[str, Key] = {
    "name": Key(_TEXT, "Name", "Unique name of the rule; `rule-N` if left out.", ["wal-enospc"]),
    "syscalls": Key(
        _one_or_list(_SET_ITEM),
        "System calls",
        "Names, %groups, /regexes/ (of the whole name) and !exclusions. Left out with `error`: "
        "every call that can fail so by its manual page.",
        [["write", "pwrite64"], ["%file", "!close"], "/p?writev?/"],
        _scalars,
    ),
    "site": Key(
        {"type": "string", "pattern": values.SITE.pattern},
        "Site",
        "One call by its name in the journal, lineage/name#number; with + all later ones of that "
        "name by that task too. The syscalls follow from it.",
        ["0/openat#3", "0.2/write#1+"],
    ),
    "path": Key(
        _GLOBS,
        "Path",
        "Globs and !globs for the path argument, or the file behind the descriptor. `*` stops at "
        "`/`, `**` does not.",
        ["/var/lib/app/wal/**", ["/etc/**", "!/etc/ld.so.*"]],
        _scalars,
    ),
    "process": Key(
        _GLOBS,
        "Process",
        "Globs for the name, executable or command line of the process. In a command line `*` "
        "matches any character.",
        ["postgres*", "python* *app.py*"],
        _scalars,
    ),
    "thread": Key(
        _GLOBS, "Thread", "Globs for the name of the thread.", ["bio_close_file"], _scalars
    ),
    "fd": Key(
        _one_or_list(_words([kind.value for kind in FdKind], _TEXT, {"type": "integer"})),
        "Descriptor",
        "Numbers, ranges and kinds of descriptors; either is enough.",
        ["0..2", ">2", ["socket", "pipe"]],
        _scalars,
    ),
    "address": Key(
        _GLOBS,
        "Address",
        "Peer or bound address: IP network and port or ports, or a Unix socket.",
        ["10.0.0.0/8:5432", ":443", "[::1]:53", "unix:/run/x.sock", "unix:@abstract"],
        _scalars,
    ),
    "args": Key(
        {
            "type": "object",
            "additionalProperties": _one_or_list({"anyOf": [_TEXT, {"type": "integer"}]}),
        },
        "Arguments",
        "Tests by the parameter's name in the manual page: words (all set), !words, numbers, "
        "ranges and comparisons.",
        [{"flags": "O_CREAT", "count": ">4096", "prot": "PROT_EXEC"}],
        _arguments,
    ),
    "caller": Key(
        _GLOBS,
        "Caller",
        "Globs for a function or library in the call stack.",
        ["libpq.so*", "btreeCommit"],
        _scalars,
    ),
    "when": Key(
        {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT]},
        "When",
        "Which occurrences, counted from 1 per rule and task: first..last+step.",
        [3, "3+", "3+2", "3..9", "3..9+2"],
    ),
    "probability": Key(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _PERCENT]},
        "Probability",
        "Of an occurrence that is due, as percent or 0..1; a coin keyed by seed, rule, task and "
        "occurrence.",
        ["5%", 0.05],
    ),
    "limit": Key(
        {"anyOf": [{"type": "integer", "minimum": 0}, _TEXT]},
        "Limit",
        "At most so many injections (per task, process or run, as `per` says).",
        [10],
    ),
    "per": Key(
        {"type": "string", "enum": ["task", "process", "run"]},
        "Per",
        "What `when` and `limit` count within; a task by default.",
        ["process"],
    ),
    "after": Key(_TIME, "After", "Not before this time since the start.", ["2s"]),
    "until": Key(_TIME, "Until", "Not after this time since the start.", ["1m"]),
    "during": Key(
        {"type": "string", "enum": ["startup"]},
        "During",
        "`startup` includes the calls of the dynamic loader, which are exempt otherwise.",
        ["startup"],
    ),
    "error": Key(
        {
            "anyOf": [
                *_one_or_list(_ERRNO)["anyOf"],
                {
                    "type": "object",
                    "propertyNames": _ERRNO["anyOf"][0],
                    "additionalProperties": {"anyOf": [{"type": "number"}, _PERCENT]},
                },
            ]
        },
        "Error",
        "The call fails with this; or relative weights, or percentages that sum to the "
        "probability.",
        ["ENOSPC", {"ENOSPC": 9, "EDQUOT": 1}, {"EMFILE": "1%", "ENFILE": "2%"}],
        _weights,
    ),
    "retval": Key(
        {"anyOf": [{"type": "integer"}, _TEXT]},
        "Return value",
        "Reported as success; the call is not made.",
        [0, "0x1000"],
    ),
    "call": Key(
        {"type": "string", "enum": ["skip", "run"]},
        "Call",
        "`skip` (default): a failed call is not made. `run`: made, then reported as failed. "
        "`close` defaults to run: Linux frees the descriptor even when close fails.",
        ["run"],
    ),
    "short": Key(
        {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT]},
        "Short transfer",
        "Transfer at most so many bytes, or that part of what was asked for.",
        [1, "50%"],
    ),
    "corrupt": Key(
        {"type": "string", "pattern": r"^(zero|(bitflip|random)( +[0-9.e-]+)?)$"},
        "Corrupt",
        "Damage the data that is read or written. A number from 0 to 1 chooses the bit or the "
        "bytes; the seed does otherwise.",
        ["bitflip", "random", "zero"],
    ),
    "delay": Key(
        _TEXT,
        "Delay",
        "Time before the call; other tasks go on.",
        ["200ms", "10ms..50ms", "exponential 20ms", "normal 20ms 5ms"],
    ),
    "signal": Key(
        _words(sorted(SIGNALS), {"type": "integer", "minimum": 1, "maximum": 64}, _TEXT),
        "Signal",
        "Deliver a signal.",
        ["SIGTERM"],
    ),
    "kill": Key(
        {"type": "string", "enum": ["before", "after"]},
        "Kill",
        "Kill the process before or after the call.",
        ["before"],
    ),
    "freeze": Key(
        {"type": "boolean", "const": True},
        "Freeze",
        "Stop the process for a debugger.",
        [True],
        _true,
    ),
    "delay_exit": Key(
        _TEXT, "Delay at exit", "Time after the call (strace's delay_exit).", ["10ms"]
    ),
    "substitute": Key(
        {"type": "string", "enum": sorted(GROUPS["pure"])},
        "Substitute",
        "Make this call without effects instead (strace's syscall=).",
        ["getpid"],
    ),
    "poke_enter": Key(_TEXT, "Poke", "Overwrite what arguments point to, before.", ["@arg1=00FF"]),
    "poke_exit": Key(
        _TEXT, "Poke at exit", "Overwrite what arguments point to, after.", ["@arg2=00"]
    ),
}

SCENARIO: dict[str, Key] = {
    "schema_": Key(_TEXT, "Schema", "Address of the JSON Schema, for editors.", []),
    "name": Key(
        _TEXT, "Name", "Name of the scenario; that of the file if left out.", ["wal-disk-full"]
    ),
    "about": Key(
        _TEXT,
        "About",
        "One line that says what goes wrong in the world.",
        ["The disk fills up while the log is written."],
    ),
    "seed": Key(
        {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
        "Seed",
        "The same seed gives the same faults; generated and printed if left out.",
        [42],
        _whole(0, 2**64 - 1),
    ),
}
