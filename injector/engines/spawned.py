"""The notify engine for a program that a zygote starts: one of many under one filter.

The zygote's own calls pass, and so do those of its child up to the execve(2) that makes it the
target. The zygote tells when nothing of the target is left; its listener is never done.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from injector.engines.base import Remark
from injector.engines.notify import NotifyEngine, Role, Stopped
from injector.engines.tasks import Process, Task
from injector.linux import pidfd
from injector.linux.doorbell import Doorbell
from injector.linux.keeper import Keeper
from injector.linux.zygote import Zygote
from injector.words.errors import InjectError
from injector.words.syscalls import Arch

_FAILED = 255  # what the zygote's child exits with when its execve has failed


class NotStarted(InjectError):
    """The zygote could not execute the program; it is ready for another."""


class SpawnedEngine(NotifyEngine):
    """One target tree under a zygote's listener."""

    def __init__(
        self,
        zygote: Zygote,
        arches: Iterable[Arch],
        bell: Doorbell,
        keeper: Keeper,
        stopped: Stopped,
    ) -> None:
        """Answer for what the zygote is about to start."""
        super().__init__(zygote, arches, bell, keeper, stopped)
        self._zygote = zygote
        self._executed = False
        self._first_fd = -1
        self._statuses: dict[int, int] = {}

    def _unusual(self, raw: tuple[int, ...], role: int, task: Task | None) -> Task | None:
        tid = raw[1]
        if tid == self._zygote.pid or (not self._executed and not self._starts(raw, role)):
            self._listener.proceed(raw[0])
            return None
        return super()._unusual(raw, role, task)

    def _starts(self, raw: tuple[int, ...], role: int) -> bool:
        """Return whether this call is the target's: one behind the execve of the first process.

        An exit may be of an execve that has failed; then the zygote says so.
        """
        if not self.first:
            if role == Role.EXEC:
                self.first = raw[1]
                self._first_fd = os.pidfd_open(self.first)
                self.started = time.monotonic_ns()
            return False
        if role == Role.EXIT_GROUP and raw[6] & 0xFF == _FAILED:
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        self._executed = True
        first = self.kinship.adopt_first(self.first, self._first_fd)
        self._first_fd = -1
        self._announce()
        if self._zygote.no_new_privs:
            self._stops.append(Remark("no_new_privs", first))

    def _guard(self, process: Process) -> None:
        """Do nothing: the zygote is guarded, and all is below it."""

    def _reported(self) -> None:
        over = self._zygote.heard()
        if over.error or not self.first:
            raise NotStarted(os.strerror(over.error))
        self._statuses.update(over.statuses)
        if not self._executed:
            self._begin()
        self._wind_up()

    def _wind_up(self) -> None:
        super()._wind_up()
        self.status = self._statuses.get(self.first, self.status)

    def _all_gone(self) -> bool:
        return False  # the zygote never is, or its socket tells

    def known(self) -> list[int]:
        """Return pidfds of the target's processes that are known and live."""
        return [*self._pidfds, *([self._first_fd] if self._first_fd >= 0 else ())]

    def end(self) -> None:
        """Kill the target, as far as it is known; its pad ends the rest."""
        for fd in self.known():
            pidfd.send(fd, signal.SIGKILL)

    def close(self) -> None:
        """Close every descriptor but the zygote's; the last thing that is asked."""
        for fd in self._pidfds:
            self._bell.remove(fd)
        with contextlib.suppress(OSError):  # the zygote is gone
            self._bell.remove(self._report)
        self.kinship.close()
        self._timer.close()
        if self._first_fd >= 0:
            os.close(self._first_fd)
        for _, _, call, _ in self._parked:
            self._slate.drop(call.raw[0])
        for _, call in self._creating:
            self._slate.drop(call.raw[0])

    def _status(self, process: Process, fd: int) -> int | None:
        status = self._statuses.get(process.pid)
        return status if status is not None else pidfd.status(process.pid, fd)
