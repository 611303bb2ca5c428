"""The registers of a stopped tracee that a fault changes, per architecture.

What a register means to a system call is syscall(2), "Architecture calling conventions"; where
it lies, sys/user.h. Only x86_64 yet; another architecture is another class with these methods.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Sequence

from injector.linux import ptrace
from injector.words.errors import NotAvailable

RESTARTS = range(-514, -511)
"""-ERESTARTNOHAND, -ERESTARTNOINTR, -ERESTARTSYS: the call will be made again (linux/errno.h)."""
RESTART_BLOCK = -516
"""-ERESTART_RESTARTBLOCK: it will go on by restart_syscall(2)."""
ERESTARTNOHAND = -514
EINTR = -4

# fmt: off
EINTR_AFTER_STOP = frozenset((
    "accept", "accept4", "connect", "epoll_pwait", "epoll_pwait2", "epoll_wait", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_uring_enter", "ipc", "read", "readv", "recv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "rt_sigtimedwait",
    "rt_sigtimedwait_time64", "semop", "semtimedop", "semtimedop_time64", "send", "sendfile",
    "sendfile64", "sendmmsg", "sendmsg", "sendto", "socketcall", "splice", "write", "writev",
))
# fmt: on
"""Calls that return EINTR after any stop, though no handler ran (signal(7)); those on sockets,
read(2) too, only with a timeout (SO_RCVTIMEO, SO_SNDTIMEO)."""

_WORD = 8
_WIDE = (1 << 64) - 1
# sys/user.h, struct user_regs_struct, by position.
_RBP, _RBX, _R10, _R9, _R8, _RAX, _RCX = 4, 5, 7, 8, 9, 10, 11
_RDX, _RSI, _RDI, _ORIG_RAX, _RIP = 12, 13, 14, 15, 16
_ARGUMENTS = {
    64: (_RDI, _RSI, _RDX, _R10, _R8, _R9),
    32: (_RBX, _RCX, _RDX, _RSI, _RDI, _RBP),
}
_INSTRUCTION = 2  # bytes of `syscall`, and of `int 0x80`
_SET = struct.Struct("=27Q")


class X86_64:
    """x86_64, and i386 code under a 64-bit kernel."""

    instruction = _INSTRUCTION

    def skip(self, tid: int, result: int) -> None:
        """At an entry: make no call, and report this (a negative errno, or a value).

        The result first: should we die between the two, the call is made as if nothing had been.
        """
        ptrace.poke_user(tid, _RAX * _WORD, result)
        ptrace.poke_user(tid, _ORIG_RAX * _WORD, -1)

    def result(self, tid: int) -> int | None:
        """Return what the call reports, signed; None if the task is gone."""
        word = ptrace.peek_user(tid, _RAX * _WORD)
        return None if word is None else word - (1 << 64) if word >> 63 else word

    def set_result(self, tid: int, value: int) -> None:
        """Report something else."""
        ptrace.poke_user(tid, _RAX * _WORD, value)

    def number(self, tid: int) -> int:
        """Return the number of the call the task is in, negative if in none."""
        word = ptrace.peek_user(tid, _ORIG_RAX * _WORD)
        return -1 if word is None or word >> 31 else word

    def set_number(self, tid: int, number: int) -> None:
        """At an entry: make another call."""
        ptrace.poke_user(tid, _ORIG_RAX * _WORD, number)

    def set_argument(self, tid: int, bits: int, index: int, value: int) -> None:
        """Change an argument of code of so many bits."""
        ptrace.poke_user(tid, _ARGUMENTS[bits][index] * _WORD, value)

    call = b"\x0f\x05"
    """The instruction of a system call."""

    def wide(self, everything: bytes) -> bool:
        """Return whether a whole set is that of a task in 64-bit code."""
        return len(everything) == _SET.size

    def calling(self, everything: bytes, at: int, number: int, arguments: Sequence[int]) -> bytes:
        """Return a whole set changed so that the instruction at `at` makes this call."""
        words = list(_SET.unpack(everything))
        for place, value in zip(_ARGUMENTS[64], arguments, strict=False):
            words[place] = value & _WIDE
        words[_RAX], words[_RIP] = number, at
        words[_ORIG_RAX] = _WIDE  # in no call: nothing is to be made again
        return _SET.pack(*words)

    def with_result(self, everything: bytes, value: int) -> bytes:
        """Return a whole set in which the call reports something else."""
        words = list(_SET.unpack(everything))
        words[_RAX] = value & _WIDE
        return _SET.pack(*words)

    def call_of(self, everything: bytes) -> tuple[int, ...]:
        """Return number, result (signed), instruction pointer, six arguments; no call: -1."""
        words = _SET.unpack(everything)
        number, result = (
            word - (1 << 64) if word >> 63 else word for word in (words[_ORIG_RAX], words[_RAX])
        )
        return number, result, words[_RIP], *(words[place] for place in _ARGUMENTS[64])


def registers() -> X86_64:
    """Return the registers of this machine.

    Raises:
        NotAvailable: they are not known.
    """
    machine = platform.machine()
    if machine != "x86_64":
        raise NotAvailable(
            f"the ptrace engine does not know the registers of {machine}",
            help="say --engine notify, which needs none",
        )
    return X86_64()
