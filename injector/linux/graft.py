"""Give a running process a seccomp filter and take its listener.

One of its threads is stopped by ptrace(2) and makes the calls for us: memory for the program,
seccomp(2) with SECCOMP_FILTER_FLAG_TSYNC, which is for all threads at once, munmap and close.
Its registers and signal mask are then as before, and it is let go. The other threads are not
even stopped: what they are blocked in is not disturbed, and a call of theirs that the filter
names waits for the listener.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import struct
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NoReturn

from injector.linux import libc, procfs, ptrace, seccomp
from injector.linux.keeper import Keeper
from injector.linux.pidfd import zombie
from injector.linux.probe import host
from injector.linux.ptrace import CONT, ENTRY, EXIT, INTERRUPT, SYSCALL, Event
from injector.linux.registers import (
    EINTR,
    EINTR_AFTER_STOP,
    ERESTARTNOHAND,
    RESTART_BLOCK,
    RESTARTS,
    X86_64,
    registers,
)
from injector.linux.seccomp import Grafted
from injector.linux.seize import is_ours, reaping, refuse
from injector.linux.slate import Slate
from injector.words.errors import InjectError, NotAvailable
from injector.words.syscalls import native

_FLAGS = seccomp.NEW_LISTENER | seccomp.TSYNC | seccomp.TSYNC_ESRCH | seccomp.WAIT_KILLABLE_RECV
_LISTENER = "anon_inode:seccomp notify"
_CLASS32 = b"\x7fELF\x01"
_PIDFD_THREAD = os.O_EXCL  # linux/pidfd.h, Linux 6.9
_NO_DESCRIPTOR = 0x7FFFFFFF
_CAP_SYS_ADMIN = 21
# sys/mman.h
_PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS = 3, 0x22
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HEADER = 16  # bytes of struct sock_fprog

_STOPPING = 1.0  # seconds for a thread to stop, before another is tried
_ALL_STOPPING = 4.0
_SWEEPS = 20  # looks at all threads that find none to seize, before that is believed
_SWEEP_PAUSE = 0.005
_CALL = 30.0  # seconds for a call of ours: it may wait for another thread's execve
_SPINS = 200  # looks before a pause between them
_PAUSE = 0.0002
_CODE_READ = 1 << 20

_ENDS = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
_ANSWER = 1 << 16
_SIGNALS_IN_RSEQ = 100
_RSEQ_CS = 8  # offset in struct rseq of the section a thread is in, linux/rseq.h


class _Late(Exception):
    """A thread did not stop in time."""


class _Gone(Exception):
    """A thread has ended."""


def graft(
    pid: int,
    program: bytes,
    keeper: Keeper | None = None,
    index: int = 0,
    earlier: Sequence[seccomp.Listener] = (),
) -> Grafted:
    """Install `program`, from `seccomp.build`, in all threads of a process; take its listener.

    Args:
        keeper: gets the listener as soon as there is one: a filter must not be without.
        index: the listener's place on the keeper's slate.
        earlier: what stops at these meanwhile is let pass.

    Raises:
        InjectError: it cannot be. The process is then as it was, or, where that failed behind
            the kernel's consent, the keeper has its listener.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    injector = os.getpid()
    surgeon = os.fork()
    if surgeon == 0:
        ours.close()
        _operate(theirs, injector, pid, program, keeper, index)
    theirs.close()
    with ours:
        _let_pass(earlier, ours)
        data, fds, _, _ = socket.recv_fds(ours, _ANSWER, 1)
    os.waitpid(surgeon, 0)
    if not data:
        raise InjectError(f"the process of ours that attached to {_name(pid)} was killed")
    answer = json.loads(data)
    if "message" in answer:
        kind = NotAvailable if answer.pop("not_available") else InjectError
        raise kind(**answer)
    return Grafted(pid, fds[0], answer["tid"], tuple(answer["again"]), answer["no_new_privs"])


def _let_pass(listeners: Sequence[seccomp.Listener], until: socket.socket) -> None:
    """Let every call be made until there is something to be received from this socket."""
    known = {one.fd: one for one in listeners}
    poll = select.poll()
    for fd in (until.fileno(), *known):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, events in poll.poll():
            if fd not in known:
                return
            if events & select.POLLIN:
                with contextlib.suppress(FileNotFoundError, InterruptedError):
                    known[fd].proceed(known[fd].receive()[0])
            elif events & select.POLLHUP:
                poll.unregister(fd)


