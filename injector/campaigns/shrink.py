"""Shrink: the fewest and simplest faults of a run that still make the same failure.

The faults are a list; what is tried is a part of it, or a part with a simpler fault in it. Every
trial goes through `consider`, which counts them, remembers them, and keeps a failure that is
another one without following it. Prints nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from injector.campaigns.outcome import crash, ending, report
from injector.campaigns.trial import Bench, Job, Result, carry_out
from injector.rules.decide import RulesDecider
from injector.rules.plan import Plan, PlanDecider, Planned
from injector.rules.scenario.oneline import parse_rule
from injector.rules.scenario.text import fault_text
from injector.words.model import Corrupt, Delay, Fail, Fault, Scenario

Faults = tuple[Planned, ...]
_LINEAR = 4  # so many are tried one by one before the steps grow
_DELAYS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)  # ns, what a long one is cut to


class Reason(enum.StrEnum):
    """Why the search ended."""

    MINIMAL = "nothing can be left out"
    RUNS = "the runs that were allowed are made"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the search is."""

    runs: int
    faults: int
    doing: str


@dataclass(frozen=True, slots=True)
class Other:
    """Another failure that was met on the way."""

    fingerprint: str
    faults: Faults


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is left, and how it was found.

    Attributes:
        again: whether the last trial of all, of what is left, failed in the same way.
    """

    fingerprint: str
    faults: Faults
    before: int
    runs: int
    reason: Reason
    again: bool
    others: tuple[Other, ...]


class NotReproduced(Exception):
    """The faults of the journal, all of them, make no failure, or no fault was injected."""

    def __init__(self, result: Result, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.result = result
        self.fingerprint = fingerprint


def fingerprint(result: Result) -> str:
    """Return how a run ended, the same text for the same failure; "" where nothing failed."""
    if result.error:
        return f"error {result.error}"
    if result.timed_out:
        return "hang"
    died = [(one.process, one.signal) for one in result.crashes]
    found = crash(died, result.stderr.tail)
    if found:
        return found
    check = result.check
    if check is not None and check.status != 0:
        return "check"
    how = ending(result.status, result.signal)
    if how == "exit 0" or check is not None:
        return ""
    told = report(result.stderr.tail)
    return f"{how} {told}" if told is not None else how


class _Enough(Exception):
    """No more runs are allowed."""


class Shrinker:
    """The search; `job` is how each trial is made, but for its rules."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        *,
        runs: int = 500,
        tell: Callable[[Progress], None] = lambda _: None,
        carry: Callable[..., Result] = carry_out,
    ) -> None:
        """Begin with all faults of a plan.

        Args:
            runs: at most so many trials.
            tell: told how far it is, after each.
            carry: makes a trial, as `carry_out` does.
        """
        self._job = job
        self._plan = plan
        self._most = runs
        self._tell = tell
        self._carry = carry
        self._wanted = ""
        self._bench = Bench()
        self._cache: dict[tuple[str, ...], bool] = {}
        self._others: dict[str, Faults] = {}
        self._doing = "all of them"
        self.runs = 0
        self.best: Faults = plan.faults

    def shrink(self) -> Shrunk:
        """Search until nothing can be left out, the runs are made, or somebody interrupts.

        Raises:
            NotReproduced: all faults together do not make it fail.
        """
        with closing(self._bench):
            return self._shrink()

    def _shrink(self) -> Shrunk:
        before = len(self.best)
        self._begin()
        again = True
        try:
            self._doing = "none at all"
            if not self.consider(()):
                self._delete()
                self._simplify()
                self._doing = "what is left"
                again = self._trial(self.best) == self._wanted
            reason = Reason.MINIMAL
        except _Enough:
            reason = Reason.RUNS
        except KeyboardInterrupt:
            reason = Reason.INTERRUPTED
        others = tuple(Other(text, faults) for text, faults in self._others.items())
        return Shrunk(self._wanted, self.best, before, self.runs, reason, again, others)

    def _begin(self) -> None:
        """Make the failure once, and find where each fault is if every call of a name counts."""
        made: list[PlanDecider] = []

        def decides(scenario: Scenario, seed: int) -> RulesDecider:
            made.append(PlanDecider(self._plan, scenario, seed))
            return made[-1]

        result = self._run(self.best, decides)
        self._wanted = fingerprint(result)
        if not self._wanted or result.error or not result.fired:
            raise NotReproduced(result, self._wanted)
        where = made[-1].where
        self.best = tuple(
            replace(fault, site=where[fault.site]) for fault in self.best if fault.site in where
        )
        self._plan = Plan(self.best)
        self._cache[self._key(self.best)] = True
        if not result.timed_out:
            longest = max(2.0, 10 * result.seconds)
            self._job = replace(self._job, timeout=min(self._job.timeout, longest))

    @staticmethod
    def _key(faults: Faults) -> tuple[str, ...]:
        return tuple(fault.text() for fault in faults)

    def consider(self, faults: Faults) -> bool:
        """Return whether these faults make the same failure; then they are the best so far."""
        key = self._key(faults)
        if key not in self._cache:
            found = self._trial(faults)
            self._cache[key] = found == self._wanted
            if found and found != self._wanted:
                known = self._others.get(found)
                if known is None or len(faults) < len(known):
                    self._others[found] = faults
        if self._cache[key]:
            self.best = faults
        return self._cache[key]

    def _trial(self, faults: Faults) -> str:
        if self.runs >= self._most:
            raise _Enough
        plan = self._plan.keeping(faults)
        result = self._run(faults, lambda scenario, seed: PlanDecider(plan, scenario, seed))
        return fingerprint(result)

    def _run(self, faults: Faults, decides: Callable[[Scenario, int], RulesDecider]) -> Result:
        self.runs += 1
        job = replace(self._job, rules=self._key(faults), number=self.runs)
        result = self._carry(job, decides, None, self._bench)
        self._tell(Progress(self.runs, len(self.best), self._doing))
        return result

    # -- fewer -------------------------------------------------------------------------

    def _delete(self) -> None:
        """Leave out what can be, from the end, in steps that grow while they succeed.

        What failed last is most often made by what was injected last. One that matters among
        n is found in a number of trials that grows as log n.
        """
        self._doing = "fewer"
        while True:
            faults = before = self.best
            if len(faults) > 1 and self.consider(faults[-1:]):
                return
            end = len(faults)
            while end > 0:
                gone = find_integer(partial(self._without, faults, end))
                faults = faults[: end - gone] + faults[end:]
                end -= gone + 1
            if faults == before:
                return

    def _without(self, faults: Faults, end: int, number: int) -> bool:
        return number <= end and self.consider(faults[: end - number] + faults[end:])

    # -- simpler -----------------------------------------------------------------------

    def _simplify(self) -> None:
        self._doing = "simpler"
        for place in range(len(self.best)):
            again = True
            while again:
                again = False
                for exact in simpler(self.best[place]):
                    faults = list(self.best)
                    faults[place] = replace(faults[place], exact=exact)
                    if self.consider(tuple(faults)):
                        again = True
                        break


