"""Try something in a forked child that cannot hurt or hang its parent.

A child tells what it learns as it goes, so that a trial which gets stuck still
says how far it came. It has a deadline, dies with its parent (PR_SET_PDEATHSIG,
prctl(2)), is killed by its pid and is always reaped. Nothing here prints.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from injector.linux import libc
from injector.words.syscalls import native

PR_SET_PDEATHSIG = 1
DEADLINE = 3.0  # seconds; the trials take milliseconds, the slowest a tenth of one
_END = "end"


class Channel:
    """One end of a pair over which parent and child tell each other facts."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def tell(self, **facts: Any) -> None:
        """Send these facts as one message; they must be JSON."""
        self.socket.send(json.dumps(facts).encode())

    def hear(self, seconds: float | None = None) -> dict[str, Any] | None:
        """Wait for the next message, None if the other side is gone.

        Raises:
            TimeoutError: nothing came in `seconds`.
        """
        self.socket.settimeout(seconds)
        message = self.socket.recv(65536)
        return json.loads(message) if message else None

    def give(self, fd: int) -> None:
        """Send a descriptor (SCM_RIGHTS, unix(7)); `take` is the other side's part."""
        socket.send_fds(self.socket, [b"{}"], [fd])

    def take(self) -> int:
        """Receive a descriptor."""
        return socket.recv_fds(self.socket, 16, 1)[1][0]


class Child(Channel):
    """A forked process that runs `body(channel)`; killed and reaped on leaving.

    What `body` raises is told as `error` and `errno`; its end as `end`.
    """

    def __init__(self, body: Callable[[Channel], None]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if self.pid == 0:
            ours.close()
            _run(body, Channel(theirs), parent)
        theirs.close()
        super().__init__(ours)

    def expect(self) -> dict[str, Any]:
        """Wait for the next message; raise what the child raised.

        Raises:
            OSError: the child's own, or ChildProcessError if it died without a word.
            RuntimeError: the child raised something else.
        """
        message = self.hear()
        if message is None:
            raise ChildProcessError(errno.ECHILD, "a child of the trial died")
        if "error" not in message:
            return message
        if "errno" in message:
            raise OSError(message["errno"], message["error"])
        raise RuntimeError(message["error"])

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            # A traced child may have a stop to report before its death.
            while os.WIFSTOPPED(os.waitpid(self.pid, 0)[1]):
                pass
        except (ProcessLookupError, ChildProcessError):
            pass  # SIGCHLD is ignored here, so that the kernel reaped it


def _run(body: Callable[[Channel], None], channel: Channel, parent: int) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        libc.syscall(number("prctl"), PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return  # it died before it could be asked to take us along
        body(channel)
        channel.tell(**{_END: True})
    except OSError as error:
        channel.tell(errno=error.errno or 0, error=error.strerror or str(error))
    except BaseException as error:
        channel.tell(error=f"{type(error).__name__}: {error}")
    finally:
        # Never back into the parent's code, its buffers and its exit handlers.
        os._exit(0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a trial told: its facts, and in `why` what ended it early ("" nothing did)."""

    facts: dict[str, Any] = field(default_factory=dict)
    errno: int = 0
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether the trial came to its end."""
        return not self.why

    def __getitem__(self, fact: str) -> Any:
        """Return the fact, None if the trial did not come so far."""
        return self.facts.get(fact)


def attempt(body: Callable[[Channel], None], seconds: float = DEADLINE) -> Attempt:
    """Run `body` in a forked child and return what it told; takes at most `seconds`."""
    facts: dict[str, Any] = {}
    end = time.monotonic() + seconds
    try:
        with Child(body) as child:
            while True:
                message = child.hear(max(0.001, end - time.monotonic()))
                if message is None:
                    return Attempt(facts, 0, "the trial died")
                if _END in message:
                    return Attempt(facts)
                if "error" in message:
                    code = message.get("errno", 0)
                    return Attempt(facts, code, describe(code, message["error"]))
                facts |= message
    except TimeoutError:
        return Attempt(facts, 0, f"no answer within {seconds:g} s")
    except OSError as error:
        return Attempt(facts, error.errno or 0, describe(error.errno or 0, str(error)))


def describe(code: int, text: str = "") -> str:
    """Return an error number as a person reads it: `EPERM: Operation not permitted`."""
    if not code:
        return text
    return f"{errno.errorcode.get(code, code)}: {text or os.strerror(code)}"


def number(name: str) -> int:
    """Return this machine's number of a system call."""
    return native().numbers[name]
