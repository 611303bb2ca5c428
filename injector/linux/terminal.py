"""Terminals: pseudo-terminals, sessions of their own, modes and sizes (pty(7), tty_ioctl(4))."""

from __future__ import annotations

import fcntl
import os
import termios
import tty
from typing import Any, TypeAlias

Modes: TypeAlias = list[Any]
"""What tcgetattr(3) tells."""


def controlling() -> int | None:
    """Open our controlling terminal, None if there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def pair(like: int) -> tuple[int, int]:
    """Open a pseudo-terminal with the modes and the size of another one: master and slave.

    Raises:
        OSError: there is none to be had.
    """
    master, slave = os.openpty()
    termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(like))
    columns, lines = size(like)
    set_size(master, columns, lines)
    return master, slave


def lead(slave: int) -> None:
    """Become the leader of a session whose controlling terminal this is."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def size(fd: int) -> tuple[int, int]:
    """Return columns and lines; 80 and 24 where nobody knows."""
    try:
        lines, columns = termios.tcgetwinsize(fd)
    except termios.error:
        return 80, 24
    return columns or 80, lines or 24


def set_size(fd: int, columns: int, lines: int) -> None:
    """Set it; the kernel tells the foreground processes by SIGWINCH. Hung up, it has none."""
    try:
        termios.tcsetwinsize(fd, (lines, columns))
    except (OSError, termios.error):
        return


def modes(fd: int) -> Modes:
    """Return the modes, to be restored later."""
    return termios.tcgetattr(fd)


def restore(fd: int, before: Modes) -> None:
    """Set modes as they were; what was typed and not read stays. Hung up, it has none."""
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
    except (OSError, termios.error):
        return


def raw(fd: int) -> None:
    """Pass every byte both ways as it is: no echo, no lines, no signals."""
    tty.setraw(fd, termios.TCSADRAIN)
