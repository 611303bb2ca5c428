"""The facts that no installed header, manual page or library states; each block names its source.

Read by tables.py only. Keep it small: what a header or a manual page says is not repeated here.
"""

# ruff: noqa: SIM905 - long lists of names read better as text

# Numbers newer than Debian 12's kernel headers (Linux 6.1). They are the same on every
# architecture from 424 on. Source: the kernel's scripts/syscall.tbl, checked against strace's
# src/linux/generic/syscallent-common.h.
NEW_NUMBERS = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
    "listns": 470,
}
# x86_64 alone: the return trampoline of uprobes, Linux 6.11.
NEW_X86_64 = {"uretprobe": 335}

# What a system call is called in its manual page, where the names differ: (syscalls(2)).
MANUAL_NAME = {
    "_newselect": "select",
    "eventfd2": "eventfd",
    "exit": "_exit",
    "fadvise64": "posix_fadvise",
    "fadvise64_64": "posix_fadvise",
    "fcntl64": "fcntl",
    "fstat64": "fstat",
    "fstatat64": "fstatat",
    "fstatfs64": "fstatfs",
    "ftruncate64": "ftruncate",
    "io_pgetevents": "io_getevents",
    "lstat64": "lstat",
    "mmap2": "mmap2",
    "newfstatat": "fstatat",
    "pread64": "pread",
    "prlimit64": "prlimit",
    "pselect6": "pselect",
    "pwrite64": "pwrite",
    "rt_sigaction": "sigaction",
    "rt_sigpending": "sigpending",
    "rt_sigsuspend": "sigsuspend",
    "rt_sigtimedwait": "sigtimedwait",
    "rt_sigreturn": "sigreturn",
    "sendfile64": "sendfile",
    "signalfd4": "signalfd",
    "stat64": "stat",
    "statfs64": "statfs",
    "sync_file_range2": "sync_file_range",
    "truncate64": "truncate",
    "ugetrlimit": "getrlimit",
    "umount": "umount2",
}

# Calls that are another call with wider ids or 64-bit time: same parameters, same errors
# (syscalls(2); chown32 and the *_time64 calls of 32-bit architectures).
SAME_AS = {
    name + "32": name
    for name in (
        "chown fchown getegid geteuid getgid getgroups getresgid getresuid getuid lchown setfsgid "
        "setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid"
    ).split()
} | {
    "_newselect": "select",
    "clock_adjtime64": "clock_adjtime",
    "clock_getres_time64": "clock_getres",
    "clock_gettime64": "clock_gettime",
    "clock_nanosleep_time64": "clock_nanosleep",
    "clock_settime64": "clock_settime",
    "fcntl64": "fcntl",
    "fstat64": "fstat",
    "fstatat64": "newfstatat",
    "futex_time64": "futex",
    "io_pgetevents_time64": "io_pgetevents",
    "lstat64": "lstat",
    "mq_timedreceive_time64": "mq_timedreceive",
    "mq_timedsend_time64": "mq_timedsend",
    "ppoll_time64": "ppoll",
    "pselect6_time64": "pselect6",
    "recvmmsg_time64": "recvmmsg",
    "rt_sigtimedwait_time64": "rt_sigtimedwait",
    "sched_rr_get_interval_time64": "sched_rr_get_interval",
    "semtimedop_time64": "semtimedop",
    "sendfile64": "sendfile",
    "stat64": "stat",
    "timer_gettime64": "timer_gettime",
    "timer_settime64": "timer_settime",
    "timerfd_gettime64": "timerfd_gettime",
    "timerfd_settime64": "timerfd_settime",
    "ugetrlimit": "getrlimit",
    "utimensat_time64": "utimensat",
}

