"""The oracle: what a run shows beside runs without faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from injector.campaigns.attempt import Attempted, Facts
from injector.campaigns.oracle import Baseline, judge
from injector.campaigns.trial import Crash, Fired, Output, Result, Step

FAULT = Fired("0/write#1", "rule-1", "write", "1", "/f", "error ENOSPC", "error=ENOSPC", "-1")
OUT, ERR = Output(3, "aaa", "ok\n"), Output(0, "", "")
USUAL = Attempted(
    Result(status=0, stdout=OUT, stderr=ERR, check=Step(0), calls={"write": 10}, seconds=0.1),
    Facts((), {"f": "1", "gone": "2"}, ("f",), ("f", "gone", "old"), (), ""),
)
BASELINE = Baseline.of([USUAL, USUAL], {"write": 10, "clone": 100})
ASAN = "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1 at pc 0x2\n    #0 0x3 in f"


def run(facts: dict[str, Any] | None = None, **fields: Any) -> Attempted:
    """Return a run under a fault that is as usual but for some fields."""
    fields = {"injections": (FAULT,), "calls": {"write": 11}, **fields}
    result = replace(USUAL.result, **fields)
    return Attempted(result, replace(USUAL.facts, **(facts or {})))


OTHER = Output(2, "bbb", "o")
LEAKED = ("work/f", "pipe")
CASES: list[tuple[str, Attempted, str, str]] = [
    ("nothing", run(), "unaffected", "unaffected"),
    ("not reached", Attempted(USUAL.result, USUAL.facts), "not reached", "not reached"),
    ("ours", run(error="no such command"), "error", "error"),
    ("status", run(status=1), "handled", "handled"),
    ("message", run(stderr=Output(1, "x", "!")), "handled", "handled"),
    ("other signal", run(status=None, signal="SIGPIPE"), "handled", "handled"),
    (
        "crash",
        run(status=None, signal="SIGSEGV", crashes=(Crash("0", "prog", "SIGSEGV"),)),
        "crash",
        "crash SIGSEGV prog",
    ),
    (
        "a child's crash",
        run(crashes=(Crash("0.1", "cc1", "SIGABRT"),)),
        "crash",
        "crash SIGABRT cc1",
    ),
    (
        "sanitizer",
        run(status=1, stderr=Output(9, "y", ASAN)),
        "crash",
        "crash AddressSanitizer heap-use-after-free in f",
    ),
    ("hang", run(timed_out=True, status=None, signal="SIGKILL"), "hang", "hang"),
    ("check", run(check=Step(1, "bad\n")), "check", "check"),
    ("check that hangs", run(check=Step(None)), "check", "check"),
    ("silent", run(stdout=OTHER), "silent", "silent stdout"),
    ("silent file", run({"files": {"f": "0", "gone": "2"}}), "silent", "silent files"),
    (
        "would have told",
        run(stdout=OTHER, injections=(FAULT, replace(FAULT, site="0/write#2", path="stderr"))),
        "handled",
        "handled",
    ),
    ("told", run(stdout=OTHER, stderr=Output(1, "x", "!")), "handled", "handled"),
    (
        "told on stdout",
        run(stdout=Output(9, "z", "cp: No space left on device\n")),
        "handled",
        "handled",
    ),
    ("failed", run(stdout=OTHER, status=1), "handled", "handled"),
    ("temporary file", run({"temporary": ("t1",)}, status=1), "leak", "leak temporary files"),
    ("file beside", run({"names": ("f", "f.new")}), "leak", "leak temporary files"),
    ("half of a result", run({"names": ("f", "f.new")}, status=1), "handled", "handled"),
    ("not removed", run({"names": ("f", "old")}), "handled", "handled"),
    ("descriptors", run({"descriptors": LEAKED}), "leak", "leak descriptors"),
    (
        "descriptors, given up",
        run({"descriptors": LEAKED}, status=1),
        "handled",
        "handled",
    ),
    ("processes", run(left=("sleep",)), "leak", "leak processes"),
]


@pytest.mark.parametrize(
    ("made", "verdict", "fingerprint"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_verdicts(made: Attempted, verdict: str, fingerprint: str) -> None:
    outcome = judge(made, BASELINE)
    assert (outcome.verdict, outcome.fingerprint) == (verdict, fingerprint)
    assert outcome.detail
    # The same from the file: a campaign that goes on judges as it began.
    again = judge(Attempted.from_json(made.as_json()), Baseline.from_json(BASELINE.as_json()))
    assert again == outcome


@pytest.mark.parametrize(
    ("calls", "timed_out", "verdict"),
    [(1000, False, "storm"), (999, False, "unaffected"), (5000, True, "storm")],
)
def test_a_storm_is_much_more_than_usual_and_much(
    calls: int, timed_out: bool, verdict: str
) -> None:
    made = run(timed_out=timed_out)
    made = replace(made, result=replace(made.result, calls={"write": calls}))
    assert judge(made, BASELINE).verdict == verdict
    busy = replace(FAULT, syscall="clone")
    usual = replace(made.result, injections=(busy,), calls={"clone": 1999}, timed_out=False)
    assert judge(replace(made, result=usual), BASELINE).verdict == "unaffected"


def test_what_differs_by_itself_proves_nothing() -> None:
    other = replace(USUAL, result=replace(USUAL.result, stdout=OTHER, stderr=OTHER))
    baseline = Baseline.of([USUAL, other, USUAL], {})
    assert baseline.unstable == ("stdout", "stderr")
    assert judge(run(stdout=Output(5, "ccc", "new")), baseline).verdict == "unaffected"
    lost = run({"files": {}}, stderr=Output(9, "ddd", "!" * 9))
    assert judge(lost, baseline).verdict == "handled"  # it said much more than it does usually
    assert judge(run({"files": {}}), baseline).verdict == "silent"


def test_what_crashes_by_itself_is_no_crash() -> None:
    crash = Crash("0.1", "helper", "SIGABRT")
    usual = replace(USUAL, result=replace(USUAL.result, crashes=(crash,)))
    baseline = Baseline.of([usual, usual], {})
    assert judge(run(crashes=(crash,)), baseline).verdict == "unaffected"
    assert judge(run(crashes=(crash, crash)), baseline).verdict == "crash"


def test_a_removal_that_failed_leaves_a_file() -> None:
    made = run({"temporary": ("t1",)})
    fault = replace(FAULT, syscall="unlink")
    assert judge(made, BASELINE).verdict == "leak"
    made = replace(made, result=replace(made.result, injections=(fault,)))
    assert judge(made, BASELINE).verdict == "handled"
