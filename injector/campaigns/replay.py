"""Replay: the faults of a journal at their Sites, and whether the same comes of it again.

Could not tell is never said as fixed: the program may have taken another way.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.campaigns.outcome import CRASHES, crash, ending
from injector.engines.notify import HANDLERS, ROLES
from injector.rules.plan import Plan, PlanDecider, Planned
from injector.session.journal import read
from injector.words.errors import InjectError
from injector.words.events import FORMAT

_CREATIONS = ("clone", "clone3")  # the ptrace engine's filter stops all or only some of them


class Verdict(enum.StrEnum):
    """What a replay shows."""

    REPRODUCED = "reproduced"
    FIXED = "fixed"
    OTHERWISE = "failed otherwise"
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, as far as its journal says; `how` is "" where it does not.

    Attributes:
        failure: 2 a crash or a hang, 1 a status other than 0, 0 none.
        t: seconds from the start, where the journal has its end.
        died: processes and the signals that they crashed by.
    """

    how: str
    failure: int
    t: float = 0.0
    died: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A journal: the command, the faults, and how it ended."""

    command: tuple[str, ...]
    cwd: str
    seed: int
    engine: str
    plan: Plan
    ending: Ending
    torn: bool


def recorded(path: Path) -> Recorded:
    """Read a journal; one that breaks off is read as far as it goes.

    Raises:
        InjectError: it cannot be read, is no journal, or cannot be replayed.
    """
    events = list(read(path))
    header = events[0] if events else {}
    if header.get("event") != "header":
        raise InjectError(f"{path} is no journal", help="inject run --journal FILE writes one")
    if header.get("format") != FORMAT:
        raise InjectError(
            f"{path} is a journal of format {header.get('format')}, known is {FORMAT}",
            help=f"replay it with inject {header.get('version', 'of its time')}",
        )
    try:
        return _recorded(path, header, events)
    except (KeyError, TypeError, ValueError) as error:
        raise InjectError(f"{path} holds what inject does not write: {error!r}") from error


def _recorded(path: Path, header: Mapping[str, Any], events: list[dict[str, Any]]) -> Recorded:
    if header["pids"]:
        raise InjectError(
            f"{path} is of a process that was attached to: its sites count from then on",
            help="only a run of inject run can be replayed",
        )
    if any(event["event"] == "injection" and "exact" not in event for event in events):
        raise InjectError(f"{path} is of an older inject, which kept less of a fault")
    ours = {*ROLES, *HANDLERS} if header["engine"] == "notify" else _CREATIONS
    always = {"io_uring_setup", *ours}
    plan = Plan.of(events, always)
    if not plan.faults:
        raise InjectError(
            f"{path} has no fault to replay", help="the run's summary says why no rule fired"
        )
    return Recorded(
        tuple(header["command"]),
        header["cwd"],
        header["seed"],
        header["engine"],
        plan,
        ending_of(events),
        events[-1]["event"] != "footer",
    )


def ending_of(events: Sequence[Mapping[str, Any]]) -> Ending:
    """Return how a run ended by its journal's events."""
    command = next((e["command"] for e in events if e["event"] == "header"), ("?",))
    first = os.path.basename(command[0])
    died = frozenset(
        (first if event["task"] == "0" else event.get("process", ""), event["signal"])
        for event in events
        if event["event"] == "task_end" and event["signal"] in CRASHES
        if event["pid"] == event["tid"]
    )
    crashed = crash(died, "")
    footer = events[-1]
    if footer["event"] != "footer":
        how = "" if crashed else _first_ending(events)
        return Ending(crashed or how, 2 if died else int(how not in ("", "exit 0")), 0.0, died)
    if footer["outcome"] == "timeout":
        stops = (event["t"] for event in events if event.get("what") == "timeout")
        return Ending("hang", 2, next(stops, footer["t"]), died)
    how = ending(footer["status"], footer["signal"])
    if died:
        return Ending(f"{crashed}, {how}", 2, footer["t"], died)
    return Ending(how, int(how != "exit 0"), footer["t"])


def _first_ending(events: Sequence[Mapping[str, Any]]) -> str:
    """Return how the first process ended in a journal without a footer, "" if it did not."""
    alive: set[tuple[int, int]] = set()
    how = ""
    for event in events:
        if event["event"] == "task_start":
            alive.add((event["pid"], event["tid"]))
        elif event["event"] == "task_end":
            alive.discard((event["pid"], event["tid"]))
            if event["task"] == "0" and not any(pid == event["pid"] for pid, _ in alive):
                how = ending(event["exit"], event["signal"])
    return "" if how == "unknown" else how


