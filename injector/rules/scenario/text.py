"""A rule in one line, as a person would type it: the inverse of parsing, exactly.

`parse_rule(rule_text(rule))` gives an equal rule. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from injector.words.model import (
    EVERY,
    Corrupt,
    Fail,
    Globs,
    Outcome,
    Return,
    Rule,
    Short,
    Substitute,
)

from .values import (
    corrupt_text,
    delay_text,
    exact_duration_text,
    exact_retval_text,
    number_text,
    probability_text,
    short_text,
    signal_text,
)

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_NEEDS_QUOTES = re.compile(r"""[:,\n\t\r]|^["'\s]|\s$|^$""")


def quote(value: str) -> str:
    """Return a value as one item of a one-line rule, in double quotes if it needs them."""
    if not _NEEDS_QUOTES.search(value):
        return value
    return '"' + "".join(_ESCAPES.get(one, one) for one in value) + '"'


def rule_text(rule: Rule) -> str:
    """Return the one-line form, its keys in the order of the manual."""
    calls = [rule.match.syscalls_text] if rule.match.syscalls_text else []
    return ":".join([*calls, *(f"{key}={value}" for key, value in _parts(rule))])


def fault_text(rule: Rule) -> str:
    """Return only what is done, in the words of the one-line form."""
    return ":".join(f"{key}={value}" for key, value in _effects(rule))


def _parts(rule: Rule) -> Iterable[tuple[str, str]]:
    match = rule.match
    if match.site is not None:
        yield "site", str(match.site)
    for key in ("path", "process", "thread"):
        yield from _globs(key, getattr(match, key))
    if match.fd is not None:
        yield "fd", match.fd.text
    if match.address:
        yield "address", ",".join(quote(one.text) for one in match.address)
    for one in match.args:
        yield f"args.{one.parameter}", one.text
    yield from _globs("caller", match.caller)
    if rule.when != EVERY:
        yield "when", str(rule.when)
    if rule.probability != 1:
        yield "probability", probability_text(rule.probability)
    if rule.limit is not None:
        yield "limit", str(rule.limit)
    if rule.per != "task":
        yield "per", rule.per
    if rule.after is not None:
        yield "after", exact_duration_text(rule.after)
    if rule.until is not None:
        yield "until", exact_duration_text(rule.until)
    if match.startup and match.site is None:  # a site is of any call
        yield "during", "startup"
    yield from _effects(rule)
    yield "name", quote(rule.name)


def _globs(key: str, globs: Globs | None) -> Iterable[tuple[str, str]]:
    if globs is not None:
        items = (*globs.include, *(f"!{pattern}" for pattern in globs.exclude))
        yield key, ",".join(map(quote, items))


def _effects(rule: Rule) -> Iterable[tuple[str, str]]:
    fault = rule.fault
    if fault.outcome is not None:
        yield outcome_text(fault.outcome)
    # `close` has another default than the rest, so with it the key is always said.
    if isinstance(fault.outcome, Fail) and (fault.call == "run" or "close" in rule.match.syscalls):
        yield "call", fault.call
    if fault.delay is not None:
        yield "delay", delay_text(fault.delay)
    if fault.delay_exit is not None:
        yield "delay_exit", delay_text(fault.delay_exit)
    if fault.signal is not None:
        yield "signal", signal_text(fault.signal)
    if fault.kill is not None:
        yield "kill", fault.kill
    if fault.freeze:
        yield "freeze", "true"
    for poke in filter(None, fault.poke.split(":")):
        key, _, data = poke.partition("=")
        yield key, data


def outcome_text(outcome: Outcome) -> tuple[str, str]:
    """Return key and value of what becomes of the call."""
    match outcome:
        case Fail(errnos):
            if all(weight == 1 for _, weight in errnos):
                return "error", ",".join(name for name, _ in errnos)
            return "error", ",".join(f"{name}@{number_text(weight)}" for name, weight in errnos)
        case Return(value):
            return "retval", exact_retval_text(value)
        case Short():
            return "short", short_text(outcome)
        case Corrupt():
            return "corrupt", corrupt_text(outcome)
        case Substitute(syscall):
            return "substitute", syscall
