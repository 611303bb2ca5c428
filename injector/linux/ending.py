"""End a whole target: the processes we know, their children, and whoever still calls.

Used by the keeper when the injector died, and by the injector when the keeper did.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import time
from collections.abc import Collection, Iterable, Iterator
from fcntl import ioctl

from injector.linux import libc, procfs
from injector.linux import pidfd as pidfds
from injector.linux.seccomp import NOTIF_RECV

_ROUNDS = 100
_SETTLE = 0.1  # seconds for a fork that is under way when its process is stopped


def end_target(processes: Iterable[int], listeners: Collection[int]) -> None:
    """Kill these processes (pidfds), all below them, and every later caller; wait for the last.

    They are stopped first, so that no child is made between the look and the kill.
    A process that we do not know, and that nothing leads to, ends at its next named call.
    """
    doomed = {pid: fd for fd in processes if (pid := pidfds.pid(fd)) > 0}
    _stop(doomed)
    for _ in range(3):
        below = {child for pid in doomed for child in procfs.descendants(pid)} - doomed.keys()
        found = {pid: fd for pid in below if (fd := _open(pid)) is not None}
        if not found:
            break
        _stop(found)
        doomed.update(found)
    for fd in doomed.values():
        pidfds.send(fd, signal.SIGKILL)
    _refuse(listeners)


class Orphans:
    """What a target leaves behind becomes ours, so that none of it is lost to us.

    A daemon leaves its session and its parent, and may make no call that stops.
    """

    def __init__(self, adopter: int = 0) -> None:
        """Adopt from now on; children that we have already are not the target's.

        Args:
            adopter: a process that does so instead; all below it is the target's.
        """
        self._top = adopter or os.getpid()
        self._others: set[int] = set()
        if not adopter:
            self._others.update(procfs.descendants(self._top))
            libc.adopt_orphans(True)

    def spare(self, pid: int) -> None:
        """Never end this child: it is a helper of ours."""
        self._others.add(pid)

    def alive(self) -> list[int]:
        """Return the processes below us that are the target's and not yet dead."""
        below = set(procfs.descendants(self._top)) - self._others
        return [pid for pid in below if procfs.state(pid) not in ("Z", "X", "")]

    def end(self) -> None:
        """Kill them all, also those that are being made meanwhile."""
        for _ in range(_ROUNDS):
            found = self.alive()
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.sched_yield()

    def close(self) -> None:
        """Adopt no more."""
        if self._top == os.getpid():
            libc.adopt_orphans(False)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # it is gone
        return None


def _stop(processes: dict[int, int]) -> None:
    for fd in processes.values():
        pidfds.send(fd, signal.SIGSTOP)
    deadline = time.monotonic() + _SETTLE
    for pid in processes:
        while procfs.state(pid) == "R" and time.monotonic() < deadline:
            os.sched_yield()


def _refuse(listeners: Iterable[int]) -> None:
    for listener in callers(listeners):
        notification = bytearray(80)
        try:
            ioctl(listener, NOTIF_RECV, notification, True)
            os.kill(struct.unpack_from("=I", notification, 8)[0], signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, InterruptedError):
            continue


def callers(listeners: Iterable[int]) -> Iterator[int]:
    """Yield the listener at which a call waits to be received, until no task has a filter."""
    poll = select.poll()
    left = set(listeners)
    for listener in left:
        poll.register(listener, select.POLLIN)
    while left:
        for listener, events in poll.poll():
            if events & select.POLLIN:
                yield listener
            elif events & select.POLLHUP:  # not so POLLERR, see `seccomp.deserted`
                poll.unregister(listener)
                left.remove(listener)
