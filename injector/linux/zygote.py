"""A process that starts programs under one filter, again and again.

A filter is inherited, so it is put in once, and what is started is a vfork(2) away from a small
process. It adopts what its programs leave behind, so that all of a program is gone when it has no
child any more. Its own calls are stopped as theirs are: whoever has the listener lets them pass.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import resource
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from injector.linux import libc, procfs, seccomp
from injector.linux import pidfd as pidfds
from injector.linux.launch import Apart, take_listener
from injector.linux.launch import filter_ourselves as _filter_ourselves
from injector.linux.signals import Inherited
from injector.words.errors import InjectError

_ROOM = socket.CMSG_SPACE(3 * 4)  # for three descriptors
_LONGEST = 1 << 17  # bytes of a request; a packet may be longer, but not on every machine


@dataclass(frozen=True, slots=True)
class Over:
    """What a zygote tells of a program: everything of it is gone, or it was not started.

    `statuses` are the wait statuses of its children by number, `error` an errno.
    """

    statuses: tuple[tuple[int, int], ...]
    error: int = 0


class Zygote:
    """Our end. Made by fork(2), so no other thread may run meanwhile."""

    def __init__(
        self,
        program: bytes,
        inherited: Inherited,
        limit: tuple[int, int],
        guard: Callable[[int], None],
    ) -> None:
        """Start it.

        Args:
            program: BPF from `seccomp.build`, which must stop execve.
            inherited: the signal mask and dispositions its programs get.
            limit: how many descriptors they may have.
            guard: told its pidfd before it has a filter.

        Raises:
            InjectError: the kernel refuses the filter or the listener.
        """
        procfs.require()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report, write_end = os.pipe2(os.O_CLOEXEC)
        go, start = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            _be_one(theirs, go, write_end, program, inherited, limit)
        theirs.close()
        os.close(write_end)
        os.close(go)
        self.pidfd = os.pidfd_open(self.pid)
        self._socket = ours
        try:
            guard(self.pidfd)
            os.write(start, b"g")
            self.listener, self.no_new_privs = take_listener("zygote", self.pidfd, report)
        except BaseException:
            pidfds.send(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            ours.close()
            raise
        finally:
            os.close(start)
            os.close(report)

    def fileno(self) -> int:
        """Return the descriptor that is readable when it has something to tell."""
        return self._socket.fileno()

    def start(self, path: str, argv: Sequence[str], apart: Apart) -> bool:
        """Ask for a program; False if that is more than can be asked."""
        request = marshal.dumps(
            (path, list(argv), apart.cwd, list(apart.environment or ())),
        )
        if len(request) > _LONGEST:
            return False
        try:
            socket.send_fds(self._socket, [request], list(apart.stdio))
        except OSError as error:
            raise _lost() from error
        return True

    def heard(self) -> Over:
        """Return what it tells; only where its descriptor is readable.

        Raises:
            InjectError: it is dead.
        """
        try:
            data = self._socket.recv(1 << 16)
        except OSError as error:
            raise _lost() from error
        if not data:
            raise _lost()
        return Over(*marshal.loads(data))

    def close(self) -> None:
        """Close every descriptor of ours; then it ends by itself."""
        self._socket.close()
        os.close(self.listener)
        os.close(self.pidfd)


def _lost() -> InjectError:
    return InjectError("the process that starts the programs was killed; the run was ended")


def _be_one(
    channel: socket.socket,
    go: int,
    report: int,
    program: bytes,
    inherited: Inherited,
    limit: tuple[int, int],
) -> NoReturn:
    try:
        if not os.read(go, 1):  # nobody guards us
            os._exit(125)
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        mine = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in (channel.detach(), report)]
        os.closerange(3, 64)
        os.closerange(max(mine) + 1, 1 << 20)
        channel = socket.socket(fileno=mine[0])
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        inherited.restore()
        libc.adopt_orphans(True)
        flags = seccomp.NEW_LISTENER | seccomp.WAIT_KILLABLE_RECV
        listener = _filter_ourselves(program, flags, mine[1])
        _serve(channel, (listener, mine[1]))
    finally:
        os._exit(0)


def _serve(channel: socket.socket, spare: tuple[int, ...]) -> None:
    """Start what is asked for, one after the other."""
    while True:
        request, told, _, _ = channel.recvmsg(_LONGEST + 1, _ROOM, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        for fd in spare:  # the other side has its own
            os.close(fd)
        spare = ()
        fds = struct.unpack("=3i", told[0][2])
        path, argv, cwd, environment = marshal.loads(request)
        statuses: list[tuple[int, int]] = []
        error = 0
        try:
            # By vfork(2), which nothing here may hinder. Not posix_spawn(3): in its programs the
            # signals are ignored that the C library keeps for itself.
            subprocess.Popen(
                argv,
                executable=path,
                cwd=cwd,
                env=dict(entry.split(b"=", 1) for entry in environment),
                stdin=fds[0],
                stdout=fds[1],
                stderr=fds[2],
                start_new_session=True,
                restore_signals=False,
                close_fds=False,
            ).returncode = 0  # waited for below
        except OSError as failed:
            error = failed.errno or 1
        finally:
            for fd in fds:
                os.close(fd)
        try:
            while True:
                pid, status = os.waitpid(-1, 0)
                statuses.append((pid, status))
        except ChildProcessError:
            channel.send(marshal.dumps((tuple(statuses[:1000]), error)))
