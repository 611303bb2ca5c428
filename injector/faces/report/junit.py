"""The report as JUnit XML: a test case for each kind of fault, for any CI that counts tests.

Valid by both schemas that are in use (Ant's, as Windy Road wrote it down, and Jenkins').
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from injector.campaigns.report import (
    FAILURES,
    MEANINGS,
    PLANNED,
    UNREACHED,
    VERDICTS,
    Finding,
    Report,
    Run,
    fault_name,
)
from injector.faces.plain import pasteable, plain
from injector.faces.report.words import command_line, how_often, placed, short_stack, what_was_done


def junit(report: Report) -> str:
    """Return the whole file."""
    cases = list(_cases(report))
    findings = {one.fingerprint: one for one in report.findings}
    top = ElementTree.Element("testsuites")
    verdicts = [run.verdict for _, _, run, _ in cases]
    suite = ElementTree.SubElement(
        top,
        "testsuite",
        {
            "name": f"inject sweep {command_line(report)}",
            "package": "inject",
            "id": "0",
            "hostname": "localhost",
            "timestamp": _timestamp(report.campaign.made),
            "tests": str(len(cases)),
            "failures": str(sum(verdict in FAILURES for verdict in verdicts)),
            "errors": str(verdicts.count("error")),
            "skipped": str(sum(verdict in (UNREACHED, PLANNED) for verdict in verdicts)),
            "time": f"{report.seconds:.3f}",
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("command", command_line(report)),
        ("inject", plain(report.campaign.version)),
    ):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for classname, name, run, time in cases:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": classname, "name": name, "time": f"{time:.3f}"}
        )
        _outcome(case, report, run, findings)
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(top)
    text = ElementTree.tostring(top, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _cases(report: Report) -> Iterator[tuple[str, str, Run, float]]:
    """Yield class, name, worst run and seconds of each kind of fault, its names unique."""
    taken: set[tuple[str, str]] = set()
    for row in report.rows():
        where = plain(" < ".join(filter(None, (row.function, *row.callers))))
        syscall = plain(row.syscall)
        for fault, runs in sorted(row.cells.items()):
            for mode in dict.fromkeys(run.mode for run in runs):
                of_mode = [run for run in runs if run.mode == mode]
                run = min(of_mode, key=lambda one: VERDICTS.index(one.verdict))
                name = f"{plain(fault_name(fault))} {mode}" + (f" in {where}" if where else "")
                # Two stacks may have the same nearest callers.
                if (syscall, name) in taken:
                    name += f" at {plain(placed(run))}"
                taken.add((syscall, name))
                yield syscall, name, run, sum(one.seconds for one in of_mode)


def _outcome(
    case: ElementTree.Element, report: Report, run: Run, findings: Mapping[str, Finding]
) -> None:
    message = plain(run.detail) or MEANINGS[run.verdict]
    if run.verdict in FAILURES or run.verdict == "error":
        element = "failure" if run.failed else "error"
        said = ElementTree.SubElement(case, element, {"message": message, "type": run.verdict})
        said.text = _story(report, run, findings)
    elif run.verdict in (UNREACHED, PLANNED):
        ElementTree.SubElement(case, "skipped", {"message": message})


def _story(report: Report, run: Run, findings: Mapping[str, Finding]) -> str:
    point = report.point(run)
    lines = [what_was_done(run, point)]
    finding = findings.get(run.fingerprint)
    if finding is not None:
        lines.append(f"{finding.title} ({how_often(finding)})")
    lines += [f"  {frame}" for frame in short_stack(point.stack)]
    story = [plain(line) for line in lines]
    story.append(f"repeat with: {pasteable(report.repeat(run))}")
    for name in ("stderr", "stdout", "check"):
        tail = run.output(name).rstrip("\n")
        if tail:
            story += [f"{name}:", plain(tail, "\n\t")]
    return "\n".join(story)


def _timestamp(made: str) -> str:
    found = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", made)
    return found[0] if found else "1970-01-01T00:00:00"
