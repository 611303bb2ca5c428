"""The dashboard as it looks: whole screens at fixed sizes, and the laws of every drawing.

The screens are tests/unit/screens/*.txt. After a change that is meant, write them anew and look
at the difference:

    python -m tests.unit.test_ui_screens && git diff tests/unit/screens
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem

from injector.faces.ui.cells import PLAIN, clean, cut, left, right, wrap
from injector.faces.ui.edit import Choice, LineEditor
from injector.faces.ui.figures import bar, spark
from injector.faces.ui.keys import PANES, Place
from injector.faces.ui.layout import draw
from injector.faces.ui.model import Model
from injector.faces.ui.painter import Painter, is_utf8
from injector.faces.ui.view import Drawing, Prompt, View

from .ui_sample import OUTPUT, injection, sample, snapshot

SCREENS = Path(__file__).parent / "screens"
SHOWN = [[(text, PLAIN)] for text in OUTPUT]


def error_prompt() -> Prompt:
    editor = LineEditor("socket:error=EMFILE")
    error = "rule rule-5 would never fire: the filter of this session does not stop socket"
    return Prompt("add rule", editor, error, "a filter cannot grow; start with --watch socket")


def choosing() -> Prompt:
    words = ("EACCES", "EAGAIN", "EBADF")
    choices = [Choice(f"openat:error={word}", f"about {word}") for word in words]
    editor = LineEditor("openat:error=E", completer=lambda text: choices)
    editor.complete()
    editor.complete()
    return Prompt("add rule", editor)


def over(**footer: Any) -> Model:
    model = sample()
    model.event({"event": "footer", "t": 754.5, "rules": [], **footer})
    return model


def killed() -> Model:
    model = sample()
    model.ended()
    return model


def waiting() -> Model:
    model = sample()
    model.presume("full-disk", next=True)
    return model


def fresh(*named: str) -> Model:
    model = Model()
    told = snapshot(1.0, rules=[], calls={}, tasks=[], tasks_total=0, faults=0, named=named or None)
    model.snapshot(told)
    return model


def drawings() -> dict[str, Drawing]:
    """Return every screen that is kept, by its name."""
    model = sample()
    made = {}
    for size in ("80x24", "100x30", "140x45", "200x60"):
        width, height = map(int, size.split("x"))
        made[size] = draw(model, View(), SHOWN, width, height)

    def small(name: str, model: Model, *, output: bool = True, **view: Any) -> None:
        made[name] = draw(model, View(**view), SHOWN if output else None, 80, 24)

    small("watched", model, output=False, focus=Place.INJECTIONS)
    small("calls", model, focus=Place.CALLS)
    small("typing", model, focus=Place.OUTPUT, typing=True)
    small("help", model, over=Place.HELP)
    small("details", model, over=Place.DETAILS, focus=Place.INJECTIONS)
    small("details-of-rule", model, over=Place.DETAILS, rule="full-disk")
    small("filter", model, filter="enospc", focus=Place.INJECTIONS, happened=30)
    small("filter-none", model, filter="nothing has this", focus=Place.INJECTIONS)
    small("paused", sample(paused=True), rule="no-sockets")
    small("first-rule", fresh(), output=False)
    small("first-rule-of-a-filter", fresh("clone", "getppid", "openat"), output=False)
    small("first-rule-of-no-filter", fresh("clone", "io_uring_setup"), output=False)
    small("connecting", Model())
    small("refused", model, prompt=error_prompt())
    small("completing", model, prompt=choosing())
    answers = {"e": "end it", "l": "quit, faults go on", "escape": "back"}
    small("quitting", model, prompt=Prompt("redis-server still runs.", answers=answers))
    small("fires-next", waiting(), rule="full-disk")
    small("notice", model, notice="full-disk fires at its next match")
    small("ended", over(outcome="exit", status=0, signal=None))
    small("crashed", over(outcome="signal", status=None, signal="SIGSEGV"))
    small("killed", killed())
    small("frozen", model, frozen=True)
    made["40x10"] = draw(model, View(focus=Place.INJECTIONS), SHOWN, 40, 10)
    made["30x5"] = draw(model, View(), SHOWN, 30, 5)
    return made


def text_of(drawing: Drawing) -> str:
    return "".join(f"{line.plain.rstrip()}\n" for line in drawing.lines)


@pytest.mark.parametrize("name", sorted(drawings()))
def test_a_screen_looks_as_it_did(name: str) -> None:
    assert text_of(drawings()[name]) == (SCREENS / f"{name}.txt").read_text()


def test_there_is_no_screen_too_many() -> None:
    assert {path.stem for path in SCREENS.glob("*.txt")} == set(drawings())


HOSTILE = st.text(
    st.sampled_from(
        "ab/[x] [red]\x1b\x07\x00\n\t\x9b日本語ｱé\u0301\u200d\u202e\ufe0f👩🏽🇩🇪\udcff\u2028"
    )
    | st.characters(),
    max_size=40,
)


def hostile_model(texts: list[str], many: int) -> Model:
    def text(number: int) -> str:
        return texts[number % len(texts)]

    model = Model()
    row = {"rule": text(0), "text": text(1), "fired": 10**many, "expected": 3.7, "last": 0.5}
    rules = [{**row, "rule": f"{text(n)}{n}"} for n in range(many)]
    task = {"task": text(2), "tid": 10**many, "process": text(3), "thread": text(4)}
    told = snapshot(
        10.0**many, rules=rules, tasks=[{**task, "calls": 10**many}] * many,
        process=text(5), command=[text(6), text(7)], scenario=text(8), engine=text(9),
        calls={text(n): 10**n for n in range(many)},
    )  # fmt: skip
    model.snapshot(told)
    for number in range(many):
        event = injection(number, float(number))
        keys = ("syscall", "args", "fault", "rule", "process", "path", "result")
        event |= {key: text(at + number) for at, key in enumerate(keys)}
        model.event({**event, "site": f"{text(1)}/x#1", "stack": texts})
    model.event({"event": "control", "t": 1e9, "what": text(2), "detail": text(3)})
    return model


@settings(max_examples=150)
@given(
    st.integers(40, 220),
    st.integers(10, 70),
    st.lists(HOSTILE, min_size=1, max_size=12),
    st.integers(0, 9),
    st.sampled_from(PANES),
    st.sampled_from([None, Place.HELP, Place.DETAILS]),
    st.sampled_from(["", "text", "error", "question", "choices", "notice", "typing"]),
    st.booleans(),
)
def test_every_line_is_as_wide_as_the_screen(
    width: int, height: int, texts: list[str], many: int, focus: Place, lies: Place | None,
    low: str, shows_output: bool,
) -> None:  # fmt: skip
    view = View(focus=focus, over=lies, filter=texts[0] if many % 2 else "")
    editor = LineEditor("".join(texts), completer=lambda text: [Choice(one, one) for one in texts])
    match low:
        case "text":
            view.prompt = Prompt(texts[0], editor)
        case "error":
            view.prompt = Prompt(texts[0], editor, texts[-1] * 9, texts[0] * 9)
        case "question":
            view.prompt = Prompt(texts[0], answers={"e": texts[-1]})
        case "choices":
            editor.complete()
            editor.complete()
            view.prompt = Prompt("add", editor)
        case "notice":
            view.notice = texts[0]
        case "typing" if shows_output and lies is None:
            view.typing, view.focus = True, Place.OUTPUT
    output = [[(text, PLAIN), (text, PLAIN)] for text in texts] if shows_output else None
    drawing = draw(hostile_model(texts, many), view, output, width, height)
    assert len(drawing.lines) == height
    for line in drawing.lines:
        assert cell_len(line.plain) == width, line.plain
        assert line.plain.isprintable(), line.plain
    if drawing.cursor is not None:
        assert 0 <= drawing.cursor[0] < width
        assert 0 <= drawing.cursor[1] < height


@given(st.integers(0, 45), st.integers(0, 12))
def test_no_terminal_is_too_small(width: int, height: int) -> None:
    drawing = draw(sample(), View(), SHOWN, width, height)
    assert [cell_len(line.plain) for line in drawing.lines] == [width] * height


@given(HOSTILE, st.integers(0, 50))
def test_cells_are_exact(text: str, width: int) -> None:
    assert cell_len(left(text, width)) == cell_len(right(text, width)) == width
    assert cell_len(cut(text, width)) <= width
    assert clean(text).isprintable()
    if width > 1:
        lines = wrap(text, width)
        assert all(cell_len(line) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == clean(text).replace(" ", "")


@given(st.integers(0, 10**6), st.floats(0, 1e6), st.integers(3, 40))
def test_a_bar_is_as_long_as_it_should_be(fired: int, expected: float, width: int) -> None:
    text = "".join(part for part, _ in bar(fired, expected, width))
    assert len(text) == width
    assert text[width // 2] == "┃"
    if expected and fired <= expected / 2:
        assert text[width // 2 - 1] == "·" or width < 8
    if fired >= 2 * expected > 0:
        assert set(text) <= {"━", "┃"}


@given(st.lists(st.floats(0, 1e9), min_size=60, max_size=60), st.integers(1, 80))
def test_a_sparkline_shows_where_something_was(seconds: list[float], width: int) -> None:
    text = spark(seconds, width)
    assert len(text) == width
    assert (seconds[-1] > 0) <= (text[-1] != "▁")
    if not any(seconds):
        assert set(text) == {"▁"}


def test_a_block_of_a_sparkline_stays_as_it_was() -> None:
    seconds = [float(7 * number % 5) for number in range(200)]
    seen: dict[int, set[float]] = {}
    for now in range(100, 160):
        text = spark(seconds[now - 59 : now + 1], 10, now)
        for block, level in enumerate(reversed(text[1:-1]), 1):  # those that are whole
            seen.setdefault(now // 6 - block, set()).add("▁▂▃▄▅▆▇█".index(level))
    assert all(len(levels) <= 2 for levels in seen.values())  # the highest one scales them


def test_what_is_painted_is_what_was_drawn_and_only_changes_are_sent() -> None:
    sent: list[bytes] = []
    screen = pyte.Screen(100, 30)
    stream = pyte.ByteStream(screen)
    painter = Painter(sent.append, ColorSystem.STANDARD)
    model, view = sample(), View()
    whole = 0
    for focus in (Place.RULES, Place.INJECTIONS, Place.TASKS):
        view.focus = focus
        drawing = draw(model, view, SHOWN, 100, 30)
        sent.clear()
        painter.paint(drawing)
        stream.feed(b"".join(sent))
        whole = whole or len(b"".join(sent))
        assert [line.rstrip() for line in screen.display] == [
            line.plain.rstrip() for line in drawing.lines
        ]
    sent.clear()
    painter.paint(draw(model, view, SHOWN, 100, 30))
    assert sent == []
    model.snapshot(snapshot(755.0))
    painter.paint(draw(model, view, SHOWN, 100, 30))
    assert 0 < len(b"".join(sent)) < whole


@pytest.mark.parametrize(
    ("environment", "utf8"),
    [
        ({}, True),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "C.utf8", "LC_ALL": ""}, True),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_CTYPE": "POSIX"}, False),
        ({"LANG": "ja_JP.eucJP"}, False),
    ],
)
def test_a_locale_says_whether_a_terminal_takes_utf8(
    environment: dict[str, str], utf8: bool
) -> None:
    assert is_utf8(environment) == utf8


def test_without_utf8_all_is_ascii_and_stands_where_it_did() -> None:
    sent: list[bytes] = []
    model = sample(process="日本é")
    drawing = draw(model, View(), SHOWN, 100, 30)
    Painter(sent.append, None, utf8=False).paint(drawing)
    data = b"".join(sent)
    assert data.isascii()
    screen = pyte.Screen(100, 30)
    pyte.ByteStream(screen).feed(data)
    assert "?????" in screen.display[0]
    for line, shown in zip(drawing.lines, screen.display, strict=True):
        same = [(one, two) for one, two in zip(line.plain, shown, strict=False) if one.isascii()]
        if cell_len(line.plain) == len(line.plain):
            assert all(one == two for one, two in same)


@pytest.mark.parametrize("system", [None, ColorSystem.STANDARD])
def test_without_colour_there_is_none(system: ColorSystem | None) -> None:
    sent: list[bytes] = []
    Painter(sent.append, system).paint(draw(sample(), View(), SHOWN, 100, 30))
    screen = pyte.Screen(100, 30)
    pyte.ByteStream(screen).feed(b"".join(sent))
    colours = {char.fg for row in screen.buffer.values() for char in row.values()}
    assert (colours == {"default"}) == (system is None)
    assert any(char.reverse for row in screen.buffer.values() for char in row.values())


if __name__ == "__main__":
    SCREENS.mkdir(exist_ok=True)
    for path in SCREENS.glob("*.txt"):
        path.unlink()
    for name, drawing in drawings().items():
        (SCREENS / f"{name}.txt").write_text(text_of(drawing))
