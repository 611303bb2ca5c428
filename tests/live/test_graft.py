"""A filter is put into running processes, and nothing else in them changes.

The victims check for themselves what their calls return, and when.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.linux import graft as surgery
from injector.linux import procfs, seccomp
from injector.linux.graft import _Away, _Gone, _Hand, graft, require_graftable
from injector.linux.keeper import Keeper
from injector.linux.registers import registers
from injector.linux.slate import Slate
from injector.rules.subscribe import subscriptions
from injector.session.start import arches_here
from injector.words.errors import InjectError
from injector.words.syscalls import native
from tests.live.attaching import living
from tests.live.conftest import Victim
from tests.live.opening import opens
from tests.live.servers import DEADLINE, accepts, free_port, wait_until

AGAIN = {
    "read": "read",
    "poll": "poll",
    "ppoll": "ppoll",
    "select": "pselect6 select",
    "nanosleep": "nanosleep",
    "clock_nanosleep": "clock_nanosleep",
    "futex": "futex",
    "epoll_wait": "epoll_wait epoll_pwait",
    "recv": "recvfrom",
    "semtimedop": "semtimedop",
    "sigtimedwait": "rt_sigtimedwait",
    "wait4": "wait4",
    "pause": "pause",
}


def program(*names: str) -> bytes:
    """Return a filter that names these calls, and those that make tasks."""
    always = {"clone", "clone3", "fork", "vfork", "execve", "exit_group"}
    return seccomp.build(subscriptions((), {*names, *always}, arches_here()))


class Supervisor:
    """Lets every call pass, and counts them by name."""

    def __init__(self, grafted: seccomp.Grafted) -> None:
        self.calls: dict[str, int] = {}
        self.grafted = grafted
        self._listener = seccomp.Listener(grafted.listener, Slate())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener.fd, select.POLLIN)
        while True:
            for _, events in poll.poll():
                if not events & select.POLLIN:
                    return
                with contextlib.suppress(FileNotFoundError, InterruptedError):
                    raw = self._listener.receive()
                    name = native().names[raw[3]]
                    self.calls[name] = self.calls.get(name, 0) + 1
                    self._listener.proceed(raw[0])

    def end(self) -> None:
        """Wait until the last task under the filter is gone."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        os.close(self._listener.fd)


@contextlib.contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a victim that says "ready" first; it is killed at the end."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    """Return the last line of a victim's output; it must have ended well."""
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, (out, err)
    return out


def status(pid: int) -> dict[str, str]:
    """Return /proc/PID/status but for what changes by itself."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        name: value
        for name, value in fields.items()
        if not name.startswith(("Vm", "Rss", "voluntary", "nonvoluntary", "State", "Sig", "ShdPnd"))
        or name in ("SigBlk", "SigIgn", "SigCgt")
    }


def maps(pid: int) -> str:
    """Return a process's mappings."""
    return Path(f"/proc/{pid}/maps").read_text()


def in_calls(pid: int, *names: str) -> bool:
    """Return whether the threads are blocked in calls, each name the call of one."""
    found = [procfs.blocked(tid) for tid in procfs.threads(pid)]
    calls = [native().names[one.number] for one in found if one is not None and one.number >= 0]
    for name in names:
        one = next((call for call in calls if call in AGAIN[name].split()), None)
        if one is None:
            return False
        calls.remove(one)
    return True


@pytest.mark.parametrize("kind", sorted(AGAIN))
def test_a_blocked_call_goes_on(victim: Victim, kind: str) -> None:
    """Its only thread makes our calls: the one it was in returns what it should, not early."""
    with started(victim("blocked"), "700", kind) as process:
        wait_until(lambda: in_calls(process.pid, kind), f"blocked in {kind}")
        before = status(process.pid), maps(process.pid), os.listdir(f"/proc/{process.pid}/fd")
        grafted = graft(process.pid, program("mmap", "munmap", "close", "prctl", "seccomp"))
        after = status(process.pid), maps(process.pid), os.listdir(f"/proc/{process.pid}/fd")
        changed = {name for name in after[0] if before[0].get(name) != after[0][name]}
        assert changed == {"Seccomp", "Seccomp_filters"} - (
            {"Seccomp"} if before[0]["Seccomp"] == "2" else set()
        ) | ({"NoNewPrivs"} if grafted.no_new_privs else set())
        assert before[1:] == after[1:]
        supervisor = Supervisor(grafted)
        assert "fine" in finish(process)
    supervisor.end()
    assert supervisor.calls["exit_group"] >= 1
    assert "seccomp" not in supervisor.calls


def test_many_threads_blocked_in_all_of_them(victim: Victim) -> None:
    """No thread sees anything, and all are under the filter."""
    kinds = sorted(set(AGAIN) - {"pause"})
    with started(victim("blocked"), "1500", *kinds) as process:
        wait_until(lambda: in_calls(process.pid, *kinds), "all are blocked")
        supervisor = Supervisor(graft(process.pid, program("exit", "madvise")))
        for tid in procfs.threads(process.pid):
            assert "Seccomp:\t2" in Path(f"/proc/{process.pid}/task/{tid}/status").read_text()
        assert "fine" in finish(process)
    supervisor.end()
    assert supervisor.calls["exit"] == len(kinds)


def test_a_program_that_computes(victim: Victim) -> None:
    """All its registers are as they were."""
    with started(victim("spin")) as process:
        before = status(process.pid)
        supervisor = Supervisor(graft(process.pid, program("write")))
        for _ in range(20):  # refused, so each is undone
            with pytest.raises(InjectError, match="seccomp"):
                graft(process.pid, program("write"))
        after = status(process.pid)
        assert before["SigBlk"] == after["SigBlk"]
        assert "fine" in finish(process)
    supervisor.end()
    assert supervisor.calls["write"] >= 1


