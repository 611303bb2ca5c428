"""The faults of one run by Site: what a journal has, as rules that inject them again. Pure.

Numbers of Sites count the calls that stopped. A rule with tests that the kernel makes has stopped
only some calls of a name, so a Plan also knows which would have stopped in that run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from injector.rules.decide import Order, RulesDecider
from injector.rules.scenario.oneline import parse_rule
from injector.rules.scenario.text import quote
from injector.rules.scenario.values import site as parse_site
from injector.rules.subscribe import subscriptions
from injector.words.call import Call, Who
from injector.words.model import Rule, Scenario, Site
from injector.words.subscription import Comparison, Op
from injector.words.syscalls import Arch, native

_NEAR = 5  # calls of a task that are kept for a look at the neighbourhood


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: where, what (`exact`, in one-line words), and the call it was made to."""

    site: Site
    exact: str
    rule: str = ""
    args: str = ""
    path: str = ""

    def text(self) -> str:
        """Return the rule that injects it, without a name."""
        return f"site={self.site}:{self.exact}"

    def made(self) -> Rule:
        """Return the rule that injects it; its name is the site's."""
        return parse_rule(f"{self.text()}:name={quote(str(self.site))}")[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of one run, in the order of its journal.

    `tests` are the kernel's tests of calls of that run: by name, on this architecture.
    """

    faults: tuple[Planned, ...] = ()
    tests: Mapping[str, tuple[Comparison, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]], always: Iterable[str] = ()) -> Plan:
        """Return the plan of a journal's events.

        Args:
            always: calls that its engine stops whatever the rules say.

        Raises:
            ScenarioError: the journal has a rule or a fault that is none.
        """
        faults: dict[Site, Planned] = {}
        tests: Mapping[str, tuple[Comparison, ...]] = {}
        for event in events:
            match event.get("event"):
                case "header":
                    texts = event["scenario"]["rules"]
                    rules = [rule for text in texts for rule in parse_rule(text)]
                    tests = kernel_tests(rules, {*always, *event.get("watch", ())})
                case "injection":
                    site = parse_site(event["site"])
                    faults[site] = Planned(
                        site, event["exact"], event["rule"], event["args"], event["path"]
                    )
        return cls(tuple(faults.values()), tests)

    def scenario(self, name: str = "") -> Scenario:
        """Return its rules: one for each fault, in order."""
        return Scenario(tuple(fault.made() for fault in self.faults), name=name)

    def keeping(self, faults: Iterable[Planned]) -> Plan:
        """Return the same plan with these faults only."""
        return replace(self, faults=tuple(faults))


def kernel_tests(rules: Iterable[Rule], always: Iterable[str]) -> dict[str, tuple[Comparison, ...]]:
    """Return by name which calls a run under these rules has stopped only some of, and which."""
    arch = native()
    found = subscriptions((rule.match for rule in rules), always, (arch,))[arch]
    return {arch.names[one.number]: one.comparisons for one in found if one.comparisons}


def holds(tests: Iterable[Comparison], args: tuple[int, ...]) -> bool:
    """Return whether the kernel finds all tests true of these arguments."""
    for test in tests:
        value = args[test.index]
        match test.op:
            case Op.EQ:
                true = value == test.value
            case Op.GE:
                true = value >= test.value
            case Op.LE:
                true = value <= test.value
            case Op.MASKED_EQ:
                true = value & test.mask == test.value
        if not true:
            return False
    return True


@dataclass(slots=True)
class Neighbourhood:
    """What one task did with one call: how often, and the last of them by number and path."""

    count: int = 0
    last: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=_NEAR))


class PlanDecider(RulesDecider):
    """Injects a plan's faults at their sites, and remembers what was there instead."""

    def __init__(self, plan: Plan, scenario: Scenario, seed: int = 0) -> None:
        """Decide by the rules of `plan.scenario()`."""
        super().__init__(scenario, seed)
        self._tests = plan.tests
        self._native: Arch = native()
        self._number = 0
        self.seen: dict[tuple[str, str], Neighbourhood] = {
            (fault.site.lineage, fault.site.syscall): Neighbourhood() for fault in plan.faults
        }
        self.tasks: set[str] = set()
        self.where: dict[Site, Site] = {}
        """For each fault that was injected: where it is if every call of the name counts."""

    def decide(self, call: Call) -> Order | None:
        """Return the planned fault of this call, None if there is none."""
        task = call.task
        near = self.seen.get((task.lineage, call.name))
        if near is None:
            return None
        tests = self._tests.get(call.name, ()) if call.arch is self._native else ()
        if not holds(tests, call.args):
            return None
        near.count += 1
        self._number = near.count
        near.last.append((near.count, next(iter(call.paths()), "")))
        order = super().decide(call)
        if order is not None and order.rule.match.site is not None:
            site = order.rule.match.site
            self.where[site] = replace(site, number=task.calls[call.name])
        return order

    def _place(self, call: Call) -> tuple[str, str, int]:
        return call.task.lineage, call.name, self._number

    def forget(self, task: Who) -> None:
        """Keep that there was such a task."""
        self.tasks.add(task.lineage)
        super().forget(task)
