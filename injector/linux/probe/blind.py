"""What no system call injector sees: io_uring, the vDSO, mapped files."""

from __future__ import annotations

import ctypes
import errno
import os
import time

from injector.linux import libc
from injector.linux.probe.filters import RET_ERRNO, install, program
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.host import read
from injector.linux.probe.trial import Channel, attempt, number
from injector.words.syscalls import VDSO

_DISABLED = "/proc/sys/kernel/io_uring_disabled"


def _io_uring(channel: Channel) -> None:
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, linux/io_uring.h
    os.close(libc.syscall(number("io_uring_setup"), 1, ctypes.addressof(parameters)))
    channel.tell(made=True)


def io_uring() -> Finding:
    """Set up a ring: io_uring_setup(2); kernel.io_uring_disabled, admin-guide/sysctl/kernel.rst.

    What is asked for through a ring never passes a filter or a tracer: seccomp sees io_uring_enter
    at most.
    """
    tried = attempt(_io_uring)
    setting = read(_DISABLED)
    shown = f"kernel.io_uring_disabled={setting}" if setting else "no kernel.io_uring_disabled"
    if not tried["made"]:
        return Finding(
            "io-uring",
            State.OK,
            f"cannot be used here ({tried.why}; {shown}): no way around the rules",
        )
    return Finding(
        "io-uring",
        State.INFO,
        f"works here ({shown}): what a program does through it is not seen",
        "What is read, written, opened or connected through a ring reaches no rule. Programs fall "
        "back when there is no io_uring.",
        "inject run -e io_uring_setup:error=ENOSYS ... takes it away from the target",
    )


def _vdso(channel: Channel) -> None:
    install(program("clock_gettime", RET_ERRNO | errno.EPERM))
    try:
        time.clock_gettime(time.CLOCK_MONOTONIC)
        channel.tell(unseen=True)
    except OSError:
        channel.tell(unseen=False)


def vdso() -> Finding:
    """Ask for the time under a filter that fails clock_gettime (vdso(7)).

    With some clock sources (an old Xen, hpet) the vDSO itself makes the call.
    """
    tried = attempt(_vdso)
    names = ", ".join(sorted(VDSO))
    if tried["unseen"] is False:
        return Finding("vdso", State.OK, "on this machine clock_gettime enters the kernel")
    told = (
        "the time was told although a filter forbids it"
        if tried["unseen"]
        else f"could not be tried ({tried.why})"
    )
    return Finding(
        "vdso",
        State.INFO,
        f"calls answered without the kernel are not seen: {told}",
        f"Rules on these rarely fire: {names}.",
        "to change a program's time, use libfaketime or a time namespace",
    )


def mapped_files() -> Finding:
    """Say what mmap(2) hides: a load or a store is no system call."""
    return Finding(
        "mapped-files",
        State.INFO,
        "reads and writes of mapped files are not seen",
        "They make no system call. mmap, msync, fsync, ftruncate and fallocate do.",
        "inject run -e mmap:fd=file:error=ENODEV ... for programs that can do without",
    )