def find_integer(holds: Callable[[int], bool]) -> int:
    """Return a number for which `holds` and for the next of which it does not; 0 holds.

    In about 2 log n trials, and in few where it is small.
    """
    for number in range(1, _LINEAR + 1):
        if not holds(number):
            return number - 1
    low, high = _LINEAR, 2 * _LINEAR
    while holds(high):
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def simpler(fault: Planned) -> Iterator[str]:
    """Yield what may be injected instead, simplest first: each is less than the fault is."""
    rule = parse_rule(fault.text())[0]
    told = rule.fault

    def said(changed: Fault) -> str:
        return fault_text(replace(rule, fault=changed))

    bare = Fault(outcome=told.outcome, call=told.call)
    parts = [
        replace(
            told,
            call="skip" if key == "outcome" else told.call,
            **{key: getattr(Fault(), key)},
        )
        for key in ("delay", "delay_exit", "signal", "freeze", "poke", "kill", "outcome")
        if getattr(told, key) != getattr(Fault(), key)
    ]
    if told.outcome is not None and bare != told:
        yield said(bare)
    for part in parts:
        if part != Fault() and part != bare:
            yield said(part)
    if isinstance(told.outcome, Corrupt) and told.outcome.how != "zero":
        yield said(replace(told, outcome=Corrupt("zero")))
    if isinstance(told.outcome, Fail) and told.call == "run" and rule.match.syscalls != {"close"}:
        yield said(replace(told, call="skip"))
    if told.kill is not None and told.outcome is None:
        failing = Fault(outcome=Fail((("EIO", 1.0),)))
        yield said(failing)
    if told.delay is not None:
        for length in _DELAYS:
            if length < told.delay.low:
                yield said(replace(told, delay=Delay("fixed", length)))
