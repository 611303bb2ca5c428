"""A small process that forks in our place.

After a fork(2) each page that either side writes is a page fault, and Python writes to every page
that it looks at: for one who makes many runs this is half of what a run costs. The forker has
few pages. Its children are made ours (CLONE_PARENT of clone(2)), as if we had forked.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from injector.linux import libc
from injector.words.errors import InjectError

if TYPE_CHECKING:
    from injector.linux.launch import Apart
    from injector.linux.signals import Inherited

_SIZE = struct.Struct("=Q")
_PID = struct.Struct("=i")
_DESCRIPTORS = 5


class Forker:
    """Our end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from injector.linux.forker import serve; serve({theirs.fileno()}, {os.getpid()})"
        )
        self._process = subprocess.Popen(
            # What it does not import it does not copy.
            [sys.executable, "-S", "-E", "-c", program],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self._socket = ours

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def fork(
        self,
        path: str,
        argv: list[str],
        program: bytes,
        report: int,
        go: int,
        inherited: Inherited,
        flags: int,
        apart: Apart,
    ) -> int:
        """Make a child of ours that does what `launch` has one do; return its number.

        Raises:
            InjectError: the forker is gone, or there is no room for a process.
        """
        wish = (path, argv, program, inherited, flags, replace(apart, forker=None))
        data = pickle.dumps(wish)
        fds = [report, go, *apart.stdio]
        try:
            socket.send_fds(self._socket, [_SIZE.pack(len(data))], fds)
            self._socket.sendall(data)
            answer = self._socket.recv(_PID.size, socket.MSG_WAITALL)
        except OSError:
            answer = b""
        if len(answer) < _PID.size:
            raise InjectError("the process that forks for us was killed")
        pid: int = _PID.unpack(answer)[0]
        if pid < 0:
            raise InjectError(f"the system refused a process: {os.strerror(-pid)}")
        return pid

    def close(self) -> None:
        """End it."""
        self._socket.close()
        # Who waits for any child may have reaped it.
        with contextlib.suppress(OSError):
            self._process.wait()


def serve(fd: int, parent: int) -> None:
    """Fork whenever it is asked for on a socket, until that is closed."""
    from injector.linux.launch import child

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc.die_with_parent(signal.SIGKILL)
    channel = socket.socket(fileno=fd)
    channel.set_inheritable(False)
    if os.getppid() != parent:
        return
    while True:
        head, fds, _, _ = socket.recv_fds(
            channel, _SIZE.size, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC | socket.MSG_WAITALL
        )
        if len(head) < _SIZE.size:
            return
        wish = b""
        size = _SIZE.unpack(head)[0]
        while len(wish) < size:
            part = channel.recv(size - len(wish))
            if not part:
                return
            wish += part
        path, argv, program, inherited, flags, apart = pickle.loads(wish)
        report, go, *stdio = fds
        try:
            pid = libc.fork_sibling()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            surroundings = replace(apart, stdio=tuple(stdio))
            child(path, argv, program, report, go, inherited, flags, surroundings)
        for one in fds:
            os.close(one)
        channel.sendall(_PID.pack(pid))
