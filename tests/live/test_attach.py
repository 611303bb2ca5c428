"""Attached to and let go, nothing changes for the target but the faults that were ordered."""

from __future__ import annotations

import os
import resource
import signal
import struct
from pathlib import Path

import pytest

from injector.linux import procfs
from injector.session.journal import read

from .attaching import (
    NEVER,
    attach_again,
    attach_and_die,
    attach_until_a_fault,
    attached,
    living,
    poll_until,
    status,
    traced,
    untraced,
)
from .conftest import Victim
from .harness import DEADLINE, INJECT, inject

KINDS = pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
KILLS = int(os.environ.get("INJECT_ATTACH_KILLS", "6"))
THREADS = 32
HALF = "getppid:error=EIO:probability=50%"
SHORT = "writev:short=4:probability=50%"


@KINDS
def test_a_call_that_blocks_goes_on(victim: Victim, tmp_path: Path, flags: tuple[str, ...]) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with living(victim("attach", *flags), "blocked", str(lock)) as target:

        def asleep() -> bool:
            threads = procfs.threads(target.pid)
            return len(threads) > THREADS and all(procfs.state(tid) == "S" for tid in threads)

        poll_until(asleep)
        attach_again(target.pid, 18)
        for number in (signal.SIGINT, signal.SIGTERM):
            with attached(target.pid) as inject:
                inject.leave(number)
        assert untraced(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")


@KINDS
def test_the_injector_is_killed_at_any_moment(
    victim: Victim, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    with living(victim("attach", *flags), "faulty", "short") as target:
        attach_and_die(target.pid, 25, "-e", HALF, "-e", SHORT)
        attach_until_a_fault(target.pid, tmp_path, "-e", HALF)
        assert untraced(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")


@pytest.mark.parametrize(
    "how", ["queued", "traps", "births", "executes", "children", "job-control"]
)
def test_the_injector_is_killed_at_any_moment_of(victim: Victim, how: str) -> None:
    with living(victim("attach"), how) as target:
        others = [target.line().strip()] if how == "job-control" else []
        attach_and_die(target.pid, KILLS, *others, "-e", HALF)
        poll_until(lambda: untraced(target.pid))
        target.go()
        assert target.end() == (0, "ok\n")


@KINDS
def test_let_go_at_any_moment(victim: Victim, tmp_path: Path, flags: tuple[str, ...]) -> None:
    with living(victim("attach", *flags), "faulty", "short") as target:
        rules = ("-e", HALF, "-e", SHORT, "-e", "getppid:delay=20ms:probability=10%")
        attach_again(target.pid, 20, *rules, duration="30ms")
        attach_again(target.pid, 5, "-e", "getppid:call=run:error=EIO:delay_exit=50ms")
        attach_until_a_fault(target.pid, tmp_path, "-e", HALF)
        target.go()
        assert target.end() == (0, "ok\n")


def turns(counter: Path) -> int:
    (count,) = struct.unpack("=q", counter.read_bytes())
    return int(count)


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter"
    path.write_bytes(bytes(8))
    return path


def test_a_stopped_process_stays_stopped(victim: Victim, counter: Path) -> None:
    with living(victim("attach"), "counts", str(counter)) as target:
        poll_until(lambda: turns(counter))
        os.kill(target.pid, signal.SIGSTOP)
        poll_until(lambda: procfs.state(target.pid) == "T")
        before = turns(counter)
        attach_again(target.pid, 10)
        poll_until(lambda: procfs.state(target.pid) == "T")
        with attached(target.pid) as inject:
            assert turns(counter) == before
            os.kill(target.pid, signal.SIGCONT)
            poll_until(lambda: turns(counter) > before)
            os.kill(target.pid, signal.SIGSTOP)
            poll_until(lambda: procfs.state(target.pid) == "t")
            inject.leave()
        assert procfs.state(target.pid) == "T"
        before = turns(counter)
        os.kill(target.pid, signal.SIGCONT)
        poll_until(lambda: turns(counter) > before)
        target.go()
        assert target.end() == (0, "ok\n")


def test_a_process_that_was_stopped_goes_on_at_sigcont(victim: Victim, counter: Path) -> None:
    with living(victim("attach"), "counts", str(counter)) as target:
        os.kill(target.pid, signal.SIGSTOP)
        poll_until(lambda: procfs.state(target.pid) == "T")
        with attached(target.pid) as inject:
            poll_until(lambda: procfs.state(target.pid) == "t")
            before = turns(counter)
            os.kill(target.pid, signal.SIGCONT)
            poll_until(lambda: turns(counter) > before)
            inject.leave(signal.SIGTERM)
        assert untraced(target.pid) and procfs.state(target.pid) in "RS"
        target.go()
        assert target.end() == (0, "ok\n")


def test_a_thousand_queued_signals_come_once_and_in_order(victim: Victim) -> None:
    with living(victim("attach"), "queued") as target:
        attach_again(target.pid, 15, duration="20ms")
        target.go()
        assert target.end() == (0, "ok\n")


@KINDS
def test_traps_of_its_own(victim: Victim, flags: tuple[str, ...]) -> None:
    with living(victim("attach", *flags), "traps") as target:
        attach_again(target.pid, 10, duration="20ms")
        target.go()
        assert target.end() == (0, "ok\n")


def test_job_control(victim: Victim) -> None:
    with living(victim("attach"), "job-control") as target:
        job = int(target.line())
        attach_again(target.pid, 2, str(job), duration="30ms")
        attach_again(job, 2, duration="30ms")
        target.go()
        assert target.end() == (0, "ok\n")


@pytest.mark.parametrize("how", ["births", "executes", "children"])
def test_whatever_it_starts_meanwhile(victim: Victim, how: str) -> None:
    with living(victim("attach"), how) as target:
        attach_again(target.pid, 20, duration="10ms")
        poll_until(lambda: untraced(target.pid))
        target.go()
        assert target.end() == (0, "ok\n")


def test_a_leader_that_has_ended(victim: Victim, tmp_path: Path) -> None:
    with living(victim("attach"), "leaderless") as target:
        attach_again(target.pid, 10, "-e", HALF, duration="20ms")
        attach_until_a_fault(target.pid, tmp_path, "-e", HALF)
        target.go()
        assert target.end() == (0, "ok\n")


def test_an_exec_after_its_leader_has_ended(victim: Victim, tmp_path: Path) -> None:
    words = ["-e", "getppid:error=EIO", "--journal", str(tmp_path / "journal")]
    with living(victim("attach"), "leaderless-executes") as target:
        poll_until(lambda: procfs.state(target.pid) == "Z")
        with attached(target.pid, *words) as inject:
            target.go()
            assert target.line() == "ready\n"
            inject.leave()
        assert untraced(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")
    sites = [one["site"] for one in read(tmp_path / "journal") if one["event"] == "injection"]
    assert sites == ["0.1/getppid#1"]  # the thread that executed it, and no other


@pytest.mark.parametrize("how", ["filtered-error", "filtered-kill"])
def test_a_filter_of_its_own(victim: Victim, tmp_path: Path, how: str) -> None:
    rule = "openat:error=EIO:probability=50%"
    with living(victim("attach"), how) as target:
        attach_again(target.pid, 5, "-e", rule, duration="20ms")
        attach_until_a_fault(target.pid, tmp_path, "-e", rule)
        target.go()
        assert target.end() == (0, "ok\n")


@KINDS
@pytest.mark.parametrize("fault", ["short=1", "call=run:error=EIO", "corrupt=zero"])
def test_let_go_in_a_call_under_a_fault(
    victim: Victim, tmp_path: Path, fault: str, flags: tuple[str, ...]
) -> None:
    """It ends as if nothing had been: no fault is told of that did not come to be."""
    journal = tmp_path / "journal"
    rule = f"read:fd=pipe:when=2:{fault}"
    with living(victim("attach", *flags), "reads") as target:
        with attached(target.pid, "-e", rule, "--journal", str(journal)) as inject:
            target.go()
            number = 3 if flags else 0
            poll_until(lambda: (procfs.blocked(target.pid) or (-1,))[0] == number)
            inject.leave()
        assert untraced(target.pid)
        assert target.process.stdin
        target.process.stdin.write(b"yz")
        assert target.end() == (0, "ok\n")
    events = [one["event"] for one in read(journal)]
    assert "injection" not in events
    assert [one["what"] for one in read(journal) if one["event"] == "control"] == ["detach"]


def test_killed_while_its_result_is_late(victim: Victim) -> None:
    rule = "getppid:delay_exit=300ms"
    run = inject(["-q", "--engine", "ptrace", "-e", rule], [victim("life"), "killed-while-parked"])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    assert len(run.injections) == 1


@pytest.mark.parametrize(("how", "letters"), [("counts", "R"), ("reads", "S")])
def test_its_state_afterwards(victim: Victim, counter: Path, how: str, letters: str) -> None:
    with living(victim("attach"), how, str(counter)) as target:
        attach_again(target.pid, 3)
        poll_until(lambda: procfs.state(target.pid) in letters)


@pytest.mark.parametrize("how", ["restarts", "interrupts"])
def test_a_read_that_signals_interrupt_is_counted_once(victim: Victim, how: str) -> None:
    rule = "read:fd=pipe:when=31:error=EIO"
    with living(victim("attach"), how) as target, attached(target.pid, "-e", rule) as inject:
        target.go()
        assert target.end() == (0, "ok\n")
        inject.left()


@pytest.mark.parametrize("rules", [(), ("-e", "%process:error=EIO:probability=0")])
def test_a_launched_childs_child_cannot_escape(victim: Victim, rules: tuple[str, ...]) -> None:
    words = ["-q", "--engine", "ptrace", *rules, "-e", "getppid:error=EIO"]
    run = inject(words, [victim("attach"), "untraced"])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    assert [one["task"] for one in run.of("task_end")] == ["0.1", "0.2", "0"]


def out_of_descriptors(pid: int) -> None:
    """Make whatever inject opens next fail."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))


def test_an_error_of_our_own_lets_the_target_go(victim: Victim) -> None:
    with living(victim("attach"), "children") as target, attached(target.pid) as inject:
        out_of_descriptors(inject.process.pid)
        out, _ = inject.process.communicate(timeout=DEADLINE)
        assert inject.process.returncode == 125, out
        poll_until(lambda: untraced(target.pid))
        target.go()
        assert target.end() == (0, "ok\n")


def test_an_error_of_our_own_ends_a_launched_target(victim: Victim) -> None:
    words = [*INJECT, "run", "-q", "--engine", "ptrace", "-e", NEVER, "--"]
    with living(*words, victim("attach"), "children") as run:
        (target,) = [pid for pid in procfs.descendants(run.pid) if "attach" in procfs.exe(pid)][:1]
        out_of_descriptors(int(status(target, "TracerPid")))
        poll_until(lambda: run.process.poll() is not None)
        assert run.process.returncode == 125
        poll_until(lambda: procfs.state(target) in ("", "Z"))


def test_several_at_once(victim: Victim, tmp_path: Path) -> None:
    """What stops while others are attached to is served as well."""
    journal = tmp_path / "journal"
    program = victim("attach")
    with (
        living(program, "births") as first,
        living(program, "faulty") as second,
        living(program, "children") as third,
    ):
        others = [str(second.pid), str(third.pid)]
        words = [*others, "-e", HALF, "--journal", str(journal)]
        with attached(first.pid, *words) as inject:
            assert all(traced(int(pid), inject.process.pid) for pid in others[:1])
            poll_until(lambda: journal.exists() and "injection" in journal.read_text())
            inject.leave()
        assert untraced(first.pid) and untraced(second.pid)
        for target in (first, second, third):
            target.go()
            assert target.end() == (0, "ok\n")
    assert [one["what"] for one in read(journal) if one["event"] == "control"] == ["detach"]
