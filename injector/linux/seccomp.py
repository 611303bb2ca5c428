"""Seccomp filters and the user-notification listener (seccomp(2), seccomp_unotify(2)).

Builds the filter with libseccomp (pyseccomp), exports its bytes, installs them in
the calling process and speaks the listener's ioctls. Decides nothing. Every
number below is from linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import select
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from typing import Any

from injector.linux import libc
from injector.linux.slate import Slate
from injector.words.errors import InjectError
from injector.words.subscription import Comparison, Op, Subscription
from injector.words.syscalls import Arch, native

SET_MODE_FILTER = 1
TSYNC = 1 << 0
NEW_LISTENER = 1 << 3
TSYNC_ESRCH = 1 << 4  # Linux 5.7: with a listener the result is no thread's number
WAIT_KILLABLE_RECV = 1 << 5  # Linux 5.19
NOTIF_RECV = 0xC0502100
NOTIF_SEND = 0xC0182101
NOTIF_ID_VALID = 0x40082102
NOTIF_SET_FLAGS = 0x40082104
SYNC_WAKE_UP = 1  # Linux 6.6: wake the other side on this core
FLAG_CONTINUE = 1

NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
TRACE = 0x7FF00000  # SECCOMP_RET_TRACE
_ACT_ALLOW = 0x7FFF0000
_BPF_LD_W_ABS = 0x20
_BPF_JMP_JEQ_K = 0x15
_BPF_JMP_JA = 0x05
_BPF_RET_K = 0x06
_NUMBER_OFFSET = 0  # struct seccomp_data.nr
_ARCH_OFFSET = 4  # struct seccomp_data.arch
_INSTRUCTION = struct.Struct("=HBBI")
_LOOKS = 5  # at a listener, if signals interrupt them

Notification = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
"""id, tid, flags, number, arch, instruction pointer, six arguments."""


def _load_pyseccomp() -> Any:
    try:
        import pyseccomp
    except RuntimeError as error:
        raise InjectError(
            "libseccomp is not installed",
            help="install it: apt install libseccomp2 (Debian, Ubuntu), "
            "dnf install libseccomp (Fedora), apk add libseccomp (Alpine)",
        ) from error
    return pyseccomp


def _comparison(library: Any, test: Comparison) -> Any:
    operators = {
        Op.EQ: library.EQ,
        Op.GE: library.GE,
        Op.LE: library.LE,
        Op.MASKED_EQ: library.MASKED_EQ,
    }
    if test.op is Op.MASKED_EQ:
        return library.Arg(test.index, operators[test.op], test.mask, test.value)
    return library.Arg(test.index, operators[test.op], test.value)


def _export(library: Any, subscriptions: Iterable[Subscription], action: int) -> bytes:
    """Return libseccomp's program for the machine's own architecture."""
    rules = library.SyscallFilter(library.ALLOW)
    # libseccomp's own default kills calls of any other architecture.
    rules.set_attr(library.Attr.ACT_BADARCH, library.ALLOW)
    for subscription in subscriptions:
        tests = [_comparison(library, test) for test in subscription.comparisons]
        rules.add_rule_exactly(action, subscription.number, *tests)
    memory = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        rules.export_bpf(_Descriptor(memory))
        return os.pread(memory, 1 << 20, 0)
    finally:
        os.close(memory)


def _list(subscriptions: Iterable[Subscription], action: int) -> bytes:
    """Return a program for another architecture: number by number, tests left to the rules.

    libseccomp takes all numbers as the native architecture's and translates them by
    name; it refuses (EFAULT) what its table lacks, and has no number for i386's own.
    """
    program = _INSTRUCTION.pack(_BPF_LD_W_ABS, 0, 0, _NUMBER_OFFSET)
    for number in sorted({subscription.number for subscription in subscriptions}):
        program += _INSTRUCTION.pack(_BPF_JMP_JEQ_K, 0, 1, number)
        program += _INSTRUCTION.pack(_BPF_RET_K, 0, 0, action)
    return program + _INSTRUCTION.pack(_BPF_RET_K, 0, 0, _ACT_ALLOW)


class _Descriptor:
    """pyseccomp wants an object with fileno(); io objects would buffer."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


