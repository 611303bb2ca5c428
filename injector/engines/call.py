"""A system call that is stopped: its registers, and looks at the target on demand.

Valid until it is answered. Whatever is asked of the target is read at the stop;
another thread may change it afterwards, which no supervisor can help
(seccomp_unotify(2), "time-of-check, time-of-use").
"""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from injector.engines.tasks import Task
from injector.linux import procfs, sockets
from injector.rules.match import signed
from injector.words.call import Address
from injector.words.model import FdKind
from injector.words.syscalls import Arch, Kind, signature

if TYPE_CHECKING:
    from injector.linux.unwind import Frame

    Unwind: TypeAlias = Callable[[int], tuple[Frame, ...]]

PATH_MAX = 4096
_PAGE = 4096
AT_FDCWD = -100


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a syscall's interesting arguments are: indices into its arguments.

    `paths` pairs a path with the descriptor it is relative to (None: the working
    directory); `sockaddr` pairs a socket address with its length.
    """

    paths: tuple[tuple[int, int | None], ...]
    fds: tuple[int, ...]
    sockaddr: tuple[int, int] | None
    msghdr: int | None


@cache
def shape(name: str, arch: Arch) -> Shape:
    """Return a syscall's Shape; all empty for one that is not known."""
    known = signature(name, arch)
    if known is None:
        return Shape((), (), None, None)
    paths = []
    fds = []
    dirfd: int | None = None
    address: int | None = None
    sockaddr: tuple[int, int] | None = None
    msghdr = None
    for index, parameter in enumerate(known.parameters[:6]):
        match parameter.kind:
            case Kind.DIRFD:
                dirfd = index
                fds.append(index)
            case Kind.FD:
                fds.append(index)
            case Kind.PATH:
                paths.append((index, dirfd))
                dirfd = None
            case Kind.SOCKADDR:
                address = index
            case Kind.SOCKLEN if address is not None:
                sockaddr = (address, index)
            case Kind.MSGHDR:
                msghdr = index
            case _:
                pass
    return Shape(tuple(paths), tuple(fds), sockaddr, msghdr)


class StoppedCall:
    """One call at its stop, of either engine."""

    __slots__ = (
        "arch",
        "by_loader",
        "name",
        "raw",
        "role",
        "stack",
        "started",
        "task",
        "unwind",
    )

    arch: Arch
    by_loader: bool
    name: str
    raw: tuple[int, ...]
    role: int
    stack: tuple[Frame, ...] | None
    task: Task

    def __init__(self, started: int, unwind: Unwind | None = None) -> None:
        # The engine fills in the rest, one object for all calls that nobody keeps.
        self.started = started
        self.unwind = unwind
        self.stack = None

    @property
    def args(self) -> tuple[int, ...]:
        """The six argument registers, unsigned."""
        return self.raw[6:]

    @property
    def site(self) -> str:
        """The call's name that is the same in the next run: lineage/name#number."""
        return f"{self.task.lineage}/{self.name}#{self.task.calls[self.name]}"

    def elapsed(self) -> int:
        """Nanoseconds since the target's start."""
        return time.monotonic_ns() - self.started

    def string(self, address: int) -> str:
        """Return the text at `address` up to its NUL, "" if it cannot be read."""
        text = b""
        while len(text) < PATH_MAX:
            at = address + len(text)
            part = self.task.process.read(at, min(256, _PAGE - at % _PAGE))
            end = part.find(b"\0")
            if end >= 0:
                return os.fsdecode(text + part[:end])
            if not part:
                return ""
            text += part
        return ""

    def path_at(self, index: int, dirfd: int | None) -> str:
        """Return the absolute path of a path argument, "" if it cannot be read."""
        text = self.string(self.args[index])
        if text.startswith("/"):
            return posixpath.normpath(text)
        tid = self.task.tid
        base: str | None
        if dirfd is None:
            base = procfs.cwd(tid)
        else:
            fd = signed(self.args[dirfd], 32, True)
            base = procfs.cwd(tid) if fd == AT_FDCWD else procfs.fd_target(tid, fd)
        if not base:
            return ""
        return posixpath.normpath(posixpath.join(base, text)) if text else base

    def paths(self) -> tuple[str, ...]:
        """Absolute paths the call names, and what lies behind its descriptors."""
        known = shape(self.name, self.arch)
        found = [self.path_at(index, dirfd) for index, dirfd in known.paths]
        bases = {dirfd for _, dirfd in known.paths}
        for index in known.fds:
            fd = signed(self.args[index], 32, True)
            if index not in bases and fd >= 0:
                found.append(procfs.fd_target(self.task.tid, fd) or "")
        return tuple(path for path in found if path)

    def process_names(self) -> tuple[str, ...]:
        """The process's name, executable and command line, read now: all may change."""
        process = self.task.process
        return (
            procfs.comm(process.pid),
            process.image.exe or procfs.exe(process.pid),
            procfs.cmdline(process.pid),
        )

    def thread_name(self) -> str:
        """The task's own name."""
        return procfs.comm(self.task.tid)

    def fds(self) -> tuple[int, ...]:
        """The descriptors among its arguments, signed."""
        return tuple(
            signed(self.args[index], 32, True) for index in shape(self.name, self.arch).fds
        )

    def fd_kind(self, fd: int) -> FdKind | None:
        """What stands behind a descriptor, None if nothing."""
        return procfs.fd_kind(self.task.tid, fd)

    def addresses(self) -> tuple[Address, ...]:
        """The call's own socket address, else its descriptor's peer and bound address."""
        own = self._own_address()
        if own is not None:
            return (own, *self._resolved(own))
        found: list[Address] = []
        for fd in self.fds():
            if fd >= 0 and self.fd_kind(fd) is FdKind.SOCKET:
                found += sockets.ends(self.task.process.pidfd, fd)
        return tuple(found)

    def frames(self) -> tuple[Frame, ...]:
        """Its call stack, innermost first; () under an engine that cannot look."""
        if self.unwind is None:
            return ()
        if self.stack is None:
            self.stack = self.unwind(self.task.tid)
        return self.stack

    def callers(self) -> tuple[str, ...]:
        """The functions and libraries of its call stack."""
        return tuple(text for frame in self.frames() for text in frame.texts() if text)

    def _resolved(self, own: Address) -> tuple[Address, ...]:
        """Return a Unix address given by a relative path by its absolute one too."""
        path = own.unix
        base = procfs.cwd(self.task.tid) if path and not path.startswith(("/", "@")) else None
        if not path or not base:
            return ()
        return (own._replace(unix=posixpath.normpath(posixpath.join(base, path))),)

    def _own_address(self) -> Address | None:
        known = shape(self.name, self.arch)
        # accept and recvfrom have an address parameter too, which the kernel writes.
        if self.name not in ("connect", "bind", "sendto", "sendmsg"):
            return None
        read = self.task.process.read
        if known.sockaddr is not None:
            pointer, length = (self.args[index] for index in known.sockaddr)
            length &= 0xFFFF_FFFF
        elif known.msghdr is not None and self.arch.bits == 64:
            header = read(self.args[known.msghdr], 16)
            if len(header) < 16:
                return None
            pointer = int.from_bytes(header[:8], "little")
            length = int.from_bytes(header[8:12], "little")
        else:
            return None
        if pointer == 0 or not 2 <= length <= 128:
            return None
        return sockets.decode(read(pointer, length))
