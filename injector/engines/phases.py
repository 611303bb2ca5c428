"""The phases of a traced call: its entry, what interrupts it, its exit.

What a fault changes at the entry is taken back at the exit, or written there a second time where
something else has changed it. Works on the registers and memory of a task that is stopped, and
lets none go on: that is the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from injector.engines import tamper
from injector.engines.base import Completed
from injector.engines.call import StoppedCall
from injector.engines.tracees import LOOKED_AT, OUTSIDE, Tracee
from injector.linux import procfs, ptrace
from injector.linux.registers import (
    EINTR,
    EINTR_AFTER_STOP,
    ERESTARTNOHAND,
    RESTART_BLOCK,
    RESTARTS,
    registers,
)
from injector.rules.decide import Order
from injector.words.model import Corrupt, Fail, Return, Short, Substitute
from injector.words.syscalls import Arch


class Phases:
    """Does what faults do to the calls of one target."""

    def __init__(self, arches: Iterable[Arch], *, everything: bool) -> None:
        """Know the calls of these architectures.

        Args:
            everything: tasks stop at both ends of every call, and have no filter of ours.

        Raises:
            NotAvailable: the registers of this machine are not known.
        """
        self.going = False  # the target is let go: no call is begun again under a fault
        self._everything = everything
        self._registers = registers()
        self._describe = ptrace.Describer().at
        self._interrupted = {
            arch.audit: {arch.numbers[name] for name in EINTR_AFTER_STOP if name in arch.numbers}
            for arch in arches
        }

    # -- the entry ---------------------------------------------------------------------

    def skip(self, tracee: Tracee, call: StoppedCall, result: int) -> None:
        """Have no call made, and this reported."""
        if self._everything:
            tracee.verify = result
            if not self._suspend_filter(tracee):
                spoilt = tamper.spoil(call)
                if spoilt.arguments:
                    tracee.restore = (call, self._apply(tracee, call, spoilt))
                    return
        self._registers.skip(tracee.tid, result)

    def answer(self, tracee: Tracee, call: StoppedCall, order: Order) -> None:
        """Have the call report what was ordered, or let it be made."""
        result = _reported(order)
        if result is not None:
            if order.error and call.name == "brk":
                # It has no error: that it failed shows in the old break it returns (brk(2)).
                result = procfs.program_break(call.task.process.pid)
            self.skip(tracee, call, result)
        tracee.inside = LOOKED_AT if self._everything else OUTSIDE

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

    def keep_traced(self, tracee: Tracee, call: StoppedCall) -> None:
        """Clear CLONE_UNTRACED until the call's end.

        The child would have no faults, and in a launched target our filter and no tracer.
        """
        change = tamper.traced(call)
        if change != tamper.Change():
            tracee.restore = (call, self._apply(tracee, call, change))

    def begin(self, tracee: Tracee, call: StoppedCall, order: Order) -> None:
        """Change what the fault changes before the call."""
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
                self.skip(tracee, call, _reported(order) or 0)
            case _:
                pass
        tracee.undo = self._apply(tracee, call, change)
        for address, data in tamper.poke(call, order.rule.fault.poke, "poke_enter").memory:
            call.task.process.write(address, data)
        tracee.inside = LOOKED_AT

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

    def made_again(self, tracee: Tracee, info: ptrace.SyscallInfo) -> bool:
        """Return whether this entry is a call made again after a signal, and no new one."""
        if tracee.again != (info[5], info[3], info[4]):
            return False
        tracee.again = None
        if tracee.order is not None and tracee.call is not None:
            self.begin(tracee, tracee.call, tracee.order)
        else:
            tracee.inside = LOOKED_AT if self._everything else OUTSIDE
        return True

    # -- what interrupts it --------------------------------------------------------------

    def note_restart(
        self, tracee: Tracee, counted: Mapping[int, Mapping[int, tuple[str, Arch]]]
    ) -> None:
        """Remember a call that a stop has interrupted and that will be made again.

        Args:
            counted: by architecture, the numbers of the calls that must be counted once.
        """
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
        if number in counted.get(info[2], ()):
            tracee.again = (number, info[3], info[4])

    def interrupted(self, info: ptrace.SyscallInfo) -> bool:
        """Return whether a stop makes this call return EINTR, though no handler runs."""
        return info[5] in self._interrupted.get(info[2], ())

    def _mend_interrupted(self, tracee: Tracee, number: int, info: ptrace.SyscallInfo) -> bool:
        """Have a call made again that returns EINTR only because we stopped its task."""
        if number not in self._interrupted.get(info[2], ()):
            return False
        self._registers.set_result(tracee.tid, ERESTARTNOHAND)
        return True

    # -- the exit --------------------------------------------------------------------------

    def exited(self, tracee: Tracee, info: ptrace.SyscallInfo) -> Completed | None:
        """Take back and verify what the entry changed; return what is to be told of it.

        None: the task may go on.
        """
        tracee.inside = OUTSIDE
        result = info[5] - (1 << 64) if info[5] >> 63 else info[5]
        if result == EINTR and self.going and tracee.verify is None:
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
            if self.going and (result in RESTARTS or result == RESTART_BLOCK):
                tracee.call = tracee.order = None  # it goes on without us, and without the fault
            elif result in RESTARTS:
                tracee.again = (call.raw[5], info[3], info[4])
            elif result == RESTART_BLOCK:
                number = call.arch.numbers["restart_syscall"]
                tracee.again = (number, info[3], info[4])
            else:
                return self._over(tracee, call, tracee.order, result)
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
                return self._over(tracee, call, tracee.order, result)
        return None

    def _over(self, tracee: Tracee, call: StoppedCall, order: Order, result: int) -> Completed:
        """Change what the fault changes after the call."""
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
        return Completed(call, order, result)


def _reported(order: Order) -> int | None:
    """Return what a call is to report in the place of its own result, None if nothing."""
    return -order.error if order.error else order.value
