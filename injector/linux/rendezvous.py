"""Where sessions can be found: one Unix socket each, in a folder that only their user may enter.

unix(7): the folder's mode keeps others out, and the peer's uid (SO_PEERCRED) is checked besides.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from pathlib import Path

from injector.words.errors import InjectError

_PEER = struct.Struct("=3i")  # struct ucred: pid, uid, gid


def folder() -> Path:
    """Return the folder of this user's sessions: XDG_RUNTIME_DIR/inject, else one in /tmp."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK) and os.stat(runtime).st_uid == os.geteuid():
        return Path(runtime, "inject")
    return Path(f"/tmp/inject-{os.geteuid()}")


def _ready() -> Path:
    """Make the folder, if there is none; return it.

    Raises:
        InjectError: it cannot be made, or is not ours alone.
    """
    place = folder()
    try:
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        status = place.lstat()
    except OSError as error:
        raise InjectError(f"no control socket: {place}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise InjectError(
            f"no control socket: {place} is not a folder of this user",
            help="take it away, or set XDG_RUNTIME_DIR",
        )
    if status.st_mode & 0o77:
        raise InjectError(
            f"no control socket: others may enter {place}, its mode is {status.st_mode & 0o777:o}",
            help=f"chmod 700 {place}",
        )
    return place


def check() -> None:
    """Make sure that a session of ours could be found.

    Raises:
        InjectError: why it could not.
    """
    _ready()


def listen(pid: int) -> tuple[socket.socket, Path]:
    """Open the socket of the session that this process number stands for.

    Raises:
        InjectError: the folder cannot be made, or is not ours alone.
        OSError: there is no socket to be had.
    """
    place = _ready()
    path = place / f"{pid}.sock"
    # Under its name only when it listens: one that refuses is taken for that of a dead session.
    early = place / f".{pid}.new"
    early.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(early))
        listener.listen(16)
        early.rename(path)
    except OSError:
        listener.close()
        raise
    return listener, path


def admit(listener: socket.socket) -> socket.socket | None:
    """Accept a connection, None if nobody waits, or somebody who has no business here."""
    try:
        peer, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    if _PEER.unpack(raw)[1] not in (0, os.geteuid()):
        peer.close()
        return None
    peer.setblocking(False)
    return peer


def sessions() -> list[int]:
    """Return the process numbers of this user's sessions that answer; forget dead ones."""
    alive = []
    try:
        paths = sorted(folder().glob("*.sock"), key=lambda path: path.stem.zfill(12))
    except OSError:
        return []
    for path in paths:
        if not path.stem.isdecimal():
            continue
        try:
            connect(int(path.stem)).close()
            alive.append(int(path.stem))
        except InjectError:
            continue
    return alive


def connect(pid: int) -> socket.socket:
    """Connect to the session of an `inject` with this process number.

    Raises:
        InjectError: there is none, or it does not answer.
    """
    path = folder() / f"{pid}.sock"
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(10)
    try:
        peer.connect(str(path))
    except ConnectionRefusedError as error:  # killed before it could take it away
        peer.close()
        path.unlink(missing_ok=True)
        raise InjectError(
            f"session {pid} is over", help="inject ps lists those that run"
        ) from error
    except OSError as error:
        peer.close()
        raise InjectError(
            f"there is no session {pid}", help="inject ps lists those that run"
        ) from error
    return peer
