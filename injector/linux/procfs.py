"""Facts from /proc (proc(5)), each read when it is asked for.

Texts of the target are decoded with surrogateescape, so that any bytes survive.
A task that is gone gives None or an empty value: dying is not an error here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from injector.words.errors import InjectError
from injector.words.model import FdKind

AT_BASE = 7  # auxv: where the interpreter was loaded, 0 for a static program
AT_ENTRY = 9
_PTS_MAJORS = range(136, 144)  # Unix98 pseudo-terminals, Documentation/admin-guide/devices.txt
_TTY_MAJORS = (4, 5)


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)


def _readlink(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def amiss() -> str:
    """Return what is wrong with the /proc here, "" if nothing is.

    It shows the processes of the pid namespace in which it was mounted (pid_namespaces(7)).
    """
    us = _readlink("/proc/self")
    if us is None:
        return "there is no /proc here that shows us"
    if us != str(os.getpid()):
        return "/proc shows another pid namespace than the one we are in"
    return ""


def require() -> None:
    """Refuse to work with a /proc that does not show our processes by our numbers.

    Raises:
        InjectError: there is no such.
    """
    wrong = amiss()
    if wrong:
        raise InjectError(wrong, help=REMEDY)


REMEDY = "mount -t proc proc /proc, as `unshare --pid --mount-proc` does"
"""What helps where something is amiss."""


def environment() -> list[bytes]:
    """Return our own environment as we were started with it.

    Python adds LC_CTYPE to os.environ where the locale is C (PEP 538).
    """
    block = _read("/proc/self/environ")
    if block is None:
        return [name + b"=" + value for name, value in os.environb.items()]
    return block.removesuffix(b"\0").split(b"\0") if block else []


def capable(capability: int) -> bool:
    """Return whether this process has the capability (CapEff, capabilities(7))."""
    for line in (_read("/proc/self/status") or b"").splitlines():
        if line.startswith(b"CapEff:"):
            return bool(int(line[7:], 16) >> capability & 1)
    return False


def yama_scope() -> int:
    """Return Yama's ptrace_scope, 0 without Yama (Documentation/admin-guide/LSM/Yama.rst)."""
    text = _read("/proc/sys/kernel/yama/ptrace_scope") or b""
    return int(text) if text.strip().isdigit() else 0


def fdinfo(fd: int) -> bytes:
    """Return what the kernel says of a descriptor of our own."""
    return _read(f"/proc/self/fdinfo/{fd}") or b""


class Ids(NamedTuple):
    """A task's thread group and parent process."""

    tgid: int
    ppid: int


