"""The notify engine: seccomp user notification, answered by ioctl (seccomp_unotify(2)).

Stops the calls a filter names, learns of tasks from the few lifecycle calls that
are always in the filter, parks delayed calls, carries out orders. It decides
nothing and prints nothing. `next` is the hot path: keep it short.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import heapq
import os
import select
import signal
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from injector.engines.able import unseen, wants_ptrace
from injector.engines.base import Finished, Ordered, Remark, Stop, TaskEnded, TaskStarted, Woken
from injector.engines.call import StoppedCall
from injector.engines.kinship import Kinship
from injector.engines.tasks import Process, Task
from injector.linux import libc, pidfd, procfs
from injector.linux.doorbell import Doorbell
from injector.linux.ending import end_target
from injector.linux.keeper import Keeper, leave_to, lost
from injector.linux.launch import Launched, Started, exec_state
from injector.linux.seccomp import Grafted, Listener, Listeners
from injector.linux.zygote import Zygote
from injector.rules.decide import Order
from injector.rules.subscribe import subscriptions, unconditional
from injector.words.errors import InjectError
from injector.words.model import Match, Rule, Scenario
from injector.words.subscription import Comparison, Op, Subscription
from injector.words.syscalls import Arch

CLONE_SIGHAND = 0x800
CLONE_THREAD = 0x10000
JOB_CONTROL = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_RETRY_CREATION = 200_000  # ns between two looks for the child of another task's clone
_GIVE_UP_CREATION = 1_000_000_000  # ns after which that child is taken for dead
_AUDIT_X86_64 = 0xC000003E
# A part of the x86_64 struct ucontext, asm/sigcontext.h: ax, cx, sp, ip. The syscall
# instruction leaves the address behind it in cx.
_FRAME_REGISTERS = struct.Struct("=4Q")
_FRAME_SIZE = os.sysconf("SC_MINSIGSTKSZ")  # sysconf(3): what a signal's frame takes at most
_RED_ZONE = 128
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Role(enum.IntEnum):
    """What a call means to the engine besides being a call."""

    PLAIN = 0
    CREATE = 1
    EXEC = 2
    EXIT = 3
    EXIT_GROUP = 4
    RING = 5
    HANDLER = 6


ROLES: Mapping[str, Role] = {
    "fork": Role.CREATE,
    "vfork": Role.CREATE,
    "clone": Role.CREATE,
    "clone3": Role.CREATE,
    "execve": Role.EXEC,
    "execveat": Role.EXEC,
    "exit": Role.EXIT,
    "exit_group": Role.EXIT_GROUP,
    "io_uring_setup": Role.RING,
}
"""The calls that are in every filter: all rare, each tells of a task or of a blind spot."""

HANDLERS = frozenset(("rt_sigaction", "sigaction", "signal"))
"""Calls that may set a signal handler, without which no call is made again: where they stop, those
that look the same in a program that has none need no look at its stack. They are told to nobody
unless they are named."""
_NEW_ACTION = (Comparison(1, Op.GE, 1),)  # the second argument is no null pointer
_SETS_HANDLER: Mapping[str, tuple[Comparison, ...]] = {
    "rt_sigaction": _NEW_ACTION,
    "sigaction": _NEW_ACTION,
    "signal": (),
}

# fmt: off
RESTARTS = frozenset((
    "accept", "accept4", "clone", "clone3", "connect", "creat", "fcntl", "flock", "fork", "futex",
    "getrandom", "ioctl", "msgrcv", "msgsnd", "mq_timedreceive", "mq_timedsend", "open", "openat",
    "openat2", "preadv", "preadv2", "pwritev", "pwritev2", "read", "readv", "recv", "recvfrom",
    "recvmmsg", "recvmsg", "send", "sendfile", "sendmmsg", "sendmsg", "sendto", "splice", "tee",
    "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
))
# fmt: on
"""Calls that block and are made again after a handler with SA_RESTART (signal(7)); and creations,
which any handler that is due lets begin anew (ERESTARTNOINTR in copy_process of kernel/fork.c)."""


@functools.cache
def _table(arches: tuple[Arch, ...]) -> Mapping[int, Mapping[int, tuple[str, int, Arch, bool]]]:
    """Return by AUDIT_ARCH and number: name, role, architecture, and whether it restarts."""
    return {
        arch.audit: {
            number: (name, int(_role(name)), arch, name in RESTARTS)
            for number, name in arch.names.items()
        }
        for arch in arches
    }


def _role(name: str) -> Role:
    return Role.HANDLER if name in HANDLERS else ROLES.get(name, Role.PLAIN)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a filter of this engine stops.

    Attributes:
        calls: by architecture, with the tests of arguments that the kernel makes.
        named: those that are stopped whatever their arguments: a rule may be added for them.
        handlers: whether those in HANDLERS are stopped.
        tells_handlers: whether somebody wants to know of them.
    """

    calls: Mapping[Arch, list[Subscription]]
    named: frozenset[str]
    handlers: bool
    tells_handlers: bool


