"""Databases of sweeps that nobody made: what the reports are tested with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from injector.campaigns.store import Campaign, FindingRow, Mode, PointRow, RunRow, Store

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
class ARun:
    """A row of `run`; its key, number and rule follow from the rest."""

    site: str
    fault: str
    verdict: str | None
    mode: Mode = "once"
    kind: str = ""
    fingerprint: str = ""
    status: int | None = 0
    signal: str | None = None
    fired: bool = True
    seconds: float = 0.25
    detail: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    shard: int = 1

    @property
    def key(self) -> str:
        """Its primary key."""
        return f"{self.mode} {self.site} {self.fault}"


POINTS = (
    PointRow(
        "0/openat#3",
        "openat",
        'AT_FDCWD, "/var/lib/shop/data", O_RDWR|O_CREAT, 0o644',
        "/var/lib/shop/data",
        OPEN_STACK,
        "k1",
    ),
    PointRow("0/write#1", "write", '3, "order 1\\n", 8', "/var/lib/shop/data", WRITE_STACK, "k2"),
    PointRow("0/close#4", "close", "3", "/var/lib/shop/data", (), "k3"),
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
    FindingRow(
        "silent",
        "silent",
        "once 0/write#1 short=1",
        1,
        True,
        "inject run -e 'site=0/write#1:short=1' -- shop 'order 1'",
        "half an order is written, status 0",
    ),
    FindingRow(
        "crash SIGSEGV shop openStore",
        "crash",
        "once 0/openat#3 error=ENOMEM",
        2,
        False,
        "inject run -e 'site=0/openat#3:error=ENOMEM' -- shop 'order 1'",
        "SIGSEGV in shop when openat fails with ENOMEM",
    ),
)


def database(
    path: Path,
    runs: Sequence[ARun] = RUNS,
    findings: Sequence[FindingRow] = FINDINGS,
    points: Sequence[PointRow] = POINTS,
    *,
    command: Sequence[str] = ("shop", "order 1"),
    options: Mapping[str, Any] | None = None,
    made: str = "2026-01-02T03:04:05+00:00",
) -> Path:
    """Write a database of these rows."""
    calls = {point.site: point.syscall for point in points}
    campaign = Campaign(made, "0.1.0", tuple(command), dict(options or {}), {"status": 0})
    rows = [
        RunRow(
            run.key,
            number,
            run.site,
            calls.get(run.site, run.site.partition("/")[2].partition("#")[0]),
            run.fault,
            run.mode,
            run.kind,
            (f"site={run.site}{'+' * (run.mode == 'persistent')}:{run.fault}",),
            shard=run.shard,
        )
        for number, run in enumerate(runs)
    ]
    with closing(Store.create(path, campaign)) as store:
        store.plan(points, rows)
        for run, row in zip(runs, rows, strict=True):
            if run.verdict:
                store.done(
                    replace(
                        row,
                        state="done",
                        verdict=run.verdict,
                        fingerprint=run.fingerprint or None,
                        status=run.status,
                        signal=run.signal,
                        fired=run.fired,
                        seconds=run.seconds,
                        detail=run.detail,
                        result=dict(run.result),
                    )
                )
        for finding in findings:
            store.found(finding)
    return path
