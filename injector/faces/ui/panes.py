"""The drawing: what is known and how it is looked at -> lines of exactly so many cells. Pure."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from rich.style import Style
from rich.text import Text

from injector.faces.ui.cells import (
    PLAIN,
    Piece,
    Pieces,
    cells,
    clean,
    cut,
    fit,
    left,
    line,
    right,
    wrap,
)
from injector.faces.ui.edit import LineEditor
from injector.faces.ui.keys import PANES, TABLE, Do, Key, Place, at, shown
from injector.faces.ui.model import WINDOW, Happened, Model, RuleRow

LEAST = (40, 10)
"""Smaller terminals are only told so."""
WIDE = 120  # from here on calls and tasks stand beside the injections

BOLD = Style(bold=True)
DIM = Style(dim=True)
LINE = Style(color="bright_black")
FOCUS = Style(bold=True, color="cyan")
SELECTED = Style(reverse=True)
GRAPH = Style(reverse=False)  # in the chosen line too
GOOD = Style(color="green")
ODD = Style(color="yellow")
BAD = Style(color="red", bold=True)
FAULT = Style(color="red")
HINT = Style(color="cyan")

Screenful = Sequence[Pieces]


@dataclass(slots=True)
class Prompt:
    """A line at the bottom: of input (`editor`), or a question that a key answers."""

    title: str
    editor: LineEditor | None = None
    error: str = ""
    help: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """How the session is looked at."""

    owner: bool = False
    focus: Place = Place.RULES
    rule: str = ""
    happened: int | None = None  # None: the newest, as they come
    filter: str = ""
    task: int = 0
    call: int = 0
    back: int = 0  # lines scrolled back in the output
    over: Place | None = None  # details or help
    scroll: int = 0  # of what lies over the panes
    prompt: Prompt | None = None
    notice: str = ""
    alarm: bool = False
    typing: bool = False
    frozen: bool = False
    hits: Hits = field(default_factory=lambda: Hits())


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines, where the cursor stands (column, line), and the size of each pane's contents."""

    lines: list[Text]
    cursor: tuple[int, int] | None
    sizes: Mapping[Place, tuple[int, int]]


class Hits:
    """The injections that a filter lets through; looks at each only once."""

    def __init__(self) -> None:
        self._text = ""
        self._looked = 0
        self._found: list[Happened] = []

    def of(self, model: Model, text: str) -> Sequence[Happened]:
        """Return what is to be shown, the newest last."""
        if not text:
            return model.happened
        if text != self._text or not model.happened or model.happened[-1].number < self._looked:
            self._text, self._looked, self._found = text, 0, []
        if model.happened:
            new = islice(reversed(model.happened), model.happened[-1].number - self._looked)
            self._found += [one for one in new if one.has(text)][::-1]
            self._looked = model.happened[-1].number
            oldest = model.happened[0].number
            self._found = self._found[bisect.bisect_left(self._found, oldest, key=_number) :]
        return self._found


def _number(one: Happened) -> int:
    return one.number


def index_of(shown: Sequence[Happened], number: int | None) -> int:
    """Return where an injection stands in what is shown; the last for None, -1 for nothing."""
    if number is None or not shown:
        return len(shown) - 1
    if shown[-1].number - shown[0].number == len(shown) - 1:
        return min(max(0, number - shown[0].number), len(shown) - 1)
    return min(bisect.bisect_left(shown, number, key=_number), len(shown) - 1)


