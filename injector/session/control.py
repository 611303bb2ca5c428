"""The control socket of a session: commands in, answers and events out (docs/control.md).

One JSON object a line each way. Nothing here ever blocks: a watcher that does not read is
dropped when its buffer is full, so that no watcher can slow the target.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

from injector.linux import rendezvous
from injector.linux.doorbell import Doorbell
from injector.words.errors import InjectError, ScenarioError
from injector.words.events import Event, Injection, as_json

FORMAT = 1
_LONGEST = 1 << 16  # bytes of a command
_MOST = 1 << 22  # bytes that wait for a watcher before it is dropped
_A_SECOND = 500  # injections that watchers are told of
_FAREWELL = 2.0  # seconds that the watchers have at the end to take what waits for them
_READ, _WRITE = 1, 4  # EPOLLIN, EPOLLOUT

Obey = Callable[[str, dict[str, Any]], dict[str, Any]]
Recent = Callable[[], list[dict[str, Any]]]


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class _Peer:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.unread = b""
        self.unsent = bytearray()
        self.watches = False


class ControlSocket:
    """The sockets; `obey` carries a command out and returns what to answer,
    `recent` the last injections for one who begins to watch."""

    def __init__(
        self, bell: Doorbell, obey: Obey, recent: Recent, pid: int, *, closed: bool = False
    ) -> None:
        """Open the socket, if this machine lets us; without it nobody can steer the session.

        Args:
            pid: the process that people know the session by.
            closed: nobody may.
        """
        self._bell = bell
        self._pid = pid
        self._obey = obey
        self._recent = recent
        self._peers: dict[int, _Peer] = {}
        self._watchers: list[_Peer] = []
        self._second = self._told = 0  # injections that watchers were told of, in which second
        self._skipped = 0
        self._listener: socket.socket | None = None
        if closed:
            return
        try:
            self._listener, self._path = rendezvous.listen(pid)
        except (OSError, InjectError):
            return
        bell.add(self._listener.fileno())

    def owns(self, fd: int) -> bool:
        """Return whether a descriptor is one of ours."""
        return fd in self._peers or (self._listener is not None and fd == self._listener.fileno())

    def serve(self, fd: int) -> None:
        """Do what a ready descriptor asks for."""
        peer = self._peers.get(fd)
        if peer is None:
            assert self._listener is not None
            while (connection := rendezvous.admit(self._listener)) is not None:
                self._peers[connection.fileno()] = _Peer(connection)
                self._bell.add(connection.fileno())
            return
        self._flush(peer)
        try:
            data = peer.socket.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            return
        *lines, peer.unread = (peer.unread + data).split(b"\n")
        for line in lines:
            self._send(peer, _line(self._answer(peer, line)))
        if len(peer.unread) > _LONGEST:
            self._drop(peer)

    def _answer(self, peer: _Peer, line: bytes) -> dict[str, Any]:
        try:
            words = json.loads(line)
            do = words.pop("do")
        except (ValueError, KeyError, AttributeError, TypeError):
            return {"ok": False, "error": 'a command is a line like {"do": "snapshot"}'}
        if do == "watch":
            peer.watches = True
            self._watchers.append(peer)
            return {
                "ok": True,
                "control": FORMAT,
                "pid": self._pid,
                "recent": self._recent(),
            }
        try:
            return {"ok": True, **self._obey(do, words)}
        except ScenarioError as error:
            first = error.mistakes[0]
            text = "; ".join(mistake.message for mistake in error.mistakes)
            return {"ok": False, "error": text, "help": first.help, "column": first.column}
        except InjectError as error:
            return {"ok": False, "error": error.message, "help": error.help}

    def show(self, event: Event) -> None:
        """Tell the watchers of an event."""
        if not self._watchers:
            return
        if isinstance(event, Injection):
            if int(event.t) != self._second:
                self._second, self._told = int(event.t), 0
            if self._told >= _A_SECOND:
                self._skipped += 1
                return
            self._told += 1
        line = as_json(event)
        if self._skipped:
            line["watch_skipped"], self._skipped = self._skipped, 0
        self.tell(line)

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the watchers something."""
        data = _line(message)
        for peer in list(self._watchers):
            self._send(peer, data)

    def _send(self, peer: _Peer, data: bytes) -> None:
        peer.unsent += data
        self._flush(peer)

    def _flush(self, peer: _Peer) -> None:
        fd = peer.socket.fileno()
        if fd < 0:
            return
        waited = bool(peer.unsent)
        try:
            while peer.unsent:
                del peer.unsent[: peer.socket.send(peer.unsent)]
        except BlockingIOError:
            if len(peer.unsent) > _MOST:
                self._drop(peer)
                return
        except OSError:
            self._drop(peer)
            return
        if waited:
            self._bell.change(fd, _READ | (_WRITE if peer.unsent else 0))

    def _drop(self, peer: _Peer) -> None:
        fd = peer.socket.fileno()
        if self._peers.pop(fd, None) is None:
            return
        if peer.watches:
            self._watchers.remove(peer)
        self._bell.remove(fd)
        peer.socket.close()

    def close(self) -> None:
        """Take the socket away; what was told stays readable for the others."""
        until = time.monotonic() + _FAREWELL
        for peer in list(self._peers.values()):
            if peer.unsent:
                peer.socket.settimeout(max(until - time.monotonic(), 0.001))
                with contextlib.suppress(OSError):
                    peer.socket.sendall(peer.unsent)
            self._drop(peer)
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