def _operate(
    channel: socket.socket,
    injector: int,
    pid: int,
    program: bytes,
    keeper: Keeper | None,
    index: int,
) -> NoReturn:
    """Do it in a process of its own: should ours be killed meanwhile, it still ends well.

    Its end lets go even of a task that never stops (state D).
    """
    status = 1
    try:
        # Neither ^C nor a signal to our group reaches it.
        os.setsid()
        try:
            grafted = _graft(pid, program, keeper, index)
        except InjectError as error:
            answer: dict[str, object] = {
                "message": error.message,
                "help": error.help,
                "status": error.status,
                "not_available": isinstance(error, NotAvailable),
            }
            fds = []
        else:
            answer = {
                "tid": grafted.tid,
                "again": grafted.again,
                "no_new_privs": grafted.no_new_privs,
            }
            fds = [grafted.listener]
            # Killed before its keeper had the listener, which has gone with it then.
            if keeper is not None and os.getppid() != injector:
                _leave_alone(grafted.listener)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(channel, [json.dumps(answer).encode()], fds)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _graft(pid: int, program: bytes, keeper: Keeper | None, index: int) -> Grafted:
    try:
        known = registers()
    except NotAvailable as error:
        raise NotAvailable("attaching to a process works on x86_64 only, so far") from error
    require_graftable(pid)
    deadline = time.monotonic() + _ALL_STOPPING
    away = _Away()
    while True:
        hand = _stopped_thread(pid, known, away, deadline)
        try:
            return hand.install(program, keeper, index)
        except _Gone as error:
            away.add(hand.tid)
            # The others live on, or one of them has executed and is the process now.
            if not _survivors(pid) or time.monotonic() > deadline:
                raise InjectError(f"{_name(pid)} ended while it was attached to") from error
        except _Late as error:
            raise InjectError(
                f"{_name(pid)} does not go on: a call we make in it takes more than {_CALL:.0f} s",
                help=f"cat /proc/{hand.tid}/stack shows what it waits for",
            ) from error
        finally:
            hand.let_go()


def _survivors(pid: int) -> list[int]:
    """Return the threads that live, in a moment if not now: where one executes, all die but that.

    Its number is then the leader's, and between the two it is not to be found.
    """
    for _ in range(_SWEEPS):
        found = [tid for tid in procfs.threads(pid) if _alive(tid)]
        if found:
            return found
        time.sleep(_SWEEP_PAUSE)
    return []


def _alive(tid: int) -> bool:
    return procfs.state(tid) not in ("Z", "X", "")


def _filters(tid: int) -> int:
    """Return how many seccomp filters a task has; one at least where that is not told."""
    if host.status("Seccomp", tid) != "2":
        return 0
    return int(host.status("Seccomp_filters", tid) or 1)


def require_graftable(pid: int) -> None:
    """Refuse, before anything is changed, a process that cannot get a filter.

    Raises:
        InjectError: it runs 32-bit code, or we may not take a descriptor of it.
    """
    _require_64_bit(pid)
    _require_takeable(pid)


def _leave_alone(listener: int) -> None:
    """Have a keeper of its own answer for the filter."""
    keeper = Keeper()
    keeper.watch_listener(listener)
    keeper.leave()


def _name(pid: int) -> str:
    return f"{pid} ({procfs.comm(pid)})"


def _require_64_bit(pid: int) -> None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/exe", "rb") as exe:
        if exe.read(len(_CLASS32)) == _CLASS32:
            raise InjectError(
                f"{_name(pid)} is a 32-bit program: inject does not know its registers",
                help="say --engine ptrace",
            )


def _require_takeable(pid: int) -> None:
    """Find out before anything is changed whether we may take a descriptor."""
    deadline = time.monotonic() + _STOPPING
    while (error := _untakeable(pid)) is not None:
        # A leader that ends in another thread's execve is none for a moment.
        if error.errno != errno.ESRCH or time.monotonic() > deadline:
            refuse(pid, error, "pidfd_getfd", "say --engine ptrace")
        time.sleep(_PAUSE)


