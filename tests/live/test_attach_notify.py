"""`inject attach --engine notify`: faults while we are there, none afterwards, and nobody hangs."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.linux import graft as surgery
from injector.linux import procfs
from injector.linux.graft import graft
from injector.linux.keeper import Keeper
from injector.linux.seccomp import Grafted
from injector.rules.decide import RulesDecider
from injector.rules.scenario.oneline import parse_rules
from injector.session.journal import read
from injector.session.start import grafted
from injector.words.errors import InjectError
from injector.words.model import Scenario
from tests.live.attaching import living, poll_until, status, untraced
from tests.live.conftest import Victim
from tests.live.harness import INJECT, finish
from tests.live.opening import opens
from tests.live.servers import DEADLINE, alive, wait_until

ATTACH = (*INJECT, "attach", "--engine", "notify")
RULE = "openat:path=/dev/null:error=EMFILE"
KILLS = int(os.environ.get("INJECT_ATTACH_KILLS", "5"))
FAULTS = "24 24 24"  # EMFILE
FIRST = (("0", 1), ("0.1", 1), ("0.2", 1))
SECOND = (("0", 2), ("0.3", 1), ("0.4", 1))


@contextlib.contextmanager
def attached(pid: int, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `inject attach`; begin when it says that it is attached. It is killed at the end.

    `words` may begin with further processes.
    """
    process = subprocess.Popen(
        [*ATTACH, str(pid), "--journal", str(folder / "journal"), *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or _begun(folder), "attached")
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(DEADLINE)
        assert process.stderr is not None
        process.stderr.close()


def _begun(folder: Path) -> bool:
    journal = folder / "journal"
    return journal.exists() and any(line["event"] == "task_start" for line in read(journal))


def keeper_of(text: str) -> int:
    """Return the keeper's number from the line that says what stays behind."""
    found = re.search(r"keeper \(pid (\d+)\)", text)
    assert found is not None, text
    return int(found[1])


def child_of(pid: int) -> int:
    """Return the one child of a process."""
    (child,) = procfs.children(pid, pid) or ()
    return child


def test_faults_while_we_are_there_and_none_afterwards(victim: Victim, tmp_path: Path) -> None:
    """Threads and children born later are under the rules too; a keeper stays until the end."""
    with opens(victim) as one:
        assert one.ask() == "0 0 0"
        with attached(one.pid, tmp_path, "-e", RULE) as inject:
            assert one.ask() == FAULTS
            assert one.ask() == FAULTS
            inject.send_signal(signal.SIGINT)
            _, said = inject.communicate(timeout=DEADLINE)
        assert inject.returncode == 0
        assert "what stays behind" in said
        assert "openat" in said
        keeper = keeper_of(said)
        assert alive(keeper)
        assert one.ask() == "0 0 0"
        assert "TracerPid:\t0" in Path(f"/proc/{one.pid}/status").read_text()
        assert one.end() == 9
        wait_until(lambda: not alive(keeper), "the keeper has ended")
    events = list(read(tmp_path / "journal"))
    assert events[0]["engine"] == "notify"
    assert events[0]["pids"] == [one.pid]
    sites = [line["site"] for line in events if line["event"] == "injection"]
    assert sites == [f"{task}/openat#{n}" for task, n in FIRST + SECOND]
    assert events[-1]["outcome"] == "detached"


def test_the_call_it_was_blocked_in_is_not_ours(victim: Victim, tmp_path: Path) -> None:
    """A read that began before us ends as it would; the next one is the first that counts."""
    with opens(victim) as one, attached(one.pid, tmp_path, "-e", "read:fd=0:error=EIO"):
        assert one.ask() == "0 0 0"
        assert one.process.wait(DEADLINE) == 9
    sites = [line["site"] for line in read(tmp_path / "journal") if line["event"] == "injection"]
    assert sites == ["0/read#1"]


def test_inject_is_killed(victim: Victim, tmp_path: Path) -> None:
    """The target goes on without faults, also a call of it that waited in a delay."""
    with opens(victim) as one:
        rule = "openat:path=/dev/null:delay=1000s:when=2"
        with attached(one.pid, tmp_path, "-e", rule) as inject:
            keeper = child_of(inject.pid)
            assert one.ask() == "0 0 0"
            assert one.process.stdin is not None
            one.process.stdin.write("x")
            one.process.stdin.flush()
            wait_until(
                lambda: any(line["event"] == "injection" for line in read(tmp_path / "journal")),
                "it waits",
            )
            inject.kill()
        assert one.hear() == "0 0 0"
        assert one.ask() == "0 0 0"
        assert one.end() == 9
        wait_until(lambda: not alive(keeper), "the keeper has ended")


def test_the_keeper_is_killed(victim: Victim, tmp_path: Path) -> None:
    """We end with an error, and leave another keeper."""
    with opens(victim) as one:
        with attached(one.pid, tmp_path, "-e", RULE) as inject:
            os.kill(child_of(inject.pid), signal.SIGKILL)
            assert inject.wait(DEADLINE) == 125
        assert one.ask() == "0 0 0"
        assert one.end() == 9


def test_the_target_ends(victim: Victim, tmp_path: Path) -> None:
    """Nothing is left, and its status is told."""
    with opens(victim) as one, attached(one.pid, tmp_path, "-e", RULE) as inject:
        keeper = child_of(inject.pid)
        assert one.end() == 9
        _, said = inject.communicate(timeout=DEADLINE)
    assert inject.returncode == 0
    assert "what stays behind" not in said
    assert "opens" in said
    assert not alive(keeper)
    assert list(read(tmp_path / "journal"))[-1]["outcome"] == "exit"


def test_a_second_time(victim: Victim) -> None:
    """There is one listener for a process: a second one is refused, ptrace still works."""
    with opens(victim) as one:
        assert finish([*ATTACH, str(one.pid), "-e", RULE, "--duration", "10ms"])[0] == 0
        status, _, said = finish([*ATTACH, str(one.pid), "-e", RULE])
        assert status == 125
        assert "--engine ptrace" in said
        assert one.ask() == "0 0 0"
        words = [*INJECT, "attach", str(one.pid), "-e", RULE, "--duration", "10ms"]
        assert finish(words)[0] == 0
        assert one.ask() == "0 0 0"
        assert one.end() == 9


def test_what_it_cannot_do(victim: Victim) -> None:
    """One of several, or a fault that needs ptrace, is refused before anything is touched."""
    with opens(victim) as one:
        before = Path(f"/proc/{one.pid}/status").read_text().count("Seccomp:\t2")
        status, _, said = finish([*ATTACH, str(one.pid), str(os.getpid()), "-e", RULE])
        assert status == 125
        assert "is our parent" in said
        status, _, said = finish([*ATTACH, str(one.pid), "-e", "read:short=1"])
        assert status == 125
        assert "needs the ptrace engine" in said
        assert Path(f"/proc/{one.pid}/status").read_text().count("Seccomp:\t2") == before
        assert one.end() == 9


def test_several_at_once(victim: Victim, tmp_path: Path) -> None:
    """Each has its filter; one ends, the others have faults as before; one keeper for all."""
    with opens(victim) as one, opens(victim) as other, opens(victim) as third:
        pids = [one.pid, other.pid, third.pid]
        with attached(*pids[:1], tmp_path, *map(str, pids[1:]), "-e", RULE) as inject:
            assert [each.ask() for each in (one, other, third)] == [FAULTS] * 3
            assert other.end() == 9
            wait_until(
                lambda: any(
                    line["event"] == "task_end" and line["pid"] == other.pid
                    for line in read(tmp_path / "journal")
                ),
                "its end is told",
            )
            assert [each.ask() for each in (third, one)] == [FAULTS] * 2
            inject.send_signal(signal.SIGINT)
            _, said = inject.communicate(timeout=DEADLINE)
        assert inject.returncode == 0
        assert f"what stays behind until opens ({one.pid}), opens ({other.pid}), " in said
        keeper = keeper_of(said)
        assert [each.ask() for each in (one, third)] == ["0 0 0"] * 2
        assert one.end() == 9 and alive(keeper)
        assert third.ask() == "0 0 0" and third.end() == 9
        wait_until(lambda: not alive(keeper), "the keeper has ended")
    events = list(read(tmp_path / "journal"))
    assert events[0]["pids"] == pids
    sites = [line["site"] for line in events if line["event"] == "injection"]
    firsts, seconds = [
        [[f"{root}{task[1:]}/openat#{n}" for task, n in turn] for root in "012"]
        for turn in (FIRST, SECOND)
    ]
    assert sites == [*firsts[0], *firsts[1], *firsts[2], *seconds[2], *seconds[0]]


def test_inject_of_several_is_killed(victim: Victim, tmp_path: Path) -> None:
    """Calls in a delay and later ones are made, whosever they are."""
    with opens(victim) as one, opens(victim) as other:
        rule = "openat:path=/dev/null:delay=1000s"
        with attached(one.pid, tmp_path, str(other.pid), "-e", rule) as inject:
            keeper = child_of(inject.pid)
            for each in (one, other):
                assert each.process.stdin is not None
                each.process.stdin.write("x")
                each.process.stdin.flush()
            wait_until(
                lambda: (
                    [line["event"] for line in read(tmp_path / "journal")].count("injection") == 2
                ),
                "both wait",
            )
            inject.kill()
        assert [one.hear(), other.hear()] == ["0 0 0"] * 2
        assert [one.ask(), other.ask()] == ["0 0 0"] * 2
        assert one.end() == 9 and other.end() == 9
        wait_until(lambda: not alive(keeper), "the keeper has ended")


def test_one_of_several_cannot_get_a_filter(victim: Victim) -> None:
    """Who has one already is said, and runs on."""
    with opens(victim) as one, opens(victim) as other:
        words = [*ATTACH, "-e", RULE]
        assert finish([*words, str(other.pid), "--duration", "10ms"])[0] == 0
        status, _, said = finish([*words, str(one.pid), str(other.pid)])
        assert status == 125
        assert f"{one.pid} had a filter already: until their end the keeper (pid " in said
        assert alive(keeper_of(said))
        assert [one.ask(), other.ask()] == ["0 0 0"] * 2
        assert one.end() == 9 and other.end() == 9


WITH_A_CHILD = """
import os, sys
wait, go = os.pipe()
if os.fork() == 0:
    os.read(wait, 1)
    os._exit(0)
print("ready", flush=True)
sys.stdin.read(1)
for _ in range(2):
    if os.fork() == 0:
        os.read(wait, 1)
        os.getppid()
        os._exit(0)
os.write(go, b"xxx")
for _ in range(3):
    os.wait()
"""
"""Two children more, neither of which makes a named call before both are there."""


def test_a_child_that_was_there_before_is_not_ours(tmp_path: Path) -> None:
    with living(sys.executable, "-c", WITH_A_CHILD) as target:
        old = child_of(target.pid)
        with attached(target.pid, tmp_path, "-e", "getppid:error=EIO"):
            target.go()
            assert target.end() == (0, "")
    events = list(read(tmp_path / "journal"))
    started = {line["task"]: line["pid"] for line in events if line["event"] == "task_start"}
    assert started.keys() == {"0", "0.1", "0.2"}
    assert old not in started.values()
    sites = {line["site"] for line in events if line["event"] == "injection"}
    assert sites == {"0.1/getppid#1", "0.2/getppid#1"}


@pytest.mark.parametrize("killed", [False, True])
def test_one_fails_behind_its_filter(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Its calls are made, and those of who came before, also where the keeper is dead."""

    def fails(pid: int, program: bytes, keeper: Keeper, index: int, earlier: Any) -> Grafted:
        done = graft(pid, program, keeper, index, earlier)
        if killed and index == 0:
            return done
        if killed:
            os.kill(keeper.pid, signal.SIGKILL)
            os.waitpid(keeper.pid, 0)
        os.close(done.listener)
        raise InjectError("of the test")

    scenario = Scenario(parse_rules((RULE,)))
    decider = RulesDecider(scenario, 1)
    with opens(victim) as one, opens(victim) as other:
        monkeypatch.setattr(surgery, "graft", fails)
        pids = [one.pid, other.pid] if killed else [one.pid]
        with pytest.raises(InjectError, match="of the test") as error:
            grafted(pids, decider, scenario).__enter__()
        assert one.ask() == "0 0 0"
        assert one.end() == 9
    text = f"{one.pid} had a filter already: "
    assert error.value.help.startswith(text) if killed else not error.value.help


@pytest.mark.parametrize(
    "how", ["queued", "traps", "births", "executes", "children", "job-control"]
)
def test_inject_is_killed_at_any_moment_of(victim: Victim, how: str) -> None:
    """Killed at a moment from when the target is touched to when it has had its faults a while."""
    moments = random.Random(how)
    for _ in range(-(-KILLS // 3)):
        with living(victim("attach"), how) as target:
            if how == "job-control":
                target.line()
            filters = status(target.pid, "Seccomp_filters")
            words = [*ATTACH, str(target.pid), "-q", "-e", "%process:delay=1ms:probability=20%"]
            inject = subprocess.Popen(words, stderr=subprocess.PIPE)
            try:
                poll_until(
                    lambda pid=target.pid, before=filters, inject=inject: (
                        not untraced(pid)
                        or status(pid, "Seccomp_filters") not in (before, "")
                        or inject.poll() is not None
                    )
                )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    inject.wait(moments.random() ** 2 * 0.3)
            finally:
                inject.kill()
                _, said = inject.communicate(timeout=DEADLINE)
            assert (inject.returncode, said) == (-signal.SIGKILL, b"")
            target.go()
            assert target.end() == (0, "ok\n")


def test_a_leader_that_has_ended(victim: Victim, tmp_path: Path) -> None:
    with living(victim("attach"), "leaderless") as target:
        rule = "getppid:error=EIO:probability=50%"
        with attached(target.pid, tmp_path, "-q", "-e", rule) as inject:
            wait_until(
                lambda: any(line["event"] == "injection" for line in read(tmp_path / "journal")),
                "a fault",
            )
            inject.send_signal(signal.SIGINT)
            assert inject.communicate(timeout=DEADLINE)[1] == ""
        target.go()
        assert target.end() == (0, "ok\n")


def test_inject_is_killed_while_it_attaches(victim: Victim) -> None:
    """Killed as soon as the target is touched: it goes on, with a keeper if it got its filter."""
    for _ in range(KILLS):
        with opens(victim) as one:
            status = Path(f"/proc/{one.pid}/status")
            filters = status.read_text().count("Seccomp:\t2")
            inject = subprocess.Popen(
                [*ATTACH, str(one.pid), "-e", "openat:error=EIO:probability=0"],
                stderr=subprocess.DEVNULL,
            )
            try:
                wait_until(
                    lambda status=status, before=filters: (
                        "TracerPid:\t0" not in status.read_text()
                        or status.read_text().count("Seccomp:\t2") > before
                    ),
                    "touched",
                )
            finally:
                inject.kill()
                inject.wait(DEADLINE)
            assert one.ask() == "0 0 0"
            assert one.ask() == "0 0 0"
            assert one.end() == 9
