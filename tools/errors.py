"""Which errors each call can give, from the ERRORS sections of the manual.

A page that covers several calls gives its list to all of them, except where a paragraph ("The
following additional errors can occur for openat():") or an entry ("(fchmod()) …") names some.
What a page says in prose ("the errors of X(2) also") and what other sections of the manual add
is in FOLLOWS and ADDED.
"""

# ruff: noqa: SIM905 - long lists of names read better as text

import re
from pathlib import Path

import hand
import manpages

CANONICAL = {"EWOULDBLOCK": "EAGAIN", "ENOTSUP": "EOPNOTSUPP", "EDEADLOCK": "EDEADLK"}
# Pages of section 3 that hold what section 2 leaves out (mq_open(3) …).
LIBRARY_PAGES = {
    "mq_getsetattr": "mq_setattr",
    "mq_notify": "mq_notify",
    "mq_open": "mq_open",
    "mq_timedreceive": "mq_timedreceive",
    "mq_timedsend": "mq_timedsend",
    "mq_unlink": "mq_unlink",
}
# "The errors of X also": each page's own words, or the C library's function on top of it.
FOLLOWS = {
    "epoll_pwait2": "epoll_pwait",
    "execveat": "execve",
    "faccessat2": "faccessat",
    "fchmodat2": "fchmodat",
    "fgetxattr": "fstat",
    "flistxattr": "fstat",
    "fremovexattr": "fstat",
    "fsetxattr": "fstat",
    "fsmount": "mount",
    "fspick": "openat",
    "futex_requeue": "futex",
    "futex_wait": "futex",
    "futex_waitv": "futex",
    "futex_wake": "futex",
    "futimesat": "utimes",
    "getxattr": "stat",
    "getxattrat": "getxattr",
    "io_pgetevents": "io_getevents",
    "lgetxattr": "lstat",
    "linkat": "link",
    "listxattr": "stat",
    "listxattrat": "listxattr",
    "llistxattr": "lstat",
    "lremovexattr": "lstat",
    "lsetxattr": "lstat",
    "mmap2": "mmap",
    "move_mount": "mount",
    "name_to_handle_at": "openat",
    "open_by_handle_at": "openat",
    "open_tree": "openat",
    "open_tree_attr": "openat mount_setattr",
    "openat2": "openat",
    "pivot_root": "stat",
    "pread64": "read lseek",
    "preadv": "read lseek",
    "preadv2": "read lseek",
    "process_madvise": "madvise",
    "pwrite64": "write lseek",
    "pwritev": "write lseek",
    "pwritev2": "write lseek",
    "quotactl_fd": "quotactl",
    "readv": "read",
    "recvmmsg": "recvmsg",
    "removexattr": "stat",
    "removexattrat": "removexattr",
    "renameat": "rename",
    "renameat2": "rename renameat",
    "sendmmsg": "sendmsg",
    "setxattr": "stat",
    "setxattrat": "setxattr",
    "unlinkat": "unlink rmdir",
    "uselib": "open mmap",
    "vfork": "fork",
    "wait4": "waitpid",
    "writev": "write",
}
_SOCKETS_IN = "read readv recvfrom recvmsg recvmmsg"
_SOCKETS_OUT = "write writev sendto sendmsg sendmmsg"
# What the sections 5 and 7 say of calls whose own page is silent or says "other errors may occur,
# depending on the object connected to fd".
ADDED = (
    # signal(7), "Interruption of system calls and library functions by signal handlers"
    (
        "EINTR",
        "read readv write writev preadv pwritev preadv2 pwritev2 pread64 pwrite64 ioctl open "
        "openat openat2 creat wait4 waitid waitpid accept accept4 connect recvfrom recvmsg "
        "recvmmsg sendto sendmsg sendmmsg flock fcntl futex getrandom epoll_wait epoll_pwait "
        "poll ppoll select pselect6 msgrcv msgsnd semop semtimedop clock_nanosleep nanosleep "
        "io_getevents pause rt_sigsuspend rt_sigtimedwait sigsuspend mq_timedreceive mq_timedsend",
    ),
    # tcp(7), ERRORS; the reset of a connection is socket(7)'s SO_ERROR
    ("ECONNRESET", f"{_SOCKETS_IN} {_SOCKETS_OUT}"),
    ("ETIMEDOUT", f"{_SOCKETS_IN} {_SOCKETS_OUT}"),
    # ip(7), ERRORS: no route to the destination
    ("EHOSTUNREACH", "connect sendto sendmsg sendmmsg"),
    ("ENETUNREACH", "connect sendto sendmsg sendmmsg"),
    ("ENETDOWN", "connect sendto sendmsg sendmmsg"),
    # sendfile(2) and splice(2) end in the write of what they fill: write(2)
    *((name, "sendfile sendfile64 splice") for name in "ECONNRESET EDQUOT ENOSPC EPIPE".split()),
    # brk(2), "RETURN VALUE"
    ("ENOMEM", "brk map_shadow_stack"),
    # later versions of the manual than Debian 12's
    *((name, "cachestat") for name in "EBADF EFAULT EINVAL EOPNOTSUPP".split()),
    *((name, "fsopen") for name in "EFAULT EINVAL EMFILE ENFILE ENODEV ENOMEM EPERM".split()),
    *((name, "mseal") for name in "EINVAL ENOMEM EPERM".split()),
    *((name, "process_mrelease") for name in "EAGAIN EBADF EINTR EINVAL ENOSYS ESRCH".split()),
    *((name, "rseq") for name in "EBUSY EFAULT EINVAL EPERM".split()),
    # io_uring_setup(2), io_uring_enter(2), io_uring_register(2) of liburing
    *((name, "io_uring_setup") for name in "EFAULT EINVAL EMFILE ENFILE ENOMEM EPERM".split()),
    *(
        (name, "io_uring_enter")
        for name in "EAGAIN EBADF EBADFD EBUSY EFAULT EINTR EINVAL ENXIO EOPNOTSUPP".split()
    ),
    *(
        (name, "io_uring_register")
        for name in "EACCES EBADF EBADFD EBUSY EEXIST EFAULT EINVAL ENOMEM ENXIO".split()
    ),
)
# Pages whose list belongs to some of their calls only, in words the parser cannot read.
NEVER_FAILS = frozenset({"sync"})
# The part of truncate(2)'s list that is about its path.
PATH_ERRNOS = frozenset("EACCES EFAULT EISDIR ELOOP ENAMETOOLONG ENOENT ENOTDIR".split())
_CALLS = re.compile(r"(\w+)\(\)")
_OWN = re.compile(r"^\(\s*(?:for )?(\w+\(\)[^)]*?(?:\(\)[^)]*?)*)\)")
_TAG = re.compile(r"^E[A-Z0-9]+(?:(?:,| or|, or| and)? +E[A-Z0-9]+)*$")


