"""The tables of injector.words.syscalls against the compiler, the manual and themselves."""

# ruff: noqa: SIM905 - long lists of names read better as text

import os
import re
import shutil
import signal
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.words.syscalls import (
    AARCH64,
    ARCHES,
    ERRNOS,
    GROUPS,
    I386,
    KERNEL_ERRNOS,
    LIBRARY_NAMES,
    NEVER,
    RISKY,
    SIGNALS,
    VDSO,
    X86_64,
    Arch,
    Kind,
    compat,
    errno_message,
    errno_name,
    errno_number,
    errnos_of,
    families,
    family,
    group,
    native,
    same_on,
    signal_name,
    signal_number,
    signature,
    syscalls_with,
    words_of,
)

EVERY = sorted({name for arch in ARCHES.values() for name in arch.numbers})
arches = st.sampled_from(list(ARCHES.values()))
calls = st.sampled_from(EVERY)

# Calls that no kernel of this century implements: unimplemented(2).
UNIMPLEMENTED = frozenset(
    "afs_syscall epoll_ctl_old epoll_wait_old ftime getpmsg gtty idle lock mpx prof profil "
    "putpmsg security stty tuxcall ulimit vserver".split()
)


def header_numbers(header: str) -> dict[str, int]:
    """The compiler's __NR_* of a header."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    source = subprocess.run(
        ["gcc", "-E", "-dM", "-xc", "-"],
        input=f"#include <{header}>\n",
        capture_output=True,
        text=True,
    )
    if source.returncode:
        pytest.skip(f"needs {header}")
    return {n: int(v) for n, v in re.findall(r"#define __NR_(\w+) (\d+)$", source.stdout, re.M)}


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "header"), [(X86_64, "asm/unistd_64.h"), (I386, "asm/unistd_32.h")], ids=str
)
def test_numbers_are_the_headers(arch: Arch, header: str) -> None:
    if native() is not X86_64:
        pytest.skip("the headers here are another architecture's")
    defined = header_numbers(header)
    shared = defined.keys() & arch.numbers.keys()
    # A newer header may have newer calls than the tables; never other numbers.
    assert {name: arch.numbers[name] for name in shared} == {n: defined[n] for n in shared}
    assert {name for name, number in defined.items() if number < 450} <= arch.numbers.keys()


@pytest.mark.parametrize(
    ("arch", "name", "number"),
    [
        (X86_64, "read", 0),
        (X86_64, "openat", 257),
        (X86_64, "clone3", 435),
        (X86_64, "cachestat", 451),
        (X86_64, "file_setattr", 469),
        (I386, "read", 3),
        (I386, "mmap2", 192),
        (I386, "socketcall", 102),
        (I386, "clock_nanosleep_time64", 407),
        (AARCH64, "openat", 56),
        (AARCH64, "read", 63),
        (AARCH64, "mmap", 222),
        (AARCH64, "clone3", 435),
        (AARCH64, "renameat2", 276),
    ],
)
def test_known_numbers(arch: Arch, name: str, number: int) -> None:
    assert arch.numbers[name] == number


def test_calls_that_an_architecture_lacks() -> None:
    assert not {"open", "fork", "poll", "select", "dup2", "time64"} & AARCH64.numbers.keys()
    assert not {"mmap2", "socketcall", "fcntl64", "stat64"} & X86_64.numbers.keys()


@given(arches)
def test_names_and_numbers_are_inverse(arch: Arch) -> None:
    assert {number: name for name, number in arch.numbers.items()} == arch.names
    assert len(arch.names) == len(arch.numbers)


def test_audit_values() -> None:
    assert (X86_64.audit, I386.audit, AARCH64.audit) == (0xC000003E, 0x40000003, 0xC00000B7)
    assert all(arch.audit == audit for audit, arch in ARCHES.items())
    assert compat(X86_64) == (I386,)
    assert compat(AARCH64) == compat(I386) == ()


@pytest.mark.parametrize(
    ("arch", "name", "found"),
    [
        (I386, "mmap", ("mmap", "mmap2")),
        (I386, "newfstatat", ("fstatat64",)),
        (I386, "fcntl", ("fcntl", "fcntl64")),
        (I386, "clock_nanosleep", ("clock_nanosleep", "clock_nanosleep_time64")),
        (I386, "openat", ("openat",)),
        (I386, "lseek", ("lseek", "_llseek")),
        (I386, "chown", ("chown", "chown32")),
        (X86_64, "mmap", ("mmap",)),
        (X86_64, "mmap2", ()),
        (AARCH64, "open", ()),
        (X86_64, "no_such_call", ()),
    ],
)
def test_same_on(arch: Arch, name: str, found: tuple[str, ...]) -> None:
    assert same_on(arch, name) == found


@given(arches, calls)
def test_same_on_gives_calls_of_that_architecture(arch: Arch, name: str) -> None:
    found = same_on(arch, name)
    assert set(found) <= arch.numbers.keys()
    assert (name in arch.numbers) == (name in found)
    assert len(set(found)) == len(found)


def test_library_names_lead_to_calls() -> None:
    assert set(LIBRARY_NAMES.values()) <= X86_64.numbers.keys()
    assert not set(LIBRARY_NAMES) & X86_64.numbers.keys()


# --- parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("openat", "dirfd pathname flags mode"),
        ("open", "pathname flags mode"),
        ("read", "fd buf count"),
        ("pread64", "fd buf count offset"),
        ("write", "fd buf count"),
        ("mmap", "addr length prot flags fd offset"),
        ("mmap2", "addr length prot flags fd pgoffset"),
        ("preadv2", "fd iov iovcnt offset offset_high flags"),
        ("clone", "flags stack parent_tid child_tid tls"),
        ("clone3", "cl_args size"),
        ("futex", "uaddr futex_op val timeout uaddr2 val3"),
        ("rt_sigaction", "signum act oldact sigsetsize"),
        ("ppoll", "fds nfds timeout sigmask sigsetsize"),
        ("connect", "sockfd addr addrlen"),
        ("fcntl", "fd cmd arg"),
        ("ioctl", "fd request argp"),
        ("getcwd", "buf size"),
        ("fork", ""),
        ("statx", "dirfd pathname flags mask statxbuf"),
        ("faccessat", "dirfd pathname mode"),
        ("waitid", "idtype id infop options ru"),
        ("_llseek", "fd offset_high offset_low result whence"),
    ],
)
def test_parameters(name: str, parameters: str) -> None:
    found = signature(name)
    assert found is not None
    assert [one.name for one in found.parameters] == parameters.split()


def test_parameters_that_differ_by_architecture() -> None:
    clone, other = signature("clone", X86_64), signature("clone", AARCH64)
    assert clone and other
    assert [clone.parameters[3].name, other.parameters[3].name] == ["child_tid", "tls"]
    pread = signature("pread64", I386)
    assert pread and [one.name for one in pread.parameters][3:] == ["offset", "offset_high"]
    old_mmap = signature("mmap", I386)
    assert old_mmap and len(old_mmap.parameters) == 1


def test_kinds_of_openat() -> None:
    found = signature("openat")
    assert found is not None
    dirfd, pathname, flags, mode = found.parameters
    assert (dirfd.kind, dirfd.bits, dirfd.signed) == (Kind.DIRFD, 32, True)
    assert (pathname.kind, pathname.bits) == (Kind.PATH, 64)
    assert (flags.kind, flags.words) == (Kind.FLAGS, "open_flags")
    assert (mode.kind, mode.signed) == (Kind.MODE, False)
    assert "dfd" in dirfd.aliases and "filename" in pathname.aliases
    assert found.index("filename") == found.first(Kind.PATH) == 1
    assert found.index("nonsense") is None
    assert found.first(Kind.SOCKADDR) is None


def test_every_call_of_today_has_its_parameters() -> None:
    undocumented = {name for name in EVERY if signature(name) is None}
    assert undocumented <= UNIMPLEMENTED
    assert signature("no_such_call") is None


@given(arches, calls)
def test_parameters_are_sound(arch: Arch, name: str) -> None:
    found = signature(name, arch)
    if found is None:
        return
    assert len(found.parameters) <= 6
    names = [one.name for one in found.parameters]
    assert len(set(names)) == len(names)
    for position, one in enumerate(found.parameters):
        assert found.index(one.name) == position
        assert one.name not in one.aliases
        assert one.bits in (32, 64)
        if one.kind in (Kind.FD, Kind.DIRFD, Kind.MODE, Kind.PID, Kind.SIGNAL):
            assert one.bits == 32
        if one.kind in (Kind.PATH, Kind.BUFFER, Kind.IOVEC, Kind.SOCKADDR, Kind.POINTER):
            assert (one.bits, one.signed, one.words) == (64, False, "")
        if one.words:
            assert family(one.words) is not None


# --- groups ----------------------------------------------------------------------------------


def test_groups_shaped_by_faults() -> None:
    assert GROUPS["read"] == {"read", "pread64", "readv", "preadv", "preadv2"}
    assert GROUPS["write"] == {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
    assert {"open", "openat", "openat2", "creat"} <= GROUPS["open"]
    assert GROUPS["fork"] == {"fork", "vfork", "clone", "clone3"}
    assert {"fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"} == GROUPS["sync"]
    assert {"mmap", "brk", "mremap"} <= GROUPS["alloc"]


def test_groups_by_parameter() -> None:
    assert {"openat", "execve", "mount", "getcwd", "renameat2", "inotify_add_watch"} <= GROUPS[
        "file"
    ]
    assert not {"read", "socket", "memfd_create", "request_key"} & GROUPS["file"]
    assert {"read", "close", "openat", "mmap", "epoll_wait", "socket", "poll"} <= GROUPS["desc"]
    assert not {"getpid", "chmod", "brk"} & GROUPS["desc"]


def test_group_reads_a_name_as_it_is_written() -> None:
    assert group("read") is group("%read") is GROUPS["read"]
    assert group("%net") == group("%network")
    assert group("%stat") == GROUPS["stat"]
    assert group("%%stat") == GROUPS["stat"] | GROUPS["lstat"] | GROUPS["fstat"]
    assert group("%no_such_group") is None


@given(st.sampled_from(sorted(GROUPS)))
def test_members_of_groups_exist(name: str) -> None:
    assert GROUPS[name]
    assert GROUPS[name] <= set(EVERY)


# --- constants -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "parameter", "word", "argument", "holds"),
    [
        ("openat", "flags", "O_RDONLY", os.O_RDONLY | os.O_CREAT, True),
        ("openat", "flags", "O_RDONLY", os.O_RDWR, False),
        ("openat", "flags", "O_WRONLY", os.O_WRONLY | os.O_APPEND, True),
        ("openat", "flags", "O_CREAT", os.O_RDWR | os.O_CREAT, True),
        ("openat", "flags", "O_SYNC", os.O_DSYNC, False),
        ("mmap", "flags", "MAP_PRIVATE", 0x22, True),
        ("mmap", "flags", "MAP_PRIVATE", 0x03, False),
        ("mmap", "prot", "PROT_NONE", 0, True),
        ("mmap", "prot", "PROT_NONE", 1, False),
        ("socket", "type", "SOCK_STREAM", 0x80801, True),
        ("socket", "type", "SOCK_STREAM", 3, False),
        ("socket", "domain", "AF_INET", 2, True),
        ("socket", "domain", "AF_INET", 10, False),
        ("lseek", "whence", "SEEK_SET", 0, True),
        ("fcntl", "cmd", "F_SETFL", 4, True),
        ("fcntl", "cmd", "F_SETFL", 6, False),
        ("futex", "op", "FUTEX_WAIT", 0x80, True),
        ("futex", "op", "FUTEX_WAIT", 0x81, False),
        ("clone", "flags", "SIGCHLD", 0x1200011, True),
        ("access", "mode", "F_OK", 4, False),
        ("setsockopt", "optname", "TCP_NODELAY", 1, True),
        ("kill", "sig", "SIGKILL", 9, True),
    ],
)
def test_words_hold(call: str, parameter: str, word: str, argument: int, holds: bool) -> None:
    words = words_of(call, parameter)
    assert words is not None
    assert words.constants[word].holds(argument) is holds


@pytest.mark.parametrize(
    ("call", "parameter", "argument", "shown"),
    [
        ("openat", "flags", 0, "O_RDONLY"),
        ("openat", "flags", 0o2001101, "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC"),
        ("openat", "flags", 0x101002, "O_RDWR|O_SYNC"),
        ("openat", "flags", 1 << 40, "O_RDONLY|0x10000000000"),
        ("mmap", "flags", 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"),
        ("mmap", "prot", 0, "PROT_NONE"),
        ("socket", "domain", 1, "AF_UNIX"),
        ("socket", "type", 0x80001, "SOCK_STREAM|SOCK_CLOEXEC"),
        ("futex", "futex_op", 0x80, "FUTEX_WAIT_PRIVATE"),
        ("lseek", "whence", 99, "99"),
        ("newfstatat", "flags", 0, "0"),
        ("getsockopt", "optname", 1, "1"),
        ("flock", "operation", 6, "LOCK_EX|LOCK_NB"),
    ],
)
def test_words_show(call: str, parameter: str, argument: int, shown: str) -> None:
    words = words_of(call, parameter)
    assert words is not None
    assert words.show(argument) == shown


def test_plain_numbers_have_no_words() -> None:
    assert words_of("read", "count") is None
    assert words_of("read", "nonsense") is None
    assert words_of("no_such_call", "flags") is None
    assert family("no_such_family") is None


def test_open_flags_of_aarch64() -> None:
    words = words_of("openat", "flags", AARCH64)
    assert words and words.values["O_DIRECTORY"] == 0o40000
    assert words.constants["O_TMPFILE"].holds(0o20040002)


@given(st.sampled_from(families()), arches)
def test_a_constant_holds_for_itself(name: str, arch: Arch) -> None:
    words = family(name, arch)
    assert words is not None and words.constants
    for word, constant in words.constants.items():
        assert constant.name == word
        assert constant.value & constant.mask == constant.value
        assert constant.mask and constant.holds(constant.value)


@given(st.sampled_from(families()), st.integers(0, 2**32 - 1))
def test_what_is_shown_gives_the_argument_back(name: str, argument: int) -> None:
    words = family(name)
    assert words is not None
    parts = words.show(argument).split("|")
    value = 0
    for part in parts:
        value |= words.values[part] if part in words.values else int(part, 0)
    assert value == argument


def test_constants_are_the_interpreters() -> None:
    if native() is not X86_64:
        pytest.skip("the constants of x86_64")
    known = {word: value for name in families() for word, value in values(name).items()}
    for word in ("O_CREAT", "O_APPEND", "O_CLOEXEC", "O_DIRECTORY", "O_PATH", "SEEK_END", "W_OK"):
        assert known[word] == getattr(os, word)


def values(name: str) -> dict[str, int]:
    """The constants of a family."""
    words = family(name)
    assert words is not None
    return words.values


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "errnos"),
    [
        ("open", "EMFILE ENFILE ENOSPC EINTR EACCES ENOENT ENOMEM EDQUOT EROFS"),
        ("openat", "EMFILE EBADF ENOTDIR"),
        ("openat2", "EMFILE ENOSPC E2BIG EXDEV"),
        ("creat", "EMFILE ENOSPC"),
        ("read", "EAGAIN EINTR EIO EISDIR ECONNRESET"),
        ("readv", "EAGAIN EINTR EIO ECONNRESET"),
        ("preadv", "EIO ESPIPE"),
        ("write", "ENOSPC EIO EDQUOT EFBIG EPIPE EAGAIN EINTR"),
        ("pwritev2", "ENOSPC EIO ESPIPE"),
        ("mmap", "ENOMEM EACCES"),
        ("mmap2", "ENOMEM EACCES"),
        ("brk", "ENOMEM"),
        ("clone", "EAGAIN ENOMEM"),
        ("clone3", "EAGAIN ENOMEM"),
        ("fork", "EAGAIN ENOMEM"),
        ("vfork", "EAGAIN ENOMEM"),
        ("fsync", "EIO ENOSPC EDQUOT"),
        ("fdatasync", "EIO ENOSPC EDQUOT"),
        ("getrandom", "EAGAIN EINTR ENOSYS"),
        ("connect", "ECONNREFUSED ETIMEDOUT ENETUNREACH EHOSTUNREACH EINTR"),
        ("socket", "EMFILE ENFILE ENOBUFS ENOMEM"),
        ("accept4", "EMFILE ENFILE ECONNABORTED EINTR"),
        ("close", "EIO EINTR EBADF"),
        ("dup3", "EMFILE EINVAL"),
        ("sendmmsg", "EPIPE EAGAIN ECONNRESET"),
        ("recvmmsg_time64", "EAGAIN EINTR ECONNRESET"),
        ("waitid", "ECHILD EINTR"),
        ("unlinkat", "ENOENT ENOTEMPTY EBADF"),
        ("chown32", "EPERM EROFS"),
        ("mq_open", "EMFILE ENOSPC"),
        ("ftruncate", "EBADF EFBIG EINTR"),
        ("truncate64", "ENOENT EFBIG"),
        ("clock_nanosleep_time64", "EINTR"),
    ],
)
def test_errnos_of(call: str, errnos: str) -> None:
    assert set(errnos.split()) <= set(errnos_of(call))


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        ("close", "ENOENT"),
        ("chmod", "EBADF"),
        ("rename", "ENOSYS"),
        ("dup2", "ENOMEM"),
        ("read", "ENOSPC"),
        ("pread64", "ECONNRESET"),
        ("accept4", "ECONNREFUSED"),
        ("eventfd", "EAGAIN"),
    ],
)
def test_errnos_a_call_cannot_give(call: str, errno: str) -> None:
    assert errno not in errnos_of(call)


def test_calls_that_cannot_fail() -> None:
    for call in ("getpid", "gettid", "getuid", "umask", "exit_group", "sync", "no_such_call"):
        assert errnos_of(call) == ()


@given(calls)
def test_errnos_are_known_and_sorted(name: str) -> None:
    found = errnos_of(name)
    assert list(found) == sorted(set(found))
    for errno in found:
        assert errno_name(ERRNOS[errno]) == errno
        assert (name in syscalls_with(errno)) == (name in X86_64.numbers)


def test_syscalls_with() -> None:
    assert {"open", "openat", "socket", "accept4", "pipe2", "dup"} <= syscalls_with("EMFILE")
    assert {"write", "fsync", "openat", "mkdir", "fallocate"} <= syscalls_with("enospc")
    assert syscalls_with("EWOULDBLOCK") == syscalls_with("EAGAIN")
    assert syscalls_with("ENONSENSE") == frozenset()


def test_errno_numbers() -> None:
    import errno

    if sys.platform == "linux":
        assert {n: v for n, v in ERRNOS.items() if hasattr(errno, n)} == {
            name: getattr(errno, name) for name in ERRNOS if hasattr(errno, name)
        }
    assert ERRNOS["EHWPOISON"] == 133
    assert set(ERRNOS.values()) == set(range(1, 134)) - {41, 58}
    assert errno_number("ENOSPC") == errno_number("enospc") == 28
    assert errno_number("ENONSENSE") is None
    assert errno_message("ENOSPC") == "No space left on device"
    assert errno_message("ENONSENSE") == ""
    assert [errno_name(ERRNOS[n]) for n in ("EWOULDBLOCK", "EDEADLOCK", "ENOTSUP")] == [
        "EAGAIN",
        "EDEADLK",
        "EOPNOTSUPP",
    ]
    assert errno_name(512) == KERNEL_ERRNOS[512] == "ERESTARTSYS"
    assert errno_name(999) == "999"


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigterm", 15),
        ("15", 15),
        ("SIGCLD", 17),
        ("RTMIN", 34),
        ("SIGRTMIN+2", 36),
        ("SIGRTMAX-1", 63),
        ("SIGRTMIN+31", None),
        ("0", None),
        ("65", None),
        ("SIGNONSENSE", None),
        ("", None),
    ],
)
def test_signal_number(text: str, number: int | None) -> None:
    assert signal_number(text) == number


def test_signals_are_the_interpreters() -> None:
    assert {n: v for n, v in SIGNALS.items() if hasattr(signal, n)} == {
        name: int(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)
    }


@given(st.integers(1, 64))
def test_signal_names_lead_back(number: int) -> None:
    assert signal_number(signal_name(number)) == number


@given(st.text(string.printable))
def test_names_of_nothing_are_refused_not_raised(text: str) -> None:
    assert signal_number(text) is None or signal_name(signal_number(text) or 0)
    assert errno_number(text) is None or text.upper() in ERRNOS


# --- advice and cost -------------------------------------------------------------------------


def test_advice_names_calls() -> None:
    for names in (NEVER, RISKY, VDSO):
        assert set(names) <= set(EVERY)
    assert not set(NEVER) & set(RISKY)
    assert {"rt_sigreturn", "exit", "exit_group", "restart_syscall"} <= set(NEVER)


def test_large_tables_wait_until_they_are_asked_for() -> None:
    code = (
        "import sys, injector.words.syscalls as s\n"
        "lazy = {'_signatures', '_call_errnos', '_words'}\n"
        "loaded = {m.rsplit('.', 1)[-1] for m in sys.modules if m.startswith(s.__name__)}\n"
        "assert not lazy & loaded, lazy & loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
