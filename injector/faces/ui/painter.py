"""Lines onto a terminal: only those that changed, each frame as one update.

Writes what is handed to it and nothing else; leaves the cursor where the drawing says.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from injector.faces.ui.view import Drawing

# Synchronized update: terminals that know it show the frame whole, others ignore it. No wrapping
# at the margin meanwhile: should the terminal take a character for wider than we do, only that
# line is wrong.
_BEGIN, _END = "\x1b[?2026h\x1b[?25l\x1b[?7l", "\x1b[0m\x1b[?7h\x1b[?2026l"


def colors(environment: Mapping[str, str]) -> ColorSystem | None:
    """Return the colours of a terminal by its environment, None for none (no-color.org)."""
    if environment.get("NO_COLOR"):
        return None
    term = environment.get("TERM", "")
    if environment.get("COLORTERM") in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    if "256" in term:
        return ColorSystem.EIGHT_BIT
    return None if term in ("vt100", "vt220") else ColorSystem.STANDARD


def is_utf8(environment: Mapping[str, str]) -> bool:
    """Whether a terminal takes UTF-8, by its locale (locale(7)); where none is set it does."""
    names = (environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    first = next(filter(None, names), "UTF-8")
    return "UTF8" in first.upper().replace("-", "")


_ASCII = str.maketrans("─│┃━╸·▸›…—↑↓←→▁▂▃▄▅▆▇█", "-||=-.>>~-^v<>" + "_.:-=+*#")  # cell for cell


def _plain(text: str) -> str:
    text = text.translate(_ASCII)
    return text if text.isascii() else "".join(map(_ascii, text))


def _ascii(character: str) -> str:
    return character if character.isascii() else "?" * cell_len(character)


class Painter:
    """Keeps what the terminal shows."""

    def __init__(
        self, write: Callable[[bytes], None], system: ColorSystem | None, *, utf8: bool = True
    ) -> None:
        self._write = write
        self._utf8 = utf8
        self._system = system
        # Only to resolve styles: it never prints.
        self._console = Console(file=io.StringIO(), color_system=None, width=1000)
        self._shown: list[Text] = []
        self._codes: dict[Style, tuple[str, str]] = {}
        self._cursor: tuple[int, int] | None = None

    def forget(self) -> None:
        """Draw everything anew the next time: the terminal was resized or written to."""
        self._shown = []

    def paint(self, drawing: Drawing) -> None:
        """Bring the terminal to a drawing."""
        out = []
        same = len(self._shown) == len(drawing.lines)
        if not same:
            out.append("\x1b[0m\x1b[2J")
        for row, line in enumerate(drawing.lines):
            if not same or line != self._shown[row]:
                out.append(f"\x1b[{row + 1};1H{self._ansi(line)}")
        if not out and drawing.cursor == self._cursor:
            return
        self._shown, self._cursor = drawing.lines, drawing.cursor
        end = _END
        if drawing.cursor is not None:
            column, row = drawing.cursor
            end += f"\x1b[{row + 1};{column + 1}H\x1b[?25h"
        self._write(("".join((_BEGIN, *out, end))).encode("utf-8", "replace"))

    def _ansi(self, line: Text) -> str:
        parts = []
        for text, style, _ in line.render(self._console):
            before, behind = self._code(style or Style.null())
            parts.append(f"{before}{text if self._utf8 else _plain(text)}{behind}")
        return "".join(parts)

    def _code(self, style: Style) -> tuple[str, str]:
        found = self._codes.get(style)
        if found is None:
            # Bold, reverse and the like are no colours: they stay.
            plain = style if self._system else style.without_color
            shown = plain.render("\0", color_system=self._system or ColorSystem.STANDARD)
            before, _, behind = shown.partition("\0")
            found = self._codes[style] = (before, behind)
            if len(self._codes) > 4096:
                self._codes.clear()
        return found
