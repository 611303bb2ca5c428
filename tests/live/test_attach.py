"""Attached to and let go, nothing changes for the target but the faults that were ordered."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .attaching import attach_again, attached, living, poll_until, procfs, untraced
from .conftest import Victim

KINDS = pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])
THREADS = 32


@KINDS
def test_a_call_that_blocks_goes_on(victim: Victim, tmp_path: Path, flags: tuple[str, ...]) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with living(victim("attach", *flags), "blocked", str(lock)) as target:

        def asleep() -> bool:
            return all(procfs.state(tid) == "S" for tid in procfs.threads(target.pid))

        poll_until(lambda: len(procfs.threads(target.pid)) == THREADS + 1 and asleep())
        attach_again(target.pid, 18)
        for number in (signal.SIGINT, signal.SIGTERM):
            with attached(target.pid) as inject:
                inject.leave(number)
        assert untraced(target.pid)
        target.go()
        assert target.end() == (0, "ok\n")