def ids(tid: int) -> Ids | None:
    """Return Tgid and PPid of /proc/TID/status, None if the task is gone.

    Raises:
        OSError: EMFILE: we have no descriptor left to look with; its calls would pass unseen.
    """
    text = _read(f"/proc/{tid}/status")
    if text is None:
        if os.path.exists(f"/proc/{tid}/status"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return None
    tgid = ppid = 0
    for line in text.splitlines():
        if line.startswith(b"Tgid:"):
            tgid = int(line[5:])
        elif line.startswith(b"PPid:"):
            ppid = int(line[5:])
            break
    return Ids(tgid, ppid)


def comm(tid: int) -> str:
    """Return the task's name, at most 15 bytes (PR_SET_NAME)."""
    return _name(_read(f"/proc/{tid}/comm"))


def _name(text: bytes | None) -> str:
    return os.fsdecode(text.removesuffix(b"\n")) if text else ""


def cmdline(pid: int) -> str:
    """Return the command line with blanks between the arguments."""
    text = _read(f"/proc/{pid}/cmdline")
    return os.fsdecode(text.rstrip(b"\0").replace(b"\0", b" ")) if text else ""


def exe(pid: int) -> str:
    """Return the path of the executable, without " (deleted)"."""
    return (_readlink(f"/proc/{pid}/exe") or "").removesuffix(" (deleted)")


def cwd(tid: int) -> str:
    """Return the working directory, "" if it cannot be read."""
    return _readlink(f"/proc/{tid}/cwd") or ""


def fd_target(tid: int, fd: int) -> str | None:
    """Return what the descriptor's link says: a path, socket:[1], pipe:[2], anon_inode:x."""
    link = _readlink(f"/proc/{tid}/fd/{fd}")
    return link.removesuffix(" (deleted)") if link is not None else None


def descriptors(pid: int) -> list[int]:
    """Return the numbers of a process's open descriptors, in order; [] if it is gone."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return []


def fd_kind(tid: int, fd: int) -> FdKind | None:
    """Return what stands behind the descriptor, None if it is not open."""
    try:
        status = os.stat(f"/proc/{tid}/fd/{fd}")
    except OSError:
        return None
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return FdKind.FILE
    if stat.S_ISSOCK(mode):
        return FdKind.SOCKET
    if stat.S_ISFIFO(mode):
        return FdKind.PIPE
    if stat.S_ISDIR(mode):
        return FdKind.DIR
    if stat.S_ISCHR(mode):
        major = os.major(status.st_rdev)
        return FdKind.TTY if major in _PTS_MAJORS or major in _TTY_MAJORS else FdKind.DEVICE
    if stat.S_ISBLK(mode):
        return FdKind.DEVICE
    return FdKind.OTHER


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process in rising order, [] if it is gone."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []


def children(pid: int, tid: int) -> list[int] | None:
    """Return the processes this thread created, oldest first; None if it cannot be told.

    /proc/PID/task/TID/children exists with CONFIG_PROC_CHILDREN.
    """
    text = _read(f"/proc/{pid}/task/{tid}/children")
    return None if text is None else [int(word) for word in text.split()]


def descendants(pid: int) -> list[int]:
    """Return all processes below this one that /proc tells, parents first."""
    found = [pid]
    for parent in found:
        for tid in threads(parent):
            found += children(parent, tid) or []
    return found[1:]


class Blocked(NamedTuple):
    """The call a task is blocked in: number, stack pointer."""

    number: int
    sp: int


class Kept:
    """A small file of a task that is read again and again: to open it is most of the cost."""

    def __init__(self, tid: int, name: str) -> None:
        self.tid = tid
        try:
            self._fd = os.open(f"/proc/{tid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def read(self) -> bytes:
        """Return what is in it now, b"" if the task is gone."""
        try:
            return os.pread(self._fd, 256, 0)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Comm(Kept):
    """Tells again and again a task's name, which it may change (/proc/TID/comm)."""

    def __init__(self, tid: int) -> None:
        super().__init__(tid, "comm")

    def name(self) -> str:
        """Return the name, "" if the task is gone."""
        return _name(self.read())


class Waiting(Kept):
    """Tells again and again which call a task is blocked in (/proc/TID/syscall)."""

    def __init__(self, tid: int) -> None:
        super().__init__(tid, "syscall")

    def blocked(self, still: Callable[[], bool] = lambda: False) -> Blocked | None:
        """Return the call, None if it runs or is gone.

        Args:
            still: whether it is about to go to sleep: who told of a call on another core may not
                have done so yet.
        """
        while True:
            words = self.read().split()
            if len(words) >= 9:
                return Blocked(int(words[0]), int(words[7], 16))
            if words != [b"running"] or not still():
                return None
            os.sched_yield()


def blocked(tid: int) -> Blocked | None:
    """Return the call the task is blocked in (/proc/TID/syscall), None if it runs."""
    waiting = Waiting(tid)
    try:
        return waiting.blocked()
    finally:
        waiting.close()


def state(pid: int) -> str:
    """Return the state letter of /proc/PID/stat, "" if the task is gone."""
    text = _read(f"/proc/{pid}/stat")
    return text.rpartition(b")")[2].split()[0].decode() if text else ""


def flags(pid: int) -> int:
    """Return the kernel's flags of a task, PF_* of linux/sched.h; 0 if it is gone."""
    text = _read(f"/proc/{pid}/stat")
    return int(text.rpartition(b")")[2].split()[6]) if text else 0


def filtered(tid: int) -> bool:
    """Return whether the task has a seccomp filter, or is in strict mode; False if it is gone."""
    text = _read(f"/proc/{tid}/status") or b""
    mode = text.partition(b"\nSeccomp:")[2]
    return mode != b"" and mode.split(maxsplit=1)[0] != b"0"


def signals(tid: int) -> tuple[int, int]:
    """Return the signals that the task's process catches and ignores, as masks; 0 if it is gone."""
    text = _read(f"/proc/{tid}/status") or b""
    ignored, caught = (text.partition(b"\nSig" + what)[2] for what in (b"Ign:", b"Cgt:"))
    return int(caught[:17] or b"0", 16), int(ignored[:17] or b"0", 16)


def nonblocking(tid: int, fd: int) -> bool:
    """Return whether a descriptor's calls do not wait (O_NONBLOCK in /proc/TID/fdinfo)."""
    flags = (_read(f"/proc/{tid}/fdinfo/{fd}") or b"").partition(b"flags:")[2].split()
    return bool(flags and int(flags[0], 8) & os.O_NONBLOCK)


def exit_code(pid: int) -> int | None:
    """Return a zombie's wait status (field 52 of /proc/PID/stat), None if not to be had."""
    text = _read(f"/proc/{pid}/stat")
    if text is None:
        return None
    fields = text.rpartition(b")")[2].split()
    return int(fields[-1]) if fields[0] in (b"Z", b"X") else None


def program_break(pid: int) -> int:
    """Return the end of a process's heap, as brk(2) tells it to within a page; 0 if unknown."""
    for line in (_read(f"/proc/{pid}/maps") or b"").splitlines():
        if line.endswith(b"[heap]"):
            return int(line.partition(b" ")[0].partition(b"-")[2], 16)
    text = _read(f"/proc/{pid}/stat")
    # Field 47, start_brk: there is no heap yet.
    return int(text.rpartition(b")")[2].split()[44]) if text else 0


def executable(pid: int) -> list[tuple[int, int, str]]:
    """Return start, end and name of each mapping with code; the vdso's first."""
    found = []
    for line in (_read(f"/proc/{pid}/maps") or b"").splitlines():
        fields = line.split(maxsplit=5)
        if fields[1][:3] == b"r-x":
            low, _, high = fields[0].partition(b"-")
            name = os.fsdecode(fields[5]) if len(fields) > 5 else ""
            found.append((int(low, 16), int(high, 16), name))
    return sorted(found, key=lambda mapping: mapping[2] != "[vdso]")


@dataclass(frozen=True, slots=True)
class Image:
    """The program in a process: its executable and where its dynamic loader lies.

    `loader_start == loader_end` where there is none: a static program, or musl,
    whose loader is the C library itself.
    """

    exe: str = ""
    loader_start: int = 0
    loader_end: int = 0


def image(pid: int) -> Image:
    """Read a process's Image from exe, auxv and maps."""
    path = exe(pid)
    auxv = _read(f"/proc/{pid}/auxv") or b""
    base = 0
    # 32-bit programs have 32-bit entries; the kernel's own AT_SYSINFO_EHDR (33)
    # comes first in both, its high half being 0 only in the narrow form.
    width = 8 if len(auxv) < 8 or auxv[4:8] == bytes(4) else 4
    for offset in range(0, len(auxv) - 2 * width + 1, 2 * width):
        key = int.from_bytes(auxv[offset : offset + width], "little")
        if key == AT_BASE:
            base = int.from_bytes(auxv[offset + width : offset + 2 * width], "little")
            break
    if base == 0:
        return Image(path)
    start = end = 0
    name = b""
    # To look at each of its lines would cost more than to read them.
    maps = b"\n" + (_read(f"/proc/{pid}/maps") or b"")
    at = maps.find(b"\n%08x-" % base)
    for line in maps[at + 1 :].splitlines() if at >= 0 else ():
        fields = line.split(maxsplit=5)
        low, high = (int(text, 16) for text in fields[0].split(b"-"))
        if low == base:
            start, end = low, high
            name = fields[5] if len(fields) > 5 else b""
        elif start and low == end and len(fields) > 5 and fields[5] == name:
            end = high
        elif start:
            break
    if b"ld-musl" in name:
        return Image(path)
    return Image(path, start, end)
