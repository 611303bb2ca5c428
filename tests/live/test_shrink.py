"""A journal shrunk to the faults that matter: few runs, and what is printed fails the same way."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from injector.rules.scenario.load import load_scenario
from injector.session.journal import read

from .attaching import poll_until
from .conftest import Victim
from .harness import INJECT, finish


def record(journal: Path, rules: list[str], command: list[str]) -> int:
    """Run a command under rules; return how many faults its journal has."""
    words = [word for rule in rules for word in ("-e", rule)]
    finish(
        [*INJECT, "run", "-q", "--journal", str(journal), *words, "--", *command],
        cwd=journal.parent,
    )
    return sum(event["event"] == "injection" for event in read(journal))


def shrink(journal: Path, *words: str) -> tuple[int, str, str]:
    return finish([*INJECT, "shrink", str(journal), *words], cwd=journal.parent)


def rules_of(line: str) -> list[str]:
    words = shlex.split(line)
    return [words[at + 1] for at, word in enumerate(words) if word == "-e"]


def runs_of(err: str) -> int:
    found = re.search(r" in (\d+) runs?: ", err)
    assert found, err
    return int(found[1])


def test_one_of_hundreds(victim: Victim, tmp_path: Path) -> None:
    command = [victim("fragile"), "abort", "8", "200"]
    rules = ["site=0.3/getppid#150:error=EIO", "getppid:probability=60%:delay=1us"]
    count = record(tmp_path / "j", rules, command)
    assert count > 100
    status, out, err = shrink(tmp_path / "j", "--", *command)
    assert status == 0
    assert rules_of(out) == ["site=0.3/getppid#150:error=EIO"]
    assert "crash SIGABRT fragile (nothing can be left out)" in err
    assert runs_of(err) <= 30
    (rule,) = load_scenario(str(tmp_path / "j.shrunk.yaml")).rules
    assert str(rule.match.site) == "0.3/getppid#150"
    told = shlex.split(out)
    assert told[0] == "inject"
    assert finish([*INJECT, *told[1:]])[0] == -6
    assert finish([*INJECT, "run", "-q", str(tmp_path / "j.shrunk.yaml"), "--", *command])[0] == -6


def test_two_that_matter_together_and_another_failure(victim: Victim, tmp_path: Path) -> None:
    command = [victim("pair")]
    assert record(tmp_path / "j", ["getppid:error=EIO:delay=1us..9us"], command) == 60
    status, out, err = shrink(tmp_path / "j", "-o", str(tmp_path / "less.yaml"))
    assert status == 0
    assert rules_of(out) == ["site=0/getppid#10:error=EIO", "site=0/getppid#40:error=EIO"]
    assert "crash SIGABRT pair assert Assertion `whole' failed in pair.c" in err
    assert "on the way it also failed so: exit 7" in err
    other = next(line for line in err.splitlines() if "inject run" in line)
    assert finish([*INJECT, "run", *shlex.split(other.partition("inject run ")[2])])[0] == 7
    assert runs_of(err) <= 45
    assert len(load_scenario(str(tmp_path / "less.yaml")).rules) == 2


def test_a_check_in_a_fresh_folder_each_time(victim: Victim, tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    (template / "file").write_text("old\n")
    command = [victim("pair"), "file"]
    record(tmp_path / "j", ["getppid:error=EIO:when=15+", "write:delay=1us"], command)
    status, out, err = shrink(
        tmp_path / "j",
        *("--workdir", str(template), "--check", "grep -qx data file", "--", *command),
    )
    assert status == 0, err
    assert rules_of(out) == ["site=0/getppid#20:error=EIO"]
    assert "1 of 46 faults" in err
    assert (template / "file").read_text() == "old\n"


def test_numbers_in_the_result_count_every_call(tmp_path: Path) -> None:
    code = (
        "import os\nfor i in range(9):\n"
        "    try: os.write(1 + i % 2, b'%d' % i)\n"
        "    except OSError: os._exit(i)"
    )
    command = [sys.executable, "-c", code]
    assert record(tmp_path / "j", ["write:fd=2:error=EIO:when=3"], command) == 1
    status, out, err = shrink(tmp_path / "j", "--", *command)
    assert status == 0, err
    assert rules_of(out) == ["site=0/write#6:error=EIO"]
    assert finish([*INJECT, *shlex.split(out)[1:]])[0] == 5


def test_simpler_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"good\n")
    command = ["sh", "-c", f'test "$(cat {tmp_path}/file)" = good']
    rule = f"read:path={tmp_path}/file:corrupt=random:delay=2ms"
    record(tmp_path / "j", [rule], command)
    status, out, err = shrink(tmp_path / "j", "--", *command)
    assert status == 0, err
    (rule,) = rules_of(out)
    assert re.fullmatch(r"site=0\.\d+(\.\d+)*/read#\d+:corrupt=zero", rule)


def test_it_fails_without_any_fault(tmp_path: Path) -> None:
    record(tmp_path / "j", ["write:delay=1us"], ["sh", "-c", "echo x; exit 9"])
    status, out, err = shrink(tmp_path / "j")
    assert (status, out) == (0, "")
    assert "it fails so without any fault" in err
    assert not (tmp_path / "j.shrunk.yaml").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo a"], "nothing failed (status 0)"),
        (["true"], "the program took another way"),
        (["no-such-command"], "command not found"),
    ],
)
def test_nothing_to_shrink(tmp_path: Path, command: list[str], words: str) -> None:
    record(tmp_path / "j", ["write:delay=1us"], ["sh", "-c", "echo x"])
    status, out, err = shrink(tmp_path / "j", "--", *command)
    assert status == (127 if "no-such" in command[0] else 3)
    assert out == ""
    assert words in err


def test_so_many_runs_and_no_more(victim: Victim, tmp_path: Path) -> None:
    record(tmp_path / "j", ["getppid:error=EIO"], [victim("pair")])
    status, out, err = shrink(tmp_path / "j", "--runs", "4")
    assert status == 0
    assert runs_of(err) == 4
    assert "the runs that were allowed are made" in err
    assert {"site=0/getppid#10:error=EIO", "site=0/getppid#40:error=EIO"} <= {*rules_of(out)}


def test_a_hang(victim: Victim, tmp_path: Path) -> None:
    command = [victim("fragile"), "hang", "2", "20"]
    rules = ["site=0.1/getppid#9:error=EIO", "getppid:delay=1us:probability=50%"]
    words = [word for rule in rules for word in ("-e", rule)]
    line = [*INJECT, "run", "-q", "--journal", str(tmp_path / "j"), "--timeout", "1s", *words]
    finish([*line, "--", *command])
    status, out, err = shrink(tmp_path / "j")
    assert status == 0
    assert rules_of(out) == ["site=0.1/getppid#9:error=EIO"]
    assert ": hang (nothing can be left out)" in err


def test_an_interrupt_keeps_what_was_found(victim: Victim, tmp_path: Path) -> None:
    """The second run waits for us: it has no fault, and so comes to the end of its pipe."""
    gate, scratch = tmp_path / "gate", tmp_path / "scratch"
    os.mkfifo(gate)
    scratch.mkdir()
    command = ["sh", "-c", f"{victim('pair')} && : > {tmp_path}/began && cat {gate}; exit 1"]
    count = record(tmp_path / "j", ["getppid:error=EIO"], command)
    assert count >= 60
    words = [*INJECT, "shrink", str(tmp_path / "j"), "--", *command]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    ) as process:
        poll_until((tmp_path / "began").exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "(interrupted)" in err
    assert f"inject:   and {count - 10} more" in err
    rules = load_scenario(str(tmp_path / "j.shrunk.yaml")).rules
    assert len(rules_of(out)) == len(rules) == count
    assert list(scratch.iterdir()) == []
