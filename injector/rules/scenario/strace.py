"""strace's `inject=` and `fault=` expressions, as strace(1) "Tampering" has them.

strace counts per syscall and per task, so an expression over several syscalls becomes one rule
for each, named as the syscall. What strace refuses is refused; what it accepts is accepted, but
for limits to @32 of calls that 64-bit programs make too, and to @x32, and for errors that no
program can see. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from injector.words.model import Delay, Fail, Fault, Match, Return, Rule, Substitute, When
from injector.words.syscalls import NEVER, Arch, compat, group, native

from . import errnos, values
from .build import substitute
from .fields import Bad, Mistakes, Text, closest
from .sets import EVERYTHING, unknown_call, variants
from .text import rule_text

_PREFIX = re.compile(r"(inject|fault)=")
_LEGACY = ("desc", "file", "memory", "process", "signal", "ipc", "network")
_FAULT_KEYS = ("error", "syscall", "when")
_KEYS = (*_FAULT_KEYS, "retval", "signal", "delay_enter", "delay_exit", "poke_enter", "poke_exit")
# strace(1): "The valid range for numbers first and step is 1..65535"
_MOST = 65535


def is_expression(text: str) -> bool:
    """Return whether a one-line rule is in strace's grammar."""
    return _PREFIX.match(text.lstrip()) is not None


def renamed(rule: Rule, name: str) -> Rule:
    """Return the rule under another name."""
    return replace(rule, name=name, text=rule_text(replace(rule, name=name)))


def named(family: str) -> frozenset[str]:
    """Return the calls that an expression names one by one, not by a class or a regex."""
    calls = family.partition("=")[2].partition(":")[0]
    words = {word.lstrip("?").partition("@")[0] for word in calls.split(",")}
    return frozenset() if calls.startswith("!") else frozenset(words & EVERYTHING)


def parse(text: str, notes: Mistakes) -> tuple[Rule, ...]:
    """Return one rule per syscall of the expression; what is wrong is noted."""
    match = _PREFIX.match(text.lstrip())
    assert match is not None  # the caller has asked is_expression()
    start = len(text) - len(text.lstrip()) + match.end()
    kind = match[1]
    # strtok(3) takes several colons for one, so does this.
    parts = [(one[0], one.start()) for one in re.finditer(r"[^:]+", text[start:])]
    if not parts or text[start : start + 1] == ":":
        notes.add(Text(text, 1, start + 1), "a set of system calls is missing")
        return ()
    calls = _calls(Text(parts[0][0], 1, start + 1), notes)
    given: dict[str, Any] = {}
    for part, offset in parts[1:]:
        at = Text(part, 1, start + offset + 1)
        try:
            _option(part, kind, given)
        except Bad as error:
            notes.bad(at, error)
    if set(given) <= {"when"} and not notes.found:
        if kind == "inject":
            notes.add(
                Text(text, 1, 1),
                "inject= needs something to do",
                "one of error= retval= signal= syscall= delay_enter= delay_exit= poke_enter= "
                "poke_exit=",
            )
        given["error"] = "ENOSYS"
    if kind == "fault" and "syscall" in given:
        given.setdefault("error", "ENOSYS")
    if notes.found:
        return ()
    fault = _fault(given)
    when: When = given.get("when", When())
    family = " ".join(text.split())
    rules = (Rule(name, Match(variants(name), name), fault, when, family=family) for name in calls)
    return tuple(renamed(rule, rule.name) for rule in rules)


def _fault(given: dict[str, Any]) -> Fault:
    outcome: Fail | Return | Substitute | None = None
    if "error" in given:
        # The substitute has no effects and its result is replaced, so the error is all there is.
        outcome = Fail(((given["error"], 1.0),))
    elif "retval" in given:
        outcome = Return(given["retval"])
    elif "syscall" in given:
        outcome = Substitute(given["syscall"])
    enter, leave = given.get("delay_enter"), given.get("delay_exit")
    return Fault(
        outcome=outcome,
        delay=None if enter is None else Delay("fixed", enter),
        delay_exit=None if leave is None else Delay("fixed", leave),
        signal=given.get("signal"),
        poke=":".join(f"{k}={given[k]}" for k in ("poke_enter", "poke_exit") if k in given),
    )


def _option(part: str, kind: str, given: dict[str, Any]) -> None:
    key, equals, value = part.partition("=")
    keys = _FAULT_KEYS if kind == "fault" else _KEYS
    if not equals or key not in keys:
        what = f"{kind}= has no {key}=" if equals and key in _KEYS else f"'{part}' is no option"
        raise Bad(what + closest(key, keys), "options: " + " ".join(f"{k}=" for k in keys))
    if key in given and key != "when":  # strace(1): of several when= the last counts
        raise Bad(f"{key}= is given twice")
    if {key, *given} >= {"error", "retval"}:
        raise Bad("error= and retval= exclude each other")
    try:
        given[key] = _PARSERS[key](value)
    except Bad as error:
        raise Bad(f"{key}: {error.message}", error.help, error.offset + len(key) + 1) from None


def _number(text: str) -> str:
    """Return a number without what strtol(3) and strtod(3) skip before it."""
    bare = text.lstrip(" \t\n\v\f\r")
    return bare[1:] if re.match(r"\+[\d.]", bare) else bare


