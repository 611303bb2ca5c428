"""`inject run`: start a program and inject into it, until its last task is gone."""

from __future__ import annotations

import errno
import gc
import os
import random
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from injector.engines.able import require_notify
from injector.engines.notify import ROLES, NotifyEngine
from injector.faces.cli.check import gather
from injector.faces.cli.completion import scenarios
from injector.faces.cli.printer import (
    Printer,
    ended_line,
    nearest_miss,
    rule_table,
    say,
)
from injector.linux import seccomp
from injector.linux.doorbell import Doorbell
from injector.linux.keeper import Keeper, raise_descriptor_limit
from injector.linux.launch import find, hold_standard_descriptors, launch
from injector.linux.procfs import cwd
from injector.linux.signals import Signals, die_by
from injector.rules.decide import RulesDecider
from injector.rules.scenario.fields import Bad, Mistakes, Text
from injector.rules.scenario.lint import lint
from injector.rules.scenario.sets import choose, split
from injector.rules.scenario.values import duration
from injector.rules.subscribe import subscriptions
from injector.session.journal import Journal
from injector.session.session import Ended, Session
from injector.words.errors import InjectError, NotAvailable
from injector.words.events import Header
from injector.words.model import Scenario
from injector.words.syscalls import compat, native

TIMED_OUT = 124  # as timeout(1)
NOT_FIRED = 3


class WithCommand(click.Command):
    """A command that is followed by `-- CMD...`, which is handed on untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what stands behind the first `--` away before click looks."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["command"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "-- CMD..."]


@click.command(
    cls=WithCommand,
    epilog="\b\nExamples:\n"
    "  inject run -e 'openat:path=/etc/hostname:error=EACCES' -- cat /etc/hostname\n"
    "  inject run fd-exhaustion --seed 7 -- curl -s http://localhost/\n"
    "  inject run -e 'write:fd=1:delay=10ms..50ms' --journal run.jsonl -- seq 3",
)
@click.argument("scenario", required=False, shell_complete=scenarios)
@click.option("-e", "expressions", metavar="RULE", multiple=True, help="A rule in one line.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    help="The same seed, the same faults. One is generated and printed otherwise.",
)
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Write the facts.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "notify", "ptrace"]),
    default="auto",
    help="How calls are stopped; ptrace is not available yet.",
)
@click.option(
    "--timeout",
    metavar="T",
    help="End the target after so long, as 10s: SIGTERM, two seconds later SIGKILL; status 124.",
)
@click.option("--require-fired", is_flag=True, help="Exit with 3 if a rule never fired.")
@click.option("--watch", metavar="SYSCALLS", help="Stop these calls too, without a fault.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.pass_context
def run(
    ctx: click.Context,
    scenario: str | None,
    expressions: tuple[str, ...],
    seed: int | None,
    journal: Path | None,
    engine: str,
    timeout: str | None,
    require_fired: bool,
    watch: str | None,
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
    if engine == "ptrace":
        raise NotAvailable("--engine ptrace is not available yet", help="say --engine notify")
    checked = gather(scenario, expressions)
    require_notify(checked)
    limit = _duration(timeout)
    find(command[0])
    if seed is not None:
        origin = "given"
    elif checked.seed is not None:
        seed, origin = checked.seed, "from the scenario"
    else:
        seed, origin = random.SystemRandom().randrange(2**32), "generated"
    writer = Journal(journal) if journal is not None else None
    if not quiet:
        what = checked.name or "rules of the command line"
        say(f"inject: seed {seed} ({origin}), engine notify, {what} ({_count(checked)})")
        for warning in lint(checked):
            if not warning.hint:
                say(f"inject: warning: {warning.rule}: {warning.message}")
    header = Header(
        tuple(command),
        {"text": checked.text, "rules": [rule.text for rule in checked.rules]},
        seed,
        "notify",
        _version(),
        os.uname().release,
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        cwd(os.getpid()),
    )
    if writer is not None:
        writer.write(header)
    decider = RulesDecider(checked, seed)
    printer = Printer(faults=not quiet and os.isatty(2), quiet=quiet)
    ended = _supervise(command, decider, checked, _watched(watch), limit, printer, writer, quiet)
    totals = list(decider.totals())
    if not quiet:
        say(ended_line(command[0], ended))
        for line in rule_table(totals):
            say(line)
        for one in totals:
            if not one.fired:
                say(f"inject: {one.rule.name} never fired: {nearest_miss(one)}")
        say(f"inject: repeat with: {_again(scenario, expressions, seed, command)}")
    if ended.timed_out:
        sys.exit(TIMED_OUT)
    if require_fired and any(not one.fired for one in totals):
        sys.exit(NOT_FIRED)
    if ended.signal is not None:
        die_by(ended.signal)
    sys.exit(ended.exit)


def _supervise(
    command: list[str],
    decider: RulesDecider,
    checked: Scenario,
    watched: frozenset[str],
    timeout: int | None,
    printer: Printer,
    writer: Journal | None,
    quiet: bool,
) -> Ended:
    arches = (native(), *compat(native()))
    program = seccomp.build(subscriptions(checked.rules, {*ROLES, *watched}, arches))
    signals = Signals()
    engine = None
    try:
        keeper = Keeper()
    except OSError as error:
        raise _no_room(error) from error
    try:
        launched = launch(command, program, signals.inherited, keeper.watch_process)
        # The target keeps its own limit; we hold descriptors for each of its processes.
        raise_descriptor_limit()
        if launched.no_new_privs and not quiet:
            say(
                "inject: warning: without CAP_SYS_ADMIN the target runs with no_new_privs: "
                "setuid programs in it get no privilege"
            )
        bell = Doorbell()
        engine = NotifyEngine(launched, arches, bell, keeper)
        session = Session(engine, decider, bell, signals, keeper, timeout)
        bell.start()
        # What is alive now stays; the loop itself makes no cycles.
        gc.freeze()
        for event in session.events():
            if writer is not None:
                writer.write(event)
            printer.show(event)
        bell.close()
    except BaseException as error:
        if engine is not None:
            engine.end()
            bell.close()
        keeper.abandon()
        if _is_no_room(error):
            raise _no_room(error) from error
        raise
    else:
        keeper.dismiss()
    finally:
        signals.close()
        if writer is not None:
            writer.close()
    assert session.ended is not None  # events() ends with the footer
    return session.ended


def _is_no_room(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
    return isinstance(error, RuntimeError) and "thread" in str(error)


def _no_room(error: BaseException) -> InjectError:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return InjectError(
        f"the system refused what a run needs: {text}",
        help="ulimit -a shows the limits; a run needs two processes, a thread and two "
        "descriptors for each process of the target",
    )


def _duration(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return duration(text)
    except Bad as error:
        raise InjectError(f"--timeout: {error}") from error


def _watched(text: str | None) -> frozenset[str]:
    if text is None:
        return frozenset()
    notes = Mistakes()
    chosen = choose([Text(part, 1, at + 1) for part, at in split(text)], notes)
    if chosen is None:
        raise InjectError(f"--watch: {notes.found[0].message}", help=notes.found[0].help)
    return chosen.names


def _count(scenario: Scenario) -> str:
    return f"{len(scenario.rules)} rule{'s' * (len(scenario.rules) != 1)}"


def _again(spec: str | None, expressions: tuple[str, ...], seed: int, command: list[str]) -> str:
    words = ["inject", "run", *([spec] if spec else [])]
    for expression in expressions:
        words += ["-e", expression]
    return shlex.join([*words, "--seed", str(seed), "--", *command])


def _version() -> str:
    from importlib.metadata import version

    return version("syscall-inject")
