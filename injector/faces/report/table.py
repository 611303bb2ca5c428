"""The report on a terminal: head, counts, a matrix of calls and faults, the findings.

Lines of rich's Text; without a terminal they are plain. A command is never broken: it is there
to be pasted.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from injector.campaigns.report import MEANINGS, VERDICTS, Finding, Report, fault_name
from injector.faces.plain import pasteable, plain
from injector.faces.report.words import (
    SIGNS,
    command_line,
    count,
    facts,
    how_often,
    made,
    short_stack,
    unfinished,
    what_was_done,
)

_STYLES = {
    "crash": "bold red",
    "hang": "bold magenta",
    "check": "bold red",
    "silent": "bold yellow",
    "storm": "bold yellow",
    "leak": "yellow",
    "error": "cyan",
    "handled": "green",
}
_GAP = 2


def lines(report: Report, width: int) -> Iterator[Text]:
    """Yield the report line by line, its matrix no wider than `width`."""
    yield Text(command_line(report), style="bold")
    yield Text(made(report))
    yield Text(facts(report))
    missing = unfinished(report)
    if missing:
        yield Text(f"unfinished: {missing}", style="yellow")
    yield Text()
    yield from _counts(report)
    yield Text()
    yield from _matrix(report, width)
    if report.findings:
        yield Text(count(len(report.findings), "finding"), style="bold")
        for number, finding in enumerate(report.findings, 1):
            yield Text()
            yield from _finding(number, finding)
    else:
        yield Text("no findings", style="bold")


def _counts(report: Report) -> Iterator[Text]:
    counts = report.verdicts
    name = max(map(len, counts), default=0)
    number = max((len(f"{value:,}") for value in counts.values()), default=0)
    for verdict, value in counts.items():
        style = _STYLES.get(verdict, "dim")
        yield Text.assemble(
            (f"  {SIGNS[verdict]}  {verdict.ljust(name)}", style),
            f"  {value:,}".rjust(number + 2),
            (f"  {MEANINGS[verdict]}", "dim"),
        )


def _matrix(report: Report, width: int) -> Iterator[Text]:
    """Yield a row for each call, its runs of all places together; wide ones in parts."""
    cells: dict[str, dict[str, set[str]]] = {}
    for run in report.runs:
        cells.setdefault(run.syscall, {}).setdefault(run.fault, set()).add(run.verdict)
    first = max(map(len, cells), default=0) + 2
    columns = [(fault, plain(fault_name(fault))) for fault in report.faults()]
    while columns:
        used, taken = first, 0
        for _, name in columns:
            used += _GAP + len(name)
            if taken and used > width:
                break
            taken += 1
        part, columns = columns[:taken], columns[taken:]
        head = "".join(" " * _GAP + name for _, name in part)
        yield Text(" " * first + head, style="dim")
        for syscall in sorted(cells):
            found = [cells[syscall].get(fault, set()) for fault, _ in part]
            if any(found):
                line = Text(f"  {plain(syscall)}".ljust(first))
                for (_, name), verdicts in zip(part, found, strict=True):
                    line.append(" " * _GAP)
                    for verdict in sorted(verdicts, key=VERDICTS.index):
                        line.append(SIGNS[verdict], _STYLES.get(verdict, "dim"))
                    line.append(" " * (len(name) - len(verdicts)))
                line.rstrip()
                yield line
        yield Text()


def _finding(number: int, finding: Finding) -> Iterator[Text]:
    style = _STYLES.get(finding.verdict, "")
    lead = f"{number}. "
    yield Text.assemble(
        lead, (f"{SIGNS[finding.verdict]} {finding.verdict}", style), f"  {plain(finding.title)}"
    )
    indent = " " * len(lead)
    yield Text(f"{indent}{how_often(finding)}", style="yellow" if finding.flaky else "dim")
    run, point = finding.run, finding.point
    if run is not None:
        yield Text(f"{indent}{plain(what_was_done(run, point))}")
        if run.detail:
            yield Text(f"{indent}{plain(run.detail)}")
    for frame in short_stack(point.stack) if point else ():
        yield Text(f"{indent}  {frame}", style="dim")
    if finding.command:
        yield Text(f"{indent}{pasteable(finding.command)}", style="bold")
