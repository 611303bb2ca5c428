"""Moving in the panes, and in what lies over them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from injector.faces.ui.keys import Place
from injector.faces.ui.model import Model
from injector.faces.ui.view import View, chosen_of, index_of

WHEEL = 3  # lines


def move(view: View, model: Model, step: int, *, kept: int) -> None:
    """Go so many lines down, or up; there are so many lines of output to scroll back to."""
    if view.over is Place.HELP or (view.over is not None and abs(step) > WHEEL):
        view.scroll = min(max(0, view.scroll + step), 200)
        return
    view.scroll = 0
    match view.focus:
        case Place.RULES:
            view.rule = _other([rule.name for rule in model.rules], view.rule, step)
        case Place.INJECTIONS:
            view.pinned = False
            found = view.hits.of(model, view.filter)
            chosen = index_of(found, view.happened) + step
            last = chosen >= len(found) - (step > 0 and view.happened is None)
            view.happened = None if last else found[max(0, chosen)].number
        case Place.CALLS:
            view.call = _other([row.name for row in model.calls], view.call, step)
        case Place.TASKS:
            view.task = _other([row.task for row in model.tasks], view.task, step)
        case _:
            view.back = min(max(0, view.back - step), kept)


def _other(names: Sequence[str], name: str, step: int) -> str:
    if not names:
        return name
    return names[max(0, min(chosen_of(names, name) + step, len(names) - 1))]
