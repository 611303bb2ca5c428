"""The journal: what is written is read back; a torn last line is left out, no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from injector.session.journal import Journal, read
from injector.words.errors import InjectError
from injector.words.events import Control, TaskStart, as_json

texts = st.text(st.characters(), max_size=20)
events = st.one_of(
    st.builds(Control, st.floats(0, 1e6), texts, texts),
    st.builds(TaskStart, st.floats(0, 1e6), texts, st.integers(), st.integers(), texts),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=5), st.integers(0, 200))
def test_round_trip_and_torn_end(tmp_path: Path, written: list[Control], cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for event in written:
        journal.write(event)
    journal.close()
    whole = [as_json(event) for event in written]
    assert list(read(path)) == whole
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    got = list(read(path))
    assert got == whole[: len(got)]
    assert len(got) >= data[: max(0, len(data) - cut)].count(b"\n")


def test_a_torn_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event":"header"}\n{"eve\n{"event":"footer"}\n')
    with pytest.raises(InjectError, match=":2: this line is not JSON"):
        list(read(path))


def test_a_journal_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    with pytest.raises(InjectError, match="cannot write the journal"):
        Journal(tmp_path / "no" / "such" / "folder")
    full = Journal(Path("/dev/full"))
    with pytest.raises(InjectError, match="No space left"):
        full.write(Control(0.0, "x"))
    full.close()
