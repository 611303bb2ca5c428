"""`inject watch`: the live dashboard of a session that runs already, or its faults as lines."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from injector.faces.cli.printer import fault_line
from injector.faces.plain import plain
from injector.faces.ui import front
from injector.faces.ui.client import Link, Message, find
from injector.faces.ui.leaving import Leaving
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
    if os.isatty(1) and not front.refusal():
        _draw(found)
    else:
        _lines(found)


def _draw(session: int) -> None:
    from injector.faces.ui import loop
    from injector.faces.ui.terminal import Terminal

    def show(screen: Terminal, guard: int, complain: Callable[[str], None]) -> int:
        return loop.run(screen, session, None, guard, owner=False, complain=complain)

    left = front.guard(show)
    if left < 0:
        die_by(-left)
    if left not in set(Leaving):
        sys.exit(125)


def _lines(session: int) -> None:
    """Print each fault as a line, and how the session ended.

    Raises:
        InjectError: it was killed.
    """
    link = Link(session)
    told: list[Message] = []
    link.send({"do": "watch"}, lambda answer: told.extend(answer.get("recent", ())))
    while True:
        select.select([link], [], [])
        events = link.receive()
        if not link.open:
            # A session drops who does not read: a pager at the other end of a pipe.
            if not link.reopen():
                break
            link.send({"do": "watch"}, lambda answer: None)
            told.append({"event": "missing"})
        try:
            for event in (*told, *events):
                text = _text(event)
                if text:
                    click.echo(plain(text))
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
        case "missing":
            return "inject: lines are missing here: the session waits for nobody who does not read"
        case "footer":
            return f"inject: the session is over: {outcome_words(event)}, {event['t']:.2f} s"
        case _:
            return ""
