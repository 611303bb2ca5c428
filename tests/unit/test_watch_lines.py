"""`inject watch` where it prints lines, against a session made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from injector.faces.cli import watch
from injector.words.errors import InjectError

from .ui_sample import injection


def fault(number: int) -> dict[str, Any]:
    return {**injection(number, float(number)), "exact": "error=EIO"}


FOOTER = {"event": "footer", "t": 9.0, "outcome": "exit", "status": 0, "rules": []}


class FakeLink:
    """Gives each of these in turn; None is the end of a connection."""

    def __init__(self, path: Path, parts: list[list[dict[str, Any]] | None]) -> None:
        self._file = path.open("rb")  # a file can always be read
        self._parts = parts
        self.open = True
        self.sent: list[dict[str, Any]] = []

    def fileno(self) -> int:
        return self._file.fileno()

    def send(self, command: dict[str, Any], then: Callable[[dict[str, Any]], None]) -> None:
        self.sent.append(command)
        then({"ok": True, "recent": [fault(1)]})

    def receive(self) -> list[dict[str, Any]]:
        part = self._parts.pop(0)
        self.open = part is not None
        return part or []

    def reopen(self) -> bool:
        self.open = bool(self._parts)
        return self.open


def lines(path: Path, parts: list[list[dict[str, Any]] | None], patch: pytest.MonkeyPatch) -> None:
    (path / "file").touch()
    patch.setattr(watch, "Link", lambda session: FakeLink(path / "file", parts))
    patch.setattr(watch.select, "select", lambda *_: None)
    watch._lines(1)


def test_who_was_dropped_is_told_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(tmp_path, [[fault(2)], None, [fault(3)], [FOOTER]], monkeypatch)
    first, second, gap, third, end = capsys.readouterr().out.splitlines()
    assert gap == "inject: lines are missing here: the session waits for nobody who does not read"
    assert all("INJECTED" in one for one in (first, second, third))
    assert end == "inject: the session is over: exit 0, 9.00 s"


def test_a_session_that_is_gone_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InjectError, match="session 1 was killed"):
        lines(tmp_path, [[fault(2)], None], monkeypatch)
