"""Which faults the world makes at a call: what a sweep tries where no scenario says it.

An error that a program's own mistake makes (EBADF, EFAULT, EINVAL) proves nothing when it is
injected. What is left depends on what the call is about: a file's write meets a full disk, a
socket's a peer that is gone. Each error is one that the call's manual page lists, and of those
that every program handles alike (EMFILE and ENFILE, ENOSPC and EDQUOT) there is one.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType

from injector.campaigns.store import Mode
from injector.engines.call import StoppedCall
from injector.linux import procfs
from injector.words.model import FdKind
from injector.words.syscalls import Kind, errnos_of, signature

_PATH = ("EACCES",)
_MADE = ("ENOSPC", "EACCES")
_CHANGED = ("EACCES", "EROFS")
_FDS = ("EMFILE",)
_FDS_AND_MEMORY = ("EMFILE", "ENOMEM")
_MEMORY = ("ENOMEM",)
_TASKS = ("EAGAIN", "ENOMEM")

ALWAYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("open", "openat", "openat2", "creat"), ("EACCES", "EMFILE")),
        **dict.fromkeys(("stat", "lstat", "newfstatat", "fstatat64", "statx"), _PATH),
        **dict.fromkeys(("access", "faccessat", "faccessat2", "chdir"), _PATH),
        **dict.fromkeys(("readlink", "readlinkat"), _PATH),
        **dict.fromkeys(("fstat", "fstat64"), _MEMORY),
        **dict.fromkeys(("statfs", "fstatfs"), ("EIO",)),
        "getcwd": ("ENOENT",),
        **dict.fromkeys(("rename", "renameat", "renameat2"), _MADE),
        **dict.fromkeys(("link", "linkat", "symlink", "symlinkat"), _MADE),
        **dict.fromkeys(("mkdir", "mkdirat", "mknod", "mknodat"), _MADE),
        **dict.fromkeys(("unlink", "unlinkat", "rmdir"), ("EACCES", "EBUSY")),
        **dict.fromkeys(("chmod", "fchmod", "fchmodat", "fchmodat2"), ("EPERM", "EROFS")),
        **dict.fromkeys(("chown", "fchown", "lchown", "fchownat"), ("EPERM", "EROFS")),
        **dict.fromkeys(("utimensat", "utimes", "utime", "futimesat"), _CHANGED),
        **dict.fromkeys(("truncate", "truncate64", "ftruncate", "ftruncate64"), ("EIO",)),
        "fallocate": ("ENOSPC", "EIO"),
        **dict.fromkeys(("fsync", "fdatasync", "sync_file_range"), ("EIO", "ENOSPC")),
        "close": ("EIO",),
        "flock": ("ENOLCK",),
        **dict.fromkeys(("dup", "pipe", "pipe2"), _FDS),
        **dict.fromkeys(("mmap", "mmap2", "mremap", "brk", "mprotect", "mlock"), _MEMORY),
        **dict.fromkeys(("fork", "vfork", "clone", "clone3"), _TASKS),
        **dict.fromkeys(("execve", "execveat"), ("EACCES", "ENOMEM", "ENOENT")),
        **dict.fromkeys(("setuid", "setreuid", "setresuid"), ("EAGAIN",)),
        "socket": ("EMFILE", "ENOBUFS"),
        "socketpair": _FDS,
        "bind": ("EADDRINUSE", "EACCES"),
        "listen": ("EADDRINUSE",),
        "connect": ("ECONNREFUSED", "ETIMEDOUT"),
        **dict.fromkeys(("accept", "accept4"), ("EMFILE", "ECONNABORTED")),
        **dict.fromkeys(("epoll_create", "epoll_create1", "eventfd", "eventfd2"), _FDS_AND_MEMORY),
        **dict.fromkeys(("signalfd", "signalfd4", "timerfd_create"), _FDS_AND_MEMORY),
        **dict.fromkeys(("inotify_init", "inotify_init1", "memfd_create"), _FDS_AND_MEMORY),
        "inotify_add_watch": ("ENOSPC", "ENOMEM"),
        "epoll_ctl": ("ENOMEM", "ENOSPC"),
        "io_uring_setup": ("ENOMEM", "EPERM"),
        **dict.fromkeys(("shmget", "semget", "msgget"), ("ENOSPC", "ENOMEM")),
    }
)
"""By call, whatever it is about."""

_READS: Mapping[FdKind | None, tuple[str, ...]] = MappingProxyType(
    {
        FdKind.FILE: ("EIO",),
        FdKind.TTY: ("EIO",),
        FdKind.DEVICE: ("EIO",),
        FdKind.SOCKET: ("ECONNRESET", "ETIMEDOUT"),
    }
)
_WRITES: Mapping[FdKind | None, tuple[str, ...]] = MappingProxyType(
    {
        FdKind.FILE: ("ENOSPC", "EIO"),
        FdKind.TTY: ("EIO",),
        FdKind.DEVICE: ("EIO",),
        FdKind.SOCKET: ("EPIPE", "ECONNRESET"),
        FdKind.PIPE: ("EPIPE",),
    }
)
READS = frozenset(
    {
        "read",
        "pread64",
        "readv",
        "preadv",
        "preadv2",
        "recvfrom",
        "recvmsg",
        "recvmmsg",
        "recv",
    }
)
WRITES = frozenset(
    {
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "send",
        "sendfile",
        "sendfile64",
        "copy_file_range",
        "splice",
    }
)
SHORT = frozenset(
    {
        "read",
        "pread64",
        "readv",
        "preadv",
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "recvfrom",
        "sendto",
        "sendfile",
        "copy_file_range",
    }
)
"""Calls that may transfer less than asked for; a message of sendmsg is whole or cut off."""
_BLOCKING_FDS = frozenset({FdKind.PIPE, FdKind.SOCKET, FdKind.TTY, FdKind.OTHER})
_WAITS = frozenset(
    {
        "wait4",
        "waitid",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "nanosleep",
        "clock_nanosleep",
        "flock",
        "semop",
        "semtimedop",
        "msgsnd",
        "msgrcv",
        "connect",
        "accept",
        "accept4",
    }
)
_OPENS = frozenset({"open", "openat", "creat"})
_RECORD_LOCKS = frozenset({"fcntl", "fcntl64"})
_ACCMODE, _CREAT = 0o3, 0o100  # asm-generic/fcntl.h
_DUPLICATE = (0, 1030)  # F_DUPFD, F_DUPFD_CLOEXEC: linux/fcntl.h
_LOCK, _LOCK_AND_WAIT = (6, 37), (7, 38)  # F_SETLK, F_OFD_SETLK; with W
_MSG_NOSIGNAL = 0x4000
_AT_EMPTY_PATH = 0x1000

_IN_CODE = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGABRT", "SIGSYS")
_SYNCHRONOUS = sum(1 << (signal.Signals[name] - 1) for name in _IN_CODE)
_INTERNAL = 1 << 31 | 1 << 32  # glibc's SIGCANCEL and SIGSETXID: nptl(7)
_SIGPIPE = 1 << (signal.SIGPIPE - 1)

CALLS = frozenset(ALWAYS) | READS | WRITES | _WAITS | _RECORD_LOCKS
"""Every call that a fault may be plausible for."""


def modes(syscall: str, fault: str) -> tuple[Mode, ...]:
    """Return whether a plausible fault is tried once, from there on, or both."""
    if fault == "short=50%":
        return ("persistent",)  # once it shows nothing that another short transfer does not
    # What a program that is right never gets past if it goes on for ever, or only byte by byte.
    waits = fault == "error=EAGAIN" and syscall in READS | WRITES
    if waits or fault in ("error=EINTR", "short=1"):
        return ("once",)
    return ("once", "persistent")


def plausible(call: StoppedCall) -> tuple[str, ...]:
    """Return the faults to try at a call in a rule's words, the likeliest first."""
    name = call.name
    errors = list(ALWAYS.get("fstat" if _of_descriptor(call) else name, ()))
    if name in _OPENS and _writes(call):
        errors += ("ENOSPC", "EROFS")
    if name in READS | WRITES:
        errors += _transfer(call)
    if name in _RECORD_LOCKS:
        errors += _fcntl(call)
    if name in _WAITS and _catches_signals(call):
        errors.append("EINTR")
    listed = errnos_of(name)
    found = [f"error={error}" for error in errors if error in listed]
    if name in SHORT and _may_be_short(call):
        found += ("short=1", "short=50%")
    return tuple(dict.fromkeys(found))


