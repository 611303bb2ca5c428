"""When a rule is due and what it does, on real programs: counts, weights, signals, delays."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from .conftest import Victim
from .harness import inject
from .servers import serving, wait_until

ENGINES = ("notify", "ptrace")

LOOP = """
import errno, os, sys, threading

def work(name):
    out = []
    for turn in range(1, 21):
        try: os.stat("/etc/hostname")
        except OSError as error: out.append(f"{turn}")
    os.writev(1, [f"{name}:{' '.join(out)}\\n".encode()])
work("main")
thread = threading.Thread(target=work, args=("thread",)); thread.start(); thread.join()
if os.fork() == 0:
    work("child")
    os._exit(0)
os.wait()
"""


def turns(key: str) -> dict[str, list[int]]:
    """Return which of 20 calls failed in each task, one task after the other."""
    rule = f"%stat:path=/etc/hostname:{key}:error=EIO"
    run = inject(["-q", "-e", rule], [sys.executable, "-c", LOOP])
    assert run.status == 0, run.err
    seen = {}
    for line in run.out.splitlines():
        name, _, numbers = line.partition(":")
        seen[name] = [int(number) for number in numbers.split()]
    assert len(run.injections) == sum(map(len, seen.values()))
    return seen


@pytest.mark.parametrize(
    ("key", "main", "thread", "child"),
    [
        ("when=3", [3], [3], [3]),
        ("when=18+", [18, 19, 20], [18, 19, 20], [18, 19, 20]),
        ("when=2..8+3", [2, 5, 8], [2, 5, 8], [2, 5, 8]),
        ("when=3+8", [3, 11, 19], [3, 11, 19], [3, 11, 19]),
        ("limit=2", [1, 2], [1, 2], [1, 2]),
        ("when=5+:limit=1", [5], [5], [5]),
        ("limit=2:per=process", [1, 2], [], [1, 2]),
        ("when=23:per=process", [], [3], []),
        ("limit=2:per=run", [1, 2], [], []),
        ("when=41..42:per=run", [], [], [1, 2]),
        ("after=1h", [], [], []),
        ("until=0s", [], [], []),
        ("until=1h:when=4", [4], [4], [4]),
    ],
)
def test_which_of_the_calls(key: str, main: list[int], thread: list[int], child: list[int]) -> None:
    assert turns(key) == {"main": main, "thread": thread, "child": child}


def test_after_begins_when_its_time_has_come() -> None:
    code = (
        "import os, time\n"
        "begin = time.monotonic()\n"
        "turn = 0\n"
        "while time.monotonic() - begin < 50:\n"
        "    turn += 1\n"
        "    try: os.stat('/etc/hostname')\n"
        "    except OSError: break\n"
        "print(turn)\n"
    )
    rule = "%stat:path=/etc/hostname:after=500ms:error=EIO"
    run = inject(["-q", "-e", rule], [sys.executable, "-c", code])
    (fault,) = run.injections
    assert fault["t"] >= 0.5 and int(run.out) > 1
    assert fault["occurrence"] == int(run.out)


def test_weights_and_return_values() -> None:
    code = (
        "import errno, os\n"
        "seen = []\n"
        "for turn in range(400):\n"
        "    try: seen.append(str(os.write(99, b'abc')))\n"
        "    except OSError as error: seen.append(errno.errorcode[error.errno])\n"
        "print(*seen)\n"
    )
    rules = ["-e", "write:fd=99:error=ENOSPC@3,EDQUOT@1:when=1..399", "-e", "write:fd=99:retval=2"]
    runs = [inject(["-q", "--seed", "8", *rules], [sys.executable, "-c", code]) for _ in "12"]
    assert runs[0].out == runs[1].out
    words = runs[0].out.split()
    assert words[-1] == "2"
    count = Counter(words[:-1])
    assert count.keys() == {"ENOSPC", "EDQUOT"} and 240 < count["ENOSPC"] < 350
    faults = [one["fault"].removeprefix("error ") for one in runs[0].injections]
    assert faults == [*words[:-1], "retval 2"]


def test_a_call_that_returns_a_value_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    run = inject(["-q", "-e", "unlink,unlinkat:retval=0"], ["rm", "kept"], cwd=tmp_path)
    assert (run.status, run.err) == (0, "")
    assert (tmp_path / "kept").exists()
    (fault,) = run.injections
    assert (fault["result"], fault["path"]) == ("0", str(tmp_path / "kept"))


def test_a_signal_goes_to_the_thread_and_the_call_is_made() -> None:
    code = (
        "import os, signal\n"
        "got = []\n"
        "signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))\n"
        "found = os.stat('/etc/hostname')\n"
        "os.stat('/')\n"
        "print(len(got), found.st_size > 0)\n"
    )
    rule = "%stat:path=/etc/hostname:signal=SIGUSR1"
    run = inject(["-q", "-e", rule], [sys.executable, "-c", code])
    assert (run.status, run.out) == (0, "1 True\n")
    ends = inject(
        ["-q", "-e", "openat:path=/etc/hostname:signal=SIGSEGV"], ["cat", "/etc/hostname"]
    )
    assert (ends.status, ends.out) == (-signal.SIGSEGV, "")
    assert ends.injections[0]["fault"] == "signal SIGSEGV"


def test_kill_comes_before_the_call(tmp_path: Path) -> None:
    rule = f"write:path={tmp_path}/made:when=2:kill=before"
    script = "for n in 1 2 3; do echo $n; done > made"
    run = inject(["-q", "-e", rule], ["sh", "-c", script], cwd=tmp_path)
    assert (run.status, (tmp_path / "made").read_text()) == (-signal.SIGKILL, "1\n")
    (end,) = run.of("task_end")
    assert end["signal"] == "SIGKILL"
    # Only the process that makes the call: whoever waits for it goes on.
    both = inject(["-q", "-e", rule], ["sh", "-c", f"(sh -c '{script}'); echo $?"], cwd=tmp_path)
    assert (both.status, both.out) == (0, "137\n")


def test_a_frozen_process_waits_for_sigcont(tmp_path: Path) -> None:
    rule = "openat:path=/etc/hostname:freeze=true"
    arguments = ["-q", "-e", rule]
    journal = tmp_path / "journal.jsonl"

    def ready() -> bool:
        return journal.exists() and '"injection"' in journal.read_text()

    with serving(tmp_path, ["cat", "/etc/hostname"], arguments, ready) as server:
        pid = server.pid()
        stat = Path(f"/proc/{pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
        assert server.out == "" and server.process.poll() is None
        os.kill(pid, signal.SIGCONT)
        run = server.done()
    assert (run.status, run.out) == (0, Path("/etc/hostname").read_text())
    assert run.injections[0]["fault"] == "freeze"


def test_a_delayed_thread_waits_while_another_makes_a_thousand_calls(tmp_path: Path) -> None:
    code = (
        "import os, threading\n"
        "def slow():\n"
        "    os.stat('/etc/hostname')\n"
        "    print('slow', flush=True)\n"
        "threading.Thread(target=slow, daemon=True).start()\n"
        "while not os.access('go', os.F_OK): pass\n"
        "for _ in range(1000): os.stat('/')\n"
        "print('fast', flush=True)\n"
        "os._exit(0)\n"
    )
    rules = ["-e", "%stat:path=/etc/hostname:delay=1h", "-e", "%stat:path=/:error=EIO:when=9999"]
    journal = tmp_path / "journal.jsonl"

    def parked() -> bool:
        return journal.exists() and '"injection"' in journal.read_text()

    command = [sys.executable, "-c", code]
    with serving(tmp_path, command, ["-q", *rules], parked) as server:
        (tmp_path / "go").touch()
        run = server.done()
    assert (run.status, run.out) == (0, "fast\n")
    (fault,) = run.injections
    assert fault["site"].startswith("0.1/") and fault["fault"] == "delay 3600s"
    waiting, calling = run.events[-1]["rules"]
    assert waiting["fired"] == 1 and calling["matched"] >= 1000


INTERRUPTED = """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
r, w = os.pipe()
os.write(w, b"x")
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    print(os.read(r, 1))
except OSError as error:
    print(error.strerror)
