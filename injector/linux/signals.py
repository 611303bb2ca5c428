"""Signals to ourselves, read from a descriptor with who sent them (signalfd(2))."""

from __future__ import annotations

import os
import signal
import struct
from typing import NamedTuple

from injector.linux import libc

HANDLED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGTSTP,
        signal.SIGCHLD,
    }
)
_SIZE = 128
SI_KERNEL = 0x80


class Received(NamedTuple):
    """A signal, and whether the terminal sent it (to our whole group, the target too)."""

    number: signal.Signals
    by_terminal: bool


class Signals:
    """Blocks HANDLED; `mask` is what was blocked before, which a target inherits."""

    def __init__(self) -> None:
        self.mask = {
            signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        }
        # A stopped write to the terminal would stop us while the target runs.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        self.fd = libc.signalfd(frozenset(int(number) for number in HANDLED))

    def read(self) -> list[Received]:
        """Return what has arrived."""
        found: list[Received] = []
        while True:
            try:
                raw = os.read(self.fd, _SIZE)
            except BlockingIOError:
                return found
            number, _, code = struct.unpack_from("=IiI", raw)
            found.append(Received(signal.Signals(number), code == SI_KERNEL))

    def close(self) -> None:
        """Restore the mask; what is pending then takes its ordinary effect."""
        os.close(self.fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def die_by(number: int) -> None:
    """End this process by a signal, as the target did, without a core file of our own."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
