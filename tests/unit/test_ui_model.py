"""What the dashboard knows, the keys and the line of input: pure, so tested by their laws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.faces.ui.commands import STEPS, step_of
from injector.faces.ui.edit import Choice, LineEditor
from injector.faces.ui.keys import PANES, TABLE, Decoder, Do, Place, at, lookup, shown
from injector.faces.ui.model import WINDOW, Model, Series
from injector.faces.ui.over import help_sections
from injector.faces.ui.view import Hits, index_of

from .ui_sample import injection, sample, snapshot

GROWTH = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 5)), max_size=12)


@given(st.integers(0, 1000), GROWTH)
def test_a_series_has_all_that_it_grew_by(first: int, growth: list[tuple[int, int]]) -> None:
    series = Series(first)
    count = first
    for more, seconds in growth:
        count += more
        series.sample(count, seconds)
    assert len(series.seconds()) == WINDOW
    assert sum(series.seconds()) == pytest.approx(count - first)


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=40))
def test_however_often_one_asks_the_last_minute_is_the_same_sum(quarters: list[int]) -> None:
    model = Model()
    fired = 0
    for number, more in enumerate(quarters):
        fired += more
        rule = {"rule": "one", "fired": fired}
        model.snapshot({"t": number / 4, "rules": [rule], "calls": {"read": fired}})
    model.snapshot({"t": len(quarters) / 4 + 1, "rules": [{"rule": "one", "fired": fired}]})
    assert sum(model.trend("one")) == pytest.approx(fired)


def test_a_rule_that_is_new_or_replaced_counts_from_nothing() -> None:
    model = Model()
    model.snapshot({"t": 1.0, "rules": []})
    model.snapshot({"t": 2.0, "rules": [{"rule": "one", "fired": 7}]})
    assert model.trend("one")[-1] == 7
    model.snapshot({"t": 3.0, "rules": [{"rule": "one", "fired": 2}]})
    assert model.trend("one")[-2:] == [7, 2]
    model.snapshot({"t": 4.0, "rules": []})
    assert model.trend("one") == [0.0] * WINDOW


def test_what_came_before_one_looked_is_no_rate_except_at_the_start() -> None:
    for t, rate in ((0.3, 500.0), (30.0, 0.0)):
        model = Model()
        rules = [{"rule": "one", "fired": 70}]
        model.snapshot({"t": t, "calls": {"read": 500}, "faults": 70, "rules": rules})
        assert (model.call_rate, model.calls[0].rate) == (rate, rate)
        assert (model.trend("one")[-1] == 70) == (model.fault_rate == 70) == (rate > 0)


def test_rates_and_the_hottest_call() -> None:
    model = Model()
    model.snapshot({"t": 1.5, "calls": {"read": 10**6, "write": 5}, "faults": 3})
    for second in range(2, 13):
        calls = {"read": 10**6, "write": 5 + 20 * second}
        model.snapshot({"t": second + 0.5, "calls": calls, "faults": 3 + second})
    assert (model.call_rate, model.fault_rate) == (20, 1)
    assert [(row.name, row.rate) for row in model.calls] == [("write", 20), ("read", 0)]


def test_only_faults_are_counted_as_injections() -> None:
    model = Model()
    for number in range(1, 8):
        model.event({**injection(number, float(number)), "watch_skipped": 3})
        model.event({"event": "control", "t": number, "what": "pause", "detail": ""})
    assert (model.injections, len(model.happened)) == (7, 14)
    for number in range(10_000):
        model.event(injection(number, 20.0))
    assert model.injections == len(model.happened) == model.happened.maxlen


def test_the_last_counts_come_with_the_end() -> None:
    def row(task: str, calls: int, faults: int, **more: object) -> dict[str, object]:
        return {"task": task, "process": "sh", "calls": calls, "faults": faults, **more}

    model = Model()
    rows = [{**row("0", 5, 0), "thread": "main"}]
    model.snapshot({"t": 2.5, "calls": {"read": 5}, "faults": 0, "tasks": rows})
    last = [row("0.1", 7, 3, ended=True), row("0", 6, 1, ended=True), row("0.2", 1, 0, ended=True)]
    calls = {"read": 13, "open": 1}
    model.event({"event": "totals", "calls": calls, "faults": 4, "tasks": last, "tasks_total": 0})
    model.event({"event": "footer", "t": 3.0, "outcome": "exit", "status": 0, "rules": []})
    assert (model.faults, {one.name: one.count for one in model.calls}) == (4, calls)
    told = [(one.task, one.calls, one.faults, one.ended) for one in model.tasks]
    assert told == [("0.1", 7, 3, True), ("0", 6, 1, True), ("0.2", 1, 0, True)]
    assert model.tasks[1].thread == "main"


@pytest.mark.parametrize(
    ("footer", "state"),
    [
        ({"outcome": "exit", "status": 0}, "exit 0"),
        ({"outcome": "signal", "status": None, "signal": "SIGSEGV"}, "killed by SIGSEGV"),
        ({"outcome": "timeout", "status": None, "signal": "SIGTERM"}, "time was up"),
        ({"outcome": "detached", "status": None}, "detached"),
    ],
)
def test_the_footer_is_the_end(footer: dict[str, object], state: str) -> None:
    model = sample()
    rules = [{"rule": "full-disk", "fired": 1000, "seen": 50_000}]
    model.event({"event": "footer", "t": 800.0, "rules": rules, **footer})
    model.ended()
    assert (model.state, model.over, model.lost, model.t) == (state, True, "", 800.0)
    assert (model.rules[0].fired, model.rules[0].seen) == (1000, 50_000)
    assert model.rules[0].last == 751.2
    assert model.faults >= 1000


def test_a_connection_that_breaks_is_said() -> None:
    model = sample()
    model.ended()
    assert (model.state, model.over) == ("the session was killed", True)


def test_a_still_does_not_move() -> None:
    model = sample()
    still = model.still()
    before = (still.t, len(still.happened), still.trend("slow-net"), still.rules, still.faults)
    for t in range(755, 800):
        model.event(injection(t, t))
        model.snapshot(snapshot(float(t)))
    after = (still.t, len(still.happened), still.trend("slow-net"), still.rules, still.faults)
    assert after == before
    assert model.trend("slow-net") != before[2]


@given(st.lists(st.lists(st.integers(0, 2), max_size=30), max_size=6), st.integers(0, 200))
def test_a_filter_that_grows_finds_what_one_from_scratch_does(
    rounds: list[list[int]], number: int
) -> None:
    model, hits = Model(), Hits()
    for made in rounds:
        for kind in made:
            model.event(injection(kind, 1.0))
        wanted = [one for one in model.happened if one.has("ENOSPC")]
        assert list(hits.of(model, "ENOSPC")) == wanted
        assert list(hits.of(model, "")) == list(model.happened)
    shown_ = hits.of(model, "ENOSPC")
    index = index_of(shown_, number)
    assert index == -1 if not shown_ else 0 <= index < len(shown_)
    for at_, one in enumerate(shown_):
        assert index_of(shown_, one.number) == at_
    assert index_of(shown_, None) == len(shown_) - 1


def test_old_injections_are_forgotten_by_a_filter_too() -> None:
    model, hits = Model(), Hits()
    for number in range(6000):
        model.event(injection(number, 1.0))
        if number % 1000 == 0:
            hits.of(model, "enospc")
    assert len(model.happened) == 5000
    assert list(hits.of(model, "enospc")) == [x for x in model.happened if x.has("enospc")]


# Keys.


def test_no_key_means_two_things_in_one_place() -> None:
    for place in Place:
        keys = [key for one in at(place) for key in one.keys]
        assert len(keys) == len(set(keys)), place


def test_everything_can_be_done_by_a_key_and_every_pane_can_be_left() -> None:
    assert {one.do for one in TABLE} == set(Do)
    for place in PANES:
        wanted = {Do.NEXT, Do.QUIT, Do.HELP, Do.UP, Do.DOWN}
        assert wanted <= {one.do for one in at(place)}
    assert lookup(Place.TYPING, "q") is None
    assert lookup(Place.EDIT, "a") is None


def test_the_help_and_the_manual_have_every_key() -> None:
    told = {(keys, about) for _, section in help_sections() for keys, about in section}
    for one in TABLE:
        if one.where != (Place.DETAILS, Place.HELP):
            assert (" ".join(map(shown, one.keys)), one.about) in told
    text = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert {(keys.replace("`", ""), about) for keys, about in rows} >= told


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"ab", ["a", "b"]),
        (b"\r\n\t \x7f", ["enter", "enter", "tab", "space", "backspace"]),
        (b"\x1b[A\x1bOB\x1b[Z", ["up", "down", "shift-tab"]),
        (b"\x1b[5~\x1b[6~\x1b[3~\x1b[1~\x1b[4~", ["page-up", "page-down", "delete", "home", "end"]),
        (b"\x1b[1;5D\x1b[1;2C", ["ctrl-left", "shift-right"]),
        (b"\x1b[<64;10;5M\x1b[<65;1;1M\x1b[<0;1;1M\x1b[<0;1;1m", ["wheel-up", "wheel-down"]),
        (b"\x03\x1d\x01", ["ctrl-c", "ctrl-]", "ctrl-a"]),
        ("é日".encode(), ["é", "日"]),
        (b"\x1bb\x1b\x7f", ["alt-b", "alt-backspace"]),
        (b"\x1b[?1;2cx", ["x"]),
        (b"a\x1b[200~q\nx\x1b[A\x1b[201~b", ["a", "paste q\nx\x1b[A", "b"]),
    ],
)
def test_what_a_terminal_sends(data: bytes, keys: list[str]) -> None:
    assert list(Decoder().feed(data)) == keys
    decoder = Decoder()
    assert [key for byte in data for key in decoder.feed(bytes([byte]))] == keys
    assert not decoder.pending


def test_escape_is_a_key_when_nothing_follows() -> None:
    decoder = Decoder()
    assert list(decoder.feed(b"\x1b")) == []
    assert decoder.pending
    assert decoder.flush() == ["escape"]
    assert list(decoder.feed(b"q")) == ["q"]


@given(st.binary(max_size=60))
def test_any_bytes_are_keys_or_nothing(data: bytes) -> None:
    decoder = Decoder()
    for key in [*decoder.feed(data), *decoder.flush()]:
        assert key


def test_probability_goes_in_steps_and_stops_at_both_ends() -> None:
    value, seen = 0.001, [0.001]
    while (higher := step_of(value, 1)) is not None:
        value = higher
        seen.append(value)
    assert tuple(seen) == STEPS
    while (lower := step_of(value, -1)) is not None:
        assert step_of(lower, 1) == value
        value = lower
    assert value == STEPS[0]
    assert (step_of(0.3, 1), step_of(0.3, -1)) == (0.5, 0.2)
    assert (step_of(0.0, 1), step_of(0.0, -1)) == (0.001, None)


# The line of input.


def typed(editor: LineEditor, *keys: str) -> tuple[str, int]:
    for key in keys:
        assert editor.key(key), key
    return editor.text, editor.cursor


def test_keys_in_a_line() -> None:
    editor = LineEditor()
    assert typed(editor, *"read:x", "backspace", *"error") == ("read:error", 10)
    assert typed(editor, "home", "delete", "R") == ("Read:error", 1)
    assert typed(editor, "end", "alt-b", "ctrl-w") == ("error", 0)
    assert typed(editor, "right", "ctrl-k", "space", "日") == ("e 日", 3)
    assert typed(editor, "left", "ctrl-u") == ("日", 0)
    assert typed(editor, "paste read:\n  x\n", "end") == ("read: x日", 8)
    assert lookup(Place.RULES, "paste q") is None
    assert not editor.key("page-up")


@given(st.lists(st.sampled_from(
    ["a", ":", "日", "left", "right", "home", "end", "backspace", "delete", "ctrl-w", "ctrl-u",
     "ctrl-k", "alt-b", "alt-f", "space"]), max_size=40))  # fmt: skip
def test_the_cursor_stays_in_the_line(keys: list[str]) -> None:
    editor = LineEditor("one:two")
    for key in keys:
        editor.key(key)
        assert 0 <= editor.cursor <= len(editor.text)


def test_history_keeps_what_was_being_written() -> None:
    editor = LineEditor("", ["first", "second"])
    typed(editor, "n", "e", "w")
    editor.older()
    assert editor.text == "second"
    editor.older()
    editor.older()
    assert (editor.text, editor.cursor) == ("first", 5)
    editor.newer()
    editor.newer()
    editor.newer()
    assert editor.text == "new"


def test_completion_writes_what_is_common_then_one_after_the_other() -> None:
    words = ["openat", "openat2", "open"]
    editor = LineEditor(
        "OP tail", completer=lambda text: [Choice(w) for w in words if w.startswith(text.lower())]
    )
    editor.cursor = 2
    editor.complete()
    assert (editor.text, editor.cursor, len(editor.choices)) == ("open tail", 4, 3)
    for word in (*words, words[0]):
        editor.complete()
        assert editor.text == f"{word} tail"
    typed(editor, ":")
    assert editor.choices == ()
    editor.complete()
    assert editor.text == "openat: tail"


def test_a_single_completion_corrects_the_case() -> None:
    editor = LineEditor("error=eio", completer=lambda text: [Choice("error=EIO")])
    editor.complete()
    assert (editor.text, editor.choices) == ("error=EIO", ())
