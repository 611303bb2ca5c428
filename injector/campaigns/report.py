"""What a report says of a campaign: its databases merged, its runs counted and ordered.

Reads only. The forms (a table, JSON, JUnit, annotations, a page) are in `injector.faces.report`;
they all say what is computed here. Texts are the target's own and may hold anything.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from injector.campaigns.outcome import Verdict
from injector.campaigns.repeat import repeat_line
from injector.campaigns.stacks import site_function
from injector.campaigns.store import SCHEMA, Campaign, FindingRow, PointRow, RunRow, Store
from injector.words.errors import InjectError

FAILURES = tuple(one.value for one in Verdict if one.failed)
"""The verdicts that are failures of the program, the worst first."""

UNREACHED = Verdict.UNREACHED.value
PLANNED = "planned"
VERDICTS = (*FAILURES, "error", "handled", "unaffected", UNREACHED, PLANNED)
"""Every outcome of a run, the worst first: the store's verdicts, and what no verdict is of."""

MEANINGS = {
    "crash": "a process died of a fatal signal",
    "hang": "it did not end in its time",
    "check": "the check failed afterwards",
    "silent": "status 0, and another output",
    "storm": "the call was tried again and again",
    "leak": "descriptors or files were left behind",
    "error": "inject could not make this run",
    "handled": "the program noticed and said so",
    "unaffected": "it did what it does without the fault",
    UNREACHED: "the call was not made in this run",
    PLANNED: "not run yet",
}

_WHERE = frozenset(("shard", "cwd", "limit"))
"""Options in which shards of one campaign differ: each job of a CI has a folder and a speed of
its own."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the campaign, made or planned. `result` is what the trial found, as stored."""

    key: str
    number: int
    site: str
    syscall: str
    fault: str
    mode: str
    kind: str
    rules: tuple[str, ...]
    verdict: str  # of VERDICTS
    fingerprint: str
    status: int | None
    signal: str | None
    seconds: float
    detail: str
    result: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether the program failed in it."""
        return self.verdict in FAILURES

    def output(self, name: str) -> str:
        """Return the end of what `stdout`, `stderr` or `check` printed."""
        kept = self.result.get(name, self.result.get(f"{name}_tail"))
        if isinstance(kept, Mapping):
            kept = kept.get("tail")
        return kept if isinstance(kept, str) else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Failures of one kind and fingerprint. `flaky` is None where it was not verified."""

    fingerprint: str
    verdict: str
    title: str
    runs: int
    flaky: bool | None
    command: str
    run: Run | None
    point: PointRow | None


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of call, a row of the matrix: same system call from the same stack."""

    syscall: str
    function: str
    callers: tuple[str, ...]  # of the function, own frames only
    kind: str
    cells: Mapping[str, tuple[Run, ...]]  # by fault


@dataclass(frozen=True, slots=True)
class Source:
    """One database: its path, which shard of how many it is, its own runs still to make."""

    path: Path
    shard: tuple[int, int] | None
    missing: int


@dataclass(frozen=True, slots=True)
class Report:
    """A campaign as it stands."""

    campaign: Campaign
    points: Mapping[str, PointRow]
    runs: tuple[Run, ...]
    findings: tuple[Finding, ...]
    sources: tuple[Source, ...]
    _commands: Mapping[str, str] = field(init=False, repr=False)  # of findings, by key of run

    def __post_init__(self) -> None:
        """Index what is asked for each run."""
        known = {one.run.key: one.command for one in self.findings if one.run and one.command}
        object.__setattr__(self, "_commands", known)

    @property
    def missing(self) -> int:
        """How many planned runs are not made."""
        return sum(run.verdict == PLANNED for run in self.runs)

    @property
    def done(self) -> int:
        """How many runs are made."""
        return len(self.runs) - self.missing

    @property
    def kinds(self) -> int:
        """How many kinds of call: same call from the same stack."""
        return len({point.kind for point in self.points.values()})

    @property
    def seconds(self) -> float:
        """What all runs took together."""
        return sum(run.seconds for run in self.runs)

    @property
    def verdicts(self) -> dict[str, int]:
        """Count the runs of each verdict there is, the worst first."""
        counted = Counter(run.verdict for run in self.runs)
        return {verdict: counted[verdict] for verdict in VERDICTS if counted[verdict]}

    @property
    def shards_missing(self) -> tuple[int, ...]:
        """Return the shards of which no database is given."""
        given = [one.shard for one in self.sources if one.shard]
        if not given or len(given) < len(self.sources):
            return ()
        return tuple(sorted(set(range(1, given[0][1] + 1)) - {number for number, _ in given}))

    def point(self, run: Run) -> PointRow:
        """Return where a run's fault was, as far as it is known."""
        known = self.points.get(run.site)
        return known or PointRow(run.site, run.syscall, "", "", (), run.kind)

    def repeat(self, run: Run) -> str:
        """Return the command that makes one run's faults again."""
        if known := self._commands.get(run.key):
            return known
        options = self.campaign.options
        return repeat_line(
            [word.replace("{run}", str(run.number)) for word in self.campaign.command],
            run.rules,
            run.number,
            verdict=run.verdict,
            fingerprint=run.fingerprint,
            signal=run.signal,
            prints=bool((self.campaign.baseline.get("stdout") or {}).get("size")),
            limit=options.get("limit"),
            setup=options.get("setup"),
            check=options.get("check"),
            teardown=options.get("teardown"),
            workdir=options.get("workdir"),
        )

    def rows(self) -> tuple[Row, ...]:
        """Return the matrix: each kind of call with its runs by fault.

        System calls whose faults made the program fail come first; each has its kinds in the
        order of the runs.
        """
        cells: dict[tuple[str, str], dict[str, list[Run]]] = {}
        first: dict[tuple[str, str], Run] = {}
        for run in self.runs:
            stack = self.point(run).stack
            # The kind is of the errno too in some campaigns; a row is of the call alone.
            key = (run.syscall, "\n".join(stack) or run.kind)
            first.setdefault(key, run)
            cells.setdefault(key, {}).setdefault(run.fault, []).append(run)
        rows = []
        for key, by_fault in cells.items():
            function, callers = site_function(self.point(first[key]).stack)
            kept = {fault: tuple(runs) for fault, runs in by_fault.items()}
            rows.append(Row(first[key].syscall, function, callers, first[key].kind, kept))
        failing = {run.syscall for run in self.runs if run.failed}
        return tuple(sorted(rows, key=lambda row: (row.syscall not in failing, row.syscall)))

    def faults(self) -> tuple[str, ...]:
        """Return the matrix's columns: the faults that most kinds of calls can have first."""
        kinds = Counter(fault for row in self.rows() for fault in row.cells)
        return tuple(sorted(kinds, key=lambda fault: (-kinds[fault], fault)))


