"""The heart: one target tree from its launch to its end.

Asks the engine for stops, the decider for decisions, and yields what happened.
Prints nothing and writes nothing: whoever iterates does, and an Injection is
yielded before the target gets its answer, so that a journal knows of every
fault the target has seen.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from injector.engines.base import (
    Completed,
    Engine,
    Finished,
    Ordered,
    Paused,
    Remark,
    TaskEnded,
    TaskStarted,
    Woken,
    finishes_late,
)
from injector.engines.call import StoppedCall
from injector.engines.words import arguments
from injector.linux import libc, procfs
from injector.linux.doorbell import Doorbell
from injector.linux.ending import Orphans
from injector.linux.keeper import Keeper
from injector.linux.signals import Signals
from injector.linux.standin import Behind
from injector.rules.decide import Order, RulesDecider
from injector.rules.scenario.text import fault_text
from injector.rules.scenario.values import duration_text, short_text
from injector.session.control import ControlSocket
from injector.session.steer import Steering, counts
from injector.session.tally import Tally
from injector.words.errors import InjectError
from injector.words.events import Control, Event, Footer, Header, Injection, TaskEnd, TaskStart
from injector.words.model import Corrupt, Delay, Fail, Return, Short, Substitute
from injector.words.syscalls import errno_message, errno_name, signal_name

MAX_ERRNO = 4095  # linux/err.h
GRACE = 2_000_000_000  # ns between the SIGTERM and the SIGKILL of a timeout
LINGER = 1_000_000_000  # ns that the rest of a target apart has when its first process is gone
LEAVE_AT = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_KILL_AGAIN = 100_000_000  # ns between two rounds of SIGKILL


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run ended: the first process's wait status, that its time was up, or we let go."""

    status: int | None
    timed_out: bool
    seconds: float
    detached: bool = False

    @property
    def exit(self) -> int | None:
        """Exit status, None if a signal ended it."""
        return None if self.status is None or self.status & 0x7F else self.status >> 8

    @property
    def signal(self) -> int | None:
        """The signal that ended it, None if it exited."""
        return None if self.status is None else self.status & 0x7F or None

    @property
    def signal_name(self) -> str | None:
        """The name of the signal that ended it, None if it exited."""
        return signal_name(self.signal) if self.signal else None


def fault_words(order: Order) -> str:
    """Return what is done to a call, in the words of a scenario."""
    fault = order.rule.fault
    parts = []
    if order.delay:
        parts.append(f"delay {duration_text(order.delay)}")
    if fault.signal is not None:
        parts.append(f"signal {signal_name(fault.signal)}")
    if fault.kill:
        parts.append("kill" if fault.kill == "before" else "kill after")
    if fault.freeze:
        parts.append("freeze")
    if order.errno:
        parts.append(f"error {order.errno}")
    elif order.value is not None:
        parts.append(f"retval {order.value}")
    match fault.outcome:
        case Short() as short:
            parts.append(f"short {short_text(short)}")
        case Corrupt(how):
            parts.append(f"corrupt {how}")
        case Substitute(name):
            parts.append(f"substitute {name}")
        case Fail() | Return() if fault.call == "run":
            parts.append("call run")
        case _:
            pass
    if order.delay_exit:
        parts.append(f"delay_exit {duration_text(order.delay_exit)}")
    parts += fault.poke.replace("=", " ", 1).split(":") if fault.poke else []
    return ", ".join(parts)


def exact_words(order: Order) -> str:
    """Return the fault with every choice made, in the words of a one-line rule."""
    fault = order.rule.fault
    outcome = fault.outcome
    if order.errno:
        outcome = Fail(((order.errno, 1.0),))
    elif isinstance(outcome, Corrupt) and outcome.how != "zero":
        outcome = Corrupt(outcome.how, order.chance)
    made = replace(
        fault,
        outcome=outcome,
        delay=Delay("fixed", order.delay) if fault.delay else None,
        delay_exit=Delay("fixed", order.delay_exit) if fault.delay_exit else None,
    )
    return fault_text(replace(order.rule, fault=made))


