"""The `inject` command: the group of all commands, and errors as text.

Turns every InjectError into what a person reads and an exit status; nothing else.
"""

from __future__ import annotations

import difflib
import gc
import importlib
import os
import select
import signal
import sys
import traceback
from typing import Any

import click

from injector import __version__
from injector.faces.cli.usage import no_such_option
from injector.faces.plain import LAYOUT, plain
from injector.words.errors import InjectError, ScenarioError

COMMANDS = {
    "run": ("injector.faces.cli.run:run", "Start a program and inject into it"),
    "attach": ("injector.faces.cli.attach:attach", "Inject into a program that runs already"),
    "watch": ("injector.faces.cli.watch:watch", "Show a session that runs, and steer it"),
    "sweep": ("injector.faces.cli.sweep:sweep", "Try every kind of fault on a program"),
    "ctl": ("injector.faces.cli.ctl:ctl", "Steer a session that runs"),
    "ps": ("injector.faces.cli.ctl:ps", "List the sessions that run"),
    "replay": ("injector.faces.cli.replay:replay", "Inject the faults of a journal once more"),
    "shrink": ("injector.faces.cli.shrink:shrink", "Find the faults of a journal that matter"),
    "report": ("injector.faces.cli.report:report", "Say what a sweep found"),
    "learn": ("injector.faces.cli.learn:learn", "Watch a program once and propose a scenario"),
    "check": ("injector.faces.cli.check:check", "Check a scenario and say what it does"),
    "import": (
        "injector.faces.cli.import_:import_",
        "Make a scenario of strace's or Passenger's words",
    ),
    "list": ("injector.faces.cli.lists:list_", "List scenarios, syscalls, errnos, groups"),
    "doctor": ("injector.faces.cli.doctor:doctor", "Say what this machine allows"),
    "schema": ("injector.faces.cli.check:schema", "Print the JSON Schema of scenario files"),
    "completion": ("injector.faces.cli.completion:completion", "Print a shell's completion script"),
}
"""Where each command lives and what it is for, in the order of the help."""


_COLLECT = 50_000  # objects that are made between two looks for cycles; Python's own is 700


class Commands(click.Group):
    """Loads a command when it is asked for: the target waits for our imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; where nobody reads what it prints, end as others do (signal(7))."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            if not any(map(unread, (1, 2))):
                raise
            from injector.linux.signals import die_by

            die_by(signal.SIGPIPE)
        return status

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line.

        Raises:
            InjectError: there is no such command; names the closest.
        """
        name = args[0]
        # Not while a shell completes, in the middle of the user's line.
        if name not in COMMANDS and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            raise InjectError(
                f"there is no command {name}",
                help=f"did you mean inject {near[0]}?" if near else "inject --help lists them",
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n"
    "  inject run -e 'openat:path=/etc/hostname:error=EACCES' -- cat /etc/hostname",
)
@click.version_option(__version__, prog_name="inject")
def cli() -> None:
    """Make the system calls of an unmodified program fail on purpose."""


def unread(fd: int) -> bool:
    """Return whether a descriptor is a pipe or socket that nobody reads any more (poll(2))."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def explain(error: InjectError) -> str:
    """Return an error as lines for stderr: what, where, and what to do."""
    if isinstance(error, ScenarioError):
        ordered = sorted(error.mistakes, key=lambda m: (m.line, m.column))
        told = list(zip(error.lines(), (one.help for one in ordered), strict=True))
    else:
        told = [(f"inject: {error.message}", error.help)]
    lines = []
    for message, help_ in told:
        lines.append(plain(message))
        if help_:
            lines.append(f"  {plain(help_, LAYOUT)}")
    return "\n".join(lines)


def main() -> None:
    """Run the command line; exit 125 on an error of our own."""
    # Most of what is made is made once, by imports: to look through it for cycles is in vain.
    gc.set_threshold(_COLLECT)
    if "_INJECT_COMPLETE" in os.environ:
        from injector.faces.cli.completion import register

        register()
    try:
        # Under its own name also as `python -m injector`, where click would ask argv.
        status = cli(prog_name="inject", complete_var="_INJECT_COMPLETE", standalone_mode=False)
        # click returns what Context.exit was given, and raises nothing.
        if isinstance(status, int):
            sys.exit(status)
    except InjectError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.NoSuchOption as error:
        click.echo(explain(no_such_option(error)), err=True)
        sys.exit(125)
    except click.ClickException as error:
        error.show()
        sys.exit(125)
    except (click.Abort, KeyboardInterrupt):
        from injector.linux.signals import die_by

        die_by(signal.SIGINT)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        click.echo(
            f"{text}inject: this is a bug of inject, not of your program; please report it",
            err=True,
        )
        sys.exit(125)
