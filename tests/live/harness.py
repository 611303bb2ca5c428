"""Run `inject` on a real program, with a deadline, and read what it left.

Everything started here is ended here: the command runs in a session of its own,
which is killed when the deadline passes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.session.journal import read

DEADLINE = 60.0
ENGINE = "INJECT_TEST_ENGINE"
INJECT = (sys.executable, "-m", "injector")


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of `inject` printed, returned and journalled."""

    status: int
    out: str
    err: str
    events: tuple[dict[str, Any], ...]

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the journal's lines of one kind."""
        return [line for line in self.events if line["event"] == event]

    @property
    def injections(self) -> list[dict[str, Any]]:
        """The faults, in journal order."""
        return self.of("injection")

    @property
    def sites(self) -> list[tuple[str, str, str]]:
        """Site, rule and fault of each injection, sorted: the same in each run of a seed."""
        return sorted((one["site"], one["rule"], one["fault"]) for one in self.injections)


def inject(
    arguments: Sequence[str],
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: str = "",
    deadline: float = DEADLINE,
) -> Run:
    """Run `inject run ARGUMENTS --journal … -- COMMAND` and return what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal.jsonl")
        engine = [f"--engine={name}"] if (name := os.environ.get(ENGINE)) else []
        words = [*INJECT, "run", *engine, "--journal", str(journal), *arguments, "--", *command]
        status, out, err = finish(words, env=env, cwd=cwd, stdin=stdin, deadline=deadline)
        events = tuple(read(journal)) if journal.exists() else ()
    return Run(status, out, err, events)


def finish(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: str = "",
    deadline: float = DEADLINE,
) -> tuple[int, str, str]:
    """Run a command to its end; status (negative: by that signal), stdout, stderr."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=deadline)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"no end after {deadline} s: {words}\n{out}\n{err}") from None
    return process.returncode, out, err
