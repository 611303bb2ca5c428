"""Whether a process can be read and its end be learned (process_vm_readv(2), pidfd_open(2))."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from fcntl import ioctl

from injector.linux import libc, procfs
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.host import tracing
from injector.linux.probe.trial import Attempt, Channel, Child, attempt, describe, number

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), whose first version has 64 bytes:
# mask, cgroupid, eleven 32-bit ids, exit_code.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 8
_STATUS = 7 << 8  # the wait status of exit(7)
_buffer = ctypes.create_string_buffer(16)  # at the same address in a forked child


def _secret(channel: Channel) -> None:
    _buffer.raw = os.urandom(16)
    channel.tell(secret=_buffer.raw.hex())
    channel.hear()


def _read(channel: Channel) -> None:
    with Child(_secret) as child:
        secret = child.expect()["secret"]
        for name, reader in (("vm", _process_vm_readv), ("mem", _proc_mem)):
            try:
                right = reader(child.pid, ctypes.addressof(_buffer), 16).hex() == secret
            except OSError as error:
                channel.tell(**{name: describe(error.errno or 0)})
            else:
                channel.tell(**{name: "" if right else "it read something else"})


def _process_vm_readv(pid: int, address: int, size: int) -> bytes:
    into = ctypes.create_string_buffer(size)
    ours = struct.pack("=QQ", ctypes.addressof(into), size)
    theirs = struct.pack("=QQ", address, size)
    vectors = ctypes.create_string_buffer(ours + theirs, 32)
    base = ctypes.addressof(vectors)
    libc.syscall(number("process_vm_readv"), pid, base, 1, base + 16, 1, 0)
    return into.raw


def _proc_mem(pid: int, address: int, size: int) -> bytes:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, address)
    finally:
        os.close(fd)


def memory() -> tuple[Finding, ...]:
    """Read random bytes out of a child: process_vm_readv(2), proc_pid_mem(5).

    Both ask for ptrace's rights over the process (PTRACE_MODE_ATTACH, ptrace(2)).
    """
    tried = attempt(_read)
    return (
        _memory("process-vm-readv", tried, "vm", "proc-mem"),
        _memory("proc-mem", tried, "mem", "process-vm-readv"),
    )


def _memory(topic: str, tried: Attempt, fact: str, other: str) -> Finding:
    why = tried.why if tried[fact] is None else tried[fact]
    if not why:
        return Finding(topic, State.OK, "a child's memory was read")
    return Finding(
        topic,
        State.MISSING,
        f"a child's memory cannot be read so ({why})",
        f"Rules with a path or an address need one of the two; see {other}.",
        tracing(),
    )


def _dying(channel: Channel) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(_STATUS >> 8)
    channel.tell(pid=pid)
    channel.hear()
    os.waitpid(pid, 0)
    channel.tell(reaped=True)
    channel.hear()


def _exit_status(channel: Channel) -> None:
    with Child(_dying) as parent:
        pid = parent.expect()["pid"]
        pidfd = libc.syscall(number("pidfd_open"), pid, 0)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll()
        channel.tell(polled=True, stat=procfs.exit_code(pid) == _STATUS)
        parent.tell(reap=True)
        parent.expect()
        info = bytearray(struct.pack("=Q", _PIDFD_INFO_EXIT) + bytes(56))
        ioctl(pidfd, _PIDFD_GET_INFO, info, True)
        mask, code = struct.unpack_from("=Q52xi", info)
        channel.tell(info=bool(mask & _PIDFD_INFO_EXIT) and code == _STATUS)


def exit_status() -> Finding:
    """Learn the wait status of a grandchild: poll(2) on its pidfd, then PIDFD_GET_INFO.

    linux/pidfd.h, PIDFD_INFO_EXIT (Linux 6.15). Older kernels: field 52 of /proc/PID/stat while
    the process is a zombie (proc_pid_stat(5)).
    """
    topic = "pidfd-info"
    tried = attempt(_exit_status)
    if tried["info"]:
        return Finding(topic, State.OK, "the exit status of a process not our child was read")
    why = tried.why or "without the exit status"
    if tried["stat"]:
        return Finding(
            topic,
            State.LIMITED,
            f"not in this kernel ({why}): exit statuses are read from /proc instead",
            "The status of a process whose parent waits for it at once may be missing in the "
            "journal; that of the command itself is not.",
        )
    return Finding(
        topic,
        State.LIMITED,
        f"exit statuses of the target's children cannot be read ({why})",
        "The journal lacks them; that of the command itself is there.",
    )
