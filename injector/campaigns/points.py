"""The recording: one run in which every call that a fault may be put into is written down.

A Point is such a call with its stack; points of the same call from the same stack are one
Kind, because a program that handles the failure of one of them handles that of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from injector.campaigns.plausible import CALLS, plausible
from injector.campaigns.stacks import of_a_sanitizer
from injector.campaigns.store import PointRow
from injector.campaigns.witness import Witness
from injector.engines.call import StoppedCall
from injector.engines.words import arguments
from injector.linux.unwind import Frame
from injector.rules.decide import Order, State
from injector.rules.scenario.text import fault_text
from injector.words.call import Call
from injector.words.model import Fail, Rule, Scenario
from injector.words.syscalls import NEVER

Stack: TypeAlias = tuple[Frame, ...]

_TOLD = 64  # of each kind so many points have their arguments in words, which cost the most


@dataclass(frozen=True, slots=True)
class Point:
    """A call of the recording, and the faults in a rule's words that may be put into it."""

    row: PointRow
    faults: tuple[str, ...]


class Recorder(Witness):
    """Decides as the rules of `under` say, which may be none, and writes down every call.

    With `wanted` only calls that its rules match are points, and their faults are the rules'.
    Calls of the dynamic loader and of a sanitizer's run time are none: no program can handle
    their failure.
    """

    def __init__(
        self,
        under: Scenario,
        seed: int,
        wanted: Scenario | None = None,
        stable: Callable[[str], str] = str,
    ) -> None:
        """Record a run.

        Args:
            stable: takes out of a text what is other in the next run.
        """
        super().__init__(under, seed)
        self._stable = stable
        self.points: list[Point] = []
        self._states = (
            [State(rule, index) for index, rule in enumerate(wanted.rules)]
            if (wanted is not None)
            else None
        )
        self._stacks: dict[Stack, tuple[tuple[str, ...], str]] = {}
        self._told: dict[str, int] = {}

    def decide(self, call: Call) -> Order | None:
        """Write down the call; answer as the rules say."""
        assert isinstance(call, StoppedCall)  # an engine's own, which has a stack
        if (faults := self._faults(call)) and not _instrument(call.frames()):
            self.points.append(Point(self._row(call), faults))
        return super().decide(call)

    def _faults(self, call: StoppedCall) -> tuple[str, ...]:
        if self._states is None:
            return () if call.by_loader else plausible(call)
        found: list[str] = []
        for state in self._states:
            if (
                call.name in state.rule.match.syscalls
                and not (call.by_loader and state.shielded)
                and all(test.holds(call) for test in state.tests)
            ):
                found += faults_of(state.rule)
        return tuple(dict.fromkeys(found))

    def _row(self, call: StoppedCall) -> PointRow:
        frames = call.frames()
        known = self._stacks.get(frames)
        if known is None:
            names = tuple(self._stable(str(frame)) for frame in frames)
            known = self._stacks[frames] = names, self._stable("\n".join(identity(frames)))
        stack, name = known
        # One frame is the C library's own: what the call is about must tell the callers apart.
        path = self._stable(next(iter(call.paths()), ""))
        kind = kind_of(call.name, name if len(frames) > 1 else f"{name}\n{path}")
        told = self._told[kind] = self._told.get(kind, 0) + 1
        args = self._stable(arguments(call)) if told <= _TOLD else ""
        return PointRow(call.site, call.name, args, path, stack, kind)


def _instrument(frames: Stack) -> bool:
    return bool(frames) and of_a_sanitizer(frames[0].function, frames[0].library)


def watched(wanted: Scenario | None) -> frozenset[str]:
    """Return the calls that a recording must stop at."""
    if wanted is None:
        return CALLS - NEVER.keys()
    return frozenset().union(*(rule.match.syscalls for rule in wanted.rules))


def identity(frames: Stack) -> list[str]:
    """Return what of a stack is the same in the next run: places in files, not in memory."""
    found: list[str] = []
    for frame in frames:
        # Code that was made at run time lies anywhere.
        place = f"{frame.library}+{frame.address:#x}" if frame.library else "?"
        if not found or found[-1] != place:  # how deep a recursion went is no difference
            found.append(place)
    return found


def kind_of(syscall: str, stack: str) -> str:
    """Return the name of a kind, `openat-1f2e3d4c`."""
    digest = hashlib.blake2b(f"{syscall}\n{stack}".encode("utf-8", "surrogateescape"))
    return f"{syscall}-{digest.hexdigest()[:8]}"


def faults_of(rule: Rule) -> tuple[str, ...]:
    """Return the faults of a scenario's rule, each of its errors for itself."""
    match rule.fault.outcome:
        case Fail(errnos) if len(errnos) > 1:
            texts = fault_text(rule).split(":")
            return tuple(":".join([f"error={name}", *texts[1:]]) for name, _ in errnos)
        case _:
            return (fault_text(rule),)


def representatives(
    points: Iterable[Point], most: int | None
) -> Mapping[tuple[str, str], list[Point]]:
    """Return the points to try by kind and fault: the first, and others evenly between.

    Args:
        most: of each kind and fault, None for all.
    """
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        for fault in point.faults:
            groups.setdefault((point.row.kind, fault), []).append(point)
    if most is not None:
        groups = {key: spread(group, most) for key, group in groups.items()}
    return groups


def spread(group: list[Point], most: int) -> list[Point]:
    """Return at most so many, the first and the last among them if there may be two."""
    if len(group) <= most:
        return group
    if most == 1:
        return group[:1]
    last = len(group) - 1
    return [group[round(index * last / (most - 1))] for index in range(most)]
