"""Our records of the target's threads and processes, and their names across runs.

A task's Lineage is its path in the fork and clone tree: "0" is the first, "0.2"
its second child, thread or process alike. Records only; who is whose child is
found in `kinship`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from injector.linux import pidfd, procfs
from injector.linux.procfs import Image
from injector.rules.decide import Order


class Process:
    """A thread group of the target."""

    __slots__ = (
        "changing",
        "execing",
        "exit_code",
        "handles",
        "image",
        "lineage",
        "memory",
        "name",
        "pending",
        "pid",
        "pidfd",
        "tasks",
        "waiting",
    )

    def __init__(self, pid: int, pidfd: int, lineage: str, image: Image) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.lineage = lineage
        self.image = image
        self.memory = -1
        self.waiting: procfs.Waiting | None = None
        self.name = procfs.comm(pid)
        self.tasks: dict[int, Task] = {}
        self.pending: list[Creation] = []
        # Its next call may be another program's, or, if it ends, another process's of its number.
        self.changing = False
        self.execing: Task | None = None  # who executes, as far as is known
        self.exit_code: int | None = None  # the wait status it is about to end with
        # A handler may run in it, for all that is known: the execve(2) that takes them may fail.
        self.handles = True

    def executes(self, task: Task) -> None:
        """Note that a task of it is let through to execute."""
        self.changing = True
        self.execing = task

    def ends(self, status: int) -> None:
        """Note that it is about to end so. An execve(2) of another task may be sooner."""
        self.changing = True
        self.exit_code = status

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of memory, fewer at the end of a mapping, b"" if none."""
        try:
            if self.memory < 0:
                path = f"/proc/{self._anyone()}/mem"
                self.memory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self.memory, size, address)
        except (OSError, OverflowError):
            return b""

    def blocked(self, tid: int, still: Callable[[], bool]) -> procfs.Blocked | None:
        """Return the call a task of it is about to be blocked in, None if it is not `still`.

        The file of the task that was looked at last stays open: most look at one all the time.
        """
        if self.waiting is None or self.waiting.tid != tid:
            if self.waiting is not None:
                self.waiting.close()
            self.waiting = procfs.Waiting(tid)
        return self.waiting.blocked(still)

    def forget(self, tid: int) -> None:
        """Close what is kept open of a task that is gone: its number may come again."""
        if self.waiting is not None and self.waiting.tid == tid:
            self.waiting.close()
            self.waiting = None

    def write(self, address: int, data: bytes) -> bool:
        """Overwrite memory; return False where that cannot be."""
        try:
            memory = os.open(f"/proc/{self._anyone()}/mem", os.O_WRONLY | os.O_CLOEXEC)
            try:
                return os.pwrite(memory, data, address) == len(data)
            finally:
                os.close(memory)
        except (OSError, OverflowError):
            return False

    def _anyone(self) -> int:
        """Return a task that has the memory: a leader that ended before its threads has none."""
        if procfs.state(self.pid) != "Z":
            return self.pid
        return next((tid for tid in self.tasks if tid != self.pid), self.pid)

    def executed(self) -> None:
        """Look again at what an execve(2) changed: image and memory. No end came before it."""
        self.changing = False
        self.execing = self.exit_code = None
        self.forget_memory()
        self.image = procfs.image(self.pid)
        self.name = procfs.comm(self.pid) or self.name

    def forget_memory(self) -> None:
        """Close /proc/PID/mem: it shows the memory of the program before an execve."""
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1

    def close(self) -> None:
        """Close all that is open of it."""
        self.forget_memory()
        if self.waiting is not None:
            self.waiting.close()
            self.waiting = None
        os.close(self.pidfd)


class Task:
    """A thread of the target."""

    __slots__ = (
        "blocking",
        "born",
        "calls",
        "faults",
        "lanes",
        "lineage",
        "owed",
        "process",
        "restarting",
        "tid",
    )

    def __init__(self, tid: int, process: Process, lineage: str) -> None:
        self.tid = tid
        self.process = process
        self.lineage = lineage
        self.born = 0  # tasks it created so far
        self.calls: dict[str, int] = {}  # by name; a Site's number
        self.faults = 0
        self.lanes: dict[str, Any] = {}  # the decider's own
        # The last notification of each call that may be restarted.
        self.blocking: dict[str, tuple[int, ...]] = {}
        # A call that may come again though it was counted, and what it gets then: the call,
        # its order, and whether that has been told.
        self.restarting: tuple[int, ...] | None = None
        self.owed: tuple[Any, Order, bool] | None = None

    @property
    def process_lineage(self) -> str:
        """The lineage of its process's first task."""
        return self.process.lineage


class Creation:
    """A clone that was let through and whose child has not been seen yet."""

    __slots__ = ("lineage", "parent", "thread")

    def __init__(self, parent: Task, thread: bool) -> None:
        parent.born += 1
        self.parent = parent
        self.thread = thread
        self.lineage = f"{parent.lineage}.{parent.born}"


class Records:
    """All live tasks and processes of the target."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.processes: dict[int, Process] = {}
        self.fresh: list[Task] = []  # recorded since the engine last looked

    def adopt_first(self, pid: int, pidfd: int) -> Task:
        """Record the launched process: lineage "0"."""
        return self.add_process(pid, pidfd, "0", procfs.image(pid))

    def add_process(self, pid: int, pidfd: int, lineage: str, image: Image) -> Task:
        """Record a process and its first task."""
        return self._add(Process(pid, pidfd, lineage, image))

    def _add(self, process: Process) -> Task:
        self.processes[process.pid] = process
        return self.add_task(process.pid, process, process.lineage)

    def add_task(self, tid: int, process: Process, lineage: str) -> Task:
        """Record a thread of a known process."""
        task = Task(tid, process, lineage)
        process.tasks[tid] = task
        self.tasks[tid] = task
        self.fresh.append(task)
        return task

    def signal(self, first: int, number: int) -> None:
        """Signal this process; when it has ended, all that are left."""
        process = self.processes.get(first)
        for one in [process] if process else list(self.processes.values()):
            pidfd.send(one.pidfd, number)

    def close(self) -> None:
        """Close the descriptors of every process that is still recorded."""
        for process in self.processes.values():
            process.close()
        self.processes.clear()
        self.tasks.clear()

    def task_gone(self, task: Task) -> None:
        """Forget a thread."""
        self.tasks.pop(task.tid, None)
        task.process.tasks.pop(task.tid, None)
        task.process.forget(task.tid)

    def process_gone(self, process: Process) -> list[Task]:
        """Forget a process that ended; return the tasks that ended with it."""
        tasks = list(process.tasks.values())
        for task in tasks:
            self.task_gone(task)
        self.processes.pop(process.pid, None)
        process.close()
        return tasks
