"""A process that stands in for us, so that we outlive what people take for us.

A filter whose action is SECCOMP_RET_TRACE needs its tracer as long as it lives (seccomp(2)), and
a tracer cannot be replaced while its tracees run. So under ptrace the process that was started
does nothing but to pass signals in and our end out; its child traces. When the first one is
killed, or told that the target was let go, the child stays, as the keeper.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from threading import Thread
from typing import NoReturn

from injector.linux import libc, procfs
from injector.linux.signals import Received, Signals, die_by
from injector.words.errors import InjectError

NAME = "inject-keeper"
"""What ps(1) calls a tracer that stays; comm(5) has room for 15 bytes."""
_SIGNAL = struct.Struct("=iB")  # number, whether the terminal sent it
_LEFT, _OVER = b"L", b"O"
_LOOK = 0.05  # seconds between two looks at a stopped target


class Behind:
    """Our end: the signals that the process in front got, and what becomes of it."""

    def __init__(self, channel: socket.socket, front: int, signals: Signals) -> None:
        self.pid = os.getpid()
        self.front = front
        self.inherited = signals.inherited
        self.fd = channel.fileno()
        self.alone = False
        """The process in front is gone."""
        self._channel = channel
        self._signals = signals

    def read(self) -> list[Received]:
        """Return the signals that have arrived."""
        found: list[Received] = []
        while True:
            try:
                raw = self._channel.recv(_SIGNAL.size)
            except BlockingIOError:
                return found
            except ConnectionResetError:  # it left something of ours unread
                raw = b""
            if not raw:
                self.alone = True
                _let_go_of_descriptors()
                return found
            number, by_terminal = _SIGNAL.unpack(raw)
            found.append(Received(signal.Signals(number), bool(by_terminal)))

    def step_aside(self) -> None:
        """Keep the terminal's keys and job control off us. Not before the target is forked.

        We stay in the session: as its parent in another group we keep the target's group, and one
        that it makes for itself, from being orphaned (setpgid(2)).
        """
        os.setpgid(0, 0)

    def pause(self, target: int) -> None:
        """Stop the process in front as `target` is stopped; wake it when that goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.front, signal.SIGSTOP)
        Thread(target=self._wake_with, args=(target,), daemon=True).start()

    def _wake_with(self, target: int) -> None:
        while procfs.state(target) in ("T", "t"):
            time.sleep(_LOOK)
        if not self.alone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.front, signal.SIGCONT)

    def stay(self) -> None:
        """Have the process in front end well; nothing of its surroundings is ours any more."""
        with contextlib.suppress(OSError):
            self._channel.send(_LEFT)
        self._channel.close()
        self.alone = True
        _let_go_of_descriptors()
        os.chdir("/")  # a file system must not stay busy for us
        libc.set_name(NAME)

    def close(self) -> None:
        """Have the process in front end as we do, whatever end that is."""
        with contextlib.suppress(OSError):
            self._channel.send(_OVER)
        self._channel.close()
        self._signals.close()


def stand_in(signals: Signals) -> Behind:
    """Go on in a child; the process that called ends when the child has, or as it is told.

    Raises:
        OSError: there is no room for it.
        InjectError: in the process that called: the child was killed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    front = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed when we were started
            with contextlib.suppress(OSError):
                stream.flush()
    child = os.fork()
    if child:
        ours.close()
        _stand(theirs, child, signals)
    theirs.close()
    ours.setblocking(False)
    return Behind(ours, front, signals)


def _stand(channel: socket.socket, child: int, signals: Signals) -> NoReturn:
    word = b""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(signals.fd, select.POLLIN)
    while word != _OVER:
        ready = [fd for fd, _ in poll.poll()]
        if signals.fd in ready:
            for number, by_terminal in signals.read():
                with contextlib.suppress(OSError):
                    channel.send(_SIGNAL.pack(number, by_terminal))
        if channel.fileno() in ready:
            word = _received(channel)
            if word == _LEFT:
                os._exit(0)
            if not word:
                break
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        # It has the last word about them.
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, signals.inherited.mask)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    if word == _OVER:
        die_by(os.WTERMSIG(status))
    raise InjectError(
        "our own process that traces the target was killed, and the target with it",
        help="without a tracer the calls that its filter stops would fail",
    )


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(1)
    except ConnectionResetError:
        return b""


def _let_go_of_descriptors() -> None:
    """Close what we were started with: whoever reads its other end waits for the last one."""
    null = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        with contextlib.suppress(OSError):
            if fd < 3:
                os.dup2(null, fd)
            elif not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(fd)  # our own are close-on-exec (PEP 446)
    os.close(null)
