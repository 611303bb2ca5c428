"""What `inject doctor` shows a person: through a pipe, on a terminal, in any encoding."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from injector.linux.probe import TOPICS

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 90
DOCTOR = (sys.executable, "-c", "from injector.faces.cli.doctor import doctor; doctor()")
NOT_THESE = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "container")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in NOT_THESE}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


def launch(*command, **more):
    return subprocess.run(
        command,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_piped_report():
    done = launch(*DOCTOR)
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.isascii()
    assert lines[-1].startswith("inject run " + ("cannot" if done.returncode else "works"))
    for heading, topics in TOPICS.items():
        assert heading in lines
        for topic in topics:
            assert [line.split()[1] for line in lines if f"  {topic}  " in line] == [topic]


def test_any_encoding():
    done = launch(*DOCTOR, PYTHONIOENCODING="ascii", container="d\xf6se\x1b[31m")
    assert "container=d\\xf6se\\x1b[31m" in done.stdout.replace("\n" + " " * 32, "")
    assert done.stderr == ""


def on_a_terminal(**env):
    """Return what the doctor writes to a terminal."""
    ours, theirs = pty.openpty()
    end = time.monotonic() + DEADLINE
    shown = b""
    with subprocess.Popen(
        DOCTOR, stdout=theirs, env=environment(TERM="xterm-256color", **env)
    ) as process:
        os.close(theirs)
        try:
            while select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
                shown += os.read(ours, 65536)
            pytest.fail("the doctor did not end")
        except OSError:  # EIO: the other side is closed
            pass
        finally:
            process.kill()
            os.close(ours)
    return shown.decode()


def test_colour_on_a_terminal():
    assert "\x1b[32mok" in on_a_terminal()


def test_no_colour_when_asked():
    assert "\x1b[3" not in on_a_terminal(NO_COLOR="1")


def test_a_reader_that_goes_away():
    done = launch("sh", "-c", '"$@" | head -1', "sh", *DOCTOR)
    assert (done.stdout, done.stderr) == ("Machine\n", "")
