"""The target's own output: what its pseudo-terminal got, as a terminal would show it.

Reads the spool, which has every byte; what is too much to be shown is left out here only.
"""

from __future__ import annotations

import contextlib
import os
import termios
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyte
from rich.errors import StyleSyntaxError
from rich.style import Style

from injector.faces.ui.cells import PLAIN, Piece

_BEHIND = 256 << 10  # bytes: who is so far behind
_LAST = 64 << 10  # looks at these only
_PART = 8 << 10  # at a time, so that keys are not kept waiting
_AT_ONCE = 64 << 10  # between two frames: to show a flood must not cost a processor
_ALTERNATE = frozenset({47, 1047, 1049})  # the other screen, of programs that draw (xterm)
_KEPT = 2000  # lines to scroll back to


@dataclass(frozen=True, slots=True)
class Output:
    """The descriptors of a target's pseudo-terminal: its output in a file, and its master.

    Without `shown` there is no pane of it; Ctrl-C is passed to it all the same.
    """

    spool: int
    master: int
    shown: bool = True


class _Screen(pyte.Screen):
    """Keeps the lines that leave it at the top."""

    def __init__(self, columns: int, lines: int) -> None:
        self.gone: deque[dict[int, Any]] = deque(maxlen=_KEPT)
        self._main: tuple[list[dict[int, Any]], int, int] | None = None
        super().__init__(columns, lines)

    @property
    def scrolls(self) -> bool:
        """Whether lines that leave it are kept: not those of a program that draws."""
        return self._main is None

    def set_mode(self, *modes: int, **how: Any) -> None:
        if how.get("private") and _ALTERNATE.intersection(modes) and self._main is None:
            rows = [dict(self.buffer[row]) for row in range(self.lines)]
            self._main = rows, self.cursor.x, self.cursor.y
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: Any) -> None:
        super().reset_mode(*modes, **how)
        if how.get("private") and _ALTERNATE.intersection(modes) and self._main is not None:
            rows, column, line = self._main
            self._main = None
            self.buffer.clear()
            drop = max(0, line + 1 - self.lines)  # the pane may be smaller now
            self.gone.extend(rows[:drop])
            for number, row in enumerate(rows[drop : drop + self.lines]):
                self.buffer[number].update(row)
            self.cursor.x, self.cursor.y = min(column, self.columns - 1), line - drop

    def index(self) -> None:
        top = self.margins.top if self.margins else 0
        bottom = self.margins.bottom if self.margins else self.lines - 1
        if self.cursor.y == bottom and not top and self.scrolls:
            self.gone.append(dict(self.buffer[0]))
        super().index()

    def report_device_status(self, mode: int, **_: Any) -> None:
        """Answer nothing: the pane is no terminal that could."""

    def report_device_attributes(self, mode: int = 0, **_: Any) -> None:
        """Answer nothing, as above."""

    def select_graphic_rendition(self, *attributes: int, **private: Any) -> None:
        """Take colours; not what xterm's key options look like (CSI > 4 ; 2 m)."""
        if not private:
            super().select_graphic_rendition(*attributes)


class Pane:
    """The terminal in the output pane."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._at = 0
        self._room = _AT_ONCE
        self._screen = _Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)

    def resize(self, columns: int, lines: int) -> None:
        """Give the pane and the target's terminal another size."""
        if (columns, lines) == (self._screen.columns, self._screen.lines) or min(
            columns, lines
        ) < 1:
            return
        self._fit(lines)
        self._screen.resize(lines, columns)
        self._screen.set_margins()
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetwinsize(self._output.master, (lines, columns))

    def _fit(self, lines: int) -> None:
        """Change the number of lines so that the cursor's stays, and what is above it.

        pyte would cut off lines at the top, whether those below were needed or not.
        """
        screen = self._screen
        rows = [dict(screen.buffer[row]) for row in range(screen.lines)]
        while len(rows) > lines and screen.cursor.y < len(rows) - 1:
            rows.pop()
        drop = max(0, len(rows) - lines)
        back = []
        if screen.scrolls:
            screen.gone.extend(rows[:drop])
            back = [screen.gone.pop() for _ in range(min(len(screen.gone), lines - screen.lines))]
        rows = rows[drop:]
        screen.buffer.clear()
        for number, row in enumerate([*reversed(back), *rows]):
            screen.buffer[number].update(row)
        screen.cursor.y += len(back) - drop
        screen.lines = lines

    def read(self) -> bool:
        """Take what has come, a part of it; return whether there was anything.

        After so much of it there is nothing until the next frame.
        """
        if self._room <= 0:
            return False
        try:
            size = os.fstat(self._output.spool).st_size
            if size - self._at > _BEHIND:
                self._at = size - _LAST
            data = os.pread(self._output.spool, _PART, self._at)
        except OSError:
            return False
        self._at += len(data)
        self._room -= len(data)
        try:
            self._stream.feed(data)
        except (TypeError, ValueError, IndexError, KeyError, AssertionError):
            # A sequence pyte stumbles over must not end the dashboard.
            self._stream = pyte.ByteStream(self._screen)
        return bool(data)

    def write(self, data: bytes) -> None:
        """Type to the target; what its terminal does not take is dropped, as terminals do."""
        with contextlib.suppress(OSError):
            os.write(self._output.master, data)

    @property
    def kept(self) -> int:
        """Lines there are to scroll back to."""
        return len(self._screen.gone)

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and line in the pane."""
        return min(self._screen.cursor.x, self._screen.columns - 1), self._screen.cursor.y

    def frame(self) -> None:
        """Let `read` go on."""
        self._room = _AT_ONCE

    def lines(self, back: int) -> list[list[Piece]]:
        """Return what the pane shows, so many lines scrolled back."""
        screen = self._screen
        rows: list[dict[int, Any]] = [screen.buffer[row] for row in range(screen.lines)]
        if back:
            every = [*screen.gone, *rows]
            first = max(0, len(every) - screen.lines - back)
            rows = every[first : first + screen.lines]
        return [_pieces(row, screen.columns) for row in rows]


def _pieces(row: dict[int, Any], columns: int) -> list[Piece]:
    pieces: list[Piece] = []
    text, style = "", PLAIN
    last = max(
        (
            column
            for column, char in row.items()
            if char.data != " " or char.bg != "default" or char.reverse
        ),
        default=-1,
    )
    for column in range(min(columns, last + 1)):
        char = row.get(column)
        if char is None:
            data, other = " ", PLAIN
        else:
            data = char.data
            other = _style(char.fg, char.bg, char.bold, char.italics, char.underscore, char.reverse)
        if other is not style and text:
            pieces.append((text, style))
            text = ""
        style = other
        text += data
    return [*pieces, (text, style)] if text else pieces


@lru_cache(4096)
def _style(fg: str, bg: str, bold: bool, italic: bool, underline: bool, reverse: bool) -> Style:
    try:
        return Style(
            color=_color(fg), bgcolor=_color(bg), bold=bold or None, italic=italic or None,
            underline=underline or None, reverse=reverse or None,
        )  # fmt: skip
    except (StyleSyntaxError, ValueError):
        return PLAIN


def _color(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(digit in "0123456789abcdef" for digit in name.lower()):
        return f"#{name}"
    bright = name.startswith("bright")
    base = {"brown": "yellow"}.get(name.removeprefix("bright"), name.removeprefix("bright"))
    return f"bright_{base}" if bright else base