"""


def test_a_delayed_call_has_its_fault_though_a_signal_takes_it_back() -> None:
    """As any signal does before Linux 5.19; then the call comes again."""
    rule = "read:fd=pipe:delay=300ms:error=EIO"
    run = inject(["-e", rule], [sys.executable, "-c", INTERRUPTED])
    assert (run.status, run.out) == (0, "Input/output error\n"), run.err
    assert len(run.injections) == 1


def test_a_delayed_call_is_made_and_can_fail_late() -> None:
    rule = "openat:path=/etc/hostname:delay=20ms..40ms"
    run = inject(["-q", "--seed", "3", "-e", rule], ["cat", "/etc/hostname"])
    assert (run.status, run.out) == (0, Path("/etc/hostname").read_text())
    again = inject(["-q", "--seed", "3", "-e", rule], ["cat", "/etc/hostname"])
    assert again.sites == run.sites  # the same delay, too
    late = inject(["-q", "-e", rule + ":error=ETIMEDOUT"], ["cat", "/etc/hostname"])
    assert late.status == 1 and "Connection timed out" in late.err


def test_a_refused_brk_leaves_the_break_where_it_was(victim: Victim) -> None:
    run = inject(["-e", "brk:args.addr='>0':when=1:error=ENOMEM"], [victim("life"), "breaks"])
    assert (run.status, run.out) == (0, "ok\n"), run.err
    assert [one["syscall"] for one in run.injections] == ["brk"]
