"""A target launched under ptrace is left, by `ctl detach` or our death, and is none the worse."""

from __future__ import annotations

import contextlib
import os
import platform
import random
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from injector.linux import procfs
from injector.session.journal import read

from .attached import come, load
from .conftest import Victim
from .harness import DEADLINE, INJECT, finish
from .servers import NEVER, alive, wait_until
from .test_attach_programs import redis

Way = Callable[["Launched"], None]
MOMENTS = int(os.environ.get("INJECT_LEAVE_MOMENTS", "4"))


class Launched:
    """A program under `inject run --engine ptrace`; what it says is read line by line."""

    def __init__(self, folder: Path, arguments: Sequence[str], command: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "journal"
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        words = [*INJECT, "run", "--engine=ptrace", "--journal", str(self.journal), *arguments]
        with open(folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                [*words, "--", *command],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                env=self.environment,
            )
        self._err = folder / "stderr"

    @property
    def err(self) -> str:
        """What inject said."""
        return self._err.read_text()

    @property
    def target(self) -> int:
        """The first process's number."""
        return int(next(one["pid"] for one in read(self.journal) if one["event"] == "task_start"))

    @property
    def tracer(self) -> int:
        """Who traces it."""
        status = Path(f"/proc/{self.target}/status").read_text()
        return int(status.partition("TracerPid:")[2].split()[0])

    def line(self) -> str:
        """Return its next line, "" at its end."""
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        assert ready, "it says nothing"
        return self.process.stdout.readline().decode()

    def go(self, text: bytes = b"x") -> None:
        """Write on its standard input."""
        assert self.process.stdin
        self.process.stdin.write(text)

    def rest(self) -> str:
        """Return what it says until nobody has its output open any more."""
        out, _ = self.process.communicate(timeout=DEADLINE)
        return str(out.decode())

    def detach(self) -> None:
        """Have it let go, and inject end well."""
        status, _, err = finish([*INJECT, "ctl", "detach"], env=self.environment)
        assert (status, err) == (0, "")
        assert self.process.wait(DEADLINE) == 0

    def kill(self) -> None:
        """Kill inject."""
        self.process.kill()
        assert self.process.wait(DEADLINE) == -signal.SIGKILL
        wait_until(lambda: bool(self.events("footer")), "the footer")

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the journal's lines of one kind."""
        return [one for one in read(self.journal) if one["event"] == name]

    def failed(self) -> bool:
        """Return whether the call that victims look at, getppid, has had a fault."""
        return any(one["syscall"] == "getppid" for one in self.events("injection"))

    def asleep(self) -> bool:
        """Return whether each thread waits in a call; one in a ptrace-stop has state t."""
        return {procfs.state(tid) for tid in procfs.threads(self.target)} == {"S"}


@contextlib.contextmanager
def launched(
    folder: Path, arguments: Sequence[str], *command: str, ready: str = "ready\n"
) -> Iterator[Launched]:
    """Start a program, wait until it is ready; nothing of it outlives the test."""
    one = Launched(folder, arguments, command)
    try:
        assert one.line().startswith(ready.rstrip("\n"))
        wait_until(lambda: bool(one.events("task_start")), "its start is told")
        yield one
    finally:
        with contextlib.suppress(StopIteration, ProcessLookupError, FileNotFoundError):
            if alive(one.target):
                os.kill(one.target, signal.SIGKILL)
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        for stream in (one.process.stdin, one.process.stdout):
            assert stream
            with contextlib.suppress(OSError):
                stream.close()


WAYS = pytest.mark.parametrize("leave", [Launched.detach, Launched.kill], ids=["detach", "killed"])
EVERY = (*NEVER[1:], "-q")
"""Every call is named."""
FAULTY = ("-q", "-e", "getppid:error=EIO:when=2+", "-e", "writev:short=4")
LIVES = {
    "queued": EVERY,
    "traps": EVERY,
    "births": ("-q", "-e", "getppid:error=EIO", "-e", "clone,clone3:delay_exit=1ms"),
    "executes": EVERY,
    "children": EVERY,
    "faulty": FAULTY,
    "leaderless": ("-q", "-e", "getppid:error=EIO:when=3+"),
    **(
        {"untraced-later": ("-q", "-e", "getppid:error=EIO")}
        if platform.machine() == "x86_64"
        else {}
    ),
}


@WAYS
@pytest.mark.parametrize("life", LIVES)
def test_it_is_left_at_any_moment(life: str, leave: Way, victim: Victim, tmp_path: Path) -> None:
    moments = random.Random(life)
    for turn in range(MOMENTS):
        words = [victim("attach"), life, *(["short"] if life == "faulty" else [])]
        with launched(tmp_path / str(turn), LIVES[life], *words) as one:
            if life in ("faulty", "leaderless"):  # they want to see one
                wait_until(one.failed, "a fault")
            select.select([], [], [], moments.random() * 0.3)
            leave(one)
            keeper = one.tracer
            one.go()
            assert one.rest() == "ok\n"
            wait_until(lambda keeper=keeper: not alive(keeper), "the keeper's end")  # type: ignore[misc]
            (footer,) = one.events("footer")
            assert footer["outcome"] == "detached"


@WAYS
def test_every_call_that_blocks_goes_on(leave: Way, victim: Victim, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with launched(tmp_path, EVERY, victim("attach"), "blocked", str(lock)) as one:
        wait_until(one.asleep, "each thread is in its call")
        leave(one)
        one.go()
        assert one.rest() == "ok\n"


@WAYS
def test_what_blocks_under_a_fault_is_freed_of_it(
    leave: Way, victim: Victim, tmp_path: Path
) -> None:
    kinds = ["read", "poll", "select", "nanosleep", "clock_nanosleep", "futex", "epoll_wait"]
    kinds += ["recv", "semtimedop", "sigtimedwait", "wait4", "ppoll"]
    calls = "read,poll,select,pselect6,nanosleep,clock_nanosleep,epoll_wait,recvfrom,semtimedop"
    rule = f"{calls},rt_sigtimedwait,wait4,ppoll:delay_exit=100s"
    words = [victim("blocked"), "2000", *kinds]
    with launched(tmp_path, ["-q", "-e", rule], *words, ready="ready") as one:
        wait_until(lambda: len(procfs.threads(one.target)) > len(kinds), "all threads are there")
        select.select([], [], [], 0.5)
        leave(one)
        assert one.rest() == "fine\n"


@WAYS
def test_a_short_read_that_waits_is_whole(leave: Way, victim: Victim, tmp_path: Path) -> None:
    rule = "read:fd=0:when=2:short=1"
    with launched(tmp_path, ["-q", "-e", rule], victim("attach"), "reads") as one:
        one.go()
        call = Path(f"/proc/{one.target}/syscall")
        wait_until(lambda: call.read_text().split()[:4:3] == ["0", "0x1"], "it waits, shortened")
        # The first read has the same words: it has ended when its byte is there no more.
        wait_until(lambda: procfs.state(one.target) == "S", "it waits")
        leave(one)
        one.go(b"yz")
        assert one.rest() == "ok\n"
        assert one.events("injection") == []


@WAYS
def test_a_stopped_one_stays_stopped(leave: Way, victim: Victim, tmp_path: Path) -> None:
    with launched(tmp_path, FAULTY, victim("attach"), "faulty", "short") as one:
        wait_until(one.failed, "a fault")  # the victim wants to see one, and is woken to end
        os.kill(one.target, signal.SIGSTOP)
        threads = procfs.threads(one.target)

        def stopped() -> bool:
            return {procfs.state(tid) for tid in threads} == {"t"}

        wait_until(stopped, "all are stopped")
        leave(one)
        one.go()
        # State t is that of a thread on its way to the stop too; one that is woken reads and ends.
        wait_until(stopped, "all are stopped yet")
        os.kill(one.target, signal.SIGCONT)
        assert one.rest() == "ok\n"


def test_a_call_in_a_delay_has_its_fault(victim: Victim, tmp_path: Path) -> None:
    with launched(
        tmp_path, ["-q", "-e", "getppid:error=EIO:delay=100s"], victim("attach"), "births"
    ) as one:
        wait_until(lambda: bool(one.events("injection")), "a call waits")
        one.detach()
        one.go()
        assert one.rest() == "ok\n"


def test_job_control_goes_on_behind_us(victim: Victim, tmp_path: Path) -> None:
    with launched(tmp_path, EVERY, victim("attach"), "job-control") as one:
        job = int(one.line())
        one.detach()
        before = Path(f"/proc/{job}/stat").read_text()
        wait_until(lambda: Path(f"/proc/{job}/stat").read_text() != before, "it goes on")
        one.go()
        assert one.rest() == "ok\n"


def test_killed_with_us_if_asked(victim: Victim, tmp_path: Path) -> None:
    arguments = (*EVERY, "--kill-on-exit")
    with launched(tmp_path, arguments, victim("attach"), "children") as one:
        target, tracer = one.target, one.tracer
        one.process.kill()
        assert one.line() == ""
        wait_until(lambda: not alive(target) and not alive(tracer), "its end")
        assert one.err == ""


def test_without_its_tracer_it_ends(victim: Victim, tmp_path: Path) -> None:
    with launched(tmp_path / "run", EVERY, victim("attach"), "children") as one:
        target = one.target
        os.kill(one.tracer, signal.SIGKILL)
        assert one.process.wait(DEADLINE) == 125
        assert one.err.startswith("inject: our own process that traces the target was killed")
        wait_until(lambda: not alive(target), "its end")
    with launched(tmp_path / "left", EVERY, victim("attach"), "children") as one:
        one.detach()
        target = one.target
        os.kill(one.tracer, signal.SIGKILL)
        wait_until(lambda: not alive(target), "its end")


def test_nobody_else_can_trace_it(victim: Victim, tmp_path: Path) -> None:
    with launched(tmp_path, EVERY, victim("attach"), "children") as one:
        one.detach()
        status, _, err = finish([*INJECT, "attach", str(one.target), "-e", "getppid:error=EIO"])
        assert status == 125
        assert f"is traced already, by inject-keeper ({one.tracer})" in err
        assert "its filter needs this tracer" in err
        one.go()
        assert one.rest() == "ok\n"


def test_a_replay_is_not_let_go(tmp_path: Path) -> None:
    # Its process has more to do when the target has ended.
    journal, command = str(tmp_path / "journal"), ["--", "sh", "-c", "echo; read x"]
    run = [*INJECT, "run", "-q", "--engine=ptrace", "--journal", journal]
    assert finish([*run, "-e", "getppid:error=EIO", *command])[0] == 1
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    replay = [*INJECT, "replay", "--engine=ptrace", journal, *command]
    with subprocess.Popen(
        replay,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        status, _, err = finish([*INJECT, "ctl", "detach"], env=environment)
        assert (status, "its filter needs a tracer" in err) == (125, True)
        process.communicate(b"\n", timeout=DEADLINE)


@WAYS
def test_redis_under_load_loses_no_request(leave: Way, tmp_path: Path) -> None:
    arguments = ("--engine=ptrace", *NEVER, "-e", "write:delay=1ms:probability=1%")
    with redis(tmp_path, arguments) as program, contextlib.ExitStack() as stack:
        server = program.server
        target = server.pid()
        stack.callback(os.kill, target, signal.SIGTERM)
        with load(program) as one:
            come(one)
            one.progress(1)
            if leave is Launched.detach:
                status, _, err = finish([*INJECT, "ctl", str(server.process.pid), "detach"])
                assert (status, err) == (0, "")
            else:
                server.process.kill()
            server.process.wait(DEADLINE)
            one.progress(3)
            assert alive(target)
        wait_until(lambda: server.events[-1]["event"] == "footer", "the footer")
        assert server.events[-1]["outcome"] == "detached"
