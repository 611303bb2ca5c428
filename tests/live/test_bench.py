"""Runs that share a keeper and a forker are as runs that do not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.trial import Bench, Job, Result, carry_out
from injector.linux import procfs

from .conftest import HANDLED, Victim

BOTH = ("notify", "ptrace")
ABOUT = """
grep -E '^(Sig(Blk|Ign|Cgt)|NoNewPrivs|NSpid|Umask)|Cpus_allowed' /proc/self/status | grep -v NSpid
ulimit -a; pwd; ls -l /proc/self/fd | awk '{print $9}' | sort; echo "$INJECT_RUN $MINE"
read -r _ _ _ above _ </proc/$PPID/stat  # a pad may be between us
case "$HAND" in $PPID|$above) test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo ours;; esac
cat /etc/hostname
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench; at its end nothing is left of it."""
    folder = tmp_path / "bench"
    folder.mkdir()
    children, fds = set(procfs.descendants(os.getpid())), sorted(os.listdir("/proc/self/fd"))
    made = Bench(str(folder))
    yield made
    made.close()
    assert set(procfs.descendants(os.getpid())) <= children
    assert sorted(os.listdir("/proc/self/fd")) == fds


def about(tmp_path: Path, engine: str) -> Job:
    (tmp_path / "cwd").mkdir(exist_ok=True)
    environment = {**os.environ, "MINE": "a b", "HAND": str(os.getpid())}
    return Job(
        ("sh", "-c", ABOUT),
        ("openat:path=/etc/hostname:error=EIO",),
        engine=engine,
        cwd=str(tmp_path / "cwd"),
        environment=tuple(environment.items()),
        number=7,
    )


def plain(result: Result) -> Result:
    return replace(result, seconds=0.0)


@pytest.mark.parametrize("by", BOTH)
def test_a_run_is_the_same_with_and_without(by: str, tmp_path: Path, bench: Bench) -> None:
    job = about(tmp_path, by)
    alone = plain(carry_out(job))
    assert alone.injections and "ours\n" in alone.stdout.tail and "7 a b\n" in alone.stdout.tail
    for _ in range(3):
        assert plain(carry_out(job, bench=bench)) == alone


@pytest.mark.parametrize("by", BOTH)
def test_helpers_that_were_killed_are_made_again(by: str, tmp_path: Path, bench: Bench) -> None:
    job = about(tmp_path, by)
    wanted = plain(carry_out(job, bench=bench))
    for helper in (bench.forker, bench.guard):
        # The first times it may not be worth its while.
        made = next(one for one in (helper() for _ in range(100)) if one is not None)
        os.kill(made.pid, signal.SIGKILL)
        # The run that comes first may not know of it yet.
        results = [plain(carry_out(job, bench=bench)) for _ in range(3)]
        assert results[-1] == wanted
        assert all(one == wanted or one.error for one in results)


def test_a_run_that_cannot_begin_leaves_the_bench_whole(tmp_path: Path, bench: Bench) -> None:
    job = about(tmp_path, "notify")
    wanted = plain(carry_out(job, bench=bench))
    broken = tmp_path / "broken"
    broken.write_bytes(b"#!/no/such/interpreter\n")
    broken.chmod(0o755)
    for command in (("/no/such",), (str(broken),), (str(tmp_path),)):
        assert carry_out(replace(job, command=command), bench=bench).error
        assert plain(carry_out(job, bench=bench)) == wanted


def test_what_outlives_a_run_does_not_reach_the_next(tmp_path: Path, bench: Bench) -> None:
    job = about(tmp_path, "notify")
    wanted = plain(carry_out(job, bench=bench))
    lingers = replace(job, command=("sh", "-c", "setsid sleep 100 & exit 3"), timeout=20)
    result = carry_out(lingers, bench=bench)
    assert (result.status, len(result.left)) == (3, 1)
    hangs = replace(job, command=("sleep", "100"), timeout=0.2)
    assert carry_out(hangs, bench=bench).timed_out
    assert plain(carry_out(job, bench=bench)) == wanted


@pytest.mark.parametrize("how", HANDLED)
def test_a_call_that_a_handler_lets_be_made_again_counts_once(
    how: str, victim: Victim, tmp_path: Path, bench: Bench
) -> None:
    rules = ("read:fd=pipe:when=2:error=EIO",)
    job = replace(about(tmp_path, "notify"), command=(victim("handlers"), how), rules=rules)
    for _ in range(2):
        result = carry_out(job, bench=bench)
        assert (result.stdout.tail, result.status) == ("ok\n", 0), result
        assert len(result.injections) == 1
        # What the engine wants to know for itself is no call that somebody named.
        assert "rt_sigaction" not in result.calls
