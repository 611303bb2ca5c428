"""Shipped scenarios of disks, rights and interruptions: each fires, by name, on Debian commands.

A load is large enough that a rule of small probability fires whatever the seed is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import INJECT as TOOL
from .harness import Run, finish, inject

NAMES = ("io-errors", "slow-disk", "fsync-failure", "permission-denied", "eintr-storm")
PLAIN = {"LC_ALL": "C"}


def under(scenario: str, command: list[str], folder: Path, stdin: str = "") -> Run:
    """Run one command in a folder under a shipped scenario."""
    return inject([scenario, "--seed", "1"], command, env=PLAIN, cwd=folder, stdin=stdin)


def fired(run: Run, rule: str) -> list[str]:
    """Return the faults of one rule, in journal order."""
    return [one["fault"] for one in run.injections if one["rule"] == rule]


def many(folder: Path, count: int) -> list[str]:
    """Make small files that hold their own names."""
    names = [f"file-{number}" for number in range(count)]
    for name in names:
        (folder / name).write_text(f"{name}\n")
    return names


@pytest.mark.parametrize("name", NAMES)
def test_is_known_by_its_name_and_has_no_warning(name: str) -> None:
    status, out, err = finish([*TOOL, "check", name])
    assert (status, err) == (0, "")
    assert "warning" not in out
    about = out.splitlines()[0].removeprefix(f"{name}: ")
    status, out, _ = finish([*TOOL, "list", "scenarios"], env={"COLUMNS": "200"})
    assert status == 0
    assert any(name in line and about in line for line in out.splitlines())


def test_a_bad_read_ends_dd(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x" * 64000)
    run = under("io-errors", ["dd", "if=in", "of=/dev/null", "bs=64"], tmp_path)
    assert run.status == 1
    assert "dd: error reading 'in': Input/output error" in run.err
    assert set(fired(run, "bad-read")) == {"error EIO"}
    assert not fired(run, "bad-write")


def test_a_bad_write_ends_dd(tmp_path: Path) -> None:
    run = under("io-errors", ["dd", "if=/dev/zero", "of=out", "bs=64", "count=1000"], tmp_path)
    assert run.status == 1
    assert "dd: error writing 'out': Input/output error" in run.err
    assert fired(run, "bad-write") == ["error EIO"]
    # The one write that failed was the last, and nothing of it is there.
    assert (tmp_path / "out").stat().st_size < 64000


def test_cp_names_each_file_it_could_not_copy(tmp_path: Path) -> None:
    names = many(tmp_path, 200)
    (tmp_path / "copies").mkdir()
    run = under("io-errors", ["cp", *names, "copies"], tmp_path)
    assert run.status == 1
    told = [line for line in run.err.splitlines() if line.startswith("cp: error")]
    assert told
    assert all(line.endswith("Input/output error") for line in told)
    assert len(run.injections) == len(told)
    # The call that would have found the end can fail too, so a file told of may be whole.
    missing = {name for name in names if not (tmp_path / "copies" / name).read_bytes()}
    assert missing
    assert missing <= {name for name in names if f"'{name}'" in run.err}


def test_a_slow_disk_changes_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"0123456789abcdef" * 1024)
    run = under("slow-disk", ["dd", "if=in", "of=out", "bs=4k", "conv=fsync"], tmp_path)
    assert run.status == 0
    assert "4+0 records out" in run.err
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert len(fired(run, "slow-read")) >= 4
    assert len(fired(run, "slow-write")) == 4
    assert len(fired(run, "slow-flush")) == 1
    assert all(one["fault"].startswith("delay ") for one in run.injections)


def test_sqlite_takes_a_failed_flush_for_final(tmp_path: Path) -> None:
    base = ["sqlite3", "base.db"]
    assert finish([*base, "create table t(a)"], cwd=tmp_path)[0] == 0
    run = under("fsync-failure", [*base, "insert into t values(1)"], tmp_path)
    assert run.status != 0
    assert "disk I/O error" in run.err
    assert set(fired(run, "flush-fails")) <= {"error EIO", "error ENOSPC"}
    assert run.injections
    status, out, _ = finish([*base, "select count(*) from t; pragma integrity_check"], cwd=tmp_path)
    assert (status, out.split()) == (0, ["0", "ok"])


def test_dd_and_sync_tell_of_a_failed_flush(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x" * 4096)
    run = under("fsync-failure", ["dd", "if=in", "of=out", "conv=fsync"], tmp_path)
    assert run.status == 1
    assert "dd: fsync failed for 'out': " in run.err
    assert len(run.injections) == 1
    # What was written is there all the same: only the promise failed.
    assert (tmp_path / "out").stat().st_size == 4096
    run = under("fsync-failure", ["sync", "in"], tmp_path)
    assert run.status == 1
    assert "sync: error syncing 'in': " in run.err
    assert [one["syscall"] for one in run.injections] == ["fsync"]


def test_cat_goes_on_after_files_it_may_not_open(tmp_path: Path) -> None:
    names = many(tmp_path, 200)
    run = under("permission-denied", ["cat", *names], tmp_path)
    assert run.status == 1
    refused = {name for name in names if f"cat: {name}: Permission denied" in run.err}
    assert refused
    assert run.out.split() == [name for name in names if name not in refused]
    assert len(fired(run, "may-not-open")) >= len(refused)


def test_rm_leaves_what_it_may_not_remove(tmp_path: Path) -> None:
    names = many(tmp_path, 200)
    run = under("permission-denied", ["rm", "--", *names], tmp_path)
    assert run.status == 1
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left
    assert len(fired(run, "may-not-change")) == len(left)
    for name in left:
        assert f"rm: cannot remove '{name}': " in run.err


def test_sort_gives_up_when_interrupted(tmp_path: Path) -> None:
    run = under("eintr-storm", ["sort"], tmp_path, stdin="line\n" * 400_000)
    assert run.status == 2
    assert "sort: read failed: -: Interrupted system call" in run.err
    assert "error EINTR" in fired(run, "interrupted-transfer")


def test_wc_and_a_shell_make_the_call_again(tmp_path: Path) -> None:
    text = "line\n" * 400_000
    run = under("eintr-storm", ["wc", "-c"], tmp_path, stdin=text)
    assert (run.status, run.out.strip()) == (0, str(len(text)))
    assert len(fired(run, "interrupted-transfer")) > 1
    run = under(
        "eintr-storm",
        ["dash", "-c", "for i in 1 2 3 4 5 6 7 8; do (exit $i); echo $?; done"],
        tmp_path,
    )
    assert (run.status, run.out.split()) == (0, list("12345678"))
    assert set(fired(run, "interrupted-wait")) == {"error EINTR"}


@pytest.mark.parametrize("name", ["io-errors", "permission-denied", "eintr-storm"])
def test_the_same_seed_fails_the_same_calls(name: str, tmp_path: Path) -> None:
    command = ["cat", *many(tmp_path, 100)]
    first, second = (under(name, command, tmp_path) for _ in range(2))
    assert first.injections
    assert first.sites == second.sites
