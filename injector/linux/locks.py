"""flock(2): who still uses a file, known also when he was killed."""

from __future__ import annotations

import fcntl
import os


def share(path: str) -> int:
    """Hold a file's lock with others, making the file; return the descriptor that does.

    The lock ends with the last copy of that descriptor. Raises OSError.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def unheld(path: str) -> int | None:
    """Return a descriptor that holds a file's lock alone, None if the file is held or not ours."""
    try:
        if os.lstat(path).st_uid != os.getuid():
            return None
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
