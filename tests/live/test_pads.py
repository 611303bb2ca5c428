"""Launch pads: a run from a zygote is like any other; what goes wrong harms no later one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.campaigns.trial import Bench, Job, Result, carry_out
from injector.linux import procfs
from injector.linux.launch import Apart
from injector.rules.decide import RulesDecider
from injector.rules.scenario.oneline import parse_rules
from injector.session.pads import NotStarted, Pads
from injector.words.errors import InjectError
from injector.words.events import Injection, TaskEnd, TaskStart
from injector.words.model import Scenario

from .conftest import Victim


@pytest.fixture
def bench(pads: Pads) -> Iterator[Bench]:
    """Return a bench whose pads are those of the test."""
    made = Bench()
    made.pads = pads
    yield made
    made.close()


@pytest.fixture(autouse=True)
def pads() -> Iterator[Pads]:
    before = sorted(os.listdir("/proc/self/fd"))
    made = Pads()
    yield made
    made.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert procfs.descendants(os.getpid()) == []


def run(pads: Pads, command: list[str], *rules: str, cwd: str = "/") -> list[Any]:
    """Run a command from a pad; return its events."""
    scenario = Scenario(parse_rules(rules))
    with open(os.devnull, "r+b") as null:
        apart = Apart((null.fileno(),) * 3, cwd, (b"PATH=/usr/bin:/bin",))
        decider = RulesDecider(scenario, 1)
        with pads.launched(command, decider, scenario, apart=apart, timeout=10**10) as session:
            return list(session.events())


def zygote(pads: Pads) -> int:
    """Return the number of the only zygote."""
    (pad,) = pads._pads.values()
    return pad.zygote.pid


LOOK = """
import os, signal
status = open("/proc/self/status").read()
# Not SigQ: it counts the signals of all of this user's processes.
for name in ("SigP", "SigB", "SigI", "SigC", "Shd", "Cap", "Uid", "Gid", "Groups", "NoNewPrivs",
             "Cpus_allowed:", "Threads"):
    print([line for line in status.splitlines() if line.startswith(name)])
