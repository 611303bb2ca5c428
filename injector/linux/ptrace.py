"""The requests of ptrace(2), its stops and what they say; registers are in `registers`.

The binding is python-ptrace's; what it has no names for is named here. All requests must
come from the one thread that seized the task. A task that is gone, or not stopped, is
ESRCH: the functions return False or None then, and its death is told by `wait`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import warnings
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

with warnings.catch_warnings():
    # python-ptrace 0.9.9 calls datetime.utcfromtimestamp while it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ptrace.binding.func as _binding
    from ptrace.ctypes_libc import libc as _libc

_ptrace = _libc.ptrace
_ERROR = (1 << 64) - 1

# linux/ptrace.h
SEIZE, INTERRUPT, LISTEN = 0x4206, 0x4207, 0x4208
GETEVENTMSG, SETOPTIONS = 0x4201, 0x4200
GET_SYSCALL_INFO = 0x420E
_GETREGSET, _SETREGSET, _GETSIGMASK, _SETSIGMASK = 0x4204, 0x4205, 0x420A, 0x420B
_GET_RSEQ_CONFIGURATION = 0x420F
_NT_PRSTATUS = 1  # linux/elf.h: the general registers
CONT = _binding.PTRACE_CONT
SYSCALL = _binding.PTRACE_SYSCALL
_DETACH = _binding.PTRACE_DETACH
_PEEKUSER = _binding.PTRACE_PEEKUSER
_POKEUSER = _binding.PTRACE_POKEUSER

O_TRACESECCOMP, O_EXITKILL, O_SUSPEND_SECCOMP = 1 << 7, 1 << 20, 1 << 21
O_FOLLOW = (
    _binding.PTRACE_O_TRACESYSGOOD
    | _binding.PTRACE_O_TRACEFORK
    | _binding.PTRACE_O_TRACEVFORK
    | _binding.PTRACE_O_TRACECLONE
    | _binding.PTRACE_O_TRACEEXEC
)
LAUNCH = O_FOLLOW | O_TRACESECCOMP | O_EXITKILL
"""Options for a target under our filter: without a tracer its calls fail with ENOSYS."""
ATTACH = O_FOLLOW
"""Options for a target that is to live on without us."""
O_STOPS = _binding.PTRACE_O_TRACESYSGOOD
"""Options to stop one thread for a moment."""
WALL = 0x40000000  # wait(2): children of every kind, tracees too


class Event(IntEnum):
    """What a ptrace-event-stop tells of (ptrace(2), "PTRACE_EVENT stops")."""

    FORK = 1
    VFORK = 2
    CLONE = 3
    EXEC = 4
    SECCOMP = 7
    STOP = 128


CREATIONS = (Event.FORK, Event.VFORK, Event.CLONE)

ENTRY, EXIT, SECCOMP = 1, 2, 3
"""The kinds of stop that PTRACE_GET_SYSCALL_INFO tells apart; 0 is any other."""

SyscallInfo: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
"""At an entry: kind, 0, arch, instruction pointer, stack pointer, number, six arguments.
At an exit the sixth is the result, and what follows means nothing."""

_INFO_SIZE = 88
_info = struct.Struct("=BBxxIQQQ6Q")
assert _info.size == 80


@dataclass(frozen=True, slots=True)
class Ended:
    """The task is gone, with this wait status."""

    status: int


@dataclass(frozen=True, slots=True)
class SyscallStop:
    """Entry or exit of a call under PTRACE_SYSCALL."""


@dataclass(frozen=True, slots=True)
class EventStop:
    """A ptrace-event-stop. `signal` is what a STOP is about: SIGTRAP, or the stopping signal."""

    event: int
    signal: int


@dataclass(frozen=True, slots=True)
class SignalStop:
    """A signal is about to be delivered: it must be passed on, or it is lost."""

    signal: int


Stop: TypeAlias = Ended | SyscallStop | EventStop | SignalStop

SYSCALL_STATUS = 0x857F
"""The wait status of a syscall-stop under PTRACE_O_TRACESYSGOOD."""
SECCOMP_STATUS = 0x7057F
"""The wait status of a PTRACE_EVENT_SECCOMP stop."""
_SYSCALL_STOP = SyscallStop()


def decode(status: int) -> Stop:
    """Return what a wait status of a tracee says (ptrace(2)): its event first, then its signal."""
    if status & 0xFF != 0x7F:
        return Ended(status)
    if status >> 16:
        return EventStop(status >> 16, status >> 8 & 0xFF)
    if status == SYSCALL_STATUS:
        return _SYSCALL_STOP
    return SignalStop(status >> 8 & 0xFF)


class Waiter:
    """Waits for any tracee, interruptibly: os.waitpid begins again after a signal (PEP 475)."""

    __slots__ = ("_address", "_status", "_wait")

    def __init__(self) -> None:
        self._status = ctypes.c_int()
        self._address = ctypes.addressof(self._status)
        self._wait = ctypes.CDLL(None, use_errno=True).waitpid
        self._wait.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)

    def block(self) -> tuple[int, int] | None:
        """Return the next (task, status), None if a signal came first.

        Raises:
            ChildProcessError: there is nobody left to wait for.
        """
        tid = self._wait(-1, self._address, WALL)
        if tid > 0:
            return tid, self._status.value
        if ctypes.get_errno() == errno.ECHILD:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        return None


def poll() -> tuple[int, int]:
    """Return what is there to be waited for as (task, status), (0, 0) if nothing is."""
    try:
        return os.waitpid(-1, WALL | os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _failed() -> bool:
    """Return False for a task that is gone; raise what else went wrong."""
    number = ctypes.get_errno()
    if number == errno.ESRCH:
        return False
    raise OSError(number, os.strerror(number))


def request(what: int, tid: int, data: int = 0) -> bool:
    """Make a request without an address: CONT, SYSCALL, LISTEN, INTERRUPT.

    Return False if the task is gone or not stopped.
    """
    return _ptrace(what, tid, 0, data) != _ERROR or _failed()


def seize(tid: int, options: int) -> None:
    """Become a task's tracer without stopping it.

    Raises:
        ProcessLookupError: it is gone.
        PermissionError: it is traced already, a zombie, or not ours to trace.
    """
    if _ptrace(SEIZE, tid, 0, options) == _ERROR:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def set_options(tid: int, options: int) -> bool:
    """Change the options of a stopped tracee; False if it is gone.

    Raises:
        OSError: EPERM, EINVAL: the kernel refuses one of them.
    """
    return _ptrace(SETOPTIONS, tid, 0, options) != _ERROR or _failed()


def detach(tid: int, signal: int = 0) -> bool:
    """Let a stopped tracee go, with the signal it was stopped for; False if it is gone."""
    return _ptrace(_DETACH, tid, 0, signal) != _ERROR or _failed()


def event_message(tid: int) -> int:
    """Return PTRACE_GETEVENTMSG: the new task of a creation, the old one of an exec; 0 if gone."""
    message = ctypes.c_ulong()
    if _ptrace(GETEVENTMSG, tid, 0, ctypes.addressof(message)) == _ERROR:
        _failed()
    return message.value


class Describer:
    """PTRACE_GET_SYSCALL_INFO (Linux 5.3) into one buffer that is used again."""

    __slots__ = ("_address", "_buffer", "_unpack")

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_INFO_SIZE)
        self._address = ctypes.addressof(self._buffer)
        self._unpack = _info.unpack_from

    def at(self, tid: int) -> SyscallInfo | None:
        """Return what the stop is, None if the task is gone."""
        if _ptrace(GET_SYSCALL_INFO, tid, _INFO_SIZE, self._address) == _ERROR:
            _failed()
            return None
        return self._unpack(self._buffer)


def peek_user(tid: int, offset: int) -> int | None:
    """Return a word of the task's user area (PTRACE_PEEKUSER), None if it is gone."""
    ctypes.set_errno(0)
    word: int = _ptrace(_PEEKUSER, tid, offset, 0)
    if word == _ERROR and ctypes.get_errno():
        _failed()
        return None
    return word


