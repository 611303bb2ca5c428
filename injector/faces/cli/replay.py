"""`inject replay`: the faults of a journal once more, and whether the same comes of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import click

from injector.campaigns.replay import Recorded, Replayed, Verdict, judge, recorded
from injector.faces.cli.common import follow, header, time_span
from injector.faces.cli.printer import Printer, say
from injector.faces.cli.usage import WithCommand
from injector.linux.launch import find, hold_standard_descriptors
from injector.rules.plan import PlanDecider
from injector.rules.scenario.values import duration_text
from injector.session.journal import Journal, read
from injector.session.start import engine_for_run, launched
from injector.words.errors import InjectError

STATUS = {Verdict.FIXED: 0, Verdict.REPRODUCED: 1, Verdict.OTHERWISE: 1, Verdict.UNKNOWN: 3}
_MISSES = 5  # shown one by one


@click.command(
    cls=WithCommand,
    epilog="\b\nExamples:\n"
    "  inject run -e 'write:error=ENOSPC' --journal j -- seq 3; inject replay j -- seq 3\n"
    "  inject run -e 'read:path=/etc/hosts:error=EIO' --journal j -- cat /etc/hosts; "
    "inject replay j",
)
@click.argument("recording", metavar="JOURNAL", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(["auto", "notify", "ptrace"]),
    default="auto",
    help="How calls are stopped; auto takes the cheapest that can do what the faults ask.",
)
@click.option("--timeout", metavar="T", help="End the target after so long; the journal's else.")
@click.option(
    "--check", metavar="CMD", help="A shell command that fails where the failure is there."
)
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Write the facts.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the verdict and errors.")
@click.pass_context
def replay(
    ctx: click.Context,
    recording: Path,
    engine: str,
    timeout: str | None,
    check: str | None,
    journal: Path | None,
    quiet: bool,
) -> None:
    """Inject exactly the faults of JOURNAL into CMD, each at its site, and say what came of it.

    CMD is the journal's own if it is left out, in the folder it ran in. The exit status is 1
    where the failure is reproduced (or it fails otherwise), 0 where it is fixed, 3 where that
    cannot be told: a site was never reached, or another call was there. 125 is an error of ours.
    """
    hold_standard_descriptors()
    original = recorded(recording)
    given: list[str] = ctx.meta.get("command", [])
    command = given or list(original.command)
    limit = time_span("--timeout", timeout)
    if limit is None and original.ending.how == "hang":
        limit = int(original.ending.t * 1e9)
    scenario = original.plan.scenario(recording.name)
    chosen, why = engine_for_run(engine, scenario)
    with contextlib.ExitStack() as stack:
        path = journal.absolute() if journal is not None else _nowhere(stack)
        writer = Journal(path)
        stack.callback(writer.close)
        if not given:
            _go_to(original.cwd)
        find(command[0])
        if not quiet:
            count = len(original.plan.faults)
            say(
                f"inject: replay of {recording}: {count} fault{'s' * (count != 1)}, "
                f"engine {f'{chosen} ({why})' if why else chosen}"
                f"{', of a run whose journal breaks off' * original.torn}"
            )
        decider = PlanDecider(original.plan, scenario, original.seed)
        printer = Printer(faults=not quiet and os.isatty(2), quiet=quiet)
        writer.write(header(command, scenario, original.seed, chosen, ()))
        with launched(command, decider, scenario, engine=chosen, timeout=limit) as session:
            follow(session, writer, printer)
        status = subprocess.run(["/bin/sh", "-c", check]).returncode if check else None
        found = judge(original, decider, list(read(path)), status)
    _tell(original, found, quiet)
    if limit is not None and not quiet and found.ending.how == "hang":
        say(f"inject: its time was {duration_text(limit)}")
    sys.exit(STATUS[found.verdict])


def _nowhere(stack: contextlib.ExitStack) -> Path:
    """Return a file for the journal that nobody keeps."""
    fd = os.memfd_create("journal", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    return Path(f"/proc/self/fd/{fd}")


def _go_to(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise InjectError(
            f"the command ran in {folder}: {error.strerror}", help="say -- CMD... yourself"
        ) from error


def _tell(original: Recorded, found: Replayed, quiet: bool) -> None:
    """Say the verdict, and what is behind it."""
    count = len(original.plan.faults)
    if not quiet:
        for missed in found.missed[:_MISSES]:
            say(
                f"inject: {missed.fault.site} ({missed.fault.exact}) did not come as in the journal"
            )
            for line in missed.lines:
                say(f"inject:   {line}")
        if len(found.missed) > _MISSES:
            say(f"inject: so did {len(found.missed) - _MISSES} more")
    hit = f"{count - len(found.missed)} of {count} fault{'s' * (count != 1)} at their sites"
    now, before = found.ending.how, original.ending.how
    if original.torn:
        before = f"{original.ending.how}, then no end".removeprefix(", then ")
    ends = now if now == before else f"{now}, where the journal has {before}"
    say(f"inject: {found.verdict}: {hit}; {ends}")
