"""One run of a campaign with all that the oracle asks about it: what it wrote, what it left.

A folder of its own for each run holds the copy of the template and the temporary files, so
that what is left behind can be told, and is taken away with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from injector.campaigns.points import Point, Recorder, watched
from injector.campaigns.trial import Job, Result, carry_out
from injector.campaigns.witness import END, Witness
from injector.words.model import Scenario

_NUMBER = re.compile(r":\[\d+\]$")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run left behind.

    Attributes:
        descriptors: what the first process had open at its end but 0 to 2, sorted; None where
            it did not end by itself.
        files: digests of the files in its working directory by name; empty without a template.
        names: the files that are there after the check.
        temporary: the files in its TMPDIR.
        kept: the folder that was kept for people.
    """

    descriptors: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    temporary: tuple[str, ...] = ()
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A Job, and what to do besides.

    Attributes:
        record: write down every call as a point.
        wanted: the rules whose matches are points; None: what is plausible.
        keep: a folder to move the run's own folder to, "" to remove it.
    """

    job: Job
    record: bool = False
    wanted: Scenario | None = None
    keep: str = ""


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of an Attempt."""

    result: Result
    facts: Facts
    points: tuple[Point, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON: the Result's fields, and the facts."""
        return {**self.result.as_json(), "facts": asdict(self.facts)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Attempted:
        """Return what `as_json` gave."""
        facts = fields["facts"]
        found = facts["descriptors"]
        return cls(
            Result.from_json(fields),
            Facts(
                None if found is None else tuple(found),
                facts["files"],
                tuple(facts["names"]),
                tuple(facts["temporary"]),
                facts["kept"],
            ),
        )


def attempt(wish: Attempt) -> Attempted:
    """Carry it out."""
    job = wish.job
    with _folder(wish.keep) as (folder, kept):
        work, temporary = os.path.join(folder, "work"), os.path.join(folder, "tmp")
        os.mkdir(temporary)
        if job.workdir is not None:
            shutil.copytree(job.workdir, work, symlinks=True)
        calls = {*job.watched, END, *(watched(wish.wanted) if wish.record else ())}
        job = replace(
            job,
            workdir=None,
            cwd=work if job.workdir is not None else job.cwd,
            environment=_environment(job, temporary),
            watched=tuple(sorted(calls)),
            engine="ptrace" if wish.record else job.engine,
        )
        files: dict[str, str] = {}

        def look() -> None:
            if wish.job.workdir is not None:
                files.update(digests(work))

        decider: Witness | None = None

        def decides(scenario: Scenario, seed: int) -> Witness:
            nonlocal decider
            decider = (
                Recorder(scenario, seed, wish.wanted) if wish.record else Witness(scenario, seed)
            )
            return decider

        result = carry_out(job, decides, look)
        names = sorted(digests(work, read=False)) if wish.job.workdir is not None else []
        facts = Facts(
            _descriptors(decider, folder),
            files,
            tuple(names),
            tuple(sorted(digests(temporary, read=False))),
            kept,
        )
        return Attempted(result, facts, tuple(getattr(decider, "points", ())))


@contextmanager
def _folder(keep: str) -> Iterator[tuple[str, str]]:
    """Make the run's own folder; take it away, or move it to a place where it stays."""
    folder = tempfile.mkdtemp(prefix="inject-run-")
    try:
        yield folder, keep
    finally:
        if keep:
            with contextlib.suppress(OSError):
                shutil.move(folder, keep)
        remove(folder)


def remove(folder: str) -> None:
    """Remove a folder, also what the target made read-only in it."""
    for here, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(here, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _environment(job: Job, temporary: str) -> tuple[tuple[str, str], ...]:
    base = dict(os.environ if job.environment is None else job.environment)
    return tuple({**base, "TMPDIR": temporary}.items())


def _descriptors(decider: Witness | None, folder: str) -> tuple[str, ...] | None:
    if decider is None or decider.descriptors is None:
        return None
    return tuple(
        sorted(
            _NUMBER.sub("", target).replace(f"{folder}/", "") for target in decider.descriptors
        )
    )


def digests(top: str, *, read: bool = True) -> dict[str, str]:
    """Return a digest of each file below a folder by its name in it; "" unless it is read."""
    found: dict[str, str] = {}
    for here, folders, files in os.walk(top):
        for name in (*files, *(one for one in folders if os.path.islink(os.path.join(here, one)))):
            path = os.path.join(here, name)
            found[os.path.relpath(path, top)] = _digest(path) if read else ""
        if not files and not folders and here != top:
            found[os.path.relpath(here, top) + "/"] = ""
    return found


def _digest(path: str) -> str:
    try:
        if os.path.islink(path):
            return f"-> {os.readlink(path)}"
        if not os.path.isfile(path):
            return "special"
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"? {error.strerror}"
