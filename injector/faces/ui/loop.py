"""The loop: keys, the session's answers and events, the target's output, and a frame now and then.

Runs in a process of its own. Nothing here is needed for the session to go on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Protocol

from injector.faces.ui.client import Link
from injector.faces.ui.dashboard import Dashboard
from injector.faces.ui.keys import Decoder
from injector.faces.ui.leaving import Leaving
from injector.faces.ui.output import Output
from injector.faces.ui.painter import Painter, colors, is_utf8

_FRAME = 0.25  # seconds between two frames
_ESCAPE = 0.05  # an escape key is known by nothing following so long


class Screen(Protocol):
    """The terminal, in raw mode and on its alternate screen."""

    def fileno(self) -> int:
        """Return the descriptor to select on."""

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""

    def read(self) -> bytes:
        """Return what was typed, nothing when it is hung up."""

    def write(self, data: bytes) -> None:
        """Write all of it."""


def run(
    screen: Screen,
    session: int,
    output: Output | None,
    guard: int | None,
    *,
    owner: bool,
    complain: Callable[[str], None],
) -> Leaving:
    """Show a session until it is left.

    `guard` ends it when it is closed at its other end; `owner` says that the session was
    launched with this dashboard; `complain` gets each error that was shown.

    Raises:
        InjectError: there is no such session.
    """
    link = Link(session)
    painter = Painter(screen.write, colors(os.environ), utf8=is_utf8(os.environ))
    dashboard = Dashboard(link, output, owner=owner, complain=complain)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    old = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        return _loop(screen, painter, dashboard, guard, woken)
    finally:
        signal.set_wakeup_fd(old)
        signal.signal(signal.SIGWINCH, before)
        os.close(woken)
        os.close(wake)
        link.close()


def _loop(
    screen: Screen, painter: Painter, dashboard: Dashboard, guard: int | None, woken: int
) -> Leaving:
    decoder = Decoder()
    link = dashboard.link
    size = screen.size()
    due = 0.0
    while dashboard.leaving is None:
        now = time.monotonic()
        dashboard.tick(now)
        if now >= due or dashboard.hurry:
            dashboard.hurry = False
            painter.paint(dashboard.drawing(*size))
            due = now + _FRAME
        wait = _ESCAPE if decoder.pending else dashboard.patience(max(0.0, due - now))
        reads = [screen.fileno(), woken, *([link.fileno()] if link.open else [])]
        reads += [guard] if guard is not None else []
        writes = [link.fileno()] if link.open and link.unsent else []
        ready, writable, _ = select.select(reads, writes, [], wait)
        if guard in ready:
            return Leaving.QUIT
        for key in decoder.flush() if decoder.pending and not ready else ():
            dashboard.key(key)
        if screen.fileno() in ready:
            data = screen.read()
            if not data:
                return Leaving.QUIT
            dashboard.typed(data, decoder)
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            size = screen.size()
            painter.forget()  # resized, or we were suspended and others wrote there
            dashboard.hurry = True
        if link.open and link.fileno() in ready:
            dashboard.receive()
        if writable:
            link.flush()
    return dashboard.leaving
