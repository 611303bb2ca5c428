"""strace's command lines, `strace -f -e inject=write:error=EIO cmd`, as a scenario. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from injector.words.errors import InjectError, ScenarioError
from injector.words.model import EVERY, Globs, Rule
from injector.words.syscalls import group, native

from .imported import Imported, as_glob, listed, unique
from .oneline import parse_rule, parse_rules, source_of
from .strace import is_expression
from .text import rule_text

# ruff: noqa: SIM905 - long lists of words read better as text
_QUALIFIERS = frozenset(
    "trace abbrev verbose raw signal signals read reads write writes fault inject status quiet "
    "silent silence kvm decode-fd decode-fds namespace trace-fd trace-fds fd fds secontext".split()
)
# strace(1), "OPTIONS": those that take a value, and those of them that bear on a fault.
_WITH_VALUE = frozenset("abeEIoOpPsSuUX")
_LONG_WITH_VALUE = frozenset(
    "columns detach-on env output summary-syscall-overhead attach trace-path string-limit "
    "summary-sort-by user summary-columns strings-in-hex const-print-style trace inject fault "
    "signal status read write abbrev verbose raw quiet silent silence kvm decode-fds interruptible "
    "stack-trace-frame-limit trace-fds".split()
)
_SHORT_OF = {
    "trace-path": "P",
    "attach": "p",
    "user": "u",
    "env": "E",
    "detach-on": "b",
    "follow-forks": "f",
    "output-separately": "ff",
    "kill-on-exit": "kill-on-exit",
}


@dataclass(slots=True)
class _Line:
    """What a command line asks for."""

    expressions: list[str] = field(default_factory=list)
    traced: str | None = None
    fds: str | None = None
    paths: list[str] = field(default_factory=list)
    options: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def translate(words: Sequence[str]) -> Imported:
    """Return the rules of expressions (`inject=…`), or of a whole command line.

    Args:
        words: the words of a command line, or one text with all of them.

    Raises:
        ScenarioError: what strace refuses in an expression; with all mistakes.
        InjectError: there is no fault in it.
    """
    shown = words[0].strip() if len(words) == 1 else shlex.join(words)
    line = _read(_split(words))
    if not line.expressions:
        raise InjectError(
            "there is no fault in it",
            help="an expression like inject=write:error=EIO, or strace -e inject=… cmd",
        )
    result = Imported((), head=[f"From strace: {shown}"])
    if line.command:
        result.head.append(f"Run it with: inject run FILE -- {shlex.join(line.command)}")
    for pid in line.options.get("p", ()):
        result.head.append(f"Run it with: inject attach {pid} FILE")
    result.head.append("")
    rules: Sequence[Rule] = parse_rules(line.expressions)
    _tell_of_replaced(line.expressions, rules, result)
    rules = _traced(line, rules, result)
    result.rules = tuple(_joined(_narrowed(line, rules, result), result))
    if not result.rules:
        why = next((text for text in result.head if text.startswith("Left out: ")), "")
        raise InjectError(f"no rule is left of it. {why}".rstrip(" ."))
    _tell_of_the_rest(line, result)
    if result.head[-1] == "":
        result.head.pop()
    return result


def _split(words: Sequence[str]) -> list[str]:
    if len(words) != 1:
        return list(words)
    if is_expression(words[0]) and " -" not in words[0]:
        return ["-e", words[0]]
    try:
        return shlex.split(words[0])
    except ValueError as error:
        raise InjectError(
            f"this is no command line: {error}", help="quote it as for a shell"
        ) from None


def _read(words: list[str]) -> _Line:
    line = _Line()
    if words and not words[0].startswith("-") and words[0].rpartition("/")[2] == "strace":
        words = words[1:]
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if is_expression(word):
            line.expressions.append(word)
        elif word == "--" or not word.startswith("-") or word == "-":
            line.command = words[at if word == "--" else at - 1 :]
            break
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and name in _LONG_WITH_VALUE:
                value, at = _next(words, at, word)
            if name in _QUALIFIERS:
                _qualify(line, f"{name}={value}")
            elif name == "trace-path":
                line.paths.append(value)
            elif name in _SHORT_OF:
                line.options.setdefault(_SHORT_OF[name], []).append(value)
            else:
                line.others.append(f"--{name}")
        else:
            at = _short(line, word, words, at)
    return line


def _short(line: _Line, word: str, words: Sequence[str], at: int) -> int:
    """Read `-ff`, `-eSET`, `-P path`; return where the next word is."""
    for index, letter in enumerate(word[1:], 2):
        if letter not in _WITH_VALUE:
            line.options.setdefault("f" if letter == "f" else letter, []).append("")
            continue
        value = word[index:]
        if not value:
            value, at = _next(words, at, f"-{letter}")
        if letter == "e":
            _qualify(line, value)
        elif letter == "P":
            line.paths.append(value)
        else:
            line.options.setdefault(letter, []).append(value)
        break
    return at


def _next(words: Sequence[str], at: int, option: str) -> tuple[str, int]:
    if at >= len(words):
        raise InjectError(f"strace's {option} needs a value")
    return words[at], at + 1


def _qualify(line: _Line, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals or name not in _QUALIFIERS:
        name, value = "trace", text
    if name in ("inject", "fault"):
        line.expressions.append(f"{name}={value}")
    elif name == "trace":
        line.traced = value  # of several, strace takes the last
    elif name in ("trace-fd", "trace-fds", "fd", "fds"):
        line.fds = value
    else:
        line.others.append(f"-e {name}")


def _tell_of_replaced(texts: Sequence[str], kept: Sequence[Rule], result: Imported) -> None:
    families = {rule.family for rule in kept}
    for text in texts:
        if " ".join(text.split()) not in families:
            result.head.append(
                f"Left out: {text}, for which strace has no call or a later expression."
            )


def _traced(line: _Line, rules: Sequence[Rule], result: Imported) -> Sequence[Rule]:
    """Return the rules of calls that strace would look at: it changes no other."""
    if line.traced is None or line.traced == "all":
        return rules
    try:
        traced = {
            rule.match.syscalls_text for rule in parse_rule(f"inject={line.traced}:delay_exit=0")
        }
    except ScenarioError as error:
        raise ScenarioError(source_of(f"trace={line.traced}"), error.mistakes) from None
    left = [rule.match.syscalls_text for rule in rules if rule.match.syscalls_text not in traced]
    if left:
        result.head.append(
            f"Left out: {listed(left)}, for strace changes only calls that trace= names."
        )
    if len(left) == len(rules):
        raise InjectError(
            f"trace={line.traced} leaves no fault: strace changes only calls that it traces",
            help="drop it",
        )
    return [rule for rule in rules if rule.match.syscalls_text in traced]


def _narrowed(line: _Line, rules: Sequence[Rule], result: Imported) -> Sequence[Rule]:
    """Return the rules with strace's -P and trace-fds."""
    if line.fds is not None:
        result.head.append(
            f"strace looks only at descriptors {line.fds}: say `fd: …` in the rules for that."
        )
    if not line.paths:
        return rules
    globs = Globs(tuple(map(_path, line.paths)))
    if any(not path.startswith("/") for path in line.paths):
        result.head.append(
            "A path that does not begin with / is any that ends so: strace has its folder."
        )
    return [replace(rule, match=replace(rule.match, path=globs)) for rule in rules]


