"""The families of constants: which names belong to a parameter, and the mask each compares under.

A family takes every macro of its headers that matches its pattern. A flag compares under its own
bits; one of several values in a field compares under the field; a plain choice under all bits.
Sources: the headers named, and for the fields the pages of the calls that take them.
"""

import re
from dataclasses import dataclass, field

import headers

ALL = 0xFFFFFFFFFFFFFFFF
INT = 0xFFFFFFFF


@dataclass
class Spec:
    """Where a family's names come from."""

    pattern: str
    headers: tuple[str, ...]
    drop: str = "^$"
    bits: bool = True
    fields: dict[str, int] = field(default_factory=dict)  # pattern of names: their mask
    extra: dict[str, int] = field(default_factory=dict)  # values the C library hides
    shown: bool = True


def _one(pattern: str, *files: str, drop: str = "^$", **extra: int) -> Spec:
    return Spec(pattern, files, drop, bits=False, extra=extra)


def _flags(pattern: str, *files: str, drop: str = "^$", **extra: int) -> Spec:
    return Spec(pattern, files, drop, extra=extra)


FAMILIES: dict[str, Spec] = {
    "access_mode": Spec("^[RWXF]_OK$", ("unistd.h",), fields={"^F_OK$": 7}),
    "access_flags": _flags("^AT_(EACCESS|SYMLINK_NOFOLLOW|EMPTY_PATH)$", "fcntl.h"),
    "arch_prctl_code": _one("^ARCH_(GET|SET|CET|REQ|MAP)_?", "asm/prctl.h"),
    # AT_REMOVEDIR and AT_EACCESS share a bit: each has a family of its own
    "at_flags": Spec(
        "^AT_(SYMLINK_|NO_AUTOMOUNT|EMPTY_PATH|STATX_|RECURSIVE)",
        ("fcntl.h", "linux/fcntl.h"),
        drop="AT_STATX_",
    ),
    "bpf_cmd": Spec("^$", ("linux/bpf.h",), bits=False),
    "clock": _one("^CLOCK_[A-Z_]+$", "time.h", "linux/time.h", drop="CLOCKS|_PER_"),
    "clone_flags": Spec(
        "^CLONE_|^SIGCHLD$",
        ("sched.h", "linux/sched.h", "signal.h"),
        drop="CLONE_ARGS|CLEAR_SIGHAND|INTO_CGROUP|NEWTIME",  # clone3's, in a structure
        fields={"^SIGCHLD$": 0xFF},  # clone(2): the low byte is the signal sent at exit
    ),
    "close_range_flags": _flags("^CLOSE_RANGE_", "linux/close_range.h"),
    "epoll_flags": _flags("^EPOLL_CLOEXEC$", "sys/epoll.h"),
    "epoll_op": _one("^EPOLL_CTL_", "sys/epoll.h"),
    "eventfd_flags": _flags("^EFD_", "sys/eventfd.h"),
    "fadvise": _one("^POSIX_FADV_", "fcntl.h"),
    "fallocate_mode": _flags("^FALLOC_FL_", "linux/falloc.h"),
    # 12 to 14 are i386's own: fcntl_locking(2)
    "fcntl_cmd": _one(
        "^F_(?!OK$|R?DLCK|WRLCK|UNLCK|EXLCK|SHLCK|OWNER_|SEAL_|LOCK$|ULOCK|TLOCK|TEST|GETLK64"
        "|SETLKW?64|LINUX_SPECIFIC)",
        "fcntl.h",
        "linux/fcntl.h",
        F_GETLK64=12,
        F_SETLK64=13,
        F_SETLKW64=14,
    ),
    "file_mode": Spec(
        "^S_I[FRSWX][A-Z]*$",
        ("sys/stat.h",),
        drop="S_IFMT|S_IREAD|S_IWRITE|S_IEXEC",
        fields={"^S_IF": 0o170000},
    ),
    "flock_op": Spec("^LOCK_(SH|EX|UN|NB)$", ("sys/file.h",), fields={"_(SH|EX|UN)$": 0xB}),
    # futex(2): the command is what remains of the operation without its two flags
    "futex_op": Spec(
        "^FUTEX_",
        ("linux/futex.h",),
        drop="_MASK$|FUTEX_(WAITERS|OWNER_DIED|TID_|BITSET_|OP_|32|CMD_|WAITV)|_SIZE_|FUTEX2",
        fields={"_PRIVATE$": 0xFF, "^(?!.*(_FLAG|_REALTIME)$)": 0x7F},
    ),
    "getrandom_flags": _flags("^GRND_", "sys/random.h"),
    "inotify_flags": _flags("^IN_(CLOEXEC|NONBLOCK)$", "sys/inotify.h"),
    "inotify_mask": _flags("^IN_", "sys/inotify.h", drop="CLOEXEC|NONBLOCK"),
    "io_uring_enter_flags": _flags("^IORING_ENTER_", "linux/io_uring.h"),
    "ioctl_request": _one(
        "^(TC|TIO|FIO|SIO|FI(CLONE|BMAP|GETBSZ|FREEZE|THAW|TRIM|DEDUPE)|FS_IOC|BLK)[A-Z0-9_]+$",
        "sys/ioctl.h",
        "linux/sockios.h",
        "linux/fs.h",
        drop="ISO7816|FIEMAP|BLKTRACESETUP|SIOC(INQ|OUTQ|GSTAMP|GSTAMPNS)$|_(OLD|NEW)$|TC[GS]ETS.?2|TCSETS[WF]2|TIOCPKT_|TIOCM_|TIOCSER_|SIOCDEVPRIVATE|SIOCPROTOPRIVATE|_FL$|_FLAGS?_|^TCP|"
        "FSLABEL_MAX|TIOCGETC|TIOCTTYGSTRUCT|BLK_",
    ),
    "ioprio_which": Spec("^$", ("linux/ioprio.h",), bits=False),
    "ipc_cmd": _one(
        "^(IPC_(RMID|SET|STAT|INFO)|(SEM|SHM|MSG)_(STAT|INFO|LOCK|UNLOCK)(_ANY)?|"
        "(GET|SET)(PID|VAL|ALL|NCNT|ZCNT))$",
        "sys/ipc.h",
        "sys/sem.h",
        "sys/shm.h",
        "sys/msg.h",
    ),
    "ipc_flags": _flags(
        "^(IPC_(CREAT|EXCL|NOWAIT)|SHM_(HUGETLB|NORESERVE))$", "sys/ipc.h", "sys/shm.h"
    ),
    "keyctl_op": _one("^KEYCTL_", "linux/keyctl.h", drop="SUPPORTS|CAPS|MOVE_EXCL"),
    "link_flags": _flags("^AT_(SYMLINK_FOLLOW|EMPTY_PATH)$", "fcntl.h"),
    "madvise": _one("^MADV_", "sys/mman.h", "linux/mman.h"),
    "membarrier_cmd": Spec("^$", ("linux/membarrier.h",), bits=False),
    "memfd_flags": _flags(
        "^MFD_(CLOEXEC|ALLOW_SEALING|HUGETLB)$", "linux/memfd.h", MFD_NOEXEC_SEAL=8, MFD_EXEC=16
    ),
    "mlock_flags": _flags("^MLOCK_ONFAULT$", "linux/mman.h"),
    "mlockall_flags": _flags("^MCL_", "sys/mman.h"),
    # mmap(2): exactly one of the sharing types, in the low four bits
    "mmap_flags": Spec(
        "^MAP_",
        ("sys/mman.h", "linux/mman.h"),
        drop="MAP_(TYPE|HUGE_|FAILED|FILE|ANON$|ABOVE4G)",
        fields={"^MAP_(SHARED|PRIVATE|SHARED_VALIDATE|DROPPABLE)$": 0xF},
    ),
    "mmap_prot": Spec("^PROT_", ("sys/mman.h",), drop="PROT_MTE|PROT_BTI", fields={"NONE$": 7}),
    "mount_flags": _flags(
        "^MS_(?!ASYNC|SYNC$|INVALIDATE|RMT_MASK|MGC|VERBOSE|ACTIVE|NOUSER|BORN|"
        "NOSEC|NOREMOTELOCK|SUBMOUNT|KERNMOUNT)",
        "linux/mount.h",
        MS_SYNCHRONOUS=16,
    ),
    "mremap_flags": _flags("^MREMAP_", "linux/mman.h"),
    "msg_flags": _flags("^MSG_[A-Z_]+$", "sys/socket.h", drop="MSG_(STAT|INFO|EXCEPT|COPY|NOERR)"),
    "msync_flags": _flags("^MS_(A?SYNC|INVALIDATE)$", "sys/mman.h"),
    # open(2): the access mode is a field of two bits, not flags. On 64 bits the C library
    # gives O_LARGEFILE as 0, the kernel does not.
    "open_flags": Spec(
        "^O_[A-Z]+$",
        ("fcntl.h",),
        drop="O_(ACCMODE|NDELAY|FSYNC|LARGEFILE|RSYNC)",
        fields={"^O_(RDONLY|WRONLY|RDWR)$": 3},
        extra={"O_LARGEFILE": 0o100000},
    ),
    "open_tree_flags": _flags(
        "^(OPEN_TREE_CLO[A-Z]+|AT_(EMPTY_PATH|NO_AUTOMOUNT|RECURSIVE|SYMLINK_NOFOLLOW))$",
        "fcntl.h",
        "linux/fcntl.h",
        OPEN_TREE_CLONE=1,
        OPEN_TREE_CLOEXEC=0o2000000,
    ),
    "prctl_option": _one(
        "^PR_[A-Z]+_[A-Z0-9_]+$",
        "linux/prctl.h",
        drop="^PR_(FP_|SPEC_|MTE_|TAGGED_|TSC_|UNALIGN_|ENDIAN_|MCE_KILL_|TIMING_|SCHED_CORE_S"
        "|SCHED_CORE_CREATE|SCHED_CORE_GET|SCHED_CORE_MAX|SET_MM_|SVE_|SME_|PAC_A|CAP_AMBIENT_|"
        "FPEMU_|SET_VMA_|SET_PTRACER_ANY|SYS_DISPATCH|MDWE_|RISCV)",
    ),
    "ptrace_request": _one(
        "^PTRACE_[A-Z]+[A-Z0-9_]*$",
        "linux/ptrace.h",
        "asm/ptrace-abi.h",
        drop="PTRACE_(EVENT|O_|SYSCALL_INFO|SYSEMU_ENTRY|SECCOMP|PEEKSIGINFO_|EVENTMSG|SI_|"
        "[GS]ET_FPX)",
    ),
    "rename_flags": _flags("^RENAME_", "linux/fs.h"),
    "rlimit": _one("^RLIMIT_", "sys/resource.h", drop="NLIMITS|RLIM_"),
    "rwf_flags": _flags("^RWF_[A-Z]+$", "linux/fs.h", drop="SUPPORTED"),
    "sched_policy": _one(
        "^SCHED_(OTHER|FIFO|RR|BATCH|ISO|IDLE|DEADLINE)$", "sched.h", "linux/sched.h"
    ),
    "seccomp_op": _one("^SECCOMP_(SET_MODE_|GET_)", "linux/seccomp.h"),
    "shmat_flags": _flags("^SHM_(RDONLY|RND|REMAP|EXEC)$", "sys/shm.h"),
    "shutdown_how": _one("^SHUT_", "sys/socket.h"),
    "signal": _one("^SIG[A-Z0-9]+$", "signal.h", drop="SIG(EV_|RTM|STKSZ|STKFLT_|SYS_|UNUSED)"),
    "signalfd_flags": _flags("^SFD_", "sys/signalfd.h"),
    "sigprocmask_how": _one("^SIG_(BLOCK|UNBLOCK|SETMASK)$", "signal.h"),
    # socket(7), tcp(7), ip(7), ipv6(7): a name of any level is read; which level a number belongs
    # to is another argument, so numbers are not turned back into names.
    "socket_option": Spec(
        "^(SO|TCP|IP|IPV6|UDP)_[A-Z0-9_]+$",
        ("sys/socket.h", "netinet/in.h", "netinet/tcp.h", "netinet/udp.h"),
        drop="^TCP_(ESTABLISHED|SYN_|FIN_|TIME_WAIT|CLOSE|LAST_ACK|LISTEN|CLOSING|CA_|MSS_|"
        "MAX_|REPAIR_O|REPAIR_W|NLA|MD5SIG_(MAX|FLAG|EXT)|COOKIE_[MPOI]|S_DATA|[A-Z_]*QUEUE|"
        "FASTOPEN_(NO|KEY_L)|RECEIVE_ZEROCOPY_FLAG)|^IP_(PMTUDISC|DEFAULT|MAX|DF|MF|RF|OFFMASK|"
        "MSFILTER_|UNICAST$)|^IPV6_(PMTUDISC|RTHDR_TYPE|RTHDR_LOOSE|RTHDR_STRICT)|"
        "^UDP_(ENCAP_|GRO_CNT|V4_FLOW)|^SO_(DOMAIN$^|EE_)|_CMSG",
        bits=False,
        shown=False,
    ),
    "socket_level": _one(
        "^SOL_[A-Z0-9]+$",
        "sys/socket.h",
        "netinet/in.h",
        "netinet/tcp.h",
        IPPROTO_IP=0,
        IPPROTO_TCP=6,
        IPPROTO_UDP=17,
        IPPROTO_IPV6=41,
    ),
    "socket_domain": _one("^[AP]F_[A-Z0-9]+$", "sys/socket.h", drop="_MAX$"),
    "socket_protocol": _one(
        "^IPPROTO_(?!MAX)[A-Z0-9]+$",
        "netinet/in.h",
        drop="HOPOPTS|ROUTING|FRAGMENT|NONE|DSTOPTS|_MH$",
    ),
    # socket(2): the low four bits are the type, above them are flags
    "socket_type": Spec(
        "^SOCK_(STREAM|DGRAM|RAW|RDM|SEQPACKET|DCCP|PACKET|NONBLOCK|CLOEXEC)$",
        ("sys/socket.h",),
        fields={"^(?!SOCK_(NONBLOCK|CLOEXEC))": 0xF},
    ),
    "socket_flags": _flags("^SOCK_(NONBLOCK|CLOEXEC)$", "sys/socket.h"),
    "socketcall": _one(
        "^SYS_(?!.*_)(SOCKET|BIND|CONNECT|LISTEN|ACCEPT4?|GETSOCKNAME|GETPEERNAME|"
        "SOCKETPAIR|SEND|RECV|SENDTO|RECVFROM|SHUTDOWN|SETSOCKOPT|GETSOCKOPT|SENDMSG|RECVMSG|"
        "RECVMMSG|SENDMMSG)$",
        "linux/net.h",
    ),
    "splice_flags": _flags("^SPLICE_F_", "fcntl.h"),
    # statx(2): how to synchronize is a field of two bits
    "statx_flags": Spec(
        "^AT_(SYMLINK_NOFOLLOW|NO_AUTOMOUNT|EMPTY_PATH|STATX_[A-Z_]+)$",
        ("fcntl.h",),
        drop="SYNC_TYPE",
        fields={"^AT_STATX_": 0x6000},
    ),
    "statx_mask": _flags("^STATX_[A-Z0-9_]+$", "linux/stat.h", drop="ATTR|RESERVED|_ALL$"),
    "sync_file_range_flags": _flags("^SYNC_FILE_RANGE_", "fcntl.h"),
    "timer_flags": _flags("^T(IMER|FD_TIMER)_(ABSTIME|CANCEL_ON_SET)$", "time.h", "sys/timerfd.h"),
    "timerfd_flags": _flags("^TFD_(NONBLOCK|CLOEXEC)$", "sys/timerfd.h"),
    "umount_flags": _flags("^(MNT_(FORCE|DETACH|EXPIRE)|UMOUNT_NOFOLLOW)$", "sys/mount.h"),
    "unlink_flags": _flags("^AT_REMOVEDIR$", "fcntl.h"),
    "wait_options": _flags(
        "^(W(NOHANG|UNTRACED|STOPPED|EXITED|CONTINUED|NOWAIT)|__W[A-Z]+)$",
        "sys/wait.h",
        drop="__WORDSIZE|__WCOREFLAG",
    ),
    "waitid_type": _one("^$", "sys/wait.h"),
    "whence": _one("^SEEK_(SET|CUR|END|DATA|HOLE)$", "unistd.h", "linux/fs.h"),
    "xattr_flags": _flags("^XATTR_(CREATE|REPLACE)$", "sys/xattr.h"),
}
# Enumerations have no macros to be found by.
ENUMERATIONS = {
    "waitid_type": "P_ALL P_PID P_PGID P_PIDFD",
    "ioprio_which": "IOPRIO_WHO_PROCESS IOPRIO_WHO_PGRP IOPRIO_WHO_USER",
    "membarrier_cmd": "MEMBARRIER_CMD_QUERY MEMBARRIER_CMD_GLOBAL MEMBARRIER_CMD_GLOBAL_EXPEDITED "
    "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED "
    "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE "
    "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE "
    "MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ",
    "bpf_cmd": "BPF_MAP_CREATE BPF_MAP_LOOKUP_ELEM BPF_MAP_UPDATE_ELEM BPF_MAP_DELETE_ELEM "
    "BPF_MAP_GET_NEXT_KEY BPF_PROG_LOAD BPF_OBJ_PIN BPF_OBJ_GET BPF_PROG_ATTACH "
    "BPF_PROG_DETACH BPF_PROG_TEST_RUN BPF_PROG_GET_NEXT_ID BPF_MAP_GET_NEXT_ID "
    "BPF_PROG_GET_FD_BY_ID BPF_MAP_GET_FD_BY_ID BPF_OBJ_GET_INFO_BY_FD BPF_PROG_QUERY "
    "BPF_RAW_TRACEPOINT_OPEN BPF_BTF_LOAD BPF_LINK_CREATE BPF_LINK_UPDATE BPF_ITER_CREATE "
    "BPF_PROG_BIND_MAP",
}
# aarch64's own values (the kernel's arch/arm64/include/uapi/asm/fcntl.h).
OTHER = {
    "aarch64": {
        "open_flags": {
            "O_DIRECTORY": 0o40000,
            "O_NOFOLLOW": 0o100000,
            "O_DIRECT": 0o200000,
            "O_LARGEFILE": 0o400000,
            "O_TMPFILE": 0o20040000,
        }
    }
}
# The first of two names for one value is the one that is shown.
FIRST = (
    "SIGABRT",
    "SIGIO",
    "AF_UNIX",
    "AF_NETLINK",
    "SIGCHLD",
    "O_NONBLOCK",
    "TIOCINQ",
    "FIONREAD",
    "CLOCK_REALTIME",
    "F_GETLK",
    "F_SETLK",
    "F_SETLKW",
    "SOL_IP",
    "SOL_TCP",
)