print(sorted(os.listdir("/proc/self/fd")), os.getcwd(), sorted(os.environ.items()), os.umask(0))
print(open("/proc/self/limits").read(), os.getpriority(os.PRIO_PROCESS, 0), os.nice(0))
print(os.getpgid(0) == os.getsid(0) == os.getpid(), open("/proc/self/oom_score_adj").read())
print(os.sched_getscheduler(0), os.read(0, 1), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_the_target_sees_no_difference(bench: Bench) -> None:
    job = Job(
        (sys.executable, "-c", LOOK), ("site=0/getppid#1:error=EIO",), cwd="/", engine="notify"
    )
    results = [carry_out(job, bench=bench), carry_out(job, bench=bench)]
    alone = carry_out(job)
    assert results[0].stdout.tail.count("\n") > 20
    assert results[1].stdout == results[0].stdout
    assert alone.stdout.tail == results[0].stdout.tail, alone.stderr.tail


@pytest.mark.parametrize(
    ("program", "arguments"), [("threads", ("8", "60")), ("tree", ("4", "2", "9"))]
)
def test_names_of_tasks_and_calls_are_the_same_in_each_run(
    victim: Victim, pads: Pads, program: str, arguments: tuple[str, ...]
) -> None:
    found = set()
    for _ in range(20):
        events = run(pads, [victim(program), *arguments], "getppid:probability=9%:error=EIO")
        sites = tuple(sorted(one.site for one in events if isinstance(one, Injection)))
        tasks = tuple(sorted(one.task for one in events if isinstance(one, TaskStart)))
        ends = tuple(sorted((one.task, one.exit) for one in events if isinstance(one, TaskEnd)))
        assert events[-1].outcome == "exit"
        assert events[-1].status == 0
        assert len(tasks) == len(ends)
        found.add((sites, tasks, ends))
    assert len(found) == 1
    assert len(found.pop()[0]) > 10


@pytest.mark.parametrize(
    ("code", "status", "died"),
    [("exit 7", 7, None), ("exit 255", 255, None), ("kill -SEGV $$", None, "SIGSEGV")],
)
def test_ends(pads: Pads, code: str, status: int | None, died: str | None) -> None:
    for _ in range(3):
        footer = run(pads, ["sh", "-c", code])[-1]
        assert (footer.status, footer.signal) == (status, died)


def test_what_cannot_be_executed_is_told_and_the_next_one_runs(
    pads: Pads, bench: Bench, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter")
    broken.chmod(0o755)
    assert run(pads, ["true"])[-1].status == 0
    first = zygote(pads)
    with pytest.raises(NotStarted):
        run(pads, [str(broken)])
    with pytest.raises(InjectError, match="no such file"):
        run(pads, [str(tmp_path / "nothing")])
    assert run(pads, ["true"])[-1].status == 0
    assert zygote(pads) == first
    told = carry_out(Job((str(broken),)), bench=bench).error
    assert "cannot execute: No such file" in told


def test_a_script_without_its_first_line(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo $0 $1\n")
    script.chmod(0o755)
    result = carry_out(Job((str(script), "word"), engine="notify"), bench=bench)
    assert result.stdout.tail == f"{script} word\n"


def test_an_environment_too_long_for_a_request(bench: Bench) -> None:
    environment = tuple((f"V{n}", "x" * 5000) for n in range(40))
    result = carry_out(
        Job(("/usr/bin/env",), environment=environment, engine="notify"), bench=bench
    )
    assert result.stdout.size > 200_000


def test_a_zygote_that_dies_between_two_runs(pads: Pads) -> None:
    assert run(pads, ["true"])[-1].status == 0
    first = zygote(pads)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(InjectError, match="was killed"):
        run(pads, ["true"])
    assert run(pads, ["true"])[-1].status == 0
    assert zygote(pads) != first


def test_a_zygote_that_dies_in_a_run(pads: Pads) -> None:
    code = "kill -KILL $PPID; sleep 1000"
    with pytest.raises(InjectError, match="was killed"):
        run(pads, ["sh", "-c", code])
    assert run(pads, ["true"])[-1].status == 0


def test_a_run_that_is_given_up_takes_all_of_it_along(victim: Victim, tmp_path: Path) -> None:
    made = Pads()
    told = tmp_path / "pids"
    scenario = Scenario(parse_rules(("getppid:delay=1h",)))
    with open(os.devnull, "r+b") as null:
        apart = Apart((null.fileno(),) * 3, "/")
        with (
            pytest.raises(ZeroDivisionError),
            made.launched(
                [victim("leaves"), str(told), "stay"],
                RulesDecider(scenario, 1),
                scenario,
                apart=apart,
            ) as session,
        ):
            for event in session.events():
                if isinstance(event, Injection):
                    raise ZeroDivisionError
    pid = int(told.read_text())
    end = time.monotonic() + 20
    while procfs.state(pid) not in ("", "Z", "X"):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert run(made, ["true"])[-1].status == 0
    made.close()


def test_more_sets_of_calls_than_pads_are_kept(pads: Pads) -> None:
    names = ("read", "write", "openat", "close", "mmap", "brk", "fstat", "lseek", "access")
    names += ("mprotect", "munmap", "getdents64", "ioctl", "readlink", "pread64")
    for name in (*names, *names):
        events = run(pads, ["ls", "/"], f"{name}:error=EIO:when=1000000")
        assert events[-1].status == 0
    assert len(pads._pads) <= 12


def test_every_call_of_the_zygote_itself_passes(pads: Pads) -> None:
    """All calls stop, those of the zygote too; only the target's are counted."""
    for _ in range(3):
        events = run(
            pads,
            ["true"],
            "all,!%pure:probability=0:error=EIO",
            "all:delay=1us:when=1:during=startup",
        )
        sites = [one.site for one in events if isinstance(one, Injection)]
        assert sites[0] == "0/brk#1"
        assert "0/execve#1" not in sites
        assert events[-1].status == 0


def test_both_engines_take_turns(victim: Victim, bench: Bench) -> None:
    results: list[Result] = []
    for number in range(12):
        engine = ("notify", "ptrace")[number % 2]
        rules = ("site=0.2/getppid#4:error=EIO",)
        job = Job((victim("tree"), "2", "1", "9"), rules, engine=engine)
        results.append(carry_out(job, bench=bench))
    assert {result.injections[0].site for result in results} == {"0.2/getppid#4"}
    assert {"".join(sorted(result.stdout.tail)) for result in results} == {
        "".join(sorted("0:\n0.1:\n0.2: 4\n"))
    }
