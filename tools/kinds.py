"""Tells what a parameter is from its C type and name: the Kind, width, sign and word family."""

# ruff: noqa: SIM905 - long lists of names read better as text

import re

# Families by (syscall, parameter); then by parameter alone. A family is in families.py.
# Source: the flags' descriptions in each call's page.
FAMILY_OF = {
    ("accept4", "flags"): "socket_flags",
    ("arch_prctl", "code"): "arch_prctl_code",
    ("bpf", "cmd"): "bpf_cmd",
    ("clone", "flags"): "clone_flags",
    ("close_range", "flags"): "close_range_flags",
    ("clock_nanosleep", "flags"): "timer_flags",
    ("copy_file_range", "flags"): "",
    ("dup3", "flags"): "open_flags",
    ("epoll_create1", "flags"): "epoll_flags",
    ("epoll_ctl", "op"): "epoll_op",
    ("eventfd2", "flags"): "eventfd_flags",
    ("execveat", "flags"): "at_flags",
    ("faccessat2", "flags"): "access_flags",
    ("faccessat", "mode"): "access_mode",
    ("faccessat2", "mode"): "access_mode",
    ("access", "mode"): "access_mode",
    ("fadvise64", "advice"): "fadvise",
    ("fadvise64_64", "advice"): "fadvise",
    ("fallocate", "mode"): "fallocate_mode",
    ("fchmodat2", "flags"): "at_flags",
    ("fchownat", "flags"): "at_flags",
    ("fcntl", "cmd"): "fcntl_cmd",
    ("fcntl64", "cmd"): "fcntl_cmd",
    ("finit_module", "flags"): "",
    ("flock", "operation"): "flock_op",
    ("fstatat64", "flags"): "at_flags",
    ("futex", "futex_op"): "futex_op",
    ("futex_time64", "futex_op"): "futex_op",
    ("getrandom", "flags"): "getrandom_flags",
    ("getsockopt", "level"): "socket_level",
    ("getsockopt", "optname"): "socket_option",
    ("setsockopt", "level"): "socket_level",
    ("setsockopt", "optname"): "socket_option",
    ("inotify_add_watch", "mask"): "inotify_mask",
    ("inotify_init1", "flags"): "inotify_flags",
    ("io_uring_enter", "flags"): "io_uring_enter_flags",
    ("ioctl", "request"): "ioctl_request",
    ("ioprio_get", "which"): "ioprio_which",
    ("ioprio_set", "which"): "ioprio_which",
    ("keyctl", "operation"): "keyctl_op",
    ("linkat", "flags"): "link_flags",
    ("lseek", "whence"): "whence",
    ("_llseek", "whence"): "whence",
    ("madvise", "advice"): "madvise",
    ("process_madvise", "advice"): "madvise",
    ("membarrier", "cmd"): "membarrier_cmd",
    ("memfd_create", "flags"): "memfd_flags",
    ("mlock2", "flags"): "mlock_flags",
    ("mlockall", "flags"): "mlockall_flags",
    ("mmap", "flags"): "mmap_flags",
    ("mmap2", "flags"): "mmap_flags",
    ("mount", "mountflags"): "mount_flags",
    ("mq_open", "oflag"): "open_flags",
    ("mremap", "flags"): "mremap_flags",
    ("msgget", "msgflg"): "ipc_flags",
    ("msgctl", "cmd"): "ipc_cmd",
    ("semget", "semflg"): "ipc_flags",
    ("semctl", "cmd"): "ipc_cmd",
    ("shmget", "shmflg"): "ipc_flags",
    ("shmctl", "cmd"): "ipc_cmd",
    ("shmat", "shmflg"): "shmat_flags",
    ("msync", "flags"): "msync_flags",
    ("name_to_handle_at", "flags"): "link_flags",
    ("newfstatat", "flags"): "at_flags",
    ("open", "flags"): "open_flags",
    ("openat", "flags"): "open_flags",
    ("open_by_handle_at", "flags"): "open_flags",
    ("open_tree", "flags"): "open_tree_flags",
    ("open_tree_attr", "flags"): "open_tree_flags",
    ("pipe2", "flags"): "open_flags",
    ("prctl", "option"): "prctl_option",
    ("preadv2", "flags"): "rwf_flags",
    ("pwritev2", "flags"): "rwf_flags",
    ("ptrace", "request"): "ptrace_request",
    ("reboot", "cmd"): "",
    ("recvfrom", "flags"): "msg_flags",
    ("recvmsg", "flags"): "msg_flags",
    ("recvmmsg", "flags"): "msg_flags",
    ("sendto", "flags"): "msg_flags",
    ("sendmsg", "flags"): "msg_flags",
    ("sendmmsg", "flags"): "msg_flags",
    ("renameat2", "flags"): "rename_flags",
    ("rseq", "sig"): "",
    ("rt_sigprocmask", "how"): "sigprocmask_how",
    ("sigprocmask", "how"): "sigprocmask_how",
    ("sched_setscheduler", "policy"): "sched_policy",
    ("seccomp", "operation"): "seccomp_op",
    ("setns", "nstype"): "clone_flags",
    ("setxattr", "flags"): "xattr_flags",
    ("lsetxattr", "flags"): "xattr_flags",
    ("fsetxattr", "flags"): "xattr_flags",
    ("shutdown", "how"): "shutdown_how",
    ("signalfd4", "flags"): "signalfd_flags",
    ("socket", "domain"): "socket_domain",
    ("socket", "type"): "socket_type",
    ("socket", "protocol"): "socket_protocol",
    ("socketcall", "call"): "socketcall",
    ("socketpair", "domain"): "socket_domain",
    ("socketpair", "type"): "socket_type",
    ("splice", "flags"): "splice_flags",
    ("tee", "flags"): "splice_flags",
    ("vmsplice", "flags"): "splice_flags",
    ("statx", "flags"): "statx_flags",
    ("statx", "mask"): "statx_mask",
    ("sync_file_range", "flags"): "sync_file_range_flags",
    ("timer_settime", "flags"): "timer_flags",
    ("timerfd_create", "flags"): "timerfd_flags",
    ("timerfd_settime", "flags"): "timer_flags",
    ("umount2", "flags"): "umount_flags",
    ("unlinkat", "flags"): "unlink_flags",
    ("unshare", "flags"): "clone_flags",
    ("utimensat", "flags"): "at_flags",
    ("wait4", "options"): "wait_options",
    ("waitpid", "options"): "wait_options",
    ("waitid", "options"): "wait_options",
    ("waitid", "idtype"): "waitid_type",
}
FAMILY_BY_NAME = {
    "prot": "mmap_prot",
    "clockid": "clock",
    "clk_id": "clock",
    "resource": "rlimit",
    "sig": "signal",
    "signum": "signal",
    "at_flags": "at_flags",
}
_BITS = re.compile(r"(_flags|_mask|_mode|mmap_prot|wait_options|shmat_flags)$")
_NAMES_FD = re.compile(
    r"^(fd|sockfd|oldfd|newfd|epfd|fildes|fd_in|fd_out|in_fd|out_fd|pidfd|targetfd|fanotify_fd|"
    r"ruleset_fd|kernel_fd|initrd_fd|mount_fd|group_fd|mqdes|fdin|fdout)$"
)
_NAMES_DIRFD = re.compile(r"^(dirfd|olddirfd|newdirfd|from_dirfd|to_dirfd)$")
_NAMES_PATH = re.compile(
    r"^(pathname|path|filename|oldpath|newpath|linkpath|new_root|put_old|special|specialfile|"
    r"library|from_pathname|to_pathname|source)$"
)
# `target` is a path to umount2 and mount; to symlink it is text that is stored (symlink(2)).
_TARGET_IS_PATH = frozenset({"mount", "umount", "umount2"})
_NAMES_BUFFER = re.compile(
    r"^(buf|buffer|bufp|value|optval|list|dirp|msgp|msg_ptr|payload|data|module_image|statbuf)$"
)
_NAMES_ADDRESS = re.compile(r"^(addr|old_address|new_address|shmaddr|start|stack)$")
_MEMORY_CALLS = frozenset(
    "mmap mmap2 munmap mprotect pkey_mprotect mremap brk madvise mincore mlock mlock2 munlock "
    "msync mbind remap_file_pages shmat shmdt mseal map_shadow_stack set_mempolicy_home_node "
    "clone".split()
)
_TIME = re.compile(r"struct (timespec|timeval|itimerspec|itimerval|utimbuf|timex)\b|\btime_t \*")
_WIDE = re.compile(
    r"\*|\b(long|size_t|ssize_t|off_t|off64_t|loff_t|uint64_t|u64|__u64|aio_context_t|caddr_t|"
    r"time_t|nfds_t|cap_user_header_t|cap_user_data_t|old_sigset_t)\b"
)
_UNSIGNED = re.compile(
    r"\*|\b(unsigned|size_t|uint32_t|uint64_t|u32|u64|__u32|__u64|mode_t|umode_t|uid_t|gid_t|"
    r"nfds_t|dev_t|socklen_t|aio_context_t|caddr_t|cap_user_header_t|cap_user_data_t|qid_t|"
    r"old_uid_t|old_gid_t|old_sigset_t)\b"
)


