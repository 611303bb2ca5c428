"""How fast a sweep finds what a shell loop over strace finds, and what many calls cost it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from measures import Aim, Table

from tools import DEADLINE, Failed, Sizes, Spread, Tools

FAULTS = (
    ("openat", "EACCES"),
    ("openat", "EMFILE"),
    ("read", "EIO"),
    ("write", "ENOSPC"),
    ("write", "EIO"),
    ("close", "EIO"),
)
BLOCK = 16

LOOP = """\
cp -r template base && (cd base && "$program" "$blocks") || exit 1
for fault in $faults; do
  call=${fault%%:*}
  for more in '' +; do
    n=1
    while :; do
      rm -rf work && cp -r template work && cd work
      timeout 5 strace -f -qq -o ../log -e "trace=$call" \\
        -e "inject=$call:error=${fault##*:}:when=$n$more" "$program" "$blocks" >../out 2>../err
      status=$?
      cd ..
      echo run >&3
      grep -q INJECTED log || break
      if [ $status -eq 124 ]; then echo "hang $fault"
      elif [ $status -ge 128 ]; then echo "crash $fault"
      elif [ $status -eq 0 ] && ! cmp -s base/output work/output; then echo "silent $fault"
      fi
      n=$((n + 1))
    done
  done
done 3>runs
"""
"""What one would write by hand: a fresh folder for each run, a look at what came of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """A campaign: what it took, and which faults showed what."""

    seconds: float
    runs: int
    found: frozenset[str]

    @property
    def rate(self) -> float:
        """Runs a second."""
        return self.runs / self.seconds


def _template(folder: Path, blocks: int) -> None:
    (folder / "template").mkdir(parents=True)
    (folder / "template" / "input").write_bytes(os.urandom(BLOCK * blocks))


def _loop(folder: Path, program: str, blocks: int) -> Done:
    _template(folder, blocks)
    faults = " ".join(f"{name}:{error}" for name, error in FAULTS)
    begun = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", LOOP],
        cwd=folder,
        env={**os.environ, "program": program, "blocks": str(blocks), "faults": faults},
        capture_output=True,
        text=True,
        timeout=DEADLINE * 5,
        check=False,
    )
    took = time.monotonic() - begun
    runs = len((folder / "runs").read_text().splitlines())
    if done.returncode or not runs:
        raise Failed(f"the loop over strace: {done.stderr}")
    return Done(took, runs, frozenset(done.stdout.splitlines()))


def _sweep(tools: Tools, folder: Path, program: str, blocks: int, *words: str) -> Done:
    _template(folder, blocks)
    rules = [word for name, error in FAULTS for word in ("-e", f"{name}:error={error}")]
    command = [*tools.injector, "sweep", "-q", "--db", "x.db", "--workdir", "template"]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, *words, *rules, "--", program, str(blocks)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 5,
        check=False,
    )
    took = time.monotonic() - begun
    if done.returncode != 1:
        raise Failed(f"inject sweep: status {done.returncode}: {done.stderr}")
    db = sqlite3.connect(folder / "x.db")
    try:
        # Without faults twice, the recording, and each finding again: they are runs too.
        runs = db.execute("SELECT 3 + count(*) FROM run").fetchone()[0]
        runs += db.execute("SELECT count(*) FROM finding").fetchone()[0]
        found = db.execute(
            "SELECT DISTINCT verdict, syscall, fault FROM run WHERE fingerprint IS NOT NULL"
        ).fetchall()
    finally:
        db.close()
    names = (
        f"{one[0]} {one[1]}:{one[2].partition('error=')[2].partition(':')[0]}" for one in found
    )
    return Done(took, runs, frozenset(names))


def against_strace(tools: Tools, sizes: Sizes) -> Table:
    """Runs a second, and seconds to the same findings."""
    table = Table(
        "8. A sweep of a short program beside a shell loop over strace",
        ("variant", "runs", "seconds", "min", "max", "runs a second", "findings"),
    )
    if not tools.strace_there:
        table.notes.append("strace is not installed")
        return table
    program = tools.compile("blocks")
    blocks = 100 if sizes.rounds > 1 else 5
    found: dict[str, list[Done]] = {}
    for turn in range(min(sizes.rounds, 3)):
        for name, words in (
            ("shell loop over strace", None),
            ("inject sweep --mode nth", ("--mode", "nth")),
            ("inject sweep", ()),
        ):
            folder = tools.folder / f"sweep-{turn}-{name.replace(' ', '')}"
            done = (
                _loop(folder, program, blocks)
                if words is None
                else _sweep(tools, folder, program, blocks, *words)
            )
            found.setdefault(name, []).append(done)
            shutil.rmtree(folder)
    spreads = {name: Spread(tuple(one.seconds for one in all_)) for name, all_ in found.items()}
    rates = {name: Spread(tuple(one.rate for one in all_)) for name, all_ in found.items()}
    table.keep(spreads)
    for name, all_ in found.items():
        spread = spreads[name]
        seconds = [f"{value:.2f}" for value in (spread.median, spread.low, spread.high)]
        rate = f"{rates[name].median:.0f}"
        table.rows.append((name, str(all_[0].runs), *seconds, rate, str(len(all_[0].found))))
    loop, nth, kinds = (list(found)[i] for i in range(3))
    same = all(done.found == found[loop][0].found for all_ in found.values() for done in all_)
    ratio = rates[nth].median / rates[loop].median
    faster = spreads[loop].median / spreads[kinds].median
    table.aims.append(
        Aim("sweep: 5 times the runs a second of strace's loop", f"{ratio:.1f}", ratio >= 5)
    )
    table.aims.append(
        Aim(
            "sweep: the same findings 5 times faster than strace's loop",
            f"{faster:.1f}, {'the same' if same else 'other ones'}",
            faster >= 5 and same,
        )
    )
    table.notes.append(f"copies {blocks} blocks; each call fails once, and from there on")
    return table


def growth(tools: Tools, sizes: Sizes) -> Table:
    """What a campaign costs for a program with many calls of few kinds."""
    table = Table(
        "9. A sweep of programs with more and more calls",
        ("blocks", "calls", "kinds", "runs", "seconds"),
    )
    program = tools.compile("blocks")
    runs = []
    for blocks in (100, 1_000, 10_000) if sizes.rounds > 1 else (10, 100):
        folder = tools.folder / f"growth-{blocks}"
        command = [*tools.injector, "sweep", "-q", "--db", "x.db", "--workdir", "template"]
        _template(folder, blocks)
        begun = time.monotonic()
        done = subprocess.run(
            [*command, "--", program, str(blocks)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE * 5,
            check=False,
        )
        took = time.monotonic() - begun
        if done.returncode != 1:
            raise Failed(f"inject sweep: status {done.returncode}: {done.stderr}")
        db = sqlite3.connect(folder / "x.db")
        points, kinds = db.execute("SELECT count(*), count(DISTINCT kind) FROM point").fetchone()
        runs.append(db.execute("SELECT count(*) FROM run").fetchone()[0])
        db.close()
        shutil.rmtree(folder)
        table.rows.append((f"{blocks:,}", f"{points:,}", str(kinds), str(runs[-1]), f"{took:.2f}"))
        table.raw[str(blocks)] = {"points": points, "kinds": kinds, "runs": runs[-1], "s": took}
    table.aims.append(
        Aim("sweep: runs grow with kinds, not with calls", str(runs), len(set(runs)) == 1)
    )
    return table
