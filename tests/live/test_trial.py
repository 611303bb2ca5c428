"""The trials of the probe: whatever they do, they end, tell how, and leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 90
NOT_THESE = ("PYTHONUNBUFFERED",)
TRIAL = """
import os, signal, sys, time
from injector.linux.probe import probe
from injector.linux.probe.filters import PROBED, RET_USER_NOTIF, call_probed, install, program
from injector.linux.probe.trial import Child, attempt
def children():
    return open(f"/proc/self/task/{os.getpid()}/children").read().split()
def fds():
    return sorted(os.listdir("/proc/self/fd"))
before = fds()
"""


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


def trial(script):
    """Run `script` after the names above, and that it leaves no child and no descriptor."""
    after = "\nassert fds() == before, fds()\nassert children() == [], children()\n"
    done = launch(sys.executable, "-c", TRIAL + script + after)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_probe_leaves_nothing():
    trial("probe(); probe()")


def test_a_trial_that_hangs_ends_at_its_deadline():
    trial(
        """
def body(channel):
    channel.tell(came="so far")
    signal.pause()
start = time.monotonic()
tried = attempt(body, 0.3)
assert 0.3 <= time.monotonic() - start < 5
assert tried.why == "no answer within 0.3 s", tried
assert tried["came"] == "so far" and not tried.ok
"""
    )


def test_a_call_that_nobody_answers_ends_at_the_deadline():
    trial(
        """
def body(channel):
    install(program(PROBED, RET_USER_NOTIF), 8)
    channel.tell(installed=True)
    call_probed()
tried = attempt(body, 0.3)
assert tried["installed"] and "no answer" in tried.why, tried
"""
    )


def test_a_trial_that_dies():
    trial(
        """
tried = attempt(lambda channel: os.kill(os.getpid(), signal.SIGSEGV))
assert tried.why == "the trial died", tried
"""
    )


def test_a_trial_that_raises_prints_nothing():
    out = trial(
        """
def refused(channel):
    raise PermissionError(1, "no")
def wrong(channel):
    raise LookupError("where")
sys.stdout.write("once")
assert attempt(refused).errno == 1 and attempt(refused).why == "EPERM: no"
assert attempt(wrong).why == "LookupError: where"
"""
    )
    assert out == "once"  # a child that flushed its parent's buffer would say it again


def test_children_of_a_trial_die_with_it():
    trial(
        """
def idle(channel):
    channel.tell(pid=os.getpid())
    signal.pause()
def body(channel):
    with Child(idle) as child:
        channel.tell(**child.expect())
        signal.pause()
def outer(channel):
    channel.tell(**attempt(body, 0.3).facts)
tried = attempt(outer)
pidfd = None
try:
    pidfd = os.pidfd_open(tried["pid"])
except ProcessLookupError:
    pass
if pidfd is not None:
    import select
    assert select.select([pidfd], [], [], 10)[0], "it lives on"
    os.close(pidfd)
"""
    )
