"""`inject report` as a user runs it: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.unit.sweeps import RUNS, database

from .harness import INJECT, finish

REPORT = (*INJECT, "report")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep with findings."""
    return database(tmp_path / "sweep.db")


def test_the_status_tells_of_findings_only_when_asked(sweep: Path, tmp_path: Path) -> None:
    status, out, err = finish([*REPORT, sweep])
    assert (status, err) == (0, "")
    assert out.startswith("shop 'order 1'\n") and "\x1b" not in out
    assert finish([*REPORT, sweep, "--fail"])[0] == 1
    clean = database(tmp_path / "clean.db", RUNS[:2], [])
    assert finish([*REPORT, clean, "--fail"])[0] == 0


def test_json_is_alone_on_stdout(sweep: Path) -> None:
    status, out, err = finish([*REPORT, "--json", sweep, "--fail"])
    assert (status, err) == (1, "")
    assert json.loads(out)["report"] == 1


def test_junit_beside_the_table(sweep: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.xml"
    status, out, _ = finish([*REPORT, sweep, "--junit", target])
    assert status == 0 and "2 findings" in out
    assert ElementTree.parse(target).getroot()[0].get("failures") == "3"


def test_github_fills_the_summary_behind_what_is_there(sweep: Path, tmp_path: Path) -> None:
    target = tmp_path / "summary.md"
    target.write_text("before\n")
    env = {"GITHUB_STEP_SUMMARY": str(target)}
    status, out, err = finish([*REPORT, "--github", sweep], env=env)
    assert (status, err) == (0, "")
    assert [line.split(" ")[0] for line in out.splitlines()] == ["::error", "::warning", "::notice"]
    assert target.read_text().startswith("before\n### inject sweep")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.db"], "inject: cannot read none.db: No such file or directory\n"),
        (["text"], "inject: text is no database of inject sweep\n"),
        (["sweep.db", "--junit", "no/such/x.xml"], "inject: cannot write no/such/x.xml: No such "),
        (["sweep.db", "--json", "--github"], "inject: --json and --github both print to stdout\n"),
    ],
)
def test_what_is_wrong_is_said(sweep: Path, words: list[str], said: str) -> None:
    (sweep.parent / "text").write_text("hello\n")
    status, out, err = finish([*REPORT, *words], cwd=sweep.parent)
    assert (status, out) == (125, "")
    assert err.startswith(said)


def test_a_database_where_nothing_can_be_written(sweep: Path) -> None:
    sweep.chmod(0o444)
    sweep.parent.chmod(0o555)
    try:
        words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
        assert finish([*words, *REPORT, sweep])[0] == 0
    finally:
        sweep.parent.chmod(0o755)


def test_a_real_sweep_is_reported_in_every_form(tmp_path: Path) -> None:
    source = tmp_path / "real.db"
    words = ["sweep", "-q", "-e", "openat:error=EACCES", "--db", source, "--"]
    status, _, err = finish([*INJECT, *words, "cat", "/etc/hostname"], cwd=tmp_path)
    assert status in (0, 1), err
    page, xml = tmp_path / "p.html", tmp_path / "p.xml"
    status, out, err = finish([*REPORT, source, "--html", page, "--junit", xml])
    assert (status, err) == (0, "")
    assert out.startswith("cat /etc/hostname\n") and "openat" in out
    told = json.loads(finish([*REPORT, source, "--json"])[1])
    assert told["complete"] and told["verdicts"]["handled"] >= 1
    assert {run["syscall"] for run in told["runs"]} == {"openat"}
    assert int(ElementTree.parse(xml).getroot()[0].get("tests") or "") > 0
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_shards_of_a_real_sweep_are_one_report(tmp_path: Path) -> None:
    rule = ["-q", "-e", "openat,read,write:error=EIO"]
    files = []
    for number in (1, 2):
        folder = tmp_path / f"job-{number}"
        folder.mkdir()
        files.append(folder / "part.db")
        words = ["sweep", *rule, "--shard", f"{number}/2", "--db", "part.db", "--"]
        status, _, err = finish([*INJECT, *words, "cat", "/etc/hostname"], cwd=folder)
        assert status in (0, 1), err
    half = json.loads(finish([*REPORT, files[0], "--json"])[1])
    assert not half["complete"] and half["shards_missing"] == [2]
    whole = json.loads(finish([*REPORT, *files, "--json"])[1])
    assert whole["complete"] and whole["missing"] == 0
    keys = [run["key"] for run in whole["runs"]]
    assert len(set(keys)) == len(keys) == len(half["runs"])
    shown = finish([*REPORT, files[0]])[1]
    missing, of = half["missing"], len(half["runs"])
    said = f"unfinished: {missing} of {of} runs are not made yet; no database of shard 2\n"
    assert missing > 1 and said in shown
