"""The folders of hands: held while one who uses them lives, removed by the next one after that."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from injector.campaigns.folders import claim, copy, digests, empty, hold, remove

CLAIM = """
from injector.campaigns.folders import claim
print(claim()[0], flush=True)
input()
"""


def test_a_folder_goes_with_the_last_who_held_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        assert theirs.parent == tmp_path
        also = hold(str(theirs))
        mine, held = claim()
        other.kill()
        other.wait(30)
        again, once_more = claim()
        assert theirs.is_dir()  # we hold it too
    os.close(also)
    last, fd = claim()
    assert sorted(tmp_path.iterdir()) == sorted(map(Path, (mine, again, last)))
    for one in (held, once_more, fd):
        os.close(one)


@pytest.mark.parametrize("made", ["folder", "file", "link", "nothing"])
def test_a_folder_that_is_used_again_is_empty_whatever_the_target_made_of_it(
    tmp_path: Path, made: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("mine")
    work = tmp_path / "work"
    match made:
        case "folder":
            deep = work / "read-only"
            deep.mkdir(parents=True)
            (deep / "file").write_text("x")
            (work / "link").symlink_to(elsewhere)
            deep.chmod(0o500)
            work.chmod(0o500)
        case "file":
            work.write_text("x")
        case "link":
            work.symlink_to(elsewhere)
        case _:
            pass
    empty(str(work))
    assert (list(work.iterdir()) if work.is_dir() else []) == []
    assert not work.is_symlink()
    assert (elsewhere / "kept").read_text() == "mine"


def test_a_copy_has_all_that_a_folder_can_hold(tmp_path: Path) -> None:
    template = tmp_path / "template"
    (template / "closed").mkdir(parents=True)
    (template / "closed" / "file").write_text("text")
    (template / "dangling").symlink_to("nowhere")
    os.mkfifo(template / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(template / "socket"))
    (template / "closed").chmod(0o555)
    made = tmp_path / "made"
    copy(str(template), str(made))
    assert digests(str(made)) == digests(str(template))
    assert stat.filemode((made / "fifo").lstat().st_mode) == "prw-r-----"
    assert (made / "socket").is_socket()
    for folder in (template, made):
        remove(str(folder))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        copy(str(tmp_path / "none"), str(tmp_path / "made"))
