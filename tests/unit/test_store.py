"""The campaign's file: what is written is read back, also after the writer was killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.store import Campaign, FindingRow, PointRow, RunRow, Store
from injector.words.errors import InjectError

CAMPAIGN = Campaign("2026-01-01T00:00:00+00:00", "0.1.0", ("cp", "a b"), {"jobs": 2}, {"exit": 0})
POINT = PointRow("0/write#1", "write", "1, …, 3", "/tmp/ä", ("main", "libc+0x1"), "k1")
RUN = RunRow("once 0/write#1 error=EIO", 1, "0/write#1", "write", "error=EIO", "once", "k1", ("r",))
DONE = replace(
    RUN,
    state="done",
    verdict="crash",
    fingerprint="crash SIGSEGV",
    signal="SIGSEGV",
    fired=True,
    seconds=0.25,
    detail="killed by SIGSEGV",
    result={"a": [1, "\udcff"]},
)
FOUND = FindingRow("crash SIGSEGV", "crash", RUN.key, 1, None, "inject run …", "dies of SIGSEGV")


def runs(count: int) -> list[RunRow]:
    return [replace(RUN, key=f"once 0/write#{n} error=EIO", number=n) for n in range(1, count + 1)]


def test_round_trip(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "c.db", CAMPAIGN)
    store.plan([POINT], [RUN])
    assert list(store.runs()) == [RUN]
    store.done(DONE)
    store.found(FOUND)
    store.found(replace(FOUND, runs=2, flaky=False))
    store.close()
    again = Store.open(tmp_path / "c.db")
    assert again.campaign() == CAMPAIGN
    assert list(again.points()) == [POINT]
    assert list(again.runs()) == [DONE]
    assert again.run(RUN.key) == DONE
    assert again.run("none") is None
    assert list(again.findings()) == [replace(FOUND, runs=2, flaky=False)]
    assert again.verdicts() == {"crash": 1}
    again.close()


def test_a_plan_again_keeps_what_is_done(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "c.db", CAMPAIGN)
    store.plan([POINT], [RUN])
    store.done(DONE)
    store.plan([POINT], [RUN])
    assert list(store.runs("state = ?", ["done"])) == [DONE]
    store.close()


WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from injector.campaigns.store import Store
from tests.unit.test_store import CAMPAIGN, POINT, runs
path = Path(sys.argv[1])
store = Store.open(path) if path.exists() else Store.create(path, CAMPAIGN)
planned = runs(3000)
store.plan([POINT], planned)
for run in list(store.runs("state = 'planned'")):
    store.done(replace(run, state="done", verdict="handled", result={"x": "y" * 3000}))
    print(run.number, flush=True)
"""


def test_killed_thirty_times_it_keeps_every_result(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    done = 0
    for turn in range(30):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        told = [done]
        # Killed in the midst of its writing: when it has told of some results, or of none yet.
        for _ in range(turn % 7 + 1):
            line = writer.stdout.readline()
            assert line
            told.append(int(line))
        timer = threading.Timer(turn * 0.0002, writer.send_signal, [signal.SIGKILL])
        timer.start()
        told += map(int, filter(str.strip, writer.stdout))
        timer.join()
        assert writer.wait() == -signal.SIGKILL
        store = Store.open(path)
        kept = {run.number for run in store.runs("state = 'done'")}
        assert len(list(store.runs())) == 3000
        assert kept >= set(range(1, told[-1] + 1))
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()
        store.close()
        done = max(kept)
    assert done >= 30


def test_killed_while_it_is_made_it_is_whole_or_nothing(tmp_path: Path) -> None:
    seen = set()
    for turn in range(12):
        path = tmp_path / f"{turn}.db"
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        while not path.exists():
            assert writer.poll() is None
        for _ in range(turn * 500):
            pass
        writer.kill()
        writer.communicate()
        try:
            store = Store.open(path)
        except InjectError as error:
            assert error.message.endswith("holds no campaign")
            seen.add(0)
            Store.create(path, CAMPAIGN).close()
        else:
            assert store.campaign() == CAMPAIGN
            count = len(list(store.runs()))
            assert count in (0, 3000)
            seen.add(count)
            store.close()
    assert seen


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with pytest.raises(InjectError, match="there is no"):
        Store.open(path)
    store = Store.create(path, CAMPAIGN)
    second = Store.open(path)
    with pytest.raises(InjectError, match="another sweep is writing"):
        second.claim()
    second.close()
    store.close()
    with pytest.raises(InjectError, match="holds a campaign already") as refused:
        Store.create(path, CAMPAIGN)
    assert "--resume" in refused.value.help
    with pytest.raises(InjectError, match="holds a campaign already"):
        Store.require_vacant(path)
    for vacant in (tmp_path / "none.db", tmp_path / "empty.db"):
        if vacant.name == "empty.db":
            vacant.touch()
        Store.require_vacant(vacant)
        Store.create(vacant, CAMPAIGN).close()
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE t (x)")
    db.close()
    for call in (Store.open, lambda at: Store.create(at, CAMPAIGN)):
        with pytest.raises(InjectError, match="another program"):
            call(other)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InjectError, match=r"another version of inject \(format 99, ours 1\)"):
        Store.open(path)
    text = tmp_path / "text"
    text.write_text("not a database, by far not, however long it is" * 100)
    with pytest.raises(InjectError, match="cannot be used"):
        Store.open(text)
    with pytest.raises(InjectError, match="cannot be used"):
        Store.create(tmp_path / "no" / "folder.db", CAMPAIGN)
