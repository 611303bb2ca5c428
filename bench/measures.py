"""The measurements. Each returns a Table: numbers, words for them, and aims."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import redis

from injector.words.syscalls import native
from tools import HERE, Failed, Sizes, Spread, Tools, interleave, output, running, watching

NEVER = "probability=0:error=EPERM"
MARKS = (1, 2, 4, 6, 8, 10)
GROWTH = 256  # KiB that count as none
PATH_CALL = "access" if "access" in native().numbers else "faccessat"


@dataclass(frozen=True, slots=True)
class Aim:
    """What the design promises, and whether this run kept it."""

    text: str
    found: str
    met: bool


@dataclass(slots=True)
class Table:
    """One measurement, ready to print; `raw` holds the same for programs."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)

    def keep(self, found: dict[str, Spread], prefix: str = "") -> None:
        """Put every single value into `raw`."""
        for name, spread in found.items():
            self.raw[prefix + name] = list(spread.values)


def _per_call(supervisor: list[str], tools: Tools, mode: str, count: int) -> float:
    return float(output([*supervisor, tools.calls, mode, str(count)]))  # nanoseconds


def named(tools: Tools, sizes: Sizes) -> Table:
    """Microseconds of a call that a rule names."""
    table = Table(
        "1. A call that is named: microseconds per call",
        ("call", "variant", "median", "min", "max", "to bare C"),
    )
    journal = str(tools.folder / "bench.jsonl")
    supervisors: dict[str, tuple[str, list[str], int]] = {
        "native": ("getppid", [], sizes.unnamed),
        "bare C": ("getppid", tools.bare("getppid"), sizes.named),
        "inject, probability 0": (
            "getppid",
            tools.inject("-q", "-e", f"getppid:{NEVER}"),
            sizes.named,
        ),
        "inject, error fired": (
            "getppid",
            tools.inject("-q", "-e", "getppid:error=EPERM"),
            sizes.named // 4,
        ),
        "inject, error fired, journal": (
            "getppid",
            tools.inject("-q", "--journal", journal, "-e", "getppid:error=EPERM"),
            sizes.named // 4,
        ),
        "native ": ("access", [], sizes.unnamed // 4),
        "bare C ": ("access", tools.bare(PATH_CALL), sizes.named),
        "inject, path rule": (
            "access",
            tools.inject("-q", "-e", f"{PATH_CALL}:path=/dev/null:{NEVER}"),
            sizes.named,
        ),
    }
    if tools.strace_there:
        for bpf, label in ((True, "strace --seccomp-bpf"), (False, "strace")):
            supervisors[label] = ("getppid", tools.strace("getppid", bpf=bpf), sizes.traced)
    else:
        table.notes.append("strace is not installed")
    variants = {
        name: partial(_per_call, words, tools, mode, count)
        for name, (mode, words, count) in supervisors.items()
    }
    found = interleave(sizes.rounds, variants)
    table.keep(found)
    for mode, base in (("getppid", "bare C"), ("access", "bare C ")):
        for name, spread in found.items():
            if supervisors[name][0] == mode:
                ratio = spread.median / found[base].median
                micros = [f"{n / 1e3:.2f}" for n in (spread.median, spread.low, spread.high)]
                table.rows.append((mode, name.strip(), *micros, f"{ratio:.2f}"))
    ratio = found["inject, probability 0"].median / found["bare C"].median
    table.aims.append(Aim("named call at most 1.6 of bare C", f"{ratio:.2f}", ratio <= 1.6))
    table.notes.append("bare C: blocking receive, CONTINUE, nothing looked at: the limit")
    table.notes.append("strace injects into call 65535, that is never or once; writes to /dev/null")
    return table


def unnamed(tools: Tools, sizes: Sizes) -> Table:
    """Nanoseconds that a call costs more because somebody waits for others."""
    table = Table(
        "2. A call that no rule names: nanoseconds per call",
        ("variant", "median", "min", "max", "added"),
    )
    supervisors: dict[str, tuple[list[str], int]] = {
        "native": ([], sizes.unnamed),
        "bare C": (tools.bare("chroot"), sizes.unnamed),
        "inject": (tools.inject("-q", "-e", f"chroot:{NEVER}"), sizes.unnamed),
        "inject, 100 calls named": (
            tools.inject("-q", "-e", f"%file,%network,!getppid:{NEVER}"),
            sizes.unnamed,
        ),
    }
    if tools.strace_there:
        supervisors["strace --seccomp-bpf"] = (tools.strace("chroot", bpf=True), sizes.unnamed)
        supervisors["strace"] = (tools.strace("chroot", bpf=False), sizes.traced)
    found = interleave(
        sizes.rounds,
        {
            name: partial(_per_call, words, tools, "getppid", count)
            for name, (words, count) in supervisors.items()
        },
    )
    table.keep(found)
    base = found["native"].median
    for name, spread in found.items():
        nanos = [f"{n:,.0f}" for n in (spread.median, spread.low, spread.high)]
        table.rows.append((name, *nanos, f"{spread.median - base:+,.0f}"))
    added = found["inject"].median - base
    table.aims.append(Aim("unnamed call at most 100 ns more", f"{added:+.0f} ns", added <= 100))
    return table


def redis_set(tools: Tools, sizes: Sizes) -> Table:
    """Requests a second of a server whose every read and write is named."""
    table = Table(
        "3. Redis SET, read and write named: requests per second",
        ("variant", "median", "min", "max", "to native"),
    )
    if not tools.redis_there:
        table.notes.append("redis-server and redis-benchmark are not installed")
        return table
    supervisors: dict[str, tuple[list[str], int]] = {
        "native": ([], sizes.requests),
        "bare C": (tools.bare("read", "write"), sizes.requests),
        "inject, probability 0": (
            tools.inject("-q", "-e", f"read,write:{NEVER}"),
            sizes.requests,
        ),
    }
    if tools.strace_there:
        for bpf, label in ((True, "strace --seccomp-bpf"), (False, "strace")):
            words = tools.strace("read", "write", bpf=bpf)
            supervisors[label] = (words, sizes.traced_requests)
    found = interleave(
        sizes.rounds,
        {
            name: partial(redis.throughput, words, tools.folder, requests)
            for name, (words, requests) in supervisors.items()
        },
    )
    table.keep(found)
    base = found["native"].median
    for name, spread in found.items():
        speeds = [f"{n:,.0f}" for n in (spread.median, spread.low, spread.high)]
        table.rows.append((name, *speeds, f"{spread.median / base:.2f}"))
    ratio = found["inject, probability 0"].median / base
    table.aims.append(Aim("Redis at least 0.5 of native", f"{ratio:.2f}", ratio >= 0.5))
    table.notes.append(f"{redis.CLIENTS} clients on the same machine, one server thread")
    return table


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise Failed(f"no VmRSS in /proc/{pid}/status")
    return int(found[1])


def memory(tools: Tools, sizes: Sizes) -> Table:
    """The injector's own memory while a target makes millions of named calls."""
    table = Table("4. Memory of the injector", ("named calls", "resident KiB"))
    count = MARKS[-1]
    rule = "getppid:probability=1%:error=EPERM"
    target = [tools.calls, "marks", str(sizes.mark), str(count)]
    found: dict[int, int] = {}
    with running([*tools.inject("-q", "-e", rule), *target]) as process:
        assert process.stdin is not None and process.stdout is not None
        for mark in range(1, count + 1):
            calls = process.stdout.readline()  # the target waits for our byte
            if not calls:
                raise Failed("the measured program ended early")
            if mark in MARKS:
                found[int(calls)] = _resident(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait()
    table.raw = {str(calls): resident for calls, resident in found.items()}
    for calls, resident in found.items():
        table.rows.append((f"{calls:,}", f"{resident:,}"))
    numbers = list(found.values())
    grown = numbers[-1] - numbers[1]
    table.aims.append(
        Aim("memory does not grow", f"{grown:+} KiB from mark 2 to the last", grown <= GROWTH)
    )
    table.notes.append("one call in 100 is made to fail; the injector is looked at from outside")
    return table


def _to_first_instruction(command: list[str]) -> float:
    before = time.monotonic_ns()
    return (int(output(command)) - before) / 1e6


def scenario_file(tools: Tools) -> Path:
    """Return a shipped scenario, else a small one of our own."""
    shipped = sorted((HERE.parent / "scenarios").glob("*.yaml"))
    if shipped:
        return shipped[0]
    own = tools.folder / "small.yaml"
    own.write_text("rules:\n  - syscalls: [getppid]\n    probability: 0\n    error: EPERM\n")
    return own


def start_up(tools: Tools, sizes: Sizes) -> Table:
    """Milliseconds until the target's first instruction."""
    table = Table(
        "5. Start-up: milliseconds to the target's first instruction",
        ("variant", "median", "min", "max"),
    )
    file = scenario_file(tools)
    now = [tools.calls, "now"]
    commands = {
        "native": now,
        "inject -e": [*tools.inject("-e", f"getppid:{NEVER}"), *now],
        f"inject {file.name}": [*tools.inject(str(file)), *now],
    }
    if tools.strace_there:
        commands["strace --seccomp-bpf"] = [*tools.strace("getppid", bpf=True), *now]
    variants: dict[str, Callable[[], float]] = {}
    for name, command in commands.items():
        output(command)  # byte code and the page cache are warm
        variants[name] = partial(_to_first_instruction, command)
    found = interleave(sizes.starts, variants)
    table.keep(found)
    for name, spread in found.items():
        millis = [f"{n:.1f}" for n in (spread.median, spread.low, spread.high)]
        table.rows.append((name, *millis))
    for name in list(commands)[1:3]:
        took = found[name].median
        table.aims.append(Aim(f"{name} starts in 200 ms", f"{took:.0f} ms", took <= 200))
    return table


def _attached(supervisor: Callable[[int], list[str]], tools: Tools, count: int) -> float:
    """Nanoseconds of a call of a program that is attached to, timed from outside."""
    with running([tools.calls, "marks", str(count), "3"]) as target:
        assert target.stdin is not None and target.stdout is not None
        target.stdout.readline()
        with running(supervisor(target.pid)) as tracer:
            status = Path(f"/proc/{target.pid}/status")
            while "TracerPid:\t0" in status.read_text():
                if tracer.poll() is not None:
                    raise Failed(f"{' '.join(supervisor(target.pid))} ended early")
                time.sleep(0.01)
            for turn in range(2):  # the first for warming up
                begun = time.perf_counter_ns()
                target.stdin.write("\n")
                target.stdin.flush()
                target.stdout.readline()
                if turn:
                    return (time.perf_counter_ns() - begun) / count
    raise Failed("not measured")


def traced(tools: Tools, sizes: Sizes) -> Table:
    """Microseconds of a call under ptrace, beside strace's."""
    table = Table(
        "6. Under ptrace: microseconds per call",
        ("target", "variant", "median", "min", "max", "to strace"),
    )
    fault = "getppid:error=EPERM"
    strace = ["strace", "-f", "-qq", "-o", os.devnull]
    bpf = [*strace, "--seccomp-bpf", "-e", "trace=getppid", "-e", f"inject={fault}"]
    ptrace = tools.inject("-q", "--engine", "ptrace", "-e", fault)

    def ours(pid: int) -> list[str]:
        words = tools.inject("-q", "-e", f"read:fd=77:{NEVER}")
        at = words.index("run")
        return [*words[:at], "attach", str(pid), *(w for w in words[at + 1 :] if w != "--")]

    def theirs(pid: int) -> list[str]:
        return [
            *strace,
            "-e",
            "trace=read",
            "-e",
            "inject=read:error=EPERM:when=9999",
            "-p",
            str(pid),
        ]

    count = sizes.traced
    variants: dict[str, Callable[[], float]] = {
        "strace, error fired": partial(_per_call, bpf, tools, "getppid", count),
        "inject, error fired": partial(_per_call, ptrace, tools, "getppid", count),
        "strace, no match": partial(_attached, theirs, tools, count),
        "inject, no match": partial(_attached, ours, tools, count),
    }
    found = interleave(sizes.rounds, variants)
    table.keep(found)
    ratios = {}
    for kind, what in (("launched", "error fired"), ("attached", "no match")):
        for who in ("strace", "inject"):
            spread = found[f"{who}, {what}"]
            ratios[kind] = spread.median / found[f"strace, {what}"].median
            micros = [f"{n / 1e3:.2f}" for n in (spread.median, spread.low, spread.high)]
            table.rows.append((kind, f"{who}, {what}", *micros, f"{ratios[kind]:.2f}"))
    for kind, most in (("launched", 1.0), ("attached", 1.3)):
        aim = f"{kind}: at most {most} of strace"
        table.aims.append(Aim(aim, f"{ratios[kind]:.2f}", ratios[kind] <= most))
    return table


def _stall(tools: Tools, count: int, watched: bool) -> float:
    """Milliseconds of the longest of so many named calls."""
    rule = "getppid:probability=0.1%:error=EPERM"
    target = [tools.calls, "stall", str(count)]
    with running([*tools.inject("-q", "-e", rule), *target]) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        with watching(process.pid) if watched else contextlib.nullcontext():
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline()) / 1e6


def watched(tools: Tools, sizes: Sizes) -> Table:
    """What a dashboard that watches costs the target."""
    table = Table(
        "7. With a dashboard that watches",
        ("measured", "variant", "median", "min", "max", "to alone"),
    )
    rule = "read,write:probability=0.01%:error=EINTR"
    inject = tools.inject("-q", "-e", rule)
    calls = sizes.named * 4
    variants: dict[str, Callable[[], float]] = {
        "longest call, ms, alone": partial(_stall, tools, calls, False),
        "longest call, ms, watched": partial(_stall, tools, calls, True),
    }
    found = interleave(sizes.rounds, variants)
    if tools.redis_there:
        # One server: two differ by more than a watcher costs.
        with redis.serving(inject, tools.folder) as (session, port):

            def rate(seen: bool) -> float:
                with watching(session) if seen else contextlib.nullcontext():
                    return redis.rate(port, sizes.requests * 3)

            rates = {
                f"Redis SET a second, {name}": partial(rate, seen)
                for name, seen in (("alone", False), ("watched", True))
            }
            found |= interleave(2 * sizes.rounds, rates)
    table.keep(found)
    for name, spread in found.items():
        what, _, who = name.rpartition(", ")
        alone = found[f"{what}, alone"].median
        numbers = [f"{n:,.2f}" for n in (spread.median, spread.low, spread.high)]
        table.rows.append((what, who, *numbers, f"{spread.median / alone:.2f}"))
    more = found["longest call, ms, watched"].median - found["longest call, ms, alone"].median
    table.aims.append(Aim("longest call at most 5 ms longer", f"{more:+.2f} ms", more <= 5))
    if tools.redis_there:
        speeds = [found[f"Redis SET a second, {who}"].median for who in ("watched", "alone")]
        ratio = speeds[0] / speeds[1]
        table.aims.append(Aim("throughput within 5 %", f"{ratio:.3f}", ratio >= 0.95))
    return table


def imports(tools: Tools) -> list[Table]:
    """What the start-up of the injector itself spends on imports."""
    import subprocess
    import sys

    file = scenario_file(tools)
    tables = []
    for title, words in (("-e", ("-e", f"getppid:{NEVER}")), (file.name, (str(file),))):
        command = [sys.executable, "-X", "importtime", *tools.inject(*words)]
        if tools.injector[0] == sys.executable:
            command = [sys.executable, "-X", "importtime", *tools.inject(*words)[1:]]
        done = subprocess.run(
            [*command, tools.calls, "now"], capture_output=True, text=True, check=True
        )
        found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)", done.stderr)
        packages: dict[str, int] = {}
        for own, _, name in found:
            top = name.split(".")[0]
            if top in sys.stdlib_module_names:
                top = "the standard library"
            packages[top] = packages.get(top, 0) + int(own)
        modules = Table(
            f"Imports of inject run {title}: milliseconds, the dearest modules by their own",
            ("module", "own", "with what it imports"),
        )
        for own, all_, name in sorted(found, key=lambda row: -int(row[0]))[:10]:
            modules.rows.append((name, f"{int(own) / 1e3:.1f}", f"{int(all_) / 1e3:.1f}"))
        shares = Table(f"{len(found)} modules, by package", ("package", "own"))
        for top, own in sorted(packages.items(), key=lambda item: -item[1])[:10]:
            shares.rows.append((top, f"{own / 1e3:.1f}"))
        tables += [modules, shares]
    return tables
