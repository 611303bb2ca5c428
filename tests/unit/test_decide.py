"""The laws of the decision: keyed coins, counting for all, first due rule wins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.rules.decide import Order, RulesDecider, duration, pick
from injector.rules.scenario.oneline import parse_rules
from injector.words.call import Address
from injector.words.model import Delay, FdKind, Scenario
from injector.words.syscalls import X86_64, Arch


@dataclass
class FakeTask:
    lineage: str = "0"
    process_lineage: str = "0"
    lanes: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


@dataclass
class FakeCall:
    """A call with its facts given, for the pure floor."""

    name: str
    task: FakeTask
    args: tuple[int, ...] = (0,) * 6
    path: str = "/data/x"
    arch: Arch = X86_64
    by_loader: bool = False
    now: int = 0
    names: tuple[str, ...] = ("prog", "/usr/bin/prog", "prog -v")
    address: tuple[Address, ...] = ()

    def elapsed(self) -> int:
        return self.now

    def paths(self) -> tuple[str, ...]:
        return (self.path,)

    def process_names(self) -> tuple[str, ...]:
        return self.names

    def thread_name(self) -> str:
        return "worker"

    def fds(self) -> tuple[int, ...]:
        return (self.args[0],)

    def fd_kind(self, fd: int) -> FdKind | None:
        return FdKind.FILE

    def addresses(self) -> tuple[Address, ...]:
        return self.address


def decider(*texts: str, seed: int = 1) -> RulesDecider:
    return RulesDecider(Scenario(parse_rules(texts)), seed)


def run(decides: RulesDecider, calls: int, task: FakeTask, **facts: Any) -> list[Order | None]:
    return [decides.decide(FakeCall("write", task, **facts)) for _ in range(calls)]


def fired(orders: list[Order | None]) -> set[int]:
    return {n for n, order in enumerate(orders, 1) if order}


@given(st.integers(0, 2**32), st.integers(0, 100), st.integers(0, 100))
def test_raising_a_probability_only_adds_faults(seed: int, low: int, high: int) -> None:
    low, high = sorted((low, high))
    runs = [
        fired(run(decider(f"write:error=EIO:probability={p}%", seed=seed), 50, FakeTask()))
        for p in (low, high)
    ]
    assert runs[0] <= runs[1]
    assert low != 0 or not runs[0]
    assert high != 100 or len(runs[1]) == 50


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_interleaving_moves_nothing(order: list[str]) -> None:
    text = "write:error=EIO:probability=30%"
    mixed, tasks = decider(text), {name: FakeTask(name) for name in "abc"}
    got: dict[str, list[bool]] = {name: [] for name in "abc"}
    for name in order:
        got[name].append(mixed.decide(FakeCall("write", tasks[name])) is not None)
    for name in "abc":
        alone = run(decider(text), len(got[name]), FakeTask(name))
        assert got[name] == [one is not None for one in alone]


def test_another_rule_shifts_nothing() -> None:
    mine = "write:error=EIO:probability=20%:limit=3:name=mine"
    alone = fired(run(decider(mine), 100, FakeTask()))
    other = decider("write:error=ENOSPC:probability=50%:name=other", mine)
    orders = run(other, 100, FakeTask())
    took = {n for n, order in enumerate(orders, 1) if order and order.errno == "EIO"}
    gone = {n for n, order in enumerate(orders, 1) if order and order.errno == "ENOSPC"}
    assert len(alone) == 3
    assert took == alone - gone


def test_when_counts_what_matches_only() -> None:
    decides = decider("write:path=/data/**:error=ENOSPC:when=2")
    task = FakeTask()
    paths = ["/data/a", "/tmp/b", "/data/c", "/data/d"]
    got = [decides.decide(FakeCall("write", task, path=path)) for path in paths]
    assert [order.errno if order else None for order in got] == [None, None, "ENOSPC", None]
    totals = next(iter(decides.totals()))
    assert (totals.seen, totals.matched, totals.due, totals.fired) == (4, 3, 1, 1)
    assert totals.misses == {"path": 1}


@pytest.mark.parametrize(("per", "wanted"), [("task", 2), ("process", 1), ("run", 1)])
def test_per_widens_the_count(per: str, wanted: int) -> None:
    decides = decider(f"write:error=EIO:when=1:per={per}")
    tasks = [FakeTask("0", "0"), FakeTask("0.1", "0")]
    got = [decides.decide(FakeCall("write", task)) for task in tasks for _ in range(3)]
    assert sum(order is not None for order in got) == wanted


def test_window_limit_and_loader() -> None:
    decides = decider("write:error=EIO:after=1s:until=2s:limit=1")
    task = FakeTask()
    second = 1_000_000_000
    got = [decides.decide(FakeCall("write", task, now=t * second // 2)) for t in range(6)]
    assert fired(got) == {3}
    shield = decider("write:error=EIO")
    task = FakeTask()
    assert shield.decide(FakeCall("write", task, by_loader=True)) is None
    assert shield.decide(FakeCall("write", task)) is not None


def test_args_are_read_in_their_width_and_sign() -> None:
    decides = decider("openat:args.flags=O_CREAT:error=EACCES")
    task = FakeTask()
    for flags, wanted in ((0o100, True), (0o101, True), (0o1, False)):
        call = FakeCall("openat", task, args=(0xFFFFFF9C, 0, flags, 0, 0, 0))
        assert (decides.decide(call) is not None) is wanted
    big = decider('write:args.count=">4096":error=EIO')
    assert big.decide(FakeCall("write", FakeTask(), args=(1, 0, 5000, 0, 0, 0))) is not None
    assert big.decide(FakeCall("write", FakeTask(), args=(1, 0, 4096, 0, 0, 0))) is None


def test_address() -> None:
    decides = decider("connect:address=10.0.0.0/8:5432:error=ECONNREFUSED")
    task = FakeTask()
    for host, port, wanted in (
        ("10.1.2.3", 5432, True),
        ("10.1.2.3", 1, False),
        ("11.1.1.1", 5432, False),
    ):
        call = FakeCall("connect", task, address=(Address(host, port),))
        assert (decides.decide(call) is not None) is wanted
    mapped = FakeCall("connect", task, address=(Address("::ffff:10.0.0.1", 5432),))
    assert decides.decide(mapped) is not None


def test_weights_follow_their_sum() -> None:
    weights = (("ENOSPC", 9.0), ("EDQUOT", 1.0))
    assert pick(weights, 0.0) == pick(weights, 0.899) == "ENOSPC"
    assert pick(weights, 0.901) == pick(weights, 0.9999999) == "EDQUOT"


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_delays_stay_in_bounds(at: float, other: float) -> None:
    assert 10 <= duration(Delay("uniform", 10, 50), at, other) <= 50
    assert duration(Delay("normal", 10, 50), at, other) >= 0
    assert duration(Delay("exponential", 1000), at, other) >= 0


def test_a_task_that_is_gone_keeps_its_totals() -> None:
    decides = decider("write:error=EIO:when=1")
    task = FakeTask()
    run(decides, 3, task)
    decides.forget(task)
    assert not decides.states[0].lanes
    totals = next(iter(decides.totals()))
    assert (totals.seen, totals.fired) == (3, 1)


@pytest.mark.parametrize(
    ("process", "wanted"),
    [
        ("python* *app.py*", True),
        ("python* *other.py*", False),
        ("/usr/bin/*", True),
        ("/usr/*", False),
        ("!*app.py*", False),
        ("python*,!*--quiet*", True),
    ],
)
def test_a_process_is_known_by_its_command_line(process: str, wanted: bool) -> None:
    names = ("python3", "/usr/bin/python3.11", "/usr/bin/python3 /srv/app.py --data=/var/lib")
    call = FakeCall("write", FakeTask(), names=names)
    rules = decider(f"write:process={process}:error=EIO")
    assert (rules.decide(call) is not None) is wanted


def test_what_an_earlier_rule_took_is_counted_and_not_expected() -> None:
    decides = decider(
        "write:error=EIO:when=2..5:name=first",
        "write:error=ENOSPC:probability=50%:name=second",
        "write:error=EDQUOT:name=third",
    )
    orders = run(decides, 20, FakeTask())
    took = [order.rule.name for order in orders if order]
    first, second, third = decides.totals()
    assert (first.preempted, first.expected) == ({}, 4)
    assert (second.due, second.preempted, second.expected) == (20, {"first": 4}, 8)
    taken = {"first": 4, "second": took.count("second")}
    assert (third.due, third.preempted) == (20, taken)
    assert third.expected == third.fired == took.count("third") == 20 - sum(taken.values())


def test_what_was_asked_to_fire_waits_until_no_earlier_rule_takes_the_call() -> None:
    decides = decider("write:error=EIO:when=1..3:name=first", "write:error=EPERM:when=90:name=one")
    decides.fire(decides.states[1])
    orders = run(decides, 6, FakeTask())
    assert [order and order.rule.name for order in orders] == [*["first"] * 3, "one", None, None]
    assert not decides.states[1].once


def test_what_was_expected_stays_when_the_probability_changes() -> None:
    decides = decider("read:error=EIO:probability=50%:name=one")
    task = FakeTask()
    for _ in range(10):
        decides.decide(FakeCall("read", task))
    state = decides.states[0]
    decides.change(state, replace(state.rule, probability=0.1))
    for _ in range(20):
        decides.decide(FakeCall("read", task))
    assert next(iter(decides.totals())).expected == pytest.approx(5 + 2)
