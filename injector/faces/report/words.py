"""What the forms share: a verdict's sign, and sentences."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from injector.campaigns.report import PLANNED, UNREACHED, Finding, Report, Run, Source
from injector.campaigns.stacks import own_frames
from injector.campaigns.store import PointRow
from injector.faces.plain import pasteable, plain

SIGNS = {
    "crash": "C",
    "hang": "H",
    "check": "K",
    "silent": "S",
    "storm": "R",
    "leak": "L",
    "error": "?",
    "handled": "+",
    "unaffected": ".",
    UNREACHED: "-",
    PLANNED: "_",
}
"""A letter for a failure, a mark for the rest: never told by colour alone."""

FRAMES = 4
"""So many of a finding's own frames are shown where space is dear."""


def count(number: int, what: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def command_line(report: Report) -> str:
    """Return the campaign's command as a shell takes it."""
    return pasteable(shlex.join(report.campaign.command))


def seconds(number: float) -> str:
    """Return a span as people say it."""
    if number < 120:
        return f"{number:.1f} s"
    minutes = round(number / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def facts(report: Report) -> str:
    """Return the size of the campaign in one line."""
    return ", ".join(
        (
            count(len(report.points), "point"),
            count(report.kinds, "kind"),
            count(report.done, "run"),
            f"{seconds(report.seconds)} of runs",
        )
    )


def made(report: Report) -> str:
    """Return when it was made and by what, to the minute."""
    return plain(
        f"{report.campaign.made[:16].replace('T', ' ')} UTC, inject {report.campaign.version}"
    )


def unfinished(report: Report) -> str:
    """Return what is missing and how to go on, "" where all is done."""
    texts = []
    if report.missing:
        are = "is" if report.missing == 1 else "are"
        text = f"{report.missing:,} of {count(len(report.runs), 'run')} {are} not made yet"
        again = [_resume(report, source) for source in report.sources if source.missing]
        if again:
            text += f"; go on with: {' and '.join(again)}"
        texts.append(text)
    if report.shards_missing:
        numbers = ", ".join(map(str, report.shards_missing))
        texts.append(f"no database of shard{'s' * (len(report.shards_missing) > 1)} {numbers}")
    return "; ".join(texts)


def _resume(report: Report, source: Source) -> str:
    number, of = source.shard or (1, 1)
    shard = f" --shard {number}/{of}" if of > 1 else ""
    path = pasteable(shlex.quote(str(source.path)))
    return f"inject sweep --resume{shard} --db {path} -- {command_line(report)}"


def what_was_done(run: Run, point: PointRow | None) -> str:
    """Return a run's call, its fault and its place in one line, as they are."""
    args = point.args if point else ""
    return f"{run.syscall}({args}) with {run.fault}, {run.mode}, at {placed(run)}"


def placed(run: Run) -> str:
    """Return a run's site; of a second fault also the first, which is told before it."""
    first, _, site = run.site.rpartition(" ")
    return f"{site}, after {first.removeprefix('site=')}" if first else site


def how_often(finding: Finding) -> str:
    """Return in how many runs it came, and whether it came again."""
    again = {None: "not verified", False: "reproduced", True: "flaky"}[finding.flaky]
    return f"{count(finding.runs, 'run')}, {again}"


def short_stack(stack: Sequence[str]) -> list[str]:
    """Return the first frames that are the program's own, as people name them."""
    return [
        plain(one.place + (f" ({one.library})" if one.function and one.library else ""))
        for _, one in zip(range(FRAMES), own_frames(stack), strict=False)
    ]
