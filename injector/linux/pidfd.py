"""Processes by descriptor: their end, their status, signals to them (pidfd_open(2))."""

from __future__ import annotations

import os
import select
import signal
import struct
from fcntl import ioctl

from injector.linux import libc, procfs

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info) of 64 bytes: mask, cgroupid,
# eleven 32-bit ids, exit_code. The exit status is there once the process is reaped.
_GET_INFO = 0xC040FF0B
_INFO_EXIT = 8


def status(pid: int, pidfd: int) -> int | None:
    """Return the wait status of an ended process that is not our child, None if not to be had."""
    code = procfs.exit_code(pid)
    if code is not None:
        return code
    info = bytearray(struct.pack("=Q", _INFO_EXIT) + bytes(56))
    try:
        ioctl(pidfd, _GET_INFO, info, True)
    except OSError:  # before Linux 6.15
        return None
    mask, code = struct.unpack_from("=Q52xi", info)
    return int(code) if mask & _INFO_EXIT else None


def pid(pidfd: int) -> int:
    """Return the process's number, -1 if it is gone (pidfd_open(2), fdinfo)."""
    for line in procfs.fdinfo(pidfd).splitlines():
        if line.startswith(b"Pid:"):
            return int(line[4:])
    return -1


def ended(pidfd: int, seconds: float = 0) -> bool:
    """Return whether the process ends within so many seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def zombie(pid: int) -> bool:
    """Return whether a process has ended and nobody has waited for it yet.

    Not so one whose leader alone has ended: by pthread_exit(3), or in another thread's
    execve(2), where /proc/PID/stat says Z for a moment.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return ended(fd)
    finally:
        os.close(fd)


def send(pidfd: int, number: int) -> bool:
    """Send a signal to a process; False if it is gone."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def send_thread(tgid: int, tid: int, number: int) -> bool:
    """Send a signal to one thread (tgkill(2)); False if it is gone."""
    try:
        libc.syscall(libc.TGKILL, tgid, tid, number)
    except ProcessLookupError:
        return False
    return True
