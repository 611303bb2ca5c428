"""The decision: which fault, if any, a call gets. Pure: call in, decision out.

Every rule whose Match accepts a call counts it, whoever wins; the first that is
also due gives the outcome. So adding, pausing or toggling a rule never shifts
another. No I/O, no clock of its own.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from injector.rules.match import Test, compile_match, example
from injector.words.call import Call, Who
from injector.words.model import EVERY, Corrupt, Delay, Fail, Return, Rule, Scenario
from injector.words.syscalls import errno_number


@dataclass(frozen=True, slots=True)
class Order:
    """One decision to inject, every choice made: what the engine carries out.

    `errno` is a name or "", `error` its number or 0; `value` the result reported
    as success, None unless asked for. Without both the call is made. `delay` is
    nanoseconds before anything else, `delay_exit` after the call. `chance` (0..1) is what
    a fault that draws lots itself draws.
    """

    rule: Rule
    occurrence: int
    errno: str = ""
    error: int = 0
    value: int | None = None
    delay: int = 0
    delay_exit: int = 0
    chance: float = 0.0

    def same(self, other: Order) -> bool:
        """Return whether the same is done, perhaps at another occurrence."""
        return (
            self.rule is other.rule
            and self.errno == other.errno
            and self.value == other.value
            and self.delay == other.delay
            and self.delay_exit == other.delay_exit
            and self.chance == other.chance
        )


class Decider(Protocol):
    """What a session asks about every call: an Order, or None to let it pass."""

    def decide(self, call: Call) -> Order | None:
        """Return what is done to this call. Called once per call, in order per task."""


class State:
    """A rule while it runs: compiled tests, live settings, totals of what it saw."""

    __slots__ = (
        "always",
        "draws",
        "enabled",
        "examples",
        "folded",
        "index",
        "lanes",
        "misses",
        "once",
        "paused",
        "preempted",
        "probability",
        "rule",
        "settled",
        "shielded",
        "tests",
        "timed",
    )

    def __init__(self, rule: Rule, index: int) -> None:
        self.rule = rule
        self.index = index
        self.enabled = True
        self.paused = False
        self.once = False
        self.probability = rule.probability
        self.tests: tuple[Test, ...] = compile_match(rule.match)
        self.timed = rule.after is not None or rule.until is not None
        self.shielded = not rule.match.startup
        self.lanes: dict[str, Lane] = {}
        self.folded = [0, 0, 0, 0]  # seen, matched, due, fired of tasks that are gone
        self.misses: dict[str, int] = {}
        self.examples: dict[str, str] = {}
        self.preempted: dict[str, int] = {}
        # Due calls that were left when the probability was changed, and what was expected then.
        self.settled = (0, 0.0)
        self.always = False
        self.update()

    def update(self) -> None:
        """Work out again, after a change, whether every matching call is due."""
        rule = self.rule
        live = self.enabled and not self.paused and not self.once
        self.always = live and rule.when == EVERY and rule.limit is None and not self.timed
        # A draw is below 1, so that the next match is a hit.
        self.probability = 2.0 if self.once else rule.probability

    def missed(self, key: str, call: Call) -> None:
        """Count a call that this word of the scenario turned away; keep the first as example."""
        try:
            self.misses[key] += 1
        except KeyError:
            self.misses[key] = 1
            self.examples[key] = example(key, call)

    def left(self, due: int) -> int:
        """Return how many of the due calls no earlier rule took."""
        return due - sum(self.preempted.values())

    def expected(self, due: int) -> float:
        """Return how often it should have fired, by the probabilities it had."""
        left, before = self.settled
        return before + (self.left(due) - left) * self.rule.probability

    def counts(self) -> list[int]:
        """Return seen, matched, due and fired of all scopes."""
        counts = list(self.folded)
        for lane in self.lanes.values():
            lane.add_to(counts)
        return counts

    def lost_to(self, name: str) -> None:
        """Count a due call that the rule of this name, earlier in the file, had fired on."""
        self.preempted[name] = self.preempted.get(name, 0) + 1


class Lane:
    """The count of one rule in one scope: a task, a process, or the whole run."""

    __slots__ = ("draw", "due", "fired", "hits", "matched", "scope", "seen", "state")

    def __init__(self, state: State, scope: str, draw: Callable[[], float]) -> None:
        self.state = state
        self.scope = scope
        self.draw = draw
        self.seen = self.matched = self.due = self.hits = self.fired = 0

    def add_to(self, counts: list[int]) -> None:
        """Add seen, matched, due and fired to `counts`."""
        for index, count in enumerate((self.seen, self.matched, self.due, self.fired)):
            counts[index] += count


@dataclass(frozen=True, slots=True)
class Totals:
    """What a rule saw over the whole run.

    `preempted` counts, by the name of an earlier rule, the due calls which that one fired
    on first; `expected` is the probability times the due calls that were left. `misses`
    counts by the scenario's key what turned calls away, `examples` has what the first of
    them was instead: "" if it could not be read.
    """

    rule: Rule
    seen: int
    matched: int
    due: int
    fired: int
    expected: float
    misses: dict[str, int]
    examples: dict[str, str]
    preempted: dict[str, int]


def coin(seed: int, rule: str, scope: str) -> Callable[[], float]:
    """Return the coin of (seed, rule, scope): the n-th draw is the n-th counted call's."""
    return random.Random(f"{seed}/{rule}/{scope}").random


