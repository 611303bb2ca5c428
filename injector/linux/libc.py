"""The few libc and raw system calls that Python does not offer, through ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import select
import struct
import time
from collections.abc import Iterable, Iterator
from signal import SIGCHLD

_NAMES = ("seccomp", "pidfd_getfd", "tgkill", "rt_sigaction", "clone")
_TABLES = {
    "x86_64": dict(zip(_NAMES, (317, 438, 234, 13, 56), strict=True)),
    "aarch64": dict(zip(_NAMES, (277, 438, 131, 134, 220), strict=True)),
}
_numbers = _TABLES.get(platform.machine(), _TABLES["x86_64"])
SECCOMP = _numbers["seccomp"]
PIDFD_GETFD = _numbers["pidfd_getfd"]
TGKILL = _numbers["tgkill"]
RT_SIGACTION = _numbers["rt_sigaction"]
CLONE = _numbers["clone"]

CLONE_PARENT = 0x8000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLOCK_MONOTONIC = 1
TFD_CLOEXEC = os.O_CLOEXEC
TFD_NONBLOCK = os.O_NONBLOCK

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_keeping_the_lock = ctypes.PyDLL(None, use_errno=True)
_keeping_the_lock.syscall.restype = ctypes.c_long
_libc.signalfd.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_libc.timerfd_create.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.timerfd_settime.argtypes = (
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number: int, *arguments: int) -> int:
    """Make a system call with integer arguments. Raises OSError as syscall(2) fails."""
    wide = [ctypes.c_ulong(argument) for argument in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *wide))


def fork_sibling() -> int:
    """Fork, the child being our parent's (CLONE_PARENT); 0 in the child.

    Only where no other thread runs: nobody is told of the fork, neither Python nor the C library.
    """
    # PyDLL: the interpreter's lock is held all the while, so that the child has it.
    result: int = _keeping_the_lock.syscall(
        ctypes.c_long(CLONE), *[ctypes.c_ulong(one) for one in (CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)]
    )
    return _checked(result)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """Duplicate another process's descriptor (pidfd_getfd(2)); close-on-exec."""
    return syscall(PIDFD_GETFD, pidfd, fd, 0)


def set_no_new_privs() -> None:
    """Give up privilege by execve for good (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    _checked(
        _libc.prctl(
            PR_SET_NO_NEW_PRIVS,
            ctypes.c_ulong(1),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    )


def execve(path: bytes, argv: list[bytes], environment: list[bytes]) -> None:
    """Execute a program (execve(2)) with exactly these words; returns only by OSError.

    os.execve takes a mapping, which cannot hold every environment there is.
    """
    words = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    entries = (ctypes.c_char_p * (len(environment) + 1))(*environment, None)
    _checked(_libc.execve(ctypes.c_char_p(path), words, entries))


def reset_signal(number: int) -> None:
    """Give a signal its default action, also the two that the C library keeps for itself."""
    action = ctypes.create_string_buffer(64)
    syscall(RT_SIGACTION, number, ctypes.addressof(action), 0, 8)


def adopt_orphans(adopt: bool) -> None:
    """Become the parent of descendants that lose theirs, or not (PR_SET_CHILD_SUBREAPER)."""
    words = [ctypes.c_ulong(int(adopt)), *[ctypes.c_ulong(0)] * 3]
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, *words))


def die_with_parent(number: int) -> None:
    """Get a signal when the thread that made this process ends (PR_SET_PDEATHSIG)."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number), *[ctypes.c_ulong(0)] * 3))


@contextlib.contextmanager
def on_this_core() -> Iterator[None]:
    """Keep this thread on the core it is on (sched_setaffinity(2)); children are not to be made.

    Whom it talks with comes there (SYNC_WAKE_UP): to wake another core costs more than to take
    turns. Where that is refused, as by a cpuset that has changed, it runs anywhere.
    """
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {_libc.sched_getcpu()})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


def set_name(name: str) -> None:
    """Set what ps(1) calls this process (PR_SET_NAME); to be called by its first thread."""
    text = ctypes.create_string_buffer(name.encode())
    _checked(_libc.prctl(PR_SET_NAME, text, *[ctypes.c_ulong(0)] * 3))


def undumpable() -> None:
    """Forbid a core file of this process, also one that is piped to a program (core(5))."""
    _checked(_libc.prctl(PR_SET_DUMPABLE, *[ctypes.c_ulong(0)] * 4))


def signalfd(signals: frozenset[int]) -> int:
    """Open a descriptor that reads these signals (signalfd(2)); they must be blocked."""
    mask = 0
    for number in signals:
        mask |= 1 << (number - 1)
    raw = ctypes.create_string_buffer(struct.pack("=Q", mask) + bytes(120), 128)
    return _checked(_libc.signalfd(-1, raw, os.O_CLOEXEC | os.O_NONBLOCK))


class Timer:
    """A one-shot timer on a descriptor (timerfd_create(2)), monotonic nanoseconds."""

    def __init__(self) -> None:
        self.fd = _checked(_libc.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK))

    def set(self, deadline: int | None) -> None:
        """Fire at `deadline` (time.monotonic_ns()), at once if it is past; None: never."""
        rest = 0 if deadline is None else max(1, deadline - time.monotonic_ns())
        spec = struct.pack("=4q", 0, 0, *divmod(rest, 1_000_000_000))
        _checked(_libc.timerfd_settime(self.fd, 0, spec, None))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def clear(self) -> None:
        """Make the descriptor unreadable again after the timer fired."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)


class _Polled(ctypes.Structure):
    """struct pollfd."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class Poll:
    """poll(2) for input, interruptibly: select.poll begins again after a signal (PEP 475)."""

    def __init__(self, fds: Iterable[int]) -> None:
        wanted = [_Polled(fd, select.POLLIN) for fd in fds]
        self._fds = (_Polled * len(wanted))(*wanted)

    def wait(self) -> list[tuple[int, int]]:
        """Return (fd, events) of those that are ready, at least one.

        Raises:
            InterruptedError: a signal came first.
        """
        _checked(_libc.poll(self._fds, len(self._fds), -1))
        return [(one.fd, one.revents) for one in self._fds if one.revents]
