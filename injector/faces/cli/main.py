"""The `inject` command: the group of all commands, and errors as text.

Turns every InjectError into what a person reads and an exit status; nothing else.
"""

from __future__ import annotations

import sys

import click

from injector.faces.cli.check import check, schema
from injector.faces.cli.completion import completion
from injector.faces.cli.doctor import doctor
from injector.faces.cli.lists import list_
from injector.faces.cli.run import run
from injector.words.errors import InjectError, ScenarioError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="syscall-inject", prog_name="inject")
def cli() -> None:
    """Make the system calls of an unmodified program fail on purpose."""


cli.add_command(run)
cli.add_command(check)
cli.add_command(schema)
cli.add_command(doctor)
cli.add_command(completion)
cli.add_command(list_, "list")


def explain(error: InjectError) -> str:
    """Return an error as lines for stderr: what, where, and what to do."""
    if isinstance(error, ScenarioError):
        lines = []
        ordered = sorted(error.mistakes, key=lambda m: (m.line, m.column))
        for line, mistake in zip(error.lines(), ordered, strict=True):
            lines.append(line)
            if mistake.help:
                lines.append(f"  {mistake.help}")
        return "\n".join(lines)
    text = f"inject: {error.message}"
    return f"{text}\n  {error.help}" if error.help else text


def main() -> None:
    """Run the command line; exit 125 on an error of our own."""
    try:
        cli(standalone_mode=False)
    except InjectError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(125)
    except click.Abort:
        sys.exit(130)