def _signal(text: str) -> int:
    if match := re.fullmatch(r"(?:SIG)?RT_([0-9]{1,2})", text, re.IGNORECASE):
        # strace's names of the kernel's real-time signals, of which the C library keeps two.
        return values.signal(str(32 + int(match[1])))
    return values.signal(_number(text))


def _errno(text: str) -> str:
    number = _number(text)
    if number.startswith("-"):
        raise Bad(f"error {text} is not in 1..{values.MAX_ERRNO}")
    return values.errno(number)


def _poke(text: str) -> str:
    # strtok(3) takes several commas for one, and ignores those at the ends.
    return errnos.poke(re.sub(",+", ",", text).strip(","))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "error": _errno,
    "retval": lambda text: values.strace_retval(text.lstrip()),
    "signal": _signal,
    "syscall": substitute,
    "delay_enter": lambda text: values.strace_duration(_number(text)),
    "delay_exit": lambda text: values.strace_duration(_number(text)),
    "poke_enter": _poke,
    "poke_exit": _poke,
    # Beyond our own grammar, `F..L+` is `F..L`; that is what values.when() makes of it as well.
    "when": lambda text: values.when(_number(text), _MOST),
}


def _calls(item: Text, notes: Mistakes) -> list[str]:
    """Return the calls of a set in the order of their numbers here, without the dangerous."""
    text = item.text.lstrip("!")
    inverted = (len(item.text) - len(text)) % 2 == 1
    offset = len(item.text) - len(text)
    arch = native()
    found: set[str] = set()
    explicit: dict[str, int] = {}
    parts = [(one[0], one.start()) for one in re.finditer(r"[^,]+", text)]
    if not parts:
        notes.add(item, "a system call is missing")
    for part, begin in parts if text not in ("all", "none") else ():
        try:
            members = _members(part, arch)
        except Bad as error:
            notes.add(item, error.message, error.help, offset + begin + error.offset)
            continue
        found |= members
        if len(members) == 1 and not inverted:
            explicit[next(iter(members))] = offset + begin
    if text == "all":
        found = set(arch.numbers)
    if inverted:
        found = set(arch.numbers) - found
    for name in explicit.keys() & NEVER.keys():
        notes.add(item, f"{name} must never fail: {NEVER[name]}", "", explicit[name])
    # What exists on another architecture only comes last; it is no call of a program here,
    # and a call's counterpart there is part of the call's own rule.
    covered = {one for name in found & arch.numbers.keys() for one in variants(name) - {name}}
    kept = [name for name in found - NEVER.keys() if name not in covered]
    return sorted(kept, key=lambda name: (arch.numbers.get(name, 1 << 16), name))


def _members(text: str, arch: Arch) -> frozenset[str]:
    part = text.lstrip("?")
    name, at, personality = part.rpartition("@")
    only = arch
    if at:
        tables = {str(one.bits): one for one in (arch, *compat(arch))}
        if personality not in tables:
            known = " ".join(f"@{one}" for one in tables)
            raise Bad(f"no calls of @{personality} are known here", f"known: {known}")
        part, only = name, tables[personality]
    try:
        members = _member(part, only)
        if at and not members & only.numbers.keys():
            raise Bad(f"no system call '{part}' of @{personality}")
    except Bad:
        if text.startswith("?"):  # strace(1): no error if nothing matches
            return frozenset()
        raise
    # A rule names calls and not architectures, so only calls that no other has can be told apart.
    # @64 on the machine's own calls is taken for them: hardly a program makes others.
    if only is not arch and (both := sorted(members & arch.numbers.keys())):
        shown = ", ".join(both[:3]) + (" …" if len(both) > 3 else "")
        raise Bad(
            f"@{personality}: a rule names a call for every architecture, and {shown} is not of "
            f"@{personality} alone",
            f"say it without @{personality} to hit the calls of 64-bit programs too",
        )
    return members & only.numbers.keys() if at else members


def _member(part: str, arch: Arch) -> frozenset[str]:
    if re.fullmatch(r"[0-9]{1,6}", part):
        if int(part) not in arch.names:
            raise Bad(f"{arch.name} has no system call {part}")
        return frozenset((arch.names[int(part)],))
    if part.startswith("/"):
        try:
            pattern = re.compile(part[1:])
        except re.error as error:
            raise Bad(f"wrong regex: {error.msg}", offset=1 + (error.pos or 0)) from None
        # regexec(3) finds it anywhere in the name, unlike our own /regex/.
        members = frozenset(name for name in arch.numbers if pattern.search(name))
        if not members:
            raise Bad(f"no system call matches {part}")
        return members
    if part == "all":
        return frozenset(arch.numbers)
    if part.startswith("%") or part in _LEGACY:
        members = group(part) or frozenset()
        if not members or part == "%":
            raise Bad(f"no class '{part}'", "see inject list groups")
        return members & arch.numbers.keys() or members
    if part in EVERYTHING:
        return frozenset((part,))
    if part[:1].isdigit() or part.startswith("-"):
        raise Bad(f"'{part}' is neither a system call nor its number")
    raise unknown_call(part)