def build(subscriptions: Mapping[Arch, Sequence[Subscription]], action: int = NOTIFY) -> bytes:
    """Return the BPF program that stops these calls, by `action`, and allows all others.

    One program per architecture, put behind one another with a jump on
    seccomp_data.arch in front.

    Raises:
        InjectError: libseccomp is missing or refuses the rules.
    """
    return _built(tuple((arch, tuple(wanted)) for arch, wanted in subscriptions.items()), action)


@functools.lru_cache(maxsize=64)
def _built(wishes: tuple[tuple[Arch, tuple[Subscription, ...]], ...], action: int) -> bytes:
    library = _load_pyseccomp()
    program = b""
    for arch, wanted in wishes:
        if not wanted:
            continue
        try:
            native_part = arch == native()
            part = _export(library, wanted, action) if native_part else _list(wanted, action)
        except (OSError, ValueError) as error:
            raise InjectError(f"libseccomp refused the filter for {arch.name}: {error}") from error
        rest = program or _INSTRUCTION.pack(_BPF_RET_K, 0, 0, _ACT_ALLOW)
        program = (
            _INSTRUCTION.pack(_BPF_LD_W_ABS, 0, 0, _ARCH_OFFSET)
            + _INSTRUCTION.pack(_BPF_JMP_JEQ_K, 1, 0, arch.audit)
            + _INSTRUCTION.pack(_BPF_JMP_JA, 0, 0, len(part) // 8)
            + part
            + rest
        )
    return program


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(program: bytes, flags: int) -> int:
    """Install `program` in the calling thread; return the listener's descriptor.

    Raises:
        OSError: as seccomp(2): EACCES without no_new_privs and CAP_SYS_ADMIN,
            EBUSY under another listener, EINVAL for an unknown flag.
    """
    code = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(code))
    return libc.syscall(libc.SECCOMP, SET_MODE_FILTER, flags, ctypes.addressof(header))


