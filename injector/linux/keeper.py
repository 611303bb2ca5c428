"""A small process that outlives us: when the injector dies, somebody must answer the target.

A filter is for ever: with nobody to answer, each named call returns ENOSYS
(seccomp_unotify(2)). The keeper holds the listener and a pidfd of every process
of the target. When its socket to us closes without a farewell, it lets every call be
made from then on, until the target's last task is gone. Before the target has begun, or
if it is not to live on, it kills them all and whoever still comes to the listener.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Sequence
from typing import NoReturn

from injector.linux import procfs, seccomp
from injector.linux.ending import callers, end_target
from injector.linux.slate import Slate
from injector.words.errors import InjectError

_LOOK = 0.05  # seconds between two looks at a stopped target


class _Word:
    """What the keeper is told; the first two come with a descriptor, PAUSE with a number."""

    LISTENER, PROCESS, PAUSE, STARTED = b"L", b"P", b"S", b"R"
    FAREWELL, LEAVE, END, AGAIN = b"Q", b"D", b"E", b"A"
    NONE = b""  # the injector is gone


class Keeper:
    """Our end. Make it before the target is started: it is forked here."""

    def __init__(self, *, remain: bool = False, begun: bool = False) -> None:
        """Fork it.

        Args:
            remain: once the target has `started` our death does not end it.
            begun: it runs already, and our death never does.
        """
        self._remain = remain
        self.over = False  # it is gone
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Not the socket alone: until its execve the target's first process has a copy of it.
        injector = os.pidfd_open(os.getpid())
        self.slate = Slate()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _keep(theirs, injector, self.slate, begun)
        theirs.close()
        os.close(injector)
        self._socket = ours

    def watch_listener(self, fd: int) -> None:
        """Hand over a copy of a listener, the next on the slate."""
        self._send(_Word.LISTENER, [fd])

    def watch_process(self, pidfd: int) -> None:
        """Hand over a copy of a process's pidfd."""
        self._send(_Word.PROCESS, [pidfd])

    def _send(self, word: bytes, fds: list[int]) -> None:
        try:
            socket.send_fds(self._socket, [word], fds)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise lost() from error
            raise

    def started(self) -> None:
        """Tell it that the target runs: what our death means to it may change now."""
        if self._remain:
            self._send(_Word.STARTED, [])

    def leave(self) -> None:
        """Have it answer from now on; we are about to go."""
        self._send(_Word.LEAVE, [])
        self._socket.close()

    def pause(self, target: int) -> None:
        """Stop ourselves as `target` is stopped; the keeper wakes us when it goes on.

        A shell continues both; a `kill -CONT` of the target alone must not leave
        its calls without an answer.
        """
        self._send(_Word.PAUSE + struct.pack("=i", target), [])
        os.kill(os.getpid(), signal.SIGSTOP)

    def dismiss(self) -> None:
        """Tell it that all is over, and reap it."""
        self._bid(_Word.FAREWELL)

    def again(self) -> None:
        """Tell it that this target is over; it guards another one after it."""
        self.slate.clear()
        self._send(_Word.AGAIN, [])
        with contextlib.suppress(ChildProcessError):
            # What the target left us.
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self.over |= pid == self.pid

    def abandon(self) -> None:
        """Have it end what is left of the target, and reap it."""
        self._bid(_Word.END)

    def charge(self) -> None:
        """Have it end what is left of the target, however long that takes; it ends then too."""
        with contextlib.suppress(OSError):
            self._socket.send(_Word.END)
        self._socket.close()

    def _bid(self, word: bytes) -> None:
        self.over = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.send(word)
        self._socket.close()
        # Our own child must be reaped meanwhile: before Linux 6.11 a zombie keeps its filter.
        with contextlib.suppress(ChildProcessError):
            while True:
                # Was it killed, another keeper's farewell may have reaped it; then there is
                # nothing of it to wait for, though we may have other children.
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
                if os.waitpid(-1, 0)[0] == self.pid:
                    return


def leave_to(keeper: Keeper, listeners: Sequence[int]) -> Keeper:
    """Have it answer from now on, or another one for these listeners where it was killed."""
    try:
        keeper.leave()
    except InjectError:
        keeper = Keeper()
        for fd in listeners:
            keeper.watch_listener(fd)
        keeper.leave()
    return keeper


def raise_descriptor_limit() -> tuple[int, int]:
    """Let this process have as many descriptors as it may: it holds some for each process.

    Return the limits that were.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def limit_descriptors(limits: tuple[int, int]) -> None:
    """Set back what `raise_descriptor_limit` has raised: a later target inherits it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def lost() -> InjectError:
    """Return the error to raise when the keeper died."""
    return InjectError(
        "the keeper, our helper that guards the target, was killed; the run was ended",
        help="without it the target would go on with failing calls if inject died too",
    )


def _keep(channel: socket.socket, injector: int, slate: Slate, begun: bool) -> NoReturn:
    status = 1
    try:
        # A session of its own: neither ^C nor a signal to our group reaches it.
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        os.chdir("/")  # a file system must not stay busy for us
        # Whoever reads the target's output waits for the last descriptor of it.
        mine = [fcntl.fcntl(fd, fcntl.F_DUPFD, 5) for fd in (channel.detach(), injector)]
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        for fd, place in zip(mine, (3, 4), strict=True):
            os.dup2(fd, place)
        os.closerange(5, 1 << 20)
        raise_descriptor_limit()
        _wait(socket.socket(fileno=3), 4, slate, begun)
        status = 0
    finally:
        os._exit(status)


def _wait(channel: socket.socket, injector: int, slate: Slate, remain: bool) -> None:
    listeners: list[int] = []
    processes: set[int] = set()
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(injector, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        for fd in processes.intersection(ready):
            poll.unregister(fd)
            processes.discard(fd)
            os.close(fd)
        word = b""
        if channel.fileno() in ready:  # what it sent before its death is read first
            word, fds, _, _ = socket.recv_fds(channel, 5, 1)
        elif injector not in ready:
            continue
        match word[:1]:
            case _Word.LISTENER:
                listeners += fds
            case _Word.PROCESS:
                processes.add(fds[0])
                poll.register(fds[0], select.POLLIN)
            case _Word.PAUSE:
                _wake_with(struct.unpack("=i", word[1:])[0])
            case _Word.STARTED:
                remain = True
            case _Word.FAREWELL:
                return
            case _Word.AGAIN:
                remain = False
                for fd in processes:
                    poll.unregister(fd)
                for fd in (*listeners, *processes):
                    os.close(fd)
                listeners.clear()
                processes.clear()
            case _Word.LEAVE:
                _answer(listeners, slate)
                return
            case _Word.NONE if remain:
                _answer(listeners, slate)
                return
            case _:
                end_target(processes, listeners)
                return


def _answer(listeners: Sequence[int], slate: Slate) -> None:
    """Let every call be made, first those that the injector has not answered any more."""
    calls = {fd: seccomp.Listener(fd, slate, index) for index, fd in enumerate(listeners)}
    for index, one in enumerate(calls.values()):
        for cookie in slate.waiting(index):
            with contextlib.suppress(OSError):  # EINPROGRESS: nobody has received it yet
                one.proceed(cookie)
    for fd in callers(listeners):
        with contextlib.suppress(FileNotFoundError, InterruptedError):
            calls[fd].proceed(calls[fd].receive()[0])


def _wake_with(target: int) -> None:
    injector = os.getppid()
    while procfs.state(injector) in ("T", "t", "R", "S", "D"):
        if procfs.state(target) not in ("T", "t"):
            os.kill(injector, signal.SIGCONT)
            return
        time.sleep(_LOOK)