# The calls that do the work of another on an architecture that has both, or only the second;
# with the pairs of SAME_AS, what a user's name stands for there (syscalls(2)).
VARIANTS = {
    "fadvise64_64": "fadvise64",
    "_llseek": "lseek",
    "fstatfs64": "fstatfs",
    "ftruncate64": "ftruncate",
    "mmap2": "mmap",
    "oldolduname": "uname",
    "olduname": "uname",
    "sigaction": "rt_sigaction",
    "sigpending": "rt_sigpending",
    "sigprocmask": "rt_sigprocmask",
    "sigreturn": "rt_sigreturn",
    "sigsuspend": "rt_sigsuspend",
    "statfs64": "statfs",
    "truncate64": "truncate",
    "umount": "umount2",
    "waitpid": "wait4",
}
# Functions of the C library that are another system call beneath (their pages' "C library/kernel
# differences").
LIBRARY_NAMES = {
    "_exit": "exit_group",
    "fopen": "openat",
    "fstatat": "newfstatat",
    "lockf": "fcntl",
    "malloc": "mmap",
    "mkfifo": "mknodat",
    "posix_fadvise": "fadvise64",
    "posix_fallocate": "fallocate",
    "posix_spawn": "clone3",
    "pread": "pread64",
    "prlimit": "prlimit64",
    "pselect": "pselect6",
    "pthread_create": "clone3",
    "pwrite": "pwrite64",
    "raise": "tgkill",
    "readdir": "getdents64",
    "recv": "recvfrom",
    "remove": "unlink",
    "send": "sendto",
    "sigaction": "rt_sigaction",
    "sigpending": "rt_sigpending",
    "sigprocmask": "rt_sigprocmask",
    "sigsuspend": "rt_sigsuspend",
    "sigtimedwait": "rt_sigtimedwait",
    "sigwaitinfo": "rt_sigtimedwait",
    "sleep": "clock_nanosleep",
    "umount": "umount2",
    "usleep": "clock_nanosleep",
    "wait": "wait4",
    "waitpid": "wait4",
}

