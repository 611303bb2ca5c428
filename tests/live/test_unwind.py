"""Call stacks of stopped tasks, read with raw ptrace requests from programs with a known nest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from injector.linux import procfs, ptrace, unwind
from injector.linux.unwind import Frame, Unwinder
from tests.live.conftest import VICTIMS
from tests.live.harness import DEADLINE

SYS_PAUSE = {64: 34, 32: 29}
NEST = ["pause", "inner", "hidden", "by_library", "middle", "outer"]
Build = Callable[..., str]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a function: compiler flags -> the path of the nest as one program."""
    made: dict[tuple[str, ...], str] = {}

    def one(*flags: str) -> str:
        if flags not in made:
            program = str(tmp_path_factory.mktemp("nest") / "nest")
            compiler("-fno-omit-frame-pointer", *flags, "-o", program)
            made[flags] = program
        return made[flags]

    return one


def compiler(*flags: str) -> None:
    source = str(VICTIMS / "stack.c")
    command = ["gcc", "-O1", "-Wall", "-Werror", "-pthread", source, *flags]
    subprocess.run(command, check=True, timeout=60)


def split(folder: Path, *flags: str) -> tuple[str, str]:
    """Return the nest as a program and a library of its own."""
    program, library = str(folder / "split"), str(folder / "libnest.so")
    compiler(*flags, "-DLIBRARY", "-shared", "-fPIC", "-o", library)
    compiler(*flags, "-DSPLIT", "-o", program, library, f"-Wl,-rpath,{folder}")
    return program, library


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


@contextmanager
def waiting(*command: str, bits: int = 64) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a nest; yield it and the task that waits in pause(2)."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            tid = procfs.threads(process.pid)[-1]
            until(lambda: (procfs.blocked(tid) or (0,))[0] == SYS_PAUSE[bits])
            yield process, tid
        finally:
            process.kill()


@contextmanager
def stopped(tid: int) -> Iterator[int]:
    """Stop a task as its tracer and let it go afterwards."""
    ptrace.seize(tid, 0)
    assert ptrace.request(ptrace.INTERRUPT, tid)
    _, status = os.waitpid(tid, ptrace.WALL)
    assert isinstance(ptrace.decode(status), ptrace.EventStop)
    try:
        yield tid
    finally:
        ptrace.detach(tid)


@pytest.fixture
def unwinder() -> Iterator[Unwinder]:
    one = Unwinder()
    yield one
    one.close()


def stack(unwinder: Unwinder, *command: str, limit: int = 64) -> tuple[Frame, ...]:
    with waiting(*command) as (_, tid), stopped(tid):
        first = unwinder.frames(tid, limit)
        assert unwinder.frames(tid, limit) == first
        return first


def names(frames: tuple[Frame, ...]) -> list[str]:
    return [frame.function for frame in frames]