def bits(kind: str) -> int:
    """32 or 64: the width of a C type on a 64-bit architecture."""
    return 64 if _WIDE.search(kind) else 32


def signed(kind: str) -> bool:
    """Whether a C type has negative values."""
    return not _UNSIGNED.search(kind)


def family(syscall: str, kind_of: str, name: str) -> str:
    """The name of the constants' family, "" for a plain number."""
    if (syscall, name) in FAMILY_OF:
        return FAMILY_OF[syscall, name]
    if kind_of in ("mode_t", "umode_t"):
        return "file_mode"
    return FAMILY_BY_NAME.get(name, "")


def _pointer(syscall: str, kind: str, name: str) -> str:
    is_path = _NAMES_PATH.match(name) or (name == "target" and syscall in _TARGET_IS_PATH)
    # "char *" only: quotactl's special and mount's source are paths, a structure never is.
    if is_path and "char *" in kind and "**" not in kind:
        return "path"
    if _TIME.search(kind):
        return "time"
    for pattern, result in (
        (r"struct iovec \*", "iovec"),
        (r"struct m?msghdr \*", "msghdr"),
        (r"struct sockaddr \*", "sockaddr"),
    ):
        if re.search(pattern, kind):
            return result
    if name in ("pipefd", "sv"):
        return "fdpair"
    if syscall in _MEMORY_CALLS and _NAMES_ADDRESS.match(name):
        return "address"
    if _NAMES_BUFFER.match(name) and re.search(r"\b(void|char) \*$", kind):
        return "buffer"
    if kind == "const char *":
        return "string"
    if kind in ("char *", "void *") and name in ("value", "name", "vec"):
        return "buffer"
    return "pointer"