def fraction(*key: object) -> float:
    """Return a number in [0, 1) that depends on `key` alone."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def pick(errnos: tuple[tuple[str, float], ...], at: float) -> str:
    """Return the errno at the point `at` (0..1) of the weights laid end to end."""
    rest = at * sum(weight for _, weight in errnos)
    for name, weight in errnos:
        rest -= weight
        if rest < 0:
            return name
    return errnos[-1][0]


def duration(delay: Delay, at: float, other: float) -> int:
    """Return the nanoseconds a Delay gives for two uniform numbers in [0, 1)."""
    match delay.shape:
        case "fixed":
            return delay.low
        case "uniform":
            return delay.low + int(at * (delay.high - delay.low))
        case "exponential":
            return int(-math.log(1.0 - at) * delay.low)
        case "normal":
            spread = math.sqrt(-2.0 * math.log(1.0 - at)) * math.cos(2.0 * math.pi * other)
            return max(0, int(delay.low + spread * delay.high))


class RulesDecider:
    """Decides by a scenario's rules and a seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.seed = seed
        self.states = [State(rule, index) for index, rule in enumerate(scenario.rules)]
        self.paused = False
        self._asked: tuple[Lane, int] | None = None  # the last that fired because it was asked to
        self._by_name: dict[str, list[State]] = {}
        # Those of one call each are looked up, for a replay has one for each of its faults.
        self._sites: dict[tuple[str, str, int], list[State]] = {}
        self._sited: set[tuple[str, str]] = set()
        self._reached: dict[tuple[str, str], int] = {}  # calls of tasks that are gone
        self._opened: dict[int, dict[str, Any]] = {}  # each task's lanes, by identity
        self._sort()

    def _sort(self) -> None:
        self._by_name.clear()
        self._sites.clear()
        for position, state in enumerate(self.states):
            state.index = position
            site = state.rule.match.site
            if site is not None:
                self._sited.add((site.lineage, site.syscall))
            if site is not None and not site.onward:
                place = (site.lineage, site.syscall, site.number)
                self._sites.setdefault(place, []).append(state)
                continue
            for name in state.rule.match.syscalls:
                self._by_name.setdefault(name, []).append(state)
        for lanes in self._opened.values():
            lanes.clear()

    def decide(self, call: Call) -> Order | None:
        """Return the Order of the first rule that is due, None to let the call pass."""
        task = call.task
        lanes = task.lanes.get(call.name)
        if lanes is None:
            lanes = self._open(task, call.name)
        if self._sites and (states := self._sites.get(self._place(call))):
            own = [self._lane(state, task) for state in states]
            lanes = sorted([*lanes, *own], key=lambda lane: lane.state.index)
        order = None
        for lane in lanes:
            state = lane.state
            lane.seen += 1
            if call.by_loader and state.shielded:
                state.missed("during", call)
                continue
            for key, holds, _ in state.tests:
                if not holds(call):
                    state.missed(key, call)
                    break
            else:
                lane.matched += 1
                hit = lane.draw() < state.probability
                if state.always or self._due(state, lane, call):
                    lane.due += 1
                    if hit:
                        lane.hits += 1
                        if order is None:
                            lane.fired += 1
                            order = self._order(lane)
                        else:
                            state.lost_to(order.rule.name)
                            if self._asked == (lane, lane.matched):
                                self.fire(state)  # it was asked for, and another one took the call
                    elif order is not None:
                        state.lost_to(order.rule.name)
        return order

    def _place(self, call: Call) -> tuple[str, str, int]:
        return call.task.lineage, call.name, call.task.calls[call.name]

    def _due(self, state: State, lane: Lane, call: Call) -> bool:
        rule = state.rule
        if state.once:
            state.once = False
            state.update()
            self._asked = lane, lane.matched
            return True
        if not state.enabled or state.paused:
            return False
        if not rule.when.includes(lane.matched):
            return False
        if rule.limit is not None and lane.hits >= rule.limit:
            return False
        if state.timed:
            now = call.elapsed()
            if rule.after is not None and now < rule.after:
                return False
            if rule.until is not None and now >= rule.until:
                return False
        return True

    def _open(self, task: Who, name: str) -> list[Lane]:
        lanes = [
            self._lane(state, task)
            for state in self._by_name.get(name, ())
            if state.rule.match.site is None or state.rule.match.site.lineage == task.lineage
        ]
        self._opened[id(task.lanes)] = task.lanes
        task.lanes[name] = lanes
        return lanes

    def _lane(self, state: State, task: Who) -> Lane:
        rule = state.rule
        scopes = {"task": task.lineage, "process": f"p{task.process_lineage}", "run": "run"}
        scope = scopes[rule.per]
        # One Lane per rule and scope, whichever syscall or task brought it here.
        lane = state.lanes.get(scope)
        if lane is None:
            lane = Lane(state, scope, coin(self.seed, rule.name, scope))
            state.lanes[scope] = lane
        return lane

    def _order(self, lane: Lane) -> Order:
        rule = lane.state.rule
        key = (self.seed, rule.name, lane.scope, lane.matched)
        errno, error = "", 0
        value: int | None = None
        chance = 0.0
        match rule.fault.outcome:
            case Fail(errnos):
                errno = errnos[0][0] if len(errnos) == 1 else pick(errnos, fraction(*key, "errno"))
                error = errno_number(errno) or int(errno)
            case Return(wanted):
                value = wanted & 0xFFFF_FFFF_FFFF_FFFF
            case Corrupt(_, at):
                chance = fraction(*key, "corrupt") if at is None else at
            case _:
                pass
        delay, after = rule.fault.delay, rule.fault.delay_exit
        wait = duration(delay, fraction(*key, "delay"), fraction(*key, "turn")) if delay else 0
        last = duration(after, fraction(*key, "exit"), fraction(*key, "back")) if after else 0
        return Order(rule, lane.matched, errno, error, value, wait, last, chance)

    def forget(self, task: Who) -> None:
        """Keep only the totals of a task that is gone; its lineage never comes again."""
        for state in self.states:
            if state.rule.per == "task":
                lane = state.lanes.pop(task.lineage, None)
                if lane is not None:
                    lane.add_to(state.folded)
        for place in self._sited:
            if place[0] == task.lineage:
                self._reached[place] = task.calls.get(place[1], 0)
        task.lanes.clear()
        self._opened.pop(id(task.lanes), None)

    # -- steering: what a person changes while the target runs -----------------------

    def state(self, name: str) -> State | None:
        """Return the rule of this name as it runs."""
        return next((state for state in self.states if state.rule.name == name), None)

    def pause(self, paused: bool) -> None:
        """Let every call pass, or go on; calls are counted all the while."""
        self.paused = paused
        for state in self.states:
            state.paused = paused
            state.update()

    def enable(self, state: State, enabled: bool) -> None:
        """Let a rule fire, or not; its count and its coin go on."""
        state.enabled = enabled
        state.update()

    def change(self, state: State, rule: Rule) -> None:
        """Let a rule have another probability, limit or fault."""
        due = state.counts()[2]
        state.settled = (state.left(due), state.expected(due))
        state.rule = rule
        state.update()

    def fire(self, state: State) -> None:
        """Have a rule fire at its next match, whatever its schedule says."""
        state.once = True
        state.update()

    def add(self, rule: Rule) -> State:
        """Add a rule behind the others."""
        state = State(rule, len(self.states))
        state.paused = self.paused
        state.update()
        self.states.append(state)
        self._sort()
        return state

    def remove(self, state: State) -> None:
        """Take a rule away."""
        self.states.remove(state)
        self._sort()

    def totals(self) -> Iterable[Totals]:
        """Return what each rule saw so far, in file order."""
        for state in self.states:
            seen, matched, due, fired = state.counts()
            site = state.rule.match.site
            if site is not None and not matched:
                seen = self._reached.get((site.lineage, site.syscall), seen)
            yield Totals(
                state.rule,
                seen,
                matched,
                due,
                fired,
                state.expected(due),
                dict(state.misses),
                dict(state.examples),
                dict(state.preempted),
            )
