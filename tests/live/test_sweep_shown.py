"""What a person sees of a sweep: a bar on a terminal, few lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

from .harness import INJECT
from .sweeping import sweep

COMMAND = ["sh", "-c", "cat /etc/hostname >copy"]
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_a_terminal(words: list[str], folder: Path) -> tuple[int, str]:
    """Run a command with its stderr on a terminal of 120 columns; status, and all that came."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=folder, env=env
    ) as process:
        os.close(slave)
        data = b""
        with contextlib.suppress(OSError):
            while part := os.read(master, 65536):
                data += part
        os.close(master)
        return process.wait(60), data.decode()


def test_a_bar_with_rate_and_findings(tmp_path: Path) -> None:
    words = [*INJECT, "sweep", "--db", "x.db", "--jobs", "1", "--", *COMMAND]
    status, raw = on_a_terminal(words, tmp_path)
    assert status in (0, 1), raw
    text = CODES.sub("", raw)
    assert re.search(r"sweeping .* \d+/\d+ .*\d+/s", text)
    assert re.search(r"\d+ findings?", text)
    assert "recording" in text
    # The cursor is there again, and the last word is ours, not the bar's.
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
    assert text.rstrip().endswith("inject: next: inject report x.db")
    assert "inject: without faults it takes" in text


def test_few_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    # It lasts longer than the time between two lines, on any machine.
    rules = ["--jobs", "2", "-e", "openat:path=/etc/hostname:error=EIO,EACCES,EMFILE,ENFILE,ENOMEM"]
    swept = sweep(tmp_path, rules, ["sh", "-c", "sleep 1; cat /etc/hostname >copy"])
    lines = swept.err.splitlines()
    assert all(line.startswith(("inject: ", "  ")) for line in lines), swept.err
    told = [line for line in lines if re.search(r"\d+ of \d+ runs, \d+ a second", line)]
    assert 1 <= len(told) <= 10
    assert "\x1b" not in swept.err and "\r" not in swept.err


def test_quiet_says_what_was_found_alone(tmp_path: Path) -> None:
    swept = sweep(tmp_path, ["-q", "-e", "write:error=ENOSPC"], ["sh", "-c", "echo a >b"])
    assert swept.status == 0, swept.err
    assert len(swept.err.splitlines()) == 2


def test_nothing_to_try_is_said(tmp_path: Path) -> None:
    swept = sweep(tmp_path, ["-e", "connect:error=ECONNREFUSED"], ["true"])
    assert (swept.status, swept.runs) == (0, ())
    assert "nothing was tried: no call was recorded that the rules match" in swept.err