def poke_user(tid: int, offset: int, word: int) -> bool:
    """Write a word of the task's user area (PTRACE_POKEUSER); False if it is gone."""
    return _ptrace(_POKEUSER, tid, offset, word & _ERROR) != _ERROR or _failed()


class _Buffer(ctypes.Structure):
    """struct iovec, for the register sets."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_REGISTERS_MOST = 1024


def get_registers(tid: int) -> bytes | None:
    """Return all general registers of a stopped tracee (sys/user.h), None if it is gone.

    A task in 32-bit code has another, shorter set.
    """
    room = ctypes.create_string_buffer(_REGISTERS_MOST)
    buffer = _Buffer(ctypes.addressof(room), _REGISTERS_MOST)
    if _ptrace(_GETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(buffer)) == _ERROR:
        _failed()
        return None
    return room.raw[: buffer.length]


def set_registers(tid: int, registers: bytes) -> bool:
    """Set all general registers of a stopped tracee; False if it is gone."""
    room = ctypes.create_string_buffer(registers, len(registers))
    buffer = _Buffer(ctypes.addressof(room), len(registers))
    return _ptrace(_SETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(buffer)) != _ERROR or _failed()


_SIGNALS = 8  # bytes of the kernel's sigset_t
ALL_SIGNALS = b"\xff" * _SIGNALS


def get_signal_mask(tid: int) -> bytes | None:
    """Return the signals a stopped tracee blocks, None if it is gone."""
    mask = ctypes.create_string_buffer(_SIGNALS)
    if _ptrace(_GETSIGMASK, tid, _SIGNALS, ctypes.addressof(mask)) == _ERROR:
        _failed()
        return None
    return mask.raw


def set_signal_mask(tid: int, mask: bytes) -> bool:
    """Have a stopped tracee block these signals; SIGKILL and SIGSTOP never are. False if gone."""
    room = ctypes.create_string_buffer(mask, _SIGNALS)
    return _ptrace(_SETSIGMASK, tid, _SIGNALS, ctypes.addressof(room)) != _ERROR or _failed()


class _Rseq(ctypes.Structure):
    """struct ptrace_rseq_configuration."""

    _fields_ = (
        ("area", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("signature", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


def restartable_sequences(tid: int) -> int:
    """Return where a stopped tracee's struct rseq lies (rseq(2)); 0 if nowhere, or not known."""
    rseq = _Rseq()
    size = ctypes.sizeof(rseq)
    if _ptrace(_GET_RSEQ_CONFIGURATION, tid, size, ctypes.addressof(rseq)) == _ERROR:
        return 0  # before Linux 5.13
    return int(rseq.area)
