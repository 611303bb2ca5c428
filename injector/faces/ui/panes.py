"""The panes: what stands in each, in lines of exactly so many cells. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice

from rich.style import Style
from rich.text import Text

from injector.faces.ui.cells import PLAIN, Piece, Pieces, cells, clean, left, line, right
from injector.faces.ui.figures import bar, chance, count, filled, rate, spark
from injector.faces.ui.keys import Place
from injector.faces.ui.model import WINDOW, Happened, Model, RuleRow, TaskRow
from injector.faces.ui.styles import BOLD, DIM, FAULT, GOOD, GRAPH, HINT, ODD
from injector.faces.ui.table import note_lines, table_row, title_line, window
from injector.faces.ui.view import Screenful, View, chosen_of, index_of

Contents = Callable[[Model, View, int, int, bool], list[Text]]


def pane_lines(
    place: Place, model: Model, view: View, output: Screenful | None, width: int, height: int
) -> list[Text]:
    """Return a pane with its title, in just so many lines."""
    if height <= 0:
        return []
    focused = view.focus is place and view.over is None
    if place is Place.OUTPUT:
        made = _output(view, output or (), width, height - 1)
    elif not model.told and not model.over:
        made = []  # nothing is known yet, not even that there is nothing
    else:
        made = _CONTENTS[place](model, view, width, height - 1, focused)
    made += [line([], width)] * (height - 1 - len(made))
    return [title_line(_titles(place, model, view), width, focused), *made[: height - 1]]


def _titles(place: Place, model: Model, view: View) -> tuple[str, str]:
    """Return a pane's name, and what is said behind it."""
    match place:
        case Place.RULES:
            off = sum(not rule.enabled for rule in model.rules)
            more = f"{len(model.rules)}" + (f", {off} off" if off else "")
            return "Rules", more if model.rules else ""
        case Place.INJECTIONS:
            found = view.hits.of(model, view.filter)
            parts = []
            if view.filter:
                parts.append(f"/{view.filter}/ {len(found)} of {len(model.happened)}")
            elif model.injections or model.faults:
                few = model.injections < model.faults
                parts.append(f"{model.injections}{f' of {count(model.faults)}' * few}")
            if view.happened is not None:
                parts.append("End follows")
            return "Injections", ", ".join(parts)
        case Place.CALLS:
            named = model.told.get("named")
            return "Calls", "" if named is None else f"only the {len(named)} that are stopped"
        case Place.TASKS:
            ended = sum(row.ended for row in model.tasks)
            living = len(model.tasks) - ended
            total = int(model.told.get("tasks_total", living))
            parts = [f"{living} of {total}" if total > living else f"{total}"] if total else []
            parts += [f"{ended} ended"] if ended else []
            return "Tasks", ", ".join(parts)
        case _:
            if view.typing:
                return "Output", "your keys go to the target; Ctrl-] ends that"
            return "Output", f"{view.back} lines back, End follows" if view.back else ""


# Rules.