def draw(model: Model, view: View, output: Screenful | None, width: int, height: int) -> Drawing:
    """Return the whole screen."""
    if width < LEAST[0] or height < LEAST[1]:
        text = f"inject: {LEAST[0]}x{LEAST[1]} at least"
        lines = [line([(text if not row else "", PLAIN)], width) for row in range(height)]
        return Drawing(lines, None, {})
    bottom, cursor = _bottom(view, model, width)
    body = height - 2 - len(bottom)
    sizes: dict[Place, tuple[int, int]] = {}
    if view.over is Place.HELP:
        lines = _help(view, width, body)
    elif view.over is Place.DETAILS:
        below = max(body * 2 // 3, min(body, 12))
        lines = _body(model, view, output, width, body - below, sizes) if body > below else []
        lines += _details(model, view, width, below)
    else:
        lines = _body(model, view, output, width, body, sizes)
    if cursor is not None:
        cursor = (cursor[0], cursor[1] + 2 + body)
    return Drawing([*_head(model, view, width), *lines, *bottom], cursor, sizes)


# The head and the bottom.


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


def _head(model: Model, view: View, width: int) -> list[Text]:
    told = model.told
    state = model.state
    mood = GOOD
    if model.over:
        mood = GOOD if state in ("exit 0", "detached", "ended") else BAD
    elif model.paused or model.silence:
        mood = ODD
    badge = mood + Style(reverse=True, bold=True)
    command = " ".join(" ".join(map(str, told.get("command", ()))).split())
    process = str(told.get("process") or "").strip() or command.partition(" ")[0]
    first: list[Piece] = [(f" {state} ", badge), ("  ", PLAIN)]
    if process:
        first += [(process, BOLD), (f" ({told.get('pid', '?')})", DIM)]
    clock: list[Piece] = [(f"{elapsed(model.t)} ", BOLD)]
    if view.frozen:
        clock.insert(0, (" view frozen: z goes on ", ODD + Style(reverse=True)))
        clock.insert(1, ("  ", PLAIN))
    first += [("  ", PLAIN), (command, DIM)] if command and command != process else []
    faults = model.faults
    facts = [
        [(rate(model.call_rate), BOLD), (" calls/s", DIM)],
        [(count(faults), BOLD), (f" fault{'s' * (faults != 1)}", DIM)],
        [(rate(model.fault_rate), BOLD), (" faults/s", DIM)],
        [("engine ", DIM), (str(told.get("engine", "?")), PLAIN)],
        [("seed ", DIM), (str(told.get("seed", "?")), PLAIN)],
        _rules_fact(model),
    ]
    second: list[Piece] = []
    for fact in facts:
        if 1 + cells(second) + 3 + cells(fact) > width and second:
            break
        second += [("   " if second else " ", PLAIN), *fact]
    return [_two_ends(first, clock, width), line(second, width)]


def _rules_fact(model: Model) -> list[Piece]:
    """Return which scenario is in force; rules of the command line have no name."""
    name = str(model.told.get("scenario") or "")
    if name:
        return [("scenario ", DIM), (name, PLAIN)]
    number = len(model.rules)
    return [(count(number), PLAIN), (f" rule{'s' * (number != 1)}", DIM)]


def _two_ends(first: Pieces, last: Pieces, width: int) -> Text:
    room = width - cells(last) - 1
    begin = line(first, max(0, room))
    begin.append(" ")
    for text, style in last:
        begin.append(text, style)
    return begin if room >= 0 else line(last, width)


def _bottom(view: View, model: Model, width: int) -> tuple[list[Text], tuple[int, int] | None]:
    """Return the lines under the panes, and the cursor's place in them."""
    prompt = view.prompt
    if prompt is None:
        place = view.over or (Place.TYPING if view.typing else view.focus)
        if view.notice:
            return [line([(f" {view.notice}", BAD if view.alarm else HINT)], width)], None
        return [_footer(place, view, model, width)], None
    if prompt.editor is None:
        answers: list[Piece] = []
        for key, label in prompt.answers.items():
            answers += [("  ", PLAIN), (shown(key), FOCUS), (f" {clean(label)}", PLAIN)]
        question = cut(prompt.title, max(width // 3, width - 2 - cells(answers)))
        pieces: list[Piece] = [(f" {question} ", BOLD), *answers]
        return [line(pieces, width)], None
    title = f" {prompt.title} › "
    room = width - cells([(title, PLAIN)]) - 1
    shown_text, column = _window(prompt.editor, max(4, room))
    lines = [line([(title, FOCUS), (shown_text, PLAIN)], width)]
    if prompt.error:
        texts = [(f" {one}", BAD) for one in wrap(prompt.error, width - 2)[:2]]
        texts += [(f" {one}", PLAIN) for one in wrap(prompt.help, width - 2)[:2] if prompt.help]
        lines += [line([piece], width) for piece in texts]
    elif prompt.editor.choices:
        lines += _choices(prompt.editor, width)
    lines.append(_footer(Place.EDIT, view, model, width))
    return lines, (min(width - 1, cells([(title, PLAIN)]) + column), 0)


def _window(editor: LineEditor, width: int) -> tuple[str, int]:
    """Return the part of a line around its cursor, and the cursor's column in it."""
    before = clean(editor.text[: editor.cursor])
    behind = clean(editor.text[editor.cursor :])
    taken = cells([(before, PLAIN)])
    while taken >= width:
        before = before[1:]
        taken = cells([(before, PLAIN)])
    return before + behind, taken


def _choices(editor: LineEditor, width: int) -> list[Text]:
    """Return the words a line can go on with, and what the one is that was picked."""
    begin = max(editor.choices[0].text.rfind(one) for one in ",:=") + 1
    words = [one.text[begin:] for one in editor.choices]
    picked = editor.picked or 0
    first = picked
    while first and sum(len(word) + 2 for word in words[first - 1 : picked + 1]) < width // 2:
        first -= 1
    pieces: list[Piece] = [(" ", PLAIN)]
    for number, word in enumerate(words[first:], first):
        pieces += [(word, SELECTED if number == editor.picked else PLAIN), ("  ", PLAIN)]
        if number - first > width:
            break
    about = editor.choices[picked].about if editor.picked is not None else ""
    told = about or f"{len(words)} ways to go on; Tab takes one after the other"
    return [line(pieces, width), line([(f" {told}", DIM)], width)]


def _footer(place: Place, view: View, model: Model, width: int) -> Text:
    offered = [one for one in at(place) if one.label and _applies(one, view, model)]
    while True:
        pieces: list[Piece] = [(" ", PLAIN)]
        for one in offered:
            label = "resume" if one.do is Do.PAUSE and model.paused else one.label
            pieces += [(one.sign or shown(one.keys[0]), FOCUS), (f" {label}  ", PLAIN)]
        if cells(pieces) <= width or len(offered) < 2:
            return line(pieces, width)
        worst = max(one.rank for one in offered)
        offered.remove(next(one for one in reversed(offered) if one.rank == worst))


def _applies(one: Key, view: View, model: Model) -> bool:
    """Whether a key can do anything just now."""
    if model.over and one.do in _STEERS:
        return False
    if one.do in (Do.TOGGLE, Do.RAISE, Do.LOWER, Do.FIRE, Do.REMOVE):
        return bool(model.rules)
    return True


_STEERS = frozenset(
    {Do.ADD, Do.TOGGLE, Do.RAISE, Do.LOWER, Do.FIRE, Do.REMOVE, Do.PAUSE, Do.SAVE, Do.TYPE}
    | {Do.DETACH, Do.STOP}
)


# The panes.

Contents = Callable[[Model, View, int, int, bool], list[Text]]


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
        return _pane(place, model, view, output, wide, high)

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


def _pane(
    place: Place, model: Model, view: View, output: Screenful | None, width: int, height: int
) -> list[Text]:
    if height <= 0:
        return []
    focused = view.focus is place and view.over is None
    if place is Place.OUTPUT:
        made = _output(view, output or (), width, height - 1)
    else:
        made = _CONTENTS[place](model, view, width, height - 1, focused)
    made += [line([], width)] * (height - 1 - len(made))
    return [_title(_titles(place, model, view), width, focused), *made[: height - 1]]


def _title(texts: tuple[str, str], width: int, focused: bool) -> Text:
    name, more = texts
    pieces: list[Piece] = [("▸ " if focused else "─ ", FOCUS if focused else LINE)]
    pieces += [(name, FOCUS + Style(underline=True) if focused else BOLD), (" ", PLAIN)]
    if more:
        pieces += [(more, DIM), (" ", PLAIN)]
    pieces.append(("─" * max(0, width - cells((clean(t), s) for t, s in pieces)), LINE))
    return line(pieces, width)


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
            elif model.happened:
                parts.append(str(len(model.happened)))
            if view.happened is not None:
                parts.append("End follows")
            if model.skipped:
                parts.append(f"{count(model.skipped)} more not shown")
            return "Injections", ", ".join(parts)
        case Place.CALLS:
            named = model.told.get("named")
            return "Calls", "" if named is None else f"only the {len(named)} that are stopped"
        case Place.TASKS:
            total = int(model.told.get("tasks_total", len(model.tasks)))
            more = f"{len(model.tasks)} of {total}" if total > len(model.tasks) else f"{total}"
            return "Tasks", more if total else ""
        case _:
            if view.typing:
                return "Output", "your keys go to the target; Ctrl-] ends that"
            return "Output", f"{view.back} lines back, End follows" if view.back else ""


def _note(texts: Sequence[str], width: int, height: int) -> list[Text]:
    """Return a text in the middle of an empty pane."""
    lines = [line([], width) for _ in range(max(0, (height - len(texts)) // 2))]
    for text in texts[: max(0, height - len(lines))]:
        text = cut(text, width)
        lines.append(
            line([(" " * ((width - cells([(text, PLAIN)])) // 2), PLAIN), (text, HINT)], width)
        )
    return lines


def _row(columns: Sequence[tuple[Pieces, int]], width: int, chosen: bool, focused: bool) -> Text:
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
            return _note(["no rule"], width, height)
        named = model.told.get("named")
        stopped = f"it can name {', '.join(named)}" if named is not None else ""
        texts = ["No rule yet: press a to add the first fault", stopped]
        return _note([text for text in texts if text], width, height)
    widths = _rule_columns(model, width)
    heads = [
        ([(right(head, size) if name in _RIGHT else left(head, size), DIM)], size)
        for name, size in widths.items()
        for head in [_HEADS.get(name, name.upper())]
    ]
    lines = [_row(heads, width, False, False)]
    names = [rule.name for rule in model.rules]
    chosen = names.index(view.rule) if view.rule in names else 0
    first = window(len(names), chosen, height - 1)
    for number, rule in enumerate(model.rules[first : first + max(0, height - 1)], first):
        parts = _rule_cells(model, rule)
        columns = [(parts(name, size), size) for name, size in widths.items()]
        lines.append(_row(columns, width, number == chosen, focused))
    return lines


def _rule_cells(model: Model, rule: RuleRow) -> Callable[[str, int], list[Piece]]:
    on = PLAIN if rule.enabled else DIM

    def parts(name: str, size: int) -> list[Piece]:
        match name:
            case "rule":
                return [(left(rule.name, size), on + BOLD)]
            case "what":
                return [(left(what(rule), size), on)]
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
                return [(spark(model.trend(rule.name), size), style)]
            case _:
                return [(right(_ago(model, rule), size), on)]

    return parts


def _ago(model: Model, rule: RuleRow) -> str:
    if rule.last is None:
        return "never"
    ago = max(0.0, model.t - rule.last)
    if ago < 100:
        return f"{ago:.0f} s"
    return f"{ago / 60:.0f} min" if ago < 6000 else f"{ago / 3600:.0f} h"


_LEVELS = "▁▂▃▄▅▆▇█"


def bar(fired: int, expected: float, width: int) -> list[Piece]:
    """Return fired against expected: at the mark they are the same, at the end it is double."""
    half = width // 2
    ratio = fired / expected if expected else (2.0 if fired else 0.0)
    # One standard deviation is at most the root of the expectation.
    usual = abs(fired - expected) <= 2 * math.sqrt(expected) + 1
    style = GRAPH + (GOOD if usual else ODD)
    below = _filled(min(1.0, ratio), half)
    above = _filled(min(1.0, max(0.0, ratio - 1)), width - half - 1)
    return [(below, style), ("┃", GRAPH), (above, style)]


def _filled(part: float, width: int) -> str:
    halves = round(part * width * 2)
    text = "━" * (halves // 2) + "╸" * (halves % 2)
    return text + "·" * (width - len(text))


def spark(seconds: Sequence[float], width: int) -> str:
    """Return the last minute as a line of blocks, the newest at the right."""
    size = max(1, len(seconds) // max(1, width))
    sums = [sum(seconds[at : at + size]) for at in range(0, len(seconds), size)][-width:]
    most = max(sums, default=0)
    text = "".join(
        _LEVELS[max(1, math.ceil(one / most * 7))] if one > 0 else _LEVELS[0] for one in sums
    )
    return text.rjust(width, _LEVELS[0])


# Injections.


def _injections(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    shown_ = view.hits.of(model, view.filter)
    if not shown_:
        if view.filter and model.happened:
            text = f"none of {len(model.happened)} has '{view.filter}': Esc shows all"
        else:
            text = "no fault was injected" if model.over else "no fault injected yet"
        return _note([text], width, height)
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
    lines = [_row(heads, width, False, False)]
    marked = focused or view.happened is not None
    for number, one in enumerate(rows, first):
        columns = [(_happened_cells(one, name, size), size) for name, size in widths.items()]
        lines.append(_row(columns, width, marked and number == chosen, focused))
    return lines


def _happened_columns(model: Model, width: int) -> dict[str, int]:
    """Return the columns; their widths must not change as the lines go by."""
    names = max((cells([(clean(rule.name), PLAIN)]) for rule in model.rules), default=4)
    broad = sum(width >= one for one in (64, 90, 130))
    widths = {"TIME": 9, "TASK": (4, 6, 8, 10)[broad], "PROCESS": 12}
    widths |= {"CALL": 0, "FAULT": (9, 14, 16, 28)[broad], "RULE": min(max(4, names), 14)}
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
            return _note(["no call is stopped", "inject run --watch names some"], width, height)
        return _note(["no call seen yet"], width, height)
    size = max(4, width - 2 - 16)
    length = min(size // 2, 16) if size >= 28 else 0
    size -= length + 1 if length else 0
    most = max(row.rate for row in model.calls)
    heads: list[tuple[Pieces, int]] = [([(left("CALL", size), DIM)], size)]
    heads += [([(right("A SECOND", 8), DIM)], 8), ([(right("IN ALL", 6), DIM)], 6)]
    lines = [
        _row(
            [*heads, ([(left("", length), DIM)], length)] if length else heads, width, False, False
        )
    ]
    high = height - 1
    first = min(view.call, max(0, len(model.calls) - high))
    for row in model.calls[first : first + max(0, high)]:
        speed = 0.0 if model.over else row.rate
        columns: list[tuple[Pieces, int]] = [([(left(row.name, size), PLAIN)], size)]
        columns.append(([(right(rate(speed), 8), BOLD if speed else DIM)], 8))
        columns.append(([(right(count(row.count), 6), PLAIN)], 6))
        if length:
            full = _filled(speed / most if most else 0.0, length).replace("·", " ")
            columns.append(([(full, HINT)], length))
        lines.append(_row(columns, width, False, focused))
    return lines


def _tasks(model: Model, view: View, width: int, height: int, focused: bool) -> list[Text]:
    if not model.tasks:
        return _note(["no task"], width, height)
    task = min(max(4, *(cells([(clean(row.task), PLAIN)]) for row in model.tasks)), 10)
    size = max(4, width - 2 - task - 7 - 6 - 6 - 4)
    heads: list[tuple[Pieces, int]] = [([(left("TASK", task), DIM)], task)]
    heads.append(([(right("TID", 7), DIM)], 7))
    heads.append(([(left("NAME", size), DIM)], size))
    heads += [([(right("CALLS", 6), DIM)], 6), ([(right("FAULTS", 6), DIM)], 6)]
    lines = [_row(heads, width, False, False)]
    chosen = min(view.task, len(model.tasks) - 1)
    high = height - 1
    first = window(len(model.tasks), chosen, high)
    for number, row in enumerate(model.tasks[first : first + max(0, high)], first):
        name = row.thread or row.process if row.tid != row.pid else row.process
        columns: list[tuple[Pieces, int]] = [
            ([(left(row.task, task), PLAIN)], task),
            ([(right(str(row.tid), 7), DIM)], 7),
            ([(left(name, size), BOLD if row.tid == row.pid else PLAIN)], size),
            ([(right(count(row.calls), 6), PLAIN)], 6),
            ([(right(count(row.faults), 6), FAULT if row.faults else DIM)], 6),
        ]
        lines.append(_row(columns, width, focused and number == chosen, focused))
    return lines


def _output(view: View, output: Screenful, width: int, height: int) -> list[Text]:
    return [line(pieces, width) for pieces in output[:height]]


_CONTENTS: Mapping[Place, Contents] = {
    Place.RULES: _rules,
    Place.INJECTIONS: _injections,
    Place.CALLS: _calls,
    Place.TASKS: _tasks,
}


# What lies over the panes.


def _help(view: View, width: int, height: int) -> list[Text]:
    """Return the table of keys."""
    entries: list[Pieces] = []
    for title, keys in help_sections(view.owner):
        entries.append([(title, BOLD)])
        entries += [[(left("  " + names, 22), FOCUS), (about, PLAIN)] for names, about in keys]
        entries.append([])
    entries.pop()
    columns = 2 if width >= 130 else 1
    half = -(-len(entries) // columns)
    wide = (width - 2) // columns
    most = max(0, half - (height - 1))
    first = min(view.scroll, most)
    more = "" if not most else f"{first + 1} to {min(half, first + height - 1)} of {half}, ↑ ↓"
    lines = [_title(("Keys", more), width, True)]
    for row in range(first, min(half, first + height - 1)):
        pieces: list[Piece] = [("  ", PLAIN)]
        for column in range(columns):
            at_ = row + column * half
            pieces += fit(entries[at_] if at_ < len(entries) else [], wide)
        lines.append(line(pieces, width))
    return lines + [line([], width)] * (height - len(lines))


def help_sections(owner: bool = True) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the table of keys as people read it: a title, and keys with what they do."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in TABLE:
        if one.where == (Place.EDIT,):
            title = "In a line of input"
        elif one.where == (Place.RULES,):
            title = "The chosen rule"
        elif Place.TYPING in one.where or one.where == (Place.OUTPUT,):
            title = "The output"
        elif one.where in ((Place.DETAILS, Place.HELP),):
            continue
        elif one.do in _MOVES:
            title = "Moving"
        else:
            title = "Everywhere"
        groups.setdefault(title, []).append((" ".join(map(shown, one.keys)), one.about))
    order = ("The chosen rule", "Everywhere", "Moving", "The output", "In a line of input")
    return [(title, groups[title]) for title in order]


_MOVES = frozenset(
    {Do.UP, Do.DOWN, Do.PAGE_UP, Do.PAGE_DOWN, Do.FIRST, Do.LAST, Do.NEXT, Do.PREVIOUS}
    | {Do.DETAILS}
)


def _details(model: Model, view: View, width: int, height: int) -> list[Text]:
    title, facts = _facts(model, view)
    size = max((len(label) for label, _ in facts), default=0)
    entries: list[Pieces] = []
    for label, text in facts:
        for number, part in enumerate(wrap(text, max(8, width - size - 6))):
            name = label if not number else ""
            entries.append([("  ", PLAIN), (left(name, size), DIM), ("  ", PLAIN), (part, PLAIN)])
    most = max(0, len(entries) - (height - 1))
    first = min(view.scroll, most)
    more = "PgDn for more" if first < most else ""
    lines = [_title((title, more), width, True)]
    lines += [line(pieces, width) for pieces in entries[first : first + height - 1]]
    return lines + [line([], width)] * (height - len(lines))


def _facts(model: Model, view: View) -> tuple[str, list[tuple[str, str]]]:
    """Return what the details are of, and a label and a text for each fact."""
    if view.focus is Place.RULES:
        rule = next((one for one in model.rules if one.name == view.rule), None)
        rule = rule or (model.rules[0] if model.rules else None)
        return ("Rule", _rule_facts(model, rule)) if rule else ("Rule", [("", "there is none")])
    if view.focus is Place.TASKS:
        if not model.tasks:
            return "Task", [("", "there is none")]
        row = model.tasks[min(view.task, len(model.tasks) - 1)]
        names = ("task", "pid", "tid", "process", "thread", "calls", "faults")
        return "Task", [(name, str(getattr(row, name))) for name in names]
    shown_ = view.hits.of(model, view.filter)
    index = index_of(shown_, view.happened)
    if index < 0:
        return "Injection", [("", "there is none")]
    one = shown_[index]
    event = one.event
    if not one.rule:
        return "Session", [("time", f"{one.t:.6f} s"), ("what", one.call)]
    facts = [
        ("time", f"{one.t:.6f} s after the start"),
        ("call", one.call),
        ("fault", one.fault),
        ("result", str(event.get("result", ""))),
        ("rule", one.rule),
        ("site", str(event.get("site", ""))),
        ("path", str(event.get("path", ""))),
        ("process", f"{event.get('process', '')} ({event.get('pid', '')})"),
        ("thread", str(event.get("tid", ""))),
        ("occurrence", f"{event.get('occurrence', '')} of this rule"),
    ]
    stack = event.get("stack")
    facts += [("stack" if not at else "", str(frame)) for at, frame in enumerate(stack or ())]
    if stack is None:
        facts.append(("stack", "not taken: --stacks, with ptrace, takes them"))
    elif not stack:
        facts.append(("stack", "could not be read"))
    return f"Injection {one.number}", [(label, text) for label, text in facts if text]


def _rule_facts(model: Model, rule: RuleRow) -> list[tuple[str, str]]:
    facts = [
        ("name", rule.name),
        ("rule", rule.text),
        ("state", "on" if rule.enabled else "off"),
        ("chance", chance(rule.probability)),
        ("limit", "none" if rule.limit is None else str(rule.limit)),
        ("error", rule.error or ""),
        ("seen", f"{rule.seen} calls of these names"),
        ("matched", f"{rule.matched} of them"),
        ("due", f"{rule.due} of those, by when, limit, after, until"),
        ("fired", f"{rule.fired}, of {rule.expected:.1f} expected"),
        ("last", _ago(model, rule) + (" ago" if rule.last is not None else "")),
    ]
    for key, number in rule.misses.items():
        first = rule.examples.get(key, "")
        such = f", the first: {first}" if first else ""
        facts.append((f"other {key}", f"{number} calls{such}"))
    for name, number in rule.preempted.items():
        facts.append(("preempted", f"{number} times {name} fired first"))
    return [(label, text) for label, text in facts if text]
