"""Databases of sweeps that nobody made: what the reports are tested with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE campaign(id INTEGER PRIMARY KEY, made TEXT, version TEXT, command TEXT,
    options TEXT, baseline TEXT);
CREATE TABLE point(site TEXT PRIMARY KEY, syscall TEXT, args TEXT, path TEXT, stack TEXT,
    kind TEXT);
CREATE TABLE run(key TEXT PRIMARY KEY, number INTEGER, site TEXT, syscall TEXT, fault TEXT,
    mode TEXT, kind TEXT, rules TEXT, state TEXT, verdict TEXT, fingerprint TEXT, status INTEGER,
    signal TEXT, fired INTEGER, seconds REAL, detail TEXT, result TEXT, shard INTEGER);
CREATE TABLE finding(fingerprint TEXT PRIMARY KEY, verdict TEXT, run TEXT REFERENCES run(key),
    runs INTEGER, flaky INTEGER, command TEXT, title TEXT);
PRAGMA user_version = 1;
"""
LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
OPEN_STACK = (
    f"open64+0x51 ({LIBC})",
    "openStore+0x1c (/usr/bin/shop)",
    "main+0x85 (/usr/bin/shop)",
    f"__libc_start_main+0x85 ({LIBC})",
)
WRITE_STACK = (
    f"write+0x14 ({LIBC})",
    "0xa99c7 (/usr/lib/libstore.so.3)",
    "_ZN5store6commitEi+0x40 (/usr/lib/libstore.so.3)",
    "main+0x99 (/usr/bin/shop)",
)


@dataclass(frozen=True, slots=True)
class APoint:
    """A row of `point`."""

    site: str
    syscall: str
    args: str = ""
    path: str = ""
    stack: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ARun:
    """A row of `run`; its key, number and rule follow from the rest."""

    site: str
    fault: str
    verdict: str | None
    mode: str = "once"
    kind: str = ""
    fingerprint: str = ""
    status: int | None = 0
    signal: str | None = None
    fired: bool = True
    seconds: float = 0.25
    detail: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    shard: int | None = None

    @property
    def key(self) -> str:
        """Its primary key."""
        return f"{self.mode} {self.site} {self.fault}"


@dataclass(frozen=True, slots=True)
class AFinding:
    """A row of `finding`; `run` is the key of its representative."""

    fingerprint: str
    verdict: str
    run: str
    title: str
    runs: int = 1
    flaky: int | None = 0
    command: str = "inject run -e 'site=0/openat#1:error=EIO' -- shop"


POINTS = (
    APoint(
        "0/openat#3",
        "openat",
        'AT_FDCWD, "/var/lib/shop/data", O_RDWR|O_CREAT, 0o644',
        "/var/lib/shop/data",
        OPEN_STACK,
        "k1",
    ),
    APoint("0/write#1", "write", '3, "order 1\\n", 8', "/var/lib/shop/data", WRITE_STACK, "k2"),
    APoint("0/close#4", "close", "3", "/var/lib/shop/data", (), "k3"),
)
RUNS = (
    ARun("0/openat#3", "error=EIO", "handled", status=1, kind="k1", detail="exit 1"),
    ARun("0/openat#3", "error=EIO", "handled", "persistent", status=1, kind="k1"),
    ARun(
        "0/openat#3",
        "error=ENOMEM",
        "crash",
        kind="k1",
        fingerprint="crash SIGSEGV shop openStore",
        status=None,
        signal="SIGSEGV",
        detail="shop was killed by SIGSEGV",
        result={"stderr": {"tail": "opening\nSegmentation fault\n"}},
    ),
    ARun("0/openat#3", "error=ENOMEM", "crash", "persistent", kind="k1", signal="SIGSEGV"),
    ARun(
        "0/write#1", "short=1", "silent", kind="k2", fingerprint="silent", detail="stdout differs"
    ),
    ARun("0/write#1", "error=EINTR", "unaffected", kind="k2"),
    ARun("0/close#4", "error=EIO", "unaffected", kind="k3", fired=False),
)
FINDINGS = (
    AFinding(
        "silent",
        "silent",
        "once 0/write#1 short=1",
        "half an order is written, status 0",
        flaky=1,
        command="inject run -e 'site=0/write#1:short=1' -- shop 'order 1'",
    ),
    AFinding(
        "crash SIGSEGV shop openStore",
        "crash",
        "once 0/openat#3 error=ENOMEM",
        "SIGSEGV in shop when openat fails with ENOMEM",
        2,
        command="inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'",
    ),
)


def database(
    path: Path,
    runs: Sequence[ARun] = RUNS,
    findings: Sequence[AFinding] = FINDINGS,
    points: Sequence[APoint] = POINTS,
    *,
    command: Sequence[str] = ("shop", "order 1"),
    options: Mapping[str, Any] | None = None,
    made: str = "2026-01-02T03:04:05+00:00",
) -> Path:
    """Write a database of these rows."""
    calls = {point.site: point.syscall for point in points}
    rows = [
        (
            run.key,
            number,
            run.site,
            calls.get(run.site, run.site.partition("/")[2].partition("#")[0]),
            run.fault,
            run.mode,
            run.kind,
            json.dumps([f"site={run.site}{'+' * (run.mode == 'persistent')}:{run.fault}"]),
            "done" if run.verdict else "planned",
            run.verdict,
            run.fingerprint or None,
            run.status if run.verdict else None,
            run.signal,
            run.fired if run.verdict else None,
            run.seconds if run.verdict else None,
            run.detail,
            json.dumps(run.result) if run.verdict else None,
            run.shard,
        )
        for number, run in enumerate(runs)
    ]
    with closing(sqlite3.connect(path)) as made_here, made_here:
        made_here.executescript(SCHEMA)
        made_here.execute(
            "INSERT INTO campaign VALUES (1, ?, '0.1.0', ?, ?, ?)",
            (made, json.dumps(command), json.dumps(options or {}), json.dumps({"status": 0})),
        )
        made_here.executemany(
            "INSERT INTO point VALUES (?, ?, ?, ?, ?, ?)",
            [(p.site, p.syscall, p.args, p.path, json.dumps(p.stack), p.kind) for p in points],
        )
        made_here.executemany(f"INSERT INTO run VALUES ({', '.join('?' * 18)})", rows)
        made_here.executemany(
            "INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (one.fingerprint, one.verdict, one.run, one.runs, one.flaky, one.command, one.title)
                for one in findings
            ],
        )
    return path
