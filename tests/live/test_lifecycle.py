"""Targets that live and die in every way a program can; each victim checks what it sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import HANDLED, Victim
from .harness import INJECT, Run, finish, inject

ENGINES = ("notify", "ptrace")

ALWAYS = "getppid:error=EIO"
NEVER = "getppid:error=EIO:probability=0"


def lives(victim: Victim, *words: str, rule: str = ALWAYS) -> Run:
    run = inject(["-e", rule], [victim("life"), *words])
    assert run.out.endswith("ok\n"), run.out + run.err
    assert run.status == 0, run.err
    return run


def test_exec_from_a_thread_that_does_not_lead(victim: Victim) -> None:
    run = inject(["-e", "getppid:when=2:error=EIO"], [victim("life"), "exec-from-thread"])
    assert (run.status, run.out) == (0, ""), run.err
    # The count is the executing thread's own and goes on in the new program.
    assert [one["site"] for one in run.injections] == ["0.4/getppid#2"]
    (end,) = [one for one in run.of("task_end") if one["task"] == "0.4"]
    assert (end["exit"], end["tid"]) == (0, end["pid"])


def test_vfork_and_spawn_and_exec_that_fails(victim: Victim) -> None:
    run = lives(victim, "vforks")
    assert len(run.injections) == 20  # one in each program that was executed
    assert len(run.of("task_start")) == len(run.of("task_end")) == 61


def test_three_hundred_forks(victim: Victim) -> None:
    run = lives(victim, "forks", "300", rule="getppid:error=EIO:probability=50%")
    assert run.out == f"{len(run.injections)} failed\nok\n"
    assert len({one["task"] for one in run.of("task_start")}) == 301
    ended = {one["task"]: one["exit"] for one in run.of("task_end")}
    failed = {one["site"].split("/")[0] for one in run.injections}
    assert failed == {task for task, status in ended.items() if status == 1}


def test_two_times_three_hundred_threads(victim: Victim) -> None:
    run = lives(victim, "threads")
    assert len(run.injections) == 600
    assert {one["site"] for one in run.injections} == {f"0.{n}/getppid#1" for n in range(1, 601)}


def test_a_leader_that_ends_first(victim: Victim) -> None:
    rule = "openat:path=/etc/hostname:error=EACCES"
    run = inject(["-e", rule], [victim("life"), "zombie-leader"])
    assert (run.out, run.status) == ("ok\n", 7), run.err
    (fault,) = run.injections
    assert (fault["site"], fault["path"]) == ("0.1/openat#1", "/etc/hostname")


def test_we_stay_until_a_daemon_ends(victim: Victim, tmp_path: Path) -> None:
    result = tmp_path / "result"
    run = inject(["-e", "getppid:when=3+:error=EIO"], [victim("life"), "daemon", str(result)])
    assert run.status == 0
    assert int(result.read_text()) == len(run.injections) > 0
    assert {one["site"].split("/")[0] for one in run.injections} == {"0.1.1"}
    assert run.events[-1]["event"] == "footer"


@pytest.mark.parametrize("how", ["restarts", "interrupts"])
def test_a_read_that_signals_interrupt_is_counted_once(victim: Victim, how: str) -> None:
    # By its own count the victim's last read of the pipe is the one that must fail.
    nth = 2 if how == "restarts" else 3
    rules = ["-e", f"read:fd=pipe:when={nth}:error=EIO", "-e", NEVER]
    run = inject(rules, [victim("life"), how])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    assert len(run.injections) == 1


@pytest.mark.parametrize("how", HANDLED)
def test_a_read_is_counted_once_wherever_the_handler_came_from(
    victim: Victim, engine: str, how: str
) -> None:
    words = ["-e", "read:fd=pipe:when=2:error=EIO", "--engine", engine]
    run = inject(words, [victim("handlers"), how])
    assert (run.status, run.out) == (0, "ok\n"), run.out + run.err
    assert len(run.injections) == 1


def test_a_rule_for_handlers_meets_each_call_of_them(victim: Victim, engine: str) -> None:
    rule = "rt_sigaction:args.signum=SIGUSR1:error=EINVAL"
    run = inject(["-e", rule, "--engine", engine], [victim("handlers"), "own"])
    assert run.status == 1 and "errno 22" in run.out
    assert [one["rule"] for one in run.injections] == ["rule-1"]


def test_a_handled_restart_does_not_hide_the_calls_behind_it(victim: Victim) -> None:
    rules = ["-e", "read:fd=pipe:when=61:error=EIO"]
    run = inject(rules, [victim("life"), "restarts-often"])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    assert len(run.injections) == 1


def test_a_signal_may_come_while_a_handler_returns(victim: Victim) -> None:
    run = inject(["-e", NEVER], [victim("life"), "nested"])
    assert (run.status, run.out) == (0, "ok\n"), run.err


def test_a_sleep_that_is_stopped_is_counted_once(victim: Victim) -> None:
    run = lives(victim, "sleeps", rule="clock_nanosleep:when=2:thread=life:error=EIO:per=task")
    assert [one["task"] for one in run.of("task_start")] == ["0", "0.1"]


def test_filters_of_the_targets_own(victim: Victim, engine: str) -> None:
    run = lives(victim, "own-filters", *(["listener"] if engine == "notify" else []))
    assert len(run.injections) == 1


@pytest.mark.parametrize("fault", ["error=EIO", "kill=before", "signal=SIGTERM"])
def test_killed_from_outside_while_its_call_is_parked(victim: Victim, fault: str) -> None:
    run = lives(victim, "killed-while-parked", rule=f"getppid:delay=1s:{fault}")
    assert len(run.injections) == 1
    ends = [one["signal"] for one in run.of("task_end")]
    assert ends.count("SIGKILL") == 1 and len(ends) == 22


def test_calls_of_other_architectures(victim: Victim) -> None:
    run = lives(victim, "foreign")
    assert [one["syscall"] for one in run.injections] == ["getppid", "getppid"]


@pytest.mark.parametrize("flags", [("-m32",), ("-static",), ("-static", "-m32")])
def test_other_kinds_of_program(victim: Victim, flags: tuple[str, ...]) -> None:
    rule = "getppid:when=1:error=EIO"
    run = inject(["-e", rule], [victim("life", *flags), "fails-once"])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    run = inject(["-e", NEVER], [victim("life", *flags), "forks", "20"])
    assert (run.status, run.out) == (0, "0 failed\nok\n"), run.err


def test_a_setuid_program(tmp_path: Path, victim: Victim) -> None:
    """Root's target keeps its setuid programs; an ordinary user is told of no_new_privs."""
    program = tmp_path / "setuid"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    owner = 1 if os.geteuid() == 0 else os.geteuid()
    if os.geteuid() == 0:
        os.chown(program, owner, -1)
        program.chmod(0o4755)
    run = inject(["-e", NEVER], [str(program), "-u"])
    assert (run.status, run.out) == (0, f"{owner}\n")
    assert ("no_new_privs" in run.err) == (os.geteuid() != 0)


@pytest.mark.only("notify")
@pytest.mark.only("notify")
def test_a_second_listener_is_refused() -> None:
    inner = [*INJECT, "run", "-q", "--engine=notify", "-e", NEVER, "--", "echo", "started"]
    run = inject(["-q", "-e", NEVER], inner)
    assert (run.status, run.out) == (125, "")
    assert run.err.startswith("inject: another supervisor already listens")
    assert "Traceback" not in run.err


def test_more_processes_than_descriptors(victim: Victim) -> None:
    script = 'ulimit -Sn 64; exec "$@"'
    words = [*INJECT, "run", "-q", "-e", NEVER, "--", "sh", "-c", 'ulimit -Sn; "$0" forks 200']
    status, out, err = finish(["sh", "-c", script, "sh", *words, victim("life")])
    assert (status, out) == (0, "64\n0 failed\nok\n"), err