def _transfer(call: StoppedCall) -> list[str]:
    fd, kind = _subject(call)
    errors = [*(_READS if call.name in READS else _WRITES).get(kind, ())]
    if "EPIPE" in errors and not _survives_sigpipe(call):
        # The signal that comes with it ends the program: nothing is left to go wrong.
        errors.remove("EPIPE")
    if kind in _BLOCKING_FDS:
        if procfs.nonblocking(call.task.tid, fd):
            errors.append("EAGAIN")
        elif _catches_signals(call):
            errors.append("EINTR")
    return errors


def _subject(call: StoppedCall) -> tuple[int, FdKind | None]:
    """Return the descriptor that is read or written, the last of two, and its kind."""
    fds = call.fds()
    first = call.name.startswith("sendfile")  # sendfile(out_fd, in_fd, …)
    fd = fds[0 if first or call.name in READS else -1] if fds else -1
    return fd, call.fd_kind(fd) if fd >= 0 else None


def _fcntl(call: StoppedCall) -> list[str]:
    command = call.args[1] & 0xFFFF_FFFF
    if command in _DUPLICATE:
        return ["EMFILE"]
    errors = ["ENOLCK"] if command in _LOCK + _LOCK_AND_WAIT else []
    if command in _LOCK_AND_WAIT and _catches_signals(call):
        errors.append("EINTR")
    return errors