def stopped_for(
    scenario: Scenario, watched: Iterable[str], arches: Iterable[Arch], *, handlers: bool = False
) -> Stopped:
    """Return what must be stopped for a scenario, for who watches, and for the engine itself.

    Args:
        handlers: those in HANDLERS may stop: that is faster, but a signal in the microseconds
            until such a stop is received lets it return EINTR, which no program looks for.
    """
    return _stopped_for(scenario.matches, frozenset(watched), tuple(arches), handlers)


@functools.lru_cache(maxsize=64)
def _stopped_for(
    matches: tuple[Match, ...], watched: frozenset[str], arches: tuple[Arch, ...], handlers: bool
) -> Stopped:
    names = watched.union(*(one.syscalls for one in matches))
    calls = dict(subscriptions(matches, {*ROLES, *watched}, arches))
    told = HANDLERS & names
    handlers = handlers and not names.isdisjoint(RESTARTS)
    for arch, found in calls.items():
        ours = {
            # One that is told of is: a call that is sometimes seen has no number in a Site.
            arch.numbers[name]: () if name in told else _SETS_HANDLER[name]
            for name in (HANDLERS if handlers else told) & arch.numbers.keys()
        }
        others = [one for one in found if one.number not in ours]
        own = [Subscription(number, tests) for number, tests in ours.items()]
        calls[arch] = sorted([*others, *own], key=lambda one: one.number)
    named = unconditional(calls) - (HANDLERS - told)
    return Stopped(calls, named, handlers, bool(told))


