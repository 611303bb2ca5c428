"""Calls that must not be failed, calls that are dangerous to fail, and calls that cannot be seen.

Measured with glibc 2.36 by failing every call of small programs, except where a page is named.
"""

from collections.abc import Mapping
from types import MappingProxyType

NEVER: Mapping[str, str] = MappingProxyType(
    {
        "rt_sigreturn": "the return from a signal handler; failing it crashes the program there",
        "sigreturn": "the return from a signal handler; failing it crashes the program there",
        "exit": "a thread cannot end; the C library calls it again for ever",
        "exit_group": "a process cannot end; with threads left it hangs",
        "restart_syscall": "the kernel's own continuation of an interrupted call, not the "
        "program's; fail the call that was interrupted",
        "uretprobe": "the kernel's own return from a probed function, not the program's call",
        "arch_prctl": "sets up thread-local storage; the program cannot start without it",
        "set_thread_area": "sets up thread-local storage; the program cannot start without it",
    }
)
"""Calls that the checker refuses to fail, and why: no program can handle the failure."""

_LOCKS = (
    "the C library aborts on an error it does not expect, and a lost wake-up hangs the program; "
    "only a wait may fail, with EAGAIN, EINTR or ETIMEDOUT (futex(2))"
)
_ABORT = "the C library uses it in abort() and raise(), which then do nothing"
RISKY: Mapping[str, str] = MappingProxyType(
    {
        "futex": _LOCKS,
        "futex_time64": _LOCKS,
        "futex_wait": _LOCKS,
        "futex_waitv": _LOCKS,
        "futex_wake": _LOCKS,
        "futex_requeue": _LOCKS,
        "rt_sigaction": "the handler is not installed, so the signal's default action may kill "
        "the program later, far from the fault",
        "sigaction": "the handler is not installed, so the signal's default action may kill the "
        "program later, far from the fault",
        "rt_sigprocmask": _ABORT,
        "sigprocmask": _ABORT,
        "tgkill": _ABORT,
        "gettid": _ABORT,
        "getpid": _ABORT,
        "clone3": "with ENOSYS the C library falls back to clone, and nothing fails; name clone "
        "too, or use %fork",
        "wait4": "EINTR every time makes most programs loop for ever; give `when` or `probability`",
        "waitid": "EINTR every time makes most programs loop for ever; give `when` or "
        "`probability`",
        "mprotect": "the loader stops the program before it starts, if the fault hits start-up",
        "munmap": "programs do not check it; memory leaks, and nothing else is seen",
        "close": "Linux frees the descriptor even when close fails; without `call: run` it leaks",
        "execve": "the program given to the shell or to a child is not started; the first one "
        "of the run itself is exempt",
        "rseq": "the C library turns restartable sequences off, and nothing fails",
        "set_robust_list": "nothing is seen until a thread dies holding a lock",
    }
)
"""Calls whose failure does what its author rarely means, with what happens."""

VDSO: frozenset[str] = frozenset(
    {"clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres"}
)
"""Calls that programs answer for themselves without entering the kernel (vdso(7)): a rule on
them sees only the rare call that does enter."""

BRK_ALONE = "the C library falls back to mmap, and nothing fails; name mmap too, or use %alloc"
"""What a failure of brk does when mmap goes on."""
