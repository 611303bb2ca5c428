"""What `run` and `attach` share: options, the seed, the header, the first and the last lines."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from injector import __version__
from injector.faces.cli.completion import rules
from injector.faces.cli.printer import Printer, rule_table, say, unfired_lines, warning_lines
from injector.linux import rendezvous
from injector.linux.procfs import cwd
from injector.rules.decide import RulesDecider
from injector.rules.scenario.fields import Bad, Mistakes, Text
from injector.rules.scenario.lint import lint
from injector.rules.scenario.sets import choose, split
from injector.rules.scenario.values import duration
from injector.session.journal import Journal
from injector.session.session import Ended, Session
from injector.words.errors import InjectError
from injector.words.events import Header
from injector.words.model import Scenario

NOT_FIRED = 3
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-e",
        "expressions",
        metavar="RULE",
        multiple=True,
        help="A rule in one line.",
        shell_complete=rules,
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**64 - 1),
        metavar="N",
        help="The same seed, the same faults. One is generated and printed otherwise.",
    ),
    click.option(
        "--journal", type=click.Path(dir_okay=False, path_type=Path), help="Write the facts."
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "notify", "ptrace"]),
        default="auto",
        help="How calls are stopped; auto takes the cheapest that can do what the rules ask.",
    ),
    click.option("--require-fired", is_flag=True, help="Exit with 3 if a rule never fired."),
    click.option("--watch", metavar="SYSCALLS", help="Stop these calls too, without a fault."),
    click.option(
        "--stacks", is_flag=True, help="Write each fault's call stack into the journal (ptrace)."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
)


def shared_options(command: F) -> F:
    """Give a command the options that every session has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_dashboard(live: bool | None, *, output: bool = True) -> bool:
    """Have a dashboard in front of this session, if it is wanted and can be; return whether so.

    Args:
        live: None where it is wanted on a terminal only.
        output: the target may write to our terminal.
    """
    if live is None:
        live = os.isatty(0) and os.isatty(2)
        told = False
    else:
        told = live
    if not live:
        return False
    from injector.faces.ui import front

    cannot = front.refusal()
    if cannot:
        if told:
            say(f"inject: no dashboard: {cannot}")
        return False
    front.take_up(output=output and any(map(os.isatty, range(3))))
    return True


def settle_seed(given: int | None, scenario: Scenario) -> tuple[int, str]:
    """Return the seed, and where it came from."""
    if given is not None:
        return given, "given"
    if scenario.seed is not None:
        return scenario.seed, "from the scenario"
    return random.SystemRandom().randrange(2**32), "generated"


def header(
    command: list[str],
    scenario: Scenario,
    seed: int,
    engine: str,
    watched: Iterable[str],
    pids: tuple[int, ...] = (),
) -> Header:
    """Return the journal's first line."""
    return Header(
        tuple(command),
        {
            "name": scenario.name,
            "text": scenario.text,
            "rules": [rule.text for rule in scenario.rules],
        },
        seed,
        engine,
        __version__,
        os.uname().release,
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        cwd(os.getpid()),
        pids,
        tuple(sorted(watched)),
    )


def opening(scenario: Scenario, seed: int, origin: str, engine: str, *, bare: bool = False) -> None:
    """Say the seed, the engine, and what is doubtful in the scenario.

    Args:
        bare: nobody asked for a rule.
    """
    what = scenario.name or "rules of the command line"
    count = f"{len(scenario.rules)} rule{'s' * (len(scenario.rules) != 1)}"
    rules = "no rule yet" if bare else f"{what} ({count})"
    say(f"inject: seed {seed} ({origin}), engine {engine}, {rules}")
    for line in () if bare else warning_lines(lint(scenario)):
        say(line)
    try:
        rendezvous.check()
    except InjectError as error:
        say(f"inject: warning: {error.message}; ps, watch and ctl do not see this session")
        if error.help:
            say(f"  {error.help}")


def say_what_stacks_lack(scenario: Scenario, stacks: bool) -> None:
    """Warn where call stacks are asked for and the library that reads them is missing."""
    if stacks or any(rule.match.caller is not None for rule in scenario.rules):
        from injector.linux.unwind import missing

        lacks = missing()
        if lacks:
            say(f"inject: warning: {lacks}")


def follow(session: Session, writer: Journal | None, printer: Printer) -> Ended:
    """Carry the session to its end: each event into the journal, and before people's eyes."""
    # What is alive now stays; the loop itself makes no cycles.
    gc.freeze()
    for event in session.events():
        if writer is not None:
            writer.write(event)
        printer.show(event)
    assert session.ended is not None  # events() ends with the footer
    return session.ended


def closing(decider: RulesDecider) -> None:
    """Say what each rule saw, and why one never fired."""
    totals = list(decider.totals())
    for line in rule_table(totals) if totals else ():
        say(line)
    for line in unfired_lines(totals):
        say(line)


def time_span(option: str, text: str | None) -> int | None:
    """Return the nanoseconds of an option.

    Raises:
        InjectError: it is no duration, or none at all.
    """
    if text is None:
        return None
    try:
        span = duration(text)
    except Bad as error:
        raise InjectError(f"{option}: {error}") from error
    if not span:
        raise InjectError(f"{option}: {text} is no time at all", help="say 10s, 500ms or 2m")
    return span


def watched_calls(text: str | None) -> frozenset[str]:
    """Return the calls of --watch.

    Raises:
        InjectError: a name is not known.
    """
    if text is None:
        return frozenset()
    notes = Mistakes()
    chosen = choose([Text(part, 1, at + 1) for part, at in split(text)], notes)
    if chosen is None:
        raise InjectError(f"--watch: {notes.found[0].message}", help=notes.found[0].help)
    return chosen.names
