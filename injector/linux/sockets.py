"""Socket addresses: as bytes in the target's memory, and behind its descriptors."""

from __future__ import annotations

import os
import socket

from injector.linux import libc
from injector.words.call import Address


def decode(raw: bytes) -> Address | None:
    """Return a struct sockaddr of AF_INET, AF_INET6 or AF_UNIX as Address, else None."""
    if len(raw) < 2:
        return None
    family = int.from_bytes(raw[:2], "little")
    port = int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET and len(raw) >= 8:
        return Address(socket.inet_ntop(socket.AF_INET, raw[4:8]), port)
    if family == socket.AF_INET6 and len(raw) >= 24:
        return Address(socket.inet_ntop(socket.AF_INET6, raw[8:24]), port)
    if family == socket.AF_UNIX:
        path = raw[2:]
        if path[:1] == b"\0":
            return Address("", 0, "@" + os.fsdecode(path[1:]))
        return Address("", 0, os.fsdecode(path.split(b"\0")[0]))
    return None


def _named(name: object, family: int) -> Address | None:
    if family == socket.AF_UNIX:
        if isinstance(name, bytes):
            return Address("", 0, "@" + os.fsdecode(name[1:]))
        return Address("", 0, name) if isinstance(name, str) and name else None
    if family in (socket.AF_INET, socket.AF_INET6) and isinstance(name, tuple):
        host, port = name[:2]
        return Address(str(host), int(port)) if port else None
    return None


def ends(pidfd: int, fd: int) -> list[Address]:
    """Return the peer and the bound address of another process's socket.

    The socket is duplicated for the moment it takes to ask (pidfd_getfd(2));
    what is not connected, not bound, or not to be had is left out.
    """
    try:
        copy = libc.pidfd_getfd(pidfd, fd)
    except OSError:
        return []
    found = []
    with socket.socket(fileno=copy) as end:
        for ask in (end.getpeername, end.getsockname):
            try:
                address = _named(ask(), end.family)
            except OSError:
                continue
            if address is not None:
                found.append(address)
    return found
