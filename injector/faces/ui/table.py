"""What panes are made of: titles, notes and the lines of tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from injector.faces.ui.cells import PLAIN, Piece, Pieces, cells, clean, cut, line
from injector.faces.ui.styles import BOLD, DIM, FOCUS, HINT, LINE, SELECTED


def title_line(texts: tuple[str, str], width: int, focused: bool) -> Text:
    """Return the line above a pane: its name, what is said behind it, and a rule to the end."""
    name, more = texts
    pieces: list[Piece] = [("▸ " if focused else "─ ", FOCUS if focused else LINE)]
    pieces += [(name, FOCUS + Style(underline=True) if focused else BOLD), (" ", PLAIN)]
    if more:
        pieces += [(more, DIM), (" ", PLAIN)]
    pieces.append(("─" * max(0, width - cells((clean(t), s) for t, s in pieces)), LINE))
    return line(pieces, width)


def note_lines(texts: Sequence[str], width: int, height: int) -> list[Text]:
    """Return a text in the middle of an empty pane."""
    lines = [line([], width) for _ in range(max(0, (height - len(texts)) // 2))]
    for text in texts[: max(0, height - len(lines))]:
        text = cut(text, width)
        lines.append(
            line([(" " * ((width - cells([(text, PLAIN)])) // 2), PLAIN), (text, HINT)], width)
        )
    return lines


def table_row(
    columns: Sequence[tuple[Pieces, int]], width: int, chosen: bool, focused: bool
) -> Text:
    """Return a line of a table; each column's pieces take exactly its cells."""
    pieces: list[Piece] = [("› " if chosen else "  ", FOCUS if chosen else PLAIN)]
    for index, (parts, _) in enumerate(columns):
        if index:
            pieces.append((" ", PLAIN))
        pieces += parts
    if not chosen or not focused:
        return line(pieces, width)
    # A coloured word would be a coloured block in it; graphs are not reversed.
    plain = [(text, one if one.reverse is False else one.without_color) for text, one in pieces]
    return line(plain, width, SELECTED)


def window(length: int, chosen: int, height: int) -> int:
    """Return the first of the lines to show, so that the chosen one is among them."""
    return max(0, min(chosen - height // 2, length - height))
