"""Text in the cells of a terminal: exact widths, and nothing of the target's that a terminal obeys.

A line is made of pieces, a text and a style each, and becomes one rich Text of just so many cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from injector.faces.plain import plain

Piece = tuple[str, Style]
Pieces = Sequence[Piece]
PLAIN = Style()


# Terminals do not agree on the width of what these make of the character before.
_CHANGING = dict.fromkeys([*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400)])


@lru_cache(4096)
def clean(text: str) -> str:
    """Return text as `plain` does, and without what changes the width of a character before it."""
    if text.isascii() and text.isprintable():
        return text
    return plain(text.translate(_CHANGING))


@lru_cache(4096)
def cut(text: str, width: int) -> str:
    """Return at most so many cells of a text; an ellipsis says that there is more."""
    text = clean(text)
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


@lru_cache(4096)
def left(text: str, width: int) -> str:
    """Return exactly so many cells, the text at the left."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


@lru_cache(4096)
def right(text: str, width: int) -> str:
    """Return exactly so many cells, the text at the right."""
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text


def cells(pieces: Iterable[Piece]) -> int:
    """Return how many cells pieces take that are clean already."""
    return sum(cell_len(text) for text, _ in pieces)


def fit(pieces: Iterable[Piece], width: int) -> list[Piece]:
    """Return pieces of exactly so many cells; what is too long is cut, with an ellipsis."""
    made, rest = [], width
    for text, style in pieces:
        text = clean(text)
        taken = cell_len(text)
        if taken > rest:
            made.append((cut(text, rest), style))
            return made
        made.append((text, style))
        rest -= taken
    made.append((" " * rest, PLAIN))
    return made


def line(pieces: Iterable[Piece], width: int, style: Style = PLAIN) -> Text:
    """Return a line of exactly so many cells; what is too long is cut, with an ellipsis."""
    made = Text(style=style, no_wrap=True, end="")
    for text, piece in fit(pieces, width):
        made.append(text, piece)
    return made


def wrap(text: str, width: int) -> list[str]:
    """Return a text as lines of at most so many cells, broken between words where that goes."""
    lines, rest = [], clean(text)
    while cell_len(rest) > width:
        at = taken = 0
        for character in rest:
            taken += cell_len(character)
            if taken > width:
                break
            at += 1
        at = max(at, 1)
        space = rest.rfind(" ", at // 2, at + 1)
        end = space if space > 0 else at
        lines.append(rest[:end])
        rest = rest[end:].removeprefix(" ")
    return [*lines, rest]
