"""What every measurement needs: the variants' command lines, runs with a deadline, rounds.

Compiles the C programs; knows nothing of what is measured.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from injector.words.syscalls import native

HERE = Path(__file__).resolve().parent
DEADLINE = 120.0  # seconds a single program may take
ONCE = "error=EAGAIN:when=65535"  # the latest call strace can be told to inject into


class Failed(Exception):
    """A program of the benchmark did not run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: `full`, or `quick` to see that all of it runs."""

    rounds: int
    named: int  # calls that a supervisor of notifications stops
    traced: int  # calls that strace stops
    unnamed: int
    requests: int
    traced_requests: int
    mark: int  # named calls between two looks at the memory
    starts: int


FULL = Sizes(5, 100_000, 10_000, 1_000_000, 50_000, 5_000, 500_000, 15)
QUICK = Sizes(1, 5_000, 1_000, 50_000, 3_000, 300, 20_000, 3)


@dataclass(frozen=True, slots=True)
class Spread:
    """The values of one variant, one a round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest."""
        return max(self.values)


def interleave(rounds: int, variants: Mapping[str, Callable[[], float]]) -> dict[str, Spread]:
    """Measure every variant once a round, each round beginning with another one.

    So what else the machine does meanwhile falls on all of them alike.
    """
    names = list(variants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            found[name].append(variants[name]())
    return {name: Spread(tuple(values)) for name, values in found.items()}


class Tools:
    """The programs, and how each variant starts a target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = self.compile("calls")
        self.bare_program = self.compile("bare")
        script = Path(sys.executable).with_name("inject")
        module = [sys.executable, "-m", "injector"]
        self.injector = [str(script)] if script.exists() else module
        self.strace_there = shutil.which("strace") is not None
        self.redis_there = all(map(shutil.which, ("redis-server", "redis-benchmark")))

    def compile(self, name: str) -> str:
        """Return the program of a source of ours."""
        made = self.folder / name
        compiler = ["gcc", "-O2", "-o", str(made), str(HERE / f"{name}.c")]
        try:
            # Static, so that start-up is ours and not the dynamic loader's.
            static = subprocess.run([*compiler, "-static"], capture_output=True, check=False)
            if static.returncode:
                subprocess.run(compiler, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failed(f"cannot compile {name}.c: {error}") from error
        return str(made)

    def inject(self, *words: str) -> list[str]:
        """Return the start of a command line: `words` are rules and options."""
        return [*self.injector, "run", *words, "--"]

    def bare(self, *names: str) -> list[str]:
        """Return the same for the bare C supervisor of these calls."""
        numbers = native().numbers
        return [self.bare_program, ",".join(str(numbers[name]) for name in names)]

    def strace(self, *names: str, bpf: bool) -> list[str]:
        """Return the same for strace, told to inject into these calls and hardly ever due."""
        chosen = ",".join(names)
        filters = ["--seccomp-bpf"] if bpf else []
        what = ["-e", f"trace={chosen}", "-e", f"inject={chosen}:{ONCE}"]
        return ["strace", "-f", "-qq", *filters, "-o", os.devnull, *what]


def output(command: list[str]) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        Failed: it did not end in time, or not well.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def watching(session: int) -> Iterator[None]:
    """Have `inject watch` draw the session of this process on a terminal of 140 by 45.

    Raises:
        Failed: it drew nothing.
    """
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 45, 140, 0, 0))
    watch = subprocess.Popen(
        [sys.executable, "-m", "injector", "watch", str(session)],
        pass_fds=[slave],
        preexec_fn=lambda: os.login_tty(slave),  # it draws on its controlling terminal
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    drawn, over = threading.Event(), threading.Event()

    def read() -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while data := os.read(master, 65536):
                seen = seen[-4096:] + data
                if b"calls" in seen:
                    drawn.set()
        over.set()
        drawn.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        if not drawn.wait(DEADLINE) or over.is_set():
            raise Failed("inject watch drew nothing")
        yield
        if watch.poll() is not None:
            raise Failed(f"inject watch ended with status {watch.returncode}")
    finally:
        watch.kill()
        watch.wait()
        reader.join(DEADLINE)
        os.close(master)


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own that is gone in the end, come what may."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
