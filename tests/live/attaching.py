"""Victims that run beside `inject attach`: started, attached to, let go, ended by their pid."""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from injector.linux import procfs

from .harness import DEADLINE, INJECT

NEVER = "getppid:error=EIO:probability=0"
AGAIN = """
import sys
from injector.faces.cli.main import main
for turn in range(int(sys.argv[1])):
    sys.argv = ["inject", *sys.argv[2:]] if turn == 0 else sys.argv
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""

KILLED = """
import os, random, signal, sys, time
from injector.faces.cli.main import main
moments = random.Random(7)
for turn in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        sys.argv = ["inject", *sys.argv[2:]]
        main()
    time.sleep(moments.random() * 0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
"""Attach again and again, and die of SIGKILL at a random moment each time."""


class Living:
    """A process that runs beside us; what it says is read line by line."""

    def __init__(self, words: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid

    def line(self) -> str:
        """Return its next line, "" at its end."""
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        assert ready, "it says nothing"
        return self.process.stdout.readline().decode()

    def go(self) -> None:
        """Let it go on: a byte on its standard input."""
        assert self.process.stdin
        self.process.stdin.write(b"x")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Return its exit status and all it says until then."""
        out, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out.decode()


@contextlib.contextmanager
def living(*words: str) -> Iterator[Living]:
    """Start a program; wait for its "ready"; kill it at the end if it still lives."""
    victim = Living(words)
    try:
        assert victim.line() == "ready\n"
        yield victim
    except AssertionError as error:
        victim.process.kill()
        error.add_note(f"it said: {victim.end()}")
        raise
    finally:
        victim.process.kill()
        victim.process.wait()


class Attached:
    """An `inject attach` at work."""

    def __init__(self, words: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = ""

    def wait(self) -> None:
        """Wait until it says that it is attached: no call passes it from then on."""
        assert self.process.stdout
        while "attached to" not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
            line = self.process.stdout.readline() if ready else b""
            self.said += line.decode()
            assert line, self.said

    def leave(self, number: int = signal.SIGINT) -> str:
        """Ask it to let go; return what it said."""
        self.process.send_signal(number)
        return self.left()

    def left(self) -> str:
        """Wait for its end and return what it said."""
        out, _ = self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0, out.decode()
        assert b"Traceback" not in out, out.decode()
        return self.said + out.decode()


@contextlib.contextmanager
def attached(pid: int, *arguments: str) -> Iterator[Attached]:
    """Attach; wait until that is done; kill inject at the end if it still lives."""
    inject = Attached([*INJECT, "attach", str(pid), *(arguments or ("-e", NEVER))])
    try:
        inject.wait()
        yield inject
    finally:
        inject.process.kill()
        inject.process.communicate()


def attach_again(pid: int, times: int, *arguments: str, duration: str = "5ms") -> None:
    """Attach and let go so many times, one after the other."""
    run_script(AGAIN, times, pid, *(arguments or ("-e", NEVER)), "--duration", duration)


def attach_until_a_fault(pid: int, folder: Path, *arguments: str) -> None:
    """Attach, and let go when a fault is told of."""
    journal = folder / "until-a-fault"
    with attached(pid, *arguments, "--journal", str(journal)) as inject:
        poll_until(lambda: journal.exists() and '"injection"' in journal.read_text())
        inject.leave()


def attach_and_die(pid: int, times: int, *arguments: str) -> None:
    """Attach and be killed so many times, one after the other."""
    run_script(KILLED, times, pid, *arguments)


def run_script(script: str, times: int, pid: int, *arguments: str) -> None:
    """Run one of the scripts above; it must have nothing to say."""
    words = [sys.executable, "-c", script, str(times), "attach", str(pid), "-q", *arguments]
    done = subprocess.run(words, capture_output=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done.stderr.decode()


def status(tid: int, word: str) -> str:
    """Return a line of /proc/TID/status, "" if the task is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{tid}/status").read_text().splitlines():
            if line.startswith(f"{word}:"):
                return line.partition(":")[2].strip()
    return ""


def traced(pid: int, tracer: int) -> bool:
    """Return whether every thread of a process that has not ended has this tracer."""
    threads = [tid for tid in procfs.threads(pid) if procfs.state(tid) != "Z"]
    return bool(threads) and all(status(tid, "TracerPid") == str(tracer) for tid in threads)


def untraced(pid: int) -> bool:
    """Return whether no thread of a process has a tracer."""
    return all(status(tid, "TracerPid") in ("0", "") for tid in procfs.threads(pid))


def poll_until(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)
