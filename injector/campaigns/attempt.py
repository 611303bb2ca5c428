"""One run of a campaign with all that the oracle asks about it: what it wrote, what it left.

A folder of its own for each run holds the copy of the template and the temporary files, so
that what is left behind can be told, and is taken away with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from injector.campaigns.folders import copy, copy_one, digests, empty
from injector.campaigns.points import Point, Recorder, watched
from injector.campaigns.trial import Bench, Fired, Job, Result, carry_out
from injector.campaigns.witness import END, Witness
from injector.words.model import Scenario

_TOLD = 8  # injections of a persistent fault; after them those on other descriptors still are
_KEPT = 4096  # characters of an output that nothing is wrong with
_NUMBER = re.compile(r":\[\d+\]$")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run left behind.

    Attributes:
        descriptors: what the first process had open at its end but 0 to 2, sorted; None where
            it did not end by itself.
        files: digests of the files in its working directory by name; empty without a template.
        names: the files that are there after the check.
        given: the files of the template.
        temporary: the files in its TMPDIR.
        kept: the folder that was kept for people.
    """

    descriptors: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
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
        facts = {name: getattr(self.facts, name) for name in Facts.__dataclass_fields__}
        return {**self.result.as_json(), "facts": facts}

    def kept(self, other: Attempted, whole: bool) -> dict[str, Any]:
        """Return what is kept of it, for JSON: of its files those that are not as in another run.

        Args:
            whole: with all of its output that we have.
        """
        kept = self.as_json()
        if not whole:
            for name in ("stdout", "stderr"):
                kept[name]["tail"] = kept[name]["tail"][-_KEPT:]
        facts, theirs = kept["facts"], other.facts
        facts["files"] = {n: d for n, d in facts["files"].items() if theirs.files.get(n) != d}
        facts["names"] = sorted({*facts["names"]} - {*theirs.names})
        facts["given"] = ()
        return kept

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
                tuple(facts["given"]),
                tuple(facts["temporary"]),
                facts["kept"],
            ),
        )


def attempt(wish: Attempt, bench: Bench) -> Attempted:
    """Carry it out in a place that is used again."""
    job = wish.job
    with _folder(bench, wish.keep) as folder:
        work, temporary = os.path.join(folder, "work"), os.path.join(folder, "tmp")
        if job.workdir is not None:
            copy(job.workdir, work)
        given = sorted(digests(work, read=False))
        calls = {*job.watched, END, *(watched(wish.wanted) if wish.record else ())}
        job = replace(
            job,
            workdir=None,
            cwd=work if job.workdir is not None else job.cwd,
            environment=_environment(job, temporary),
            watched=tuple(sorted(calls)),
            engine="ptrace" if wish.record else job.engine,
            told=_TOLD,
        )
        files: dict[str, str] = {}

        def look() -> None:
            files.update(digests(work))

        decider: Witness | None = None

        def decides(scenario: Scenario, seed: int) -> Witness:
            nonlocal decider
            decider = (
                Recorder(scenario, seed, wish.wanted, partial(_here, folder))
                if wish.record
                else Witness(scenario, seed)
            )
            return decider

        result = carry_out(job, decides, look, bench)
        facts = Facts(
            _descriptors(decider, folder),
            files,
            tuple(sorted(digests(work, read=False))),
            tuple(given),
            tuple(sorted(digests(temporary, read=False))),
            wish.keep,
        )
        fired = tuple(_fired_here(folder, one) for one in result.injections)
        if fired != result.injections:
            result = replace(result, injections=fired)
        return Attempted(result, facts, tuple(getattr(decider, "points", ())))


def _here(folder: str, text: str) -> str:
    """Return a text without the run's folder, which is another in each run."""
    if folder not in text:
        return text
    return text.replace(f"{folder}/work/", "").replace(f"{folder}/", "")


def _fired_here(folder: str, one: Fired) -> Fired:
    """Return a fault without the run's folder. There may be a fault at every call."""
    if folder not in one.args and folder not in one.path:
        return one
    return replace(one, args=_here(folder, one.args), path=_here(folder, one.path))


@contextmanager
def _folder(bench: Bench, keep: str) -> Iterator[str]:
    """Prepare the run's own folder; empty it, or move it to a place where it stays.

    To make and remove folders costs more than a short run. The next run takes another one where
    something is left, which would be given to it.
    """
    folder = bench.folder
    assert folder is not None  # a hand has one
    places = [os.path.join(folder, name) for name in ("work", "tmp")]
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(places[1], 0o700)
        except FileNotFoundError:  # the first time; or something has tidied up
            os.makedirs(places[1], 0o700)
    try:
        yield folder
    finally:
        if keep:
            with contextlib.suppress(OSError):
                shutil.move(folder, keep, copy_function=copy_one)
        if not all([empty(place) for place in places]):
            bench.move()


def _environment(job: Job, temporary: str) -> tuple[tuple[str, str], ...]:
    base = dict(os.environ if job.environment is None else job.environment)
    return tuple({**base, "TMPDIR": temporary}.items())


def _descriptors(decider: Witness | None, folder: str) -> tuple[str, ...] | None:
    if decider is None or decider.descriptors is None:
        return None
    return tuple(sorted(_NUMBER.sub("", _here(folder, target)) for target in decider.descriptors))