def test_a_storm_of_signals(victim: Victim) -> None:
    """Each signal arrives once and in order, while we attach, and are refused, all the time."""
    with started(victim("storm"), "2000") as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_until(lambda: len(procfs.children(process.pid, process.pid) or ()) == 1, "the storm")
        supervisor = Supervisor(graft(process.pid, program("close")))
        refused = 0
        while process.poll() is None and refused < 200:
            with pytest.raises(InjectError):
                graft(process.pid, program("close"))
            refused += 1
        assert "fine" in finish(process)
    supervisor.end()
    assert supervisor.calls["close"] >= 1


def test_a_process_that_executes_all_the_time(victim: Victim) -> None:
    """Whichever of its threads dies under our hands: it gets its filter, and goes on executing."""
    for _ in range(12):
        with living(victim("attach"), "executes") as target:
            keeper = Keeper(begun=True)
            grafted = graft(target.pid, program(), keeper)
            os.close(grafted.listener)
            keeper.leave()
            target.go()
            assert target.end() == (0, "ok\n")
            assert os.waitpid(keeper.pid, 0)[1] == 0


def test_what_stops_at_earlier_listeners_meanwhile_passes(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process works on while the second is attached to."""
    really = surgery._graft

    def slow(*words: Any) -> seccomp.Grafted:
        signal.alarm(int(DEADLINE))  # this is a process of its own
        assert one.ask() == "0 0 0"
        return really(*words)

    with opens(victim) as one, opens(victim) as other:
        keeper = Keeper(begun=True)
        first = graft(one.pid, program("openat"), keeper)
        monkeypatch.setattr(surgery, "_graft", slow)
        ends = [seccomp.Listener(first.listener, keeper.slate)]
        second = graft(other.pid, program("openat"), keeper, 1, ends)
        for grafted in (first, second):
            os.close(grafted.listener)
        keeper.leave()
        assert other.ask() == "0 0 0"
        assert one.end() == 9 and other.end() == 9


def test_a_stopped_process_stays_stopped(victim: Victim) -> None:
    """One in state T gets its filter there, and goes on when it is told to."""
    with started(victim("blocked"), "300", "nanosleep") as process:
        wait_until(lambda: in_calls(process.pid, "nanosleep"), "asleep")
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: procfs.state(process.pid) == "T", "stopped")
        supervisor = Supervisor(graft(process.pid, program()))
        wait_until(lambda: procfs.state(process.pid) == "T", "stopped again")
        os.kill(process.pid, signal.SIGCONT)
        assert "fine" in finish(process)
    supervisor.end()


def test_fifty_threads_of_python() -> None:
    """Threads that work all the time, and new ones that begin meanwhile."""
    text = """
import os, threading
stop = threading.Event()
wrong = []
def work(depth):
    while not stop.is_set():
        read, write = os.pipe()
        os.write(write, b"some")
        if os.read(read, 9) != b"some":
            wrong.append(1)
        os.close(read), os.close(write)
        if depth == 0:
            one = threading.Thread(target=lambda: None)
            one.start(), one.join()
threads = [threading.Thread(target=work, args=(i % 10,)) for i in range(50)]
[one.start() for one in threads]
print("ready", flush=True)
input()
stop.set()
[one.join() for one in threads]
print("wrong" if wrong else "fine")
"""
    with started(sys.executable, "-c", text) as process:
        supervisor = Supervisor(graft(process.pid, program("pipe2", "close")))
        wait_until(lambda: supervisor.calls.get("pipe2", 0) > 500, "calls")
        for tid in procfs.threads(process.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                assert "Seccomp:\t2" in Path(f"/proc/{process.pid}/task/{tid}/status").read_text()
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        assert "fine" in finish(process)
    supervisor.end()


def test_redis_under_load(tmp_path: Path) -> None:
    """A benchmark that runs while its server gets a filter sees no error."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        cwd=tmp_path,
        **quiet,  # type: ignore[call-overload]
    )
    try:
        wait_until(lambda: accepts(port), "redis answers")
        words = ["redis-benchmark", "-p", str(port), "-q", "-t", "set,get", "-n", "60000"]
        load = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: procfs.state(server.pid) == "R", "redis works")
        supervisor = Supervisor(graft(server.pid, program("accept4", "openat")))
        out, err = load.communicate(timeout=DEADLINE * 2)
        assert load.returncode == 0, out
        assert not err
        assert "requests per second" in out
        answer = subprocess.run(["redis-cli", "-p", str(port), "dbsize"], capture_output=True)
        assert answer.returncode == 0
        assert supervisor.calls["accept4"] > 0
    finally:
        server.terminate()
        server.wait(DEADLINE)
    supervisor.end()


def test_the_refusals(victim: Victim) -> None:
    """What cannot get a filter is told so, and is as it was."""
    with started(victim("blocked"), "500", "poll") as process:
        supervisor = Supervisor(graft(process.pid, program()))
        with pytest.raises(InjectError, match=r"another supervisor|filter of its own") as second:
            graft(process.pid, program())
        assert "--engine ptrace" in str(second.value.help)
        assert "fine" in finish(process)
    supervisor.end()
    with pytest.raises(InjectError, match="ended"):
        graft(process.pid, program())


def test_a_process_that_executes_is_no_other(victim: Victim) -> None:
    """Its leader ends in each execve of another thread, and is there again."""
    with living(victim("attach"), "executes") as target:
        for _ in range(300):
            require_graftable(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")


def test_a_thread_that_we_cannot_wait_for_any_more_is_gone() -> None:
    """So is a leader in another's execve: its number is then that one's, which is not traced."""
    other = os.getppid()
    with pytest.raises(_Gone):
        _Hand(other, other, registers(), _Away())._wait(time.monotonic())
