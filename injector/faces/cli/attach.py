"""`inject attach`: inject into processes that run already, and let them go unharmed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from injector.faces.cli.check import gather
from injector.faces.cli.common import (
    NOT_FIRED,
    closing,
    follow,
    header,
    opening,
    say_what_stacks_lack,
    settle_seed,
    shared_options,
    take_dashboard,
    time_span,
    watched_calls,
)
from injector.faces.cli.completion import scenarios
from injector.faces.cli.printer import (
    Printer,
    attached_line,
    left_line,
    remains_line,
    say,
    unfired_lines,
)
from injector.linux import procfs
from injector.rules.decide import RulesDecider
from injector.session.journal import Journal
from injector.session.start import attached, engine_for_attach, grafted, named_calls
from injector.words.errors import InjectError


@click.command(
    epilog="\b\nExamples:\n"
    "  sleep 3 & inject attach $! -e 'clock_nanosleep:error=EINTR' --duration 1s\n"
    "  sleep 3 & inject attach $! slow-disk --duration 500ms --journal faults.jsonl",
)
@click.argument("words", metavar="PID... [SCENARIO]", nargs=-1, shell_complete=scenarios)
@shared_options
@click.option("--duration", metavar="T", help="Let go after so long, as 30s; else at Ctrl-C.")
@click.option(
    "--live/--no-live",
    default=None,
    help="Show the faults as they happen, and steer them; by default on a terminal.",
)
def attach(
    words: tuple[str, ...],
    expressions: tuple[str, ...],
    seed: int | None,
    journal: Path | None,
    engine: str,
    duration: str | None,
    live: bool | None,
    require_fired: bool,
    watch: str | None,
    stacks: bool,
    quiet: bool,
) -> None:
    """Make system calls of running processes fail as SCENARIO and the rules of -e say.

    All threads of each PID are traced, those born later, and all processes they start. At
    Ctrl-C, SIGTERM, SIGHUP or when --duration is over they are let go and run on as before; they
    do too if inject is killed. The exit status is 0, 125 for an error of our own.

    With --engine notify a PID gets a filter instead and pays for the named calls only, but the
    filter stays until PID ends, and so does a small keeper process that lets its calls be made.
    """
    pids, scenario = _parts(words)
    limit = time_span("--duration", duration)
    watched = watched_calls(watch)
    checked = gather(scenario, expressions, may_be_empty=True)
    seed, origin = settle_seed(seed, checked)
    decider = RulesDecider(checked, seed)
    names = [procfs.comm(pid) for pid in pids]
    writer = None
    chosen = engine_for_attach(engine, checked, pids, stacks)
    shown = take_dashboard(False if quiet and live is None else live, output=False)
    with (
        grafted(pids, decider, checked, watched=watched, duration=limit)
        if chosen == "notify"
        else attached(pids, decider, checked, watched=watched, duration=limit, stacks=stacks)
    ) as session:
        keeper = session.keeper
        if not quiet:
            bare = scenario is None and not expressions
            opening(checked, seed, origin, chosen, bare=bare)
            say_what_stacks_lack(checked, stacks)
            say(attached_line(pids, names, [len(procfs.threads(pid)) for pid in pids], limit))
        command = procfs.cmdline(pids[0]).split(" ")
        first = header(command, checked, seed, chosen, watched, tuple(pids))
        session.introduce(first)
        if journal is not None:
            writer = Journal(journal)
            writer.write(first)
        printer = Printer(faults=not quiet and not shown and os.isatty(2), quiet=quiet)
        ended = follow(session, writer, printer)
    if writer is not None:
        writer.close()
    if not quiet:
        say(left_line(pids, names, ended))
        if keeper is not None and ended.detached:
            say(remains_line(pids, names, named_calls(checked) | watched, keeper))
        closing(decider)
    missed = unfired_lines(list(decider.totals())) if require_fired else []
    if missed:
        for line in missed if quiet else ():
            say(line)
        sys.exit(NOT_FIRED)


def _parts(words: tuple[str, ...]) -> tuple[list[int], str | None]:
    """Return the process numbers and the scenario.

    Raises:
        InjectError: there is no number, or a word too many.
    """
    pids = [int(word) for word in words if word.isdecimal()]
    others = [word for word in words if not word.isdecimal()]
    if not pids:
        raise InjectError(
            "there is no process to attach to",
            help="give its number: inject attach $(pgrep -o NAME) ...",
        )
    if len(others) > 1:
        raise InjectError(
            f"one scenario at a time: {others[0]} or {others[1]}?",
            help="process numbers are digits; further rules go with -e",
        )
    return list(dict.fromkeys(pids)), others[0] if others else None
