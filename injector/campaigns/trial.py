"""One run of a campaign: set up, run under faults, check with injection off, clean up.

`carry_out` runs a Job in this process, which must be its own (no other children, the main
thread), and leaves nothing behind: no process, no file, also where it is interrupted. Prints
nothing. Jobs and Results are plain values that go to another process or machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from injector.campaigns.folders import copy
from injector.campaigns.outcome import CRASHES
from injector.linux.forker import Forker
from injector.linux.keeper import Keeper
from injector.linux.launch import Apart
from injector.rules.decide import RulesDecider
from injector.rules.scenario.oneline import parse_rules
from injector.session.pads import NotStarted, Pads
from injector.session.session import Session
from injector.session.start import EngineName, engine_for_run, launched
from injector.words.errors import InjectError
from injector.words.events import Control, Event, Injection, TaskEnd, TaskStart
from injector.words.model import Scenario

_ALONE = 12  # runs that need a fork(2) before it is worth its while to start a forker
TAIL = 1 << 16
"""So many bytes of an output's end are kept."""
_INTERRUPTS = frozenset(("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"))


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be made. `{run}` in the command's words is its number.

    Args:
        rules: in their one-line form.
        watched: calls to stop besides those of the rules.
        timeout: seconds, for the command and for each of setup, check and teardown.
        workdir: a folder of which the run gets a fresh copy to work in.
        cwd: where it runs otherwise.
        environment: None is ours; INJECT_RUN is added.
        told: so many injections of one rule in calls with the same first argument are kept,
            None for all.
    """

    command: tuple[str, ...]
    rules: tuple[str, ...] = ()
    seed: int = 0
    watched: tuple[str, ...] = ()
    engine: str = "auto"
    timeout: float = 60.0
    setup: str | None = None
    check: str | None = None
    teardown: str | None = None
    workdir: str | None = None
    cwd: str = "."
    environment: tuple[tuple[str, str], ...] | None = None
    number: int = 0
    stacks: bool = False
    told: int | None = None

    def words(self) -> list[str]:
        """Return the command's words for this run."""
        return [word.replace("{run}", str(self.number)) for word in self.command]


@dataclass(frozen=True, slots=True)
class Output:
    """What was written: how much, a digest of all of it, the end of it."""

    size: int = 0
    digest: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """How setup, check or teardown ended; `status` is None if its time ran out."""

    status: int | None
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that was injected."""

    site: str
    rule: str
    syscall: str
    args: str
    path: str
    fault: str
    exact: str
    result: str
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that died of a signal of its own making."""

    task: str
    process: str
    signal: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a Job.

    Attributes:
        status: the first process's exit status; None if `signal` ended it, or it never ran.
        left: names of processes that outlived the first one and had to be killed.
        calls: how many stopped, by name.
        check: None where there was none, or it was not come to.
        error: why the run could not be made, "" if it was.
    """

    number: int = 0
    status: int | None = None
    signal: str | None = None
    crashes: tuple[Crash, ...] = ()
    timed_out: bool = False
    left: tuple[str, ...] = ()
    injections: tuple[Fired, ...] = ()
    stdout: Output = Output()
    stderr: Output = Output()
    check: Step | None = None
    seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def fired(self) -> bool:
        """Whether a fault was injected."""
        return bool(self.injections)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **_fields(self),
            "crashes": [_fields(one) for one in self.crashes],
            "injections": [_fields(one) for one in self.injections],
            "stdout": _fields(self.stdout),
            "stderr": _fields(self.stderr),
            "check": _fields(self.check) if self.check is not None else None,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Result:
        """Return the Result of what `as_json` gave, also when JSON has made its tuples lists."""
        made = {name: fields[name] for name in cls.__dataclass_fields__}  # there may be more
        made["crashes"] = tuple(Crash(**one) for one in fields["crashes"])
        made["injections"] = tuple(
            Fired(**{**one, "stack": tuple(one["stack"])}) for one in fields["injections"]
        )
        made["left"] = tuple(fields["left"])
        made["stdout"], made["stderr"] = Output(**fields["stdout"]), Output(**fields["stderr"])
        made["check"] = Step(**fields["check"]) if fields["check"] is not None else None
        return cls(**made)


def _fields(value: Any) -> dict[str, Any]:
    """Return what asdict does, of one level: a campaign does it for each of its runs."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


