"""What a session shows to those who watch it: counts of calls, tasks and faults so far.

Kept as events come, told when asked. A snapshot is made between two calls of the target, so it
is bounded: it lists so many tasks, and reads so many names of them from /proc, at a time.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from injector.engines.base import Engine
from injector.engines.tasks import Task
from injector.linux import procfs
from injector.words.events import Header, Injection, as_json

_TASKS = 200  # in a snapshot
_NAMES = 16  # read for a snapshot, of threads that may have changed theirs
_RECENT = 200  # injections that one who begins to watch is told of


class Tally:
    """The counts of one session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._header: dict[str, Any] = {}
        self._gone: Counter[str] = Counter()  # calls of tasks that have ended
        self._past: list[dict[str, Any]] = []  # those tasks, the last ones and the worst hit
        self._names: dict[int, str] = {}
        self._last: dict[str, float] = {}
        self._recent: deque[Injection] = deque(maxlen=_RECENT)
        self.faults = 0

    def introduce(self, header: Header) -> None:
        """Let those who watch know how the session was started."""
        self._header = {
            "scenario": header.scenario.get("name", ""),
            **{key: getattr(header, key) for key in ("version", "seed", "engine", "command")},
        }

    def injected(self, task: Task, injection: Injection) -> None:
        """Count a fault."""
        task.faults += 1
        self.faults += 1
        self._last[injection.rule] = injection.t
        self._recent.append(injection)

    def ended(self, task: Task) -> None:
        """Keep the counts of a task that is gone."""
        self._gone.update(task.calls)
        thread = self._names.pop(task.tid, "")
        names = {"process": task.process.name, "thread": thread}
        self._past.append({**self._counted(task), **names, "ended": True})
        if len(self._past) > 2 * _TASKS:
            self._past.sort(key=_faults)
            del self._past[:_TASKS]

    def recent(self) -> list[dict[str, Any]]:
        """Return the last injections."""
        return [as_json(injection) for injection in self._recent]

    def calls(self) -> dict[str, int]:
        """Return how many calls have stopped, by name."""
        calls = self._gone.copy()
        for task in self._engine.tasks.values():
            calls.update(task.calls)
        return dict(calls)

    def snapshot(self, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the counts; `rules` gets the time of each one's last injection."""
        named = self._engine.named
        return {
            **self._header,
            "faults": self.faults,
            "calls": self.calls(),
            "named": None if named is None else sorted(named),
            "tasks_total": len(self._engine.tasks),
            "tasks": self._tasks([row for row in self._past if row["faults"]]),
            "rules": [{**rule, "last": self._last.get(rule["rule"])} for rule in rules],
        }

    def totals(self) -> dict[str, Any]:
        """Return the last counts, with the tasks that have ended."""
        return {
            "faults": self.faults,
            "calls": self.calls(),
            "tasks_total": len(self._engine.tasks),
            "tasks": self._tasks(self._past),
        }

    def _tasks(self, past: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return those who live and some who do not, the worst hit first."""
        living = sorted(self._engine.tasks.values(), key=lambda task: -task.faults)[:_TASKS]
        self._read_names(living)
        rows = [
            {
                **self._counted(task),
                "process": self._names.get(task.process.pid, ""),
                "thread": self._names.get(task.tid, ""),
            }
            for task in living
        ]
        return sorted([*rows, *reversed(past)], key=_faults, reverse=True)[:_TASKS]

    def _counted(self, task: Task) -> dict[str, Any]:
        return {
            "task": task.lineage,
            "pid": task.process.pid,
            "tid": task.tid,
            "calls": sum(task.calls.values()),
            "faults": task.faults,
        }

    def _read_names(self, tasks: list[Task]) -> None:
        # Those not known yet first, then the ones read longest ago: a dict keeps that order.
        wanted = {task.tid for task in tasks} | {task.process.pid for task in tasks}
        unknown = [tid for tid in wanted if tid not in self._names]
        known = [tid for tid in self._names if tid in wanted]
        for tid in (unknown + known)[:_NAMES]:
            self._names.pop(tid, None)
            self._names[tid] = procfs.comm(tid)


def _faults(row: dict[str, Any]) -> int:
    return int(row["faults"])
