"""`inject watch`: the live dashboard of a session that runs already, or its faults as lines."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import traceback
import tty
from dataclasses import fields
from typing import Any

import click

from injector.faces.cli.printer import fault_line, say
from injector.faces.ui.client import Link, Message, find
from injector.faces.ui.model import outcome_words
from injector.linux.signals import die_by
from injector.words.errors import InjectError
from injector.words.events import Injection


@click.command(
    epilog="\b\nExample:\n"
    "  inject run -q -e 'getppid:error=EIO' -- sleep 3 & sleep 1; inject watch | head",
)
@click.argument("session", required=False, type=click.IntRange(min=1))
def watch(session: int | None) -> None:
    """Show a session that runs, and steer it by keys; ? lists them, q quits.

    SESSION is the number that inject ps shows, of inject or of its target; it may be left out
    while there is only one. The session goes on when this ends. Without a terminal, or with
    TERM=dumb, each fault is a line on the standard output, until the session ends.
    """
    found = find(session)
    if os.isatty(1) and os.isatty(0) and os.environ.get("TERM", "dumb") != "dumb":
        _draw(found)
    else:
        _lines(found)


class _Terminal:
    """The terminal of this process, taken over and given back as it was."""

    def __init__(self) -> None:
        self._before = termios.tcgetattr(0)

    def take(self) -> None:
        tty.setraw(0)
        self.write(b"\x1b[?1049h\x1b[?1000h\x1b[?1006h")

    def give_back(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # it may have been closed
            self.write(b"\x1b[?2026l\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l")
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def fileno(self) -> int:
        return 0

    def size(self) -> tuple[int, int]:
        columns, lines = os.get_terminal_size(1)
        return columns, lines

    def read(self) -> bytes:
        try:
            return os.read(0, 4096)
        except OSError:  # EIO: hung up
            return b""

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]


def _draw(session: int) -> None:
    """Let another process draw, and give the terminal back however that one ends."""
    terminal = _Terminal()
    guarded, guard = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(guard)
        os._exit(_dashboard(terminal, session, guarded))
    os.close(guarded)

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, forward)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        terminal.give_back()
        die_by(os.WTERMSIG(status))
    sys.exit(os.WEXITSTATUS(status))


def _dashboard(terminal: _Terminal, session: int, guard: int) -> int:
    """Draw until it is left; return the exit status."""
    from injector.faces.ui import dashboard

    errors: list[str] = []
    terminal.take()
    try:
        dashboard.run(terminal, session, None, guard, owner=False, complain=errors.append)
        return 0
    except InjectError as error:
        errors.append(error.message)
        return error.status
    except Exception:
        errors.append(traceback.format_exc())
        return 125
    finally:
        terminal.give_back()
        for text in errors:
            say(f"inject: {text}")


def _lines(session: int) -> None:
    """Print each fault as a line, and how the session ended.

    Raises:
        InjectError: it was killed.
    """
    link = Link(session)
    told: list[Message] = []
    link.send({"do": "watch"}, lambda answer: told.extend(answer.get("recent", ())))
    while link.open:
        select.select([link], [], [])
        events = link.receive()
        try:
            for event in (*told, *events):
                text = _text(event)
                if text:
                    click.echo(text)
        except BrokenPipeError:
            # Whoever read has enough; the interpreter would complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        told.clear()
        if any(event["event"] == "footer" for event in events):
            return
    raise InjectError(f"session {session} was killed")


def _text(event: dict[str, Any]) -> str:
    match event["event"]:
        case "injection":
            known = {one.name for one in fields(Injection) if one.init}
            words = {key: value for key, value in event.items() if key in known}
            return fault_line(Injection(**words), many=True)
        case "control":
            return f"inject: {event['what']} {event['detail']}".rstrip()
        case "footer":
            return f"inject: the session is over: {outcome_words(event)}, {event['t']:.2f} s"
        case _:
            return ""
