"""What of a target's output goes to the real terminal afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.faces.ui.replayed import Replayed

QUESTIONS = [
    b"\x1bZ", b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[>0;1c", b"\x1b[=c", b"\x1b[>q",
    b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?996n", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[x",
    b"\x1b[14t", b"\x1b[18t", b"\x1b[21;0t", b"\x1b[?u", b"\x1b[?4m", b"\x1b[?1;1;0S",
    b"\x1b]11;?\x07", b"\x1b]4;12;?\x1b\\", b"\x1b]52;c;?\x07", b"\x1bP$qm\x1b\\",
    b"\x1bP+q544e\x1b\\",
]  # fmt: skip
OTHERS = [
    b"text \xff\xc3", b"\x1b[1;31m", b"\x1b[?25h", b"\x1b[2J", b"\x1b[10;20H", b"\x1b[22;0t",
    b"\x1b[>4;2m", b"\x1b[2 q", b"\x1b]0;what? a title\x07", b"\x1b]8;;http://x/?\x1b\\",
    b"\x1b(B", b"\x1b7", b"\x1b[3S", b"\x1b[u", b"\x1bPq#0\x1b\\", b"\x1b[>4n", b"\r\n", b"\x05",
]  # fmt: skip


@given(st.lists(st.sampled_from([*QUESTIONS, *OTHERS])), st.integers(1, 40))
def test_questions_are_left_out_and_nothing_else(parts: list[bytes], size: int) -> None:
    output = b"".join(parts)
    replayed = Replayed()
    pieces = [output[at : at + size] for at in range(0, len(output), size)]
    told = b"".join([*map(replayed.quiet, pieces), replayed.rest()])
    assert told == b"".join(part for part in parts if part in OTHERS)


@given(st.binary(), st.binary())
def test_what_asks_nothing_comes_as_it_is(one: bytes, other: bytes) -> None:
    one, other = (part.replace(b"\x1b", b"") for part in (one, other))
    replayed = Replayed()
    assert replayed.quiet(one) + replayed.quiet(other) + replayed.rest() == one + other


@pytest.mark.parametrize(
    ("output", "undone"),
    [
        (b"plain", b""),
        (b"\x1b[?1049h\x1b[?25l editing", b"\x1b[?1049l\x1b[?25h"),
        (b"\x1b[?1049h\x1b[?25l edited \x1b[?25h\x1b[?1049l", b""),
        (b"\x1b[?1000;1006h\x1b[?1006l", b"\x1b[?1000l"),
        (b"\x1b[?7;h\x1b[?12h", b""),
    ],
)
def test_what_a_killed_one_left_on_is_undone(output: bytes, undone: bytes) -> None:
    replayed = Replayed()
    for byte in output:
        replayed.quiet(bytes([byte]))
    assert replayed.undo() == undone
