"""The sockets of sessions, as those who look for them find them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from injector.linux import rendezvous


def test_a_socket_has_its_name_only_once_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    seen: list[list[int]] = []

    class Watched(socket.socket):
        def listen(self, *backlog: int) -> None:  # type: ignore[override]
            seen.append(rendezvous.sessions())
            super().listen(*backlog)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Watched)
        listener, path = rendezvous.listen(os.getpid())
    with listener:
        # One who looked meanwhile found nothing, and took nothing away.
        assert seen == [[]]
        assert rendezvous.sessions() == [os.getpid()]
        assert [one.name for one in path.parent.iterdir()] == [path.name]