def _untakeable(pid: int) -> OSError | None:
    """Return why no descriptor can be taken of any thread, None if one can."""
    for who, how in (*((tid, _PIDFD_THREAD) for tid in procfs.threads(pid)), (pid, 0)):
        try:
            pidfd = os.pidfd_open(who, how)
        except OSError:  # it has ended; EINVAL: this kernel knows no pidfd of a thread
            continue
        try:
            libc.pidfd_getfd(pidfd, _NO_DESCRIPTOR)
        except OSError as error:
            if error.errno == errno.EBADF:
                return None
            if error.errno != errno.ESRCH:
                return error
        finally:
            os.close(pidfd)
    return OSError(errno.ESRCH, os.strerror(errno.ESRCH))


def _require_no_strange_filter(tid: int, *, suspended: bool) -> None:
    """Refuse where a filter of its own might kill the process for the calls we make in it."""
    mode = host.status("Seccomp", tid)
    if mode == "1":
        raise InjectError(
            f"{_name(tid)} is in seccomp's strict mode: no filter can be added",
            help="say --engine ptrace",
        )
    # Those that we are under too, a container's, let a process make these calls, or refuse them.
    if mode == "2" and not suspended and _filters(tid) > _filters(os.getpid()):
        raise InjectError(
            f"{_name(tid)} has a seccomp filter of its own, "
            "which may kill it for the calls that installing ours takes",
            help="run inject as root, which can suspend it meanwhile, or say --engine ptrace",
        )


def _stopped_thread(pid: int, known: X86_64, away: _Away, deadline: float) -> _Hand:
    """Seize and stop the thread that is disturbed least by it.

    Raises:
        InjectError: none can be.
    """
    refused: OSError | None = None
    narrow: set[int] = set()
    barren = 0
    # In an execve(2) the leader is dead for a moment, and then another thread.
    while barren < _SWEEPS and time.monotonic() < deadline:
        away.tend()
        refused = None
        candidates = [tid for tid in _candidates(pid) if tid not in narrow and tid not in away]
        found = False
        for tid in candidates:
            try:
                away.seize(tid)
            except OSError as error:
                if _alive(tid):  # not so who ends for an execve of another
                    refused = error
                continue
            found = True
            hand = _Hand(pid, tid, known, away)
            try:
                if hand.stop(min(deadline, time.monotonic() + _STOPPING)):
                    return hand
            except (_Late, _Gone):
                away.add(tid)
                continue
            narrow.add(tid)
            hand.let_go()
        if not found:
            barren += bool(refused or away or zombie(pid) or procfs.ids(pid) is None)
            time.sleep(_SWEEP_PAUSE)
    if narrow:
        raise InjectError(
            f"{_name(pid)} runs 32-bit code: inject does not know its registers",
            help="say --engine ptrace",
        )
    if procfs.ids(pid) is None or zombie(pid):
        refuse(pid, None)
    if refused is not None and procfs.state(pid) != "D":
        refuse(pid, refused)
    raise InjectError(
        f"{_name(pid)} does not stop: it waits in a call that nothing interrupts (state D)",
        help="the parent of a vfork(2) does so until its child executes; try again",
    )


class _Away(set[int]):
    """Threads that we seized and that did not stop, or that died before they were of use.

    Each may be what an execve(2) of their process waits for, until it is reaped.
    """

    def seize(self, tid: int) -> None:
        """Seize another thread.

        Raises:
            OSError: as `ptrace.seize`.
        """
        waited: deque[tuple[int, int]] = deque()
        try:
            with reaping(waited):
                ptrace.seize(tid, ptrace.O_STOPS)
        except PermissionError:
            if not is_ours(tid):  # by an execve(2): then it has the leader's number now
                raise
        finally:
            for one, status in waited:
                self._told(one, ptrace.decode(status))

    def tend(self) -> None:
        """Reap who has died; let go who has stopped after all."""
        for tid in list(self):
            stop = _look(tid)
            if stop is not None:
                self._told(tid, stop)

    def _told(self, tid: int, stop: ptrace.Stop) -> None:
        self.discard(tid)
        if not isinstance(stop, ptrace.Ended):
            ptrace.detach(tid, stop.signal if isinstance(stop, ptrace.SignalStop) else 0)


def _look(tid: int) -> ptrace.Stop | None:
    """Return what there is to be waited for of a tracee, None if nothing yet.

    A leader ends without a word when another thread executes (ptrace(2), "execve(2) under
    ptrace").
    """
    try:
        found, status = os.waitpid(tid, ptrace.WALL | os.WNOHANG)
    except ChildProcessError:
        return ptrace.Ended(0)
    return ptrace.decode(status) if found else None