@dataclass(frozen=True, slots=True)
class Missed:
    """A fault that was not injected to the call it was meant for, and what was there."""

    fault: Planned
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay shows: the verdict and what did not go as in the journal."""

    verdict: Verdict
    ending: Ending
    fired: int
    missed: tuple[Missed, ...]


def judge(
    original: Recorded,
    decider: PlanDecider,
    events: Sequence[Mapping[str, Any]],
    check: int | None = None,
) -> Replayed:
    """Return what the events of a replay show.

    Args:
        check: the status of a check that was made afterwards; then it alone says what failed.
    """
    fired = {event["rule"]: event for event in events if event["event"] == "injection"}
    missed = []
    for fault in original.plan.faults:
        event = fired.get(str(fault.site))
        if event is None:
            missed.append(Missed(fault, _neighbourhood(fault, decider)))
        elif not (_ours(fault.args, event["args"]) or alike(fault.path, event["path"])):
            lines = (
                f"expected {_call(fault.site.syscall, fault.args, fault.path)}",
                f"found    {_call(event['syscall'], event['args'], event['path'])}",
            )
            missed.append(Missed(fault, lines))
    now = ending_of(events)
    verdict = Verdict.UNKNOWN if missed else _verdict(original, now, check)
    return Replayed(verdict, now, len(fired), tuple(missed))


def _verdict(original: Recorded, now: Ending, check: int | None) -> Verdict:
    if check is not None:
        return Verdict.REPRODUCED if check else Verdict.FIXED
    before = original.ending
    if original.torn and not before.failure:
        return Verdict.UNKNOWN
    # After the crashes of one that breaks off there may have been more.
    followed = original.torn and before.died and before.died <= now.died
    if followed or now.how == before.how:
        return Verdict.REPRODUCED
    return Verdict.FIXED if now.failure < before.failure else Verdict.OTHERWISE


def _ours(*args: str) -> bool:
    """Return whether a call is on a standard descriptor: the caller's choice, not the program's."""
    return any(_STANDARD.match(one) for one in args)


_STANDARD = re.compile(r"[0-2]<")
_CHANCE = re.compile(r"[A-Z0-9_]")
_NUMBERS = re.compile(r"\d{2,}")


def alike(path: str, other: str) -> bool:
    """Return whether two paths may be of the same call in two runs.

    Numbers of processes and of sockets differ, and so do the names of temporary files.
    """
    if path == other or not path or not other:
        return True
    one, two = _NUMBERS.sub("0", path), _NUMBERS.sub("0", other)
    if one == two:
        return True
    folder, _, name = path.rpartition("/")
    place, _, last = other.rpartition("/")
    if folder != place:
        # A folder of a temporary name has the same things in it.
        return name == last and bool(folder) and bool(place) and alike(folder, place)
    # mkstemp(3): some six characters of both cases are of chance, the others are not.
    part, piece = _differing(name, last)
    return len(name) == len(last) and 4 <= len(part) <= 12 and bool(_CHANCE.search(part + piece))


def _differing(one: str, two: str) -> tuple[str, str]:
    """Return what differs between two names, first difference to last."""
    places = [at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    return (
        (one[places[0] : places[-1] + 1], two[places[0] : places[-1] + 1]) if places else ("", "")
    )


def _neighbourhood(fault: Planned, decider: PlanDecider) -> tuple[str, ...]:
    """Say what the task did instead of the call that was expected."""
    site = fault.site
    near = decider.seen[site.lineage, site.syscall]
    lines = [f"expected {_call(site.syscall, fault.args, fault.path)}"]
    if near.count:
        calls = ", ".join(f"#{number} {path}".rstrip() for number, path in near.last)
        times = "once" if near.count == 1 else f"{near.count} times"
        lines.append(f"found    task {site.lineage} made {site.syscall} {times}: … {calls}")
    elif site.lineage in decider.tasks:
        lines.append(f"found    task {site.lineage} never made {site.syscall}")
    else:
        lines.append(f"found    no task {site.lineage}; the tasks were {_some(decider.tasks)}")
    return tuple(lines)


def _call(name: str, args: str, path: str) -> str:
    """Return a call in words; with its path where the arguments show that only in part."""
    return f"{name}({args})" + (f" on {path}" if path and path not in args else "")


def _some(names: Iterable[str], most: int = 8) -> str:
    ordered = sorted(names, key=lambda name: (name.count("."), name))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
