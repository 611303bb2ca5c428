"""What the summary of a run says."""

from __future__ import annotations

from typing import Any

import pytest

from injector.faces.cli.printer import nearest_miss, rule_table
from injector.rules.decide import Totals
from injector.rules.scenario.oneline import parse_rules


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
