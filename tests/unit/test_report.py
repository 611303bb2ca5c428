"""What a report computes: databases read and merged, kinds of calls, places named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.report import load, worst
from injector.campaigns.stacks import own_frames, site_function
from injector.words.errors import InjectError

from .sweeps import FINDINGS, OPEN_STACK, RUNS, WRITE_STACK, ARun, database


def test_counts_and_order(tmp_path: Path) -> None:
    report = load([database(tmp_path / "s.db")])
    assert report.campaign.command == ("shop", "order 1")
    assert (len(report.points), report.kinds, report.done, report.missing) == (3, 3, 7, 0)
    assert list(report.verdicts.items()) == [
        ("crash", 2),
        ("silent", 1),
        ("handled", 2),
        ("unaffected", 1),
        ("not reached", 1),
    ]
    assert report.seconds == pytest.approx(7 * 0.25)
    assert report.faults() == ("error=EIO", "error=EINTR", "error=ENOMEM", "short=1")
    assert [finding.verdict for finding in report.findings] == ["crash", "silent"]
    first = report.findings[0]
    assert first.run is not None and first.run.output("stderr").endswith("Segmentation fault\n")
    assert first.point is not None and first.point.path == "/var/lib/shop/data"


def test_rows_are_the_kinds_of_calls(tmp_path: Path) -> None:
    opened, written, close = load([database(tmp_path / "s.db")]).rows()
    assert (close.syscall, close.function, close.callers) == ("close", "", ())
    assert (opened.function, opened.callers) == ("openStore", ("main",))
    assert worst(opened.cells["error=ENOMEM"]) == "crash"
    assert [run.mode for run in opened.cells["error=EIO"]] == ["once", "persistent"]
    assert (written.function, written.callers) == ("store::commit(int)", ("main",))


def test_a_failure_without_its_fault_is_still_one(tmp_path: Path) -> None:
    runs = [
        ARun("0/openat#3", "error=EIO", "crash", fired=False),
        ARun("0/openat#3", "error=EACCES", "handled", fired=False),
    ]
    report = load([database(tmp_path / "s.db", runs, [])])
    assert report.verdicts == {"crash": 1, "not reached": 1}


def test_the_command_that_repeats_a_run(tmp_path: Path) -> None:
    report = load([database(tmp_path / "s.db")])
    commands = {run.key: report.repeat(run) for run in report.runs}
    assert commands["once 0/write#1 short=1"] == FINDINGS[0].command
    assert (
        commands["persistent 0/openat#3 error=EIO"]
        == "INJECT_RUN=1 inject run -e 'site=0/openat#3+:error=EIO' -- shop 'order 1' </dev/null"
    )


def test_the_command_that_repeats_a_run_makes_its_folder(tmp_path: Path) -> None:
    options = {"setup": "make it", "workdir": "/tem plate", "cwd": "/"}
    path = database(tmp_path / "s.db", command=["shop", "--port=8{run}"], options=options)
    report = load([path])
    assert report.repeat(report.runs[0]) == (
        """d=$(mktemp -d) && cp -a '/tem plate'/. "$d" && """
        """(cd "$d" && export INJECT_RUN=0 && sh -c 'make it' && """
        "inject run -e 'site=0/openat#3:error=EIO' -- shop --port=80 </dev/null)"
    )


@pytest.mark.parametrize(
    ("stack", "function", "callers"),
    [
        (OPEN_STACK, "openStore", ("main",)),
        (WRITE_STACK, "store::commit(int)", ("main",)),
        ((), "", ()),
        (["0x95ba (/usr/bin/shop)", "0x2724a (/lib/libc.so.6)"], "shop+0x95ba", ()),
        (["open+0x51 (/lib/libc.so.6)"], "open", ()),
        (["0x7ffd01"], "0x7ffd01", ()),
        # static: the C library's wrapper is in the program's own file
        (["__libc_write+0x4 (/opt/tool)", "save+0x9 (/opt/tool)"], "save", ()),
        (["openat64+0x4 (/opt/tool)", "f+0x9 (/opt/tool)"], "f", ()),
        (
            ["internal/runtime/syscall.Syscall6+0xe (/opt/g)", "main.save+0x9 (/opt/g)"],
            "main.save",
            (),
        ),
        (["read+0x1 (/lib/libasan.so.8)", "f+0x2 (/bin/x)", "g+0x3 (/bin/x)"], "f", ("g",)),
        (["we ird\n+0x1 (/odd (name)/x)"], "we ird\n", ()),
    ],
)
def test_a_place_is_named(stack: list[str], function: str, callers: tuple[str, ...]) -> None:
    assert site_function(stack) == (function, callers)


def test_frames_keep_their_library() -> None:
    assert [one.library for one in own_frames(OPEN_STACK)] == ["/usr/bin/shop"] * 2


# ---- shards


def shard(tmp_path: Path, number: int, of: int = 2, **more: object) -> Path:
    """Write a shard: it plans every run, and makes its own."""
    runs = [replace(run, shard=1 + index % of) for index, run in enumerate(RUNS)]
    mine = [run if run.shard == number else replace(run, verdict=None) for run in runs]
    known = {run.key for run in mine if run.verdict}
    findings = [one for one in FINDINGS if one.run in known]
    options = {"mode": "both", "shard": [number, of], "cwd": f"/job-{number}", **more}
    return database(tmp_path / f"{number}.db", mine, findings, options=options)


def test_shards_are_put_together(tmp_path: Path) -> None:
    whole = load([database(tmp_path / "s.db")])
    merged = load([shard(tmp_path, 1), shard(tmp_path, 2)])
    assert merged.verdicts == whole.verdicts
    assert {run.key for run in merged.runs} == {run.key for run in whole.runs}
    assert len(merged.findings) == 2
    assert merged.shards_missing == ()


def test_a_shard_that_is_not_given_is_missed(tmp_path: Path) -> None:
    report = load([shard(tmp_path, 2, 4)])
    assert report.shards_missing == (1, 3, 4)
    assert [one.missing for one in report.sources] == [0]
    assert (report.done, report.missing) == (2, 5)


def test_one_finding_of_two_shards(tmp_path: Path) -> None:
    flaky = [replace(FINDINGS[1], flaky=True)]
    one = database(tmp_path / "1.db", findings=FINDINGS[1:])
    two = database(tmp_path / "2.db", findings=flaky)
    (finding,) = load([two, one]).findings
    assert (finding.runs, finding.flaky) == (4, False)
    unknown = database(tmp_path / "3.db", findings=[replace(FINDINGS[1], flaky=None)])
    assert load([two, unknown]).findings[0].flaky is True


def test_a_finding_of_two_shards_is_shown_by_the_first_run_of_the_plan(tmp_path: Path) -> None:
    keys = [run.key for run in RUNS]
    shown = [replace(FINDINGS[1], run=key, command=f"repeat {key}") for key in keys[:2]]
    paths = [database(tmp_path / f"{n}.db", findings=[one]) for n, one in enumerate(shown)]
    for order in (paths, paths[::-1]):
        (finding,) = load(order).findings
        assert (finding.run and finding.run.key, finding.command) == (keys[0], f"repeat {keys[0]}")


def test_a_made_run_counts_before_a_planned_one(tmp_path: Path) -> None:
    planned = [replace(run, verdict=None) for run in RUNS]
    one = database(tmp_path / "1.db", planned, [])
    two = database(tmp_path / "2.db")
    assert load([one]).missing == len(RUNS)
    assert load([one, two]).missing == 0
    assert load([two, one]).missing == 0


@pytest.mark.parametrize(
    ("options", "command", "said"),
    [
        ({"timeout": 5}, ("shop",), 'timeout is 9 and 5; check is "fsck" and not said'),
        (
            {"timeout": 9, "check": "fsck"},
            ("shop", "a b"),
            "the commands are shop and shop 'a b'",
        ),
    ],
)
def test_campaigns_that_differ_are_not_merged(
    tmp_path: Path, options: dict[str, object], command: tuple[str, ...], said: str
) -> None:
    one = database(tmp_path / "1.db", command=["shop"], options={"timeout": 9, "check": "fsck"})
    two = database(tmp_path / "2.db", command=command, options=options)
    with pytest.raises(InjectError) as error:
        load([one, two])
    assert "are not of the same campaign: " in error.value.message
    assert sorted(error.value.message.partition("campaign: ")[2].split("; ")) == sorted(
        said.split("; ")
    )


def test_shards_of_two_splits_are_not_merged(tmp_path: Path) -> None:
    with pytest.raises(InjectError, match="one is split into 2 shards, the other into 3"):
        load([shard(tmp_path, 1), shard(tmp_path, 2, 3)])


# ---- files that are none of ours


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InjectError, match=r"cannot read .*: No such file or directory"):
        load([tmp_path / "none.db"])


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\0" * 4096])
def test_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InjectError, match="x is no database of inject sweep"):
        load([path])


def test_another_programs_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("CREATE TABLE t(a)")
    with pytest.raises(InjectError, match="is no database of inject sweep"):
        load([tmp_path / "x.db"])
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("PRAGMA user_version = 1")
    with pytest.raises(InjectError, match=r"cannot read .*: no such table: campaign"):
        load([tmp_path / "x.db"])


def test_a_newer_database(tmp_path: Path) -> None:
    path = database(tmp_path / "x.db")
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(InjectError, match=r"written by a newer inject \(format 2, known is 1\)"):
        load([path])


def test_a_damaged_database(tmp_path: Path) -> None:
    path = database(tmp_path / "x.db")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InjectError, match=r"cannot read .*x\.db: database disk image is malformed"):
        load([path])


@pytest.mark.parametrize("change", ["command = '{'", "command = '5'"])
def test_what_inject_does_not_write(tmp_path: Path, change: str) -> None:
    path = database(tmp_path / "x.db")
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE campaign SET {change}")
    with pytest.raises(InjectError, match=r"x\.db holds what inject does not write"):
        load([path])


def test_a_name_that_is_a_query_and_a_database_that_is_written(tmp_path: Path) -> None:
    path = database(tmp_path / "50%?mode=rw#.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM run")
        assert load([path]).done == len(RUNS)
        writer.rollback()


def test_points_of_other_runs_are_not_needed(tmp_path: Path) -> None:
    report = load([database(tmp_path / "x.db", points=[])])
    assert {row.syscall for row in report.rows()} == {"openat", "write", "close"}