# Parameters as the kernel takes them, where the manual page shows the C library's function and
# python-ptrace has nothing or an older form. Source: the kernel's include/linux/syscalls.h and
# the manual pages' "C library/kernel differences". `a/b` is a name and its other common names.
PROTOTYPES = {
    "_newselect": "int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, "
    "struct timeval *timeout",
    "cachestat": "int fd, struct cachestat_range *range/cstat_range, struct cachestat *cstat, "
    "unsigned int flags",
    "clone": "unsigned long flags/clone_flags, void *stack/newsp/child_stack, "
    "int *parent_tid/parent_tidptr, int *child_tid/child_tidptr, unsigned long tls",
    "close_range": "unsigned int first/fd, unsigned int last/max_fd, unsigned int flags",
    "epoll_pwait": "int epfd, struct epoll_event *events, int maxevents, int timeout, "
    "const sigset_t *sigmask, size_t sigsetsize",
    "epoll_pwait2": "int epfd, struct epoll_event *events, int maxevents, "
    "const struct timespec *timeout, const sigset_t *sigmask, size_t sigsetsize",
    "fchmodat2": "int dirfd/dfd, const char *pathname/filename/path, mode_t mode, "
    "unsigned int flags",
    "fcntl": "int fd, int cmd/op, unsigned long arg",
    "file_getattr": "int dirfd/dfd, const char *pathname/filename/path, struct file_attr *attr, "
    "size_t size/usize, unsigned int at_flags/flags",
    "file_setattr": "int dirfd/dfd, const char *pathname/filename/path, struct file_attr *attr, "
    "size_t size/usize, unsigned int at_flags/flags",
    "fsconfig": "int fd/fs_fd, unsigned int cmd, const char *key, const void *value, int aux",
    "fsmount": "int fd/fs_fd, unsigned int flags, unsigned int attr_flags/ms_flags",
    "fsopen": "const char *fsname/fs_name, unsigned int flags",
    "fspick": "int dirfd/dfd, const char *pathname/path, unsigned int flags",
    "fstatfs64": "int fd, size_t size/sz, struct statfs64 *buf",
    "futex_requeue": "struct futex_waitv *waiters, unsigned int flags, int nr_wake, int nr_requeue",
    "futex_wait": "void *uaddr, unsigned long val, unsigned long mask, unsigned int flags, "
    "struct timespec *timeout, clockid_t clockid",
    "futex_waitv": "struct futex_waitv *waiters, unsigned int nr_futexes, unsigned int flags, "
    "struct timespec *timeout, clockid_t clockid",
    "futex_wake": "void *uaddr, unsigned long mask, int nr, unsigned int flags",
    "getcwd": "char *buf, size_t size",
    "getxattrat": "int dirfd/dfd, const char *pathname/path, unsigned int at_flags/flags, "
    "const char *name, struct xattr_args *args/uargs, size_t size/usize",
    "io_pgetevents": "aio_context_t ctx_id, long min_nr, long nr, struct io_event *events, "
    "struct timespec *timeout, const struct __aio_sigset *usig/sigset",
    "io_uring_enter": "int fd, unsigned int to_submit, unsigned int min_complete, "
    "unsigned int flags, const void *argp/sig, size_t argsz/sz",
    "io_uring_register": "int fd, unsigned int opcode/op, void *arg, unsigned int nr_args",
    "io_uring_setup": "unsigned int entries, struct io_uring_params *params/p",
    "ioctl": "int fd, unsigned int request/cmd/op, unsigned long argp/arg",
    "listmount": "const struct mnt_id_req *req, uint64_t *mnt_ids, size_t nr_mnt_ids, "
    "unsigned int flags",
    "listns": "const struct ns_id_req *req, uint64_t *ns_ids, size_t nr_ns_ids, unsigned int flags",
    "listxattrat": "int dirfd/dfd, const char *pathname/path, unsigned int at_flags/flags, "
    "char *list, size_t size",
    "lsm_get_self_attr": "unsigned int attr, struct lsm_ctx *ctx, uint32_t *size, uint32_t flags",
    "lsm_list_modules": "uint64_t *ids, uint32_t *size, uint32_t flags",
    "lsm_set_self_attr": "unsigned int attr, struct lsm_ctx *ctx, uint32_t size, uint32_t flags",
    "map_shadow_stack": "unsigned long addr, unsigned long size, unsigned int flags",
    "membarrier": "int cmd, unsigned int flags, int cpu_id",
    "mmap2": "void *addr, size_t length/len, int prot, int flags, int fd, "
    "off_t pgoffset/pgoff/offset",
    "move_mount": "int from_dirfd/from_dfd, const char *from_pathname/from_path, "
    "int to_dirfd/to_dfd, const char *to_pathname/to_path, unsigned int flags/ms_flags",
    "mremap": "void *old_address/addr, size_t old_size/old_len, size_t new_size/new_len, "
    "int flags, void *new_address/new_addr",
    "mseal": "void *addr/start, size_t length/len, unsigned long flags",
    "newfstatat": "int dirfd/dfd, const char *pathname/filename/path, struct stat *statbuf, "
    "int flags/flag",
    "open": "const char *pathname/filename/path, int flags, mode_t mode",
    "open_tree": "int dirfd/dfd, const char *pathname/filename/path, unsigned int flags",
    "open_tree_attr": "int dirfd/dfd, const char *pathname/filename/path, unsigned int flags, "
    "struct mount_attr *attr/uattr, size_t size/usize",
    "openat": "int dirfd/dfd, const char *pathname/filename/path, int flags, mode_t mode",
    "ppoll": "struct pollfd *fds/ufds, nfds_t nfds, const struct timespec *timeout/tmo_p/tsp, "
    "const sigset_t *sigmask, size_t sigsetsize",
    "preadv": "int fd, const struct iovec *iov/vec, int iovcnt/vlen, off_t offset/pos/pos_l, "
    "unsigned long offset_high/pos_h",
    "preadv2": "int fd, const struct iovec *iov/vec, int iovcnt/vlen, off_t offset/pos/pos_l, "
    "unsigned long offset_high/pos_h, int flags",
    "process_mrelease": "int pidfd, unsigned int flags",
    "pselect6": "int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, "
    "struct timespec *timeout, void *sigmask",
    "pwritev": "int fd, const struct iovec *iov/vec, int iovcnt/vlen, off_t offset/pos/pos_l, "
    "unsigned long offset_high/pos_h",
    "pwritev2": "int fd, const struct iovec *iov/vec, int iovcnt/vlen, off_t offset/pos/pos_l, "
    "unsigned long offset_high/pos_h, int flags",
    "quotactl_fd": "int fd, unsigned int cmd, int id, void *addr",
    "removexattrat": "int dirfd/dfd, const char *pathname/path, unsigned int at_flags/flags, "
    "const char *name",
    "rseq": "struct rseq *rseq, uint32_t rseq_len, int flags, uint32_t sig",
    "rt_sigaction": "int signum/sig, const struct sigaction *act, struct sigaction *oldact, "
    "size_t sigsetsize",
    "rt_sigreturn": "",
    "rt_sigsuspend": "const sigset_t *mask/unewset, size_t sigsetsize",
    "rt_sigtimedwait": "const sigset_t *set/uthese, siginfo_t *info/uinfo, "
    "const struct timespec *timeout/uts, size_t sigsetsize",
    "semctl": "int semid, int semnum, int cmd/op, unsigned long arg",
    "set_mempolicy_home_node": "unsigned long start, unsigned long len, "
    "unsigned long home_node, unsigned long flags",
    "setxattrat": "int dirfd/dfd, const char *pathname/path, unsigned int at_flags/flags, "
    "const char *name, const struct xattr_args *args/uargs, size_t size/usize",
    "signalfd": "int fd/ufd, const sigset_t *mask/user_mask, size_t sizemask",
    "signalfd4": "int fd/ufd, const sigset_t *mask/user_mask, size_t sizemask, int flags",
    "sigreturn": "",
    "socket": "int domain/family, int type, int protocol",
    "statfs64": "const char *path/pathname, size_t size/sz, struct statfs64 *buf",
    "statmount": "const struct mnt_id_req *req, struct statmount *buf, size_t bufsize, "
    "unsigned int flags",
    "sysfs": "int option, unsigned long arg1, unsigned long arg2",
    "signal": "int signum/sig, void *handler",
    "sigsuspend": "int unused1, int unused2, unsigned long mask",
    "umount": "const char *target/name",
    "uretprobe": "",
}

