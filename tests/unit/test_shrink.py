"""The search for the faults that matter, over runs that only a function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.campaigns.shrink import (
    NotReproduced,
    Progress,
    Reason,
    Shrinker,
    Shrunk,
    find_integer,
    fingerprint,
    simpler,
)
from injector.campaigns.trial import Bench, Crash, Fired, Job, Output, Result, Step
from injector.rules.decide import RulesDecider
from injector.rules.plan import Plan, PlanDecider, Planned
from injector.rules.scenario.oneline import parse_rules
from injector.rules.scenario.values import site
from injector.words.model import Scenario

FIRED = Fired("0/read#1", "", "read", "", "", "", "error=EIO", "")
CRASHED = {"status": None, "signal": "SIGABRT", "crashes": (Crash("0", "prog", "SIGABRT"),)}


def planned(number: int, exact: str = "error=EIO") -> Planned:
    return Planned(site(f"0/read#{number}"), exact)


def search(
    faults: list[Planned], ends: Callable[[dict[int, str]], dict[str, Any]], **options: Any
) -> tuple[Shrunk, list[dict[int, str]]]:
    """Shrink; `ends` says by the faults, number and what, how a run ends."""
    trials: list[dict[int, str]] = []

    def carry(
        job: Job, decides: Callable[[Scenario, int], RulesDecider], look: None, bench: Bench
    ) -> Result:
        decider = decides(Scenario(parse_rules(job.rules)), job.seed)
        assert isinstance(decider, PlanDecider)
        decider.where.update({one.site: one.site for one in faults})
        found = {}
        for text in job.rules:
            where, _, exact = text.partition(":")
            found[int(where.partition("#")[2])] = exact
        trials.append(found)
        return Result(**{"status": 0, "injections": (FIRED,) * bool(found), **ends(found)})

    plan = Plan(tuple(faults))
    return Shrinker(Job(("prog",)), plan, carry=carry, **options).shrink(), trials


def numbers(found: Shrunk) -> set[int]:
    return {fault.site.number for fault in found.faults}


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 500), st.data())
def test_one_that_matters_is_found_in_log_many_runs(count: int, data: st.DataObject) -> None:
    matters = data.draw(st.integers(1, count))
    faults = [planned(number) for number in range(1, count + 1)]
    found, trials = search(faults, lambda these: CRASHED if matters in these else {})
    assert numbers(found) == {matters}
    assert found.reason is Reason.MINIMAL
    assert found.again
    assert found.runs == len(trials) <= 20 + 4 * count.bit_length()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 200), st.data())
def test_any_few_that_matter_together(count: int, data: st.DataObject) -> None:
    matter = data.draw(st.sets(st.integers(1, count), min_size=1, max_size=4))
    faults = [planned(number) for number in range(1, count + 1)]
    found, trials = search(faults, lambda these: CRASHED if matter <= these.keys() else {})
    assert numbers(found) == matter
    # Every trial but the last, which makes sure, is another one.
    texts = [tuple(sorted(one.items())) for one in trials[:-1]]
    assert len(set(texts)) == len(texts)


def test_none_matters() -> None:
    found, trials = search([planned(n) for n in range(1, 9)], lambda _: CRASHED)
    assert found.faults == ()
    assert len(trials) == 2


def test_another_failure_is_kept_and_not_followed() -> None:
    def ends(these: dict[int, str]) -> dict[str, Any]:
        if 3 in these and 7 in these:
            return CRASHED
        return {"timed_out": True} if 3 in these else {}

    found, _ = search([planned(n) for n in range(1, 10)], ends)
    assert numbers(found) == {3, 7}
    assert found.fingerprint == "crash SIGABRT prog"
    ((other, faults),) = [(one.fingerprint, one.faults) for one in found.others]
    assert other == "hang"
    assert 3 in {fault.site.number for fault in faults}
    assert 7 not in {fault.site.number for fault in faults}


def test_nothing_to_shrink() -> None:
    with pytest.raises(NotReproduced):
        search([planned(1)], lambda _: {"error": "cannot"})


def test_the_runs_that_are_allowed() -> None:
    told: list[Progress] = []
    found, trials = search(
        [planned(n) for n in range(1, 1000)],
        lambda these: CRASHED if {1, 500} <= these.keys() else {},
        runs=5,
        tell=told.append,
    )
    assert found.reason is Reason.RUNS
    assert len(trials) == found.runs == 5
    assert [one.runs for one in told] == [1, 2, 3, 4, 5]
    assert {1, 500} <= numbers(found)
    assert len(found.faults) < 999


def test_an_interrupt_keeps_the_best() -> None:
    def ends(these: dict[int, str]) -> dict[str, Any]:
        if len(these) == 1:
            raise KeyboardInterrupt
        return CRASHED if these else {}

    found, _ = search([planned(n) for n in range(1, 9)], ends)
    assert found.reason is Reason.INTERRUPTED
    assert found.faults


def test_a_failure_of_chance_is_said_to_be_one() -> None:
    count = 0

    def ends(these: dict[int, str]) -> dict[str, Any]:
        nonlocal count
        count += 1
        return CRASHED if count == 1 else {}

    found, _ = search([planned(1)], ends)
    assert not found.again


def test_simpler_faults() -> None:
    exact = "error=EIO:delay=5s:signal=SIGCHLD"
    found, _ = search([planned(1, exact)], lambda these: CRASHED if these else {})
    assert [fault.exact for fault in found.faults] == ["error=EIO"]
    keeps = "delay=5s"
    found, _ = search(
        [planned(1, exact)],
        lambda these: CRASHED if these and keeps in these[1] else {},
    )
    assert [fault.exact for fault in found.faults] == ["delay=5s"]


@pytest.mark.parametrize(
    ("exact", "others"),
    [
        ("error=EIO", []),
        ("error=EIO:call=run", ["error=EIO"]),
        ("corrupt=random 0.25", ["corrupt=zero"]),
        ("corrupt=zero", []),
        ("kill=before", ["error=EIO"]),
        ("delay=50ms", ["delay=1ms", "delay=10ms"]),
        ("delay=1us", []),
        ("retval=7:freeze=true", ["retval=7", "freeze=true"]),
        ("short=1", []),
    ],
)
def test_what_is_simpler(exact: str, others: list[str]) -> None:
    assert list(simpler(planned(1, exact))) == others


@given(st.integers(0, 5000))
def test_find_integer(limit: int) -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= limit

    assert find_integer(holds) == limit
    assert len(asked) <= 5 + 2 * limit.bit_length()
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": 0}, ""),
        ({"status": 3}, "exit 3"),
        ({"signal": "SIGTERM"}, "signal SIGTERM"),
        ({"timed_out": True, "signal": "SIGKILL"}, "hang"),
        ({"status": 1, "check": Step(0)}, ""),
        ({"status": 0, "check": Step(4)}, "check"),
        ({"error": "no such command"}, "error no such command"),
        (
            {
                "status": 1,
                "stderr": Output(
                    tail='Traceback (most recent call last):\n  File "x", line 3, in f\n'
                    "OSError: [Errno 5] Input/output error"
                ),
            },
            "exit 1 exception OSError: [Errno N] Input/output error in f",
        ),
    ],
)
def test_fingerprints(fields: dict[str, Any], text: str) -> None:
    assert fingerprint(Result(**fields)) == text
