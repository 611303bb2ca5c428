"""Kinds, representatives and plausible faults: what a sweep tries, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.campaigns.executors import shard_of
from injector.campaigns.plausible import ALWAYS, CALLS, SHORT, modes, usual
from injector.campaigns.points import (
    Point,
    faults_of,
    identity,
    kind_of,
    representatives,
    spread,
    watched,
)
from injector.campaigns.store import PointRow
from injector.linux.unwind import Frame
from injector.rules.scenario.oneline import parse_rule, parse_rules
from injector.words.model import Scenario
from injector.words.syscalls import NEVER, X86_64, errnos_of


def point(number: int, kind: str = "k", faults: tuple[str, ...] = ("error=EIO",)) -> Point:
    return Point(PointRow(f"0/write#{number}", "write", "", "", (), kind), faults)


def test_each_fault_is_one_that_the_manual_lists() -> None:
    for call, errors in ALWAYS.items():
        listed = errnos_of(call)
        assert set(errors) <= set(listed) or not listed, call
    assert not CALLS & NEVER.keys()
    assert "write" in CALLS and "futex" not in CALLS


@pytest.mark.parametrize("call", sorted(CALLS & X86_64.numbers.keys()))
def test_each_usual_fault_makes_a_rule(call: str) -> None:
    for fault in usual(call):
        (rule,) = parse_rule(f"site=0/{call}#1:{fault}")
        assert rule.match.syscalls == {call}
    assert ("short=1" in usual(call)) == (call in SHORT)


def test_what_goes_on_for_ever_is_tried_once() -> None:
    assert modes("write", "error=ENOSPC") == ("once", "persistent")
    assert modes("read", "error=EINTR") == modes("read", "short=1") == ("once",)
    assert modes("read", "error=EAGAIN") == ("once",)
    assert modes("clone", "error=EAGAIN") == ("once", "persistent")
    assert modes("read", "short=50%") == ("persistent",)


def test_a_stack_is_the_same_wherever_it_is_loaded() -> None:
    inner, outer = Frame("f", 4, "/lib/a.so", 0x1004), Frame("g", 9, "/bin/b", 0x2009)
    jitted = Frame("", 0, "", 0x7F00_1234_5678), Frame("", 0, "", 0x7F00_8765_4321)
    assert identity((inner, outer)) == ["/lib/a.so+0x1004", "/bin/b+0x2009"]
    assert identity((inner, inner, inner, outer)) == identity((inner, outer))
    assert identity((inner, jitted[0])) == identity((inner, jitted[1], jitted[0]))
    assert kind_of("read", "a") != kind_of("write", "a") != kind_of("write", "b")
    assert kind_of("read", "/\udcff") == kind_of("read", "/\udcff")


def test_the_faults_of_a_scenario_are_tried_one_by_one() -> None:
    (rule,) = parse_rules(["write:error=EIO@2,ENOSPC@1:call=run"])
    assert faults_of(rule) == ("error=EIO:call=run", "error=ENOSPC:call=run")
    (rule,) = parse_rules(["read,write:short=50%"])
    assert faults_of(rule) == ("short=50%",)
    (rule,) = parse_rules(["openat:delay=20ms:kill=after"])
    assert faults_of(rule) == ("delay=20ms:kill=after",)
    assert watched(Scenario((rule,))) == {"openat"}
    assert watched(None) == CALLS


def test_representatives_are_of_a_kind_and_a_fault() -> None:
    points = [point(1), point(2), point(3, "k", ("error=EIO", "error=EINTR")), point(4, "other")]
    assert {
        key: [one.row.site for one in group] for key, group in (representatives(points, 1).items())
    } == {
        ("k", "error=EIO"): ["0/write#1"],
        ("k", "error=EINTR"): ["0/write#3"],
        ("other", "error=EIO"): ["0/write#4"],
    }
    assert sum(map(len, representatives(points, None).values())) == 5


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 20))
def test_some_of_many_are_spread_over_them(count: int, most: int) -> None:
    points = [point(number) for number in range(count)]
    chosen = spread(points, most)
    assert len(chosen) == min(count, most)
    assert chosen[0] is points[0]
    assert chosen == sorted(chosen, key=points.index)
    assert len({one.row.site for one in chosen}) == len(chosen)
    if most > 1:
        assert chosen[-1] is points[-1]


@settings(deadline=None)
@given(st.text(), st.integers(1, 50))
def test_a_run_is_of_one_shard(key: str, count: int) -> None:
    assert 1 <= shard_of(key, count) <= count
    assert shard_of(key, count) == shard_of(key, count)


def test_shards_are_about_alike() -> None:
    parts = [shard_of(f"once 0/write#{n} error=EIO", 4) for n in range(1000)]
    assert all(200 < parts.count(part) < 300 for part in (1, 2, 3, 4))
