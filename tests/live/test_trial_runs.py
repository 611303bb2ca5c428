"""One run of a campaign: what came of it, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from injector.campaigns.trial import Bench, Crash, Job, Result, Step
from injector.campaigns.trial import carry_out as carry_out_with
from injector.linux import procfs

from .conftest import Victim

BOTH = pytest.mark.parametrize("by", ["notify", "ptrace"])


BENCHES: list[Bench | None] = []


def carry_out(job: Job) -> Result:
    """Carry a job out as the test's parameter says: with what is kept for the next, or without."""
    return carry_out_with(job, bench=BENCHES[-1])


@pytest.fixture(autouse=True, params=["alone", "bench"])
def scratch(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Give each test a folder for temporary files, which must be empty afterwards."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    open_before = sorted(os.listdir("/proc/self/fd"))
    bench = Bench() if request.param == "bench" else None
    BENCHES.append(bench)
    yield folder
    BENCHES.clear()
    if bench is not None:
        bench.close()
    assert list(folder.iterdir()) == []
    assert sorted(os.listdir("/proc/self/fd")) == open_before


def gone(file: Path) -> bool:
    """Return whether the processes whose numbers are in a file end soon; there is one."""
    pids = [int(line) for line in file.read_text().split()]
    assert pids
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if all(procfs.state(pid) in ("", "Z", "X") for pid in pids):
            return True
        time.sleep(0.01)
    return False


@BOTH
def test_what_came_of_it(victim: Victim, by: str) -> None:
    job = Job((victim("tree"), "2", "1", "9"), ("site=0.2/getppid#4:error=EIO",), engine=by)
    result = carry_out(job)
    assert (result.status, result.signal, result.crashes, result.error) == (0, None, (), "")
    assert sorted(result.stdout.tail.splitlines()) == ["0.1:", "0.2: 4", "0:"]
    assert result.stdout.size == len(result.stdout.tail)
    (fault,) = result.injections
    assert (fault.site, fault.exact) == ("0.2/getppid#4", "error=EIO")
    assert result.fired
    assert result.calls["getppid"] == 27
    assert Result.from_json(json.loads(json.dumps(result.as_json()))) == result


@BOTH
def test_a_crash_of_any_process(by: str) -> None:
    job = Job(("/bin/sh", "-c", "sh -c 'kill -ABRT $$'; exit 3"), engine=by)
    result = carry_out(job)
    assert (result.status, result.signal) == (3, None)
    assert [(one.task, one.signal) for one in result.crashes] == [("0.1", "SIGABRT")]
    first = carry_out(Job(("/bin/sh", "-c", "kill -SEGV $$"), engine=by))
    assert (first.status, first.signal) == (None, "SIGSEGV")
    assert first.crashes == (Crash("0", "sh", "SIGSEGV"),)


@BOTH
@pytest.mark.parametrize("ends", ["exit", "stay"])
def test_a_daemon_does_not_outlive_the_run(
    victim: Victim, tmp_path: Path, by: str, ends: str
) -> None:
    told = tmp_path / "pids"
    rules = ("getppid:when=1:retval=7",)
    job = Job((victim("leaves"), str(told), ends), rules, engine=by, timeout=2.0)
    result = carry_out(job)
    assert gone(told)
    assert result.timed_out is (ends == "stay")
    assert bool(result.left) is (ends == "exit")
    assert result.signal == ("SIGKILL" if ends == "stay" else None)


@BOTH
def test_the_target_sees_its_surroundings(tmp_path: Path, by: str) -> None:
    template = tmp_path / "template"
    (template / "deep").mkdir(parents=True)
    (template / "deep" / "file").write_text("as it was")
    script = (
        "cat; cat deep/file; echo changed > deep/file; echo $INJECT_RUN $X $1; "
        "chmod 500 deep; ls /proc/self/fd | wc -l; test $$ = $(ps -o sid= -p $$) && echo leader"
    )
    job = Job(
        ("sh", "-c", script, "sh", "n{run}"),
        workdir=str(template),
        environment=(("X", "set"), ("PATH", os.environ["PATH"])),
        number=17,
        engine=by,
        check='cat deep/file "$INJECT_OUTPUT/stdout"; exit 4',
    )
    result = carry_out(job)
    # Besides its three descriptors ls has one of the folder it lists.
    assert result.stdout.tail.split() == ["as", "it", "was17", "set", "n17", "4", "leader"]
    assert result.check is not None
    assert result.check.status == 4
    assert result.check.tail.startswith("changed\nas it was17")
    assert (template / "deep" / "file").read_text() == "as it was"


def test_setup_check_and_teardown_in_this_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = {name: f"echo {name} >> {log}" for name in ("setup", "check", "teardown")}
    job = Job(("sh", "-c", f"echo run >> {log}"), ("write:error=EIO:when=7",), **steps)
    assert carry_out(job).check == Step(0, "")
    assert log.read_text().split() == ["setup", "run", "check", "teardown"]


def test_a_setup_that_fails_is_an_error_of_the_run(tmp_path: Path) -> None:
    told = tmp_path / "torn"
    result = carry_out(Job(("true",), setup="echo no room; exit 5", teardown=f"touch {told}"))
    assert result.error == "setup ended with status 5: no room"
    assert told.exists()


def test_a_check_that_hangs_is_ended() -> None:
    result = carry_out(Job(("true",), check="echo so far; sleep 1000", timeout=1.0))
    assert result.check == Step(None, "so far\n")
    assert result.status == 0


def test_a_command_that_is_not_there() -> None:
    assert "not found" in carry_out(Job(("no-such-command-here",))).error


def test_only_the_end_of_a_long_output_is_kept() -> None:
    code = "import sys; sys.stdout.write('x' * 300000 + 'end')"
    result = carry_out(Job((sys.executable, "-c", code)))
    assert result.stdout.size == 300003
    assert len(result.stdout.tail) == 1 << 16
    assert result.stdout.tail.endswith("xend")


@BOTH
def test_an_interrupt_leaves_nothing(victim: Victim, tmp_path: Path, by: str) -> None:
    told, scratch = tmp_path / "pids", tmp_path / "other"
    scratch.mkdir()
    code = (
        "import sys\nfrom injector.campaigns.trial import *\n"
        "try: carry_out(Job((sys.argv[1], sys.argv[2], 'stay'), engine=sys.argv[3],\n"
        "                   teardown=f'echo done > {sys.argv[2]}.torn'), bench=Bench())\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    words = [sys.executable, "-c", code, victim("leaves"), str(told), by]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        end = time.monotonic() + 30
        while not told.exists() or not told.read_text().endswith("\n"):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert out == "interrupted\n"
    assert gone(told)
    assert Path(f"{told}.torn").read_text() == "done\n"
    assert list(scratch.iterdir()) == []


@BOTH
def test_when_we_are_killed_the_target_is_too(victim: Victim, tmp_path: Path, by: str) -> None:
    told = tmp_path / "pids"
    code = (
        "import sys\nfrom injector.campaigns.trial import *\n"
        "carry_out(Job((sys.argv[1], sys.argv[2], 'stay'), engine=sys.argv[3]), bench=Bench())\n"
    )
    words = [sys.executable, "-c", code, victim("leaves"), str(told), by]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, env=environment) as process:
        end = time.monotonic() + 30
        while not told.exists() or not told.read_text().endswith("\n"):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
    assert gone(told)


def test_many_runs_in_one_process_leak_nothing() -> None:
    job = Job(("/bin/true",), ("openat:error=EIO:when=100",))
    carry_out(job)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        assert carry_out(job).status == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_of_faults_that_are_alike_so_many_are_kept_and_all_are_made(tmp_path: Path) -> None:
    script = "for n in 1 2 3 4 5 6; do printf a; done; printf b >&2"
    rule = "write:error=EIO"
    job = Job(("/bin/dash", "-c", script), (rule,), engine="notify")
    everything = carry_out(job)
    some = carry_out(replace(job, told=2))
    assert some.calls["write"] == everything.calls["write"] == len(everything.injections)
    assert (some.stdout.size, some.status) == (everything.stdout.size, everything.status)
    everywhere = Counter(one.args.partition("<")[0] for one in everything.injections)
    assert everywhere["1"] > 2 and everywhere["2"] >= 1
    told = Counter(one.args.partition("<")[0] for one in some.injections)
    assert told == {place: min(count, 2) for place, count in everywhere.items()}
