"""`inject sweep`: try every kind of fault on a command, and say which it does not survive.

Progress and results go to stderr, all of it into the campaign's file.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from injector.campaigns.executors import executor
from injector.campaigns.outcome import Verdict
from injector.campaigns.report import rank
from injector.campaigns.store import FindingRow, Store
from injector.campaigns.sweep import Began, Event, Found, Planned, Ran, Settings, Sweep
from injector.faces.cli.check import gather
from injector.faces.cli.common import time_span
from injector.faces.cli.completion import rules, scenarios
from injector.faces.cli.printer import say
from injector.faces.cli.usage import WithCommand
from injector.faces.plain import pasteable, plain
from injector.linux.launch import find, hold_standard_descriptors
from injector.rules.scenario.text import rule_text
from injector.words.errors import InjectError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")
_STEPS = 10  # at most so many lines tell of progress where there is no terminal,
_SECONDS = 5.0  # and none sooner after the last


@click.command(
    cls=WithCommand,
    epilog="\b\nExamples:\n"
    "  inject sweep -- sort -o sorted.txt /etc/passwd\n"
    "  inject sweep -e '%memory:error=ENOMEM' --per-kind 2 -- tar -cf etc.tar /etc/hostname\n"
    "  inject sweep --check 'gzip -t copy.gz' --db gzip.db -- sh -c 'gzip -c /etc/group >copy.gz'",
)
@click.argument("scenario", required=False, shell_complete=scenarios)
@click.option(
    "-e",
    "expressions",
    metavar="RULE",
    multiple=True,
    help="Which calls and which faults, in one line. Without any, what is plausible at each call.",
    shell_complete=rules,
)
@click.option("--check", metavar="SHELL", help="What must hold after each run, without faults.")
@click.option("--setup", metavar="SHELL", help="Run before each run.")
@click.option("--teardown", metavar="SHELL", help="Run after each run.")
@click.option(
    "--workdir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="TEMPLATE",
    help="Each run works in a fresh copy of this folder.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep the copy of each finding's repeated run there.",
)
@click.option(
    "--timeout", metavar="T", help="A run that takes longer hangs. [default: 10 times the first's]"
)
@click.option(
    "--mode",
    type=click.Choice(["sites", "nth"]),
    default="sites",
    help="nth fails the 1st, 2nd, 3rd … call of each name until a run ends without a fault.",
)
@click.option(
    "--per-kind",
    type=click.IntRange(1),
    metavar="N",
    help="Calls to try of each kind. [default: 1]",
)
@click.option("--every", is_flag=True, help="Try every call, not one of each kind.")
@click.option(
    "--depth",
    type=click.IntRange(1, 2),
    metavar="N",
    default=1,
    help="2: second faults after each first too.",
)
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Runs at a time. [default: cores]"
)
@click.option("--cluster", metavar="ADDRESS", help="Run on a Dask cluster, tcp://HOST:8786.")
@click.option("--shard", metavar="K/N", help="Only the K-th of N parts; inject report joins them.")
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the results go. [default: NAME.sweep.db here]",
)
@click.option("--resume", is_flag=True, help="Go on with the campaign in the file.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but findings and errors.")
@click.pass_context
def sweep(
    ctx: click.Context,
    scenario: str | None,
    expressions: tuple[str, ...],
    check: str | None,
    setup: str | None,
    teardown: str | None,
    workdir: Path | None,
    keep: Path | None,
    timeout: str | None,
    mode: str,
    per_kind: int | None,
    every: bool,
    depth: int,
    jobs: int | None,
    cluster: str | None,
    shard: str | None,
    db: Path | None,
    resume: bool,
    quiet: bool,
) -> None:
    """Run CMD again and again, each time with one fault at another call, and judge what it does.

    A first run is recorded; calls from the same place in the program are one kind, and one of
    each kind is made to fail in every way that is plausible for it, once and from there on. A
    run shows a crash, a hang, a failed --check, data lost in silence, a storm of retries or
    something left behind; or the program handles the fault. CMD reads nothing, its output is
    kept in the file; {run} in it is the run's number, as INJECT_RUN in its environment. The
    exit status is 0 if every fault is handled, 1 if one is not, 125 on an error of our own.
    """
    hold_standard_descriptors()
    command: list[str] = ctx.meta.get("command", [])
    part = _part(shard)
    if not command and not (resume and db is not None):
        raise InjectError(
            "there is no command to run",
            help="put it behind --, for example: inject sweep -- sort -o sorted.txt /etc/passwd; "
            "or go on with inject sweep --resume --db FILE",
        )
    if every and per_kind is not None:
        raise InjectError("--every and --per-kind cannot both be given", help="leave one out")
    if command:
        wanted = gather(scenario, expressions, may_be_empty=True)
        limit = time_span("--timeout", timeout)
        settings = Settings(
            command=tuple(command),
            cwd=os.getcwd(),
            rules=tuple(rule_text(rule) for rule in wanted.rules),
            check=check,
            setup=setup,
            teardown=teardown,
            workdir=str(workdir.resolve()) if workdir is not None else None,
            mode="nth" if mode == "nth" else "sites",
            per_kind=None if every else per_kind or 1,
            depth=depth,
            timeout=limit / 1e9 if limit is not None else None,
        )
        name = wanted.name or os.path.basename(command[0])
        path = db or Path(f"{name}.sweep.db")
        find(command[0], settings.workdir or settings.cwd)
    else:
        assert db is not None
        path = db
        store = Store.open(path)
        campaign = store.campaign()
        settings = Settings.of(campaign)
        part = (campaign.options["shard"][0], campaign.options["shard"][1])
        store.close()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with executor(jobs, cluster) as (pool, width):
        campaign_run = Sweep(
            settings,
            path,
            pool,
            width,
            resume=resume,
            shard=part,
            keep=str(keep.resolve()) if keep is not None else "",
            environment=tuple(os.environ.items()),
        )
        teller = _Teller(campaign_run, quiet)
        try:
            with _display(teller, quiet) as display:
                for event in campaign_run.events():
                    teller.take(event)
                    display.show(event)
        except KeyboardInterrupt:
            say(teller.stopped())
            raise
        finally:
            campaign_run.close()
    for line in teller.summary():
        say(line)
    sys.exit(teller.status())


def _part(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    match = _SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise InjectError(f"--shard: '{text}' is no part", help="like 3/10, the third of ten")
    return int(match[1]), int(match[2])


class _Teller:
    """What happened, in words."""

    def __init__(self, campaign: Sweep, quiet: bool) -> None:
        self.campaign = campaign
        self.quiet = quiet
        self.planned = self.done = self.ran = 0
        self.findings: dict[str, FindingRow] = {}
        self._plan: Planned | None = None
        self._begun = time.monotonic()
        self._verdicts: Counter[str] = Counter()
        self._trouble = ""

    def take(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Began():
                self._begun = time.monotonic()
            case Planned():
                self._plan = event
                self.planned, self.done = event.runs, event.done
                self._verdicts = Counter(self.campaign.store.verdicts())
                self.findings = {one.fingerprint: one for one in self.campaign.store.findings()}
            case Ran(run, outcome):
                self.done += 1
                self.ran += 1
                self.planned = max(self.planned, self.done)
                self._verdicts[outcome.verdict.value] += 1
                if outcome.verdict is Verdict.ERROR:
                    self._trouble = self._trouble or plain(f"{run.key}: {outcome.detail}")
            case Found(finding):
                self.findings[finding.fingerprint] = finding

    @property
    def rate(self) -> float:
        """Runs a second."""
        return self.ran / max(time.monotonic() - self._begun, 1e-6)

    def opening(self, event: Began) -> list[str]:
        """Return what the runs without faults showed."""
        baseline = event.baseline
        seconds = baseline.first.result.seconds
        lines = [
            f"inject: without faults it takes {seconds:.2f} s; one that takes longer than "
            f"{event.limit:.4g} s hangs; the results are in {self.campaign.path}"
        ]
        if self.campaign.settings.workdir is None:
            lines.append(
                "inject: without --workdir all runs work in this folder, and what they do to files "
                "in it is not compared"
            )
        if baseline.first.result.status:
            lines.append(
                f"inject: warning: it ends with status {baseline.first.result.status} without "
                "any fault; silent losses are not looked for"
            )
        if baseline.unstable:
            lines.append(
                "inject: these differ from run to run without faults and are not compared: "
                + ", ".join(baseline.unstable)
            )
        return lines

    def plan(self, event: Planned) -> str:
        """Return what is to be done."""
        done = f", {event.done} of them made before" if event.done else ""
        if self.campaign.settings.mode == "nth":
            return f"inject: {_count(event.points, 'call')} recorded; counting up{done}"
        return (
            f"inject: {_count(event.points, 'call')} of {_count(event.kinds, 'kind')}, "
            f"{_count(event.runs, 'run')} to make{done}"
        )

    def finding(self, finding: FindingRow) -> str:
        """Return a finding as it is found."""
        return f"inject: {finding.verdict}: {plain(finding.title)}"

    def stopped(self) -> str:
        """Return how to go on."""
        if self._plan is None:
            return "inject: stopped before the first fault; nothing is kept"
        path = shlex.quote(str(self.campaign.path))
        return (
            f"inject: stopped after {self.done} of {_count(self.planned, 'run')}, all kept; "
            f"go on with: inject sweep --resume --db {path}"
        )

    def summary(self) -> list[str]:
        """Return what came of it all."""
        plan = self._plan
        assert plan is not None  # the campaign came to its end
        counts = ", ".join(f"{self._verdicts[one]} {one}" for one in Verdict if self._verdicts[one])
        took = time.monotonic() - self._begun
        lines = [
            f"inject: {_count(plan.points, 'call')} of {_count(plan.kinds, 'kind')}, "
            f"{_count(self.done, 'run')}"
            + (f", {self.ran} now" if self.ran != self.done else "")
            + f" in {took:.1f} s ({self.rate:.0f} a second)"
            + (f": {counts}" if counts else ""),
        ]
        if self._trouble:
            lines.append(
                f"inject: {_count(self._verdicts[Verdict.ERROR.value], 'run')} could not be made, "
                f"the first is {self._trouble}"
            )
        found = sorted(self.findings.values(), key=rank)
        if not self.done:
            lines.append(
                "inject: nothing was tried: no call was recorded that a fault is plausible for"
                if not self.campaign.settings.rules
                else "inject: nothing was tried: no call was recorded that the rules match"
            )
        elif not found:
            lines.append("inject: nothing found: every fault was handled")
        else:
            lines += self._table(found)
        if not self.quiet:
            path = shlex.quote(str(self.campaign.path))
            lines.append(f"inject: next: inject report {path}")
        return lines

    def _table(self, found: list[FindingRow]) -> list[str]:
        lines = [f"inject: {_count(len(found), 'finding')}:"]
        wide = len(str(len(found)))
        verdict = max(len(one.verdict) for one in found)
        runs = max(len(_count(one.runs, "run")) for one in found)
        again = max(len(_again(one)) for one in found)
        for number, one in enumerate(found, 1):
            lines.append(
                f"  {number:>{wide}}  {one.verdict:<{verdict}}  {_count(one.runs, 'run'):<{runs}}  "
                f"{_again(one):<{again}}  {plain(one.title)}"
            )
            lines.append(f"  {'':>{wide}}  {pasteable(one.command)}")
        return lines

    def status(self) -> int:
        """Return the exit status."""
        if self.findings:
            return 1
        return 125 if self._trouble else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _again(finding: FindingRow) -> str:
    match finding.flaky:
        case None:
            return "not repeated"
        case True:
            return "flaky"
        case False:
            return "repeats"


class _Display(Protocol):
    def show(self, event: Event) -> None:
        """Show an event."""


@contextmanager
def _display(teller: _Teller, quiet: bool) -> Iterator[_Display]:
    if quiet or not os.isatty(2):
        yield _Lines(teller, quiet)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[found]}"),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield _Bar(teller, progress)


class _Lines:
    """Where there is no terminal: few lines, and each finding."""

    def __init__(self, teller: _Teller, quiet: bool) -> None:
        self._teller = teller
        self._quiet = quiet
        self._step = 0
        self._last = time.monotonic()
        self._told: set[str] = set()

    def show(self, event: Event) -> None:
        """Print what a person should know now."""
        teller = self._teller
        match event:
            case Began() if not self._quiet:
                for line in teller.opening(event):
                    say(line)
            case Planned() if not self._quiet:
                say(teller.plan(event))
            case Ran() if not self._quiet and teller.campaign.settings.mode == "sites":
                step = teller.done * _STEPS // max(teller.planned, 1)
                late = time.monotonic() >= self._last + _SECONDS
                if late and step > self._step and teller.done < teller.planned:
                    self._step, self._last = step, time.monotonic()
                    say(
                        f"inject: {teller.done} of {_count(teller.planned, 'run')}, "
                        f"{teller.rate:.0f} a second, {_count(len(teller.findings), 'finding')}"
                    )
            case Found(finding) if finding.fingerprint not in self._told:
                self._told.add(finding.fingerprint)
                say(teller.finding(finding))
            case _:
                pass


class _Bar:
    """On a terminal: a bar below, findings above it."""

    def __init__(self, teller: _Teller, progress: Progress) -> None:
        self._teller = teller
        self._progress = progress
        self._task: TaskID = progress.add_task("recording", total=None, rate="", found="")
        self._told: set[str] = set()

    def show(self, event: Event) -> None:
        """Draw it."""
        teller = self._teller
        match event:
            case Began():
                self._say(teller.opening(event))
            case Planned():
                self._say([teller.plan(event)])
                self._progress.update(self._task, description="sweeping")
            case Found(finding) if finding.fingerprint not in self._told:
                self._told.add(finding.fingerprint)
                self._say([teller.finding(finding)])
            case _:
                pass
        total = None if teller.campaign.settings.mode == "nth" else teller.planned
        self._progress.update(
            self._task,
            completed=teller.done,
            total=total,
            rate=f"{teller.rate:.0f}/s",
            found=_count(len(teller.findings), "finding"),
        )

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