def _entries(body: str) -> list[tuple[str, str]]:
    """(tag or "", text): a tag for an entry, "" for a paragraph between entries."""
    found: list[tuple[str, list[str]]] = [("", [])]
    expect_tag = True
    for macro, words in manpages.logical_lines(body):
        if macro in ("TP", "TQ", "IP"):
            expect_tag = True
            if macro == "IP" and words:
                found.append((words.split()[0], []))
            continue
        if macro in ("PP", "P", "LP", "SS", "RS", "RE"):
            found.append(("", [words]))
            expect_tag = True
            continue
        text = words.strip()
        if expect_tag and _TAG.match(text.split(" (")[0].strip()):
            head, _, rest = text.partition(" (")
            found.append((head.strip(), ["(" + rest] if rest else []))
        else:
            found[-1][1].append(text)
        expect_tag = False
    return [(tag, " ".join(" ".join(lines).split())) for tag, lines in found]


def read_page(text: str, calls: set[str]) -> dict[str, set[str]]:
    """The errors of each of the functions that a page covers, by the function's name."""
    found: dict[str, set[str]] = {call: set() for call in calls}
    entries = _entries(manpages.section(text, "ERRORS"))
    scopes = []
    for index, (tag, words) in enumerate(entries):
        if tag or not re.search(r"error|fail|reason|^For ", words):
            continue
        # The last sentence is the one that introduces the list.
        named = set(_CALLS.findall(re.split(r"\.\s", words.rstrip(". "))[-1])) & calls
        if named:
            scopes.append((index, named))
    # "The general errors for chmod() are listed below", and no other list: meant for all.
    if len(scopes) == 1 and not any(tag for tag, _ in entries[: scopes[0][0]]):
        scopes = []
    scope = calls
    for index, (tag, words) in enumerate(entries):
        scope = next((named for at, named in scopes if at == index), scope)
        if not tag:
            continue
        own = _OWN.match(words)
        named = set(_CALLS.findall(own[1])) & calls if own else set()
        for call in named or scope:
            # ERESTARTSYS and its like never reach the program: restart_syscall(2).
            for errno in re.findall(r"\bE(?!RESTART)[A-Z0-9]+", tag):
                found[call].add(CANONICAL.get(errno, errno))
    return found


def build(names: set[str], known: set[str]) -> dict[str, tuple[str, ...]]:
    """The errors of each call, sorted; calls whose pages list none are left out."""
    covers: dict[Path, dict[str, str]] = {}
    for name in sorted(names):
        function = hand.MANUAL_NAME.get(name, name)
        if library := LIBRARY_PAGES.get(name):
            function, page = library, manpages.page_of(library, 3)
        else:
            page = manpages.page_of(function) or manpages.page_of(name)
        if page:
            covers.setdefault(page, {})[name] = function
    errnos: dict[str, set[str]] = {name: set() for name in names}
    for page, members in covers.items():
        body = manpages.read(page)
        shown = set(members.values()) | set(_CALLS.findall(manpages.section(body, "ERRORS")))
        shown &= set(manpages.prototypes()) | set(members.values())
        by_function = read_page(body, shown)
        for name, function in members.items():
            errnos[name] |= by_function[function]
    for name in NEVER_FAILS:
        errnos[name] = set()
    for name in ("ftruncate", "ftruncate64"):  # "things wrong with fd instead of path"
        errnos[name] |= (errnos["truncate"] - PATH_ERRNOS) | {"EBADF"}
    for _ in range(3):  # openat2 follows openat, sendmmsg follows sendmsg …
        for name, others in FOLLOWS.items():
            for other in others.split():
                errnos[name] |= errnos[other]
    for errno, calls in ADDED:
        for name in calls.split():
            errnos[name].add(errno)
    for name, base in (hand.VARIANTS | hand.SAME_AS).items():
        if name in errnos and base in errnos:
            errnos[name] |= errnos[base]
    unknown = {errno for found in errnos.values() for errno in found} - known
    if unknown:
        raise SystemExit(f"errors.py: not an errno: {sorted(unknown)}")
    return {name: tuple(sorted(errnos[name])) for name in sorted(names) if errnos[name]}