Row = tuple[str, int, int]


def _mask(spec: Spec, name: str, value: int) -> int:
    for pattern, mask in spec.fields.items():
        if re.search(pattern, name):
            return mask
    if not spec.bits:
        return INT
    return value or ALL


def build() -> dict[str, tuple[bool, bool, tuple[Row, ...]]]:
    """(made of flags, shown, rows of name, value, mask) of each family, in the order to show."""
    found = {}
    for name, spec in FAMILIES.items():
        table: dict[str, int] = {}
        for header in spec.headers:  # one at a time: the kernel's and the C library's collide
            names = [
                macro
                for macro in headers.macros([header])
                if re.search(spec.pattern, macro)
                and not re.search(spec.drop, macro)
                and macro not in table
            ]
            if header == spec.headers[0]:
                names += ENUMERATIONS.get(name, "").split()
            table |= headers.values([header], names) if names else {}
        table |= spec.extra
        rows = [(n, v & ALL, _mask(spec, n, v)) for n, v in table.items()]
        # Fields before flags, and the wider before the narrower, so that O_SYNC is not shown as
        # O_DSYNC and a rest.
        order = {n: (v == m, -m.bit_count()) if spec.bits else (False, 0) for n, v, m in rows}
        rows.sort(key=lambda row: (order[row[0]], row[1], row[0] not in FIRST, row[0]))
        if not rows:
            raise SystemExit(f"families.py: nothing matches {name}")
        found[name] = (spec.bits, spec.shown, tuple(rows))
    return found