def _of_descriptor(call: StoppedCall) -> bool:
    """Return whether a call on a path is fstat's: it looks nothing up, and cannot be refused."""
    return call.name in ("newfstatat", "fstatat64") and bool(call.args[3] & _AT_EMPTY_PATH)


def _writes(call: StoppedCall) -> bool:
    if call.name == "creat":
        return True
    known = signature(call.name, call.arch)
    at = known.index("flags") if known else None
    return at is not None and bool(call.args[at] & (_ACCMODE | _CREAT))


def _may_be_short(call: StoppedCall) -> bool:
    name, args = call.name, call.args
    if name in ("recvfrom", "sendto") and args[4]:
        return False  # a datagram's address
    known = signature(name, call.arch)
    at = known.first(Kind.SIZE) if known else None
    _, kind = _subject(call)
    return kind is not None and kind is not FdKind.DIR and (at is None or args[at] > 1)


def _catches_signals(call: StoppedCall) -> bool:
    """Return whether a signal can interrupt its process: it has a handler (signal(7))."""
    caught, _ = procfs.signals(call.task.tid)
    return bool(caught & ~(_SYNCHRONOUS | _INTERNAL))


def _survives_sigpipe(call: StoppedCall) -> bool:
    if call.name in ("sendto", "sendmsg"):
        known = signature(call.name, call.arch)
        at = known.index("flags") if known else None
        if at is not None and call.args[at] & _MSG_NOSIGNAL:
            return True
    caught, ignored = procfs.signals(call.task.tid)
    return bool((caught | ignored) & _SIGPIPE)


def usual(name: str) -> tuple[str, ...]:
    """Return the faults to try at a call of which only the name is known."""
    errors = [*ALWAYS.get(name, ())]
    if name in READS:
        errors.append("EIO")
    if name in WRITES:
        errors += ["ENOSPC", "EIO"]
    if name in _WAITS:
        errors.append("EINTR")
    if name in _OPENS:
        errors.append("ENOSPC")
    listed = errnos_of(name)
    found = [f"error={error}" for error in dict.fromkeys(errors) if error in listed]
    return (*found, *(("short=1",) if name in SHORT else ()))