class NotifyEngine:
    """One target tree: launched, under one listener, or processes that got theirs later."""

    def __init__(
        self,
        target: Launched | Zygote | Sequence[Grafted],
        arches: Iterable[Arch],
        bell: Doorbell,
        keeper: Keeper,
        stopped: Stopped,
    ) -> None:
        """Answer for a target under a filter made of `stopped`."""
        self.named: frozenset[str] | None = stopped.named
        self._tells_handlers = stopped.tells_handlers
        self._launched = target if isinstance(target, Launched) else None
        self.kinship = Kinship(handlers=stopped.handlers)
        self.status: int | None = None
        self.started = time.monotonic_ns()
        self._fds: tuple[int, ...]
        self._listener: Listener | Listeners
        match target:
            case Launched() | Zygote():
                self._fds = (target.listener,)
                self.first = target.pid if isinstance(target, Launched) else 0
            case _:
                self._fds = tuple(one.listener for one in target)
                self.first = target[0].pid
        ends = [Listener(fd, keeper.slate, index) for index, fd in enumerate(self._fds)]
        self._listener = ends[0] if len(ends) == 1 else Listeners(ends)
        self.tasks = self._tasks = self.kinship.tasks
        self._bell = bell
        self._keeper = keeper
        self._slate = keeper.slate
        self._timer = libc.Timer()
        self._stops: deque[Stop] = deque()
        self._pidfds: dict[int, Process] = {}
        self._parked: list[tuple[int, int, StoppedCall, Order]] = []
        self._creating: list[tuple[int, StoppedCall]] = []
        self._sequence = 0
        self._executed = self._launched is None
        self._left = False
        self._table = _table(tuple(arches))
        bell.add(self._timer.fd)
        self._report = -1
        match target:
            case Launched(report=report):
                bell.add(target.listener, 0)
                keeper.watch_listener(target.listener)
                # Its end tells of the execve: the program may never make a call that stops.
                self._report = report
                bell.add(report)
            case Zygote():
                self._report = target.fileno()
                bell.add(self._report)
            case _:
                for number, one in enumerate(target):
                    bell.add(one.listener, 0)
                    self._take_over(one, str(number))

    def _take_over(self, target: Grafted, lineage: str) -> None:
        """Record the tasks of a process that ran already."""
        pid = target.pid
        first = self.kinship.add_process(pid, os.pidfd_open(pid), lineage, procfs.image(pid))
        for tid in procfs.threads(pid):
            self.kinship.had_before(procfs.children(pid, tid) or ())
            if tid != pid:
                first.born += 1
                self.kinship.add_task(tid, first.process, f"{lineage}.{first.born}")
        if procfs.state(pid) == "Z":  # its leader has ended, its threads have not
            self.kinship.task_gone(first)
            self.kinship.fresh.remove(first)
        self._announce()
        # The call that its stop interrupted was made before we came.
        task = self._tasks.get(target.tid)
        if target.again and task is not None:
            task.restarting = (0, target.tid, 0, *target.again)
        if target.no_new_privs:
            self._stops.append(Remark("no_new_privs", first))

    def next(self, decide: Callable[[StoppedCall], Order | None]) -> Stop:
        """Let calls pass until one is decided otherwise or something else happens.

        A returned Ordered must be answered by `carry_out`. This is the hot path.

        Raises:
            InjectError: the target could not be executed.
        """
        bell, tasks, table, stops = self._bell, self._tasks, self._table, self._stops
        receive, proceed = self._listener.receive, self._listener.proceed
        missed = self._listener.missed
        call = StoppedCall(self.started)
        while True:
            if stops:
                return stops.popleft()
            if bell.rung:
                self._look_around()
                continue
            try:
                raw = receive()
            except InterruptedError:
                continue
            except FileNotFoundError:  # that task died, or the last one did
                if self._all_gone():
                    self._wind_up()
                continue
            name, role, call.arch, restarts = table[raw[4]][raw[3]]
            task = tasks.get(raw[1])
            if role or task is None or task.restarting or task.process.changing:
                task = self._unusual(raw, role, task)
                if task is None:
                    continue
            if restarts:
                before = task.blocking.get(name)
                task.blocking[name] = raw
                if (
                    before is not None
                    and task.process.handles
                    and before[6] == raw[6]
                    and before[5:] == raw[5:]
                    and self._restarted(task, raw)
                    # The frame of a call that was taken back before we had received it looks
                    # the same; that is this call, and no part of the one before.
                    and not (self.kinship.bore(task) if role else missed(before[0], raw[0]))
                ):
                    proceed(raw[0])
                    continue
            try:
                task.calls[name] += 1
            except KeyError:
                task.calls[name] = 1
            image = task.process.image
            call.task, call.name, call.role, call.raw = task, name, role, raw
            call.by_loader = image.loader_start <= raw[5] < image.loader_end
            order = decide(call)
            if order is not None:
                stops.append(Ordered(call, order))  # behind the tasks it made known
                call = StoppedCall(self.started)
            elif role:
                self._pass_on(call)
                call = StoppedCall(self.started)  # a creation may be kept waiting
            elif not proceed(raw[0]):
                self._owe(call, None)

    # -- answers ---------------------------------------------------------------

    def _pass_on(self, call: StoppedCall) -> bool:
        """Let a call be made; False if it must wait."""
        if call.role and not self._before_passing(call):
            return False
        if not self._listener.proceed(call.raw[0]):
            self._owe(call, None)
        return True

    def valid(self, call: StoppedCall) -> bool:
        """Return whether the task still waits for its answer."""
        return self._listener.valid(call.raw[0])

    def put_off(self, call: StoppedCall, order: Order) -> None:
        """Note what a call that is not valid was to get: should it come again, it is Ordered."""
        self._owe(call, order, told=False)

    def carry_out(self, call: StoppedCall, order: Order) -> None:
        """Do what was ordered, after its delay if it has one; other tasks go on meanwhile."""
        if order.delay:
            self._sequence += 1
            due = time.monotonic_ns() + order.delay
            self._slate.hold(call.raw[0])
            self._owe(call, order)
            heapq.heappush(self._parked, (due, self._sequence, call, order))
            self._set_timer()
        else:
            self._finish(call, order)

    def _finish(self, call: StoppedCall, order: Order) -> None:
        if order.delay:
            # Killed while it was parked: its descriptors are closed, its numbers perhaps another's.
            if not self.valid(call):
                self._slate.drop(call.raw[0])
                return  # or it comes again, see `_owe`
            call.task.restarting = call.task.owed = None
        if self._answer(call, order) and order.delay:
            self._slate.drop(call.raw[0])  # not before: should we die, the keeper knows of it

    def _answer(self, call: StoppedCall, order: Order) -> bool:
        """Do what was ordered; False if the call must wait yet."""
        fault = order.rule.fault
        process = call.task.process
        if fault.kill == "before":
            pidfd.send(process.pidfd, signal.SIGKILL)
            process.ends(int(signal.SIGKILL))
            self._listener.forget(call.raw[0])
            return True
        if fault.signal is not None:
            pidfd.send_thread(process.pid, call.task.tid, fault.signal)
        if fault.freeze:
            pidfd.send(process.pidfd, signal.SIGSTOP)
        if order.error or order.value is not None:
            answer = (order.value or 0, order.error)
            if order.error and call.name == "brk":
                # It has no error: that it failed shows in the old break it returns (brk(2)).
                answer = (procfs.program_break(process.pid), 0)
            if not self._listener.reply(call.raw[0], *answer):
                self._owe(call, order)
            return True
        return self._pass_on(call)

    def complete(self, call: StoppedCall, order: Order) -> None:
        """Do nothing: no fault of this engine needs the end of its call."""

    def children_changed(self) -> bool:
        """Reap our children; return whether job control stopped the first process.

        Raises:
            InjectError: the keeper is dead.
        """
        stopped = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                break
            if pid == 0:
                break
            # Others are children that the target made with CLONE_PARENT, or orphans of it.
            if pid == self._keeper.pid and not os.WIFSTOPPED(status):
                raise lost()
            if self._launched is None:
                continue
            if os.WIFSTOPPED(status):
                if pid == self.first:
                    stopped = os.WSTOPSIG(status) in JOB_CONTROL
                continue
            if pid == self.first:
                self.status, stopped = status, False
            # Before Linux 6.15 nothing tells the status of what we have reaped again.
            process = self.kinship.processes.get(pid)
            if process is not None:
                process.ends(status)
        return stopped

    def release(self) -> None:
        """Answer every delayed call now: somebody asked the target to end."""
        while self._parked:
            _, _, call, order = heapq.heappop(self._parked)
            self._finish(call, order)

    def _owe(self, call: StoppedCall, order: Order | None, *, told: bool = True) -> None:
        """Note that a call may come again, and what it is to get then.

        Its task died, or a signal took it back, as any does before Linux 5.19
        (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, seccomp(2)): then it is the same call.
        """
        call.task.restarting = call.raw
        call.task.owed = None if order is None else (call, order, told)

    def send(self, number: int) -> None:
        """Signal the first process, as if it were us; when it has ended, all that are left."""
        if self._launched is not None and not self._executed:
            pidfd.send(self._launched.pidfd, number)
            return
        self.kinship.signal(self.first, number)

    def send_all(self, number: int) -> None:
        """Signal every process of the target, also those that made no call yet."""
        if self._launched is not None and not self._executed:
            pidfd.send(self._launched.pidfd, number)
            return
        known = list(self.kinship.processes.values())
        below = {child for process in known for child in procfs.descendants(process.pid)}
        for process in known:
            pidfd.send(process.pidfd, number)
        for pid in below - self.kinship.processes.keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def lacks(self, rule: Rule) -> str:
        """Return why a rule that is added now could not fire, "" if it can."""
        word = wants_ptrace(rule)
        if word:
            return f"{word} needs the ptrace engine; start with --engine ptrace"
        return unseen(rule, self.named or ())

    def cannot_leave(self) -> str:
        """Return why the target cannot be let go, "" if it can."""
        return "" if self._executed else "it has not begun yet"

    def detach(self) -> None:
        """Let the target go on alone: the keeper lets every call be made, until its end."""
        self.release()
        for _, call in self._creating:
            self._listener.proceed(call.raw[0])
        for stop in self._stops:
            if isinstance(stop, Ordered):
                self._listener.proceed(stop.call.raw[0])
        self._stops.clear()
        self._stops.append(Finished())
        self._left = True
        self._keeper = leave_to(self._keeper, self._fds)

    def end(self) -> None:
        """Kill a launched target, let another one go; return when that is done."""
        if self._launched is not None:
            end_target(list(self._pidfds) or [self._launched.pidfd], self._fds)
        elif not self._left:
            self.detach()

    def close(self) -> None:
        """Close every descriptor; the last thing that is asked."""
        self.kinship.close()
        self._timer.close()
        self._listener.close()
        if self._report >= 0:
            os.close(self._report)
        if self._launched is not None and not self._executed:
            os.close(self._launched.pidfd)

    # -- what is not a plain call of a known task --------------------------------

    def _unusual(self, raw: tuple[int, ...], role: int, task: Task | None) -> Task | None:
        cookie, tid = raw[0], raw[1]
        if not self._executed and not self._launching(cookie, tid):
            return None
        if task is None:
            task = self._tasks.get(tid) or self.kinship.introduce(tid)
            self._announce()
            if task is None or not self._listener.valid(cookie):
                self._listener.proceed(cookie)
                return None
        process = task.process
        if process.exit_code is not None and pidfd.ended(process.pidfd):
            # Its number came again before its end was told.
            self._process_ended(process.pidfd)
            return self._unusual(raw, role, None)
        if process.execing is not None and (task is process.execing or tid == process.pid):
            task = self._after_exec(process, task)
        if task.restarting is not None:
            before = task.restarting
            if before[3:] == raw[3:]:
                task.restarting = None
                self._again(raw, task)
                return None
            if task.owed is None:
                task.restarting = None
        if role == Role.HANDLER:
            process.handles = True
            if not self._tells_handlers:
                self._listener.proceed(cookie)
                return None
        return task

    def _again(self, raw: tuple[int, ...], task: Task) -> None:
        if task.owed is None:
            self._listener.proceed(raw[0])
            return
        call, order, told = task.owed
        task.owed = None
        parked = any(one is call for _, _, one, _ in self._parked)
        if parked:  # its delay is not over
            self._slate.drop(call.raw[0])
            self._slate.hold(raw[0])
        call.raw = raw
        if parked:
            self._owe(call, order)
        elif told:
            self._finish(call, order)
        else:
            self._stops.append(Ordered(call, order))

    def _launching(self, cookie: int, tid: int) -> bool:
        launched = self._launched
        assert launched is not None  # else it counts as executed
        match exec_state(launched):
            case Started():
                self._executed = True
                self._keeper.started()
                first = self.kinship.adopt_first(launched.pid, launched.pidfd)
                self._announce()
                if launched.no_new_privs:
                    self._stops.append(Remark("no_new_privs", first))
                return True
            case InjectError() as error:
                raise error
            case None:  # still our own child on its way to execve
                self._listener.proceed(cookie)
                return False

    def _announce(self) -> None:
        for task in self.kinship.fresh:
            process = task.process
            if process.pidfd not in self._pidfds:
                self._pidfds[process.pidfd] = process
                self._bell.add(process.pidfd)
                self._guard(process)
            self._stops.append(TaskStarted(task))
        self.kinship.fresh.clear()
        # Its child is known, so whoever waited for that may create now.
        if self._creating:
            self._retry_creations()

    def _guard(self, process: Process) -> None:
        self._keeper.watch_process(process.pidfd)

    def _before_passing(self, call: StoppedCall) -> bool:
        task = call.task
        match call.role:
            case Role.CREATE:
                return self._create(call, time.monotonic_ns())
            case Role.EXEC:
                self.kinship.settled(task, thread=False)
                self._announce()
                task.process.executes(task)
            case Role.EXIT:
                self.kinship.settled(task, thread=False)
                self._announce()
                if len(procfs.threads(task.process.pid)) > 1:
                    self.kinship.task_gone(task)
                    status = (call.args[0] & 0xFF) << 8
                    self._stops.append(TaskEnded(task, status, last=False))
                else:
                    task.process.ends((call.args[0] & 0xFF) << 8)
            case Role.EXIT_GROUP:
                self.kinship.settled(task, thread=False)
                self._announce()
                task.process.ends((call.args[0] & 0xFF) << 8)
            case Role.RING:
                self._stops.append(Remark("io_uring", task))
        return True

    def _create(self, call: StoppedCall, since: int) -> bool:
        flags = self._clone_flags(call)
        thread = bool(flags & CLONE_THREAD)
        if flags & CLONE_SIGHAND and not thread:
            self.kinship.share_handlers()
        settled = self.kinship.settled(call.task, thread)
        if self.kinship.fresh:
            self._announce()
        if not settled and time.monotonic_ns() - since < _GIVE_UP_CREATION:
            self._slate.hold(call.raw[0])
            self._creating.append((since, call))
            self._set_timer()
            return False
        self.kinship.create(call.task, thread)
        return True

    def _clone_flags(self, call: StoppedCall) -> int:
        match call.name:
            case "clone":
                return call.args[0]
            case "clone3":  # struct clone_args begins with its flags
                return int.from_bytes(call.task.process.read(call.args[0], 8), "little")
            case _:
                return 0

    def _retry_creations(self) -> None:
        waiting, self._creating = self._creating, []
        for since, call in waiting:
            if self._create(call, since):
                self._listener.proceed(call.raw[0])
                self._slate.drop(call.raw[0])

    def _after_exec(self, process: Process, task: Task) -> Task:
        executing = process.execing
        alive = procfs.threads(process.pid)
        if executing is not None and executing is not task:
            if executing.tid in alive:
                return task  # not done yet; the leader still runs the old program
            # The executing thread took over the leader's number (execve(2)).
            self.kinship.task_gone(task)
            self._stops.append(TaskEnded(task, 0, last=False))
            self.kinship.task_gone(executing)
            executing.tid = process.pid
            process.tasks[process.pid] = self._tasks[process.pid] = executing
            task = executing
        for other in list(process.tasks.values()):
            if other is not task and other.tid not in alive:
                self.kinship.task_gone(other)
                self._stops.append(TaskEnded(other, 0, last=False))
        process.executed()
        return task

    def _restarted(self, task: Task, raw: tuple[int, ...]) -> bool:
        """Return whether a call is the same as before, made again after a signal handler.

        The frame that the handler returned by lies dead below the stack pointer and its
        red zone, and says to make this very call. To stop rt_sigreturn(2) would tell more
        simply, but a second signal that comes before the notification is received makes
        it return EINTR, of which the program dies. x86_64, handlers on the task's own stack.
        """
        if raw[4] != _AUDIT_X86_64:
            return False
        where = task.process.blocked(task.tid, functools.partial(self._listener.valid, raw[0]))
        if where is None:
            return False
        high = where.sp - _RED_ZONE
        low = high - _FRAME_SIZE
        frame = task.process.read(low, _FRAME_SIZE)
        if not frame:  # the stack's last page is not there yet
            low += -low % _PAGE
            frame = task.process.read(low, max(high - low, 0))
        again = _FRAME_REGISTERS.pack(raw[3], raw[5], where.sp, raw[5] - 2)
        at = frame.rfind(again)
        if at < 0:
            return False
        # So that it is not found a second time, when the call really comes again.
        task.process.write(low + at, bytes(len(again)))
        return True

    # -- timers, deaths, the end -------------------------------------------------

    def _set_timer(self) -> None:
        deadlines = [self._parked[0][0]] if self._parked else []
        if self._creating:
            deadlines.append(time.monotonic_ns() + _RETRY_CREATION)
        self._timer.set(min(deadlines) if deadlines else None)

    def _look_around(self) -> None:
        others = []
        for fd, events in self._bell.ready():
            if fd == self._timer.fd:
                self._timer.clear()
                now = time.monotonic_ns()
                while self._parked and self._parked[0][0] <= now:
                    _, _, call, order = heapq.heappop(self._parked)
                    self._finish(call, order)
                self._retry_creations()
                self._set_timer()
            elif fd in self._pidfds:
                self._process_ended(fd)
            elif fd == self._report:
                self._reported()
            elif fd in self._fds:
                if not events & select.EPOLLHUP:  # EPOLLERR, see `seccomp.deserted`
                    continue
                self._bell.remove(fd)
                if self._listener.gone():
                    self._wind_up()
                    return  # what else was ready is closed by now
            else:
                others.append(fd)
        if others:
            self._stops.append(Woken(tuple(others)))

    def _reported(self) -> None:
        if self._executed or self._launching(0, 0):
            self._bell.remove(self._report)
            os.close(self._report)
            self._report = -1  # a pidfd may get this number

    def _process_ended(self, fd: int) -> None:
        process = self._pidfds.pop(fd)
        # It may have executed something and died before a call of it stopped.
        name = procfs.comm(process.pid)
        if name and pidfd.pid(fd) == process.pid:  # else its number may be another's already
            process.name = name
        self._bell.remove(fd)
        status = self._status(process, fd)
        if status is None:
            status = process.exit_code
        if self._launched is None and process.pid == self.first:
            self.status = status
        tasks = self.kinship.process_gone(process)
        tasks.sort(key=lambda task: task.tid == process.pid)
        for task in tasks:
            self._stops.append(TaskEnded(task, status, last=task is tasks[-1]))

    def _status(self, process: Process, fd: int) -> int | None:
        return pidfd.status(process.pid, fd)

    def _all_gone(self) -> bool:
        return self._listener.gone()

    def _wind_up(self) -> None:
        if not self._executed:
            self._launching(0, 0)
        for fd in list(self._pidfds):
            pidfd.ended(fd, 1.0)
            self._process_ended(fd)
        if self.status is None and self._launched is not None:
            self.status = os.waitpid(self._launched.pid, 0)[1]
        self._stops.append(Finished())
