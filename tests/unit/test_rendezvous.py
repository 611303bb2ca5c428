"""The sockets of sessions, as those who look for them find them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from injector.linux import rendezvous
from injector.words.errors import InjectError


@pytest.mark.parametrize(
    ("make", "said", "help"),
    [
        (lambda path: path.write_text(""), "is not a folder of this user", "take it away"),
        (lambda path: path.symlink_to("/root"), "is not a folder of this user", "take it away"),
        (lambda path: path.mkdir(mode=0o711), "others may enter", "chmod 700"),
    ],
)
def test_a_folder_that_is_not_ours_alone_is_refused(
    make: Callable[[Path], None], said: str, help: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    make(tmp_path / "inject")
    with pytest.raises(InjectError) as refused:
        rendezvous.check()
    assert said in refused.value.message
    assert help in refused.value.help
    with pytest.raises(InjectError):
        rendezvous.listen(os.getpid())


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