class Bench:
    """What one who makes many runs keeps from one to the next, because it is dear to make."""

    def __init__(self, folder: str | None = None) -> None:
        """Begin; the runs are made in `folder`, each in one of its own if there is none."""
        self.folder = folder
        self._first, self._moves = folder, 0
        self.pads = Pads()
        self._keeper: Keeper | None = None
        self._forker: Forker | None = None
        self._forks = 0

    def move(self) -> None:
        """Make the next runs in another folder, beside the one that cannot be emptied."""
        self._moves += 1
        self.folder = f"{self._first}-{self._moves}"

    def guard(self) -> Keeper:
        """Return a keeper that lives; a run that is not from a pad may fork now."""
        self.pads.rest()
        if self._keeper is None or self._keeper.over:
            self._keeper = Keeper()
        return self._keeper

    def forker(self) -> Forker | None:
        """Return a forker that lives, None for the first runs: to start it costs as much."""
        self._forks += 1
        if self._forks <= _ALONE:
            return None
        if self._forker is not None and self._forker.over:
            self._forker.close()
            self._forker = None
        self._forker = self._forker or Forker()
        return self._forker

    def close(self) -> None:
        """End the helpers."""
        self.pads.close()
        if self._forker is not None:
            self._forker.close()
        if self._keeper is not None and not self._keeper.over:
            self._keeper.dismiss()


def carry_out(
    job: Job,
    decider: Callable[[Scenario, int], RulesDecider] = RulesDecider,
    look: Callable[[], None] | None = None,
    bench: Bench | None = None,
) -> Result:
    """Make a run.

    Args:
        decider: makes what decides about each call, of the job's rules and seed.
        look: called when the command has ended, before the check.
        bench: what is used again by the next run; None for all of its own.

    Raises:
        KeyboardInterrupt: somebody wants us to end; the run is over and cleaned up.
    """
    with _place(job, bench) as place:
        if job.setup is not None:
            step = place.step(job.setup)
            if step.status != 0:
                place.clean(job.teardown)
                return Result(job.number, error=_failed("setup", step))
        try:
            result = place.run(decider, bench)
            if look is not None:
                look()
            if job.check is not None and not result.error:
                check = place.step(job.check, place.facts(result))
                result = _with(result, check=check)
        finally:
            place.clean(job.teardown)
        return result


def _with(result: Result, **fields: Any) -> Result:
    values = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    return Result(**{**values, **fields})


def _failed(what: str, step: Step) -> str:
    how = "took too long" if step.status is None else f"ended with status {step.status}"
    tail = step.tail.strip().splitlines()
    return f"{what} {how}{f': {tail[-1]}' if tail else ''}"


