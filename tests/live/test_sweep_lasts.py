"""A sweep that is killed or stopped goes on where it was; parts of it make the whole."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import injector
from injector.campaigns.report import load
from injector.campaigns.store import Store

from .conftest import Victim
from .harness import INJECT, finish
from .sweeping import read, sweep
from .test_sweep import template

__all__ = ["template"]
FOUND_LATE = ["--check", "cmp a b"]


def processes(text: str) -> list[int]:
    """Return the processes whose environment has a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def begin(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a sweep, its processes marked."""
    return subprocess.Popen(
        [*INJECT, "sweep", *words],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )


def wait_until_gone(text: str) -> None:
    """Wait until no process has a text in its environment."""
    deadline = time.monotonic() + 60
    while left := processes(text):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def runs_made(path: Path) -> int:
    """Return how many runs a campaign's file has, 0 where there is none yet."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            (count,) = file.execute("SELECT count(*) FROM run WHERE state = 'done'").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(count)


def test_killed_at_random_and_resumed_it_finds_the_same(
    victim: Victim, template: str, tmp_path: Path
) -> None:
    command = [victim("defects"), "invariant"]
    arguments = ["--workdir", template, *FOUND_LATE, "--timeout", "20s", "--depth", "2"]
    undisturbed = sweep(tmp_path, arguments, command, db="whole.db")
    assert {one.verdict for one in undisturbed.findings} == {"check"}
    assert any(run.mode == "second" for run in undisturbed.runs)
    dice = random.Random(5)
    path = tmp_path / "cut.db"
    kills = 0
    for _ in range(40):
        resume = ["--resume"] if path.exists() and read(path).runs else []
        if path.exists() and not resume:
            for one in tmp_path.glob("cut.db*"):
                one.unlink()
        words = [*arguments, "--jobs", "1", *resume, "--db", str(path), "--", *command]
        running = begin(words, tmp_path)
        assert running.stderr is not None
        # In the midst of a run, which may be one before the file is there; often enough some more
        # were made, or it would never end.
        more = dice.choice((0, 1, 5, 20))
        wanted = runs_made(path) + more
        try:
            while more and running.poll() is None and runs_made(path) < wanted:
                time.sleep(0.01)
            running.wait(dice.random() * (0.1 if more else 0.9))
        except subprocess.TimeoutExpired:
            running.kill()
            kills += 1
        err = running.communicate()[1]
        wait_until_gone(f"TMPDIR={tmp_path}")
        if running.returncode >= 0:
            assert running.returncode == 1, err
            break
    else:
        swept = sweep(tmp_path, [*arguments, "--resume"], command, db="cut.db")
        assert swept.status == 1, swept.err
    assert kills >= 2
    resumed = read(path)
    assert resumed.verdicts == undisturbed.verdicts
    assert [
        (one.fingerprint, one.run, one.runs, one.flaky, one.command)
        for one in (sorted(resumed.findings, key=lambda one: one.fingerprint))
    ] == [
        (one.fingerprint, one.run, one.runs, one.flaky, one.command)
        for one in (sorted(undisturbed.findings, key=lambda one: one.fingerprint))
    ]
    assert not list(tmp_path.glob("inject-*"))


def test_stopped_by_ctrl_c_it_says_how_to_go_on(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 0.2; cat /etc/hostname /etc/passwd"]
    path = tmp_path / "c.db"
    running = begin(["--db", str(path), "--jobs", "2", "--", *command], tmp_path)
    assert running.stderr is not None
    said = []
    while not (said and " of " in said[-1] and "a second" in said[-1]):
        said.append(running.stderr.readline())
        assert said[-1], said
    os.kill(running.pid, signal.SIGINT)
    rest = running.communicate(timeout=60)[1]
    assert running.returncode == -signal.SIGINT
    assert f"go on with: inject sweep --resume --db {path}" in rest, rest
    wait_until_gone(f"TMPDIR={tmp_path}")
    assert not list(tmp_path.glob("inject-*"))
    before = read(path)
    done = {run.key for run in before.runs if run.state == "done"}
    assert 0 < len(done) < len(before.runs)
    status, _, err = finish([*INJECT, "sweep", "--resume", "--db", str(path)], cwd=tmp_path)
    assert status in (0, 1), err
    assert f"{len(done)} of them made before" in err
    assert {run.state for run in read(path).runs} == {"done"}
    again = finish([*INJECT, "sweep", "--resume", "--db", str(path)], cwd=tmp_path)
    assert again[0] == status and ", 0 now" in again[2]


def test_a_file_is_not_taken_by_another_campaign(tmp_path: Path) -> None:
    first = sweep(tmp_path, ["-e", "openat:error=EIO"], ["cat", "/etc/hostname"])
    assert first.status in (0, 1), first.err
    fresh = sweep(tmp_path, ["-e", "openat:error=EIO"], ["cat", "/etc/hostname"])
    assert fresh.status == 125
    assert "holds a campaign already" in fresh.err and "--resume" in fresh.err
    other = sweep(tmp_path, ["-e", "openat:error=EIO", "--resume"], ["cat", "/etc/passwd"])
    assert other.status == 125
    assert "a campaign with another command" in other.err


def test_shards_find_together_what_the_whole_finds(
    victim: Victim, template: str, tmp_path: Path
) -> None:
    command = [victim("defects"), "invariant"]
    arguments = ["--workdir", template, *FOUND_LATE]
    whole = sweep(tmp_path, arguments, command, db="whole.db")
    paths = []
    for part in (1, 2, 3):
        shard = sweep(tmp_path, [*arguments, "--shard", f"{part}/3"], command, db=f"{part}.db")
        assert shard.status in (0, 1), shard.err
        assert {run.shard for run in shard.runs if run.state == "done"} == {part}
        paths.append(tmp_path / f"{part}.db")
    merged = load(paths)
    assert {run.key: run.verdict for run in merged.runs} == whole.verdicts
    found = {one.fingerprint: one.runs for one in merged.findings}
    assert found == {one.fingerprint: one.runs for one in whole.findings}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Return the address of a scheduler with two workers."""
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = ["dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0"]
    worker = ["dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    worker += ["--host", "127.0.0.1", "--local-directory", str(tmp_path)]
    with contextlib.ExitStack() as stack:
        for number, (module, *words) in enumerate((scheduler, worker, worker)):
            log = stack.enter_context(open(tmp_path / f"dask{number}.log", "wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words],
                stdout=log,
                stderr=log,
                cwd=Path(injector.__file__).parent.parent,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        deadline = time.monotonic() + 60
        while (tmp_path / "dask0.log").read_text().count("Register worker") < 2:
            assert time.monotonic() < deadline, (tmp_path / "dask0.log").read_text()
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]


@pytest.mark.timeout(240)
def test_a_dask_cluster_makes_the_same_runs(
    cluster: str, victim: Victim, template: str, tmp_path: Path
) -> None:
    command = [victim("defects"), "invariant"]
    arguments = ["--workdir", template, *FOUND_LATE]
    local = sweep(tmp_path, arguments, command, db="local.db")
    swept = sweep(
        tmp_path, [*arguments, "--cluster", cluster], command, db="cluster.db", deadline=200
    )
    assert swept.status == 1, swept.err
    assert swept.verdicts == local.verdicts
    assert swept.found == local.found
    assert all(one.flaky is False for one in swept.findings)


def test_no_cluster_is_said(tmp_path: Path) -> None:
    swept = sweep(tmp_path, ["--cluster", "tcp://127.0.0.1:1"], ["true"])
    assert swept.status == 125
    assert "no scheduler of a Dask cluster answers at tcp://127.0.0.1:1" in swept.err


def test_a_hand_that_dies_takes_one_run_with_it(tmp_path: Path) -> None:
    # The program kills whoever traces it, which is the process that makes the run.
    kill = "kill -9 $(ps -o ppid= -p $$)"
    command = ["sh", "-c", f"cat /etc/hostname || {{ {kill}; }}"]
    swept = sweep(tmp_path, ["-e", "openat:path=/etc/hostname:error=EIO"], command)
    assert {run.verdict for run in swept.runs} == {"error"}, swept.err
    assert swept.status == 125
    assert "runs could not be made" in swept.err
    store = Store.open(tmp_path / "test.db")
    assert store.verdicts() == {"error": 2}
    store.close()
