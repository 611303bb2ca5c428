"""Wake a thread that is blocked in one system call when any other descriptor is ready.

The notify engine blocks in SECCOMP_IOCTL_NOTIF_RECV, because a poll before it
costs more than the whole decision. A second thread waits on everything else and
interrupts that call with a signal, again and again until it is acknowledged, so
that a signal which comes just before the call blocks is not lost.
"""

from __future__ import annotations

import os
import select
import signal
import threading

_RETRY = 0.0005  # seconds between two rings
_TURNS = 20  # so many times longer where a ring was heard
SIGNAL = signal.SIGRTMAX - 1


def _nothing(*_: object) -> None:
    """Take a ring that nobody waits for."""


class Doorbell:
    """Made in the thread that is to be woken; `rung` is set while something is ready."""

    def __init__(self) -> None:
        self.rung = False
        self._looked = False
        self._epoll = select.epoll()
        self._sleeper = threading.get_ident()
        self._answered = threading.Semaphore(0)
        self._wanted = threading.Event()
        self._closing = False
        self._last = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._last, select.EPOLLIN)
        signal.signal(SIGNAL, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch. Fork before this, never after: threads do not survive fork(2).

        Of several bells in one thread the one that was started last is heard.
        """
        signal.signal(SIGNAL, self._ring)
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="doorbell", daemon=True)
            self._thread.start()

    def hush(self) -> None:
        """Do not ring until the next `start`: nobody answers."""
        self._wanted.clear()
        self.rung = self._looked = False

    def rest(self) -> None:
        """Stop watching until the next `start`, so that we may fork."""
        if self._thread is not None:
            self._closing = True
            self._wanted.set()
            os.eventfd_write(self._last, 1)
            self._answered.release()
            self._thread.join(2.0)
            os.eventfd_read(self._last)
            self._thread = None
            self._closing = False
            # A ring that came meanwhile is not answered any more.
            self._answered = threading.Semaphore(0)

    def add(self, fd: int, events: int = select.EPOLLIN) -> None:
        """Watch a descriptor; with `events` 0 only for its hang-up."""
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Watch a descriptor for something else."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching a descriptor; before it is closed."""
        self._epoll.unregister(fd)

    def ready(self) -> list[tuple[int, int]]:
        """Return what is ready now as (fd, events); once that is served it may ring again.

        To be called as long as `rung` is set.
        """
        if not self._looked:
            self._looked = self.rung
            return self._epoll.poll(0)
        self.rung = self._looked = False
        self._answered.release()
        return []

    def wait(self, seconds: float) -> None:
        """Sleep until something is ready, at most so long; for use without a blocked call."""
        self._epoll.poll(seconds)

    def _ring(self, *_: object) -> None:
        self.rung = True

    def _watch(self) -> None:
        while not self._closing:
            self._epoll.poll()
            self._wanted.wait()
            turn = 0
            while self._wanted.is_set() and not self._closing:
                # Once it was heard it is being served, or the call has just begun to block.
                if not self.rung or turn % _TURNS == 0:
                    signal.pthread_kill(self._sleeper, SIGNAL)
                if self._answered.acquire(timeout=_RETRY):
                    break
                turn += 1

    def close(self) -> None:
        """Stop the watching thread and close the descriptors."""
        self.rest()
        self._epoll.close()
        os.close(self._last)
        # Another bell may ring yet, and by default that signal kills.
        signal.signal(SIGNAL, _nothing)
