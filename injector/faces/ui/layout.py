"""The whole screen: which panes there is room for, and where each stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from injector.faces.ui.cells import PLAIN, line
from injector.faces.ui.edges import bottom_lines, head_lines
from injector.faces.ui.keys import PANES, Place
from injector.faces.ui.model import Model
from injector.faces.ui.over import details_lines, help_lines
from injector.faces.ui.panes import pane_lines
from injector.faces.ui.styles import LINE
from injector.faces.ui.view import Drawing, Screenful, View

LEAST = (40, 10)
"""Smaller terminals are only told so."""
WIDE = 120  # from here on calls and tasks stand beside the injections


def draw(model: Model, view: View, output: Screenful | None, width: int, height: int) -> Drawing:
    """Return the whole screen."""
    if width < LEAST[0] or height < LEAST[1]:
        text = f"inject: {LEAST[0]}x{LEAST[1]} at least"
        lines = [line([(text if not row else "", PLAIN)], width) for row in range(height)]
        return Drawing(lines, None, {})
    bottom, cursor = bottom_lines(view, model, width)
    body = height - 2 - len(bottom)
    sizes: dict[Place, tuple[int, int]] = {}
    if view.over is Place.HELP:
        sizes[Place.HELP] = (width, body - 1)
        lines = help_lines(view, width, body)
    elif view.over is Place.DETAILS:
        below = max(body * 2 // 3, min(body, 12))
        sizes[Place.DETAILS] = (width, below - 1)
        lines = _body(model, view, output, width, body - below, sizes) if body > below else []
        lines += details_lines(model, view, width, below)
    else:
        lines = _body(model, view, output, width, body, sizes)
    if cursor is not None:
        cursor = (cursor[0], cursor[1] + 2 + body)
    return Drawing([*head_lines(model, view, width), *lines, *bottom], cursor, sizes)


def _body(
    model: Model,
    view: View,
    output: Screenful | None,
    width: int,
    height: int,
    sizes: dict[Place, tuple[int, int]],
) -> list[Text]:
    """Return the panes, as many as there is room for; the one with the focus always."""

    def pane(place: Place, wide: int, high: int) -> list[Text]:
        sizes[place] = (wide, max(0, high - 1))
        return pane_lines(place, model, view, output, wide, high)

    def beside(places: Sequence[Place], high: int) -> list[Text]:
        half = (width - 1) // 2
        return _join(pane(places[0], half, high), pane(places[1], width - 1 - half, high))

    if view.typing:
        return pane(Place.OUTPUT, width, height)
    if height < 9:
        return pane(view.focus, width, height)
    above = min(max(4, 2 + len(model.rules)), max(4, height // 3))
    rest = height - above
    lower = view.focus if view.focus in PANES[1:] else Place.INJECTIONS
    if rest < 9:
        return pane(Place.RULES, width, above) + pane(lower, width, rest)
    counts = (Place.CALLS, Place.TASKS)
    if width >= WIDE:
        aside = min(max(44, width // 3), 70)
        main = width - 1 - aside
        high = rest * 2 // 5 if output is not None else 0
        beneath = pane(Place.INJECTIONS, main, rest - high)
        if high:
            beneath += pane(Place.OUTPUT, main, high)
        calls = rest // 2
        column = pane(Place.CALLS, aside, calls) + pane(Place.TASKS, aside, rest - calls)
        return pane(Place.RULES, width, above) + _join(beneath, column)
    lines = pane(Place.RULES, width, above)
    if output is None or (rest < 17 and view.focus in counts):
        high = max(5, rest * 2 // 5)
        return lines + pane(Place.INJECTIONS, width, rest - high) + beside(counts, high)
    if rest < 17:
        high = max(5, rest * 2 // 5)
        return lines + pane(Place.INJECTIONS, width, rest - high) + pane(Place.OUTPUT, width, high)
    few, high = max(5, rest // 4), max(5, rest // 3)
    lines += pane(Place.INJECTIONS, width, rest - few - high)
    return lines + beside(counts, few) + pane(Place.OUTPUT, width, high)


def _join(ones: list[Text], others: list[Text]) -> list[Text]:
    joined = []
    for one, other in zip(ones, others, strict=True):
        whole = Text(no_wrap=True, end="")
        whole.append_text(one)
        whole.append("│", LINE)
        whole.append_text(other)
        joined.append(whole)
    return joined
