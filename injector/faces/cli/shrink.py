"""`inject shrink`: the fewest and simplest faults of a journal that make the same failure."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from injector.campaigns.replay import Recorded, recorded
from injector.campaigns.shrink import Faults, NotReproduced, Progress, Shrinker, Shrunk
from injector.campaigns.trial import Job, Result
from injector.faces.cli.common import time_span
from injector.faces.cli.printer import say
from injector.faces.cli.usage import WithCommand
from injector.faces.plain import LAYOUT, pasteable
from injector.linux.launch import find
from injector.rules.scenario.oneline import parse_rules
from injector.rules.scenario.write import yaml_text
from injector.words.errors import InjectError
from injector.words.model import Scenario

UNKNOWN = 3
_SHOWN = 3  # other failures
_LISTED = 10  # faults


@click.command(
    cls=WithCommand,
    epilog="\b\nExamples:\n"
    "  inject run -e 'read,write:error=EIO' --journal j -- cat /etc/hosts; inject shrink j",
)
@click.argument("recording", metavar="JOURNAL", type=click.Path(path_type=Path))
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    metavar="N",
    help="Stop after so many runs.",
)
@click.option(
    "--timeout", metavar="T", help="A run that takes longer hangs. 60s, or the journal's."
)
@click.option(
    "--check", metavar="CMD", help="A shell command that fails where the failure is there."
)
@click.option("--setup", metavar="CMD", help="A shell command before each run.")
@click.option("--teardown", metavar="CMD", help="A shell command after each run.")
@click.option(
    "--workdir",
    metavar="TEMPLATE",
    type=click.Path(exists=True, file_okay=False),
    help="Give each run a fresh copy of this folder to work in.",
)
@click.option(
    "-o",
    "output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the scenario; JOURNAL's name with .shrunk.yaml else.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the result.")
@click.pass_context
def shrink(
    ctx: click.Context,
    recording: Path,
    runs: int,
    timeout: str | None,
    check: str | None,
    setup: str | None,
    teardown: str | None,
    workdir: str | None,
    output: Path | None,
    quiet: bool,
) -> None:
    """Find the fewest and simplest faults of JOURNAL that make CMD fail in the same way.

    CMD is the journal's own if it is left out. It is run many times, with no input and its output
    taken. The result is a scenario file, and on stdout the command that injects just that. A
    failure of another kind that is met on the way is told at the end. The exit status is 3 where
    the journal's faults make no failure, else 0.
    """
    original = recorded(recording)
    given: list[str] = ctx.meta.get("command", [])
    command = given or list(original.command)
    cwd = os.getcwd() if given else original.cwd
    find(command[0], cwd)
    job = Job(
        tuple(command),
        seed=original.seed,
        timeout=_seconds(original, timeout),
        setup=setup,
        check=check,
        teardown=teardown,
        workdir=workdir,
        cwd=cwd,
    )
    path = output or Path(f"{recording.stem}.shrunk.yaml")
    count = len(original.plan.faults)
    if not quiet:
        say(f"inject: shrink of {recording}: {count} fault{'s' * (count != 1)}")
    lines = _Lines(quiet=quiet)
    try:
        found = Shrinker(job, original.plan, runs=runs, tell=lines.tell).shrink()
    except NotReproduced as error:
        lines.end()
        say(f"inject: could not tell: {_not_failed(error.result)}")
        sys.exit(UNKNOWN)
    lines.end()
    if found.faults:
        _write(path, found, command)
    _tell(found, path, command)
    if found.faults:
        click.echo(_line(found.faults, command))


def _seconds(original: Recorded, timeout: str | None) -> float:
    span = time_span("--timeout", timeout)
    if span is not None:
        return span / 1e9
    return original.ending.t if original.ending.how == "hang" else 60.0


def _not_failed(result: Result) -> str:
    if result.error:
        return result.error
    if not result.fired:
        return "no fault of the journal was injected: the program took another way"
    return "with all its faults nothing failed (status 0); --check says what a failure is"


class _Lines:
    """Progress: one line that is written over on a terminal, else one for each step forward."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = os.isatty(2)
        self._last = -1
        self._open = False

    def tell(self, progress: Progress) -> None:
        """Show it."""
        text = f"inject: run {progress.runs}, {progress.doing}: {progress.faults} left"
        if self._quiet:
            return
        if self._terminal:
            os.write(2, f"\r\x1b[K{text}".encode())
            self._open = True
        elif progress.faults != self._last:
            say(text)
        self._last = progress.faults

    def end(self) -> None:
        """End the line that is written over."""
        if self._open:
            os.write(2, b"\r\x1b[K")
            self._open = False


def _scenario(faults: Faults) -> Scenario:
    return Scenario(tuple(fault.made() for fault in faults))


def _write(path: Path, found: Shrunk, command: list[str]) -> None:
    scenario = Scenario(
        _scenario(found.faults).rules,
        path.name.removesuffix(".yaml").removesuffix(".yml"),
        f"Of {found.before} faults those that matter: {found.fingerprint}",
    )
    head = [shlex.join(["inject", "run", str(path), "--", *command])]
    try:
        path.write_text(yaml_text(scenario, head=head))
    except OSError as error:
        raise InjectError(f"cannot write {path}: {error.strerror}", help="say -o FILE") from error


def _tell(found: Shrunk, path: Path, command: list[str]) -> None:
    left, runs = len(found.faults), f"{found.runs} run{'s' * (found.runs != 1)}"
    many = f"{left} of {found.before} fault{'s' * (found.before != 1)}"
    say(f"inject: {many} in {runs}: {found.fingerprint} ({found.reason})")
    if not found.faults:
        say("inject: it fails so without any fault")
    if not found.again:
        say("inject: warning: it did not fail so when tried once more: it depends on chance too")
    for fault in found.faults[:_LISTED]:
        say(f"inject:   {fault.site} {fault.exact}{f' on {fault.path}' if fault.path else ''}")
    if left > _LISTED:
        say(f"inject:   and {left - _LISTED} more")
    for other in found.others[:_SHOWN]:
        say(f"inject: on the way it also failed so: {other.fingerprint}")
        say(f"inject:   {_line(other.faults, command)}", LAYOUT)
    if len(found.others) > _SHOWN:
        say(f"inject: and in {len(found.others) - _SHOWN} other ways")
    if found.faults:
        say(f"inject: written to {path}")


def _line(faults: Faults, command: list[str]) -> str:
    """Return the command that injects these faults."""
    rules = [word for fault in faults for word in ("-e", fault.text())]
    parse_rules(rules[1::2])  # what is printed can be typed
    return pasteable(shlex.join(["inject", "run", *rules, "--", *command]), LAYOUT)