class _Place:
    """Where one run is made: its folder, its environment, its outputs."""

    def __init__(self, job: Job, folder: str, cwd: str, out: IO[bytes], err: IO[bytes]) -> None:
        self.job = job
        self.cwd = cwd
        self._folder = folder
        self._out = out
        self._err = err
        base = dict(os.environ if job.environment is None else job.environment)
        self._environment = {**base, "INJECT_RUN": str(job.number)}

    def facts(self, result: Result) -> dict[str, str]:
        """Return what the check is told of the run, and where it finds its output."""
        status = result.signal if result.signal is not None else str(result.status)
        return {"INJECT_STATUS": status, "INJECT_OUTPUT": self._folder}

    def step(self, text: str, facts: dict[str, str] | None = None) -> Step:
        """Run a shell text without faults."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                ["/bin/sh", "-c", text],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.cwd,
                env={**self._environment, **(facts or {})},
                start_new_session=True,
            )
            status: int | None = None
            try:
                status = process.wait(self.job.timeout)
            except subprocess.TimeoutExpired:
                pass
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            return Step(status, _output(said).tail)

    def clean(self, teardown: str | None) -> None:
        """Undo what the setup did."""
        if teardown is not None:
            self.step(teardown)

    def run(self, decider: Callable[[Scenario, int], RulesDecider], bench: Bench | None) -> Result:
        """Run the command under its rules."""
        job = self.job
        scenario = Scenario(parse_rules(job.rules))
        begun = time.monotonic()
        try:
            engine, _ = engine_for_run(job.engine, scenario, job.stacks)
            guard = forker = None
            if bench is not None:
                if engine == "notify":
                    with contextlib.suppress(NotStarted):
                        return self._follow(
                            decider(scenario, job.seed), scenario, engine, begun, pads=bench.pads
                        )
                guard, forker = bench.guard(), bench.forker()
            # The slower way also tells why a command cannot be executed.
            return self._follow(
                decider(scenario, job.seed), scenario, engine, begun, guard=guard, forker=forker
            )
        except InjectError as error:
            return Result(job.number, error=error.message, seconds=time.monotonic() - begun)

    def _follow(
        self,
        decider: RulesDecider,
        scenario: Scenario,
        engine: EngineName,
        begun: float,
        *,
        pads: Pads | None = None,
        guard: Keeper | None = None,
        forker: Forker | None = None,
    ) -> Result:
        job = self.job
        heard = _Heard(job)
        watched = frozenset(job.watched)
        timeout = int(job.timeout * 1e9)
        environment = tuple(
            os.fsencode(f"{name}={value}") for name, value in self._environment.items()
        )
        with open(os.devnull, "rb") as nothing:
            stdio = (nothing.fileno(), self._out.fileno(), self._err.fileno())
            apart = Apart(stdio, self.cwd, environment, forker)
            if pads is not None:
                run = pads.launched(
                    job.words(), decider, scenario, apart=apart, watched=watched, timeout=timeout
                )
            else:
                run = launched(
                    job.words(),
                    decider,
                    scenario,
                    engine=engine,
                    watched=watched,
                    timeout=timeout,
                    stacks=job.stacks,
                    guard=guard,
                    apart=apart,
                )
            with run as session:
                session.told = job.told
                for event in session.events():
                    heard.take(event)
            return heard.result(session, self._out, self._err, time.monotonic() - begun)


class _Heard:
    """What the session told so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._first = os.path.basename(job.words()[0])
        self._alive: dict[str, str] = {}
        self._injections: list[Fired] = []
        self._crashes: list[Crash] = []
        self._left: tuple[str, ...] = ()

    def take(self, event: Event) -> None:
        """Keep what matters of an event.

        Raises:
            KeyboardInterrupt: it is a signal that asks us to end.
        """
        match event:
            case TaskStart(task=task, process=process):
                self._alive[task] = process
            case TaskEnd(task=task, pid=pid, tid=tid, signal=died, process=process):
                self._alive.pop(task, None)
                if died in CRASHES and pid == tid:
                    # The first one may be gone before anybody could read its name.
                    name = self._first if task == "0" else process
                    self._crashes.append(Crash(task, name, died))
            case Injection():
                self._injections.append(
                    Fired(
                        event.site,
                        event.rule,
                        event.syscall,
                        event.args,
                        event.path,
                        event.fault,
                        event.exact,
                        event.result,
                        event.stack or (),
                    )
                )
            case Control(what="signal", detail=detail) if detail in _INTERRUPTS:
                raise KeyboardInterrupt
            case Control(what="left behind"):
                self._left = self._left or tuple(sorted(set(self._alive.values()))) or ("?",)
            case _:
                pass

    def result(self, session: Session, out: IO[bytes], err: IO[bytes], seconds: float) -> Result:
        """Return it all; the session is over."""
        ended = session.ended
        assert ended is not None  # its events end with the footer
        return Result(
            number=self._job.number,
            status=ended.exit,
            signal=ended.signal_name,
            crashes=tuple(self._crashes),
            timed_out=ended.timed_out,
            left=self._left,
            injections=tuple(self._injections),
            stdout=_output(out),
            stderr=_output(err),
            seconds=seconds,
            calls=session.calls,
        )


def _output(file: IO[bytes]) -> Output:
    """Return what is in an output file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(1 << 16):
        digest.update(part)
    file.seek(max(0, size - TAIL))
    return Output(size, digest.hexdigest(), file.read().decode("utf-8", "backslashreplace"))


@contextmanager
def _place(job: Job, bench: Bench | None) -> Iterator[_Place]:
    """Make the place of a run, and take it away again."""
    with contextlib.ExitStack() as stack:
        folder = bench.folder if bench is not None else None
        if folder is None:
            folder = stack.enter_context(_folder())
        cwd = os.path.abspath(job.cwd)
        if job.workdir is not None:
            cwd = os.path.join(folder, "work")
            copy(job.workdir, cwd)
        out, err = (
            stack.enter_context(open(os.path.join(folder, name), "w+b"))
            for name in ("stdout", "stderr")
        )
        yield _Place(job, folder, cwd, out, err)


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="inject-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, onerror=_make_writable)


def _make_writable(remove: Callable[..., Any], path: str, _: Any) -> None:
    """Remove what the target has made read-only."""
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)