def header(program: bytes, address: int) -> bytes:
    """Return the struct sock_fprog of a program that lies at `address`."""
    return struct.pack("=H6xQ", len(program) // _INSTRUCTION.size, address)


@dataclass(frozen=True, slots=True)
class Grafted:
    """A process that got a filter of ours while it ran, see `graft`."""

    pid: int
    listener: int
    tid: int
    """The thread that made the calls."""
    again: tuple[int, ...] = ()
    """The call it was in and will make again: a notification's words from the number on."""
    no_new_privs: bool = False
    """The process had to give up privileges by execve for it (PR_SET_NO_NEW_PRIVS)."""


def deserted(listener: int, seconds: float) -> bool:
    """Return whether the last task under a listener's filter is gone, or goes in that time."""
    poll = select.poll()
    poll.register(listener, 0)
    deadline = time.monotonic() + seconds
    looks = 0
    while True:
        found = poll.poll(max(deadline - time.monotonic(), 0) * 1000)
        if found and found[0][1] & select.POLLHUP:
            return True
        # POLLERR alone: a signal interrupted the look (seccomp_notify_poll of kernel/seccomp.c).
        looks += 1
        if not found or (looks >= _LOOKS and time.monotonic() >= deadline):
            return False


class Listener:
    """The supervisor's end of a filter: receive notifications, answer them.

    Made for speed: one buffer each way, used again for every call.
    """

    def __init__(self, fd: int, slate: Slate, index: int = 0) -> None:
        """Take a listener; `index` is its place on the slate."""
        self.fd = fd
        self._received = bytearray(80)
        self._last = slate.last[index : index + 1]
        self._expected = self._gap = 0
        self._zero = bytes(80)  # RECV refuses a buffer that is not zeroed (EINVAL)
        self._unpack = struct.Struct("=QIIiIQ6Q").unpack
        self._continue = bytearray(struct.pack("=QqiI", 0, 0, 0, FLAG_CONTINUE))
        self._continue_id = memoryview(self._continue).cast("Q")
        self._reply = struct.Struct("=QqiI")
        try:
            # The flags go by value; Python's ioctl takes an int argument.
            ioctl(fd, NOTIF_SET_FLAGS, SYNC_WAKE_UP)
            self.sync_wake_up = True
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            self.sync_wake_up = False

    def receive(self) -> Notification:
        """Wait for the next call.

        Raises:
            InterruptedError: a signal came first.
            FileNotFoundError: the task died meanwhile, or the last one is gone; before Linux
                6.11 that last does not end the wait, only poll(2) tells it (`callers`).
        """
        received = self._received
        received[:] = self._zero
        ioctl(self.fd, NOTIF_RECV, received, True)
        notification = self._unpack(received)
        self._last[0] = number = notification[0]
        if number != self._expected:
            self._gap = number
        self._expected = number + 1
        return notification

    def missed(self, since: int, until: int) -> bool:
        """Return whether a signal took back a call between two, before it was received.

        Each call has the next number (kernel/seccomp.c, seccomp_next_notify_id), and the first
        that waits is received first.
        """
        return since < self._gap <= until

    def proceed(self, cookie: int) -> bool:
        """Let the call be made. Return False if nobody waits for it any more."""
        self._continue_id[0] = cookie
        try:
            ioctl(self.fd, NOTIF_SEND, self._continue, True)
        except FileNotFoundError:
            return False
        return True

    def reply(self, cookie: int, value: int, error: int) -> bool:
        """Give the call this result instead: `value`, or `error` if it is not 0.

        Return False if nobody waits for it any more.
        """
        # The kernel's field is signed (seccomp_unotify(2)); a retval may use all 64 bits.
        signed = value - (1 << 64) if value >> 63 > 0 else value
        answer = bytearray(self._reply.pack(cookie, signed, -error, 0))
        try:
            ioctl(self.fd, NOTIF_SEND, answer, True)
        except FileNotFoundError:
            return False
        return True

    def valid(self, cookie: int) -> bool:
        """Return whether the task still waits, so that its pid still means it."""
        try:
            ioctl(self.fd, NOTIF_ID_VALID, struct.pack("=Q", cookie))
        except FileNotFoundError:
            return False
        return True

    def forget(self, cookie: int) -> None:
        """Take note that a call will never be answered."""

    def gone(self) -> bool:
        """Return whether no task is left under the filter."""
        return deserted(self.fd, 0)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class Listeners:
    """Several listeners as one: a target of several processes, each with a filter of its own.

    The kernel begins each listener's numbers at random (kernel/seccomp.c, init_listener), so a
    number tells whose it is.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._live = {listener.fd: listener for listener in listeners}
        self._all = tuple(listeners)
        self._poll = libc.Poll(self._live)
        self._ready: list[tuple[int, int]] = []
        self._owners: dict[int, Listener] = {}

    def receive(self) -> Notification:
        """Wait for the next call of any of them.

        Raises:
            InterruptedError: a signal came first.
            FileNotFoundError: the task died meanwhile, or the last one is gone.
        """
        if not self._ready:
            self._ready = self._poll.wait()
        fd, events = self._ready.pop()
        listener = self._live[fd]
        if not events & select.POLLIN:
            if not events & select.POLLHUP:  # POLLERR, see `deserted`
                raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
            if len(self._live) > 1:
                del self._live[fd]
                self._poll = libc.Poll(self._live)
                self._ready.clear()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        notification = listener.receive()
        self._owners[notification[0]] = listener
        return notification

    def proceed(self, cookie: int) -> bool:
        """Let the call be made. Return False if nobody waits for it any more."""
        owner = self._owners.pop(cookie, None)
        return owner is not None and owner.proceed(cookie)

    def reply(self, cookie: int, value: int, error: int) -> bool:
        """Give the call this result instead: `value`, or `error` if it is not 0.

        Return False if nobody waits for it any more.
        """
        owner = self._owners.pop(cookie, None)
        return owner is not None and owner.reply(cookie, value, error)

    def missed(self, since: int, until: int) -> bool:
        """Return whether a signal took back a call between two of one listener."""
        owner = self._owners.get(until)
        return owner is not None and owner.missed(since, until)

    def valid(self, cookie: int) -> bool:
        """Return whether the task still waits, so that its pid still means it."""
        owner = self._owners.get(cookie)
        if owner is not None and owner.valid(cookie):
            return True
        self.forget(cookie)
        return False

    def forget(self, cookie: int) -> None:
        """Take note that a call will never be answered."""
        self._owners.pop(cookie, None)

    def gone(self) -> bool:
        """Return whether no task is left under any of the filters."""
        return all(listener.gone() for listener in self._all)

    def close(self) -> None:
        """Close the descriptors."""
        for listener in self._all:
            listener.close()
