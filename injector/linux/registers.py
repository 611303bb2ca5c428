"""The registers of a stopped tracee that a fault changes, per architecture.

What a register means to a system call is syscall(2), "Architecture calling conventions"; where
it lies, sys/user.h. Only x86_64 yet; another architecture is another class with these methods.
"""

from __future__ import annotations

import platform

from injector.linux import ptrace
from injector.words.errors import NotAvailable

RESTARTS = range(-514, -511)
"""-ERESTARTNOHAND, -ERESTARTNOINTR, -ERESTARTSYS: the call will be made again (linux/errno.h)."""
RESTART_BLOCK = -516
"""-ERESTART_RESTARTBLOCK: it will go on by restart_syscall(2)."""
ERESTARTNOHAND = -514

_WORD = 8
# sys/user.h, struct user_regs_struct, by position.
_RBP, _RBX, _R10, _R9, _R8, _RAX, _RCX = 4, 5, 7, 8, 9, 10, 11
_RDX, _RSI, _RDI, _ORIG_RAX, _RIP, _RSP = 12, 13, 14, 15, 16, 19
_ARGUMENTS = {
    64: (_RDI, _RSI, _RDX, _R10, _R8, _R9),
    32: (_RBX, _RCX, _RDX, _RSI, _RDI, _RBP),
}
_INSTRUCTION = 2  # bytes of `syscall`, and of `int 0x80`


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

    def place(self, tid: int) -> tuple[int, int]:
        """Return instruction and stack pointer."""
        ip = ptrace.peek_user(tid, _RIP * _WORD)
        sp = ptrace.peek_user(tid, _RSP * _WORD)
        return ip or 0, sp or 0


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
