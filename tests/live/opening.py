"""The victim `opens`, as tests talk to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

from injector.linux import procfs
from tests.live.conftest import Victim
from tests.live.servers import DEADLINE, wait_until


class Opens:
    """The victim `opens`, which is asked to open its file."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [program, "/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        assert self.hear() == "ready"
        wait_until(lambda: procfs.blocked(self.pid) is not None, "it waits for a line")

    def hear(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self) -> str:
        """Have it open the file three times; return how that went."""
        assert self.process.stdin is not None
        self.process.stdin.write("x")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> int:
        """Let it end by itself; return its status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def opens(victim: Victim) -> Iterator[Opens]:
    """Start it, and kill it at the end."""
    one = Opens(victim("opens"))
    try:
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.process.wait(DEADLINE)
        for stream in (one.process.stdin, one.process.stdout):
            assert stream is not None
            stream.close()
