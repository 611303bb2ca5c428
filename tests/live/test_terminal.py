"""In a terminal, under an interactive shell, a run is a job like any other."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Victim
from .harness import INJECT

UNDER = " ".join([*INJECT, "run", "-q", "-e", "getppid:error=EIO:probability=0", "--"])
ROOT = Path(__file__).parents[2]


class Shell:
    """`bash -i` on a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            env = {**os.environ, "PS1": "", "TERM": "dumb", "HISTFILE": ""}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], env)
        self.text = ""
        self.do("stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null; echo be''gun")
        self.expect("begun")

    def do(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def key(self, key: str) -> None:
        os.write(self.fd, key.encode())

    def expect(self, wanted: str, seconds: float = 20) -> str:
        """Read until `wanted` (a regular expression) comes; return it and drop all before."""
        end = time.monotonic() + seconds
        while (found := re.search(wanted, self.text)) is None:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{wanted!r} did not come: {self.text!r}"
            self.text += os.read(self.fd, 4096).decode(errors="replace").replace("\r\n", "\n")
        self.text = self.text[found.end() :]
        return found[0]

    def close(self) -> None:
        os.close(self.fd)  # the kernel hangs up: SIGHUP to all jobs
        for name in os.listdir("/proc"):
            # What ignores that must not outlive a test that failed.
            with contextlib.suppress(OSError, ValueError):
                if os.getsid(int(name)) == self.pid:
                    os.kill(int(name), signal.SIGKILL)
        end = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)


@pytest.fixture
def shell() -> Iterator[Shell]:
    one = Shell()
    yield one
    one.close()


@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x1c", 131)])
def test_keys_that_end(shell: Shell, key: str, status: int) -> None:
    shell.do(f"ulimit -c 0; {UNDER} sh -c 'echo rea''dy; exec sleep 100'")
    shell.expect("ready\n")
    shell.key(key)
    shell.expect("\n")  # by the shell; the key flushes what is typed before that
    shell.do("echo status $?")  # bash gives up the rest of a line at ^C
    shell.expect(f"status {status}\n")


def test_a_target_that_handles_the_key_gets_it_once(shell: Shell, victim: Victim) -> None:
    shell.do(f"{UNDER} {victim('signalled')}; echo status $?")
    shell.expect("ready\n")
    for _ in range(3):
        shell.key("\x03")
        shell.expect(r"\^?C?2\n")
    shell.key("\x1c")
    assert shell.expect(r"(?<!\d)\d+\n") == "3\n"
    shell.key("\x1c")
    shell.expect("3\n")
    shell.expect("status 0\n")


def test_a_delayed_call_does_not_hold_up_the_key(shell: Shell) -> None:
    slow = UNDER.replace("getppid:error=EIO:probability=0", "read:fd=0:delay=1h")
    shell.do(f"{slow} sh -c 'echo rea''dy; read line'")
    shell.expect("ready\n")
    shell.key("\x03")
    shell.expect("\n")
    shell.do("echo status $?")
    shell.expect("status 130\n")


def test_stop_and_foreground_and_background(shell: Shell) -> None:
    shell.do(f"{UNDER} sh -c 'echo rea''dy; read a; echo got $a; read b; echo got $b'")
    shell.expect("ready\n")
    shell.key("\x1a")
    shell.expect(r"\[1\]\+ +Stopped")
    shell.do("fg")
    shell.do("one")
    shell.expect("got one\n")
    shell.key("\x1a")
    shell.expect(r"\[1\]\+ +Stopped")
    shell.do("bg")  # it reads the terminal, so it stops at once
    shell.do("until jobs | grep 'Stop''ped'; do :; done; fg; echo status $?")
    shell.expect("Stopped")
    shell.do("two")
    shell.expect("got two\n")
    shell.expect("status 0\n")


def test_reading_in_the_background_stops_the_job(shell: Shell) -> None:
    shell.do(f"{UNDER} cat & until jobs | grep 'Stop''ped'; do :; done")
    shell.expect("Stopped")
    shell.do("fg")
    shell.do("line")
    shell.expect("line\n")
    shell.key("\x04")
    shell.do("echo status $?")
    shell.expect("status 0\n")


def test_a_stopped_job_is_killed(shell: Shell) -> None:
    shell.do(f"{UNDER} sh -c 'echo pid $$; read a'")
    pid = int(shell.expect(r"pid \d+\n").split()[1])
    shell.key("\x1a")
    shell.expect("Stopped")
    shell.do("kill -9 %1")
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_terminal_is_the_targets_own(shell: Shell) -> None:
    code = (
        "import os, sys, termios, tty; old = termios.tcgetattr(0); tty.setraw(0); "
        "os.write(1, b'key?'); key = os.read(0, 1); termios.tcsetattr(0, 0, old); "
        "print(key, [os.isatty(n) for n in (0, 1, 2)], os.get_terminal_size())"
    )
    shell.do("stty rows 33 cols 77")
    shell.do(f'{UNDER} python3 -c "{code}"; stty -a | grep -o " icanon"')
    shell.expect(r"key\?")
    shell.key("\x03")  # raw: a byte, no signal
    shell.expect(re.escape("b'\\x03' [True, True, True]"))
    shell.expect(r"columns=77, lines=33")
    shell.expect("icanon")
