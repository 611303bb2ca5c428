"""A journal replayed: the same faults at the same calls, and an honest verdict."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from injector.campaigns.replay import alike
from injector.session.journal import read

from .conftest import Victim
from .harness import INJECT, finish
from .test_ctl import Session

ENGINES = ("notify", "ptrace")
TIMES = 20


def record(
    journal: Path, rules: list[str], command: list[str], *options: str
) -> tuple[int, str, list[dict[str, Any]]]:
    """Run a command under rules; return status, output and the journal."""
    words = [word for rule in rules for word in ("-e", rule)]
    engine = [f"--engine={name}"] if (name := os.environ.get("INJECT_TEST_ENGINE")) else []
    line = [*INJECT, "run", "-q", "--journal", str(journal), *engine, *options, *words]
    status, out, _ = finish([*line, "--", *command])
    return status, out, list(read(journal))


def replay(journal: Path, *words: str, engine: bool = True) -> tuple[int, str, str]:
    name = os.environ.get("INJECT_TEST_ENGINE") if engine else None
    return finish(
        [*INJECT, "replay", str(journal), *([f"--engine={name}"] if name else []), *words]
    )


def faults(journal: Path) -> list[tuple[str, str]]:
    """Return where and what was injected, whatever the order among tasks."""
    found = (one for one in read(journal) if one["event"] == "injection")
    return sorted((one["site"], one["exact"]) for one in found)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("program", "arguments"), [("threads", ("8", "100")), ("tree", ("5", "2", "20"))]
)
def test_exact_with_threads_and_processes(
    victim: Victim, tmp_path: Path, program: str, arguments: tuple[str, ...]
) -> None:
    journal, again = tmp_path / "j", tmp_path / "again"
    rules = ["getppid:probability=5%:error={EIO: 2, EPERM: 1}"]
    rules.append("getppid:probability=2%:delay=1us..900us")
    command = [victim(program), *arguments]
    _, out, events = record(journal, rules, command)
    wanted = faults(journal)
    assert len(wanted) > 20
    assert any(exact.startswith("delay=") for _, exact in wanted)
    for _ in range(TIMES):
        status, told, err = replay(journal, "--journal", str(again), "--", *command)
        assert status == 1, err
        assert faults(again) == wanted
        assert sorted(told.splitlines()) == sorted(out.splitlines())
    assert f"reproduced: {len(wanted)} of {len(wanted)} faults at their sites; exit 0" in err
    assert events[-1]["outcome"] == "exit"


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        (["abort", "8", "50"], 1, "reproduced: 1 of 1 fault at their sites; crash SIGABRT fragile"),
        (["exit", "8", "50"], 0, "fixed: 1 of 1 fault at their sites; exit 3, where the journal"),
        (["ignore", "8", "50"], 0, "fixed: 1 of 1 fault at their sites; exit 0, where the journal"),
        (["abort", "8", "20"], 3, "could not tell: 0 of 1 fault at their sites; exit 0"),
        (["abort", "2", "50"], 3, "could not tell: 0 of 1 fault at their sites; exit 0"),
    ],
)
def test_verdicts(victim: Victim, tmp_path: Path, how: list[str], status: int, words: str) -> None:
    journal = tmp_path / "j"
    record(journal, ["site=0.7/getppid#33:error=EIO"], [victim("fragile"), "abort", "8", "50"])
    got, _, err = replay(journal, "--", victim("fragile"), *how)
    assert words in err
    assert got == status


def test_another_failure_is_a_failure(victim: Victim, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    record(journal, ["getppid:error=EIO:when=4"], [victim("fragile"), "exit", "1", "9"])
    status, _, err = replay(journal, "--", victim("fragile"), "abort", "1", "9")
    assert status == 1
    assert "failed otherwise: 1 of 1 fault at their sites; crash SIGABRT fragile" in err


def test_the_neighbourhood_of_what_was_not_reached(victim: Victim, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    record(journal, ["site=0.2/getppid#9:error=EIO"], [victim("tree"), "3", "1", "9"])
    status, _, err = replay(journal, "--", victim("tree"), "3", "1", "4")
    assert status == 3
    assert "0.2/getppid#9 (error=EIO) did not come as in the journal" in err
    assert "expected getppid()" in err
    assert "found    task 0.2 made getppid 4 times: … #1, #2, #3, #4" in err
    status, _, err = replay(journal, "--", victim("tree"), "1", "1", "9")
    assert status == 3
    assert "found    no task 0.2; the tasks were 0, 0.1" in err


def test_another_call_at_the_site(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    code = "import os, sys\nfor name in sys.argv[1:]:\n    open(name)"
    journal = tmp_path / "j"
    command = [sys.executable, "-c", code]
    one, two, three = (str(tmp_path / name) for name in ("one", "two", "three"))
    record(journal, [f"openat:path={two}:delay=1ms"], [*command, one, two])
    assert replay(journal, "--", *command, one, two)[0] == 1
    status, _, err = replay(journal, "--", *command, two, three)
    assert status == 3
    assert re.search(f"expected openat.* on {two}$", err, re.M)
    assert re.search(f"found    openat.* on {three}$", err, re.M)


def test_damage_is_the_same_whatever_the_seed(tmp_path: Path) -> None:
    file, journal = tmp_path / "file", tmp_path / "j"
    file.write_bytes(bytes(range(256)) * 16)
    command = ["sh", "-c", f"for i in 1 2 3 4; do md5sum < {file}; done"]
    for rule in (f"read:path={file}:corrupt=bitflip", f"read:path={file}:corrupt=random"):
        _, out, events = record(journal, [rule], command, "--engine=auto")
        assert len(set(out.split())) > 3
        assert any(event["event"] == "injection" for event in events)
        assert replay(journal, "--", *command, engine=False)[:2] == (1, out)


@pytest.mark.parametrize(
    ("rule", "exact"),
    [
        ("write:fd=1:short=50%", "short=50%"),
        ("write:fd=1:error=EIO:call=run", "error=EIO:call=run"),
        ("write:fd=1:delay_exit=1ms..2ms", "delay_exit="),
        ("write:fd=1:kill=after:when=2", "kill=after"),
        ("write:fd=1:signal=SIGCONT:when=2", "signal=SIGCONT"),
        ("close:error=EIO:call=skip:when=1", "error=EIO:call=skip"),
        ("close:error=EIO:when=1", "error=EIO:call=run"),
        ("write:fd=1:error=ENOSPC@9,EDQUOT@1:delay=normal 1ms 1ms", "error="),
    ],
)
def test_every_kind_of_fault(tmp_path: Path, rule: str, exact: str) -> None:
    journal, again = tmp_path / "j", tmp_path / "again"
    command = [sys.executable, "-c", "import os\nfor i in range(3): os.write(1, b'abcdef\\n')"]
    status, out, _ = record(journal, [rule], command, "--engine=auto")
    wanted = faults(journal)
    assert wanted
    assert all(exact in one for _, one in wanted)
    got, told, err = replay(journal, "--journal", str(again), "--", *command, engine=False)
    assert (got, told) == (1, out), err
    assert faults(again) == wanted
    assert status in (0, 1, -9, -10)


def test_numbers_that_count_only_what_the_kernel_let_stop(tmp_path: Path) -> None:
    """The filter of fd=2 stops no other write, and so the original's numbers have gaps."""
    journal, again = tmp_path / "j", tmp_path / "again"
    code = (
        "import os\nfor i in range(9):\n"
        "    try: os.write(1 + i % 2, b'%d\\n' % i)\n"
        "    except OSError: os.write(1, b'failed %d\\n' % i)"
    )
    command = [sys.executable, "-c", code]
    _, out, _ = record(journal, ["write:fd=2:error=EIO:when=3"], command)
    assert faults(journal) == [("0/write#3", "error=EIO")]
    assert "failed 5" in out
    status, told, err = replay(journal, "--journal", str(again), "--", *command)
    assert (status, told) == (1, out), err
    assert faults(again) == [("0/write#6", "error=EIO")]
    # Of those watched every one has stopped.
    record(journal, ["write:fd=2:error=EIO:when=3"], command, "--watch", "write")
    assert faults(journal) == [("0/write#6", "error=EIO")]
    assert replay(journal, "--", *command)[:2] == (1, out)


