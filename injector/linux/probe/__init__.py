"""What this machine can do for us, tried and not assumed: `probe()`, and `verdict()` on it.

Every trial runs in a short-lived forked child with a deadline, so that a probe can
neither change nor hang the process that asks. Nothing here prints.
"""

from __future__ import annotations

from injector.linux.probe import blind, filters, host, libraries, notify, processes, trace
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.verdict import Engine, can_run, verdict

__all__ = ["TOPICS", "Engine", "Finding", "State", "can_run", "probe", "verdict"]

TOPICS: dict[str, tuple[str, ...]] = {
    "Machine": ("kernel", "proc", "container", "own-filters", "open-files", "pid-max"),
    "Filters and the notify engine": (
        "seccomp-filter",
        "no-new-privs",
        "user-notification",
        "wait-killable",
        "sync-wake-up",
        "notif-sizes",
        "pidfd-open",
        "pidfd-getfd",
        "pidfd-info",
    ),
    "The target's memory": ("process-vm-readv", "proc-mem"),
    "The ptrace engine": (
        "ptrace-seize",
        "ptrace-syscall-info",
        "ptrace-filter-stop",
        "suspend-seccomp",
        "yama",
        "attach",
    ),
    "Libraries": ("libseccomp", "python-ptrace", "libunwind"),
    "Blind spots": ("io-uring", "vdso", "mapped-files"),
}
"""Every topic, by the heading it belongs under, in the order of `probe()`."""


def probe() -> tuple[Finding, ...]:
    """Try everything and return a Finding per topic, in the order of TOPICS.

    On an architecture without tables only the machine itself is described.
    """
    found = [
        host.kernel(),
        host.processes(),
        host.container(),
        host.under_filter(),
        host.open_files(),
        host.pid_max(),
    ]
    if host.supported():
        found += filters.filters()
        found += notify.notification()
        found += (notify.wait_killable(), notify.notif_sizes(), processes.exit_status())
        found += processes.memory()
        found += trace.tracing()
        found += (trace.yama(), trace.attach())
        found += (libraries.libseccomp(), libraries.python_ptrace(), libraries.libunwind())
        found += (blind.io_uring(), blind.vdso())
        found.append(blind.mapped_files())
    order = [topic for topics in TOPICS.values() for topic in topics]
    return tuple(sorted(found, key=lambda finding: order.index(finding.topic)))
