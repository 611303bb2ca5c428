"""What is allowed in a scenario, yet likely not what its author wants.

Each check looks at one rule, or at one rule and those before it, and gives warnings. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from injector.rules.globs import unclosed
from injector.words.model import (
    EVERY,
    Corrupt,
    Fail,
    Globs,
    Match,
    Return,
    Rule,
    Scenario,
    Short,
    Warning,
)
from injector.words.syscalls import (
    BRK_ALONE,
    GROUPS,
    LIBRARY_NAMES,
    RISKY,
    VDSO,
    Kind,
    errno_name,
    errno_number,
    errnos_of,
    native,
    same_on,
    signature,
)

from . import strace
from .build import CORRUPTIBLE, TRANSFERS
from .explain import explain
from .fields import Mistakes, Text
from .sets import OMITTED, choose
from .values import MAX_ERRNO, duration_text, retval_text

__all__ = ["explain", "lint"]

# Calls of which the C library, its version and the language's runtime choose one or another.
_TWINS = (
    ("open", "openat", "openat2", "creat"),
    ("stat", "lstat", "newfstatat", "statx"),
    ("fork", "vfork", "clone", "clone3"),
    ("rename", "renameat", "renameat2"),
    ("unlink", "unlinkat"),
    ("rmdir", "unlinkat"),
    ("mkdir", "mkdirat"),
    ("link", "linkat"),
    ("symlink", "symlinkat"),
    ("readlink", "readlinkat"),
    ("access", "faccessat", "faccessat2"),
    ("chmod", "fchmodat"),
    ("accept", "accept4"),
    ("pipe", "pipe2"),
    ("dup2", "dup3"),
    ("poll", "ppoll"),
    ("select", "pselect6"),
    ("epoll_wait", "epoll_pwait"),
    ("getdents", "getdents64"),
    ("nanosleep", "clock_nanosleep"),
    ("eventfd", "eventfd2"),
    ("inotify_init", "inotify_init1"),
    ("epoll_create", "epoll_create1"),
)
FEW = 4
"""So many rules of one family are told one by one."""
_RETRIED = ("EINTR", "EAGAIN")
_DESCRIPTORS = GROUPS["open"] | GROUPS["accept"] | {"socket", "dup", "epoll_create1", "eventfd2"}
_FD = (Kind.FD, Kind.DIRFD)
_PATH = (Kind.PATH, *_FD)


def lint(scenario: Scenario) -> tuple[Warning, ...]:
    """Return the warnings of a scenario, in the order of its rules."""
    if not scenario.rules:
        return (Warning("no system call is meant, so nothing is injected", "-e"),)
    found: list[Warning] = []
    everyone = frozenset().union(*(rule.match.syscalls for rule in scenario.rules))
    for position, rule, named in _units(scenario.rules):
        here = _here(rule.match.syscalls)
        for check in _CHECKS:
            found.extend(_warn(rule, message) for message in check(rule, here, named))
        if rule.match.site is None:
            found.extend(_warn(rule, m, hint=True) for m in _twins(named, everyone))
        if "brk" in named and "mmap" not in everyone:
            found.append(_warn(rule, f"brk: {BRK_ALONE}"))
        found.extend(_warn(rule, m) for m in _shadowed(rule, scenario.rules[:position]))
    return tuple(found)


def _units(rules: tuple[Rule, ...]) -> Iterator[tuple[int, Rule, frozenset[str]]]:
    """Yield what is looked at by itself: position, rule, and the calls it names one by one.

    The rules of one large family are one, or a class of calls would be hundreds of warnings.
    """
    done: set[str] = set()
    for position, rule in enumerate(rules):
        if rule.family in done:
            continue
        kin = [one for one in rules if rule.family and one.family == rule.family]
        if len(kin) <= FEW:
            yield position, rule, frozenset(_named(rule.match))
            continue
        done.add(rule.family)
        calls = frozenset().union(*(one.match.syscalls for one in kin))
        match = replace(rule.match, syscalls=calls)
        yield position, replace(rule, name=rule.family, match=match), strace.named(rule.family)


def _warn(rule: Rule, message: str, *, hint: bool = False) -> Warning:
    line, column = rule.place
    # strace's rules are named as their calls, so that a call would be named twice.
    message = message.removeprefix(f"{rule.name}: ")
    if rule.family:
        message = message.removeprefix(f"{rule.name} ")
    return Warning(message, rule.name, line, column, hint)


def _here(calls: frozenset[str]) -> tuple[str, ...]:
    """Return those that programs of this machine's architecture make, or all if none is."""
    here = tuple(sorted(calls & native().numbers.keys()))
    return here or tuple(sorted(calls))