def test_a_journal_that_breaks_off(victim: Victim, tmp_path: Path) -> None:
    journal, torn = tmp_path / "j", tmp_path / "torn"
    command = [victim("threads"), "4", "50"]
    record(journal, ["getppid:probability=9%:error=EIO"], command)
    lines = journal.read_bytes().splitlines(keepends=True)
    places = [at for at, line in enumerate(lines) if b'"injection"' in line]
    kept = lines[: places[4]]
    torn.write_bytes(b"".join(kept) + lines[places[4]][:40])
    status, _, err = replay(torn, "--", *command)
    assert status == 3, err
    assert "of a run whose journal breaks off" in err
    assert (
        "could not tell: 4 of 4 faults at their sites; exit 0, where the journal has no end" in err
    )
    status, _, err = replay(torn, "--", "sh", "-c", '"$@"; exit 4', "sh", *command)
    assert status == 3 and "could not tell: 0 of 4 faults" in err


def test_a_failure_of_a_run_whose_end_nobody_wrote(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    record(journal, ["write:fd=1:error=EIO"], ["sh", "-c", "echo x || exit 4"])
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in whole if b'"footer"' not in line))
    status, _, err = replay(journal)
    assert status == 1, err
    assert "reproduced: 1 of 1 fault at their sites; exit 4" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"event":"header","format":99,"version":"7.1"}\n', "format 99, known is 1"),
        ('{"event":"header","format":1}\n', "holds what inject does not write"),
        ("[1]\n", "1: this line is no event of a journal"),
        ("7\n", "1: this line is no event of a journal"),
        ("", "is no journal"),
    ],
)
def test_what_is_no_journal_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cut").write_text(text)  # also the name of a program
    status, out, err = finish([*INJECT, "replay", "cut"], cwd=tmp_path)
    assert (status, out) == (125, "")
    assert said in err and "Traceback" not in err


