"""The lines above and under the panes: the head, the keys, questions and input. Pure."""

from __future__ import annotations

import shlex

from rich.style import Style
from rich.text import Text

from injector.faces.ui.cells import PLAIN, Piece, Pieces, cells, clean, cut, line, right, wrap
from injector.faces.ui.edit import LineEditor
from injector.faces.ui.figures import count, elapsed, rate
from injector.faces.ui.keys import STEERING, Do, Key, Place, at, shown
from injector.faces.ui.model import Model
from injector.faces.ui.styles import BAD, BOLD, DIM, FOCUS, GOOD, HINT, ODD, SELECTED
from injector.faces.ui.view import View


def head_lines(model: Model, view: View, width: int) -> list[Text]:
    """Return the two lines at the top."""
    told = model.told
    state = model.state
    mood = GOOD
    if model.over:
        mood = GOOD if state in ("exit 0", "detached", "ended") else BAD
    elif model.paused or model.silence:
        mood = ODD
    badge = mood + Style(reverse=True, bold=True)
    words = [*map(str, told.get("command", ()))]
    process = str(told.get("process") or "").strip() or "".join(words[:1])
    if words[:1] == [process]:
        del words[0]
    first: list[Piece] = [(f" {state} ", badge), ("  ", PLAIN)]
    if process:
        first += [(process, BOLD), (f" ({told.get('pid', '?')})", DIM)]
    clock: list[Piece] = [(f"{elapsed(model.t)} ", BOLD)]
    if view.frozen:
        clock.insert(0, (" view frozen: z goes on ", ODD + Style(reverse=True)))
        clock.insert(1, ("  ", PLAIN))
    first += [("  ", PLAIN), (shlex.join(words), DIM)] if words else []
    if not told:
        return [_two_ends(first, clock, width), line([], width)]
    # Numbers that change keep their place; what there is no room for is left out.
    faults = model.faults
    facts = [
        [(right(rate(model.call_rate), 5), BOLD), (" calls/s", DIM)],
        [(right(count(faults), 5), BOLD), (" fault " if faults == 1 else " faults", DIM)],
        _rules_fact(model),
        [("seed ", DIM), (str(told.get("seed", "?")), PLAIN)],
        [("engine ", DIM), (str(told.get("engine", "?")), PLAIN)],
        [(right(rate(model.fault_rate), 5), BOLD), (" faults/s", DIM)],
    ]
    second: list[Piece] = []
    for fact in facts:
        if cells(second) + 2 + cells(fact) < width or not second:
            second += [("  " if second else " ", PLAIN), *fact]
    return [_two_ends(first, clock, width), line(second, width)]


def _rules_fact(model: Model) -> list[Piece]:
    """Return which scenario is in force; rules of the command line have no name."""
    name = str(model.told.get("scenario") or "")
    if name:
        return [("scenario ", DIM), (clean(name), PLAIN)]
    number = len(model.rules)
    return [(count(number), PLAIN), (f" rule{'s' * (number != 1)}", DIM)]


def _two_ends(first: Pieces, last: Pieces, width: int) -> Text:
    room = width - cells(last) - 1
    begin = line(first, max(0, room))
    begin.append(" ")
    for text, style in last:
        begin.append(text, style)
    return begin if room >= 0 else line(last, width)


def bottom_lines(view: View, model: Model, width: int) -> tuple[list[Text], tuple[int, int] | None]:
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
    if model.over and one.do in STEERING:
        return one.do is Do.SAVE and bool(model.saved)
    if one.do in (Do.TOGGLE, Do.RAISE, Do.LOWER, Do.FIRE, Do.REMOVE):
        return bool(model.rules)
    if one.do is Do.ADD_FOR:
        return bool(model.calls)
    return True
