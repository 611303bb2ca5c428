"""Builds the groups of calls: by their parameters where that says it, by name where it does not.

The names of strace(1)'s classes are kept (`trace=%file` …); the members are our own reading of
the manual's section 2. `read`, `write`, `open`, `alloc` and so on are shaped by what a fault
means: every call by which a program reads, opens, gets memory.
"""

import signatures

# Takes a descriptor in a structure, or gives one out: not to be seen in the parameters.
_DESCRIPTORS = (
    "accept accept4 bpf creat epoll_create epoll_create1 eventfd eventfd2 fanotify_init fsopen "
    "inotify_init inotify_init1 io_uring_setup landlock_create_ruleset memfd_create memfd_secret "
    "mq_open open perf_event_open pidfd_open pipe pipe2 poll ppoll ppoll_time64 pselect6 "
    "pselect6_time64 select _newselect signalfd signalfd4 socket socketpair timerfd_create "
    "userfaultfd close_range io_submit"
)
NAMED = {
    "network": "socket socketpair bind listen accept accept4 connect getsockname getpeername "
    "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg recvmmsg_time64 shutdown setsockopt "
    "getsockopt socketcall sendfile sendfile64",
    "process": "fork vfork clone clone3 execve execveat exit exit_group wait4 waitid waitpid kill "
    "tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal",
    "signal": "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn "
    "sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend sgetmask ssetmask "
    "signalfd signalfd4 pause pidfd_send_signal",
    "ipc": "msgget msgsnd msgrcv msgctl semget semop semtimedop semtimedop_time64 semctl shmget "
    "shmat shmdt shmctl ipc",
    "mqueue": "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr "
    "mq_timedsend_time64 mq_timedreceive_time64",
    "memory": "mmap mmap2 munmap mremap mprotect pkey_mprotect brk madvise "
    "msync mincore mlock mlock2 mlockall munlock munlockall mbind "
    "set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages "
    "remap_file_pages map_shadow_stack mseal shmat shmdt io_setup io_destroy io_uring_register",
    "creds": "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid "
    "setregid setresuid setresgid setgroups setfsuid setfsgid capget capset prctl",
    "clock": "time stime gettimeofday settimeofday adjtimex clock_gettime clock_settime "
    "clock_getres clock_adjtime clock_gettime64 clock_settime64 clock_getres_time64 "
    "clock_adjtime64",
    "sleep": "nanosleep clock_nanosleep clock_nanosleep_time64 pause",
    "timer": "timer_create timer_settime timer_gettime timer_getoverrun timer_delete "
    "timer_settime64 timer_gettime64 timerfd_create timerfd_settime timerfd_gettime "
    "timerfd_settime64 timerfd_gettime64 alarm setitimer getitimer",
    "stat": "stat stat64 oldstat newfstatat fstatat64 statx",
    "lstat": "lstat lstat64 oldlstat newfstatat fstatat64 statx",
    "fstat": "fstat fstat64 oldfstat newfstatat fstatat64 statx",
    "statfs": "statfs statfs64",
    "fstatfs": "fstatfs fstatfs64",
    "pure": "getpid getppid gettid getuid geteuid getgid getegid getpgrp getuid32 "
    "geteuid32 getgid32 getegid32",
    "read": "read pread64 readv preadv preadv2",
    "write": "write pwrite64 writev pwritev pwritev2",
    "seek": "lseek _llseek",
    "open": "open openat openat2 creat open_by_handle_at",
    "close": "close close_range",
    "copy": "sendfile sendfile64 splice tee vmsplice copy_file_range",
    "sync": "fsync fdatasync sync sync_file_range msync syncfs",
    "truncate": "truncate truncate64 ftruncate ftruncate64 fallocate",
    "rename": "rename renameat renameat2",
    "unlink": "unlink unlinkat rmdir",
    "link": "link linkat symlink symlinkat",
    "mkdir": "mkdir mkdirat mknod mknodat",
    "chmod": "chmod fchmod fchmodat fchmodat2",
    "chown": "chown lchown fchown fchownat chown32 lchown32 fchown32",
    "access": "access faccessat faccessat2",
    "dir": "getdents getdents64 readdir",
    "xattr": "setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr "
    "flistxattr removexattr lremovexattr fremovexattr setxattrat getxattrat listxattrat "
    "removexattrat",
    "fork": "fork vfork clone clone3",
    "exec": "execve execveat",
    "wait": "wait4 waitid waitpid",
    "connect": "connect",
    "accept": "accept accept4",
    "send": "sendto sendmsg sendmmsg",
    "recv": "recvfrom recvmsg recvmmsg recvmmsg_time64",
    "poll": "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_wait "
    "epoll_pwait epoll_pwait2",
    "alloc": "mmap mmap2 brk mremap",
    "descriptor": "open openat openat2 creat open_by_handle_at dup dup2 dup3 pipe pipe2 "
    "socket socketpair accept accept4 epoll_create epoll_create1 eventfd eventfd2 "
    "timerfd_create signalfd signalfd4 inotify_init inotify_init1 memfd_create "
    "pidfd_open userfaultfd",
    "futex": "futex futex_time64 futex_wait futex_wake futex_waitv futex_requeue",
    "random": "getrandom",
    "aio": "io_setup io_submit io_getevents io_pgetevents io_pgetevents_time64 io_cancel "
    "io_destroy io_uring_setup io_uring_enter io_uring_register",
}
# strace's %%stat and its like are unions over the variants.
UNIONS = {
    "%stat": ("stat", "lstat", "fstat"),
    "%statfs": ("statfs", "fstatfs"),
}


def build(names: set[str]) -> dict[str, list[str]]:
    """The sorted members of every group; a name no architecture has is a mistake in this file."""
    found: dict[str, set[str]] = {"file": set(), "desc": set()}
    for name in names:
        kinds = {row[1] for row in signatures.parameters(name) or ()}
        if "path" in kinds or name == "getcwd":
            found["file"].add(name)
        if kinds & {"fd", "dirfd"}:
            found["desc"].add(name)
    found["desc"] |= set(_DESCRIPTORS.split())
    for group, members in NAMED.items():
        found[group] = set(members.split())
    wide = {name for name in names if name.endswith("32")}
    found["creds"] |= {name for name in wide if name.removesuffix("32") in found["creds"]}
    for group, parts in UNIONS.items():
        found[group] = set().union(*(found[part] for part in parts))
    found["net"] = found["network"]
    unknown = {name for members in found.values() for name in members} - names
    if unknown:
        raise SystemExit(f"groups.py: no such system calls: {sorted(unknown)}")
    return {group: sorted(members) for group, members in sorted(found.items())}
