"""The same seed, the same faults at the same Sites, however tasks interleave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .conftest import Victim
from .harness import Run, inject

ENGINES = ("notify", "ptrace")

REPETITIONS = int(os.environ.get("INJECT_REPETITIONS", "20"))  # the full proof is 50
RULE = "getppid:error=EAGAIN:probability=7%"


@pytest.fixture
def noise() -> Iterator[None]:
    """Keep the processors busy, so that the scheduler mixes the tasks anew each time."""
    code = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    yield
    for process in busy:
        process.kill()
        process.wait()


def lines(run: Run) -> list[str]:
    assert run.status == 0, run.err
    return sorted(run.out.split("\n"))


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("noise")
@pytest.mark.parametrize(
    ("program", "arguments", "tasks"),
    [("threads", ("8", "200"), 9), ("tree", ("5", "2", "40"), 31)],
)
def test_same_seed_same_faults(
    victim: Victim, program: str, arguments: tuple[str, ...], tasks: int
) -> None:
    command = [victim(program), *arguments]
    first = inject(["-e", RULE, "--seed", "42"], command)
    assert len(first.of("task_start")) == len(first.of("task_end")) == tasks
    assert len(first.injections) > 20
    failed = sum(len(line.split(":")[1].split()) for line in first.out.splitlines())
    assert failed == len(first.injections)
    for _ in range(REPETITIONS - 1):
        again = inject(["-e", RULE, "--seed", "42"], command)
        assert lines(again) == lines(first)
        assert again.sites == first.sites
    other = inject(["-e", RULE, "--seed", "43"], command)
    assert other.sites != first.sites
