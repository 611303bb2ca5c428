"""The forms of a report: each says the same, and takes whatever the target wrote."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.report import Report, load
from injector.faces.report.document import document
from injector.faces.report.table import lines
from injector.faces.report.words import pasteable, plain, seconds

from .sweeps import FINDINGS, POINTS, RUNS, database

HOSTILE = "</script><b>\x1b[31m\x01\u202e]]>&amp;\r\n::error::%0A\u2028'\"`$(x)"
BYTES = f"{HOSTILE}\udcff"  # as os.fsdecode gives what is no UTF-8; SQLite has it in JSON only

TABLE = """\
shop 'order 1'
2026-01-02 03:04 UTC, inject 0.1.0
3 points, 5 kinds, 7 runs, 1.8 s of runs

  C  crash       2  a process was killed by its own fault
  S  silent      1  status 0, and another output
  +  handled     2  the program noticed and said so
  .  unaffected  1  it did what it does without the fault
  -  unreached   1  the call was not made in this run

          EINTR  EIO  ENOMEM  short 1
  close          -
  openat         +    C
  write   .                   S

2 findings

1. C crash  SIGSEGV in shop when openat fails with ENOMEM
   2 runs, reproduced
   openat(AT_FDCWD, "/var/lib/shop/data", O_RDWR|O_CREAT, 0o644) with error=ENOMEM, once, at 0/openat#3
   shop was killed by SIGSEGV
     openStore (/usr/bin/shop)
     main (/usr/bin/shop)
   inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'

2. S silent  half an order is written, status 0
   1 run, flaky
   write(3, "order 1\\n", 8) with short=1, once, at 0/write#1
   stdout differs
     libstore.so.3+0xa99c7
     store::commit(int) (/usr/lib/libstore.so.3)
     main (/usr/bin/shop)
   inject run -e 'site=0/write#1:short=1' -- shop 'order 1'
"""  # noqa: E501


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """The campaign of `sweeps`."""
    return load([database(tmp_path / "s.db")])


@pytest.fixture
def hostile(tmp_path: Path) -> Report:
    """The same with texts that would break any form that trusts them."""
    point = replace(POINTS[0], args=HOSTILE, path=HOSTILE, stack=[f"{BYTES}+0x1 ({BYTES})"])
    run = replace(RUNS[2], detail=HOSTILE, result={"stderr": {"tail": BYTES}})
    finding = replace(FINDINGS[1], title=HOSTILE, command=f"inject run -- '{HOSTILE}'")
    rows = (point, *POINTS[1:])
    return load([database(tmp_path / "h.db", [run], [finding], rows, command=["a", BYTES])])


def test_table(report: Report) -> None:
    assert "".join(f"{line.plain}\n" for line in lines(report, 100)) == TABLE


def test_a_wide_matrix_is_cut_into_parts(report: Report) -> None:
    shown = [line.plain for line in lines(report, 24)]
    at = shown.index("          EINTR  EIO")
    assert shown[at : at + 9] == [
        "          EINTR  EIO",
        "  close          -",
        "  openat         +",
        "  write   .",
        "",
        "          ENOMEM",
        "  openat  C",
        "",
        "          short 1",
    ]


def test_an_unfinished_sweep_says_how_to_go_on(tmp_path: Path) -> None:
    runs = (*RUNS[:-1], replace(RUNS[-1], verdict=None))
    path = database(tmp_path / "s.db", runs)
    shown = [line.plain for line in lines(load([path]), 100)]
    assert (
        "unfinished: 1 of 7 runs is not made yet; go on with: "
        f"inject sweep --resume --db {path} -- shop 'order 1'"
    ) in shown
    assert any(line.startswith("  _  planned") for line in shown)


def test_nothing_found(tmp_path: Path) -> None:
    shown = [line.plain for line in lines(load([database(tmp_path / "s.db", RUNS[:2], [])]), 100)]
    assert shown[-1] == "no findings"


def test_no_control_character_reaches_the_terminal(hostile: Report) -> None:
    for line in lines(hostile, 100):
        assert line.plain.isprintable()


def test_json(report: Report) -> None:
    told = json.loads(json.dumps(document(report)))
    assert told["report"] == 1
    assert told["complete"] is True
    assert told["verdicts"] == report.verdicts
    assert [one["title"] for one in told["findings"]] == [one.title for one in report.findings]
    assert told["findings"][0]["output"]["stderr"] == "opening\nSegmentation fault\n"
    assert told["findings"][0]["flaky"] is False
    assert told["runs"][3] == {
        "key": "persistent 0/openat#3 error=ENOMEM",
        "site": "0/openat#3",
        "syscall": "openat",
        "fault": "error=ENOMEM",
        "mode": "persistent",
        "kind": "k1",
        "rules": ["site=0/openat#3+:error=ENOMEM"],
        "verdict": "crash",
        "fingerprint": None,
        "status": 0,
        "signal": "SIGSEGV",
        "seconds": 0.25,
        "detail": "",
        "command": "inject run -e 'site=0/openat#3+:error=ENOMEM' -- shop 'order 1'",
    }


def test_json_keeps_the_targets_bytes(hostile: Report) -> None:
    told = json.loads(json.dumps(document(hostile)))
    assert told["findings"][0]["output"]["stderr"] == BYTES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓", "plain ✓"),
        ("a\tb\n", "a\\tb\\n"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain("a\tb\n\x01", "\n\t") == "a\tb\n\\x01"


def test_a_pasted_command_is_the_same() -> None:
    word = "a'b\n\x1b\t\udcff\\n$x\u202e"
    shown = pasteable(f"printf %s {shlex.quote(word)}")
    assert shown.isprintable()
    done = subprocess.run(
        ["bash", "-c", shown], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout == word.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("span", "text"), [(0.04, "0.0 s"), (119, "119.0 s"), (150, "2 min"), (7500, "2 h 05 min")]
)
def test_seconds(span: float, text: str) -> None:
    assert seconds(span) == text
