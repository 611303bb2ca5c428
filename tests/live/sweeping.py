"""Run `inject sweep` and read its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from injector.campaigns.store import FindingRow, PointRow, RunRow, Store

from .harness import INJECT, finish


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep printed, returned and stored."""

    status: int
    out: str
    err: str
    points: tuple[PointRow, ...]
    runs: tuple[RunRow, ...]
    findings: tuple[FindingRow, ...]

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each run, by fault and mode."""
        return {run.key: run.verdict or "" for run in self.runs}

    @property
    def found(self) -> set[str]:
        """The fingerprints of what was found."""
        return {one.fingerprint for one in self.findings}


def sweep(
    folder: Path,
    arguments: Sequence[str],
    command: Sequence[str],
    *,
    db: str = "test.db",
    env: Mapping[str, str] | None = None,
    deadline: float = 100.0,
) -> Swept:
    """Run `inject sweep ARGUMENTS --db … -- COMMAND` in a folder and return what came of it."""
    path = folder / db
    behind = ["--", *command] if command else []
    words = [*INJECT, "sweep", "--db", str(path), *arguments, *behind]
    status, out, err = finish(words, cwd=folder, env=env, deadline=deadline)
    return read(path, status, out, err)


def read(path: Path, status: int = 0, out: str = "", err: str = "") -> Swept:
    """Read a campaign's file."""
    if not path.exists():
        return Swept(status, out, err, (), (), ())
    store = Store.open(path)
    try:
        return Swept(
            status, out, err, tuple(store.points()), tuple(store.runs()), tuple(store.findings())
        )
    finally:
        store.close()
