"""The report as one HTML page that loads nothing: style, script and data are all inside.

The target's texts reach the page only as JSON in a block that is no script, and the script makes
text nodes of them. The policy in the page's head allows just this style and this script, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from injector.campaigns.report import (
    FAILURES,
    MEANINGS,
    VERDICTS,
    Report,
    Row,
    Run,
    fault_name,
)
from injector.campaigns.stacks import frame
from injector.faces.plain import pasteable, plain
from injector.faces.report.words import (
    SIGNS,
    command_line,
    count,
    made,
    placed,
    seconds,
    unfinished,
)

_NICER = {".": "\N{MIDDLE DOT}", "-": "\N{EN DASH}"}
_TAIL = 4096
"""Characters of an output's end that a run shows; equal ones are kept once."""
_TAIL_OF_FINDING = 16384
_OUTPUTS = 8 << 20
"""Characters of all outputs; behind that only failures have theirs, so that the page opens."""


class _Pool:
    """Values that many runs share, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._known: dict[Any, int] = {}

    def add(self, key: Any, value: Any) -> int:
        """Return the value's index."""
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]


def page(report: Report) -> str:
    """Return the whole page."""
    files = resources.files("injector.faces.report")
    style = files.joinpath("page.css").read_text("utf-8")
    script = files.joinpath("page.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(_data(report), separators=(",", ":"))
    # Nothing in it may end the block or begin a comment; in JSON these are only within strings.
    for one in "<>&":
        text = text.replace(one, f"\\u{ord(one):04x}")
    parts = {
        "csp": policy,
        "title": html.escape(f"inject: {command_line(report)}"),
        "style": style,
        "data": text,
        "script": script,
    }
    pieces = files.joinpath("page.html").read_text("utf-8").split("@")
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _data(report: Report) -> dict[str, Any]:
    counts = report.verdicts
    faults = report.faults()
    rows = report.rows()
    index_of = {run.key: index for index, run in enumerate(report.runs)}
    row_of = {run.key: index for index, row in enumerate(rows) for run in _runs(row)}
    finding_of = {one.fingerprint: index for index, one in enumerate(report.findings)}
    representatives = {one.run.key for one in report.findings if one.run is not None}
    points, stacks, outputs = _Pool(), _Pool(), _Pool()
    runs = []
    size = 0
    for run in report.runs:
        point = report.point(run)
        stack = stacks.add(point.stack, [_frame(text) for text in point.stack])
        where = {
            "site": plain(placed(run)),
            "syscall": plain(run.syscall),
            "args": plain(point.args),
            "path": plain(point.path),
            "stack": stack,
        }
        kept = {}
        for name in ("stderr", "stdout", "check"):
            most = _TAIL_OF_FINDING if run.key in representatives else _TAIL
            text = _end(run.output(name), most)
            if text and (run.verdict in FAILURES or size < _OUTPUTS):
                before = len(outputs.values)
                kept[name] = outputs.add(text, text)
                size += len(text) * (len(outputs.values) > before)
        runs.append(
            {
                "key": plain(run.key),
                "point": points.add((run.site, run.syscall), where),
                "row": row_of[run.key],
                "fault": faults.index(run.fault),
                "mode": plain(run.mode),
                "verdict": VERDICTS.index(run.verdict),
                "ended": _ended(run),
                "detail": plain(run.detail),
                "command": pasteable(report.repeat(run)),
                "finding": finding_of.get(run.fingerprint),
                "output": kept,
            }
        )
    return {
        "command": command_line(report),
        "facts": _facts(report),
        "unfinished": unfinished(report),
        "verdicts": [
            {
                "name": verdict,
                "sign": _NICER.get(SIGNS[verdict], SIGNS[verdict]),
                "meaning": MEANINGS[verdict],
                "count": counts.get(verdict, 0),
            }
            for verdict in VERDICTS
        ],
        "faults": [plain(fault_name(fault)) for fault in faults],
        "rows": [
            {
                "syscall": plain(row.syscall),
                "function": plain(row.function),
                "callers": [plain(one) for one in row.callers],
                "cells": [
                    [faults.index(fault), [index_of[run.key] for run in cell]]
                    for fault, cell in row.cells.items()
                ],
            }
            for row in rows
        ],
        "points": points.values,
        "stacks": stacks.values,
        "outputs": outputs.values,
        "runs": runs,
        "findings": [
            {
                "title": plain(one.title),
                "verdict": VERDICTS.index(one.verdict),
                "runs": one.runs,
                "flaky": one.flaky,
                "command": pasteable(one.command),
                "run": index_of[one.run.key] if one.run else None,
            }
            for one in report.findings
        ],
    }


def _runs(row: Row) -> Sequence[Run]:
    return [run for runs in row.cells.values() for run in runs]


def _facts(report: Report) -> list[tuple[str, str]]:
    counted = [
        count(len(report.points), "point"),
        count(report.kinds, "kind"),
        count(report.done, "run"),
    ]
    facts = [(number, what) for number, _, what in (one.partition(" ") for one in counted)]
    return [*facts, (seconds(report.seconds), "of runs"), ("", made(report))]


def _frame(text: str) -> tuple[str, str, int]:
    found = frame(text)
    place = found.function or found.place.rpartition("+")[2]
    return plain(place), plain(found.library), int(found.own)


def _end(text: str, most: int) -> str:
    text = text.rstrip("\n")
    cut = f"[{len(text) - most:,} characters before]\n" if len(text) > most else ""
    return cut + plain(text[-most:], "\n\t")


def _ended(run: Run) -> str:
    how = plain(run.signal) if run.signal else f"status {run.status}"
    if not run.signal and run.status is None:
        return ""
    return f"{how}, after {run.seconds:.2f} s"