def result_words(order: Order) -> str:
    """Return what the call reports, as strace shows it."""
    if order.rule.fault.kill == "before":
        return "? (killed)"
    if order.errno:
        return f"-1 {order.errno} ({errno_message(order.errno)})"
    if order.value is not None:
        return str(order.value)
    return "made"


def reported_words(order: Order, result: int | None) -> str:
    """Return what a call that was made reports; None if its task died in it."""
    if result is None:
        return "?"
    if -MAX_ERRNO <= result < 0:
        name = errno_name(-result) or str(-result)
        return f"-1 {name} ({errno_message(name)})"
    return f"{result} (killed)" if order.rule.fault.kill == "after" else str(result)


class Session:
    """One target under one engine."""

    def __init__(
        self,
        engine: Engine,
        decider: RulesDecider,
        bell: Doorbell,
        signals: Signals | Behind,
        keeper: Keeper | Behind | None,
        timeout: int | None = None,
        *,
        leaves: bool = False,
        remains: bool = False,
        stacks: bool = False,
        orphans: Orphans | None = None,
    ) -> None:
        """Follow a target.

        Args:
            timeout: nanoseconds until its end, None for none.
            stacks: tell the call stack with each injection.
            leaves: its end is that the target is let go; a signal to us asks for that too.
            remains: it is let go also when the process that stands in for us is killed.
            orphans: nobody else steers it or sees it; it is killed at once when its time is up,
                and so is what it leaves behind.
        """
        self.engine = engine
        self.decider = decider
        self.ended: Ended | None = None
        self.told: int | None = None
        """So many of the injections that are alike are told, None for all; all are made."""
        self._alike: Counter[tuple[str, str, int]] = Counter()
        self._keeper = keeper
        self._late: dict[StoppedCall, Injection] = {}  # told when their calls are over
        self._comm: procfs.Comm | None = None
        self._words: dict[str, tuple[Order, tuple[str, str, str]]] = {}  # by rule
        self._signals = signals
        self._leaves = leaves
        self._remains = remains
        self._stacks = stacks
        self._detached = False
        self._timed_out = False
        self._first_ended = False
        self._terminated = orphans is not None
        self._killed = False
        self._why = ""  # it is made to end
        self._timer = libc.Timer()
        self._seed = decider.seed
        self._steering = Steering(engine, decider)
        self._tally = Tally(engine)
        self._orphans = orphans
        number = signals.front if isinstance(signals, Behind) else os.getpid()
        self._control = ControlSocket(
            bell, self._obey, self._tally.recent, number, closed=orphans is not None
        )
        self.steered = False  # by commands: the scenario alone would not do the same again
        self._done: list[Control] = []  # what commands did, to be told
        self._bell = bell
        bell.add(signals.fd)
        bell.add(self._timer.fd)
        if timeout is not None:
            self._timer.set(time.monotonic_ns() + timeout)

    @property
    def left(self) -> bool:
        """Whether the target was let go, and lives on without us."""
        return self._detached

    @property
    def keeper(self) -> int | None:
        """The number of the process that answers when we do not, None if there is none."""
        return self._keeper.pid if self._keeper is not None else None

    def _now(self) -> float:
        return round((time.monotonic_ns() - self.engine.started) / 1e9, 6)

    def events(self) -> Iterator[Event]:
        """Run the target to its end; yield what happens, and tell those who watch.

        Raises:
            InjectError: the target could not be executed.
        """
        for event in self._events():
            self._control.show(event)
            yield event

    def _events(self) -> Iterator[Event]:
        decide = self.decider.decide
        while True:
            match self.engine.next(decide):
                case Ordered(call, order):
                    if self._told_enough(call, order):
                        self.engine.carry_out(call, order)
                    elif not self.engine.valid(call):
                        self.engine.put_off(call, order)
                    else:
                        injection = self._injection(call, order)
                        if finishes_late(order.rule.fault):
                            self._late[call] = injection
                        else:
                            self._tally.injected(call.task, injection)
                            yield injection
                        self.engine.carry_out(call, order)
                case Completed(call, order, result):
                    reported = reported_words(order, result)
                    injection = replace(self._late.pop(call), result=reported)
                    self._tally.injected(call.task, injection)
                    yield injection
                    self.engine.complete(call, order)
                case TaskStarted(task):
                    process = task.process
                    yield TaskStart(self._now(), task.lineage, process.pid, task.tid, process.name)
                case TaskEnded(task, status, last):
                    ended = Ended(status, False, 0)
                    number = ended.signal
                    yield TaskEnd(
                        self._now(),
                        task.lineage,
                        task.process.pid,
                        task.tid,
                        ended.exit,
                        signal_name(number) if number else None,
                        task.process.name,
                    )
                    self.decider.forget(task)
                    self._tally.ended(task)
                    if self._orphans is not None and last and task.process.pid == self.engine.first:
                        self._first_ended = True
                        self._timer.set(time.monotonic_ns() + LINGER)
                case Paused():
                    self._pause()
                case Remark("io_uring", task):
                    yield Control(self._now(), "blind-spot", f"io_uring by {task.lineage}")
                case Remark("stuck", task):
                    process = task.process
                    whom = f"thread {task.tid} of {process.name} ({process.pid})"
                    yield Control(self._now(), "stuck", whom)
                case Remark(what, task):
                    yield Control(self._now(), what, task.lineage)
                case Woken(fds):
                    yield from self._woken(fds)
                case Finished():
                    if self._control.watched:
                        self._control.tell(self._totals())
                    yield self._footer()
                    return

    def _told_enough(self, call: StoppedCall, order: Order) -> bool:
        """Return whether faults of this rule in this call's first argument were told of already."""
        if self.told is None or finishes_late(order.rule.fault):
            return False
        alike = (order.rule.name, call.name, call.args[0])
        self._alike[alike] += 1
        return self._alike[alike] > self.told

    def _injection(self, call: StoppedCall, order: Order) -> Injection:
        paths = call.paths()
        process = call.task.process
        fault, result, exact = self._worded(order)
        return Injection(
            self._now(),
            call.site,
            order.rule.name,
            process.pid,
            call.task.tid,
            self._name(process.pid),
            call.name,
            arguments(call),
            paths[0] if paths else "",
            fault,
            result,
            order.occurrence,
            exact,
            tuple(str(frame) for frame in call.frames()) if self._stacks else None,
        )

    def _name(self, pid: int) -> str:
        """Return a process's name as it is now; the next fault is mostly the same one's."""
        if self._comm is None or self._comm.tid != pid or not (name := self._comm.name()):
            if self._comm is not None:
                self._comm.close()
            self._comm = procfs.Comm(pid)
            name = self._comm.name()
        return name

    def _worded(self, order: Order) -> tuple[str, str, str]:
        """Return what is done, what the call reports, and the exact fault.

        A rule that fires often mostly does the same again: that is worded once.
        """
        before, words = self._words.get(order.rule.name, (None, ("", "", "")))
        if before is None or not order.same(before):
            words = fault_words(order), result_words(order), exact_words(order)
            self._words[order.rule.name] = order, words
        return words

    def _woken(self, fds: tuple[int, ...]) -> Iterator[Event]:
        for fd in fds:
            if fd == self._signals.fd:
                for number, by_terminal in self._signals.read():
                    if number == signal.SIGCHLD:
                        if self.engine.children_changed():
                            self._pause()
                        continue
                    if self._leaves:
                        if number in LEAVE_AT:
                            yield self._detach(number.name)
                        continue
                    yield Control(self._now(), "signal", number.name)
                    # A call that is parked cannot be interrupted; let it go, so that the
                    # target sees the signal now and not after its delay.
                    self.engine.release()
                    if not by_terminal:
                        self.engine.send(number)
                if isinstance(self._signals, Behind) and self._signals.alone:
                    self._bell.remove(fd)
                    yield self._deserted()
            elif fd == self._timer.fd:
                self._timer.clear()
                if self._leaves:
                    yield self._detach("its time is up")
                else:
                    yield from self._stop("left behind" if self._first_ended else "timeout")
            elif self._control.owns(fd):
                self._control.serve(fd)
                yield from self._done
                self._done.clear()

    def _deserted(self) -> Control:
        """Go on without the process that stood in for us.

        Raises:
            InjectError: its death ends the target too.
        """
        if not self._remains or self.engine.cannot_leave():
            raise InjectError("inject was killed")
        return self._detach("inject was killed")

    def _obey(self, do: str, words: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command of the control socket.

        Raises:
            InjectError: it cannot be.
        """
        match do:
            case "snapshot":
                return self.snapshot()
            case "save":
                return {"scenario": self._steering.save(procfs.comm(self.engine.first))}
            case "detach":
                cannot = self.engine.cannot_leave()
                if cannot:
                    raise InjectError(f"the target cannot be let go: {cannot}", help="stop ends it")
                self._done.append(self._detach("asked for"))
            case "stop" if self._leaves:
                self._done.append(self._detach("asked to stop"))
            case "stop":
                self._done += self._stop("stop")
            case _:
                self._done.append(Control(self._now(), do, self._steering.obey(do, words)))
                self.steered = True
        return {}

    def snapshot(self) -> dict[str, Any]:
        """Return how the session stands."""
        return {
            "t": self._now(),
            "seed": self._seed,
            "pid": self.engine.first,
            "process": procfs.comm(self.engine.first) if self.engine.tasks else "",
            "paused": self.decider.paused,
            "attached": self._leaves,
            **self._tally.snapshot(self._steering.rules()),
        }

    @property
    def calls(self) -> dict[str, int]:
        """How many calls have stopped, by name."""
        return self._tally.calls()

    def introduce(self, header: Header) -> None:
        """Let those who watch know how the session was started."""
        self._tally.introduce(header)

    def close(self) -> None:
        """Take the control socket and the timer away."""
        self._control.close()
        self._timer.close()
        if self._comm is not None:
            self._comm.close()

    def _pause(self) -> None:
        if self._keeper is not None:
            self._keeper.pause(self.engine.first)

    def _detach(self, why: str) -> Control:
        self._detached = True
        self.engine.detach()
        return Control(self._now(), "detach", why)

    def _stop(self, why: str) -> Iterator[Control]:
        self.engine.release()
        why = self._why = self._why or why
        if not self._terminated:
            self._terminated = True
            self._timed_out = why == "timeout"
            self._timer.set(time.monotonic_ns() + GRACE)
            self.engine.send_all(signal.SIGTERM)
            self.engine.send_all(signal.SIGCONT)  # a stopped process would not see it
            yield Control(self._now(), why, "SIGTERM to every process")
            return
        if self._orphans is not None:
            self._timed_out = self._timed_out or not self._first_ended
            self._orphans.end()
        # Until the end: one that was just being made is not found at the first time.
        self._timer.set(time.monotonic_ns() + _KILL_AGAIN)
        self.engine.send_all(signal.SIGKILL)
        if self._killed:
            return
        self._killed = True
        yield Control(self._now(), why, "SIGKILL to every process")

    def _totals(self) -> dict[str, Any]:
        """Return what watchers cannot ask for any more."""
        try:
            saved = self._steering.save("")
        except InjectError:
            saved = ""  # no rule is in force
        return {"event": "totals", **self._tally.totals(), "saved": saved}

    def _footer(self) -> Footer:
        ended = Ended(self.engine.status, self._timed_out, self._now(), self._detached)
        self.ended = ended
        if ended.detached:
            outcome = "detached"
        else:
            outcome = "timeout" if ended.timed_out else "signal" if ended.signal else "exit"
        number = ended.signal
        return Footer(
            ended.seconds,
            outcome,
            ended.exit,
            signal_name(number) if number else None,
            tuple(counts(totals) for totals in self.decider.totals()),
        )