def worst(runs: Sequence[Run]) -> str:
    """Return the worst verdict of some runs."""
    return min((run.verdict for run in runs), key=VERDICTS.index)


def _showing(finding: Finding) -> tuple[bool, float]:
    """Return what a finding of several shards is shown by: that repeats, else the first run."""
    return finding.flaky is not False, finding.run.number if finding.run else math.inf


def rank(finding: Finding | FindingRow) -> tuple[int, bool, int, str]:
    """Return what findings are ordered by, the worst first."""
    flaky = finding.flaky is True
    return VERDICTS.index(finding.verdict), flaky, -finding.runs, finding.title


def fault_name(fault: str) -> str:
    """Return a fault as a column is headed: `EIO`, `short 1`."""
    return fault.removeprefix("error=").replace("=", " ")


# ---- databases


def load(paths: Sequence[Path]) -> Report:
    """Read one campaign from its databases.

    Raises:
        InjectError: a file is none of a sweep, or they are of different campaigns.
    """
    parts = [_load_one(path) for path in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        differs = _difference(first, part)
        if differs:
            raise InjectError(
                f"{paths[0]} and {path} are not of the same campaign: {differs}",
                help="report each by itself",
            )
    runs: dict[str, Run] = {}
    for part in parts:
        for run in part.runs:
            known = runs.get(run.key)
            if known is None or known.verdict == PLANNED:
                runs[run.key] = run
    points: dict[str, PointRow] = {}
    for part in parts:
        points.update(part.points)
    return Report(
        replace(first.campaign, made=min(part.campaign.made for part in parts)),
        points,
        tuple(sorted(runs.values(), key=lambda run: (run.number, run.key))),
        _merged([one for part in parts for one in part.findings]),
        tuple(one for part in parts for one in part.sources),
    )


def _difference(one: Report, other: Report) -> str:
    mine, theirs = one.campaign, other.campaign
    if mine.command != theirs.command:
        return f"the commands are {shlex.join(mine.command)} and {shlex.join(theirs.command)}"
    names = sorted((mine.options.keys() | theirs.options.keys()) - _WHERE)
    differ = [
        f"{name} is {_value(mine.options, name)} and {_value(theirs.options, name)}"
        for name in names
        if mine.options.get(name) != theirs.options.get(name)
    ]
    if mine.version != theirs.version:
        differ.append(f"they were made by inject {mine.version} and {theirs.version}")
    splits = [source.shard[1] for part in (one, other) for source in part.sources if source.shard]
    if len(set(splits)) > 1:
        differ.append(f"one is split into {splits[0]} shards, the other into {splits[1]}")
    return "; ".join(differ)


def _value(options: Mapping[str, Any], name: str) -> str:
    return json.dumps(options[name]) if name in options else "not said"


def _shard(options: Mapping[str, Any]) -> tuple[int, int] | None:
    match options.get("shard"):
        case [int(number), int(of)]:
            return number, of
        case str(text) if re.fullmatch(r"\d+/\d+", text):
            number, of = map(int, text.split("/"))
            return number, of
        case _:
            return None


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put findings of one fingerprint together; one that was reproduced anywhere is not flaky.

    Of several it is shown by the one whose run is first in the plan, as in an undivided sweep.
    """
    found: dict[str, Finding] = {}
    for one in findings:
        known = found.get(one.fingerprint)
        if known is None:
            found[one.fingerprint] = one
            continue
        better = min(known, one, key=_showing)
        verified = [flaky for flaky in (known.flaky, one.flaky) if flaky is not None]
        found[one.fingerprint] = replace(
            better, runs=known.runs + one.runs, flaky=all(verified) if verified else None
        )
    return tuple(sorted(found.values(), key=rank))


def _load_one(path: Path) -> Report:
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InjectError(f"cannot read {path}: {error.strerror}") from error
    if start != b"SQLite format 3\0":
        raise _not_ours(path)
    try:
        with closing(_connect(path)) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise InjectError(
                    f"{path} was written by a newer inject (format {version}, known is {SCHEMA})",
                    help="report it with that version",
                )
            if version != SCHEMA:
                raise _not_ours(path)
            # One transaction: a sweep may be writing meanwhile.
            database.execute("BEGIN")
            return _read(path, Store(path, database))
    except sqlite3.Error as error:
        raise InjectError(f"cannot read {path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InjectError(f"{path} holds what inject does not write: {error!r}") from error


def _not_ours(path: Path) -> InjectError:
    return InjectError(
        f"{path} is no database of inject sweep", help="inject sweep --db FILE -- CMD makes one"
    )


def _connect(path: Path) -> sqlite3.Connection:
    """Open for reading only: what a CI keeps is often in a folder that nobody may write to."""
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
    database = _opened(uri)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        database.close()
        if Path(f"{path}-wal").exists():
            raise
        # A write-ahead log cannot be opened where none can be made, and there is none.
        database = _opened(f"{uri}&immutable=1")
    return database


def _opened(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, isolation_level=None)
    database.row_factory = sqlite3.Row
    database.text_factory = os.fsdecode
    return database


def _read(path: Path, store: Store) -> Report:
    campaign = store.campaign()
    shard = _shard(campaign.options)
    points = {point.site: point for point in store.points()}
    rows = list(store.runs())
    runs = {row.key: _run(row) for row in rows}
    findings = []
    for row in store.findings():
        run = runs.get(row.run)
        point = points.get(run.site) if run else None
        title = row.title or row.fingerprint
        verdict = _known(row.verdict)
        findings.append(
            Finding(row.fingerprint, verdict, title, row.runs, row.flaky, row.command, run, point)
        )
    missing = sum(
        row.state == "planned" and (shard is None or row.shard == shard[0]) for row in rows
    )
    return Report(
        campaign, points, tuple(runs.values()), tuple(findings), (Source(path, shard, missing),)
    )


def _run(row: RunRow) -> Run:
    return Run(
        row.key,
        row.number,
        row.site,
        row.syscall,
        row.fault,
        row.mode,
        row.kind,
        row.rules,
        _verdict(row),
        row.fingerprint or "",
        row.status,
        row.signal,
        row.seconds or 0.0,
        row.detail,
        row.result or {},
    )


def _verdict(row: RunRow) -> str:
    if row.state != "done":
        return PLANNED
    verdict = _known(row.verdict)
    # A failure is one, whatever made it.
    if not row.fired and verdict not in (*FAILURES, "error"):
        return UNREACHED
    return verdict


def _known(verdict: str | None) -> str:
    if verdict not in VERDICTS:
        raise ValueError(f"no verdict is called {verdict}")
    return verdict