def is_pointer(kind_of: str) -> bool:
    """Whether a C type is a pointer, by its stars or its name."""
    return "*" in kind_of or kind_of.endswith(("caddr_t", "cap_user_header_t", "cap_user_data_t"))


def kind(syscall: str, kind_of: str, name: str, width: int) -> str:
    """The value of the Kind of a parameter."""
    if is_pointer(kind_of):
        return _pointer(syscall, kind_of, name)
    if _NAMES_DIRFD.match(name):
        return "dirfd"
    if _NAMES_FD.match(name) and kind_of != "mode_t":
        return "fd"
    words = family(syscall, kind_of, name)
    if words == "signal":
        return "signal"
    if words == "file_mode":
        return "mode"
    if words:
        return "flags" if _BITS.search(words) else "choice"
    if syscall in _MEMORY_CALLS and _NAMES_ADDRESS.match(name):
        return "address"
    for pattern, result in (
        (r"\bu?mode_t$", "mode"),
        (r"\bsocklen_t$", "socklen"),
        (r"\bpid_t$", "pid"),
        (r"\b(uid_t|gid_t)$", "id"),
        (r"\b(off_t|off64_t|loff_t)$", "offset"),
        (r"\bsize_t$", "size"),
    ):
        if re.search(pattern, kind_of):
            return result
    if name.endswith(("flags", "flag", "flg")):
        return "flags"
    if name in ("pid", "tgid", "tid", "pid1", "pid2", "pgid"):
        return "pid"
    if name in ("offset", "offset_low", "offset_high"):
        return "offset"
    if name in ("count", "len", "length", "size"):
        return "size"
    if width == 64:
        return "long" if signed(kind_of) else "ulong"
    return "int" if signed(kind_of) else "uint"
