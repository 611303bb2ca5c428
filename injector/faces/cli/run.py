"""`inject run`: start a program and inject into it, until its last task is gone."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import AbstractContextManager, ExitStack
from functools import partial
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
from injector.faces.cli.printer import Printer, ended_line, run_left_line, say, unfired_lines
from injector.faces.cli.usage import WithCommand
from injector.faces.plain import LAYOUT, pasteable
from injector.linux.launch import find, hold_standard_descriptors
from injector.linux.signals import die_by
from injector.rules.decide import RulesDecider
from injector.session.journal import Journal
from injector.session.session import Session
from injector.session.start import EngineName, engine_for_run, launched, traced
from injector.words.errors import InjectError, NotifyRefused

TIMED_OUT = 124  # as timeout(1)


@click.command(
    cls=WithCommand,
    needs_rules=True,
    epilog="\b\nExamples:\n"
    "  inject run -e 'openat:path=/etc/hostname:error=EACCES' -- cat /etc/hostname\n"
    "  inject run fd-exhaustion --seed 7 -- find /etc -name hosts\n"
    "  inject run -e 'write:fd=1:delay=10ms..50ms' --journal run.jsonl -- seq 3",
)
@click.argument("scenario", required=False, shell_complete=scenarios)
@shared_options
@click.option(
    "--timeout",
    metavar="T",
    help="End the target after so long, as 10s: SIGTERM, two seconds later SIGKILL; status 124.",
)
@click.option(
    "--kill-on-exit",
    is_flag=True,
    help="Should inject be killed, CMD is too; else it runs on without faults.",
)
@click.option("--live", is_flag=True, help="Show the faults as they happen, and steer them.")
@click.pass_context
def run(
    ctx: click.Context,
    scenario: str | None,
    expressions: tuple[str, ...],
    seed: int | None,
    journal: Path | None,
    engine: str,
    timeout: str | None,
    kill_on_exit: bool,
    live: bool,
    require_fired: bool,
    watch: str | None,
    stacks: bool,
    quiet: bool,
) -> None:
    """Start CMD and make its system calls fail as SCENARIO and the rules of -e say.

    SCENARIO is a file or the name of a shipped one (inject list scenarios). CMD keeps its own
    input, output and terminal, and its exit status is passed on; death by a signal is repeated.
    125 is an error of our own, 126 and 127 a CMD that cannot be executed or found, 124 one whose
    --timeout ran out.
    """
    hold_standard_descriptors()
    command: list[str] = ctx.meta.get("command", [])
    if not command:
        raise InjectError(
            "there is no command to run",
            help="put it behind --, for example: inject run fd-exhaustion -- redis-server",
        )
    limit = time_span("--timeout", timeout)
    watched = watched_calls(watch)
    checked = gather(scenario, expressions)
    chosen, why = engine_for_run(engine, checked, stacks)
    find(command[0])
    seed, origin = settle_seed(seed, checked)
    live = live and take_dashboard(True)
    writer = Journal(journal) if journal is not None else None
    if not quiet:
        opening(checked, seed, origin, f"{chosen} ({why})" if why else chosen)
        say_what_stacks_lack(checked, stacks)
    decider = RulesDecider(checked, seed)
    printer = Printer(faults=not quiet and not live and os.isatty(2), quiet=quiet)

    def start(chosen: EngineName) -> AbstractContextManager[Session]:
        begin = traced if chosen == "ptrace" else partial(launched, engine=chosen)
        return begin(
            command,
            decider,
            checked,
            watched=watched,
            timeout=limit,
            kill_on_exit=kill_on_exit,
            stacks=stacks,
        )

    with ExitStack() as stack:
        try:
            session = stack.enter_context(start(chosen))
        except NotifyRefused as refusal:
            if engine != "auto":
                raise
            chosen = "ptrace"
            if not quiet:
                say(f"inject: {refusal.message}: engine ptrace instead")
            session = stack.enter_context(start(chosen))
        first = header(command, checked, seed, chosen, watched)
        session.introduce(first)
        if writer is not None:
            writer.write(first)
        ended = follow(session, writer, printer)
        if writer is not None:
            writer.close()
        if not quiet:
            left = ended.detached
            say(run_left_line(command[0], ended) if left else ended_line(command[0], ended))
            closing(decider)
            options = [*(["--timeout", timeout] if timeout else [])]
            again = _again(scenario, expressions, seed, options, command)
            if session.steered and journal is not None:
                again = shlex.join(["inject", "replay", str(journal)])
            say(f"inject: repeat with: {pasteable(again, LAYOUT)}", LAYOUT)
            if session.steered and journal is None:
                say("inject: it was steered by hand: with --journal inject replay repeats that too")
    if ended.detached:
        sys.exit(0)
    if ended.timed_out:
        sys.exit(TIMED_OUT)
    missed = unfired_lines(list(decider.totals())) if require_fired else []
    if missed:
        for line in missed if quiet else ():
            say(line)
        sys.exit(NOT_FIRED)
    if ended.signal is not None:
        die_by(ended.signal)
    sys.exit(ended.exit)


def _again(
    spec: str | None,
    expressions: tuple[str, ...],
    seed: int,
    options: list[str],
    command: list[str],
) -> str:
    words = ["inject", "run", *([spec] if spec else [])]
    for expression in expressions:
        words += ["-e", expression]
    return shlex.join([*words, "--seed", str(seed), *options, "--", *command])
