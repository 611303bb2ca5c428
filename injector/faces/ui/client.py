"""The other end of a session's control socket (docs/control.md): ask once, or stay connected."""

from __future__ import annotations

import json
import shlex
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from injector.linux import procfs, rendezvous
from injector.words.errors import InjectError

Message = dict[str, Any]
Then = Callable[[Message], None]
_PART = 1 << 18


def ask(session: int, command: Message) -> Message:
    """Send a command to a session and return its answer.

    Raises:
        InjectError: there is no such session, or it refuses.
    """
    with rendezvous.connect(session) as peer:
        peer.sendall(json.dumps(command).encode() + b"\n")
        answer: Message = json.loads(_line(peer, session))
    if not answer.pop("ok"):
        raise InjectError(answer["error"], help=answer.get("help", ""))
    return answer


def _line(peer: socket.socket, session: int) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        try:
            part = peer.recv(65536)
        except TimeoutError as error:
            raise InjectError(f"session {session} does not answer") from error
        if not part:
            raise InjectError(f"session {session} ended before it answered")
        data += part
    return data


def snapshots() -> Iterator[tuple[int, Message | None]]:
    """Yield each session that runs and how it stands; None for one that does not answer."""
    for session in rendezvous.sessions():
        try:
            yield session, ask(session, {"do": "snapshot"})
        except InjectError:
            if session in rendezvous.sessions():  # else it has just ended
                yield session, None


def find(number: int | None) -> int:
    """Return the session of a number, its own or its target's; the only one for None.

    Raises:
        InjectError: there is none, or several to choose from.
    """
    running = rendezvous.sessions()
    if number is not None:
        if number in running:
            return number
        for session, told in snapshots():
            if told is not None and told["pid"] == number:
                return session
        name = procfs.comm(number)
        if name:
            raise InjectError(
                f"process {number} ({name}) is no session of this user, nor the target of one",
                help="inject ps lists those that run",
            )
        raise InjectError(f"there is no session {number}", help="inject ps lists those that run")
    if len(running) == 1:
        return running[0]
    if not running:
        raise InjectError(
            f"no session runs: there is none in {rendezvous.folder()}",
            help="start one with inject run or inject attach",
        )
    which = ", ".join(f"{session} ({target(told)})" for session, told in snapshots())
    raise InjectError(f"{len(running)} sessions run", help=f"say which: {which}")


def target(told: Message | None) -> str:
    """Return what a session has as its target: its command, not too long."""
    from injector.faces.ui.cells import cut

    if told is None:
        return "does not answer"
    text = shlex.join(map(str, told.get("command", ()))) or str(told.get("process", "?"))
    return cut(text, 40)


class Link:
    """A connection that stays: commands out, answers in their order and events in.

    Nothing here blocks; whoever owns it selects on `fileno` and calls `receive`.
    """

    def __init__(self, session: int) -> None:
        """Connect.

        Raises:
            InjectError: there is no such session.
        """
        self._session = session
        self._connect()

    def _connect(self) -> None:
        self._socket = rendezvous.connect(self._session)
        self._socket.setblocking(False)
        self._waiting: deque[Then] = deque()
        self._unread = bytearray()
        self._unsent = bytearray()
        self.open = True

    def reopen(self) -> bool:
        """Connect anew, what was not answered forgotten; return False if the session is over.

        A session drops who watches and does not read.
        """
        self.close()
        try:
            self._connect()
        except InjectError:
            return False
        return True

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether `flush` is to be called when the socket takes more."""
        return bool(self._unsent)

    def send(self, command: Message, then: Then) -> None:
        """Send a command; `then` gets its answer, as it is, from within `receive`."""
        self._waiting.append(then)
        self._unsent += json.dumps(command).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits, as much as the socket takes."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # what it said before its end can still be read

    def receive(self) -> list[Message]:
        """Return the events that came, and hand answers to those who wait for them."""
        try:
            data = self._socket.recv(_PART)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.open = False
            return []
        self._unread += data
        if b"\n" not in data:
            return []
        *lines, rest = self._unread.split(b"\n")
        self._unread = bytearray(rest)
        events = []
        for line in lines:
            message: Message = json.loads(line)
            if "event" in message:
                events.append(message)
            elif self._waiting:
                self._waiting.popleft()(message)
        return events

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        self._socket.close()