# The same call with other parameters on another architecture. i386 passes a 64-bit value in
# two registers (syscall(2), "Architecture-specific requirements"); i386's mmap and select are
# the old ones that take one pointer to all arguments; i386 and aarch64 have clone's tls before
# child_tid (clone(2), "C library/kernel differences").
OTHER_PROTOTYPES = {
    "i386": {
        "clone": "unsigned long flags/clone_flags, void *stack/newsp/child_stack, "
        "int *parent_tid/parent_tidptr, unsigned long tls, int *child_tid/child_tidptr",
        "fadvise64": "int fd, unsigned long offset/offset_low, unsigned long offset_high, "
        "size_t len, int advice",
        "fadvise64_64": "int fd, unsigned long offset/offset_low, unsigned long offset_high, "
        "unsigned long len/len_low, unsigned long len_high, int advice",
        "fallocate": "int fd, int mode, unsigned long offset/offset_low, "
        "unsigned long offset_high, unsigned long len/len_low, unsigned long len_high",
        "fanotify_mark": "int fanotify_fd, unsigned int flags, unsigned long mask/mask_low, "
        "unsigned long mask_high, int dirfd, const char *pathname/path",
        "ftruncate64": "int fd, unsigned long length/length_low, unsigned long length_high",
        "lookup_dcookie": "unsigned long cookie/cookie_low, unsigned long cookie_high, "
        "char *buffer, size_t len",
        "mmap": "struct mmap_arg_struct *args",
        "pread64": "int fd, void *buf, size_t count, unsigned long offset/pos/offset_low, "
        "unsigned long offset_high",
        "pwrite64": "int fd, const void *buf, size_t count, unsigned long offset/pos/offset_low, "
        "unsigned long offset_high",
        "readahead": "int fd, unsigned long offset/offset_low, unsigned long offset_high, "
        "size_t count",
        "select": "struct sel_arg_struct *args",
        "sync_file_range": "int fd, unsigned long offset/offset_low, unsigned long offset_high, "
        "unsigned long nbytes/nbytes_low, unsigned long nbytes_high, unsigned int flags",
        "truncate64": "const char *path/pathname, unsigned long length/length_low, "
        "unsigned long length_high",
    },
    "aarch64": {
        "clone": "unsigned long flags/clone_flags, void *stack/newsp/child_stack, "
        "int *parent_tid/parent_tidptr, unsigned long tls, int *child_tid/child_tidptr",
    },
}

# The calls of i386 that its kernel only ever answers with ENOSYS, and those that predate the
# manual: their parameters are not documented (unimplemented(2)).
NO_PARAMETERS = frozenset(
    "afs_syscall break epoll_ctl_old epoll_wait_old ftime getpmsg gtty idle lock mpx prof profil "
    "putpmsg security stty tuxcall ulimit vserver".split()
)
OLD_PROTOTYPES = {
    "oldfstat": "int fd, struct __old_kernel_stat *statbuf",
    "oldlstat": "const char *pathname/filename/path, struct __old_kernel_stat *statbuf",
    "oldolduname": "struct oldold_utsname *buf",
    "oldstat": "const char *pathname/filename/path, struct __old_kernel_stat *statbuf",
}

# A parameter's other common names: the kernel's (include/linux/syscalls.h), glibc's, strace's.
ALIASES = {
    "dirfd": ("dfd", "fd"),
    "olddirfd": ("olddfd",),
    "newdirfd": ("newdfd",),
    "pathname": ("filename", "path"),
    "path": ("pathname", "filename"),
    "filename": ("pathname", "path"),
    "oldpath": ("oldname", "old"),
    "newpath": ("newname", "new"),
    "linkpath": ("newname", "newpath"),
    "sockfd": ("fd",),
    "signum": ("sig",),
    "sig": ("signum", "signal"),
    "length": ("len",),
    "count": ("len", "size"),
    "whence": ("origin",),
    "domain": ("family",),
    "operation": ("op", "cmd"),
}
