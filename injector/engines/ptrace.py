"""The ptrace engine: each thread of the target is our tracee (ptrace(2)).

A launched target stops by a filter (SECCOMP_RET_TRACE), at the calls that rules name and at no
others; one that was attached to stops at entry and exit of every call. Decides nothing and
prints nothing. `next` is the hot path. Everything here runs in the one thread that traces.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from injector.engines.able import unseen
from injector.engines.base import (
    Completed,
    Finished,
    Ordered,
    Paused,
    Remark,
    Stop,
    Woken,
    finishes_late,
)
from injector.engines.call import StoppedCall
from injector.engines.notify import JOB_CONTROL
from injector.engines.phases import Phases
from injector.engines.tamper import CLONE_UNTRACED
from injector.engines.tracees import LOOKED_AT, OUTSIDE, PASSING, Tracee, Tracees
from injector.linux import libc, pidfd, procfs, ptrace
from injector.linux.doorbell import Doorbell
from injector.linux.keeper import lost
from injector.linux.launch import Launched, Started, exec_state
from injector.linux.ptrace import CONT, CREATIONS, ENTRY, EXIT, LISTEN, SYSCALL, Event
from injector.rules.decide import Order
from injector.words.errors import InjectError
from injector.words.model import Rule
from injector.words.subscription import Comparison, Op, Subscription
from injector.words.syscalls import ARCHES, Arch

TRACED = frozenset({"io_uring_setup"})
"""The calls that are in every filter of this engine, and decided about."""
_CREATING = ("clone", "clone3")

_PATIENCE = 5_000_000_000  # ns to wait for a task that does not stop when it is to be let go
_EARLY = 1_000_000_000  # ns that a new task's creator has to tell of it
_KILL_WAIT = 5.0  # seconds


def with_creations(
    stopped: Mapping[Arch, list[Subscription]],
) -> dict[Arch, list[Subscription]]:
    """Return what a launched target's filter must stop besides: creations with CLONE_UNTRACED."""
    flag = Comparison(0, Op.MASKED_EQ, CLONE_UNTRACED, CLONE_UNTRACED)
    made = {}
    for arch, before in stopped.items():
        # clone3 has its flags in memory, which a filter does not see.
        clone, clone3 = Subscription(arch.numbers["clone"], (flag,)), arch.numbers["clone3"]
        numbers = {one.number for one in before}
        if clone.number in numbers:
            clone = Subscription(clone.number)
        ours = {clone.number: clone, clone3: Subscription(clone3)}
        others = [one for one in before if one.number not in ours]
        made[arch] = sorted([*others, *ours.values()], key=lambda one: one.number)
    return made


class PtraceEngine:
    """One target, launched or attached to."""

    def __init__(
        self,
        arches: Iterable[Arch],
        named: Collection[str],
        bell: Doorbell,
        launched: Launched | None = None,
        helper: int = 0,
        can_stay: bool = False,
    ) -> None:
        """Trace a launched target, whose first process is seized already, or one to `attach` to.

        Args:
            named: the calls that are decided about.
            helper: a child of ours that must not die while the target runs.
            can_stay: a launched target that is let go can have us until its end, see `keep`.
        """
        self._tracees = Tracees()
        self.queue, self._stops = self._tracees.queue, self._tracees.stops
        self.records = self._tracees.records
        self.tasks = self.records.tasks
        self.started = time.monotonic_ns()
        self.status: int | None = None
        self.first = launched.pid if launched is not None else 0
        self._launched = launched
        self._executed = launched is None
        self._helper = helper
        self._bell = bell
        self._everything = launched is None  # stop at every call; else the filter chooses
        self._phases = Phases(arches, everything=launched is None)
        self._describe = ptrace.Describer().at
        self._wait = ptrace.Waiter().block
        self._timer = libc.Timer()
        self._parked: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._leaving = False
        self._can_stay = can_stay
        self._staying = False  # begun to, and calls are under a fault yet
        self._finished = False
        self.named = None if self._everything else frozenset(named)
        self._table: Mapping[int, dict[int, tuple[str, Arch]]] = {
            arch.audit: {
                number: (name, arch) for number, name in arch.names.items() if name in named
            }
            for arch in arches
        }
        # Decided about by nobody, yet counted for those who watch.
        self._others = {arch.audit: dict(arch.names) for arch in arches}
        self._clones = {
            arch.audit: {arch.numbers[name]: arch for name in _CREATING} for arch in arches
        }
        bell.add(self._timer.fd)

    def attached(self, pid: int, tids: Iterable[int]) -> None:
        """Take over a process whose threads were seized."""
        self.first = self.first or pid
        self._tracees.attached(pid, tids)
        for tid in tids:
            ptrace.request(ptrace.INTERRUPT, tid)

    # -- the hot path ------------------------------------------------------------

    def next(self, decide: Callable[[StoppedCall], Order | None]) -> Stop:
        """Let calls pass until one is decided otherwise or something else happens.

        A returned Ordered must be answered by `carry_out`, a Completed by `complete`.

        Raises:
            InjectError: the target could not be executed.
        """
        bell, stops, queue, tracees = self._bell, self._stops, self.queue, self._tracees.known
        describe, resume, wait, table = self._describe, ptrace.request, self._wait, self._table
        everything = self._everything
        on = SYSCALL if everything else CONT
        clones, others, phases = self._clones, self._others, self._phases
        unwind = self._tracees.unwind
        call = StoppedCall(self.started, unwind)
        while True:
            if stops:
                return stops.popleft()
            if bell.rung:
                self._look_around()
                continue
            if not queue:
                if self._staying and self._faultless():
                    continue
                if not tracees and self._all_over():
                    continue
                try:
                    found = wait()
                except ChildProcessError:  # an execve(2) while we attached left no trace of them
                    self._tracees.forget_all()
                    continue
                if found is None:
                    continue
                queue.append(found)
                # Else a few busy tasks keep the others from ever being served.
                if len(tracees) > 1:
                    self._drain()
            tid, status = queue.popleft()
            tracee = tracees.get(tid)
            if (
                tracee is None
                or self._leaving
                or (status != ptrace.SYSCALL_STATUS and status != ptrace.SECCOMP_STATUS)
            ):
                self._unusual(tid, status, tracee)
                continue
            if tracee.inside == PASSING:
                tracee.inside = OUTSIDE
                resume(on, tid)
                continue
            info = describe(tid)
            if info is None:
                continue
            if info[0] == EXIT:
                self._exited(tracee, info)
                continue
            if info[0] == ENTRY and not everything:  # looked at for a restart; the filter's follows
                resume(SYSCALL, tid)
                continue
            numbers = table.get(info[2])
            known = numbers.get(info[5]) if numbers is not None else None
            if info[5] in clones[info[2]]:
                creation = StoppedCall(self.started, unwind)
                creation.task, creation.raw = tracee.task, info
                creation.arch = clones[info[2]][info[5]]
                phases.keep_traced(tracee, creation)
            if tracee.again is not None and phases.made_again(tracee, info):
                self._go(tracee)
                continue
            if known is None:
                looked_at = tracee.again is not None or tracee.restore is not None
                if everything:
                    tracee.inside = LOOKED_AT if looked_at else PASSING
                    names = others.get(info[2])
                    name = names.get(info[5], "?") if names is not None else "?"
                    try:
                        tracee.task.calls[name] += 1
                    except KeyError:
                        tracee.task.calls[name] = 1
                resume(SYSCALL if looked_at else on, tid)
                continue
            name, call.arch = known
            task = tracee.task
            try:
                task.calls[name] += 1
            except KeyError:
                task.calls[name] = 1
            image = task.process.image
            call.task, call.name, call.role, call.raw = task, name, 0, info
            call.stack = None
            call.by_loader = image.loader_start <= info[3] < image.loader_end
            order = decide(call)
            if order is not None:
                tracee.call = call
                stops.append(Ordered(call, order))
                call = StoppedCall(self.started, unwind)
            else:
                if name == "io_uring_setup":
                    stops.append(Remark("io_uring", task))
                if everything:
                    tracee.inside = LOOKED_AT
                looked_at = tracee.again is not None or tracee.restore is not None
                resume(SYSCALL if looked_at else on, tid)

    def _drain(self) -> None:
        queue = self.queue
        while True:
            found = ptrace.poll()
            if not found[0]:
                return
            queue.append(found)

    def _all_over(self) -> bool:
        if self._tracees.early or not self._executed or self._finished:
            return False
        self._finished = True
        self._stops.append(Finished())
        return True

    def _go(self, tracee: Tracee, number: int = 0) -> None:
        """Let a stopped task run on, with a signal if it was stopped for one."""
        if self._leaving and tracee.order is None and tracee.verify is None:
            ptrace.detach(tracee.tid, number)
            self._tracees.forget(tracee)
            return
        if self._everything or tracee.watched:
            ptrace.request(SYSCALL, tracee.tid, number)
        else:
            ptrace.request(CONT, tracee.tid, number)

    # -- answers -----------------------------------------------------------------

    def _of(self, call: StoppedCall) -> Tracee | None:
        tracee = self._tracees.known.get(call.task.tid)
        return tracee if tracee is not None and tracee.call is call else None

    def valid(self, call: StoppedCall) -> bool:
        """Return whether the task still waits for its answer."""
        tracee = self._of(call)
        return tracee is not None and self._describe(tracee.tid) is not None

    def put_off(self, call: StoppedCall, order: Order) -> None:
        """Do nothing: only death takes back a call that is stopped by ptrace."""

    def carry_out(self, call: StoppedCall, order: Order) -> None:
        """Do what was ordered, after its delay if it has one; other tasks go on meanwhile."""
        if order.delay and not self._leaving and not self._staying:
            self._park(order.delay, partial(self._finish, call, order))
        else:
            self._finish(call, order)

    def _park(self, delay: int, then: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._parked, (time.monotonic_ns() + delay, self._sequence, then))
        self._timer.set(self._parked[0][0])

    def release(self) -> None:
        """End every delay now: somebody asked the target to end, or to be let go."""
        while self._parked:
            heapq.heappop(self._parked)[2]()

    def _finish(self, call: StoppedCall, order: Order) -> None:
        tracee = self._of(call)
        if tracee is None:
            return
        fault = order.rule.fault
        process = call.task.process
        if self._staying and finishes_late(fault):  # nobody was told of it
            tracee.call = None
            self._go(tracee)
            return
        if fault.kill == "before":
            pidfd.send(process.pidfd, signal.SIGKILL)
            return
        if fault.signal is not None:
            pidfd.send_thread(process.pid, tracee.tid, fault.signal)
        if fault.freeze:
            pidfd.send(process.pidfd, signal.SIGSTOP)
        if finishes_late(fault):
            tracee.order = order
            self._phases.begin(tracee, call, order)
            self._go(tracee)
            return
        tracee.call = None
        self._phases.answer(tracee, call, order)
        self._go(tracee)

    def _exited(self, tracee: Tracee, info: ptrace.SyscallInfo) -> None:
        over = self._phases.exited(tracee, info)
        if over is not None:
            self._stops.append(over)
        else:
            self._go(tracee)

    def complete(self, call: StoppedCall, order: Order) -> None:
        """Let a call return, after its delay_exit if it has one."""
        tracee = self._of(call)
        if tracee is None:
            return
        if order.rule.fault.kill == "after":
            pidfd.send(call.task.process.pidfd, signal.SIGKILL)
        elif order.delay_exit and not self._leaving and not self._staying:
            self._park(order.delay_exit, partial(self._return, call))
        else:
            self._return(call)

    def _return(self, call: StoppedCall) -> None:
        tracee = self._of(call)
        if tracee is not None:
            tracee.call = None
            self._go(tracee)

    # -- stops that are no plain call ----------------------------------------------

    def _unusual(self, tid: int, status: int, tracee: Tracee | None) -> None:
        stop = ptrace.decode(status)
        if isinstance(stop, ptrace.Ended):
            self._ended(tid, status, tracee)
            return
        if tracee is None:
            if not self._executed:
                self._launching(tid, stop)
            elif (
                stop == ptrace.EventStop(Event.EXEC, signal.SIGTRAP)
                and ptrace.event_message(tid) in self._tracees.known
            ):  # its leader had ended before we attached
                self._after_exec(tid, ptrace.event_message(tid))
            else:
                self._tracees.early[tid] = status
                if self._leaving:
                    self._tracees.adopt_late()
                else:  # its creator tells of it, unless that was killed
                    self._park(_EARLY, self._tracees.adopt_late)
            return
        match stop:
            case ptrace.SignalStop(number):
                self._phases.note_restart(tracee, self._table)
                self._go(tracee, number)
            case ptrace.EventStop(Event.STOP, signal.SIGTRAP):
                self._phases.note_restart(tracee, self._table)
                self._go(tracee)
            case ptrace.EventStop(Event.STOP, number):
                self._phases.note_restart(tracee, self._table)
                self._group_stop(tracee, number)
            case ptrace.EventStop(Event.EXEC):
                self._after_exec(tid, ptrace.event_message(tid))
            case ptrace.EventStop(event) if event in CREATIONS:
                self._tracees.created(tracee, ptrace.event_message(tid))
                self._go(tracee)
            case ptrace.SyscallStop():  # we are leaving
                info = self._describe(tid)
                if info is not None and info[0] == EXIT:
                    self._exited(tracee, info)
                elif info is not None and tracee.again and self._phases.made_again(tracee, info):
                    self._go(tracee)
                elif info is not None:
                    self._leave_before(tracee, info)
            case _:
                self._go(tracee)

    def _leave_before(self, tracee: Tracee, info: ptrace.SyscallInfo) -> None:
        """Let a task go that is about to make a call."""
        if self._phases.interrupted(info):
            # The request to stop is still on it and would make this call return EINTR.
            ptrace.request(ptrace.INTERRUPT, tracee.tid)
            ptrace.request(SYSCALL, tracee.tid)
        else:
            self._go(tracee)

    def _group_stop(self, tracee: Tracee, number: int) -> None:
        # ptrace(2), "Group-stop": to be left in it, not restarted.
        if self._leaving:
            self._go(tracee)
            return
        ptrace.request(LISTEN, tracee.tid)
        if tracee.tid == self.first and self._launched and number in JOB_CONTROL:
            self._stops.append(Paused())

    def _launching(self, tid: int, stop: ptrace.Stop) -> None:
        """Serve our own child on its way to execve(2), after which it is the target."""
        launched = self._launched
        assert launched is not None  # else it counts as executed
        match stop:
            case ptrace.EventStop(Event.EXEC):
                self._executed = True
                match exec_state(launched):
                    case Started(no_new_privs=True):
                        restricted = True
                    case _:
                        restricted = False
                self.started = time.monotonic_ns()
                task = self._tracees.launched(launched.pid, launched.pidfd)
                if restricted:
                    self._stops.append(Remark("no_new_privs", task))
                ptrace.request(CONT, tid)
            case ptrace.SignalStop(number):
                ptrace.request(CONT, tid, number)
            case ptrace.EventStop(Event.STOP, number) if number != signal.SIGTRAP:
                ptrace.request(LISTEN, tid)
            case _:
                ptrace.request(CONT, tid)

    def _after_exec(self, tid: int, former: int) -> None:
        self._go(self._tracees.executed(tid, former))
        self._adopt_early()

    def _adopt_early(self) -> None:
        self._tracees.adopt_early(whoever=self._leaving)

    def _ended(self, tid: int, status: int, tracee: Tracee | None) -> None:
        if tid == self.first:
            self.status = status
        if tracee is not None:
            self._tracees.ended(tracee, status)
            self._adopt_early()
            return
        self._tracees.ended_unknown(tid)
        if tid == self._helper:
            raise lost()
        if self._launched is not None and tid == self._launched.pid and not self._executed:
            raise self._not_started(self._launched)

    def _not_started(self, launched: Launched) -> InjectError:
        state = exec_state(launched)
        if isinstance(state, InjectError):
            return state
        return InjectError("the child was killed before it executed the command")

    # -- timers, signals, the end ------------------------------------------------------

    def children_changed(self) -> bool:
        """Do nothing: every wait is the engine's own."""
        return False

    def _look_around(self) -> None:
        others = []
        for fd, _ in self._bell.ready():
            if fd == self._timer.fd:
                self._timer.clear()
                now = time.monotonic_ns()
                while self._parked and self._parked[0][0] <= now:
                    heapq.heappop(self._parked)[2]()
                self._timer.set(self._parked[0][0] if self._parked else None)
            else:
                others.append(fd)
        if others:
            self._stops.append(Woken(tuple(others)))

    def send(self, number: int) -> None:
        """Signal the first process, as if it were us; when it has ended, all that are left."""
        if self._launched is not None and not self._executed:
            pidfd.send(self._launched.pidfd, number)
            return
        self.records.signal(self.first, number)

    def send_all(self, number: int) -> None:
        """Signal every process of the target."""
        if self._launched is not None and not self._executed:
            pidfd.send(self._launched.pidfd, number)
            return
        for process in list(self.records.processes.values()):
            pidfd.send(process.pidfd, number)

    def lacks(self, rule: Rule) -> str:
        """Return why a rule that is added now could not fire, "" if it can."""
        if self.named is not None:
            return unseen(rule, self.named)
        for arch in ARCHES.values():
            names = self._table.get(arch.audit)
            if names is not None:
                for name in rule.match.syscalls & arch.numbers.keys():
                    names[arch.numbers[name]] = (name, arch)
        return ""

    def cannot_leave(self) -> str:
        """Return why the target cannot be let go, "" if it can."""
        if not self._executed:
            return "it has not begun"
        if self._launched is None or self._can_stay:
            return ""
        # seccomp(2), SECCOMP_RET_TRACE: without a tracer the call fails with ENOSYS.
        return "launched under ptrace, its filter needs a tracer as long as it lives"

    def detach(self) -> None:
        """Let every task go at its next stop; Finished comes behind the last.

        A task in a call that nothing interrupts (state D) is let go by our end. A launched target
        is only freed of faults: Finished comes when no call is under one, and `keep` goes on.
        """
        if self._leaving or self._staying:
            return
        if self._launched is not None:
            self._end_faults()
            return
        self._leaving = self._phases.going = True
        waiting = [stop for stop in self._stops if isinstance(stop, Ordered | Completed)]
        self.release()
        held = {stop.call.task.tid for stop in waiting} | {tid for tid, _ in self.queue}
        for tid, tracee in list(self._tracees.known.items()):
            if procfs.state(tid) in ("Z", ""):  # a leader that has ended stops no more
                self._tracees.forget(tracee)
            elif tid not in held:
                ptrace.request(ptrace.INTERRUPT, tid)
        self._park(_PATIENCE, self._give_up)

    def _end_faults(self) -> None:
        self._staying = self._phases.going = True
        self._table = {audit: {} for audit in self._table}
        self.release()
        for tracee in self._tracees.known.values():
            if tracee.order is None:
                continue
            if tracee.again is not None:  # a handler runs; it is made again behind that
                tracee.call = tracee.order = None
            else:
                ptrace.request(ptrace.INTERRUPT, tracee.tid)
        self._park(_PATIENCE, self._forget_faults)

    def _faultless(self) -> bool:
        """Tell that the target is free of faults, once it is."""
        if self._finished or any(tracee.order for tracee in self._tracees.known.values()):
            return False
        self._finished = True
        self._stops.append(Finished())
        return True

    def _forget_faults(self) -> None:
        """Have those calls that nothing interrupts end without their fault, whenever they do."""
        for tracee in self._tracees.known.values():
            if tracee.order is not None and tracee.call is not None:
                if tracee.undo is not None and tracee.restore is None:
                    tracee.restore = (tracee.call, tracee.undo)
                tracee.call = tracee.order = tracee.undo = None

    def keep(self) -> None:
        """Let every call of a target that was let go be made, until its last task has ended."""
        self._staying = self._phases.going = self._finished = False
        while True:
            match self.next(lambda _: None):
                case Finished():
                    return
                case Completed(call, order):
                    self.complete(call, order)
                case _:
                    pass

    def _give_up(self) -> None:
        for tracee in list(self._tracees.known.values()):
            self._stops.append(Remark("stuck", tracee.task))
            self._tracees.forget(tracee)
        self._tracees.early.clear()

    def end(self) -> None:
        """Kill a launched target, let an attached one go; return when that is done."""
        if self._launched is None:
            # What goes wrong here did so before, or our own end lets them go.
            with contextlib.suppress(Exception):
                self._let_all_go()
            return
        self.send_all(signal.SIGKILL)
        deadline = time.monotonic() + _KILL_WAIT
        alive = set(self._tracees.known) | {self._launched.pid}
        while alive and time.monotonic() < deadline:
            tid, status = ptrace.poll()
            if not tid:
                self._bell.wait(0.01)
            elif isinstance(ptrace.decode(status), ptrace.Ended):
                alive.discard(tid)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(tid, signal.SIGKILL)
                ptrace.request(CONT, tid)

    def close(self) -> None:
        """Close every descriptor; the last thing that is asked."""
        self.records.close()
        self._timer.close()
        if self._launched is not None:
            os.close(self._launched.report)
            if not self._executed:
                os.close(self._launched.pidfd)

    def _let_all_go(self) -> None:
        for stop in list(self._stops):
            if isinstance(stop, Ordered | Completed):
                tracee = self._of(stop.call)
                if tracee is not None:
                    tracee.call = tracee.order = None
                    self.queue.append((tracee.tid, ptrace.SECCOMP_STATUS))
        self._stops.clear()
        self.detach()
        while not self._finished:
            match self.next(lambda _: None):
                case Completed(call, order):
                    self.complete(call, order)
                case _:
                    pass
