"""The output pane: what a target writes, as its terminal would show it, and what it is sent."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from injector.faces.ui.output import Output, Pane


class Target:
    """A spool and a terminal, as the front has them."""

    def __init__(self, folder: Path) -> None:
        self.spool = os.open(folder, os.O_TMPFILE | os.O_RDWR)
        self.master, self.slave = os.openpty()
        self.pane = Pane(Output(self.spool, self.master))

    def says(self, data: bytes) -> None:
        os.write(self.spool, data)
        while self.pane.read():
            self.pane.frame()

    def text(self, back: int = 0) -> list[str]:
        lines = ["".join(text for text, _ in line) for line in self.pane.lines(back)]
        return [line.rstrip() for line in lines]

    def close(self) -> None:
        for fd in (self.spool, self.master, self.slave):
            os.close(fd)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    one = Target(tmp_path)
    yield one
    one.close()


def test_lines_colours_and_overwriting(target: Target) -> None:
    target.pane.resize(20, 4)
    target.says(b"one\r\n\x1b[31mtwo\x1b[0m three\r\n50%\r99%")
    assert target.text() == ["one", "two three", "99%", ""]
    (red, style), (rest, plain) = target.pane.lines(0)[1][:2]
    assert (red, style.color and style.color.name, rest) == ("two", "red", " three")
    assert plain.color is None
    assert target.pane.cursor == (3, 2)


def test_what_left_the_pane_can_be_scrolled_to(target: Target) -> None:
    target.pane.resize(20, 3)
    target.says(b"".join(b"line %d\r\n" % number for number in range(10)))
    assert target.text() == ["line 8", "line 9", ""]
    assert target.text(2) == ["line 6", "line 7", "line 8"]
    assert target.text(target.pane.kept) == ["line 0", "line 1", "line 2"]


def test_a_resize_loses_no_line_and_the_target_is_told(target: Target) -> None:
    target.pane.resize(20, 6)
    target.says(b"".join(b"line %d\r\n" % number for number in range(4)))
    target.pane.resize(20, 3)
    assert target.text() == ["line 2", "line 3", ""]
    assert target.pane.cursor == (0, 2)
    assert termios.tcgetwinsize(target.slave) == (3, 20)
    target.pane.resize(30, 8)
    assert target.text() == ["line 0", "line 1", "line 2", "line 3", "", "", "", ""]
    target.says(b"more")
    assert target.text()[4] == "more"


@pytest.mark.parametrize(("lines", "left"), [(4, ["$ vi", ""]), (1, [""]), (9, ["$ vi", ""])])
def test_a_program_that_draws_leaves_what_was_there(
    target: Target, lines: int, left: list[str]
) -> None:
    target.pane.resize(20, 4)
    target.says(b"$ vi\r\n\x1b[?1049h\x1b[Htext\r\n\r\n\r\n\r\n\r\nstatus")
    assert target.text() == ["", "", "", "status"]
    assert target.pane.kept == 0
    target.pane.resize(20, lines)
    target.says(b"\x1b[?1049l")
    assert target.text() == left + [""] * (lines - len(left))
    assert target.pane.cursor == (0, len(left) - 1)
    target.says(b"$ ")
    assert target.text()[len(left) - 1] == "$"


def test_what_is_typed_gets_to_the_target(target: Target) -> None:
    target.pane.write(b"hello\r")
    assert os.read(target.slave, 100) == b"hello\n"


def test_a_flood_is_looked_at_from_its_end(target: Target) -> None:
    target.pane.resize(20, 3)
    target.says(b"old\r\n" * 500_000 + b"new\r\n")
    assert target.text() == ["old", "new", ""]
    assert target.pane.kept < 20_000


ODD = [
    b"\x1b[", b"\x1b]0;x", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[>4;2m", b"\x1b[6n", b"\x1b[c",
    b"\x1b[3;1r", b"\x1b#8", b"\x1b[99999999;1H", b"\x1b[38;5m", b"\x1bP1$r", b"\x1b[?6h",
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from(ODD), max_size=12),
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 30)), max_size=3),
)
def test_nothing_that_is_written_ends_it(
    tmp_path: Path, parts: list[bytes], sizes: list[tuple[int, int]]
) -> None:
    one = Target(tmp_path)
    try:
        for number, part in enumerate(parts):
            one.says(part)
            if sizes:
                columns, lines = sizes[number % len(sizes)]
                one.pane.resize(columns, lines)
                assert len(one.text()) == lines
                column, line = one.pane.cursor
                assert 0 <= column < columns
                assert 0 <= line < lines
    finally:
        one.close()


def test_a_flood_is_shown_in_parts(target: Target) -> None:
    os.write(target.spool, b"x\r\n" * 60_000)
    parts = 0
    while target.pane.read():
        parts += 1
    assert 0 < parts < 10
    assert not target.pane.read()
    target.pane.frame()
    assert target.pane.read()
