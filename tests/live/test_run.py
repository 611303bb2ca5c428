"""What `inject run` prints and leaves: seed, summary, misses, the command that repeats it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Victim
from .harness import INJECT, finish, inject
from .servers import wait_until

DENIED = "openat:path=/etc/hostname:error=EACCES"


def test_a_fault_shows_as_the_programs_own_error() -> None:
    run = inject(["-e", DENIED, "--seed", "5"], ["cat", "/etc/hostname"])
    assert run.status == 1
    assert "cat: /etc/hostname: Permission denied\n" in run.err
    assert "inject: seed 5 (given), engine notify, rules of the command line (1 rule)\n" in run.err
    assert re.search(r"inject: cat exited with status 1, \d+\.\d\d s\n", run.err)
    assert re.search(r"\n  rule-1 +\d+ +1 +1 +1 +1\n", run.err)
    (fault,) = run.injections
    assert fault["syscall"] == "openat"
    assert fault["args"].startswith('AT_FDCWD, "/etc/hostname", O_RDONLY')
    assert (fault["path"], fault["fault"]) == ("/etc/hostname", "error EACCES")
    assert fault["result"] == "-1 EACCES (Permission denied)"
    kinds = [line["event"] for line in run.events]
    assert kinds == ["header", "task_start", "injection", "task_end", "footer"]
    header, footer = run.events[0], run.events[-1]
    assert (header["format"], header["seed"], header["engine"]) == (1, 5, "notify")
    assert header["command"] == ["cat", "/etc/hostname"]
    assert (footer["outcome"], footer["status"], footer["signal"]) == ("exit", 1, None)
    assert footer["rules"][0]["fired"] == 1


def test_names_of_files_are_told_as_they_are_written(tmp_path: Path) -> None:
    name = os.fsdecode("é日[x]\\\n".encode() + b"\xff")
    run = inject(["-e", f"openat:path={tmp_path}/**:error=EACCES"], ["cat", f"{tmp_path}/{name}"])
    (fault,) = run.injections
    assert fault["path"] == f"{tmp_path}/{name}"
    assert run.status == 1
    cat = inject(["-e", "openat:path=**[[]x]**:error=EACCES"], ["cat", name])
    assert cat.injections[0]["args"].startswith(r'AT_FDCWD, "é日[x]\\\n\xff", O_RDONLY')


def test_the_printed_command_repeats_the_run(victim: Victim) -> None:
    command = [victim("threads"), "3", "100"]
    first = inject(["-e", "getppid:error=EIO:probability=10%"], command)
    assert "(generated)" in first.err
    again = shlex.split(first.err.rsplit("inject: repeat with: ", 1)[1])
    assert again[0] == "inject"
    status, out, _ = finish([*INJECT, *again[1:]])
    assert (status, out) == (first.status, first.out)
    assert len(first.injections) > 5


def test_the_seed_of_a_scenario_is_used_and_named(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("name: mine\nseed: 11\nrules:\n  - syscalls: getppid\n    error: EIO\n")
    run = inject([str(scenario)], ["true"])
    assert "inject: seed 11 (from the scenario), engine notify, mine (1 rule)\n" in run.err
    over = inject([str(scenario), "--seed", "12"], ["true"])
    assert "inject: seed 12 (given)" in over.err


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("getppid:error=EIO", "getppid never seen"),
        (
            "write:path=/data/**:error=EIO",
            "write seen once, on files other than /data/**, the first was ",
        ),
        (
            "write:process=nobody:error=EIO",
            "in processes other than nobody, the first was seq",
        ),
        ("write:when=9:error=EIO", "matched once, never due: when is 9, counted per task"),
        ("write:probability=0:error=EIO", "due once, and the coin of 0% never fell so"),
        ("write:limit=0:error=EIO", "matched once, never due: its limit is 0"),
        ("write:after=1h:error=EIO", "matched once, never due: outside of its time (after, until)"),
        ('write:args.count=">9999":error=EIO', "write never seen with count=>9999"),
    ],
)
def test_a_rule_that_never_fired_says_why(rule: str, reason: str) -> None:
    run = inject(["-e", rule, "--require-fired"], ["seq", "2"])
    assert run.status == 3
    line = next(line for line in run.err.splitlines() if "never fired" in line)
    assert line.startswith("inject: rule-1 never fired: ")
    assert reason in line


def test_quiet_says_nothing_and_changes_nothing() -> None:
    run = inject(["-q", "-e", "write:delay=1ms"], ["seq", "3"])
    assert (run.status, run.out, run.err) == (0, "1\n2\n3\n", "")
    assert len(run.injections) == 1


def test_faults_are_lines_on_a_terminal() -> None:
    inside, outside = os.openpty()
    words = [*INJECT, "run", "-e", DENIED, "--", "cat", "/etc/hostname"]
    process = subprocess.Popen(words, stderr=outside, stdin=subprocess.DEVNULL)
    os.close(outside)
    text = b""
    try:
        while part := os.read(inside, 4096):
            text += part
    except OSError:  # EIO: the last writer closed the terminal
        pass
    assert process.wait(30) == 1
    os.close(inside)
    wanted = (
        rb'inject: openat\(AT_FDCWD, "/etc/hostname", O_RDONLY[^)]*\) = '
        rb"-1 EACCES \(Permission denied\) \(INJECTED: rule-1\)\r\n"
    )
    assert re.search(wanted, text), text


def test_a_frozen_process_is_named_with_what_lets_it_go_on() -> None:
    words = [*INJECT, "run", "-e", "write:fd=1:freeze=true", "--", "seq", "3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = b""
            while b"frozen" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            pid = int(re.findall(rb"kill -CONT (\d+)", said)[-1])
            wanted = f"inject: seq ({pid}) is frozen at write: gdb -p {pid} looks into it, "
            assert wanted.encode() in said
            stat = Path(f"/proc/{pid}/stat")
            wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "stopped")
            os.kill(pid, signal.SIGCONT)
            out, _ = process.communicate(timeout=30)
            assert (process.returncode, out) == (0, b"1\n2\n3\n")
        finally:
            process.kill()


def test_watched_calls_are_seen_without_a_fault() -> None:
    run = inject(["-e", "getppid:error=EIO", "--watch", "%file"], ["cat", "/etc/hostname"])
    assert run.status == 0
    assert not run.injections
    wrong = inject(["-e", "getppid:error=EIO", "--watch", "opennat"], ["true"])
    assert wrong.status == 125
    assert "--watch" in wrong.err and "openat" in wrong.err


def test_what_only_ptrace_can_do_is_refused_under_notify(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    for rule, word in (
        ("read:short=1", "short"),
        ("read:corrupt=zero", "corrupt"),
        ("close:error=EIO", "call: run"),
        ("read:caller=main:error=EIO", "caller"),
        ("read:kill=after", "kill: after"),
    ):
        run = inject(["--engine", "notify", "-e", rule], ["touch", str(marker)])
        assert run.status == 125
        assert f"{word} needs the ptrace engine" in run.err
    assert not marker.exists()


def test_a_journal_that_fills_the_disk_ends_the_target() -> None:
    words = [*INJECT, "run", "--journal", "/dev/full", "-e", DENIED, "--", "sleep", "1000"]
    status, _, err = finish(words, deadline=20)
    assert status == 125
    assert "cannot write the journal /dev/full: No space left on device" in err


def test_delays_do_not_hold_up_other_tasks() -> None:
    code = (
        "import os, threading\n"
        "def slow(): os.stat('/etc/hostname'); print('slow', flush=True)\n"
        "thread = threading.Thread(target=slow); thread.start()\n"
        "for _ in range(1000): os.getuid()\n"
        "print('fast', flush=True); thread.join()\n"
    )
    rules = ["-e", "%file:path=/etc/hostname:delay=1s", "-e", "getuid:error=EPERM:probability=0"]
    run = inject(rules, [sys.executable, "-c", code])
    assert run.out.splitlines() == ["fast", "slow"]


def test_a_run_inside_a_run_takes_the_other_engine() -> None:
    inner = ["run", "-e", "openat:path=/etc/hostname:error=EACCES", "--", "cat", "/etc/hostname"]
    run = inject(["-e", "getppid:error=EIO:probability=0"], [*INJECT, *inner])
    assert "engine ptrace instead" in run.err
    assert "/etc/hostname: Permission denied" in run.err
    assert run.status == 1
    refused = [*INJECT, "run", "-q", "--engine", "notify", *inner[1:]]
    run = inject(["-e", "getppid:error=EIO:probability=0"], refused)
    assert (run.status, "already listens" in run.err) == (125, True)