def _path(path: str) -> str:
    glob = as_glob(path.removeprefix("./"))
    return glob if path.startswith("/") or "/" not in glob else f"**/{glob}"


def _joined(rules: Iterable[Rule], result: Imported) -> Iterator[Rule]:
    """Yield the rules; those of one expression that need no count of their own become one."""
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    taken = {
        one.name
        for members in families.values()
        for one in members
        if one.when != EVERY or len(members) == 1
    }
    for family, members in families.items():
        first = members[0]
        if first.when == EVERY and len(members) > 1:
            names = [rule.match.syscalls_text for rule in members]
            calls = frozenset().union(*(rule.match.syscalls for rule in members))
            calls, text = _set(family, names, calls)
            match = replace(first.match, syscalls=calls, syscalls_text=text)
            name = family.partition("=")[2].partition(":")[0]
            name = name if len(name) <= 40 else f"{first.name} and others"
            members = [replace(first, name=unique(name, taken), match=match)]
            taken.add(members[0].name)
        elif len(members) > 1:
            result.notes.setdefault(first.name, []).append(
                f"{family}: strace counts each call for itself, so it is a rule for each."
            )
        if family.startswith("fault=") and "error=" not in family:
            result.notes.setdefault(members[0].name, []).append(
                "ENOSYS is what fault= means alone."
            )
        for rule in members:
            yield replace(rule, text=rule_text(rule))


def _set(family: str, names: Sequence[str], calls: frozenset[str]) -> tuple[frozenset[str], str]:
    """Return the calls of several rules, as strace had them if that means the same here."""
    written = family.partition("=")[2].partition(":")[0]
    if written == "all" or group(written) is not None:
        (rule,) = parse_rule(f"{written}:delay=0s")
        here = native().numbers.keys()
        if rule.match.syscalls & here == calls & here:
            return rule.match.syscalls, written
    return calls, ",".join(names)


def _tell_of_the_rest(line: _Line, result: Imported) -> None:
    result.head.append(
        "Mended: calls of the dynamic loader are neither failed nor counted here, as they are by "
        "strace; `during: startup` in a rule includes them."
    )
    options = line.options
    if line.command and "f" not in options and "ff" not in options:
        result.head.append(
            "Mended: strace without -f changes the first process only; here its children are hit "
            "too. Say process: NAME in the rules to name one."
        )
    if "E" in options:
        result.head.append(f"Set for the command yourself: {shlex.join(options['E'])}")
    if "u" in options:
        result.head.append(f"Run inject as user {options['u'][-1]} yourself.")
    if "b" in options:
        result.head.append("Left out: -b; nothing ends the faults at an execve here.")
    if "kill-on-exit" in options:
        result.head.append("Give inject run --kill-on-exit.")