def _named(match: Match) -> Iterable[str]:
    if match.site is not None:
        return match.syscalls
    if match.syscalls_text in ("", OMITTED):
        return ()
    chosen = choose([Text(match.syscalls_text)], Mistakes())
    return chosen.named if chosen else ()


def _list(names: Iterable[str], most: int = 4) -> str:
    given = list(names)
    return ", ".join(given[:most]) + (f" and {len(given) - most} more" if len(given) > most else "")


def _unlikely(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    outcome = rule.fault.outcome
    if not isinstance(outcome, Fail) or rule.match.syscalls_text == OMITTED:
        return
    known = [call for call in here if errnos_of(call)]
    for name, _ in outcome.errnos:
        # Any call fails with ENOSYS on a kernel that lacks it, or under a seccomp filter.
        if name == "ENOSYS":
            continue
        others = [call for call in known if name not in errnos_of(call)]
        if others and len(others) < len(known):
            others = [call for call in others if call in named]
        if not others:
            continue
        can = sorted({one for call in others for one in errnos_of(call)}, key=_near(name))
        what = f"{_list(others)} cannot fail with {name} by {_page(others)}"
        yield f"{what}; there: {_list(can, 8)}"


def _near(errno: str) -> Callable[[str], tuple[int, str]]:
    # Kernel errors that mean related things have near numbers: EMFILE 24 and ENFILE 23.
    number = errno_number(errno) or 0
    return lambda other: (abs((errno_number(other) or 0) - number), other)


def _page(calls: list[str]) -> str:
    return "its manual page" if len(calls) == 1 else "their manual pages"


def _risky(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    outcome = rule.fault.outcome
    if not isinstance(outcome, Fail):
        return
    errnos = {name for name, _ in outcome.errnos}
    beside = []
    for call in here:
        if call not in RISKY or call in ("wait4", "waitid"):  # told by _endless()
            continue
        if call == "close" and rule.fault.call == "run":
            continue
        if (call == "clone3" and "ENOSYS" not in errnos) or (
            call == "mprotect" and not rule.match.startup
        ):
            continue
        if call in named:
            yield f"{call}: {RISKY[call]}"
        elif call.startswith(("futex", "rt_sig", "tgkill")):
            beside.append(call)
    if beside and rule.match.syscalls_text != OMITTED:
        yield f"the set includes {_list(beside)}, which few programs survive; exclude with !"


def _unseen(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    unseen = [call for call in here if call in VDSO and (call in named or VDSO.issuperset(here))]
    if unseen:
        yield (
            f"{_list(unseen)}: programs answer this without entering the kernel (vdso(7)), so "
            "the rule hardly ever sees a call"
        )


def _endless(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    outcome = rule.fault.outcome
    site = rule.match.site
    if site is not None and not site.onward:
        return
    always = rule.probability == 1 and rule.when.last is None and rule.when.step == 1
    if not isinstance(outcome, Fail) or not always or rule.limit is not None or rule.until:
        return
    if all(name in _RETRIED for name, _ in outcome.errnos):
        names = " or ".join(name for name, _ in outcome.errnos)
        yield (
            f"{names} every time: a program that tries again does so for ever; give `when`, "
            "`limit` or `probability`"
        )


def _successes(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    outcome = rule.fault.outcome
    if not isinstance(outcome, Return):
        return
    signed = int(retval_text(outcome.value))
    if -MAX_ERRNO <= signed < 0:
        name = errno_name(-signed)
        yield f"retval {signed} is error {name} to the program; say error={name}"
        return
    calls = set(here)
    if found := calls & _DESCRIPTORS:
        yield f"{_list(sorted(found))}: the program gets descriptor {signed}, which is not its own"
    if found := calls & {"mmap", "mmap2", "mremap", "brk", "shmat"}:
        yield f"{_list(sorted(found))}: the program gets an address where nothing is mapped"
    if signed > 0 and (found := calls & (GROUPS["read"] | GROUPS["recv"] | GROUPS["dir"])):
        yield f"{_list(sorted(found))}: the program takes {signed} bytes for read that nobody wrote"
    if "close" in named:
        yield "close: the descriptor stays open (it leaks), for the call is not made"


def _never(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    if rule.probability == 0:
        yield "probability 0: the rule never fires"
    if rule.limit == 0:
        yield "limit 0: the rule never fires"
    if rule.until is not None and (rule.after or 0) >= rule.until:
        begin, end = duration_text(rule.after or 0), duration_text(rule.until)
        yield f"after {begin} and until {end}: the rule never fires"
    match = rule.match
    filters = (
        ("path", match.path, _PATH),
        ("fd", match.fd, _FD),
        ("address", match.address, (Kind.FD, Kind.SOCKADDR)),
    )
    for key, value, kinds in filters:
        if value and not any(_has(call, *kinds) for call in here):
            yield f"{key}: {_list(here)} has none, so the rule never matches"
    for argument in match.args:
        without = [c for c in here if c in named and not _takes(c, argument.parameter)]
        if without:
            yield f"args: {_list(without)} has no parameter {argument.parameter}: never matches"


def _globs(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    match = rule.match
    units = [one.unix for one in match.address if one.unix is not None]
    lists = (
        ("path", match.path),
        ("process", match.process),
        ("thread", match.thread),
        ("caller", match.caller),
        ("address", Globs(tuple(units))),
    )
    for key, globs in lists:
        for pattern in (*globs.include, *globs.exclude) if globs else ():
            if unclosed(pattern):
                yield f"{key}: the [ in {pattern} is not closed, so it stands for itself"
    for pattern in (*match.path.include, *match.path.exclude) if match.path else ():
        if why := _no_path(pattern):
            yield f"path: {pattern} never matches: {why}"


def _no_path(pattern: str) -> str:
    """Return why no path of a call can match, "" if one can."""
    parts = pattern.split("/")
    if ".." in parts or "." in parts:
        return "paths are compared without . and .."
    if len(parts) > 1 and pattern[:1] not in "/*?[":
        return f"paths are absolute; say **/{pattern}"
    if "" in parts[1:] and pattern != "/":
        what = "a / at the end" if parts[-1] == "" else "//"
        return f"no path has {what}" + (f"; say {pattern}**" if parts[-1] == "" else "")
    return ""


def _has(call: str, *kinds: Kind) -> bool:
    found = signature(call, native())
    return found is None or found.first(*kinds) is not None


def _takes(call: str, parameter: str) -> bool:
    found = signature(call, native())
    return found is None or found.index(parameter) is not None


def _twins(named: frozenset[str], everyone: frozenset[str]) -> Iterator[str]:
    hinted: set[str] = set()
    for family in _TWINS:
        given = [call for call in family if call in named]
        missing = [call for call in family if call in native().numbers.keys() - everyone]
        if not given or not missing or hinted.issuperset(missing):
            continue
        hinted.update(missing)
        whole = [name for name, members in GROUPS.items() if members >= {*given, *missing}]
        best = min(whole, key=lambda name: (len(GROUPS[name]), name), default="")
        small = best and len(GROUPS[best]) <= 8
        more = f"%{best} is all of them" if small else f"add {', '.join(missing)}"
        yield f"{_list(given)}: programs may use {_list(missing)} for the same; {more}"


def _elsewhere(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    arch = native()
    for call in sorted(named):
        if not same_on(arch, call):
            meant = LIBRARY_NAMES.get(call)
            hint = f"; did you mean '{meant}'?" if meant else ""
            if not hint and call in GROUPS:
                hint = f"; did you mean the group '%{call}'?"
            yield f"{call} is no system call of {arch.name}, only of other architectures{hint}"


def _closing(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    match, fault = rule.match, rule.fault
    if not isinstance(fault.outcome, Fail):
        return
    if "close" not in match.syscalls and match.syscalls_text != OMITTED:
        chosen = choose([Text(match.syscalls_text)], Mistakes())
        if chosen and "close" in chosen.names:
            yield (
                "close is left out of the set, for Linux frees the descriptor even when close "
                "fails; give it a rule of its own, or say `call`"
            )
    elif "close" not in match.syscalls and any(
        name in errnos_of("close") for name, _ in fault.outcome.errnos
    ):
        yield "close can fail so too; it is left out, give it a rule of its own"


def _transfers(rule: Rule, here: tuple[str, ...], named: frozenset[str]) -> Iterator[str]:
    outcome = rule.fault.outcome
    if isinstance(outcome, Short | Corrupt):
        fit = TRANSFERS if isinstance(outcome, Short) else CORRUPTIBLE
        if left := [call for call in here if call not in fit]:
            yield f"{_list(left)} transfers no data; the rule does nothing there"


def _shadowed(rule: Rule, before: tuple[Rule, ...]) -> Iterator[str]:
    for other in before:
        certain = (
            other.probability == 1
            and other.when == EVERY
            and other.limit is None
            and not other.after
            and other.until is None
        )
        if certain and _covers(other.match, rule.match):
            yield f"rule '{other.name}' before it takes every call, so this one never fires"
            return


def _covers(wide: Match, narrow: Match) -> bool:
    return (
        wide.syscalls >= narrow.syscalls
        and (wide.startup or not narrow.startup)
        and all(
            not getattr(wide, key) or getattr(wide, key) == getattr(narrow, key)
            for key in ("site", "path", "process", "thread", "fd", "address", "args", "caller")
        )
    )


_CHECKS = (
    _unlikely,
    _risky,
    _unseen,
    _endless,
    _successes,
    _never,
    _globs,
    _elsewhere,
    _closing,
    _transfers,
)
