"""Corners of ptrace(2) and seccomp(2), under both engines, launched and attached to.

Each victim checks for itself what it sees, and knows which of its calls must fail.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from injector.linux import procfs
from injector.session.journal import read

from .attaching import NEVER, attached, living, poll_until, traced, untraced
from .conftest import Victim
from .harness import INJECT, Run, finish, inject
from .test_attach_refusals import ordinary, ordinary_living

ENGINES = ("notify", "ptrace")

ALWAYS = "getppid:error=EIO"
VSYSCALL = "[vsyscall]" in Path("/proc/self/maps").read_text()


def lives(victim: Victim, how: str, *rules: str, said: str = "ready\nok\n") -> Run:
    """Launch one, and let it begin at once."""
    words = [word for rule in rules or (ALWAYS,) for word in ("-e", rule)]
    run = inject(words, [victim("corners"), how], stdin="xxxx")
    assert (run.status, run.out) == (0, said), run.err
    return run


@pytest.mark.parametrize(
    ("how", "faults"),
    [
        ("siblings", 20),  # their ends are not the first process's
        ("asks-to-be-traced", 20),
        ("asks-not-to-be", 20),
        ("emulates", 3),
        ("orphaned", 0),
    ],
)
def test_lives(victim: Victim, how: str, faults: int) -> None:
    run = lives(victim, how)
    assert len(run.injections) == faults
    started = {one["task"] for one in run.of("task_start")}
    assert started == {one["task"] for one in run.of("task_end")}
    assert all(one["exit"] is not None for one in run.of("task_end"))


@pytest.mark.parametrize("how", ["newborn", "parents-view"])
def test_stopped_continued_and_killed_at_any_moment(victim: Victim, how: str) -> None:
    lives(victim, how, "getppid:error=EIO:probability=50%")


@pytest.mark.parametrize("rule", [ALWAYS, "getppid:error=EIO:probability=0"])
def test_one_among_many_has_its_turn(victim: Victim, rule: str) -> None:
    run = lives(victim, "fair", rule, "getuid:error=EIO:probability=0")
    (uid,) = [one for one in run.events[-1]["rules"] if one["rule"] == "rule-2"]
    assert uid["seen"] == 200


def test_every_seventh_clone_whoever_interrupts_it(victim: Victim) -> None:
    run = lives(victim, "seventh", "clone:when=7+7:error=EAGAIN")
    assert [one["site"] for one in run.injections] == [f"0/clone#{n}" for n in range(7, 141, 7)]


def test_every_seventh_call_while_signals_come(victim: Victim) -> None:
    run = lives(victim, "counted", "read:path=/dev/zero:when=7+7:error=EIO")
    numbers = [int(one["site"].partition("#")[2]) for one in run.injections]
    assert numbers == list(range(numbers[0], numbers[0] + 7000, 7))


def test_an_execve_that_is_sooner_than_an_exit(victim: Victim) -> None:
    """The faults are those of the new program, by its name."""
    run = lives(victim, "races")
    assert run.injections
    assert {one["process"] for one in run.injections} == {"exe"}


@pytest.mark.parametrize("how", ["exit", "exit_group"])
def test_a_number_that_comes_again_is_a_new_task(victim: Victim, tmp_path: Path, how: str) -> None:
    journal = tmp_path / "journal"
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount", "--mount-proc"]
    words = [*INJECT, "run", "-q", "--engine", os.environ["INJECT_TEST_ENGINE"], "-e"]
    words += ["getppid:error=EIO:limit=1", "--journal", str(journal), "--"]
    status, out, err = finish([*apart, *words, victim("corners"), f"reused-{how}"], stdin="x")
    assert (status, out) == (0, "ready\nok\n"), err
    faults = [one for one in read(journal) if one["event"] == "injection"]
    assert [one["site"] for one in faults] == [f"0.{n}/getppid#1" for n in range(1, 31)]
    assert len({one["pid"] for one in faults}) == 1
    if os.environ["INJECT_TEST_ENGINE"] == "notify":  # which looks for a name at the end, too
        names = [one["process"] for one in read(journal) if one["event"] == "task_end"]
        assert names == [*["even", "odd"] * 15, "corners"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [("time:error=EIO:when=2", "failed"), ("time:retval=7", "seven"), (ALWAYS, "passed")],
)
def test_the_vsyscall_page(victim: Victim, rule: str, said: str) -> None:
    if VSYSCALL:
        lives(victim, "vsyscalls", rule, said=f"ready\n{said}\nok\n")
    else:  # nothing is there: it dies of it, with us as without us
        alone = finish([victim("corners"), "vsyscalls"], stdin="x")[0]
        assert inject(["-e", NEVER], [victim("corners"), "vsyscalls"], stdin="x").status == alone


def test_io_uring_is_warned_of(victim: Victim) -> None:
    warning = "the target uses io_uring, whose I/O no rule sees"
    assert warning in lives(victim, "rings").err
    assert warning not in lives(victim, "rings", "io_uring_setup:error=ENOSYS").err


@pytest.mark.only("ptrace")
def test_a_descriptor_is_gone_whatever_its_close_reports(victim: Victim) -> None:
    rule = "close:error=EIO:fd='>2':limit=1"
    run = inject(["-e", rule], [victim("corners"), "closes"], stdin="x")
    assert (run.status, run.out) == (0, "ready\nok\n"), run.err


def test_values_bit_by_bit(victim: Victim) -> None:
    values = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x123456789ABCDEF0, 0x7FFFFFFFFFFFFFFF)
    rules = [f"getppid:retval={value}:when={n}" for n, value in enumerate(values, 1)]
    lives(victim, "values", *rules)


def test_odd_paths_and_descriptors(victim: Victim) -> None:
    rules = ("openat:path=/**/*fails:error=EIO", "pwrite64:path=/dev/null:error=ENOSPC")
    run = lives(victim, "paths", *rules)
    assert [one["syscall"] for one in run.injections] == ["openat", "openat", "pwrite64"]


def test_strict_mode_is_refused_to_who_has_a_filter(victim: Victim) -> None:
    lives(victim, "never-strict")


@pytest.mark.only("notify")
def test_a_tracer_inside() -> None:
    run = inject(["-e", NEVER], ["strace", "-qq", "-o", "/dev/null", "sh", "-c", "exit 3"])
    assert run.status == 3, run.err


@pytest.mark.only("ptrace")
def test_a_tracer_inside_is_refused_and_ends() -> None:
    run = inject(["-e", NEVER], ["strace", "-qq", "-o", "/dev/null", "true"])
    assert run.status == 1
    assert re.search(r"strace: .*(TRACEME|PTRACE|ptrace).*: Operation not permitted", run.err)


# -- attached to ------------------------------------------------------------------------


@pytest.mark.only("ptrace")
@pytest.mark.parametrize(
    "how", ["newborn", "parents-view", "fair", "orphaned", "asks-to-be-traced", "asks-not-to-be"]
)
def test_attached_to(victim: Victim, how: str) -> None:
    rule = ALWAYS if how.startswith("asks") else "getppid:error=EIO:probability=50%"
    with living(victim("corners"), how) as target, attached(target.pid, "-e", rule) as injector:
        target.go()
        assert target.end() == (0, "ok\n")
        injector.left()


def test_strict_mode_attached_to(victim: Victim, engine: str) -> None:
    """Its write fails though not even number -1 is allowed to it; a filter is refused."""
    with living(victim("corners"), "strict") as target:
        if engine == "notify":
            words = [*INJECT, "attach", "--engine", engine, str(target.pid), "-e", NEVER]
            status, _, err = finish(words, cwd="/")
            assert (status, "is in seccomp's strict mode" in err) == (125, True), err
            assert "say --engine ptrace" in err and untraced(target.pid)
            target.go()
            assert target.end()[1] == "passed\n"
            return
        assert target.process.stdin
        with attached(target.pid, "-e", "write:when=1:error=EIO") as injector:
            target.process.stdin.write(b"yy")
            assert target.line() == "y\n"
            injector.leave()
        target.process.stdin.write(b"yx")
        assert target.end() == (0, "y\nfailed\n")


@pytest.mark.only("ptrace")
def test_the_parent_of_a_vfork_is_let_go_first(victim: Victim) -> None:
    """It stops for nobody until its child ends, which is let go and not waited for."""
    with living(victim("corners"), "vforked") as target:
        with attached(target.pid) as injector:
            target.go()
            poll_until(lambda: procfs.children(target.pid, target.pid))
            (child,) = procfs.children(target.pid, target.pid) or ()
            poll_until(lambda: traced(child, injector.process.pid))
            poll_until(lambda: procfs.state(target.pid) == "D")
            said = injector.leave()
        assert "stuck" not in said
        poll_until(lambda: untraced(target.pid) and untraced(child))
        target.go()
        assert target.end() == (0, "ok\n")


@pytest.mark.only("ptrace")
def test_who_does_not_stop_is_named_and_let_go_by_our_end(victim: Victim, tmp_path: Path) -> None:
    """The parent of a vfork whose child is not ours, for it was there before."""
    journal = tmp_path / "journal"
    with living(victim("corners"), "vforked") as target:
        target.go()
        poll_until(lambda: procfs.state(target.pid) == "D")
        with attached(target.pid, "-e", NEVER, "--journal", str(journal)) as injector:
            said = injector.leave()
        whom = f"thread {target.pid} of corners ({target.pid})"
        assert f"warning: {whom} does not stop" in said
        assert {"what": "stuck", "detail": whom}.items() <= list(read(journal))[-2].items()
        assert untraced(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")


def test_its_memory_is_closed_to_us(victim: Victim, engine: str) -> None:
    """An ordinary user's program that is not dumpable: rules with a path say so."""
    rules = ["-e", "openat:path=/etc/hostname:error=EIO", "-e", ALWAYS]
    words = [*INJECT, "run", "--engine", engine, *rules, "--"]
    with ordinary_living(victim("corners"), "values") as living_there:
        program = procfs.exe(living_there.pid)
        status, out, err = finish([*ordinary(), *words, program, "hides"], cwd="/", stdin="x")
    assert (status, out) == (0, "ready\nok\n"), err
    assert "once on files other than" in err
    assert "one that could not be read" in err


@pytest.mark.only("ptrace")
def test_a_process_s_name_commands_no_terminal() -> None:
    """It names itself, prctl(2), PR_SET_NAME."""
    rename = r"open('/proc/self/comm', 'w').write('\33[31mE\nV')"
    script = f"{rename}; print('ready', flush=True); input()"
    with living(sys.executable, "-c", script) as target:
        number = str(target.pid)
        _, _, err = finish([*INJECT, "ctl", number, "pause"])
        assert f"process {number} (\\x1b[31mE\\nV) is no session" in err
        with attached(target.pid, "-e", ALWAYS) as one:
            said = one.leave()
        assert f"attached to \\x1b[31mE\\nV ({number}, 1 thread)" in said
        assert "\x1b" not in said
