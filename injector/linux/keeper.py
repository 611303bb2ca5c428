"""A small process that outlives us: when the injector dies, the target must not go on alone.

A filter is for ever: with nobody to answer, each named call returns ENOSYS
(seccomp_unotify(2)). The keeper holds the listener and a pidfd of every process
of the target. When its socket to us closes without a farewell, it kills them
all, and whoever still comes to the listener, until nobody is left.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import time
from fcntl import ioctl
from typing import NoReturn

from injector.linux import pidfd as pidfds
from injector.linux import procfs
from injector.linux.seccomp import NOTIF_RECV

_LISTENER, _PROCESS, _FAREWELL, _PAUSE = b"L", b"P", b"Q", b"S"
_LOOK = 0.05  # seconds between two looks at a stopped target


class Keeper:
    """Our end. Make it before the target is started: it is forked here."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _keep(theirs)
        theirs.close()
        self._socket = ours

    def watch_listener(self, fd: int) -> None:
        """Hand over a copy of the listener."""
        socket.send_fds(self._socket, [_LISTENER], [fd])

    def watch_process(self, pidfd: int) -> None:
        """Hand over a copy of a process's pidfd."""
        socket.send_fds(self._socket, [_PROCESS], [pidfd])

    def pause(self, target: int) -> None:
        """Stop ourselves as `target` is stopped; the keeper wakes us when it goes on.

        A shell continues both; a `kill -CONT` of the target alone must not leave
        its calls without an answer.
        """
        self._socket.send(_PAUSE + struct.pack("=i", target))
        os.kill(os.getpid(), signal.SIGSTOP)

    def dismiss(self) -> None:
        """Tell it that all is over, and reap it."""
        try:
            self._socket.send(_FAREWELL)
        except OSError as error:  # it was killed by somebody
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
        self.abandon()

    def abandon(self) -> None:
        """End what is left of the target: without the farewell the keeper takes us for dead."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _keep(channel: socket.socket) -> NoReturn:
    status = 1
    try:
        # A session of its own: neither ^C nor a signal to our group reaches it.
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        # Whoever reads the target's output waits for the last descriptor of it.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        mine = channel.fileno()
        if mine != 3:
            os.dup2(mine, 3)
            channel.detach()
            channel = socket.socket(fileno=3)
        os.closerange(4, 1 << 20)
        _wait(channel)
        status = 0
    finally:
        os._exit(status)


def _wait(channel: socket.socket) -> None:
    listener = -1
    processes: set[int] = set()
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd != channel.fileno():
                poll.unregister(fd)
                processes.discard(fd)
                os.close(fd)
                continue
            word, fds, _, _ = socket.recv_fds(channel, 5, 1)
            if word == _LISTENER:
                listener = fds[0]
            elif word == _PROCESS:
                processes.add(fds[0])
                poll.register(fds[0], select.POLLIN)
            elif word[:1] == _PAUSE:
                _wake_with(struct.unpack("=i", word[1:])[0])
            elif word == _FAREWELL:
                return
            else:
                _kill(processes, listener)
                return


def _wake_with(target: int) -> None:
    injector = os.getppid()
    while procfs.state(injector) in ("T", "t", "R", "S", "D"):
        if procfs.state(target) not in ("T", "t"):
            os.kill(injector, signal.SIGCONT)
            return
        time.sleep(_LOOK)


def _kill(processes: set[int], listener: int) -> None:
    for process in processes:
        pidfds.send(process, signal.SIGKILL)
    if listener < 0:
        return
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        for _, events in poll.poll():
            if not events & select.POLLIN:
                return  # POLLHUP alone: no task is left under the filter
            notification = bytearray(80)
            try:
                ioctl(listener, NOTIF_RECV, notification, True)
                os.kill(struct.unpack_from("=I", notification, 8)[0], signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue
