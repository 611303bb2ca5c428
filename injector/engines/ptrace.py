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
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from injector.engines import tamper
from injector.engines.able import unseen
from injector.engines.base import (
    Completed,
    Finished,
    Ordered,
    Paused,
    Remark,
    Stop,
    TaskEnded,
    TaskStarted,
    Woken,
    finishes_late,
)
from injector.engines.call import StoppedCall
from injector.engines.notify import JOB_CONTROL
from injector.engines.tasks import Process, Records, Task
from injector.linux import libc, pidfd, procfs, ptrace
from injector.linux.doorbell import Doorbell
from injector.linux.keeper import lost
from injector.linux.launch import Launched, Started, exec_state
from injector.linux.ptrace import CONT, CREATIONS, ENTRY, EXIT, LISTEN, SYSCALL, Event
from injector.linux.registers import (
    EINTR,
    EINTR_AFTER_STOP,
    ERESTARTNOHAND,
    RESTART_BLOCK,
    RESTARTS,
    registers,
)
from injector.linux.unwind import Frame, Unwinder
from injector.rules.decide import Order
from injector.words.errors import InjectError
from injector.words.model import Corrupt, Fail, Return, Rule, Short, Substitute
from injector.words.subscription import Comparison, Op, Subscription
from injector.words.syscalls import ARCHES, Arch

TRACED = frozenset({"io_uring_setup"})
"""The calls that are in every filter of this engine, and decided about."""
_CREATING = ("clone", "clone3")
_CLONE_UNTRACED = 0x0080_0000  # linux/sched.h

_PATIENCE = 5_000_000_000  # ns to wait for a task that does not stop when it is to be let go
_EARLY = 1_000_000_000  # ns that a new task's creator has to tell of it
_KILL_WAIT = 5.0  # seconds
_OUTSIDE, _PASSING, _LOOKED_AT = range(3)  # whether a task is in a call, and who asks about its end

Place = tuple[int, int, int]
"""Number, instruction and stack pointer: what a call that is made again has in common."""


def with_creations(
    stopped: Mapping[Arch, list[Subscription]],
) -> dict[Arch, list[Subscription]]:
    """Return what a launched target's filter must stop besides: creations with CLONE_UNTRACED."""
    flag = Comparison(0, Op.MASKED_EQ, _CLONE_UNTRACED, _CLONE_UNTRACED)
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


class Tracee:
    """A task under ptrace: where it stands."""

    __slots__ = (
        "again",
        "call",
        "inside",
        "order",
        "restore",
        "suspended",
        "task",
        "tid",
        "undo",
        "verify",
    )

    def __init__(self, tid: int, task: Task) -> None:
        self.tid = tid
        self.task = task
        self.inside = _OUTSIDE
        self.again: Place | None = None  # a call that may be made again, and is not new then
        self.call: StoppedCall | None = None  # waits for its answer, or is under a fault
        self.order: Order | None = None  # the fault it is under until its end
        self.undo: tamper.Change | None = None  # what its exit must restore
        self.verify: int | None = None  # what its exit must report
        # What its exit must restore, whether or not it is under a fault.
        self.restore: tuple[StoppedCall, tamper.Change] | None = None
        self.suspended = False  # its own filter does not see this call


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
        self.records = Records()
        self.tasks = self.records.tasks
        self.started = time.monotonic_ns()
        self.status: int | None = None
        self.first = launched.pid if launched is not None else 0
        self._launched = launched
        self._executed = launched is None
        self._helper = helper
        self._bell = bell
        self._everything = launched is None  # stop at every call; else the filter chooses
        self._registers = registers()
        self._describe = ptrace.Describer().at
        self._unwinder: Unwinder | None = None  # libunwind is loaded when first asked for
        self._wait = ptrace.Waiter().block
        self._timer = libc.Timer()
        self._stops: deque[Stop] = deque()
        self.queue: deque[tuple[int, int]] = deque()  # waited for, to be served in this order
        self._tracees: dict[int, Tracee] = {}
        self._early: dict[int, int] = {}  # stopped before their creator told of them
        self._left: set[int] = set()  # let go, or dead; their creators may yet tell of them
        self._strays = 0
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
        self._interrupted = {
            arch.audit: {arch.numbers[name] for name in EINTR_AFTER_STOP if name in arch.numbers}
            for arch in arches
        }
        bell.add(self._timer.fd)

    def attached(self, pid: int, tids: Iterable[int]) -> None:
        """Take over a process whose threads were seized."""
        number = len(self.records.processes)
        self.first = self.first or pid
        first = self.records.add_process(pid, os.pidfd_open(pid), str(number), procfs.image(pid))
        for tid in tids:
            task = first
            if tid != pid:
                first.born += 1
                task = self.records.add_task(tid, first.process, f"{number}.{first.born}")
            self._tracees[tid] = Tracee(tid, task)
            ptrace.request(ptrace.INTERRUPT, tid)
        if pid not in self._tracees:  # its leader has ended, its threads have not
            self.records.task_gone(first)
            self.records.fresh.remove(first)
        self._announce()

    # -- the hot path ------------------------------------------------------------

    def next(self, decide: Callable[[StoppedCall], Order | None]) -> Stop:
        """Let calls pass until one is decided otherwise or something else happens.

        A returned Ordered must be answered by `carry_out`, a Completed by `complete`.

        Raises:
            InjectError: the target could not be executed.
        """
        bell, stops, queue, tracees = self._bell, self._stops, self.queue, self._tracees
        describe, resume, wait, table = self._describe, ptrace.request, self._wait, self._table
        everything = self._everything
        on = SYSCALL if everything else CONT
        clones, others = self._clones, self._others
        call = StoppedCall(self.started, self._unwind)
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
                    tracees.clear()
                    self._early.clear()
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
            if tracee.inside == _PASSING:
                tracee.inside = _OUTSIDE
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
            if not everything and info[5] in clones[info[2]]:
                self._keep_traced(tracee, info, clones[info[2]][info[5]])
            if tracee.again is not None and self._made_again(tracee, info):
                continue
            if known is None:
                if everything:
                    tracee.inside = _PASSING if tracee.again is None else _LOOKED_AT
                    names = others.get(info[2])
                    name = names.get(info[5], "?") if names is not None else "?"
                    try:
                        tracee.task.calls[name] += 1
                    except KeyError:
                        tracee.task.calls[name] = 1
                looked_at = tracee.again is not None or tracee.restore is not None
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
                call = StoppedCall(self.started, self._unwind)
            else:
                if name == "io_uring_setup":
                    stops.append(Remark("io_uring", task))
                if everything:
                    tracee.inside = _LOOKED_AT
                looked_at = tracee.again is not None or tracee.restore is not None
                resume(SYSCALL if looked_at else on, tid)

    def _unwind(self, tid: int) -> tuple[Frame, ...]:
        if self._unwinder is None:
            self._unwinder = Unwinder()
        return self._unwinder.frames(tid)

    def _drain(self) -> None:
        queue = self.queue
        while True:
            found = ptrace.poll()
            if not found[0]:
                return
            queue.append(found)

    def _all_over(self) -> bool:
        if self._early or not self._executed or self._finished:
            return False
        self._finished = True
        self._stops.append(Finished())
        return True

    def _go(self, tracee: Tracee, number: int = 0) -> None:
        """Let a stopped task run on, with a signal if it was stopped for one."""
        if self._leaving and tracee.order is None and tracee.verify is None:
            ptrace.detach(tracee.tid, number)
            self._forget(tracee)
            return
        looked_at = tracee.again or tracee.order or tracee.restore or tracee.verify is not None
        if self._everything or looked_at:
            ptrace.request(SYSCALL, tracee.tid, number)
        else:
            ptrace.request(CONT, tracee.tid, number)

    # -- answers -----------------------------------------------------------------

    def _of(self, call: StoppedCall) -> Tracee | None:
        tracee = self._tracees.get(call.task.tid)
        return tracee if tracee is not None and tracee.call is call else None

    def valid(self, call: StoppedCall) -> bool:
        """Return whether the task still waits for its answer."""
        tracee = self._of(call)
        return tracee is not None and self._describe(tracee.tid) is not None

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
            self._begin(tracee, call, order)
            return
        tracee.call = None
        result = _reported(order)
        if result is not None:
            if order.error and call.name == "brk":
                # It has no error: that it failed shows in the old break it returns (brk(2)).
                result = procfs.program_break(process.pid)
            self._skip(tracee, call, result)
        tracee.inside = _LOOKED_AT if self._everything else _OUTSIDE
        self._go(tracee)

    def _skip(self, tracee: Tracee, call: StoppedCall, result: int) -> None:
        """Have no call made, and this reported."""
        if self._everything:
            tracee.verify = result
            if not self._suspend_filter(tracee):
                spoilt = tamper.spoil(call)
                if spoilt.arguments:
                    tracee.restore = (call, self._apply(tracee, call, spoilt))
                    return
        self._registers.skip(tracee.tid, result)

    def _suspend_filter(self, tracee: Tracee) -> bool:
        """Hide this call from the target's own filter; return whether it is hidden.

        A filter sees that no call is made as number -1, and may kill for it.
        """
        if not procfs.filtered(tracee.tid):
            return True
        try:
            ptrace.set_options(tracee.tid, ptrace.ATTACH | ptrace.O_SUSPEND_SECCOMP)
        except OSError:  # without CAP_SYS_ADMIN, or under a filter ourselves
            return False
        tracee.suspended = True
        return True

    def _keep_traced(self, tracee: Tracee, info: ptrace.SyscallInfo, arch: Arch) -> None:
        """Clear CLONE_UNTRACED: its child would have our filter and nobody to answer."""
        call = StoppedCall(self.started, self._unwind)
        call.task, call.arch, call.raw = tracee.task, arch, info
        if info[5] == arch.numbers["clone"]:
            flags = info[6]
            change = tamper.Change(((0, flags & ~_CLONE_UNTRACED),))
        else:
            raw = tracee.task.process.read(info[6], 8)  # struct clone_args, its flags
            flags = int.from_bytes(raw, "little")
            cleared = (flags & ~_CLONE_UNTRACED).to_bytes(8, "little")
            change = tamper.Change((), ((info[6], cleared),))
        if flags & _CLONE_UNTRACED:
            tracee.restore = (call, self._apply(tracee, call, change))

    def _begin(self, tracee: Tracee, call: StoppedCall, order: Order) -> None:
        """Change what the fault changes before the call, and let it be made."""
        change = tamper.Change()
        match order.rule.fault.outcome:
            case Short() as short:
                change = tamper.shorten(call, short)
            case Corrupt() as how if tamper.writes(call.name):
                change = tamper.corrupt(call, how, 1 << 62, order.chance)
            case Substitute(name):
                if self._everything:
                    self._suspend_filter(tracee)
                self._registers.set_number(tracee.tid, call.arch.numbers[name])
            case Fail() | Return() if order.rule.fault.call == "skip":
                self._skip(tracee, call, _reported(order) or 0)
            case _:
                pass
        tracee.undo = self._apply(tracee, call, change)
        for address, data in tamper.poke(call, order.rule.fault.poke, "poke_enter").memory:
            call.task.process.write(address, data)
        tracee.inside = _LOOKED_AT
        self._go(tracee)

    def _apply(self, tracee: Tracee, call: StoppedCall, change: tamper.Change) -> tamper.Change:
        """Make a Change; return the one that takes it back."""
        process = call.task.process
        memory = []
        for address, data in change.memory:
            before = process.read(address, len(data))
            process.write(address, data)
            memory.append((address, before))
        for index, value in change.arguments:
            self._registers.set_argument(tracee.tid, call.arch.bits, index, value)
        arguments = tuple((index, call.args[index]) for index, _ in change.arguments)
        return tamper.Change(arguments, tuple(reversed(memory)))

    def _exited(self, tracee: Tracee, info: ptrace.SyscallInfo) -> None:
        tracee.inside = _OUTSIDE
        result = info[5] - (1 << 64) if info[5] >> 63 else info[5]
        going = self._leaving or self._staying
        if result == EINTR and going and tracee.verify is None:
            number = self._registers.number(tracee.tid)
            if self._mend_interrupted(tracee, number, info):
                result = ERESTARTNOHAND
        if tracee.restore is not None:
            self._apply(tracee, *tracee.restore)
            tracee.restore = None
        if tracee.suspended:
            tracee.suspended = False
            ptrace.set_options(tracee.tid, ptrace.ATTACH)
        call = tracee.call
        if tracee.order is not None and call is not None and tracee.undo is not None:
            self._apply(tracee, call, tracee.undo)
            tracee.undo = None
            if going and (result in RESTARTS or result == RESTART_BLOCK):
                tracee.call = tracee.order = None  # it goes on without us, and without the fault
            elif result in RESTARTS:
                tracee.again = (call.raw[5], info[3], info[4])
            elif result == RESTART_BLOCK:
                number = call.arch.numbers["restart_syscall"]
                tracee.again = (number, info[3], info[4])
            else:
                self._over(tracee, call, tracee.order, result)
                return
        elif tracee.verify is not None:
            if result != tracee.verify:  # the target's own filter had another answer
                self._registers.set_result(tracee.tid, tracee.verify)
            tracee.verify = None
        elif tracee.again is None:
            if result in RESTARTS:
                tracee.again = (self._registers.number(tracee.tid), info[3], info[4])
        elif info[3:5] == tracee.again[1:] and result not in RESTARTS and result != RESTART_BLOCK:
            # A handler has returned behind the call: it was interrupted, not made again.
            tracee.again = None
            if tracee.order is not None and call is not None:
                self._over(tracee, call, tracee.order, result)
                return
        self._go(tracee)

    def _made_again(self, tracee: Tracee, info: ptrace.SyscallInfo) -> bool:
        """Return whether this entry is a call made again after a signal, and let it go on."""
        if tracee.again != (info[5], info[3], info[4]):
            return False
        tracee.again = None
        if tracee.order is not None and tracee.call is not None:
            self._begin(tracee, tracee.call, tracee.order)
        else:
            tracee.inside = _LOOKED_AT if self._everything else _OUTSIDE
            self._go(tracee)
        return True

    def _over(self, tracee: Tracee, call: StoppedCall, order: Order, result: int) -> None:
        """Change what the fault changes after the call, and tell of it."""
        fault = order.rule.fault
        process = call.task.process
        match fault.outcome:
            case Corrupt() as how if not tamper.writes(call.name):
                length = tamper.received(call, result)
                for address, data in tamper.corrupt(call, how, length, order.chance).memory:
                    process.write(address, data)
            case Fail() | Return() if fault.call == "run":
                result = _reported(order) or 0
                self._registers.set_result(tracee.tid, result)
            case _:
                pass
        for address, data in tamper.poke(call, fault.poke, "poke_exit").memory:
            process.write(address, data)
        tracee.order = None
        self._stops.append(Completed(call, order, result))

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
                and ptrace.event_message(tid) in self._tracees
            ):  # its leader had ended before we attached
                self._after_exec(tid, ptrace.event_message(tid))
            else:
                self._early[tid] = status
                if self._leaving:
                    self._adopt_early()
                else:  # its creator tells of it, unless that was killed
                    self._park(_EARLY, self._adopt_late)
            return
        match stop:
            case ptrace.SignalStop(number):
                self._note_restart(tracee)
                self._go(tracee, number)
            case ptrace.EventStop(Event.STOP, signal.SIGTRAP):
                self._note_restart(tracee)
                self._go(tracee)
            case ptrace.EventStop(Event.STOP, number):
                self._note_restart(tracee)
                self._group_stop(tracee, number)
            case ptrace.EventStop(Event.EXEC):
                self._after_exec(tid, ptrace.event_message(tid))
            case ptrace.EventStop(event) if event in CREATIONS:
                self._created(tracee, ptrace.event_message(tid))
                self._go(tracee)
            case ptrace.SyscallStop():  # we are leaving
                info = self._describe(tid)
                if info is not None and info[0] == EXIT:
                    self._exited(tracee, info)
                elif info is not None and not (tracee.again and self._made_again(tracee, info)):
                    self._leave_before(tracee, info)
            case _:
                self._go(tracee)

    def _leave_before(self, tracee: Tracee, info: ptrace.SyscallInfo) -> None:
        """Let a task go that is about to make a call."""
        if info[5] in self._interrupted.get(info[2], ()):
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

    def _note_restart(self, tracee: Tracee) -> None:
        """Remember a call that a stop has interrupted and that will be made again."""
        if tracee.again is not None:
            return
        result = self._registers.result(tracee.tid)
        if result is None or (result not in RESTARTS and result != EINTR):
            return
        info = self._describe(tracee.tid)
        if info is None:
            return
        number = self._registers.number(tracee.tid)
        if result == EINTR and not self._mend_interrupted(tracee, number, info):
            return
        if number in self._table.get(info[2], ()):
            tracee.again = (number, info[3], info[4])

    def _mend_interrupted(self, tracee: Tracee, number: int, info: ptrace.SyscallInfo) -> bool:
        """Have a call made again that returns EINTR only because we stopped its task."""
        if number not in self._interrupted.get(info[2], ()):
            return False
        self._registers.set_result(tracee.tid, ERESTARTNOHAND)
        return True

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
                task = self.records.adopt_first(launched.pid, launched.pidfd)
                self._tracees[tid] = Tracee(tid, task)
                self._announce()
                if restricted:
                    self._stops.append(Remark("no_new_privs", task))
                ptrace.request(CONT, tid)
            case ptrace.SignalStop(number):
                ptrace.request(CONT, tid, number)
            case ptrace.EventStop(Event.STOP, number) if number != signal.SIGTRAP:
                ptrace.request(LISTEN, tid)
            case _:
                ptrace.request(CONT, tid)

    def _announce(self) -> None:
        for task in self.records.fresh:
            self._stops.append(TaskStarted(task))
        self.records.fresh.clear()

    # -- births and deaths -----------------------------------------------------------

    def _created(self, parent: Tracee, tid: int) -> None:
        if tid in self._tracees or not tid:
            return
        if tid in self._left:
            self._left.remove(tid)  # the number may come again
            return
        parent.task.born += 1
        self._adopt(tid, parent.task.process, f"{parent.task.lineage}.{parent.task.born}")

    def _adopt(self, tid: int, parent: Process | None, lineage: str) -> None:
        ids = procfs.ids(tid)
        status = self._early.pop(tid, None)
        if ids is None:  # killed already; its end is still to be waited for
            return
        process = self.records.processes.get(ids.tgid)
        if process is not None:
            task = self.records.add_task(tid, process, lineage)
        else:
            try:
                descriptor = os.pidfd_open(ids.tgid)
            except ProcessLookupError:
                return
            image = parent.image if parent is not None else procfs.image(ids.tgid)
            task = self.records.add_process(ids.tgid, descriptor, lineage, image)
        self._tracees[tid] = Tracee(tid, task)
        self._announce()
        if status is not None:
            self.queue.append((tid, status))

    def _adopt_early(self) -> None:
        """Take up those whose creator will not tell of them any more."""
        processes = self.records.processes
        for tid in list(self._early):
            ids = procfs.ids(tid)
            parent = processes.get(ids.ppid) if ids is not None else None
            if not self._leaving and ids is not None and (parent or ids.tgid in processes):
                continue
            self._adopt_alone(tid)

    def _adopt_alone(self, tid: int) -> None:
        ids = procfs.ids(tid)
        self._strays += 1
        parent = self.records.processes.get(ids.ppid) if ids is not None else None
        self._adopt(tid, parent, f"0.x{self._strays}")

    def _adopt_late(self) -> None:
        for tid in list(self._early):
            self._adopt_alone(tid)

    def _after_exec(self, tid: int, former: int) -> None:
        """Keep the task that executed: it has the leader's number now (execve(2))."""
        tracee = self._tracees.get(former)
        if tracee is None:  # it was born and executed before its creator told of it
            self._early.pop(former, None)
            tracee = self._tracees[tid]
        process = tracee.task.process
        for other in list(process.tasks.values()):
            if other is not tracee.task:
                self._dies(self._tracees.get(other.tid))
                self.records.task_gone(other)
                self._tracees.pop(other.tid, None)
                self._stops.append(TaskEnded(other, 0, last=False))
        if tracee.tid != tid:
            self.records.task_gone(tracee.task)
            self._tracees.pop(tracee.tid, None)
            tracee.tid = tracee.task.tid = tid
            process.tasks[tid] = self.records.tasks[tid] = tracee.task
            self._tracees[tid] = tracee
        tracee.again = None
        process.executed()
        if self._unwinder is not None:
            self._unwinder.forget(process.pid)
        self._go(tracee)
        if self._early:
            self._adopt_early()

    def _dies(self, tracee: Tracee | None) -> None:
        """Tell of a call that its task did not come back from."""
        if tracee is not None and tracee.order is not None and tracee.call is not None:
            self._stops.append(Completed(tracee.call, tracee.order, None))
            tracee.order = tracee.call = None

    def _ended(self, tid: int, status: int, tracee: Tracee | None) -> None:
        if tid == self.first:
            self.status = status
        if tracee is None:
            self._early.pop(tid, None)
            self._left.add(tid)
            if tid == self._helper:
                raise lost()
            if self._launched is not None and tid == self._launched.pid and not self._executed:
                raise self._not_started(self._launched)
            return
        self._dies(tracee)
        del self._tracees[tid]
        self._end_task(tracee.task, status)
        if self._early:
            self._adopt_early()

    def _end_task(self, task: Task, status: int) -> None:
        process = task.process
        if self._unwinder is not None:
            self._unwinder.forget(task.tid)
        self.records.task_gone(task)
        last = not process.tasks
        self._stops.append(TaskEnded(task, status, last))
        if last:
            self.records.process_gone(process)

    def _not_started(self, launched: Launched) -> InjectError:
        state = exec_state(launched)
        if isinstance(state, InjectError):
            return state
        return InjectError("the child was killed before it executed the command")

    def _forget(self, tracee: Tracee) -> None:
        """Count a task as gone that was let go."""
        self._tracees.pop(tracee.tid, None)
        self._left.add(tracee.tid)

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
        self._leaving = True
        waiting = [stop for stop in self._stops if isinstance(stop, Ordered | Completed)]
        self.release()
        held = {stop.call.task.tid for stop in waiting} | {tid for tid, _ in self.queue}
        for tid in list(self._tracees):
            if procfs.state(tid) in ("Z", ""):  # a leader that has ended stops no more
                self._forget(self._tracees[tid])
            elif tid not in held:
                ptrace.request(ptrace.INTERRUPT, tid)
        self._park(_PATIENCE, self._give_up)

    def _end_faults(self) -> None:
        self._staying = True
        self._table = {audit: {} for audit in self._table}
        self.release()
        for tracee in self._tracees.values():
            if tracee.order is None:
                continue
            if tracee.again is not None:  # a handler runs; it is made again behind that
                tracee.call = tracee.order = None
            else:
                ptrace.request(ptrace.INTERRUPT, tracee.tid)
        self._park(_PATIENCE, self._forget_faults)

    def _faultless(self) -> bool:
        """Tell that the target is free of faults, once it is."""
        if self._finished or any(tracee.order for tracee in self._tracees.values()):
            return False
        self._finished = True
        self._stops.append(Finished())
        return True

    def _forget_faults(self) -> None:
        """Have those calls that nothing interrupts end without their fault, whenever they do."""
        for tracee in self._tracees.values():
            if tracee.order is not None and tracee.call is not None:
                if tracee.undo is not None and tracee.restore is None:
                    tracee.restore = (tracee.call, tracee.undo)
                tracee.call = tracee.order = tracee.undo = None

    def keep(self) -> None:
        """Let every call of a target that was let go be made, until its last task has ended."""
        self._staying = self._finished = False
        while True:
            match self.next(lambda _: None):
                case Finished():
                    return
                case Completed(call, order):
                    self.complete(call, order)
                case _:
                    pass

    def _give_up(self) -> None:
        for tracee in list(self._tracees.values()):
            self._stops.append(Remark("stuck", tracee.task))
            self._forget(tracee)
        self._early.clear()

    def end(self) -> None:
        """Kill a launched target, let an attached one go; return when that is done."""
        if self._launched is None:
            # What goes wrong here did so before, or our own end lets them go.
            with contextlib.suppress(Exception):
                self._let_all_go()
            return
        self.send_all(signal.SIGKILL)
        deadline = time.monotonic() + _KILL_WAIT
        alive = {tid for tid in self._tracees} | {self._launched.pid}
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


def _reported(order: Order) -> int | None:
    """Return what a call is to report in the place of its own result, None if nothing."""
    return -order.error if order.error else order.value
