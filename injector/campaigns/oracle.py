"""What a run shows, beside runs without faults. Pure.

A verdict compares only what was the same in every run without faults: output that differs
from run to run by itself proves nothing, and `Baseline.unstable` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from injector.campaigns.attempt import Attempted
from injector.campaigns.outcome import CRASHES, Outcome, Verdict, crash, report
from injector.words.syscalls import errno_message

STORM_TIMES, STORM_LEAST = 20, 1000
"""A call that comes so many times as often as without the fault, and so often at least."""
_REMOVALS = frozenset({"unlink", "unlinkat", "rmdir"})
_SHOWN = 60  # characters of a list of names


@dataclass(frozen=True, slots=True)
class Baseline:
    """Runs without faults: the first of them, and in what they agree."""

    first: Attempted
    calls: dict[str, int]
    stable: frozenset[str]

    @classmethod
    def of(cls, runs: Sequence[Attempted], calls: dict[str, int]) -> Baseline:
        """Compare runs; `calls` is how often each call stopped in a recording."""
        views = [_view(run) for run in runs]
        first = views[0]
        same = (name for name in first if all(view[name] == first[name] for view in views))
        return cls(runs[0], calls, frozenset(same))

    @property
    def unstable(self) -> tuple[str, ...]:
        """What differs from run to run, in words."""
        return tuple(name for name in _view(self.first) if name not in self.stable)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON: those of the first run, and the others."""
        return {
            **self.first.as_json(),
            "baseline_calls": self.calls,
            "stable": sorted(self.stable),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Baseline:
        """Return what `as_json` gave."""
        first = Attempted.from_json(fields)
        return cls(first, fields["baseline_calls"], frozenset(fields["stable"]))


def _view(run: Attempted) -> dict[str, object]:
    result, facts = run.result, run.facts
    return {
        "exit status": (result.status, result.signal),
        "stdout": result.stdout.digest,
        "stderr": result.stderr.digest,
        "files": dict(facts.files),
        "names of files": facts.names,
        "temporary files": len(facts.temporary),
        "descriptors": facts.descriptors,
        "processes left": result.left,
    }


def judge(run: Attempted, baseline: Baseline) -> Outcome:
    """Return what a run under faults shows."""
    result = run.result
    if result.error:
        return Outcome(Verdict.ERROR, "error", result.error)
    if not result.fired:
        return Outcome(Verdict.UNREACHED, "not reached", "the program did not come to the fault")
    for test in (_crash, _storm, _hang, _check, _silent, _leak):
        found = test(run, baseline)
        if found is not None:
            return found
    ways = [name for name, value in _view(run).items() if _differs(name, value, baseline)]
    ended = f"killed by {result.signal}" if result.signal else f"exit status {result.status}"
    if ways:
        return Outcome(Verdict.HANDLED, "handled", f"{ended}; other than without: {_list(ways)}")
    return Outcome(Verdict.UNAFFECTED, "unaffected", f"{ended}, as without the fault")


def _differs(name: str, value: object, baseline: Baseline) -> bool:
    return name in baseline.stable and value != _view(baseline.first)[name]


def _crash(run: Attempted, baseline: Baseline) -> Outcome | None:
    result = run.result
    usual = Counter((one.process, one.signal) for one in baseline.first.result.crashes)
    died = Counter((one.process, one.signal) for one in result.crashes) - usual
    if result.signal in CRASHES and not died and result.signal != baseline.first.result.signal:
        died[("", result.signal)] += 1
    # What it says at every run is not this fault's.
    told = report(result.stderr.tail)
    stderr = "" if told == report(baseline.first.result.stderr.tail) else result.stderr.tail
    fingerprint = crash(died, stderr)
    if not fingerprint:
        return None
    who = "; ".join(f"{process or 'it'} was killed by {name}" for process, name in sorted(died))
    return Outcome(Verdict.CRASH, fingerprint, ": ".join(filter(None, (who, _said(stderr)))))


def _storm(run: Attempted, baseline: Baseline) -> Outcome | None:
    for name in dict.fromkeys(one.syscall for one in run.result.injections):
        count, usual = run.result.calls.get(name, 0), baseline.calls.get(name, 0)
        if count >= max(STORM_LEAST, STORM_TIMES * usual):
            end = " until its time was up" if run.result.timed_out else ""
            return Outcome(
                Verdict.STORM, f"storm {name}", f"{name} was called {count} times{end}, not {usual}"
            )
    return None


def _hang(run: Attempted, baseline: Baseline) -> Outcome | None:
    if not run.result.timed_out:
        return None
    return Outcome(Verdict.HANG, "hang", f"no end after {run.result.seconds:.1f} s")


def _check(run: Attempted, baseline: Baseline) -> Outcome | None:
    check = run.result.check
    if check is None or check.status == 0:
        return None
    how = "took too long" if check.status is None else f"failed with status {check.status}"
    said = check.tail.strip().splitlines()
    detail = f"the check {how}{f': {said[-1]}' if said else ''}"
    return Outcome(Verdict.CHECK, "check", detail)


def _silent(run: Attempted, baseline: Baseline) -> Outcome | None:
    """A loss that nobody is told of: no status, no word."""
    result, usual = run.result, baseline.first.result
    if result.status != 0 or usual.status != 0:
        return None
    lost = [name for name in ("stdout", "files") if _differs(name, _view(run)[name], baseline)]
    if not lost or _told(run, baseline):
        return None
    what = _list(lost)
    if "files" in lost:
        before, after = baseline.first.facts.files, run.facts.files
        changed = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
        what += f" ({_list(changed)})"
    return Outcome(
        Verdict.SILENT, f"silent {' '.join(lost)}", f"status 0, no message, but other {what}"
    )


def _told(run: Attempted, baseline: Baseline) -> bool:
    """Return whether the program said that something went wrong."""
    result, usual = run.result, baseline.first.result
    if "stderr" in baseline.stable:
        if result.stderr.digest != usual.stderr.digest:
            return True
    elif result.stderr.size > 2 * usual.stderr.size:
        return True
    if any(one.path == "stderr" for one in result.injections):
        return True  # it would have: a persistent fault took its words too
    # Some say it on stdout.
    texts = {text for one in result.injections for text in _messages(one.fault)}
    return any(text in result.stdout.tail and text not in usual.stdout.tail for text in texts)


def _messages(fault: str) -> Iterable[str]:
    for word in fault.split(", "):
        key, _, name = word.partition(" ")
        if key == "error":
            yield name
            yield errno_message(name)


def _leak(run: Attempted, baseline: Baseline) -> Outcome | None:
    result, usual = run.result, baseline.first.result
    facts, before = run.facts, baseline.first.facts
    if result.left and not usual.left and "processes left" in baseline.stable:
        return Outcome(
            Verdict.LEAK, "leak processes", f"left processes behind: {_list(result.left)}"
        )
    if result.signal is not None:
        return None  # who is killed cannot tidy up
    if not _REMOVALS.intersection(one.syscall for one in result.injections):
        extra: list[str] = []
        if len(facts.temporary) > len(before.temporary) and "temporary files" in baseline.stable:
            extra += sorted({*facts.temporary} - {*before.temporary})
        # One that gives up may leave what it needs to recover: a journal, half of its output.
        if "names of files" in baseline.stable and result.status == usual.status:
            extra += sorted({*facts.names} - {*before.names} - {*before.given})
        if extra:
            return Outcome(
                Verdict.LEAK, "leak temporary files", f"left temporary files: {_list(extra)}"
            )
    if (
        "descriptors" not in baseline.stable
        or facts.descriptors is None
        or before.descriptors is None
        or result.status != usual.status
    ):
        return None  # a program that gives up need not close what it has
    more = Counter(facts.descriptors) - Counter(before.descriptors)
    if len(facts.descriptors) <= len(before.descriptors) or not more:
        return None
    return Outcome(
        Verdict.LEAK,
        "leak descriptors",
        f"open at its end, not so without the fault: {_list(sorted(more.elements()))}",
    )


def _said(stderr: str) -> str:
    told = report(stderr)
    return str(told) if told is not None else ""


def _list(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
