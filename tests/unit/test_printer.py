"""What the summary of a run says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from injector.faces.cli.printer import (
    attached_line,
    left_line,
    nearest_miss,
    rule_table,
    unfired_lines,
    warning_lines,
)
from injector.rules.decide import Totals
from injector.rules.scenario.oneline import parse_rules
from injector.session.session import Ended
from injector.words.model import Warning


def totals(text: str = "write:error=EIO", **facts: Any) -> Totals:
    """Return the totals of a rule of which only these facts are not 0 or empty."""
    counts: dict[str, Any] = {"seen": 0, "matched": 0, "due": 0, "fired": 0, "expected": 0.0}
    words: dict[str, Any] = {"misses": {}, "examples": {}, "preempted": {}}
    return Totals(parse_rules([text])[0], **{**counts, **words, **facts})


@pytest.mark.parametrize(
    ("text", "preempted", "said"),
    [
        ("write:error=EIO", {"a": 7}, "due 7 times, but a fired first, 7 times"),
        (
            "write:error=EIO",
            {"a": 1, "b": 6},
            "due 7 times, but a fired first, once, b fired first, 6 times",
        ),
        (
            "write:error=EIO:probability=1%",
            {"a": 3},
            "due 7 times, but a fired first, 3 times; 4 times left, "
            "and the coin of 1% never fell so",
        ),
        (
            "write:error=EIO:probability=1%",
            {},
            "due 7 times, and the coin of 1% never fell so",
        ),
    ],
)
def test_a_due_rule_that_never_fired(text: str, preempted: dict[str, int], said: str) -> None:
    one = totals(text, seen=7, matched=7, due=7, preempted=preempted)
    assert nearest_miss(one) == said


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        (0.0, "0"),
        (1e-7, "<0.0001"),
        (0.0001, "0.0001"),
        (0.07, "0.07"),
        (1.0, "1"),
        (33.333333, "33.33"),
        (999.96, "1000"),
        (462_700.25, "462700"),
        (4e9, "4000000000"),
    ],
)
def test_expected_is_in_plain_digits(expected: float, shown: str) -> None:
    assert rule_table([totals(seen=1, expected=expected)])[1].split()[-1] == shown


def of_set(count: int) -> list[Totals]:
    """Return the totals of so many rules of one expression, of which one saw calls."""
    rules = parse_rules(["inject=%file:error=ENOENT:when=9"])[:count]
    unseen = [replace(totals(), rule=one) for one in rules]
    return [unseen[0], replace(unseen[1], seen=3, misses={"during": 3}), *unseen[2:]]


def test_many_rules_without_a_call_share_a_row_and_a_line() -> None:
    few, many = of_set(11), of_set(12)
    assert len(rule_table(few)) == 12
    assert len(unfired_lines(few)) == 11
    head, row, rest = rule_table(many)
    assert head.split()[0] == "rule"
    assert row.split()[:2] == [many[1].rule.name, "3"]
    assert rest == "  11 more rules of inject=%file:error=ENOENT:when=9 saw no call"
    one, others = unfired_lines(many)
    assert one.startswith(f"inject: {many[1].rule.name} never fired: ")
    assert others == "inject: 11 more rules of inject=%file:error=ENOENT:when=9 saw no call"
    assert rule_table([one for one in many if not one.seen])[1:] == [
        "  11 rules of inject=%file:error=ENOENT:when=9 saw no call"
    ]


def test_rules_that_fired_are_in_no_line() -> None:
    assert unfired_lines([totals(seen=1, matched=1, due=1, fired=1)]) == []
    assert unfired_lines([totals()]) == ["inject: rule-1 never fired: write never seen"]


def test_many_warnings_are_cut_short_and_hints_left_to_the_check() -> None:
    some = [Warning(f"no. {n}", "rule-1") for n in range(10)]
    hint = Warning("only a hint", "rule-1", hint=True)
    lines = warning_lines([hint, *some])
    assert lines == [f"inject: warning: rule-1: no. {n}" for n in range(10)]
    more = warning_lines([*some, hint, some[0], some[1]])
    assert more == [*lines, "inject: 2 more warnings: inject check shows them"]


def test_one_and_several_that_we_are_attached_to() -> None:
    assert attached_line([1], ["a"], [1], None).endswith("a (1, 1 thread); Ctrl-C lets it go")
    assert attached_line([1, 2], ["a", "b"], [1, 3], None).endswith("; Ctrl-C lets them go")
    ended = Ended(None, False, 2.0, True)
    assert left_line([1], ["a"], ended).endswith("; it runs on")
    assert left_line([1, 2], ["a", "b"], ended).endswith("; they run on")
