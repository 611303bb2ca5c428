"""Who created whom, under user notification, where nothing tells a new task's number.

What there is: the notification of a clone before it is made, the first call of
the new task, and /proc. A thread's creator is known as long as one task of a
process creates at a time, so a second thread creation waits for the first one's
child (`settled` says whether it must). A process's creator is in
/proc/PID/task/TID/children.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from injector.engines.tasks import Creation, Process, Records, Task
from injector.linux import procfs
from injector.linux.procfs import Image

_MANY = 4096  # of those that are no new tasks, before the ones that are reaped are looked for


class Kinship(Records):
    """The Records, and the guess of who created whom."""

    def __init__(self, *, handlers: bool) -> None:
        """Begin; with `handlers` their installations stop, else each process may have some."""
        super().__init__()
        self._orphans: list[Creation] = []
        self._strays = 0
        # What /proc shows and yet is no new task: who has ended, until it is reaped, and the
        # children that a process had before it got its filter.
        self._not_new: set[int] = set()
        self._anyone_handles = not handlers

    def adopt_first(self, pid: int, pidfd: int) -> Task:
        """Record the launched process behind its execve, at the first of its calls that stops."""
        process = Process(pid, pidfd, "0", procfs.image(pid))
        process.handles = self._anyone_handles
        return self._add(process)

    def add_process(self, pid: int, pidfd: int, lineage: str, image: Image) -> Task:
        """Record a process and its first task."""
        process = Process(pid, pidfd, lineage, image)
        process.handles = self.handles(pid)
        return self._add(process)

    def handles(self, pid: int) -> bool:
        """Return whether a process catches a signal, or may do so without our knowing."""
        if self._anyone_handles:
            return True
        # A leader that has ended before its threads shows none.
        return any(procfs.signals(tid)[0] for tid in procfs.threads(pid))

    def share_handlers(self) -> None:
        """Note a creation with CLONE_SIGHAND of a process: it has what another one sets."""
        self._anyone_handles = True
        for process in self.processes.values():
            process.handles = True

    def add_task(self, tid: int, process: Process, lineage: str) -> Task:
        """Record a thread of a known process."""
        self._not_new.discard(tid)
        return super().add_task(tid, process, lineage)

    def had_before(self, tids: Iterable[int]) -> None:
        """Note children that a process had when it was attached to: they have no filter."""
        self._not_new.update(tids)

    def introduce(self, tid: int) -> Task | None:
        """Record a task that makes its first call. None if it is gone already."""
        ids = procfs.ids(tid)
        if ids is None:
            return None
        process = self.processes.get(ids.tgid)
        if process is not None:
            return self.add_task(tid, process, self._thread_lineage(process))
        creation = self._creation_of(ids.tgid, ids.ppid)
        if creation is None:
            self._strays += 1
            lineage, image = f"0.x{self._strays}", procfs.image(ids.tgid)
        else:
            lineage, image = creation.lineage, creation.parent.process.image
        try:
            pidfd = os.pidfd_open(ids.tgid)
        except ProcessLookupError:
            return None
        task = self.add_process(ids.tgid, pidfd, lineage, image)
        if tid != ids.tgid:
            task = self.add_task(tid, self.processes[ids.tgid], f"{lineage}.x1")
        return task

    def _thread_lineage(self, process: Process) -> str:
        for creation in process.pending:
            if creation.thread:
                process.pending.remove(creation)
                return creation.lineage
        self._strays += 1
        return f"{process.lineage}.x{self._strays}"

    def _creation_of(self, pid: int, ppid: int) -> Creation | None:
        parent = self.processes.get(ppid)
        if parent is not None:
            forks = [creation for creation in parent.pending if not creation.thread]
            for creation in forks:
                children = procfs.children(ppid, creation.parent.tid)
                if children is not None and pid in children:
                    parent.pending.remove(creation)
                    return creation
            if forks:
                parent.pending.remove(forks[0])
                return forks[0]
        return self._orphans.pop(0) if self._orphans else None

    def bore(self, task: Task) -> bool:
        """Return whether the last creation of a task had a child, as far as can be seen."""
        mine = [creation for creation in task.process.pending if creation.parent is task]
        return all(self._unseen(task.process, creation) for creation in mine)

    def settled(self, task: Task, thread: bool) -> bool:
        """Look for the children of earlier creations; False if `task` must wait to create.

        Called before `task` creates, or ends. Its own earlier creations are over,
        so a child of those that is not to be found has died or never was.
        """
        process = task.process
        for creation in list(process.pending):
            children = self._unseen(process, creation)
            if children:
                process.pending.remove(creation)
                self._adopt(children[0], process, creation)
            elif creation.parent is task:
                process.pending.remove(creation)
            elif creation.thread and thread:
                return False
        return True

    def _unseen(self, process: Process, creation: Creation) -> list[int]:
        if creation.thread:
            found = procfs.threads(process.pid)
        else:
            found = procfs.children(process.pid, creation.parent.tid) or []
        return [tid for tid in found if tid not in self.tasks and tid not in self._not_new]

    def _adopt(self, tid: int, process: Process, creation: Creation) -> None:
        if creation.thread:
            self.add_task(tid, process, creation.lineage)
            return
        try:
            pidfd = os.pidfd_open(tid)
        except (ProcessLookupError, OSError):
            return
        self.add_process(tid, pidfd, creation.lineage, process.image)

    def create(self, task: Task, thread: bool) -> None:
        """Note that `task` is let through to create a thread or a process."""
        task.process.pending.append(Creation(task, thread))

    def task_gone(self, task: Task) -> None:
        """Forget a thread that has made its exit(2)."""
        super().task_gone(task)
        self._not_new.add(task.tid)
        if len(self._not_new) > _MANY:
            self._not_new = {tid for tid in self._not_new if procfs.ids(tid) is not None}

    def process_gone(self, process: Process) -> list[Task]:
        """Forget a process that ended; return the tasks that ended with it."""
        self._orphans += [creation for creation in process.pending if not creation.thread]
        return super().process_gone(process)
