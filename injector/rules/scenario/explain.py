"""A scenario in plain English, one sentence per rule. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from injector.words.model import (
    EVERY,
    Corrupt,
    Delay,
    Fail,
    Globs,
    Outcome,
    Return,
    Rule,
    Scenario,
    Short,
    Substitute,
    When,
)
from injector.words.syscalls import errno_message, signal_name

from .sets import EVERYTHING, OMITTED
from .values import duration_text, retval_text


def explain(scenario: Scenario) -> list[str]:
    """Return what each rule does, in file order: `wal-enospc: the 3rd and later write …`."""
    return [f"{rule.name}: {explain_rule(rule)}" for rule in scenario.rules]


def explain_rule(rule: Rule) -> str:
    """Return one rule as a sentence without its name."""
    site = rule.match.site
    if site is None:
        subject = " ".join([_when(rule.when), _calls(rule), *_scope(rule), *_filters(rule)])
    else:
        which = f"{ordinal(site.number)}{' and later' * site.onward} {site.syscall}"
        when = [] if rule.when == EVERY else [f"({rule.when} of them)"]
        subject = " ".join(["the", which, *when, "of task", site.lineage, *_filters(rule)])
    asides = list(_asides(rule))
    middle = ", " + ", ".join(asides) + "," if asides else ""
    return f"{subject}{middle} {_join(list(_effects(rule)), 'and')}"


def _join(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th … 11th."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else suffix}"


def _when(when: When) -> str:
    first = ordinal(when.first)
    if when == EVERY:
        return "every"
    if when.last == when.first:
        return f"the {first}"
    if when.step == 1:
        return f"the {first} to {ordinal(when.last)}" if when.last else f"the {first} and later"
    upto = f" up to the {ordinal(when.last)}" if when.last else ""
    return f"the {first} and every {ordinal(when.step)} after it{upto}"


def _calls(rule: Rule) -> str:
    text = rule.match.syscalls_text
    if text == OMITTED:
        outcome = rule.fault.outcome
        names = [name for name, _ in outcome.errnos] if isinstance(outcome, Fail) else []
        return f"call that can fail with {_join(names, 'or')}"
    parts = text.split(",")
    if all(part in EVERYTHING for part in parts):
        return _join(parts, "or")
    return "call" if text == "all" else f"call of {text}"


def _scope(rule: Rule) -> Iterator[str]:
    if rule.when != EVERY:
        yield {"task": "of each task", "process": "of each process", "run": "of the run"}[rule.per]


def _filters(rule: Rule) -> Iterator[str]:
    match = rule.match
    if match.path is not None:
        yield _globs(match.path, "on a file under", "on a path like", "on any path")
    if match.fd is not None:
        plural = "," in match.fd.text or ".." in match.fd.text or match.fd.text[:1] in "<>"
        yield f"on descriptor{'s' * plural} {match.fd.text.replace(',', ' or ')}"
    if match.address:
        yield f"with address {_join([one.text for one in match.address], 'or')}"
    for one in match.args:
        yield f"with {one.parameter} {one.text.replace(',', ' and ')}"
    if match.process is not None:
        yield _globs(match.process, "in", "in a process like", "in any process")
    if match.thread is not None:
        yield _globs(match.thread, "in", "in a thread like", "in any thread")
    if match.caller is not None:
        yield _globs(match.caller, "in", "called from", "called from anywhere")
    if match.startup and match.site is None:
        yield "(those of the dynamic loader too)"


def _globs(globs: Globs, under: str, like: str, any_but: str) -> str:
    tails = [one.removesuffix("/**") for one in globs.include]
    below = under.endswith("under") and all(
        one.endswith("/**") and not set(tail) & set("*?")
        for one, tail in zip(globs.include, tails, strict=True)
    )
    if not globs.include:
        text = any_but
    elif below:
        text = f"{under} {_join([tail or '/' for tail in tails], 'or')}"
    else:
        text = f"{like} {_join(globs.include, 'or')}"
    return text + (f" but not {_join(globs.exclude, 'or')}" if globs.exclude else "")


def _asides(rule: Rule) -> Iterator[str]:
    if rule.probability != 1:
        yield f"with probability {rule.probability * 100:g} %"
    if rule.limit is not None:
        where = {"task": "in each task", "process": "in each process", "run": "in all"}[rule.per]
        yield f"at most {rule.limit} time{'s' * (rule.limit != 1)} {where}"
    if rule.after is not None and rule.until is not None:
        yield f"from {duration_text(rule.after)} to {duration_text(rule.until)} after the start"
    elif rule.after is not None:
        yield f"from {duration_text(rule.after)} after the start"
    elif rule.until is not None:
        yield f"until {duration_text(rule.until)} after the start"


def _effects(rule: Rule) -> Iterator[str]:
    fault = rule.fault
    if fault.delay is not None:
        yield f"is delayed by {_delay(fault.delay)}"
    if fault.kill == "before":
        yield "has its process killed before it is made"
    if fault.signal is not None:
        yield f"gets its task {signal_name(fault.signal)}"
    if fault.freeze:
        yield "has its process stopped for a debugger"
    for poke in filter(None, fault.poke.split(":")):
        when = "before it" if poke.startswith("poke_enter") else "after it"
        yield f"has memory overwritten {when} ({poke.partition('=')[2]})"
    if fault.outcome is not None:
        yield _outcome(fault.outcome, fault.call == "run")
    if fault.delay_exit is not None:
        yield f"is delayed by {_delay(fault.delay_exit)} after it was made"
    if fault.kill == "after":
        yield "has its process killed after it was made"


def _delay(delay: Delay) -> str:
    low, high = duration_text(delay.low), duration_text(delay.high)
    return {
        "fixed": low,
        "uniform": f"{low} to {high}",
        "exponential": f"an exponential time of mean {low}",
        "normal": f"a normal time of mean {low} and deviation {high}",
    }[delay.shape]


def _outcome(outcome: Outcome, made: bool) -> str:
    match outcome:
        case Fail(errnos):
            total = sum(weight for _, weight in errnos)
            ways = []
            for name, weight in errnos:
                message = errno_message(name)
                share = f"{weight / total * 100:.3g} %: " if len(errnos) > 1 else ""
                ways.append(f"{name} ({share}{message})" if message else f"error {name}")
            return ("is made, then fails with " if made else "fails with ") + _join(ways, "or")
        case Return(value):
            return f"reports {retval_text(value)} without being made"
        case Short(size, None):
            return f"transfers at most {size} byte{'s' * (size != 1)}"
        case Short(_, fraction):
            return f"transfers {(fraction or 0) * 100:g} % of what is asked for"
        case Corrupt(how, at):
            damage = {
                "bitflip": "has a bit of its data flipped",
                "zero": "has its data zeroed",
                "random": "has its data replaced by random bytes",
            }
            return damage[how] + (f" (choice {at:g})" if at is not None else "")
        case Substitute(syscall):
            return f"is replaced by {syscall}"
