"""Moving in the panes, and in what lies over them. Pure."""

from __future__ import annotations

from injector.faces.ui.keys import Place
from injector.faces.ui.model import Model
from injector.faces.ui.view import View, index_of

WHEEL = 3  # lines


def move(view: View, model: Model, step: int, *, page: int, kept: int) -> None:
    """Go so many lines down, or up.

    Args:
        page: how many lines the pane with the focus shows.
        kept: how many lines of output there are to scroll back to.
    """
    if view.over is Place.HELP or (view.over is not None and abs(step) > WHEEL):
        view.scroll = min(max(0, view.scroll + step), 200)
        return
    view.scroll = 0
    match view.focus:
        case Place.RULES:
            names = [rule.name for rule in model.rules]
            if names:
                chosen = names.index(view.rule) if view.rule in names else 0
                view.rule = names[_within(chosen + step, len(names))]
        case Place.INJECTIONS:
            view.pinned = False
            found = view.hits.of(model, view.filter)
            chosen = index_of(found, view.happened) + step
            last = chosen >= len(found) - (step > 0 and view.happened is None)
            view.happened = None if last else found[max(0, chosen)].number
        case Place.CALLS:
            room = len(model.calls) - page
            view.call = _within(view.call + step, max(1, room + 1))
        case Place.TASKS:
            view.task = _within(min(view.task, len(model.tasks) - 1) + step, len(model.tasks))
        case _:
            view.back = min(max(0, view.back - step), kept)


def _within(index: int, length: int) -> int:
    return max(0, min(index, length - 1))
