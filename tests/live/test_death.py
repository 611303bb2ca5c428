"""Whoever dies, no process of the target goes on alone, and the journal holds what it saw."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.session.journal import read

from .conftest import Victim
from .harness import INJECT, finish

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 30
RULE = "getppid:error=EAGAIN:probability=20%"


@pytest.fixture
def adopted() -> Iterator[None]:
    """Become the parent of every orphan, so that none can live on unseen."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            for child in children(os.getpid()):
                os.kill(child, signal.SIGKILL)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def everyone_is_gone(seconds: float = 20) -> bool:
    """Reap until there is no child; False if one lives on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return True
    return False


def start(
    journal: Path, command: list[str], *arguments: str, quiet: str = "-q"
) -> subprocess.Popen[bytes]:
    words = [
        *INJECT,
        "run",
        quiet,
        "--kill-on-exit",
        "--journal",
        str(journal),
        *arguments,
        "--",
        *command,
    ]
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.wait(30)
    for stream in (process.stdout, process.stderr):
        assert stream
        stream.close()


def check(log: Path, journal: Path) -> tuple[int, int]:
    """Return how many faults the target saw and how many the journal holds."""
    seen = log.read_text().split() if log.exists() else []
    assert "ENOSYS" not in seen
    events = list(read(journal)) if journal.exists() else []
    return len(seen), sum(event["event"] == "injection" for event in events)


@pytest.mark.usefixtures("adopted")
def test_the_injector_is_killed_at_any_moment(victim: Victim, tmp_path: Path) -> None:
    moments = random.Random(50)
    busy, ready = victim("busy"), 0
    for number in range(50):
        log, journal = tmp_path / f"log{number}", tmp_path / f"journal{number}"
        process = start(journal, [busy, str(log)], "-e", RULE)
        assert process.stdout
        if number % 2:  # in the midst of its work; else anywhere in the start-up
            assert process.stdout.readline() == b"ready\n"
        select.select([], [], [], moments.random() * 0.2)
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
        assert everyone_is_gone()
        end(process)
        seen, written = check(log, journal)
        assert seen <= written
        ready += seen > 0
    assert ready >= 20


@pytest.mark.usefixtures("adopted")
def test_the_target_outlives_the_injector(victim: Victim, tmp_path: Path) -> None:
    # Some calls are parked by a delay when the injector dies, one is perhaps just received.
    rules = ["-e", "getppid:error=EAGAIN:probability=20%", "-e", "getpgrp:delay=100s:when=50"]
    for turn in range(ROUNDS):
        journal, log = tmp_path / f"journal{turn}", tmp_path / f"log{turn}"
        words = [*INJECT, "run", "-q", "--journal", str(journal), *rules, "--"]
        with subprocess.Popen(
            [*words, victim("outlives"), str(log)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            target = os.pidfd_open(int(process.stdout.readline()))
            # It fails now and then; after this many lines from it the injector is killed.
            for _ in range(random.Random(turn).randrange(1, 40)):
                assert process.stdout.readline() == "EAGAIN\n"
            process.kill()
            process.wait()
            rest = process.stdout.read()  # to its end: the target holds it
        assert set(rest.split()) <= {"EAGAIN", "alone", "done"}, rest
        assert rest.endswith("alone\ndone\n"), rest
        assert select.select([target], [], [], 20)[0], "it did not end"
        os.close(target)


def test_the_keeper_is_killed(victim: Victim, tmp_path: Path) -> None:
    log, journal = tmp_path / "log", tmp_path / "journal"
    process = start(journal, [victim("busy"), str(log)], "-e", RULE)
    assert process.stdout and process.stderr
    assert process.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while not log.exists() or not log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    (keeper,) = [pid for pid in children(process.pid) if os.getsid(pid) == pid]
    os.kill(keeper, signal.SIGKILL)
    assert process.wait(30) == 125
    said = process.stderr.read().decode()
    assert said.startswith("inject: the keeper, our helper that guards the target, was killed")
    assert "Traceback" not in said
    assert everyone_is_gone()
    end(process)
    seen, written = check(log, journal)
    assert 0 < seen <= written


@pytest.mark.usefixtures("adopted")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_injector_reaches_the_target(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start(tmp_path / "journal", ["sh", "-c", "echo ready; exec sleep 100"], "-e", RULE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(30) == -number
    assert everyone_is_gone()
    end(process)
    footer = list(read(tmp_path / "journal"))[-1]
    assert (footer["outcome"], footer["signal"]) == ("signal", number.name)


@pytest.mark.usefixtures("adopted")
def test_a_handled_signal_comes_once(victim: Victim, tmp_path: Path) -> None:
    process = start(tmp_path / "journal", [victim("signalled")], "-e", RULE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM):
        process.send_signal(number)
        assert process.stdout.readline() == b"%d\n" % number
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"15\n"
    assert process.wait(30) == 0
    assert everyone_is_gone()
    end(process)


@pytest.mark.usefixtures("adopted")
def test_a_signal_after_the_first_process_reaches_the_rest(tmp_path: Path) -> None:
    command = [
        "sh",
        "-c",
        "(trap 'echo got; exit' TERM; echo ready; while :; do sleep 0.05; done)&",
    ]
    process = start(tmp_path / "journal", command, "-e", RULE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    journal = tmp_path / "journal"
    deadline = time.monotonic() + 20
    while not any(e["event"] == "task_end" and e["task"] == "0" for e in read(journal)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert b"got\n" in process.stdout.read()
    assert process.wait(30) == 0, process.stderr and process.stderr.read()
    assert everyone_is_gone()
    end(process)


@pytest.mark.usefixtures("adopted")
def test_a_time_limit_ends_the_whole_tree(victim: Victim, tmp_path: Path) -> None:
    log, journal = tmp_path / "log", tmp_path / "journal"
    stubborn = f"trap '' TERM; {victim('busy')} {log} & while :; do :; done"
    command = ["sh", "-c", stubborn]
    process = start(journal, command, "-e", RULE, "--timeout", "200ms")
    assert process.wait(40) == 124
    assert everyone_is_gone()
    end(process)
    check(log, journal)
    events = list(read(journal))
    said = [one["detail"] for one in events if one.get("what") == "timeout"]
    assert said == ["SIGTERM to every process", "SIGKILL to every process"]
    assert (events[-1]["outcome"], events[-1]["signal"]) == ("timeout", "SIGKILL")


@pytest.mark.parametrize("begun", [True, False])
def test_the_keeper_of_who_ran_already_ends_nobody(begun: bool) -> None:
    with subprocess.Popen(["sleep", "100"]) as target:
        injector = (
            "import os; from injector.linux.keeper import Keeper; "
            f"keeper = Keeper(begun={begun}); keeper.watch_process(os.pidfd_open({target.pid})); "
            "print(keeper.pid, flush=True); os._exit(0)"
        )
        try:
            keeper = int(finish([sys.executable, "-c", injector])[1])
            with contextlib.suppress(ProcessLookupError):
                ended = os.pidfd_open(keeper)
                assert select.select([ended], [], [], 60)[0]
                os.close(ended)
            if begun:
                assert target.poll() is None
            else:
                assert target.wait(60) == -signal.SIGKILL
        finally:
            target.kill()