def test_libunwind_is_here() -> None:
    assert unwind.missing() == ""


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-fomit-frame-pointer",),
        ("-no-pie",),
        ("-static-pie",),
        ("-static", "-Wl,--eh-frame-hdr"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("how,then", [("main", "main"), ("thread", "work"), ("signal", "handler")])
def test_every_function_in_order(
    unwinder: Unwinder, build: Build, flags: tuple[str, ...], how: str, then: str
) -> None:
    program = build(*flags)
    frames = stack(unwinder, program, how)
    assert names(frames)[:7] == [*NEST, then]
    own = frames if "-static" in flags[:1] or flags == ("-static-pie",) else frames[1:7]
    assert {frame.library for frame in own} == {program}
    if how == "signal":
        assert names(frames)[-1] == "_start"
        assert "main" in names(frames)[7:]


def test_a_library_of_its_own(unwinder: Unwinder, tmp_path: Path) -> None:
    program, library = split(tmp_path, "-fomit-frame-pointer")
    frames = stack(unwinder, program)
    assert names(frames)[:7] == [*NEST, "main"]
    assert [frame.library for frame in frames[1:7]] == [
        program, library, library, program, program, program
    ]  # fmt: skip
    assert frames[0].library.rpartition("/")[2].startswith("libc")
    assert frames[3].texts() == ("by_library", "", "libnest.so", library)


def test_addresses_are_those_of_the_file(unwinder: Unwinder, tmp_path: Path) -> None:
    program, library = split(tmp_path)
    listing = subprocess.run(["nm", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    address = {line.split()[-1]: line.split()[0] for line in listing.splitlines()}
    for frame in stack(unwinder, program)[2:4]:
        assert frame.address - frame.offset == int(address[frame.function], 16)
        assert 0 < frame.offset < 64


def test_a_stripped_program_has_offsets(unwinder: Unwinder, build: Build, tmp_path: Path) -> None:
    whole, bare = build(), str(tmp_path / "bare")
    subprocess.run(["strip", "-o", bare, whole], check=True, timeout=60)
    named, nameless = stack(unwinder, whole), stack(unwinder, bare)
    assert names(nameless)[1:7] == [""] * 6
    assert {frame.library for frame in nameless[1:7]} == {bare}
    addresses = [frame.address for frame in named[1:7]]
    assert [frame.address for frame in nameless[1:7]] == addresses
    assert [frame.offset for frame in nameless[1:7]] == addresses


def test_a_deleted_library_keeps_its_path(unwinder: Unwinder, tmp_path: Path) -> None:
    program, library = split(tmp_path)
    with waiting(program) as (_, tid):
        os.unlink(library)
        # Another file at its place, whose names would be wrong.
        shutil.copy(program, library)
        with stopped(tid):
            frames = unwinder.frames(tid)
    assert names(frames)[:2] == NEST[:2]
    assert frames[2].library == library
    assert frames[2].function in ("hidden", "")


def test_code_of_no_file(unwinder: Unwinder, build: Build) -> None:
    frames = stack(unwinder, build(), "jit")
    assert names(frames)[:2] == ["pause", "inner"]
    assert (frames[2].function, frames[2].library, frames[2].offset) == ("", "", 0)
    assert frames[2].address > 0
    assert frames[2].texts() == ("", "", "", "")
    assert frames[3].function == "main"


def test_the_vdso(unwinder: Unwinder, build: Build) -> None:
    with subprocess.Popen([build(), "vdso"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            seen: list[tuple[Frame, ...]] = []

            def inside() -> bool:
                with stopped(process.pid):
                    seen.append(unwinder.frames(process.pid))
                return seen[-1][0].library == "[vdso]" and bool(seen[-1][0].function)

            until(inside)
            assert "clock_gettime" in seen[-1][0].function
        finally:
            process.kill()


def test_the_limit(unwinder: Unwinder, build: Build) -> None:
    program = build("-fomit-frame-pointer")
    assert names(stack(unwinder, program, "deep", "200")) == [*NEST[:2], *["deep"] * 62]
    assert names(stack(unwinder, program, limit=3)) == NEST[:3]
    assert stack(unwinder, program, limit=0) == ()


def test_a_broken_stack_ends(unwinder: Unwinder, build: Build) -> None:
    frames = stack(unwinder, build(), "broken")
    assert frames[0].function == "main"
    assert len(frames) <= 64


def test_32_bit_code_has_none(unwinder: Unwinder, build: Build) -> None:
    with waiting(build("-m32"), bits=32) as (_, tid), stopped(tid):
        assert unwinder.frames(tid) == ()


def test_a_task_that_is_gone_or_runs_has_none(unwinder: Unwinder, build: Build) -> None:
    with waiting(build()) as (process, tid):
        with stopped(tid):
            assert names(unwinder.frames(tid))[:6] == NEST
            process.kill()
            until(lambda: procfs.state(tid) in ("Z", ""))
            assert unwinder.frames(tid) == ()
        unwinder.forget(tid)
        assert unwinder.frames(tid) == ()


def test_a_task_of_nobody(unwinder: Unwinder) -> None:
    assert unwinder.frames(os.getpid()) == ()


def test_after_an_exec(unwinder: Unwinder, build: Build) -> None:
    first, second = build(), build("-fomit-frame-pointer", "-static-pie")
    with waiting(first, "exec", second) as (process, tid):
        with stopped(tid):
            assert names(unwinder.frames(tid))[:3] == ["pause", "inner", "main"]
        process.send_signal(signal.SIGUSR2)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        until(lambda: (procfs.blocked(tid) or (0,))[0] == SYS_PAUSE[64])
        unwinder.forget(tid)
        with stopped(tid):
            frames = unwinder.frames(tid)
        assert names(frames)[:7] == [*NEST, "main"]
        assert {frame.library for frame in frames} == {second}


def test_without_libunwind_by_frame_pointers(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwind, "_libunwind", lambda: None)
    assert "libunwind8" in unwind.missing()
    frames = stack(Unwinder(), build())
    # pause(2) keeps none: who called it is not told.
    assert names(frames)[:6] == ["pause", *NEST[2:], "main"]


def test_the_target_goes_on_unharmed(unwinder: Unwinder, build: Build) -> None:
    with waiting(build(), "exec", "/bin/true") as (process, tid):
        with stopped(tid):
            assert unwinder.frames(tid)
        process.send_signal(signal.SIGUSR2)
        assert process.wait(DEADLINE) == 0


def test_cxx_names() -> None:
    assert unwind.demangled("_ZN3sql6Parser4nextEi") == "sql::Parser::next(int)"
    assert unwind.demangled("_Znonsense") == ""
    assert unwind.demangled("main") == ""
    frame = Frame("_ZN3sql6Parser4nextEi", 1, "/lib/libsql.so.1", 2)
    assert frame.texts()[:3] == (frame.function, "sql::Parser::next(int)", "libsql.so.1")


def test_a_damaged_file_is_no_error(tmp_path: Path) -> None:
    _, library = split(tmp_path)
    whole = Path(library).read_bytes()
    found = {name for name, _ in (_symbols(whole).at(at) for at in range(0x1000, 0x1200))}
    assert "by_library" in found
    for place in [*range(64), *range(64, len(whole), 61)]:
        cut = _symbols(whole[:place])
        flipped = _symbols(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
        for symbols in (cut, flipped):
            assert isinstance(symbols.at(symbols.address(0x1100)), tuple)


def _symbols(raw: bytes) -> unwind._Symbols:
    return unwind._Symbols(lambda offset, size: raw[offset : offset + size])