def test_what_was_steered_by_hand(tmp_path: Path) -> None:
    session = Session(tmp_path, "-e", "getppid:error=EIO:probability=0:name=mine")
    said = [session.call()]
    for words in (
        ("fire", "mine"),
        ("add", "getppid:error=EPERM:limit=1"),
        ("set", "mine", "probability", "100%"),
    ):
        assert session.ctl(*words)[0] == 0
        said.append(session.call())
    assert session.close() == 0
    assert said == ["True", "False", "False", "False"]
    *_, footer = read(session.journal)
    assert footer["status"] == 0
    header = next(read(session.journal))
    name = os.environ["INJECT_TEST_ENGINE"]
    words = [*INJECT, "replay", str(session.journal), f"--engine={name}", "--", *header["command"]]
    status, out, err = finish(words, stdin="\n\n\n\n")
    assert status == 1, err
    assert out.split() == said
    assert "reproduced: 3 of 3 faults" in err


def test_a_hang_is_known_by_its_time(victim: Victim, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    command = [victim("fragile"), "hang", "1", "9"]
    record(journal, ["getppid:error=EIO:when=2"], command, "--timeout", "1s")
    status, _, err = replay(journal, "--", *command)
    assert status == 1
    assert "reproduced: 1 of 1 fault at their sites; hang" in err


def test_the_command_of_the_journal_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("found\n")
    journal = tmp_path / "j"
    words = [*INJECT, "run", "-q", "--journal", str(journal), "-e", "read:delay=1ms:when=1"]
    finish([*words, "--", "cat", "here"], cwd=tmp_path)
    status, out, err = replay(journal)
    assert (status, out) == (1, "found\n"), err


def test_a_check_alone_says_what_failed(victim: Victim, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    command = [victim("fragile"), "exit", "1", "9"]
    record(journal, ["getppid:error=EIO:when=2"], command)
    assert replay(journal, "--check", "exit 1", "--", *command)[0] == 1
    assert replay(journal, "--check", "exit 0", "--", *command)[0] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pids": [1]}, "is of a process that was attached to"),
        ({"event": "footer"}, "is no journal"),
    ],
)
def test_what_cannot_be_replayed(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    journal = tmp_path / "j"
    record(journal, ["write:error=EIO:when=99"], ["true"])
    status, _, err = replay(journal)
    assert status == 125
    assert "has no fault to replay" in err
    header, *rest = read(journal)
    journal.write_text("".join(json.dumps(one) + "\n" for one in ({**header, **change}, *rest)))
    status, _, err = replay(journal)
    assert status == 125
    assert words in err
    assert not re.search("Traceback", err)


@pytest.mark.parametrize(
    ("path", "other", "same"),
    [
        ("/etc/hosts", "/etc/hosts", True),
        ("/etc/hosts", "/etc/passwd", False),
        ("/tmp/tmpab12cd34/x", "/tmp/tmpzz99ab1_/x", True),
        ("/tmp/sess-AbCdEf", "/tmp/sess-gHiJkL", True),
        ("/run/app/1234.pid", "/run/app/77.pid", True),
        ("/var/a.txt", "/var/b.txt", False),
        ("/var/notes.txt", "/var/other.txt", False),
        ("/var/x", "/srv/x", False),
        ("socket:[1234]", "socket:[99]", True),
        ("", "/x", True),
    ],
)
def test_paths_of_the_same_call_in_two_runs(path: str, other: str, same: bool) -> None:
    assert alike(path, other) is same