def _dead(tid: int) -> bool:
    """Return whether a tracee has died; it is not reaped."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT | ptrace.WALL
    try:
        found = os.waitid(os.P_PID, tid, how)
    except ChildProcessError:
        return True
    # A tracee's stops are told whatever is asked for (wait_task_stopped of kernel/exit.c).
    return found is not None and found.si_code in _ENDS


def _candidates(pid: int) -> list[int]:
    """Return the threads that can be stopped, best first.

    Best is a call that goes on after a stop as if nothing had been. Code of its own comes
    after that, then the leader, then calls that must be begun anew; last who may not stop at all.
    """
    sleepers = {native().numbers[name] for name in EINTR_AFTER_STOP if name in native().numbers}
    ranked = []
    for tid in procfs.threads(pid):
        match procfs.state(tid):
            case "Z" | "X" | "":
                continue
            case "S":
                call = procfs.blocked(tid)
                rank = 1 if call is None else 2 if call.number in sleepers else 0
            case "D":
                rank = 4
            case "t" | "T":
                rank = 3
            case _:
                rank = 1
        # Another thread's execve(2) waits for what we do with any but the leader.
        ranked.append((rank > 1, tid == pid, rank, tid))
    return [tid for *_, tid in sorted(ranked)]


class _Hand:
    """A thread that we stopped, and that makes calls for us."""

    def __init__(self, pid: int, tid: int, known: X86_64, away: _Away) -> None:
        self.pid = pid
        self.tid = tid
        self._registers = known
        self._others = away
        self._describe = ptrace.Describer().at
        self._before = b""  # all registers, as they are to be at the end
        self._mask: bytes | None = None
        self._at = 0  # where a `syscall` instruction lies
        self._away = False  # stopped in a call of ours
        self._stopped = False
        self._listener: seccomp.Listener | None = None
        self._flags = _FLAGS

    # -- to stop it, and to let it go ---------------------------------------------------

    def stop(self, deadline: float) -> bool:
        """Stop it where it is about to return to its program; False if that is 32-bit code.

        Raises:
            _Late: it does not stop.
            _Gone: it has ended.
        """
        for _ in range(_SIGNALS_IN_RSEQ):
            self._interrupt(deadline)
            before = ptrace.get_registers(self.tid)
            self._mask = ptrace.get_signal_mask(self.tid)
            if before is None or self._mask is None:
                raise _Gone
            if not self._registers.wide(before):
                self._mask = None
                return False
            self._before = before
            if not self._in_restartable_sequence():
                break
            self._mask = None
            self._go(CONT)
        else:
            raise _Late
        number, result, *_ = self._registers.call_of(before)
        if result == EINTR and native().names.get(number) in EINTR_AFTER_STOP:
            self._before = self._registers.with_result(before, ERESTARTNOHAND)
        ptrace.set_signal_mask(self.tid, ptrace.ALL_SIGNALS)
        return True

    def _interrupt(self, deadline: float) -> None:
        ptrace.request(INTERRUPT, self.tid)
        while True:
            match self._wait(deadline):
                case ptrace.EventStop(Event.STOP):
                    return
                case ptrace.SignalStop(number):
                    # Any stop cancels the one that was asked for (ptrace(2)): ask again.
                    ptrace.request(INTERRUPT, self.tid)
                    self._go(CONT, number)
                case _:
                    ptrace.request(INTERRUPT, self.tid)
                    self._go(CONT)

    def _in_restartable_sequence(self) -> bool:
        """Return whether it is where it must not be led astray (rseq(2)).

        The kernel sends it to the sequence's start when it goes on, unless it is elsewhere then.
        """
        number, _, ip, *_ = self._registers.call_of(self._before)
        area = ptrace.restartable_sequences(self.tid)
        if number >= 0 or not area:
            return False
        section = struct.unpack("=Q", self._read(area + _RSEQ_CS, 8) or bytes(8))[0]
        if not section:
            return False
        _, _, start, length, _ = struct.unpack("=II3Q", self._read(section, 32) or bytes(32))
        return bool(start <= ip < start + length)

    def let_go(self) -> None:
        """Let it run on as before."""
        try:
            if self._away:
                # Only behind a stop for signals does the kernel begin an interrupted call anew.
                ptrace.request(INTERRUPT, self.tid)
                self._go(CONT)
                self._interrupt(time.monotonic() + _CALL)
                self._away = False
            if self._mask is not None:
                ptrace.set_registers(self.tid, self._before)
                ptrace.set_signal_mask(self.tid, self._mask)
            if self._stopped:
                ptrace.detach(self.tid)
        except (_Gone, _Late):
            return

    def _go(self, how: int, number: int = 0) -> None:
        self._stopped = False
        ptrace.request(how, self.tid, number)

    def _wait(self, deadline: float) -> ptrace.Stop:
        patience = _SPINS
        while True:
            if _dead(self.tid):
                raise _Gone
            stop = _look(self.tid)
            if stop is not None:
                self._stopped = True
                return stop
            if time.monotonic() > deadline:
                raise _Late
            self._others.tend()
            self._serve()
            patience -= 1
            if patience > 0:
                os.sched_yield()
            else:
                time.sleep(_PAUSE)

    def _serve(self) -> None:
        """Let pass what the filter stops meanwhile: our own calls may be among it."""
        if self._listener is None:
            return
        poll = select.poll()
        poll.register(self._listener.fd, select.POLLIN)
        while any(events & select.POLLIN for _, events in poll.poll(0)):
            with contextlib.suppress(FileNotFoundError, InterruptedError):
                self._listener.proceed(self._listener.receive()[0])

    # -- calls ---------------------------------------------------------------------------

    def _call(self, name: str, *arguments: int) -> int:
        """Have it make a call; return what that reports."""
        number = native().numbers[name]
        while True:
            changed = self._registers.calling(self._before, self._at, number, arguments)
            if not ptrace.set_registers(self.tid, changed):
                raise _Gone
            self._away = True
            self._on_to(ENTRY)
            self._on_to(EXIT)
            result = self._registers.result(self.tid)
            if result is None:
                raise _Gone
            if result not in RESTARTS and result != EINTR:
                return result

    def _on_to(self, kind: int) -> None:
        number = 0
        while True:
            self._go(SYSCALL, number)
            match self._wait(time.monotonic() + _CALL):
                case ptrace.SyscallStop():
                    info = self._describe(self.tid)
                    if info is None:
                        raise _Gone
                    if info[0] == kind:
                        return
                    number = 0
                case ptrace.SignalStop(number):  # SIGSTOP: all others are blocked
                    pass
                case _:
                    number = 0

    def _read(self, address: int, size: int) -> bytes:
        try:
            with open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
                return os.pread(memory.fileno(), size, address)
        except (OSError, OverflowError):
            return b""

    def _write(self, address: int, data: bytes) -> bool:
        try:
            with open(f"/proc/{self.tid}/mem", "r+b", buffering=0) as memory:
                return os.pwrite(memory.fileno(), data, address) == len(data)
        except OSError:
            return False

    def _find_instruction(self) -> int:
        for low, high, _ in procfs.executable(self.tid):
            for start in range(low, high, _CODE_READ):
                found = self._read(start, min(_CODE_READ, high - start)).find(self._registers.call)
                if found >= 0:
                    return start + found
        self._require_alive()
        raise InjectError(f"{_name(self.pid)} has no code that makes system calls")

    def _require_alive(self) -> None:
        if ptrace.get_registers(self.tid) is None:
            raise _Gone

    # -- the filter ------------------------------------------------------------------------

    def install(self, program: bytes, keeper: Keeper | None, index: int) -> Grafted:
        """Install a filter and take its listener.

        Raises:
            InjectError: the kernel refuses it.
        """
        # With CAP_SYS_ADMIN no filter sees the calls we make in it: not its own, nor ours.
        try:
            suspended = ptrace.set_options(self.tid, ptrace.O_STOPS | ptrace.O_SUSPEND_SECCOMP)
        except OSError:
            suspended = False
        _require_no_strange_filter(self.tid, suspended=suspended)
        self._at = self._find_instruction()
        size = -(-(_HEADER + len(program)) // _PAGE) * _PAGE
        memory = self._call(
            "mmap", 0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, -1 & 0xFFFFFFFF, 0
        )
        if -4096 < memory < 0:
            raise InjectError(
                f"{_name(self.pid)} has no memory for the filter: {os.strerror(-memory)}"
            )
        code = seccomp.header(program, memory + _HEADER) + program
        filters = _filters(self.tid)
        restricted = False
        listener = None
        try:
            if not self._write(memory, code):
                self._require_alive()
                raise InjectError(
                    f"cannot write to the memory of {_name(self.pid)}",
                    help="`inject doctor` says what this machine allows",
                )
            number = self._seccomp(_FLAGS, memory)
            if number == -errno.EINVAL:
                number = self._seccomp(_FLAGS & ~seccomp.WAIT_KILLABLE_RECV, memory)
            if number == -errno.EACCES:
                self._call("prctl", libc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                restricted = True
                number = self._seccomp(self._flags, memory)
            if number < 0:
                raise self._refused(-number)
            listener = self._keep(self._taken(number), keeper, index)
            self._call("close", number)
        except _Gone:
            # Another thread executes: the filter stays, its program gets it.
            if listener is None:
                if all(_filters(tid) == filters for tid in _survivors(self.pid)):
                    raise
                listener = self._keep(self._found(), keeper, index)
            return Grafted(self.pid, listener, self.tid, (), restricted)
        finally:
            with contextlib.suppress(_Gone):
                self._call("munmap", memory, size)
        return Grafted(self.pid, listener, self.tid, self._again(), restricted)

    def _keep(self, listener: int, keeper: Keeper | None, index: int) -> int:
        if keeper is not None:
            with contextlib.suppress(InjectError):  # it was killed; ours, too, will see it
                keeper.watch_listener(listener)
        slate = Slate() if keeper is None else keeper.slate
        self._listener = seccomp.Listener(listener, slate, index)
        return listener

    def _seccomp(self, flags: int, header: int) -> int:
        self._flags = flags
        return self._call("seccomp", seccomp.SET_MODE_FILTER, flags, header)

    def _taken(self, number: int) -> int:
        """Take the listener, whose number is known."""
        for pidfd in self._processes():
            with contextlib.suppress(OSError):
                listener = libc.pidfd_getfd(pidfd, number)
                if os.readlink(f"/proc/self/fd/{listener}") == _LISTENER:
                    return listener
                os.close(listener)
        raise self._lost()

    def _found(self) -> int:
        """Take the listener of a call whose end we have not seen.

        The execve(2) that killed its thread waits until we reap that one: until then it closes
        nothing. A process may listen to others as well; which is ours is not to be told then.
        """
        for tid in procfs.threads(self.pid):
            folder = f"/proc/{tid}/fd"
            with contextlib.suppress(OSError):
                numbers = [
                    int(number)
                    for number in os.listdir(folder)
                    if os.readlink(f"{folder}/{number}") == _LISTENER
                ]
                if len(numbers) == 1:
                    return self._taken(numbers[0])
        raise self._lost()

    def _processes(self) -> Iterator[int]:
        """Yield pidfds that lead to the process's descriptors, as long as anybody has them."""
        threads = [(tid, _PIDFD_THREAD) for tid in procfs.threads(self.pid)]
        for who, how in ((self.tid, _PIDFD_THREAD), (self.pid, 0), *threads):
            try:
                pidfd = os.pidfd_open(who, how)
            except OSError:  # EINVAL: this kernel knows no pidfd of a thread
                continue
            try:
                yield pidfd
            finally:
                os.close(pidfd)

    def _lost(self) -> InjectError:
        return InjectError(
            f"the listener of {_name(self.pid)} cannot be taken: "
            "its calls that the rules name fail with ENOSYS from now on",
            help="restart it",
        )

    def _again(self) -> tuple[int, ...]:
        number, result, ip, *arguments = self._registers.call_of(self._before)
        if number < 0 or result not in RESTARTS or result == RESTART_BLOCK:
            return ()
        return number, native().audit, ip, *arguments

    def _refused(self, number: int) -> InjectError:
        what = f"{_name(self.pid)} cannot get a filter"
        match number:
            case errno.EBUSY:
                return InjectError(
                    f"{what}: another supervisor listens to it already (seccomp: EBUSY)",
                    help="an inject before us does, until the process ends, or a container "
                    "manager; say --engine ptrace",
                )
            case errno.ESRCH:
                return InjectError(
                    f"{what}: one of its threads has a filter that the others have not",
                    help="say --engine ptrace",
                )
            case errno.EINVAL:
                return InjectError(
                    f"{what}: the kernel refuses it (seccomp: EINVAL); it takes Linux 5.9",
                    help="say --engine ptrace",
                )
            case _:
                return InjectError(f"{what}: seccomp: {os.strerror(number)}")
