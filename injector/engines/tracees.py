"""The tasks under ptrace: how they become known, change their numbers, and end.

A task is told of by its creator's stop (PTRACE_EVENT_CLONE and its like) or by its own first
stop, in either order; by neither if it is killed at once (ptrace(2)). Records only: who runs on,
and how, is the engine's.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable

from injector.engines import tamper
from injector.engines.base import Completed, Stop, TaskEnded, TaskStarted
from injector.engines.call import StoppedCall
from injector.engines.tasks import Process, Records, Task
from injector.linux import procfs
from injector.linux.unwind import Frame, Unwinder
from injector.rules.decide import Order

OUTSIDE, PASSING, LOOKED_AT = range(3)
"""Whether a task is in a call, and who asks about its end."""

Place = tuple[int, int, int]
"""Number, instruction and stack pointer: what a call that is made again has in common."""


class Tracee:
    """A task under ptrace: where it stands."""

    __slots__ = (
        "again",
        "call",
        "inside",
        "order",
        "restore",
        "suspended",
        "task",
        "tid",
        "undo",
        "verify",
    )

    def __init__(self, tid: int, task: Task) -> None:
        self.tid = tid
        self.task = task
        self.inside = OUTSIDE
        self.again: Place | None = None  # a call that may be made again, and is not new then
        self.call: StoppedCall | None = None  # waits for its answer, or is under a fault
        self.order: Order | None = None  # the fault it is under until its end
        self.undo: tamper.Change | None = None  # what its exit must restore
        self.verify: int | None = None  # what its exit must report
        # What its exit must restore, whether or not it is under a fault.
        self.restore: tuple[StoppedCall, tamper.Change] | None = None
        self.suspended = False  # its own filter does not see this call

    @property
    def watched(self) -> bool:
        """Whether the end of its call must be seen."""
        return bool(self.again or self.order is not None or self.restore or self.verify is not None)


class Tracees:
    """All tasks under ptrace, by their numbers, with the records of them."""

    def __init__(self) -> None:
        self.records = Records()
        self.known: dict[int, Tracee] = {}
        self.early: dict[int, int] = {}  # stopped before their creator told of them
        self.stops: deque[Stop] = deque()
        """What happened, to be told in this order."""
        self.queue: deque[tuple[int, int]] = deque()
        """Waited for, (task, status) each, to be served in this order."""
        self._left: set[int] = set()  # let go, or dead; their creators may yet tell of them
        self._strays = 0
        self._unwinder: Unwinder | None = None  # libunwind is loaded when first asked for

    def unwind(self, tid: int) -> tuple[Frame, ...]:
        """Return the call stack of a stopped task."""
        if self._unwinder is None:
            self._unwinder = Unwinder()
        return self._unwinder.frames(tid)

    # -- births ----------------------------------------------------------------------

    def launched(self, pid: int, pidfd: int) -> Task:
        """Record the process that we launched, now that it has executed."""
        task = self.records.adopt_first(pid, pidfd)
        self.known[pid] = Tracee(pid, task)
        self._announce()
        return task

    def attached(self, pid: int, tids: Iterable[int]) -> None:
        """Record a process that ran already, and those of its threads that were seized."""
        number = len(self.records.processes)
        first = self.records.add_process(pid, os.pidfd_open(pid), str(number), procfs.image(pid))
        for tid in tids:
            task = first
            if tid != pid:
                first.born += 1
                task = self.records.add_task(tid, first.process, f"{number}.{first.born}")
            self.known[tid] = Tracee(tid, task)
        if pid not in self.known:  # its leader has ended, its threads have not
            self.records.task_gone(first)
            self.records.fresh.remove(first)
        self._announce()

    def created(self, parent: Tracee, tid: int) -> None:
        """Record a task that its creator tells of."""
        if tid in self.known or not tid:
            return
        if tid in self._left:
            self._left.remove(tid)  # the number may come again
            return
        parent.task.born += 1
        self._adopt(tid, parent.task.process, f"{parent.task.lineage}.{parent.task.born}")

    def adopt_early(self, *, whoever: bool = False) -> None:
        """Take up those whose creator will not tell of them any more.

        Args:
            whoever: all that stopped and were not told of, whoever their creator is.
        """
        processes = self.records.processes
        for tid in list(self.early):
            ids = procfs.ids(tid)
            if whoever or ids is None or (ids.tgid not in processes and ids.ppid not in processes):
                self._adopt_alone(tid)

    def adopt_late(self) -> None:
        """Take up all that stopped and were not told of."""
        self.adopt_early(whoever=True)

    def _adopt_alone(self, tid: int) -> None:
        ids = procfs.ids(tid)
        self._strays += 1
        parent = self.records.processes.get(ids.ppid) if ids is not None else None
        self._adopt(tid, parent, f"0.x{self._strays}")

    def _adopt(self, tid: int, parent: Process | None, lineage: str) -> None:
        ids = procfs.ids(tid)
        status = self.early.pop(tid, None)
        if ids is None:  # killed already; its end is still to be waited for
            return
        process = self.records.processes.get(ids.tgid)
        if process is not None:
            task = self.records.add_task(tid, process, lineage)
        else:
            try:
                descriptor = os.pidfd_open(ids.tgid)
            except ProcessLookupError:
                return
            image = parent.image if parent is not None else procfs.image(ids.tgid)
            task = self.records.add_process(ids.tgid, descriptor, lineage, image)
        self.known[tid] = Tracee(tid, task)
        self._announce()
        if status is not None:
            self.queue.append((tid, status))

    def _announce(self) -> None:
        for task in self.records.fresh:
            self.stops.append(TaskStarted(task))
        self.records.fresh.clear()

    # -- changes and ends --------------------------------------------------------------

    def executed(self, tid: int, former: int) -> Tracee:
        """Return the task that executed: it has the leader's number now (execve(2)).

        Its siblings are gone; the kernel tells of no end of theirs.

        Args:
            tid: the leader's number.
            former: its own until then.
        """
        tracee = self.known.get(former)
        if tracee is None:  # it was born and executed before its creator told of it
            self.early.pop(former, None)
            tracee = self.known[tid]
        process = tracee.task.process
        for other in list(process.tasks.values()):
            if other is not tracee.task:
                self._dies(self.known.get(other.tid))
                self.records.task_gone(other)
                self.known.pop(other.tid, None)
                self.stops.append(TaskEnded(other, 0, last=False))
        if tracee.tid != tid:
            self.records.task_gone(tracee.task)
            self.known.pop(tracee.tid, None)
            tracee.tid = tracee.task.tid = tid
            process.tasks[tid] = self.records.tasks[tid] = tracee.task
            self.known[tid] = tracee
        tracee.again = None
        process.executed()
        if self._unwinder is not None:
            self._unwinder.forget(process.pid)
        return tracee

    def ended(self, tracee: Tracee, status: int) -> None:
        """Record a task's end, with its wait status."""
        self._dies(tracee)
        del self.known[tracee.tid]
        task, process = tracee.task, tracee.task.process
        if self._unwinder is not None:
            self._unwinder.forget(task.tid)
        self.records.task_gone(task)
        last = not process.tasks
        self.stops.append(TaskEnded(task, status, last))
        if last:
            self.records.process_gone(process)

    def ended_unknown(self, tid: int) -> None:
        """Record the end of a task that its creator has not told of."""
        self.early.pop(tid, None)
        self._left.add(tid)

    def _dies(self, tracee: Tracee | None) -> None:
        """Tell of a call that its task did not come back from."""
        if tracee is not None and tracee.order is not None and tracee.call is not None:
            self.stops.append(Completed(tracee.call, tracee.order, None))
            tracee.order = tracee.call = None

    def forget(self, tracee: Tracee) -> None:
        """Count a task as gone that was let go."""
        self.known.pop(tracee.tid, None)
        self._left.add(tracee.tid)

    def forget_all(self) -> None:
        """Count all as gone: an execve(2) while we attached left no trace of them."""
        self.known.clear()
        self.early.clear()
