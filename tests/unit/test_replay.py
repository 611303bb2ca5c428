"""What a replay shows, by what two journals say."""

from __future__ import annotations

from typing import Any

import pytest

from injector.campaigns.replay import Recorded, Verdict, ending_of, judge
from injector.rules.plan import Plan, PlanDecider

HEADER = {"event": "header", "command": ["/bin/sh"]}
LEFT = [HEADER, {"event": "injection", "t": 0.1}]
CHILDREN = {"child": (2, "SIGSEGV"), "other": (3, "SIGABRT")}


def died(process: str) -> dict[str, Any]:
    pid, signal = CHILDREN[process]
    return {
        "event": "task_end",
        "task": f"0.{pid}",
        "pid": pid,
        "tid": pid,
        "exit": None,
        "signal": signal,
        "process": process,
    }


def started(tid: int) -> dict[str, Any]:
    return {"event": "task_start", "task": "0" if tid == 1 else f"0.t{tid}", "pid": 1, "tid": tid}


def ended(status: int, tid: int = 1) -> dict[str, Any]:
    return {**started(tid), "event": "task_end", "exit": status, "signal": None, "process": "sh"}


def footer(status: int, outcome: str = "exit") -> dict[str, Any]:
    return {"event": "footer", "t": 1.0, "outcome": outcome, "status": status, "signal": None}


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        # It breaks off behind a crash.
        ([died("child")], [died("child"), footer(1)], Verdict.REPRODUCED),
        ([died("child")], [died("other"), died("child"), footer(1)], Verdict.REPRODUCED),
        ([died("child")], [died("other"), footer(1)], Verdict.OTHERWISE),
        ([died("child")], [footer(0, "timeout")], Verdict.OTHERWISE),
        ([died("child")], [footer(1)], Verdict.FIXED),
        ([died("child")], [footer(0)], Verdict.FIXED),
        # It breaks off, and tells of no failure.
        ([], [footer(1)], Verdict.UNKNOWN),
        ([], [died("child"), footer(1)], Verdict.UNKNOWN),
        ([], [footer(0)], Verdict.UNKNOWN),
        ([started(1), ended(0)], [footer(0)], Verdict.UNKNOWN),
        ([started(1), started(9), ended(1)], [footer(1)], Verdict.UNKNOWN),  # a thread goes on
        # It breaks off behind the first process's end.
        ([started(1), ended(4)], [footer(4)], Verdict.REPRODUCED),
        ([started(1), ended(4)], [footer(5)], Verdict.OTHERWISE),
        ([started(1), ended(4)], [died("other"), footer(4)], Verdict.OTHERWISE),
        ([started(1), ended(4)], [footer(0)], Verdict.FIXED),
        # It is whole.
        ([died("child"), footer(1)], [died("child"), footer(1)], Verdict.REPRODUCED),
        ([died("child"), footer(1)], [died("other"), footer(1)], Verdict.OTHERWISE),
        ([died("child"), footer(1)], [footer(1)], Verdict.FIXED),
        ([footer(1)], [footer(2)], Verdict.OTHERWISE),
        ([footer(1)], [footer(0)], Verdict.FIXED),
        ([footer(0)], [footer(1)], Verdict.OTHERWISE),
    ],
)
def test_verdicts(
    before: list[dict[str, Any]], now: list[dict[str, Any]], verdict: Verdict
) -> None:
    events = [*LEFT, *before]
    torn = events[-1]["event"] != "footer"
    plan = Plan(())
    original = Recorded(("/bin/sh",), "/", 1, "notify", plan, ending_of(events), torn)
    replayed = judge(original, PlanDecider(plan, plan.scenario()), [HEADER, *now])
    assert replayed.verdict is verdict
