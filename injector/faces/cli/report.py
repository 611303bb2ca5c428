"""`inject report`: what a sweep found, for people, for CI, and as a page.

Prints to stdout; the other forms go to the files that are named.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import click

from injector.campaigns.report import Report, load
from injector.faces.cli.console import stdout_console
from injector.words.errors import InjectError

FOUND = 1
_FILE = click.Path(path_type=Path)


@click.command(
    epilog="\b\nExamples:\n"
    "  # made before by: inject sweep --db sweep.db -- CMD\n"
    "  inject report sweep.db\n"
    "  inject report sweep.db --html report.html\n"
    "  inject report sweep.db --junit report.xml --fail\n"
    "  inject report sweep.db --json | jq -r '.findings[].command'"
)
@click.argument("databases", metavar="DB...", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead (docs/report.md).")
@click.option(
    "--github", is_flag=True, help="Print annotations for GitHub instead; fill the job's summary."
)
@click.option("--junit", type=_FILE, help="Write JUnit XML.")
@click.option("--html", type=_FILE, help="Write one page for a browser; it loads nothing.")
@click.option("--fail", is_flag=True, help="Exit with 1 if there are findings.")
def report(
    databases: tuple[Path, ...],
    as_json: bool,
    github: bool,
    junit: Path | None,
    html: Path | None,
    fail: bool,
) -> None:
    """Say what a sweep found: its runs, the outcome of each fault, the findings.

    DB is the file of a sweep; several are the shards of one, and are put together. A sweep that
    runs, or was interrupted, is reported as far as it is. The exit status is 0, or with --fail
    1 if there are findings.
    """
    if as_json and github:
        raise InjectError("--json and --github both print to stdout", help="give one of them")
    found = load(databases)
    # What can fail comes first: a table that is printed looks as if all had gone well.
    if junit is not None:
        from injector.faces.report.junit import junit as form

        _write(junit, form(found))
    if html is not None:
        from injector.faces.report.page import page

        _write(html, page(found))
    if as_json:
        from injector.faces.report.document import document

        click.echo(json.dumps(document(found), indent=2))
    elif github:
        _github(found)
    else:
        _print(found)
    if fail and found.findings:
        click.get_current_context().exit(FOUND)


def _print(found: Report) -> None:
    from injector.faces.report.table import lines

    console = stdout_console()
    for line in lines(found, console.width):
        console.print(line, soft_wrap=True)


def _github(found: Report) -> None:
    from injector.faces.report.github import summary, workflow_commands

    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if target:
        _write(Path(target), summary(found), "a")
    for line in workflow_commands(found):
        click.echo(line)


def _write(path: Path, text: str, mode: Literal["w", "a"] = "w") -> None:
    """Write a form into its file.

    Raises:
        InjectError: it cannot be written.
    """
    try:
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InjectError(f"cannot write {path}: {error.strerror}") from error
