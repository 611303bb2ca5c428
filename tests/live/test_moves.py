"""Calls that move data, cut short, damaged, made and failed, late: the caller's memory and
registers are afterwards as they were; launched under the ptrace engine and attached to alike."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .attaching import attached, living
from .conftest import Victim
from .harness import inject

READS = "read,readv,pread64,preadv,preadv2,recvfrom,recvmsg,recvmmsg"
WRITES = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg"
FAULTS = {
    "short": "short=2",
    "corrupt": "corrupt=bitflip",
    "run": "call=run:error=EIO",
    "late": "delay_exit=1ms",
}
WAYS = pytest.mark.parametrize("way", ["run", "attach"])
KINDS = pytest.mark.parametrize("flags", [(), ("-m32",)], ids=["x86_64", "i386"])


def rules(fault: str) -> list[str]:
    if fault == "corrupt":  # the others have no buffer of the program's
        return ["-e", f"{READS},{WRITES}:fd=100..200:{FAULTS[fault]}"]
    calls = f"{READS},{WRITES},sendfile,splice"
    return ["-e", f"{calls}:fd=100..200:{FAULTS[fault]}", "-e", f"getrandom:{FAULTS[fault]}"]


@WAYS
@KINDS
@pytest.mark.parametrize("fault", FAULTS)
def test_memory_and_registers(victim: Victim, way: str, flags: tuple[str, ...], fault: str) -> None:
    program = victim("moves", *flags)
    if way == "run":
        words = ["-q", "--engine", "ptrace", *rules(fault)]
        run = inject(words, [program, fault], stdin="x")
        assert (run.status, run.out) == (0, "ready\nok\n"), run.out + run.err
        assert len(run.injections) >= 80
        return
    with living(program, fault) as target, attached(target.pid, *rules(fault)) as injector:
        target.go()
        assert target.end() == (0, "ok\n")
        injector.left()


@WAYS
@KINDS
def test_killed_after_the_call(
    victim: Victim, tmp_path: Path, way: str, flags: tuple[str, ...]
) -> None:
    result = tmp_path / "result"
    result.touch()
    program = victim("moves", *flags)
    rule = "write:fd=100..200:kill=after"
    if way == "run":
        words = ["-q", "--engine", "ptrace", "-e", rule]
        run = inject(words, [program, "dies", str(result)], stdin="x")
        assert run.status == -signal.SIGKILL, run.err
        (fault,) = run.injections
        assert fault["result"] == "8 (killed)"
    else:
        with living(program, "dies", str(result)) as target, attached(target.pid, "-e", rule) as it:
            target.go()
            assert target.end() == (-signal.SIGKILL, "")
            it.left()
    assert result.read_bytes() == b"abcdefgh"
