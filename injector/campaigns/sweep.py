"""The campaign that tries every kind of fault: plan, run, judge, repeat what was found.

Yields what happens and prints nothing. Runs are made elsewhere (`executors`); every result is
in the store before it is told. Whatever ends us, a Sweep over the same store goes on.
"""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias

from injector import __version__
from injector.campaigns.attempt import Attempt, Attempted, Facts, attempt
from injector.campaigns.executors import Runner, shard_of
from injector.campaigns.hand import HandLost
from injector.campaigns.oracle import Baseline, judge
from injector.campaigns.outcome import Outcome, Verdict
from injector.campaigns.plausible import modes, usual
from injector.campaigns.points import Point, faults_of, representatives
from injector.campaigns.repeat import repeat_line
from injector.campaigns.stacks import bare, site_function
from injector.campaigns.store import Campaign, FindingRow, Mode, PointRow, RunRow, Store
from injector.campaigns.trial import Job, Result
from injector.rules.scenario.oneline import parse_rules
from injector.rules.scenario.text import rule_text
from injector.words.errors import InjectError
from injector.words.model import Fail, Rule, Scenario, When

_UNLIMITED = 120.0  # seconds for the first run, of which nobody knows how long it takes
_LEAST = 5.0  # seconds before a run counts as hung
_TIMES = 10  # so many times as long as without faults is a hang
_RECORDING = 100  # times slower a recording may be
_NO_LEAK_CHECK = "LeakSanitizer does not work under ptrace"  # lsan_common_linux.cpp
_AHEAD = 3  # runs for each that is made: it, the next one, and one that is judged
_UNNAMED = ":name=rule-1"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign runs: all that must be the same when it is resumed, or merged.

    Attributes:
        rules: of the scenario in one line each; () for plausible faults at every call.
        per_kind: so many points of each kind are tried, None for all.
        timeout: seconds for one run, None for what the first one suggests.
        depth: 2 for second faults too.
    """

    command: tuple[str, ...]
    cwd: str
    rules: tuple[str, ...] = ()
    check: str | None = None
    setup: str | None = None
    teardown: str | None = None
    workdir: str | None = None
    mode: Literal["sites", "nth"] = "sites"
    per_kind: int | None = 1
    depth: int = 1
    timeout: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON, without the command."""
        fields = asdict(self)
        del fields["command"]
        return {**fields, "rules": list(self.rules)}

    @classmethod
    def of(cls, campaign: Campaign) -> Settings:
        """Return the settings of a campaign that was begun."""
        known = {k: v for k, v in campaign.options.items() if k in cls.__dataclass_fields__}
        return cls(**{**known, "command": campaign.command, "rules": tuple(known["rules"])})


@dataclass(frozen=True, slots=True)
class Began:
    """The program was run without faults, and its calls recorded."""

    baseline: Baseline
    limit: float


