"""The report as GitHub Actions shows it: annotations, and the summary of the job.

docs.github.com, "Workflow commands for GitHub Actions". No file and line is known of a fault, so
an annotation has a title and a message.
"""

from __future__ import annotations

from collections.abc import Iterator

from injector.campaigns.report import MEANINGS, Finding, Report
from injector.faces.plain import pasteable, plain
from injector.faces.report.words import (
    command_line,
    count,
    facts,
    how_often,
    made,
    short_stack,
    unfinished,
    what_was_done,
)

_WARNINGS = ("storm", "leak")
_MOST = 1000 * 1024
"""Bytes of a step's summary; GitHub refuses one of more than 1 MiB."""


def workflow_commands(report: Report) -> Iterator[str]:
    """Yield the workflow commands, the worst finding first: GitHub shows ten of a level."""
    for finding in report.findings:
        level = "warning" if finding.flaky or finding.verdict in _WARNINGS else "error"
        frames = short_stack(finding.point.stack) if finding.point else []
        message = [plain(finding.run.detail)] if finding.run and finding.run.detail else []
        message += [how_often(finding), *(f"  {frame}" for frame in frames)]
        if finding.command:
            message.append(f"repeat with: {pasteable(finding.command)}")
        yield _command(level, f"{finding.verdict}: {plain(finding.title)}", "\n".join(message))
    missing = unfinished(report)
    if missing:
        yield _command("warning", "inject: the sweep is unfinished", missing)
    found = count(len(report.findings), "finding") if report.findings else "no findings"
    yield _command("notice", f"inject: {found}", f"{command_line(report)}\n{facts(report)}")


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escape as @actions/core does, toolkit/packages/core/src/command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(report: Report) -> str:
    """Return the job's summary, in Markdown, no longer than GitHub takes."""
    lines = [
        f"### inject sweep {_code(command_line(report))}",
        "",
        f"{_text(made(report))}: {_text(facts(report))}",
        "",
    ]
    missing = unfinished(report)
    if missing:
        lines += [f"**Unfinished:** {_text(missing)}", ""]
    lines += ["| outcome | runs | |", "|---|--:|---|"]
    for verdict, number in report.verdicts.items():
        lines.append(f"| {verdict} | {number:,} | {MEANINGS[verdict]} |")
    found = count(len(report.findings), "finding") if report.findings else "no findings"
    lines += ["", f"#### {found}", ""]
    text = "\n".join(lines)
    size = len(text.encode())
    parts = [text]
    for number, finding in enumerate(report.findings):
        part = _details(finding)
        size += len(part.encode())
        if size > _MOST:
            left = count(len(report.findings) - number, "more finding")
            parts.append(f"{left}: inject report shows them.\n")
            break
        parts.append(part)
    return "".join(parts)


def _details(finding: Finding) -> str:
    head = (
        f"<details><summary>{_text(finding.verdict)}: {_text(plain(finding.title))} "
        f"({how_often(finding)})</summary>\n\n"
    )
    lines = []
    run, point = finding.run, finding.point
    if run is not None:
        lines.append(plain(what_was_done(run, point)))
        if run.detail:
            lines.append(plain(run.detail))
    lines += [f"  {frame}" for frame in (short_stack(point.stack) if point else ())]
    if finding.command:
        lines.append(pasteable(finding.command))
    body = "\n".join(map(_text, lines))
    return f"{head}<pre>\n{body}\n</pre>\n\n</details>\n\n"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    """Return text that neither Markdown, a table nor HTML takes for more."""
    return "".join(
        one if one.isalnum() or one in " -/+=" or not one.isascii() else f"&#{ord(one)};"
        for one in text
    )
