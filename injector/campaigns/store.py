"""A campaign on disk: one SQLite file, whole after a `kill -9` at any moment.

Every result is committed by itself, with the write-ahead log, so that what a run taught is kept
whatever ends us. The plan is written in one transaction: a file has all of it or nothing.
One campaign a file; a version number in `PRAGMA user_version` grows with the schema.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from injector.words.errors import InjectError

SCHEMA = 1
_APPLICATION = 0x494E_4A43  # "INJC": PRAGMA application_id, so that file(1) and we know it

Json: TypeAlias = dict[str, Any]
Mode: TypeAlias = Literal["once", "persistent", "nth", "second"]

_TABLES = """
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    made TEXT NOT NULL,
    version TEXT NOT NULL,
    command TEXT NOT NULL,
    options TEXT NOT NULL,
    baseline TEXT NOT NULL
);
CREATE TABLE point (
    site TEXT PRIMARY KEY,
    syscall TEXT NOT NULL,
    args TEXT NOT NULL,
    path TEXT NOT NULL,
    stack TEXT NOT NULL,
    kind TEXT NOT NULL
);
CREATE TABLE run (
    key TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    site TEXT NOT NULL,
    syscall TEXT NOT NULL,
    fault TEXT NOT NULL,
    mode TEXT NOT NULL,
    kind TEXT NOT NULL,
    rules TEXT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT,
    fingerprint TEXT,
    status INTEGER,
    signal TEXT,
    fired INTEGER,
    seconds REAL,
    detail TEXT NOT NULL DEFAULT '',
    result TEXT,
    shard INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX run_by_number ON run (number);
CREATE TABLE recorded (
    key TEXT PRIMARY KEY
);
CREATE TABLE finding (
    fingerprint TEXT PRIMARY KEY,
    verdict TEXT NOT NULL,
    run TEXT NOT NULL REFERENCES run (key),
    runs INTEGER NOT NULL,
    flaky INTEGER,
    command TEXT NOT NULL,
    title TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a file's runs have in common. `baseline` is the Result of the run without faults.

    `options` are those that say what is run; how it is run (jobs, a cluster) is none of them.
    """

    made: str  # ISO 8601, UTC
    version: str
    command: tuple[str, ...]
    options: Json
    baseline: Json


@dataclass(frozen=True, slots=True)
class PointRow:
    """One call of the recording, where a fault can be put. `stack` is innermost first."""

    site: str
    syscall: str
    args: str
    path: str
    stack: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: planned, and after it what came of it.

    `fault` is in a rule's words (`error=EIO`), `rules` are whole rules in one line each.
    `fired` is 0 where the program never came to the fault. `shard` is the part of the
    campaign that the run belongs to, from 1.
    """

    key: str
    number: int
    site: str
    syscall: str
    fault: str
    mode: Mode
    kind: str
    rules: tuple[str, ...]
    state: Literal["planned", "done"] = "planned"
    verdict: str | None = None
    fingerprint: str | None = None
    status: int | None = None
    signal: str | None = None
    fired: bool | None = None
    seconds: float | None = None
    detail: str = ""
    result: Json | None = None
    shard: int = 1


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A failure of the target, however many runs showed it; `run` is the key of the first.

    `flaky` is None while it was not repeated, False when it came again, True when it did not.
    """

    fingerprint: str
    verdict: str
    run: str
    runs: int
    flaky: bool | None
    command: str
    title: str


class Store:
    """One campaign's file, open. Not to be shared between processes that write."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._claim: socket.socket | None = None

    # -- opening -----------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, campaign: Campaign) -> Store:
        """Make a file for a new campaign, claimed by us.

        Raises:
            InjectError: there is one already, or it cannot be written.
        """
        store = cls(path, _connect(path))
        try:
            store.claim()
            store._require_vacant()
            with store._transaction() as db:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION}")
                db.execute(f"PRAGMA user_version = {SCHEMA}")
                db.execute(
                    "INSERT INTO campaign VALUES (1, ?, ?, ?, ?, ?)",
                    (
                        campaign.made,
                        campaign.version,
                        _text(campaign.command),
                        _text(campaign.options),
                        _text(campaign.baseline),
                    ),
                )
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def require_vacant(cls, path: Path) -> None:
        """Refuse a file that `create` would refuse.

        Raises:
            InjectError: it is not vacant.
        """
        if path.exists():
            store = cls(path, _connect(path))
            try:
                store._require_vacant()
            finally:
                store.close()

    def _require_vacant(self) -> None:
        if _version(self.path, self._db):
            raise InjectError(
                f"{self.path} holds a campaign already",
                help="--resume goes on with it; --db FILE takes another file",
            )

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a campaign's file.

        Raises:
            InjectError: there is none, or it is not one that we can read.
        """
        if not path.exists():
            raise InjectError(f"there is no {path}", help="inject sweep makes it")
        store = cls(path, _connect(path))
        try:
            if not _version(path, store._db):
                raise InjectError(
                    f"{path} holds no campaign", help="inject sweep --db FILE -- CMD makes one"
                )
        except BaseException:
            store.close()
            raise
        return store

    def claim(self) -> None:
        """Keep other sweeps from writing to this file for as long as we live.

        Raises:
            InjectError: another one does.
        """
        status = self.path.stat()
        claim = socket.socket(socket.AF_UNIX)
        try:
            # An abstract name goes with its process, whatever ends that; a file would not.
            claim.bind(f"\0inject-sweep-{status.st_dev}-{status.st_ino}")
        except OSError as error:
            claim.close()
            raise InjectError(
                f"another sweep is writing to {self.path}",
                help="wait for its end, or say --db FILE",
            ) from error
        self._claim = claim

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    # -- reading -----------------------------------------------------------------

    def campaign(self) -> Campaign:
        """Return what the runs have in common."""
        row = self._db.execute("SELECT * FROM campaign").fetchone()
        return Campaign(
            row["made"],
            row["version"],
            tuple(json.loads(row["command"])),
            json.loads(row["options"]),
            json.loads(row["baseline"]),
        )

    def points(self) -> Iterator[PointRow]:
        """Yield the calls of the recording, in its order."""
        for row in self._db.execute("SELECT * FROM point ORDER BY rowid"):
            yield PointRow(**{**dict(row), "stack": tuple(json.loads(row["stack"]))})

    def runs(self, where: str = "1", values: Sequence[Any] = ()) -> Iterator[RunRow]:
        """Yield runs by their numbers; `where` is SQL on the columns."""
        for row in self._db.execute(f"SELECT * FROM run WHERE {where} ORDER BY number", values):
            yield _run(row)

    def run(self, key: str) -> RunRow | None:
        """Return one run."""
        row = self._db.execute("SELECT * FROM run WHERE key = ?", (key,)).fetchone()
        return _run(row) if row is not None else None

    def findings(self) -> Iterator[FindingRow]:
        """Yield the failures, in the order in which they were found."""
        for row in self._db.execute("SELECT * FROM finding ORDER BY rowid"):
            flaky = None if row["flaky"] is None else bool(row["flaky"])
            yield FindingRow(**{**dict(row), "flaky": flaky})

    def counts(self, shard: int) -> tuple[int, int]:
        """Return how many runs a shard has, and how many of them were made."""
        row = self._db.execute(
            "SELECT count(*), coalesce(sum(state = 'done' AND verdict != 'error'), 0) "
            "FROM run WHERE shard = ?",
            (shard,),
        ).fetchone()
        return row[0], row[1]

    def verdicts(self) -> dict[str, int]:
        """Return how many of the done runs had which verdict."""
        found = self._db.execute(
            "SELECT verdict, count(*) FROM run WHERE state = 'done' GROUP BY verdict"
        )
        return {row[0]: row[1] for row in found}

    def recorded(self) -> frozenset[str]:
        """Return the keys of the runs whose faults a recording was made under."""
        return frozenset(row[0] for row in self._db.execute("SELECT key FROM recorded"))

    # -- writing -----------------------------------------------------------------

    def plan(
        self, points: Iterable[PointRow], runs: Iterable[RunRow], recorded: str | None = None
    ) -> None:
        """Add points and planned runs, all of them or none; what is there stays.

        Args:
            recorded: the key of the run whose faults the points were recorded under.
        """
        with self._transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?)",
                ((p.site, p.syscall, p.args, p.path, _text(p.stack), p.kind) for p in points),
            )
            db.executemany(_insert("OR IGNORE"), map(_row, runs))
            if recorded is not None:
                db.execute("INSERT OR IGNORE INTO recorded VALUES (?)", (recorded,))

    def done(self, run: RunRow, finding: FindingRow | None = None) -> None:
        """Write what came of a run, which is done, and the finding that it shows."""
        with self._transaction() as db:
            db.execute(_insert("OR REPLACE"), _row(run))
            if finding is not None:
                self._put(finding)

    def found(self, finding: FindingRow) -> None:
        """Write a finding, new or known better."""
        with self._transaction():
            self._put(finding)

    def _put(self, finding: FindingRow) -> None:
        self._db.execute(
            "INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) "
            "DO UPDATE SET verdict = excluded.verdict, run = excluded.run, "
            "runs = excluded.runs, flaky = excluded.flaky, command = excluded.command, "
            "title = excluded.title",
            _finding(finding),
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
        except sqlite3.Error as error:
            raise InjectError(
                f"cannot write to {self.path}: {error}",
                help="what was written before is kept; --resume goes on with it",
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        # Enough for our own death; only a machine that loses power may lose the last results.
        db.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    return db


def _version(path: Path, db: sqlite3.Connection) -> int:
    """Return the version of the schema, 0 for an empty file.

    Raises:
        InjectError: it is another's database, or of another version.
    """
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        owner: int = db.execute("PRAGMA application_id").fetchone()[0]
        tables: int = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    if not tables and not owner:
        return 0
    if owner != _APPLICATION:
        raise InjectError(
            f"{path} is a database of another program", help="--db FILE takes another file"
        )
    if version != SCHEMA:
        raise InjectError(
            f"{path} was written by another version of inject (format {version}, ours {SCHEMA})",
            help="read it with that version, or sweep again with --db FILE",
        )
    return version


def _unreadable(path: Path, error: sqlite3.Error) -> InjectError:
    return InjectError(
        f"{path} cannot be used: {error}", help="--db FILE takes another file or folder"
    )


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_COLUMNS = tuple(RunRow.__dataclass_fields__)


def _insert(how: str) -> str:
    marks = ", ".join("?" * len(_COLUMNS))
    return f"INSERT {how} INTO run ({', '.join(_COLUMNS)}) VALUES ({marks})"


def _row(run: RunRow) -> tuple[object, ...]:
    values: Json = {name: getattr(run, name) for name in _COLUMNS}
    values["rules"] = _text(run.rules)
    values["result"] = None if run.result is None else _text(run.result)
    return tuple(values.values())


def _run(row: sqlite3.Row) -> RunRow:
    values: Json = dict(row)
    values["rules"] = tuple(json.loads(values["rules"]))
    values["fired"] = None if values["fired"] is None else bool(values["fired"])
    if values["result"] is not None:
        values["result"] = json.loads(values["result"])
    return RunRow(**values)


def _finding(finding: FindingRow) -> tuple[object, ...]:
    return tuple(getattr(finding, name) for name in FindingRow.__dataclass_fields__)
