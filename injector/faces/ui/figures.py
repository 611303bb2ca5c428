"""Numbers as people read them, in so many cells: counts, rates, times, bars, sparklines. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from injector.faces.ui.cells import Piece
from injector.faces.ui.styles import GOOD, GRAPH, ODD


def elapsed(seconds: float) -> str:
    """Return a time span as a clock shows it."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def count(number: float) -> str:
    """Return a count in at most six cells."""
    if number < 100_000:
        return f"{number:.0f}"
    for unit in "kMGTP":
        number /= 1000
        if number < 1000:
            return f"{number:.0f}{unit}" if number >= 100 else f"{number:.1f}{unit}"
    return "many"


def rate(number: float) -> str:
    """Return a rate a second in at most six cells."""
    return f"{number:.1f}" if 0 < number < 9.95 else count(number)


def chance(value: float) -> str:
    """Return a probability in at most five cells."""
    percent = value * 100
    if percent in (0, 100) or percent >= 10:
        return f"{percent:.3g}%"
    return f"{percent:.2g}%" if percent >= 0.01 else "<.01%"


_LEVELS = "▁▂▃▄▅▆▇█"


def bar(fired: int, expected: float, width: int) -> list[Piece]:
    """Return fired against expected: at the mark they are the same, at the end it is double."""
    half = width // 2
    ratio = fired / expected if expected else (2.0 if fired else 0.0)
    # One standard deviation is at most the root of the expectation.
    usual = abs(fired - expected) <= 2 * math.sqrt(expected) + 1
    style = GRAPH + (GOOD if usual else ODD)
    below = filled(min(1.0, ratio), half)
    above = filled(min(1.0, max(0.0, ratio - 1)), width - half - 1)
    return [(below, style), ("┃", GRAPH), (above, style)]


def filled(part: float, width: int) -> str:
    """Return a bar that is full up to a part (0 to 1) of it."""
    halves = round(part * width * 2)
    text = "━" * (halves // 2) + "╸" * (halves % 2)
    return text + "·" * (width - len(text))


def spark(seconds: Sequence[float], width: int, second: int = -1) -> str:
    """Return the last minute as a line of blocks, the newest at the right.

    Args:
        second: the number of the last one. A block keeps its seconds as time goes on, so the
            newest has only those that were; by default it has all.
    """
    size = max(1, len(seconds) // max(1, width))
    newest = (second + 1) % size or size
    ends = range(len(seconds) - newest, -size, -size)
    sums = [sum(seconds[max(0, end) : end + size]) for end in ends][:width][::-1]
    most = max(sums, default=0)
    text = "".join(
        _LEVELS[max(1, math.ceil(one / most * 7))] if one > 0 else _LEVELS[0] for one in sums
    )
    return text.rjust(width, _LEVELS[0])
