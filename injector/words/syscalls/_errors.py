"""Errors and signals by name, which call can give which error, and which calls to leave alone.

Numbers are x86_64's, which i386 and aarch64 share (asm-generic/errno.h, signal(7)).
"""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType

from . import _errnos, _signals
from ._calls import X86_64

ERRNOS: Mapping[str, int] = MappingProxyType(_errnos.ERRNOS)
"""Every errno of errno(3) with Linux's number, the aliases EWOULDBLOCK, EDEADLOCK, ENOTSUP too."""

# Reversed, so that the first name of a number is the one that stays: EAGAIN, not EWOULDBLOCK.
_ERRNO_NAMES = {number: name for name, number in reversed(_errnos.ERRNOS.items())}

KERNEL_ERRNOS: Mapping[int, str] = MappingProxyType(
    {
        512: "ERESTARTSYS",
        513: "ERESTARTNOINTR",
        514: "ERESTARTNOHAND",
        515: "ENOIOCTLCMD",
        516: "ERESTART_RESTARTBLOCK",
        517: "EPROBE_DEFER",
        518: "EOPENSTALE",
        519: "ENOPARAM",
        521: "EBADHANDLE",
        522: "ENOTSYNC",
        523: "EBADCOOKIE",
        524: "ENOTSUPP",
        525: "ETOOSMALL",
        526: "ESERVERFAULT",
        527: "EBADTYPE",
        528: "EJUKEBOX",
        529: "EIOCBQUEUED",
        530: "ERECALLCONFLICT",
        531: "ENOGRACE",
    }
)
"""Numbers that only the kernel and a tracer see (the kernel's include/linux/errno.h)."""


def errno_number(name: str) -> int | None:
    """The number of an errno, in any case; None for no errno."""
    return ERRNOS.get(name.upper())


def errno_name(number: int) -> str:
    """The name of an errno, also of the kernel's own; the number as text where there is none."""
    return _ERRNO_NAMES.get(number) or KERNEL_ERRNOS.get(number) or str(number)


def errno_message(name: str) -> str:
    """What strerror(3) says of an errno, in English whatever the locale; "" for no errno."""
    number = errno_number(name)
    return "" if number is None else _errnos.MESSAGES[number]


@functools.cache
def _by_syscall() -> Mapping[str, tuple[str, ...]]:
    from . import _call_errnos

    return _call_errnos.BY_SYSCALL


def errnos_of(syscall: str) -> tuple[str, ...]:
    """The errors a call can give by the ERRORS of its manual page, sorted; () if it lists none.

    Besides its page: signal(7) for EINTR, tcp(7) and ip(7) for what a socket adds to read(2).
    """
    return _by_syscall().get(syscall, ())


@functools.cache
def syscalls_with(errno: str) -> frozenset[str]:
    """The calls of x86_64 that can give this error by their manual pages."""
    number = errno_number(errno)
    if number is None:
        return frozenset()
    name = errno_name(number)
    table = _by_syscall()
    return frozenset(call for call in X86_64.numbers if name in table.get(call, ()))


# signal(7): the kernel's real-time signals are 32 to 64; glibc keeps 32 and 33 for itself.
SIGRTMIN, SIGRTMAX = 34, 64

SIGNALS: Mapping[str, int] = MappingProxyType(
    _signals.SIGNALS | {"SIGRTMIN": SIGRTMIN, "SIGRTMAX": SIGRTMAX}
)
"""The signals of signal(7) by name; SIGRTMIN is the C library's, 34."""

_SIGNAL_NAMES = {number: name for name, number in reversed(list(SIGNALS.items()))}
_REAL_TIME = re.compile(r"SIGRT(MIN\+|MAX-)(\d+)")


def signal_number(text: str) -> int | None:
    """The number of `TERM`, `SIGTERM`, `15`, `SIGRTMIN+2`, in any case; None for no signal."""
    if text.isascii() and text.isdigit():
        number = int(text)
        return number if 1 <= number <= SIGRTMAX else None
    name = text.upper()
    name = name if name.startswith("SIG") else "SIG" + name
    if match := _REAL_TIME.fullmatch(name):
        step = int(match[2])
        number = SIGRTMIN + step if match[1] == "MIN+" else SIGRTMAX - step
        return number if SIGRTMIN <= number <= SIGRTMAX else None
    return SIGNALS.get(name)


def signal_name(number: int) -> str:
    """The name of a signal, `SIGRTMIN+2` for the real-time ones; a wrong number as text."""
    if name := _SIGNAL_NAMES.get(number):
        return name
    if SIGRTMIN < number < SIGRTMAX:
        return f"SIGRTMIN+{number - SIGRTMIN}"
    return str(number)