@dataclass(frozen=True, slots=True)
class Planned:
    """So many runs are to be made in all; `done` of them were before."""

    points: int
    kinds: int
    runs: int
    done: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A run was made."""

    run: RunRow
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """A finding that is new, or was repeated."""

    finding: FindingRow


Event: TypeAlias = Began | Planned | Ran | Found
Then: TypeAlias = Callable[[Attempted], Iterator[Event]]


@dataclass(frozen=True, slots=True)
class _Task:
    wish: Attempt
    then: Then


@dataclass(slots=True)
class _Chain:
    """The plain loop of one rule: its 1st, 2nd, 3rd … call, until a run ends without a fault."""

    rule: Rule
    calls: str
    fault: str
    onward: bool
    number: int = 1

    @property
    def name(self) -> str:
        return f"nth {'persistent' if self.onward else 'once'} {rule_text(self.rule)}"

    def text(self) -> str:
        last = None if self.onward else self.number
        # It is the only rule, whose name this is without a word.
        return rule_text(replace(self.rule, when=When(self.number, last))).removesuffix(_UNNAMED)


class Sweep:
    """One campaign, new or resumed."""

    def __init__(
        self,
        settings: Settings,
        path: Path,
        pool: Runner,
        width: int,
        *,
        resume: bool = False,
        shard: tuple[int, int] = (1, 1),
        keep: str = "",
        environment: tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        """Begin a campaign, or go on with the one in the file.

        Args:
            width: so many runs are made at a time.
            shard: k of n: of the runs only those of this part are made.
            keep: a folder for the folders of the runs that repeat the findings.

        Raises:
            InjectError: the file holds another campaign, or one where a new one is begun.
        """
        self.settings = settings
        self.path = path
        self._pool = pool
        self._width = width
        self._shard = shard
        self._keep = keep
        self._environment = environment
        self._store: Store | None = None
        self._resume = resume
        self._number = 0
        self._limit = settings.timeout or _UNLIMITED
        self._wanted = Scenario(parse_rules(settings.rules)) if settings.rules else None
        self._ready: deque[_Task] = deque()
        self._pending: dict[Future[Attempted], _Task] = {}
        self._over: SimpleQueue[Future[Attempted]] = SimpleQueue()  # of the pending ones
        self._points: dict[str, PointRow] = {}
        self._kinds: set[str] = set()
        self._findings: dict[str, FindingRow] = {}
        self._first: dict[str, int] = {}  # of each finding, the number of the run that shows it
        self._baseline: Baseline | None = None

    @property
    def store(self) -> Store:
        """The campaign's file; there is one from Began on."""
        assert self._store is not None
        return self._store

    @property
    def baseline(self) -> Baseline:
        """The runs without faults; known from Began on."""
        assert self._baseline is not None
        return self._baseline

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()

    # -- the course of it --------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Run it to its end.

        Raises:
            InjectError: the program fails without faults, or runs cannot be made.
        """
        if self._resume:
            self._load()
        else:
            yield from self._begin()
        yield Began(self.baseline, self._limit)
        if self.settings.mode == "nth":
            self._plan_chains()
        yield self._planned()
        self._rebuild()
        # What could not be made may be made now.
        undone = "(state = 'planned' OR verdict = 'error' AND mode != 'nth') AND shard = ?"
        for run in list(self.store.runs(undone, self._shard[:1])):
            self._add(run)
        yield from self._work()
        if self.settings.depth > 1 and self.settings.mode == "sites":
            yield from self._deeper()
        yield from self._verify()

    def _begin(self) -> Iterator[Event]:
        Store.require_vacant(self.path)  # before the program is run: nobody waits for a refusal
        first, second = (self._sound(Attempt(self._job(()))) for _ in range(2))
        self._limit = self.settings.timeout or max(
            _LEAST, _TIMES * max(first.result.seconds, second.result.seconds)
        )
        recording = self._sound(self._recording(()))
        calls = dict(recording.result.calls)
        self._baseline = Baseline.of((first, second, recording), calls)
        options = {**self.settings.as_json(), "shard": list(self._shard), "limit": self._limit}
        made = datetime.now(UTC).isoformat(timespec="seconds")
        self._store = Store.create(
            self.path,
            Campaign(made, __version__, self.settings.command, options, self._baseline.as_json()),
        )
        self._adopt(recording.points)
        runs = self._plan(recording.points) if self.settings.mode == "sites" else []
        self.store.plan(_told(recording.points, runs), runs, recorded="")
        yield from ()

    def _load(self) -> None:
        store = self._store = Store.open(self.path)
        store.claim()
        campaign = store.campaign()
        theirs = Settings.of(campaign)
        if theirs != self.settings:
            differ = [
                name
                for name in Settings.__dataclass_fields__
                if getattr(theirs, name) != getattr(self.settings, name)
            ]
            raise InjectError(
                f"{self.path} holds a campaign with another {', '.join(differ)}",
                help=f"inject sweep --resume --db {shlex.quote(str(self.path))} goes on with it "
                "as it was begun; --db FILE begins another",
            )
        if campaign.options["shard"] != list(self._shard):
            raise InjectError(
                f"{self.path} holds shard {'/'.join(map(str, campaign.options['shard']))}",
                help="give the same --shard, or another --db",
            )
        if campaign.version != __version__:
            raise InjectError(
                f"{self.path} was begun with inject {campaign.version}, this is {__version__}",
                help="go on with that version, or begin again with --db FILE",
            )
        self._baseline = Baseline.from_json(campaign.baseline)
        self._limit = campaign.options.get("limit", self._limit)
        self._number = max((run.number for run in store.runs()), default=3)
        if "" not in store.recorded():
            points = self._sound(self._recording(())).points
            runs = self._plan(points) if self.settings.mode == "sites" else []
            store.plan(_told(points, runs), runs, recorded="")
        for row in store.points():
            self._points[row.site] = row
            self._kinds.add(row.kind)

    def _require_sound(self, run: Attempted) -> None:
        result = run.result
        name = self.settings.command[0]
        if result.error:
            help_ = ""
            if self.settings.workdir and "/" in name and not os.path.isabs(name):
                help_ = "in a copy of the --workdir a relative path leads elsewhere: say it in full"
            raise InjectError(result.error, help=help_)
        if _NO_LEAK_CHECK in result.stderr.tail:
            raise InjectError(
                f"{name} cannot be recorded: its LeakSanitizer does not work while it is traced",
                help="leave it out of all runs: ASAN_OPTIONS=detect_leaks=0 inject sweep …",
            )
        if result.timed_out:
            raise InjectError(
                f"{name} did not end within {self._limit:g} s without any fault",
                help="a sweep needs a command that ends by itself; or give a longer --timeout",
            )
        if result.signal is not None:
            raise InjectError(f"{name} is killed by {result.signal} without any fault")
        if result.check is not None and result.check.status != 0:
            said = result.check.tail.strip().splitlines()
            raise InjectError(
                f"the check fails without any fault{f': {said[-1]}' if said else ''}",
                help="--check is to succeed when all is well",
            )

    def _planned(self) -> Planned:
        runs, done = self.store.counts(self._shard[0])
        return Planned(len(self._points), len(self._kinds), runs, done)

    # -- runs ---------------------------------------------------------------------

    def _job(self, rules: tuple[str, ...], number: int | None = None) -> Job:
        if number is None:
            self._number += 1
            number = self._number
        settings = self.settings
        return Job(
            command=settings.command,
            rules=rules,
            timeout=self._limit,
            setup=settings.setup,
            check=settings.check,
            teardown=settings.teardown,
            workdir=settings.workdir,
            cwd=settings.cwd,
            environment=self._environment,
            number=number,
        )

    def _now(self, wish: Attempt) -> Attempted:
        return self._made(self._pool.submit(attempt, wish), wish.job.number)

    def _sound(self, wish: Attempt) -> Attempted:
        """Make a run without faults; one that does not come off is nothing to compare with."""
        made = self._now(wish)
        self._require_sound(made)
        return made

    def _recording(self, rules: tuple[str, ...]) -> Attempt:
        job = self._job(rules)
        slow = replace(job, timeout=max(_UNLIMITED, _RECORDING * job.timeout))
        return Attempt(slow, record=True, wanted=self._wanted)

    def _work(self) -> Iterator[Event]:
        """Make the runs that are ready, and those that come of them."""
        while self._ready or self._pending:
            while self._ready and len(self._pending) < _AHEAD * self._width:
                task = self._ready.popleft()
                future = self._pool.submit(attempt, task.wish)
                self._pending[future] = task
                future.add_done_callback(self._over.put)
            future = self._over.get()
            task = self._pending.pop(future)
            yield from task.then(self._made(future, task.wish.job.number))

    @staticmethod
    def _made(future: Future[Attempted], number: int) -> Attempted:
        """Return what came of a run, also if it cost the process that made it its life."""
        try:
            return future.result()
        except CancelledError as error:
            raise InjectError("the cluster is gone", help="--resume goes on with it") from error
        except HandLost as error:
            return Attempted(Result(number, error=error.message), Facts())
        except OSError as error:
            return Attempted(Result(number, error=str(error)), Facts())

    def _add(self, run: RunRow) -> None:
        wish = Attempt(self._job(run.rules, run.number))
        self._ready.append(_Task(wish, partial(self._ran, run)))

    def _ran(self, run: RunRow, made: Attempted) -> Iterator[Event]:
        outcome = judge(made, self.baseline)
        fingerprint = f"{outcome.fingerprint} at {run.kind}" if outcome.verdict.failed else None
        run = replace(
            run,
            state="done",
            verdict=outcome.verdict.value,
            fingerprint=fingerprint,
            status=made.result.status,
            signal=made.result.signal,
            fired=made.result.fired,
            seconds=round(made.result.seconds, 6),
            detail=outcome.detail,
            result=made.kept(self.baseline.first, outcome.verdict.failed),
        )
        finding = self._shown_by(run)
        self.store.done(run, finding)
        yield Ran(run, outcome)
        if finding is not None:
            fresh = finding.fingerprint not in self._findings
            self._findings[finding.fingerprint] = finding
            if fresh:
                yield Found(finding)

    def _shown_by(self, run: RunRow) -> FindingRow | None:
        """Return the finding that a run shows, as it is known with it."""
        if run.fingerprint is None:
            return None
        known = self._findings.get(run.fingerprint)
        if known is not None and self._first[run.fingerprint] <= run.number:
            return replace(known, runs=known.runs + 1)
        # Whichever run ends first: the finding is shown by the one that is first in the plan.
        self._first[run.fingerprint] = run.number
        return self._finding(run, known.runs + 1 if known is not None else 1)

    # -- the plan -------------------------------------------------------------------

    def _adopt(self, points: Iterable[Point]) -> None:
        for point in points:
            self._points[point.row.site] = point.row
            self._kinds.add(point.row.kind)

    def _modes(self, syscall: str, fault: str) -> tuple[Mode, ...]:
        if self._wanted is None:
            return modes(syscall, fault)
        # Who is killed or stopped once makes no more calls.
        going_on = fault.startswith(("error=", "retval=", "short=", "corrupt="))
        return ("once", "persistent") if going_on else ("once",)

    def _plan(self, points: Iterable[Point]) -> list[RunRow]:
        planned = []
        groups = representatives(points, self.settings.per_kind)
        for (kind, fault), group in groups.items():
            for point in group:
                row = point.row
                for mode in self._modes(row.syscall, fault):
                    onward = "+" * (mode == "persistent")
                    rules = (f"site={row.site}{onward}:{fault}",)
                    planned.append(self._row(mode, row.site, row.syscall, fault, kind, rules))
        return planned

    def _row(
        self, mode: Mode, site: str, syscall: str, fault: str, kind: str, rules: tuple[str, ...]
    ) -> RunRow:
        self._number += 1
        key = f"{mode} {site} {fault}"
        shard = shard_of(key, self._shard[1])
        return RunRow(key, self._number, site, syscall, fault, mode, kind, rules, shard=shard)

    def _deeper(self) -> Iterator[Event]:
        """Find the points that appear only after a first fault, and put a second one there."""
        recorded = self.store.recorded()
        firsts = [
            run
            for run in self.store.runs(
                "state = 'done' AND mode = 'once' AND fired AND shard = ?", self._shard[:1]
            )
            if run.key not in recorded
            and run.verdict in (Verdict.HANDLED, Verdict.UNAFFECTED, Verdict.SILENT, Verdict.LEAK)
        ]
        # The recordings of several faults lead to the same code, and the first of them stands for
        # it: which that is must not depend on which recording ends first.
        made: dict[int, Attempted] = {}
        turn = 0

        def then(place: int, recording: Attempted) -> Iterator[Event]:
            nonlocal turn
            made[place] = recording
            while turn in made:
                yield from self._second(firsts[turn], made.pop(turn))
                turn += 1

        for place, first in enumerate(firsts):
            self._ready.append(_Task(self._recording(first.rules), partial(then, place)))
        yield from self._work()

    def _second(self, first: RunRow, made: Attempted) -> Iterator[Event]:
        fresh = [
            Point(replace(point.row, site=f"{first.rules[0]} {point.row.site}"), point.faults)
            for point in made.points
            if point.row.kind not in self._kinds
        ]
        runs = []
        for (kind, fault), group in representatives(fresh, self.settings.per_kind).items():
            for point in group:
                row = point.row
                rule = f"site={row.site.rpartition(' ')[2]}:{fault}"
                rules = (*first.rules, rule)
                runs.append(self._row("second", row.site, row.syscall, fault, kind, rules))
        self._adopt(fresh)
        runs = [replace(run, shard=self._shard[0]) for run in runs]
        self.store.plan(_told(fresh, runs), runs, recorded=first.key)
        for run in runs:
            self._add(run)
        if runs:
            yield self._planned()

    def _plan_chains(self) -> None:
        """Begin the loops, or go on with them where they were left."""
        seen = {row.syscall for row in self._points.values()}
        for rule, calls, fault in self._chain_rules(seen):
            for mode in self._modes(calls, fault):
                chain = _Chain(rule, calls, fault, mode == "persistent")
                if shard_of(chain.name, self._shard[1]) != self._shard[0]:
                    continue
                mine = "substr(key, 1, ?) = ? AND verdict != 'error'"
                begin = f"{chain.name} #"
                made = list(self.store.runs(mine, (len(begin), begin)))
                if any(not run.fired for run in made):
                    continue
                chain.number = len(made) + 1
                self._next(chain)

    def _chain_rules(self, seen: set[str]) -> Iterator[tuple[Rule, str, str]]:
        """Yield a rule for each loop, its calls and its fault in words."""
        for wanted in self._wanted.rules if self._wanted is not None else ():
            rule = replace(wanted, per="run", limit=None, probability=1)
            outcome = rule.fault.outcome
            errnos = outcome.errnos if isinstance(outcome, Fail) else ()
            faults = (
                [replace(rule.fault, outcome=Fail(((name, 1.0),))) for name, _ in errnos]
                if len(errnos) > 1
                else [rule.fault]
            )
            for fault, text in zip(faults, faults_of(rule), strict=True):
                yield replace(rule, fault=fault), rule.match.syscalls_text, text
        for name in sorted(seen) if self._wanted is None else ():
            for text in usual(name):
                (rule,) = parse_rules([f"{name}:per=run:{text}"])
                yield rule, name, text

    def _next(self, chain: _Chain) -> None:
        number = chain.number
        self._number += 1
        run = RunRow(
            f"{chain.name} #{number}",
            self._number,
            f"{chain.calls}#{number}{'+' * chain.onward}",
            chain.calls,
            chain.fault,
            "nth",
            chain.calls,
            (chain.text(),),
            shard=self._shard[0],
        )

        def then(made: Attempted) -> Iterator[Event]:
            yield from self._ran(run, made)
            if made.result.fired:
                chain.number += 1
                self._next(chain)

        self._ready.append(_Task(Attempt(self._job(run.rules, run.number)), then))

    # -- findings -----------------------------------------------------------------

    def _rebuild(self) -> None:
        """Work out the findings from the runs: we may have died between the two."""
        known = {finding.fingerprint: finding for finding in self.store.findings()}
        counts: dict[str, int] = {}
        firsts: dict[str, RunRow] = {}
        for run in self.store.runs("state = 'done' AND fingerprint IS NOT NULL"):
            assert run.fingerprint is not None
            counts[run.fingerprint] = counts.get(run.fingerprint, 0) + 1
            firsts.setdefault(run.fingerprint, run)
        for fingerprint, count in counts.items():
            finding = known.get(fingerprint) or self._finding(firsts[fingerprint], count)
            self._first[fingerprint] = firsts[fingerprint].number
            self._keep_finding(replace(finding, runs=count))

    def _finding(self, run: RunRow, count: int) -> FindingRow:
        assert run.fingerprint is not None and run.verdict is not None
        where = self._where(run)
        title = f"{run.syscall} {_words(run.fault)}{where}{_after(run)}: {run.detail}"
        command = self.command(run)
        return FindingRow(run.fingerprint, run.verdict, run.key, count, None, command, title)

    def _where(self, run: RunRow) -> str:
        """Return on which file, and in which of the program's functions the fault was."""
        point = self._points.get(run.site)
        if point is None:  # a count has no place; what it met has a path
            fired = (run.result or {}).get("injections") or [{}]
            return _file(fired[0].get("path", ""))
        file = _file(point.path)
        function, _ = site_function(point.stack)
        if not function:
            return file
        return f"{file} {'at' if '+0x' in function else 'in'} {bare(function)}"

    def _keep_finding(self, finding: FindingRow) -> None:
        self._findings[finding.fingerprint] = finding
        self.store.found(finding)

    def _verify(self) -> Iterator[Event]:
        """Repeat the run of each finding: does it come again?"""
        for finding in self.findings():
            run = self.store.run(finding.run)
            if finding.flaky is None and run is not None:
                keep = str(Path(self._keep, f"run-{run.number}")) if self._keep else ""
                wish = Attempt(self._job(run.rules), keep=keep)
                self._ready.append(_Task(wish, partial(self._verified, run, finding)))
        yield from self._work()

    def _verified(self, run: RunRow, finding: FindingRow, made: Attempted) -> Iterator[Event]:
        outcome = judge(made, self.baseline)
        again = f"{outcome.fingerprint} at {run.kind}" == finding.fingerprint
        self._keep_finding(replace(finding, flaky=not again))
        yield Found(self._findings[finding.fingerprint])

    def findings(self) -> list[FindingRow]:
        """Return what was found so far."""
        return list(self._findings.values())

    def command(self, run: RunRow) -> str:
        """Return the line that repeats a run, for a shell in the folder of the campaign."""
        settings = self.settings
        return repeat_line(
            self._job((), run.number).words(),
            run.rules,
            run.number,
            verdict=run.verdict,
            fingerprint=run.fingerprint or "",
            signal=run.signal,
            prints=bool(self.baseline.first.result.stdout.size),
            limit=self._limit,
            setup=settings.setup,
            check=settings.check,
            teardown=settings.teardown,
            workdir=settings.workdir,
        )


def _told(points: Iterable[Point], runs: Iterable[RunRow]) -> Iterator[PointRow]:
    """Yield what is kept of points: the stack of those that are tried, and once of each kind."""
    tried = {run.site for run in runs}
    kinds: set[str] = set()
    for point in points:
        row = point.row
        told = row.site in tried or row.kind not in kinds
        kinds.add(row.kind)
        yield row if told else replace(row, stack=())


def _after(run: RunRow) -> str:
    if run.mode != "second":
        return ""
    place, _, fault = run.rules[0].partition(":")  # site=0/openat#3:error=EACCES
    return f" after {place.rpartition('/')[2].partition('#')[0]} {_words(fault)}"


def _file(path: str) -> str:
    kind, nameless, rest = path.partition(":[")  # pipe:[4711], anon_inode:[eventfd]
    if not nameless:
        return f" of {path}" if path else ""
    name = rest.removesuffix("]") if kind == "anon_inode" else kind
    return f" of {'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _words(fault: str) -> str:
    return fault.partition("error=")[2] or fault
