"""The notify engine: seccomp user notification, answered by ioctl (seccomp_unotify(2)).

Stops the calls a filter names, learns of tasks from the few lifecycle calls that
are always in the filter, parks delayed calls, carries out orders. It decides
nothing and prints nothing. `next` is the hot path: keep it short.
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import os
import select
import signal
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from injector.engines.base import BlindSpot, Finished, Ordered, Stop, TaskEnded, TaskStarted, Woken
from injector.engines.call import StoppedCall
from injector.engines.kinship import Kinship
from injector.engines.tasks import Process, Task
from injector.linux import libc, pidfd, procfs
from injector.linux.doorbell import Doorbell
from injector.linux.ending import end_target
from injector.linux.keeper import Keeper
from injector.linux.launch import Launched, Started, exec_state
from injector.linux.seccomp import Listener
from injector.rules.decide import Order
from injector.words.errors import InjectError
from injector.words.syscalls import Arch

CLONE_THREAD = 0x10000
_RETRY_CREATION = 200_000  # ns between two looks for the child of another task's clone
_GIVE_UP_CREATION = 1_000_000_000  # ns after which that child is taken for dead
_AUDIT_X86_64 = 0xC000003E
# x86_64 struct ucontext, asm/sigcontext.h: r8 to r15, di, si, bp, bx, dx, ax, cx, sp, ip.
_FRAME_R8 = 40
_FRAME_REGISTERS = struct.Struct("=17Q")
_FRAME_WANTED = (0, 1, 2, 8, 9, 12, 13, 14, 16)
_FRAME_END = _FRAME_R8 + _FRAME_REGISTERS.size


class Role(enum.IntEnum):
    """What a call means to the engine besides being a call."""

    PLAIN = 0
    CREATE = 1
    EXEC = 2
    EXIT = 3
    EXIT_GROUP = 4
    SIGRETURN = 5
    RING = 6


_SIGRETURN = 5

ROLES: Mapping[str, Role] = {
    "fork": Role.CREATE,
    "vfork": Role.CREATE,
    "clone": Role.CREATE,
    "clone3": Role.CREATE,
    "execve": Role.EXEC,
    "execveat": Role.EXEC,
    "exit": Role.EXIT,
    "exit_group": Role.EXIT_GROUP,
    "rt_sigreturn": Role.SIGRETURN,
    "io_uring_setup": Role.RING,
}
"""The calls that are in every filter: all rare, each tells of a task or of a blind spot."""


class NotifyEngine:
    """One launched target tree under one listener."""

    def __init__(
        self, launched: Launched, arches: Iterable[Arch], bell: Doorbell, keeper: Keeper
    ) -> None:
        self.launched = launched
        self.kinship = Kinship()
        self.started = time.monotonic_ns()
        self._listener = Listener(launched.listener)
        self._tasks = self.kinship.tasks
        self._bell = bell
        self._keeper = keeper
        self._timer = libc.Timer()
        self._stops: deque[Stop] = deque()
        self._pidfds: dict[int, Process] = {}
        self._parked: list[tuple[int, int, StoppedCall, Order]] = []
        self._creating: list[tuple[int, StoppedCall]] = []
        self._sequence = 0
        self._executed = False
        self._table = {
            arch.audit: {
                number: (name, int(ROLES.get(name, Role.PLAIN)), arch)
                for number, name in arch.names.items()
            }
            for arch in arches
        }
        keeper.watch_listener(launched.listener)
        bell.add(launched.listener, 0)
        bell.add(self._timer.fd)
        # Its end tells of the execve: the program may never make a call that stops.
        self._report = launched.report
        bell.add(self._report)

    def next(self, decide: Callable[[StoppedCall], Order | None]) -> Stop:
        """Let calls pass until one is decided otherwise or something else happens.

        A returned Ordered must be answered by `carry_out`. This is the hot path.

        Raises:
            InjectError: the target could not be executed.
        """
        bell, tasks, table, stops = self._bell, self._tasks, self._table, self._stops
        receive, proceed = self._listener.receive, self._listener.proceed
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
            name, role, call.arch = table[raw[4]][raw[3]]
            task = tasks.get(raw[1])
            if role or task is None or task.restarting or task.process.execing:
                task = self._unusual(raw, role, task)
                if task is None:
                    continue
            if role != _SIGRETURN:
                task.last_plain = raw
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
                self._undelivered(call, None)

    # -- answers ---------------------------------------------------------------

    def _pass_on(self, call: StoppedCall) -> None:
        if call.role and not self._before_passing(call):
            return
        if not self._listener.proceed(call.raw[0]):
            self._undelivered(call, None)

    def valid(self, call: StoppedCall) -> bool:
        """Return whether the task still waits for its answer."""
        return self._listener.valid(call.raw[0])

    def carry_out(self, call: StoppedCall, order: Order) -> None:
        """Do what was ordered, after its delay if it has one; other tasks go on meanwhile."""
        if order.delay:
            self._sequence += 1
            due = time.monotonic_ns() + order.delay
            heapq.heappush(self._parked, (due, self._sequence, call, order))
            self._set_timer()
        else:
            self._finish(call, order)

    def _finish(self, call: StoppedCall, order: Order) -> None:
        # Killed while it was parked: its descriptors are closed, its numbers perhaps another's.
        if not self.valid(call):
            return
        fault = order.rule.fault
        process = call.task.process
        if fault.kill == "before":
            pidfd.send(process.pidfd, signal.SIGKILL)
            process.exit_code = int(signal.SIGKILL)
            return
        if fault.signal is not None:
            pidfd.send_thread(process.pid, call.task.tid, fault.signal)
        if fault.freeze:
            pidfd.send(process.pidfd, signal.SIGSTOP)
        if order.error or order.value is not None:
            answer = (order.value or 0, order.error)
            if not self._listener.reply(call.raw[0], *answer):
                self._undelivered(call, answer)
        else:
            self._pass_on(call)

    def release(self) -> None:
        """Answer every delayed call now: somebody asked the target to end."""
        while self._parked:
            _, _, call, order = heapq.heappop(self._parked)
            self._finish(call, order)

    def _undelivered(self, call: StoppedCall, answer: tuple[int, int] | None) -> None:
        # The task died, or (without WAIT_KILLABLE_RECV, before Linux 5.19) a signal
        # took the call back and it comes again: then it is the same call.
        call.task.restarting = call.raw
        call.task.answer = answer

    def send(self, number: int) -> None:
        """Signal the first process, as if it were us; when it has ended, all that are left."""
        if not self._executed:
            pidfd.send(self.launched.pidfd, number)
            return
        first = self.kinship.processes.get(self.launched.pid)
        for process in [first] if first else list(self.kinship.processes.values()):
            pidfd.send(process.pidfd, number)

    def send_all(self, number: int) -> None:
        """Signal every process of the target, also those that made no call yet."""
        if not self._executed:
            pidfd.send(self.launched.pidfd, number)
            return
        known = list(self.kinship.processes.values())
        below = {child for process in known for child in procfs.descendants(process.pid)}
        for process in known:
            pidfd.send(process.pidfd, number)
        for pid in below - self.kinship.processes.keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """Kill the target; return when its last task is gone."""
        end_target(list(self._pidfds) or [self.launched.pidfd], self.launched.listener)

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
        if process.execing is not None and (task is process.execing or tid == process.pid):
            task = self._after_exec(process, task)
        if task.restarting is not None and role != Role.SIGRETURN:
            before = task.restarting
            if before[3:] == raw[3:]:
                task.restarting = None
                self._again(cookie, task)
                return None
            if task.answer is None:
                task.restarting = None  # it came back to another place than its call
        return task

    def _again(self, cookie: int, task: Task) -> None:
        answer, task.answer = task.answer, None
        if answer is None:
            self._listener.proceed(cookie)
        else:
            self._listener.reply(cookie, *answer)

    def _launching(self, cookie: int, tid: int) -> bool:
        match exec_state(self.launched):
            case Started():
                self._executed = True
                self.kinship.adopt_first(self.launched.pid, self.launched.pidfd)
                self._announce()
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
                self._keeper.watch_process(process.pidfd)
            self._stops.append(TaskStarted(task))
        self.kinship.fresh.clear()
        # Its child is known, so whoever waited for that may create now.
        if self._creating:
            self._retry_creations()

    def _before_passing(self, call: StoppedCall) -> bool:
        task = call.task
        match call.role:
            case Role.CREATE:
                return self._create(call, time.monotonic_ns())
            case Role.EXEC:
                self.kinship.settled(task, thread=False)
                self._announce()
                task.process.execing = task
            case Role.EXIT:
                self.kinship.settled(task, thread=False)
                self._announce()
                if len(procfs.threads(task.process.pid)) > 1:
                    self.kinship.thread_gone(task)
                    status = (call.args[0] & 0xFF) << 8
                    self._stops.append(TaskEnded(task, status, last=False))
                else:
                    task.process.exit_code = (call.args[0] & 0xFF) << 8
            case Role.EXIT_GROUP:
                self.kinship.settled(task, thread=False)
                self._announce()
                task.process.exit_code = (call.args[0] & 0xFF) << 8
            case Role.SIGRETURN:
                self._after_signal(call)
            case Role.RING:
                self._stops.append(BlindSpot("io_uring", task))
        return True

    def _create(self, call: StoppedCall, since: int) -> bool:
        thread = self._makes_thread(call)
        settled = self.kinship.settled(call.task, thread)
        if self.kinship.fresh:
            self._announce()
        if not settled and time.monotonic_ns() - since < _GIVE_UP_CREATION:
            self._creating.append((since, call))
            self._set_timer()
            return False
        self.kinship.create(call.task, thread)
        return True

    def _makes_thread(self, call: StoppedCall) -> bool:
        match call.name:
            case "clone":
                return bool(call.args[0] & CLONE_THREAD)
            case "clone3":  # struct clone_args begins with its flags
                raw = call.task.process.read(call.args[0], 8)
                return bool(int.from_bytes(raw, "little") & CLONE_THREAD)
            case _:
                return False

    def _retry_creations(self) -> None:
        waiting, self._creating = self._creating, []
        for since, call in waiting:
            if self._create(call, since):
                self._listener.proceed(call.raw[0])

    def _after_exec(self, process: Process, task: Task) -> Task:
        executing = process.execing
        alive = procfs.threads(process.pid)
        if executing is not None and executing is not task:
            if executing.tid in alive:
                return task  # not done yet; the leader still runs the old program
            # The executing thread took over the leader's number (execve(2)).
            self.kinship.thread_gone(task)
            self._stops.append(TaskEnded(task, 0, last=False))
            self.kinship.thread_gone(executing)
            executing.tid = process.pid
            process.tasks[process.pid] = self._tasks[process.pid] = executing
            task = executing
        for other in list(process.tasks.values()):
            if other is not task and other.tid not in alive:
                self.kinship.thread_gone(other)
                self._stops.append(TaskEnded(other, 0, last=False))
        process.execing = None
        process.executed()
        return task

    def _after_signal(self, call: StoppedCall) -> None:
        """Find whether the signal handler that returns interrupted a call that restarts.

        The frame that rt_sigreturn(2) restores then points back at the syscall
        instruction (signal(7), "Interruption of system calls"). x86_64 only.
        """
        task = call.task
        if call.arch.audit != _AUDIT_X86_64:
            return
        where = procfs.blocked(task.tid)
        if where is None:
            return
        frame = task.process.read(where.sp, _FRAME_END)
        if len(frame) < _FRAME_END:
            return
        registers = _FRAME_REGISTERS.unpack_from(frame, _FRAME_R8)
        r8, r9, r10, rdi, rsi, rdx, rax, rcx, rip = (registers[at] for at in _FRAME_WANTED)
        again = (rax, call.raw[4], rip + 2, rdi, rsi, rdx, r10, r8, r9)
        # Any signal may hit just before a syscall instruction. That the call had been made
        # shows in its being our last, or, where the handler called too, in rcx: syscall
        # leaves the return address there.
        if task.last_plain[3:] == again or (rcx == rip + 2 and rax in self._table[call.raw[4]]):
            task.restarting, task.answer = (0, 0, 0, *again), None

    # -- timers, deaths, the end -------------------------------------------------

    def _set_timer(self) -> None:
        deadlines = [self._parked[0][0]] if self._parked else []
        if self._creating:
            deadlines.append(time.monotonic_ns() + _RETRY_CREATION)
        self._timer.set(min(deadlines) if deadlines else None)

    def _look_around(self) -> None:
        others = []
        for fd, _ in self._bell.ready():
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
                if self._executed or self._launching(0, 0):
                    self._bell.remove(fd)
                    os.close(fd)
                    self._report = -1  # a pidfd may get this number
            elif fd == self.launched.listener:
                self._bell.remove(fd)
                self._wind_up()
                return  # what else was ready is closed by now
            else:
                others.append(fd)
        if others:
            self._stops.append(Woken(tuple(others)))

    def _process_ended(self, fd: int) -> None:
        process = self._pidfds.pop(fd)
        self._bell.remove(fd)
        status = pidfd.status(process.pid, fd)
        if status is None:
            status = process.exit_code
        tasks = self.kinship.process_gone(process)
        tasks.sort(key=lambda task: task.tid == process.pid)
        for task in tasks:
            self._stops.append(TaskEnded(task, status, last=task is tasks[-1]))

    def _all_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.launched.listener, 0)
        return bool(poll.poll(0))

    def _wind_up(self) -> None:
        if not self._executed:
            self._launching(0, 0)
        for fd in list(self._pidfds):
            pidfd.ended(fd, 1.0)
            self._process_ended(fd)
        self._stops.append(Finished())
