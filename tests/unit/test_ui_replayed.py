"""What of a target's output goes to the real terminal afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.faces.ui.replayed import Replayed

QUESTIONS = [
    b"\x1bZ", b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[>0;1c", b"\x1b[=c", b"\x1b[>q",
    b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?996n", b"\x1b[?2026$p", b"\x1b[4$p", b"\x1b[x",
    b"\x1b[14t", b"\x1b[18t", b"\x1b[21;0t", b"\x1b[?u", b"\x1b[?4m", b"\x1b[?1;1;0S",
    b"\x1b]11;?\x07", b"\x1b]4;12;?\x1b\\", b"\x1b]52;c;?\x07", b"\x1bP$qm\x1b\\",
    b"\x1bP+q544e\x1b\\", b"\x05", b"\x1b[1;1;1;1;9;9*y", b"\x1b[1$w", b"\x1b[&u",
    b"\x1b]1337;ReportCellSize\x07", b"\x1b]4;1;?;2;?\x07",
]  # fmt: skip
OTHERS = [
    b"text \xff\xc3", b"\x1b[1;31m", b"\x1b[?25h", b"\x1b[2J", b"\x1b[10;20H", b"\x1b[22;0t",
    b"\x1b[>4;2m", b"\x1b[2 q", b"\x1b]0;what? a title\x07", b"\x1b]8;;http://x/?\x1b\\",
    b"\x1b(B", b"\x1b7", b"\x1b[3S", b"\x1b[u", b"\x1bPq#0\x1b\\", b"\x1b[>4n", b"\r\n",
    b"\x1b]1337;CursorShape=1\x07", b"\x1b_other\x1b\\",
]  # fmt: skip


@given(st.lists(st.sampled_from([*QUESTIONS, *OTHERS])), st.integers(1, 40))
def test_questions_are_left_out_and_nothing_else(parts: list[bytes], size: int) -> None:
    output = b"".join(parts)
    replayed = Replayed()
    pieces = [output[at : at + size] for at in range(0, len(output), size)]
    told = b"".join([*map(replayed.quiet, pieces), replayed.rest()])
    assert told == b"".join(part if part in OTHERS else b"\x18" for part in parts)


def test_what_is_left_makes_no_question_of_its_own() -> None:
    assert Replayed().quiet(b"\x1b[\x1b[6n6n") == b"\x1b[\x186n"  # CAN: 6n is text


@pytest.mark.parametrize(
    ("graphics", "told"),
    [
        (b"\x1b_Gi=31,s=1,a=q;AAAA\x1b\\", b"\x1b_Gi=31,s=1,a=q,q=2;AAAA\x1b\\"),
        (b"\x1b_Ga=d,i=31\x1b\\", b"\x1b_Ga=d,i=31,q=2\x1b\\"),
    ],
)
def test_graphics_are_shown_and_not_answered(graphics: bytes, told: bytes) -> None:
    replayed = Replayed()
    parts = [replayed.quiet(graphics[at : at + 1]) for at in range(len(graphics))]
    assert b"".join(parts) == told


@given(st.binary(), st.binary())
def test_what_asks_nothing_comes_as_it_is(one: bytes, other: bytes) -> None:
    one, other = (part.translate(None, b"\x1b\x05") for part in (one, other))
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
        (b"\x1b[?7l\x1b[4h", b"\x1b[4l\x1b[?7h"),
        (b"\x1b[?1h\x1b=\x1b[?5h", b"\x1b>\x1b[?1l\x1b[?5l"),
        (b"\x1b[?1h\x1b=keys\x1b[?1l\x1b>", b""),
        (b"\x1b[?1049h\x1b[>1u\x1b[>5u", b"\x1b[<2u\x1b[?1049l"),
        (b"\x1b[>1u\x1b[?1049h\x1b[>1u\x1b[<u", b"\x1b[?1049l\x1b[<1u"),
        (b"\x1b[>1u\x1b[<9u", b""),
        (b"\x1b[=5u", b"\x1b[=0u"),
        (b"\x1b[>4;2m", b"\x1b[>4m"),
        (b"\x1b[>4;2m\x1b[>4m", b""),
        (b"\x1b[2;20rtext", b"\x1b7\x1b[r\x1b8"),
        (b"\x1b[2;20rtext\x1b[r", b""),
        (b"\x1b(0qqq", b"\x1b(B"),
        (b"\x1b(0qqq\x1b(B", b""),
        (b"\x0eqqq", b"\x0f"),
        (b"\x1b[5 q", b"\x1b[ q"),
        (b"\x1b[?1049h\x1b[?25l\x1b=\x1b[>1u\x1bc", b""),
        (b"\x1b]0;a title that never en", b"\x18"),
    ],
)
@pytest.mark.parametrize("shown", [Replayed.quiet, Replayed.seen])
def test_what_a_killed_one_left_on_is_undone(
    output: bytes, undone: bytes, shown: Callable[[Replayed, bytes], bytes]
) -> None:
    replayed = Replayed()
    for byte in output:
        shown(replayed, bytes([byte]))
    assert replayed.undo() == undone


def test_what_was_held_back_is_known_while_the_rest_is_only_seen() -> None:
    replayed = Replayed()
    assert replayed.quiet(b"text\x1b[?1049") == b"text"
    assert replayed.rest() == b"\x1b[?1049"
    assert replayed.seen(b"h") == b"h"
    assert replayed.undo() == b"\x1b[?1049l"
