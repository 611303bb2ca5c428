"""What is known of a session: a fold of its snapshots, events and our time.

No clock, no input or output; what is shown of it is the panes' business. Fields that a session
does not tell are taken as empty: it may be of another version.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

WINDOW = 60  # seconds of a sparkline
_RECENT = 10  # seconds that say which calls are the hottest
_KEPT = 5000  # injections to scroll back to


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule as a snapshot tells it."""

    name: str
    text: str
    enabled: bool
    next: bool  # fires at its next match
    probability: float
    limit: int | None
    error: str | None
    seen: int
    matched: int
    due: int
    fired: int
    expected: float
    last: float | None
    misses: Mapping[str, int]
    examples: Mapping[str, str]
    preempted: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A thread or process of the target."""

    task: str
    pid: int
    tid: int
    process: str
    thread: str
    calls: int
    faults: int
    ended: bool


@dataclass(frozen=True, slots=True)
class CallRow:
    """A system call: how often since the start, how often in the last second."""

    name: str
    count: int
    rate: float


@dataclass(frozen=True, slots=True)
class Happened:
    """An injection, or something else that was done to the session (`rule` is empty then)."""

    number: int
    t: float
    task: str
    rule: str
    call: str
    fault: str
    event: Mapping[str, Any]

    def has(self, text: str) -> bool:
        """Whether any column has the text, small and capital letters alike."""
        event = self.event
        whole = (
            self.task, self.rule, self.call, self.fault,
            *(str(event.get(key, "")) for key in ("process", "pid", "tid", "path", "result")),
        )  # fmt: skip
        return any(text.lower() in one.lower() for one in whole)


class Series:
    """What a count grew by in each of the last seconds; sampled when one comes by."""

    def __init__(self, count: int | None = None) -> None:
        """Begin at a count, or at the first sample."""
        self._seconds: deque[float] = deque([0.0] * WINDOW, WINDOW)
        self._count = count

    def sample(self, count: int, seconds: int) -> None:
        """Take the count after so many more seconds."""
        if self._count is None:
            self._count = count
            return
        if count < self._count:
            self._count = 0  # another of its name
        grown = (count - self._count) / seconds
        self._count = count
        self._seconds.extend([grown] * min(seconds, WINDOW))

    def seconds(self) -> list[float]:
        """Return the growth of each second, the last at the end."""
        return list(self._seconds)

    @property
    def rate(self) -> float:
        """Of the last second."""
        return self._seconds[-1]

    def recent(self) -> float:
        """Sum of the last seconds."""
        return sum(list(self._seconds)[-_RECENT:])

    def still(self) -> Series:
        """Return a copy."""
        one = copy.copy(self)
        one._seconds = self._seconds.copy()
        return one


class Model:
    """What is known of one session."""

    def __init__(self) -> None:
        self.told: Mapping[str, Any] = {}
        self.rules: tuple[RuleRow, ...] = ()
        self.tasks: tuple[TaskRow, ...] = ()
        self.calls: tuple[CallRow, ...] = ()
        self.happened: deque[Happened] = deque(maxlen=_KEPT)
        self.injections = 0  # of what happened; the rest a person did
        self.lost = ""
        self.silence = 0.0  # seconds we have waited for an answer, if that is long
        self.footer: Mapping[str, Any] | None = None
        self.saved = ""  # the rules in force at the end, as the text of a scenario
        self._number = 0
        self._t = 0.0
        self._second: int | None = None
        self._all_calls = Series()
        self._all_faults = Series()
        self._of_rule: dict[str, Series] = {}
        self._of_call: dict[str, Series] = {}

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.lost) or self.footer is not None

    @property
    def paused(self) -> bool:
        """Whether every call passes."""
        return bool(self.told.get("paused"))

    @property
    def t(self) -> float:
        """Seconds since the target's start, as far as we were told."""
        return self._t

    @property
    def faults(self) -> int:
        """All that were injected, by rules that are gone too."""
        return int(self.told.get("faults", sum(rule.fired for rule in self.rules)))

    @property
    def call_rate(self) -> float:
        """Calls that stopped, of all tasks, in the last second."""
        return 0.0 if self.over else self._all_calls.rate

    @property
    def fault_rate(self) -> float:
        """Injections in the last second."""
        return 0.0 if self.over else self._all_faults.rate

    @property
    def state(self) -> str:
        """How the session stands, in a word or a few."""
        if self.footer is not None:
            return outcome_words(self.footer)
        if self.lost:
            return self.lost
        if not self.told:
            return "connecting"
        if self.silence:
            return f"no answer for {self.silence:.0f} s"
        if self.paused:
            return "paused"
        return "attached" if self.told.get("attached") else "running"

    def trend(self, rule: str) -> list[float]:
        """Return what a rule fired in each of the last 60 seconds."""
        return self._of_rule[rule].seconds() if rule in self._of_rule else [0.0] * WINDOW

    def snapshot(self, told: Mapping[str, Any]) -> None:
        """Take the answer to `snapshot`."""
        self.told = told
        self._t = max(self._t, float(told.get("t", 0)))
        self.rules = tuple(_rule(row) for row in told.get("rules", ()))
        self.tasks = tuple(_task(row) for row in told.get("tasks", ()))
        self._sample(told.get("calls", {}))
        self._hottest(told.get("calls", {}))

    def _hottest(self, counts: Mapping[str, int]) -> None:
        series = {name: self._of_call.get(name) or Series() for name in counts}
        rows = [CallRow(name, count, series[name].rate) for name, count in counts.items()]
        rows.sort(key=lambda row: (-series[row.name].recent(), -row.count, row.name))
        self.calls = tuple(rows)

    def _totals(self, told: Mapping[str, Any]) -> None:
        """Take the last counts: what came after the last snapshot, and tasks that were brief."""
        self.saved = str(told.get("saved", ""))
        self.told = {**self.told, **told}
        self._hottest(told.get("calls", {}))
        last = {row.task: row for row in map(_task, told.get("tasks", ()))}
        rows = [
            replace(last.pop(row.task), thread=row.thread) if row.task in last else row
            for row in self.tasks
        ]
        rows += last.values()
        self.tasks = tuple(sorted(rows, key=lambda row: -row.faults))

    def _sample(self, counts: Mapping[str, int]) -> None:
        second = int(self._t)
        # Whoever begins to watch later did not see when those before were made.
        met = self._second is None and self._t >= 1
        for rule in self.rules:
            if rule.name not in self._of_rule:
                self._of_rule[rule.name] = Series(rule.fired if met else 0)
        for name, count in counts.items():
            if name not in self._of_call:
                self._of_call[name] = Series(count if met else 0)
        passed = 1 if self._second is None else second - self._second
        if passed <= 0:
            return
        if self._second is None and not met:
            self._all_calls, self._all_faults = Series(0), Series(0)
        self._second = second
        self._all_calls.sample(sum(counts.values()), passed)
        self._all_faults.sample(self.faults, passed)
        for name, count in counts.items():
            self._of_call[name].sample(count, passed)
        gone = self._of_rule.keys() - {rule.name for rule in self.rules}
        for name in gone:
            del self._of_rule[name]
        for rule in self.rules:
            self._of_rule[rule.name].sample(rule.fired, passed)

    def presume(self, rule: str, *, removed: bool = False, **fields: Any) -> None:
        """Take it that a command does what it should: to a rule, or ("") to the session."""
        if not rule:
            self.told = {**self.told, **fields}
        if removed:
            self.rules = tuple(one for one in self.rules if one.name != rule)
            return
        self.rules = tuple(
            replace(one, **fields) if rule and one.name == rule else one for one in self.rules
        )

    def event(self, event: Mapping[str, Any]) -> None:
        """Take an event of the session."""
        t = float(event.get("t", self._t))
        self._t = max(self._t, t)
        match event.get("event"):
            case "injection":
                self._happened(
                    t,
                    str(event.get("site", "")).rpartition("/")[0],
                    str(event.get("rule", "")),
                    f"{event.get('syscall', '')}({event.get('args', '')})",
                    str(event.get("fault", "")),
                    event,
                )
            case "control":
                what = f"{event.get('what', '')} {event.get('detail', '')}".strip()
                self._happened(t, "", "", what, "", event)
            case "totals":
                self._totals({key: told for key, told in event.items() if key != "event"})
            case "footer":
                self.footer = event
                self.rules = _last_counts(self.rules, event.get("rules", ()))
                fired = sum(rule.fired for rule in self.rules)
                self.told = {**self.told, "faults": max(self.faults, fired)}

    def _happened(self, t: float, task: str, rule: str, call: str, fault: str, event: Any) -> None:
        self._number += 1
        if len(self.happened) == self.happened.maxlen:
            self.injections -= bool(self.happened[0].rule)
        self.injections += bool(rule)
        self.happened.append(Happened(self._number, t, task, rule, call, fault, event))

    def forget(self) -> None:
        """Forget what happened: it will be told again."""
        self.happened.clear()
        self.injections = 0

    def recent(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take the injections of before we watched."""
        for event in events:
            self.event(event)

    def ended(self) -> None:
        """Take it that the connection is over."""
        if self.footer is None:
            self.lost = (
                "the session was killed" if self.told else "the session ended before it answered"
            )

    def still(self) -> Model:
        """Return a copy that stays as it is."""
        one = copy.copy(self)
        one.happened = self.happened.copy()
        one._all_calls, one._all_faults = self._all_calls.still(), self._all_faults.still()
        one._of_rule = {name: series.still() for name, series in self._of_rule.items()}
        one._of_call = dict(self._of_call)  # the rows have what is shown of them
        return one


def _rule(row: Mapping[str, Any]) -> RuleRow:
    return RuleRow(
        name=str(row.get("rule", "")),
        text=str(row.get("text", "")),
        enabled=bool(row.get("enabled", True)),
        next=bool(row.get("next", False)),
        probability=float(row.get("probability", 1.0)),
        limit=row.get("limit"),
        error=row.get("error"),
        seen=int(row.get("seen", 0)),
        matched=int(row.get("matched", 0)),
        due=int(row.get("due", 0)),
        fired=int(row.get("fired", 0)),
        expected=float(row.get("expected", 0.0)),
        last=row.get("last"),
        misses=dict(row.get("misses", {})),
        examples=dict(row.get("examples", {})),
        preempted=dict(row.get("preempted", {})),
    )


def _task(row: Mapping[str, Any]) -> TaskRow:
    return TaskRow(
        str(row.get("task", "")),
        int(row.get("pid", 0)),
        int(row.get("tid", 0)),
        str(row.get("process", "")),
        str(row.get("thread", "")),
        int(row.get("calls", 0)),
        int(row.get("faults", 0)),
        bool(row.get("ended", False)),
    )


def _last_counts(
    rules: tuple[RuleRow, ...], totals: Iterable[Mapping[str, Any]]
) -> tuple[RuleRow, ...]:
    """Return the rules with the counts of the footer, which come after any snapshot."""
    final = {str(one.get("rule")): one for one in totals}
    counted = ("seen", "matched", "due", "fired", "expected", "misses", "examples", "preempted")
    return tuple(
        replace(
            rule,
            **{key: final[rule.name][key] for key in counted if key in final[rule.name]},
        )
        if rule.name in final
        else rule
        for rule in rules
    )


def outcome_words(footer: Mapping[str, Any]) -> str:
    """Return how a session ended, by its footer."""
    match footer.get("outcome"):
        case "signal":
            return f"killed by {footer.get('signal')}"
        case "exit":
            return f"exit {footer.get('status')}" if footer.get("status") is not None else "ended"
        case "timeout":
            return "time was up"
        case outcome:
            return str(outcome)
