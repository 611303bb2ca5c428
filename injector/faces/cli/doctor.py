"""`inject doctor`: what works on this machine, what does not, and what to do about it.

Prints the report to stdout; every fact comes from `injector.linux.probe`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from injector.faces.cli.console import stdout_console
from injector.faces.plain import plain
from injector.linux.probe import TOPICS, Engine, Finding, State, can_run, probe, verdict

CANNOT_RUN = 125
_MARKS = {
    State.OK: ("ok", "green"),
    State.LIMITED: ("limited", "yellow"),
    State.MISSING: ("missing", "bold red"),
    State.INFO: ("note", "cyan"),
}
_MARK_WIDTH = max(len(word) for word, _ in _MARKS.values())
_NARROWEST = 24


@click.command(
    epilog="\b\nExamples:\n  inject doctor\n"
    "  inject doctor --json | jq '.findings[] | select(.state != \"ok\")'"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Try what inject needs of this machine, and say what to do where something is missing.

    Each thing is really tried in a short-lived process, as the user you are. Needs no root; run
    it as the user, and in the container, that inject will run in. Neither strace nor gdb is
    needed. The exit status is 0 when inject run can work, 125 otherwise.
    """
    findings = probe()
    engines = verdict(findings)
    if as_json:
        click.echo(json.dumps(_document(findings, engines), indent=2))
    else:
        _report(stdout_console(), findings, engines)
    if not can_run(engines):
        context.exit(CANNOT_RUN)


def _document(findings: Sequence[Finding], engines: Sequence[Engine]) -> dict[str, object]:
    return {
        "run": can_run(engines),
        "engines": [asdict(engine) for engine in engines],
        "findings": [asdict(finding) for finding in findings],
    }


def _report(console: Console, findings: Sequence[Finding], engines: Sequence[Engine]) -> None:
    by_topic = {finding.topic: finding for finding in findings}
    width = max(map(len, by_topic))
    for heading, topics in TOPICS.items():
        shown = [by_topic[topic] for topic in topics if topic in by_topic]
        if shown:
            _section(console, heading, [_row(one) for one in shown], width)
            console.print()
    _section(console, "Verdict", [_engine_row(engine) for engine in engines], width)
    console.print()
    console.print(_conclusion(engines))


_Row = tuple[State, str, Text]


def _section(console: Console, heading: str, rows: Sequence[_Row], width: int) -> None:
    console.print(Text(heading, style="bold"))
    for state, name, text in rows:
        word, style = _MARKS[state]
        first = Text.assemble("  ", (word.ljust(_MARK_WIDTH), style), f"  {name.ljust(width)}  ")
        rest = max(_NARROWEST, console.width - len(first))
        # Not a table of rich's: it would fill every line with blanks up to the right edge.
        for line in text.wrap(console, rest):
            line.rstrip()
            console.print(first + line, soft_wrap=True)
            first = Text(" " * len(first))


def _row(finding: Finding) -> _Row:
    text = Text(plain(finding.summary))
    if finding.state is not State.OK:
        if finding.detail:
            text.append("\n" + plain(finding.detail), style="dim")
        if finding.remedy:
            text.append("\n-> " + plain(finding.remedy))
    return finding.state, finding.topic, text


def _engine_row(engine: Engine) -> _Row:
    able = [deed for deed, can in (("run", engine.run), ("attach", engine.attach)) if can]
    text = Text(f"can {' and '.join(able)}" if able else "cannot be used")
    if engine.lacks:
        lost = "" if not able else f"cannot {'attach' if engine.run else 'run'}, "
        text.append(f"\n{lost}for lack of: {', '.join(engine.lacks)}")
    if able and engine.limits:
        text.append(f"\nlimited by: {', '.join(engine.limits)}")
    return engine.state, engine.name, text


def _conclusion(engines: Sequence[Engine]) -> Text:
    able = [engine.name for engine in engines if engine.run]
    if not able:
        return Text("inject run cannot work here; what is missing is said above.", style="bold")
    if "notify" not in able:
        return Text(f"inject run works here with --engine {able[0]}.", style="bold")
    return Text(f"inject run works here, with the engine {' or '.join(able)}.", style="bold")
