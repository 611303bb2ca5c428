"""Signals to ourselves, read from a descriptor with who sent them (signalfd(2))."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from dataclasses import dataclass
from typing import NamedTuple

from injector.linux import libc

HANDLED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGTSTP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGCHLD,
    }
)
# What Python and we set for ourselves. Whether SIGPIPE and SIGXFSZ were ignored before
# Python did so is lost.
_OURS = frozenset({signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTTOU})
_SIZE = 128
SI_KERNEL = 0x80


class Received(NamedTuple):
    """A signal, and whether the terminal sent it (to our whole group, the target too)."""

    number: signal.Signals
    by_terminal: bool


@dataclass(frozen=True, slots=True)
class Inherited:
    """The signal mask and dispositions we were started with, which the target gets."""

    mask: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()

    def restore(self) -> None:
        """Make them this process's, which is about to execute the target."""
        for number in _OURS:
            signal.signal(number, signal.SIG_IGN if number in self.ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


class Signals:
    """Blocks HANDLED; `inherited` is what was before, which a target gets.

    Without `children` SIGCHLD is left alone: a tracer gets one for every stop.
    """

    def __init__(self, *, children: bool = True) -> None:
        handled = HANDLED if children else HANDLED - {signal.SIGCHLD}
        ours = (signal.SIGINT, signal.SIGCHLD, signal.SIGTTOU)
        self.inherited = Inherited(
            frozenset(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, handled)),
            frozenset(int(one) for one in ours if signal.getsignal(one) == signal.SIG_IGN),
        )
        self._before = {
            # Where it is ignored, children are reaped without their status.
            signal.SIGCHLD: signal.signal(signal.SIGCHLD, signal.SIG_DFL),
            # A stopped write to the terminal would stop us while the target runs.
            signal.SIGTTOU: signal.signal(signal.SIGTTOU, signal.SIG_IGN),
        }
        self.fd = libc.signalfd(frozenset(int(number) for number in handled))

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
        """Restore all. What arrived meanwhile was for the target, which is gone."""
        self.read()
        os.close(self.fd)
        for number, before in self._before.items():
            signal.signal(number, before or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.inherited.mask)


def die_by(number: int) -> None:
    """End this process by a signal, as the target did, without a core file of our own."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc.undumpable()
    # SIGKILL cannot be set.
    with contextlib.suppress(OSError):
        libc.reset_signal(number)
    if number in signal.valid_signals():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