def _rule_columns(model: Model, width: int) -> dict[str, int]:
    """Return the columns there is room for, with their widths, in their order."""
    names = max((cells([(clean(rule.name), PLAIN)]) for rule in model.rules), default=4)
    whats = max((cells([(clean(what(rule)), PLAIN)]) for rule in model.rules), default=4)
    first = min(max(names, 4), 14)
    widths = {"rule": first, "what": min(max(14, whats), 28 - first)}
    wanted = (("fired", 6), ("chance", 6), ("expected", 8), ("bar", 7), ("minute", 10))
    room = width - 2 - sum(widths.values()) - 1
    for name, size in (*wanted, ("seen", 6), ("last", 6)):
        if room >= size + 1:
            widths[name] = size
            room -= size + 1
    more = min(room, max(0, whats - widths["what"]), max(0, width // 3 - widths["what"]))
    widths["what"] += more
    room -= more
    if "minute" in widths:
        best = max(one for one in (10, 12, 15, 20, 30, WINDOW) if one <= 10 + room)
        room -= best - widths["minute"]
        widths["minute"] = best
    if "bar" in widths:
        more = min(room, 14) // 2 * 2
        widths["bar"] += more
        room -= more
    widths["what"] += room
    order = ("rule", "what", "chance", "seen", "fired", "expected", "bar", "minute", "last")
    return {name: widths[name] for name in order if name in widths}


_RIGHT = ("chance", "seen", "fired", "expected", "last")
_HEADS = {"rule": "NAME", "what": "RULE", "minute": "LAST 60 S", "bar": "RATIO", "last": "LAST"}


_CHANCE = re.compile(r":probability=[0-9.]+%?(?=:|$)")


def what(rule: RuleRow) -> str:
    """Return a rule's text without its name and probability, which have columns."""
    return _CHANCE.sub("", rule.text.removesuffix(f":name={rule.name}"))


def _rules(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    if not model.rules:
        if model.over:
            return note_lines(["no rule"], width, height)
        return note_lines(
            ["No rule yet: press a to add the first fault", _what_can_be_named(model)],
            width,
            height,
        )
    widths = _rule_columns(model, width)
    heads = [
        ([(right(head, size) if name in _RIGHT else left(head, size), DIM)], size)
        for name, size in widths.items()
        for head in [_HEADS.get(name, name.upper())]
    ]
    lines = [table_row(heads, width, False, False)]
    names = [rule.name for rule in model.rules]
    chosen = chosen_of(names, view.rule)
    first = window(len(names), chosen, height - 1)
    for number, rule in enumerate(model.rules[first : first + max(0, height - 1)], first):
        parts = _rule_cells(model, rule)
        columns = [(parts(name, size), size) for name, size in widths.items()]
        lines.append(table_row(columns, width, number == chosen, focused))
    return lines


def _what_can_be_named(model: Model) -> str:
    named = model.told.get("named")
    if named is None:
        return "or Tab to Calls, choose one, Enter"
    asked = [name for name in named if name not in _ALWAYS]
    if asked:
        return f"it can name {', '.join(asked)}"
    return "a filter cannot grow: start with --watch CALLS for others than those in Calls"


_ALWAYS = frozenset(
    {"clone", "clone3", "fork", "vfork", "execve", "execveat", "exit", "exit_group"}
    | {"io_uring_setup"}
)
"""Any filter stops these: they tell of tasks, and of what no filter sees."""


def _rule_cells(model: Model, rule: RuleRow) -> Callable[[str, int], list[Piece]]:
    on = PLAIN if rule.enabled else DIM

    def parts(name: str, size: int) -> list[Piece]:
        match name:
            case "rule":
                return [(left(rule.name, size), on + BOLD)]
            case "what":
                return [(left(what(rule), size), on)]
            case "chance" if rule.next:
                return [(right("next", size), ODD + BOLD)]
            case "chance" if rule.enabled:
                return [(right(chance(rule.probability), size), on)]
            case "chance":
                return [(right("off", size), ODD)]
            case "seen":
                return [(right(count(rule.seen), size), on)]
            case "fired":
                return [(right(count(rule.fired), size), on + BOLD if rule.fired else on)]
            case "expected":
                few = rule.expected < 100 and rule.expected != int(rule.expected)
                text = f"{rule.expected:.1f}" if few else count(rule.expected)
                return [(right(text, size), on)]
            case "bar":
                return bar(rule.fired, rule.expected, size)
            case "minute":
                style = GRAPH + (GOOD if rule.enabled else DIM)
                return [(spark(model.trend(rule.name), size, int(model.t)), style)]
            case _:
                return [(right(ago(model, rule), size), on)]

    return parts


def ago(model: Model, rule: RuleRow) -> str:
    """Return how long ago a rule fired last."""
    if rule.last is None:
        return "never"
    ago = max(0.0, model.t - rule.last)
    if ago < 100:
        return f"{ago:.0f} s"
    return f"{ago / 60:.0f} min" if ago < 6000 else f"{ago / 3600:.0f} h"


# Injections.


def _injections(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    shown_ = view.hits.of(model, view.filter)
    if not shown_:
        if view.filter and model.happened:
            text = f"none of {len(model.happened)} has '{view.filter}': Esc shows all"
        else:
            text = "no fault was injected" if model.over else "no fault injected yet"
        return note_lines([text], width, height)
    chosen = index_of(shown_, view.happened)
    high = height - 1
    first = max(0, len(shown_) - high)
    if view.happened is not None:
        first = window(len(shown_), chosen, high)
    rows = list(islice(shown_, first, first + max(0, high)))
    widths = _happened_columns(model, width)
    heads = [
        ([(right(name, size) if name == "TIME" else left(name, size), DIM)], size)
        for name, size in widths.items()
    ]
    lines = [table_row(heads, width, False, False)]
    marked = focused or view.happened is not None
    for number, one in enumerate(rows, first):
        columns = [(_happened_cells(one, name, size), size) for name, size in widths.items()]
        lines.append(table_row(columns, width, marked and number == chosen, focused))
    return lines


def _happened_columns(model: Model, width: int) -> dict[str, int]:
    """Return the columns; their widths must not change as the lines go by."""
    names = max((cells([(clean(rule.name), PLAIN)]) for rule in model.rules), default=4)
    broad = sum(width >= one for one in (64, 90, 130))
    widths = {"TIME": 9, "TASK": (4, 6, 8, 10)[broad], "PROCESS": 12}
    widths |= {"CALL": 0, "FAULT": (9, 16, 18, 28)[broad], "RULE": min(max(4, names), 14)}
    for name, least in (("RULE", 90), ("PROCESS", 110)):
        if width < least:
            del widths[name]
    widths["CALL"] = width - 2 - sum(widths.values()) - (len(widths) - 1)
    return widths


def _happened_cells(one: Happened, name: str, size: int) -> list[Piece]:
    told = not one.rule  # not a fault: something was done to the session
    match name:
        case "TIME":
            return [(right(f"{one.t:.3f}", size), DIM)]
        case "TASK":
            return [(left("" if told else one.task, size), PLAIN)]
        case "PROCESS":
            return [(left("" if told else str(one.event.get("process", "")), size), PLAIN)]
        case "CALL" if told:
            return [(left(f"— {one.call}", size), HINT)]
        case "CALL":
            text = left(one.call, size)
            name, paren, rest = text.partition("(")
            return [(name, BOLD), (paren + rest, PLAIN)]
        case "FAULT":
            return [(left(one.fault, size), FAULT)]
        case _:
            return [(left(one.rule, size), DIM)]


# Calls, tasks, output.


def _calls(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    if not model.calls:
        named = model.told.get("named")
        if named is not None and not named:
            return note_lines(
                ["no call is stopped", "inject run --watch names some"], width, height
            )
        return note_lines(["no call seen yet"], width, height)
    size = max(4, width - 2 - 16)
    length = min(size // 2, 16) if size >= 28 else 0
    size -= length + 1 if length else 0
    most = max(row.rate for row in model.calls)
    heads: list[tuple[Pieces, int]] = [([(left("CALL", size), DIM)], size)]
    heads += [([(right("A SECOND", 8), DIM)], 8), ([(right("IN ALL", 6), DIM)], 6)]
    lines = [
        table_row(
            [*heads, ([(left("", length), DIM)], length)] if length else heads, width, False, False
        )
    ]
    high = height - 1
    chosen = chosen_of([row.name for row in model.calls], view.call)
    first = window(len(model.calls), chosen, high)
    for number, row in enumerate(model.calls[first : first + max(0, high)], first):
        speed = 0.0 if model.over else row.rate
        columns: list[tuple[Pieces, int]] = [([(left(row.name, size), PLAIN)], size)]
        columns.append(([(right(rate(speed), 8), BOLD if speed else DIM)], 8))
        columns.append(([(right(count(row.count), 6), PLAIN)], 6))
        if length:
            full = filled(speed / most if most else 0.0, length).replace("·", " ")
            columns.append(([(full, HINT)], length))
        lines.append(table_row(columns, width, focused and number == chosen, focused))
    return lines


def _tasks(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    if not model.tasks:
        return note_lines(["no task"], width, height)
    task = min(max(4, *(cells([(clean(row.task), PLAIN)]) for row in model.tasks)), 10)
    size = max(4, width - 2 - task - 7 - 6 - 6 - 4)
    heads: list[tuple[Pieces, int]] = [([(left("TASK", task), DIM)], task)]
    heads.append(([(right("TID", 7), DIM)], 7))
    heads.append(([(left("NAME", size), DIM)], size))
    heads += [([(right("CALLS", 6), DIM)], 6), ([(right("FAULTS", 6), DIM)], 6)]
    lines = [table_row(heads, width, False, False)]
    chosen = chosen_of([row.task for row in model.tasks], view.task)
    high = height - 1
    first = window(len(model.tasks), chosen, high)
    for number, row in enumerate(model.tasks[first : first + max(0, high)], first):
        name = row.thread or row.process if row.tid != row.pid else row.process
        columns: list[tuple[Pieces, int]] = [
            ([(left(row.task, task), PLAIN)], task),
            ([(right(str(row.tid), 7), DIM)], 7),
            ([(left(name, size), _task_style(row))], size),
            ([(right(count(row.calls), 6), PLAIN)], 6),
            ([(right(count(row.faults), 6), FAULT if row.faults else DIM)], 6),
        ]
        lines.append(table_row(columns, width, focused and number == chosen, focused))
    return lines


def _task_style(row: TaskRow) -> Style:
    if row.ended:
        return DIM
    return BOLD if row.tid == row.pid else PLAIN


def _output(view: View, output: Screenful, width: int, height: int) -> list[Text]:
    return [line(pieces, width) for pieces in output[:height]]


_CONTENTS: Mapping[Place, Contents] = {
    Place.RULES: _rules,
    Place.INJECTIONS: _injections,
    Place.CALLS: _calls,
    Place.TASKS: _tasks,
}
