"""The folders of hands: held while one who uses them lives, removed by the next one after that."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from injector.campaigns.attempt import Attempt, attempt
from injector.campaigns.folders import claim, copy, digests, empty, hold, remove
from injector.campaigns.trial import Bench, Job

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
    assert empty(str(work))
    assert (list(work.iterdir()) if work.is_dir() else []) == []
    assert not work.is_symlink()
    assert (elsewhere / "kept").read_text() == "mine"


@pytest.mark.parametrize("name", ["stays", "folder/stays"])
def test_what_cannot_be_removed_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    for one in (work / "other", work / name):
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_text("x")
    with monkeypatch.context() as patched:
        immutable(patched)
        assert not empty(str(work))
    assert [one for one in work.rglob("*") if one.is_file()] == [work / name]
    assert empty(str(work)) and not list(work.iterdir())


@pytest.mark.parametrize("where", [".", "$TMPDIR"])
def test_what_cannot_be_removed_is_not_given_to_the_next_run(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    immutable(monkeypatch)
    (tmp_path / "template").mkdir()
    bench = Bench(str(tmp_path / "run"))
    command = ("sh", "-c", f'ls -A . "$TMPDIR"; echo x >"{where}/stays"')
    wish = Attempt(Job(command, workdir=str(tmp_path / "template")))
    try:
        runs = [attempt(wish, bench) for _ in range(3)]
    finally:
        bench.close()
    for run in runs:
        assert (run.result.status, run.result.error) == (0, "")
        assert "stays" not in run.result.stdout.tail
        assert (*run.facts.names, *run.facts.temporary) == ("stays",)
        assert run.facts.given == ()


def immutable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody remove a file of the name `stays`, as chattr(1) does for who may."""
    unlink = os.unlink

    def refuses(path: Any, *, dir_fd: int | None = None) -> None:
        if os.path.basename(path) == "stays":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuses)


def test_a_copy_has_all_that_a_folder_can_hold(tmp_path: Path) -> None:
    template = tmp_path / "template"
    (template / "closed").mkdir(parents=True)
    (template / "closed" / "file").write_text("text")
    (template / "dangling").symlink_to("nowhere")
    os.mkfifo(template / "fifo")
    (template / "fifo").chmod(0o666)  # more than the umask allows
    os.utime(template / "fifo", (1e9, 1e9))
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(template / "socket"))
    (template / "socket").chmod(0o666)
    (template / "closed").chmod(0o555)
    made = tmp_path / "made"
    copy(str(template), str(made))
    assert digests(str(made)) == digests(str(template))
    fifo, served_at = (made / "fifo").lstat(), (made / "socket").lstat()
    assert stat.filemode(fifo.st_mode) == "prw-rw-rw-" and fifo.st_mtime == 1e9
    assert stat.filemode(served_at.st_mode) == "srw-rw-rw-"
    for folder in (template, made):
        remove(str(folder))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        copy(str(tmp_path / "none"), str(tmp_path / "made"))
