"""The machine around us: kernel, container, filters in force, limits (proc(5)).

These are read, not tried; what follows from them is tried elsewhere.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import struct
from pathlib import Path

from injector.linux import procfs, yama
from injector.linux.probe.finding import Finding, State
from injector.words.syscalls import AARCH64, X86_64, native

_RUNTIMES = re.compile(r"docker|kubepods|containerd|libpod|podman|lxc|crio|garden|nspawn")
_ENOUGH_FDS = 1024


def read(path: str) -> str:
    """Return a file's text without the blanks around it, "" if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def status(field: str, pid: int | str = "self") -> str:
    """Return a field of /proc/PID/status, "" if this kernel has none such (proc_pid_status(5))."""
    for line in read(f"/proc/{pid}/status").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    return ""


def in_user_namespace() -> bool:
    """Return whether user ids are mapped here (user_namespaces(7)): capabilities end there."""
    return read("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"])


def supported() -> bool:
    """Return whether the tables and this Python fit the machine: 64 bits, x86_64 or aarch64."""
    try:
        return native() in (X86_64, AARCH64) and struct.calcsize("P") == 8
    except LookupError:
        return False


def container_hints() -> tuple[str, ...]:
    """Return what speaks for a container.

    Docker leaves /.dockerenv, podman /run/.containerenv; systemd's "Container Interface" asks
    managers to set `container` for process 1; cgroup names often carry the runtime's.
    """
    hints = [path for path in ("/.dockerenv", "/run/.containerenv") if Path(path).exists()]
    if name := os.environ.get("container"):  # noqa: SIM112 - its name is in small letters
        hints.append(f"container={name}")
    for path in ("/proc/self/cgroup", "/proc/1/cgroup"):
        if found := _RUNTIMES.search(read(path)):
            hints.append(f"{found[0]} in {path}")
            break
    return tuple(hints)


def allowance(option: str, instead: str = "") -> str:
    """Return the remedy for what a container or sandbox forbids: its `option`, or `instead`."""
    allow = (
        f"start the container with {option}"
        if container_hints()
        else "run outside of the sandbox that forbids it, or on a kernel that has it"
    )
    return f"{allow}, or {instead}" if instead else allow


def tracing(instead: str = "") -> str:
    """Return the remedy for a refusal of ptrace's rights: Yama, a container or a sandbox."""
    return yama.here().remedy_for_children() or allowance("--cap-add=SYS_PTRACE", instead)


def kernel() -> Finding:
    """Say kernel and architecture (uname(2)); the version alone proves nothing."""
    name = os.uname()
    summary = f"Linux {name.release} on {name.machine}, {platform.architecture()[0]} Python"
    if supported():
        return Finding("kernel", State.OK, summary)
    return Finding(
        "kernel",
        State.MISSING,
        f"{summary}: not supported",
        "The tables of system calls are for x86_64 and aarch64, used by a 64-bit Python.",
        "run inject on such a machine, with a 64-bit Python",
    )


def processes() -> Finding:
    """Say whether /proc shows our processes by their numbers (pid_namespaces(7))."""
    wrong = procfs.amiss()
    if wrong:
        detail = "What a call means is looked up there: its process, path and descriptors."
        return Finding("proc", State.MISSING, wrong, detail, procfs.REMEDY)
    return Finding("proc", State.OK, "/proc is that of our pid namespace")


def container() -> Finding:
    """Say what speaks for a container, see `container_hints`, and for a user namespace."""
    hints = list(container_hints())
    if in_user_namespace():
        hints.append("a user namespace")
    if not hints:
        return Finding("container", State.OK, "no sign of one")
    return Finding(
        "container",
        State.INFO,
        f"probably in one: {', '.join(hints)}",
        "Runtimes forbid some calls: what is forbidden here is said below, each with the option "
        "that allows it.",
    )


def under_filter() -> Finding:
    """Say whether seccomp filters are in force here (Seccomp, Seccomp_filters: proc_pid_status(5)).

    seccomp(2): of several filters' answers the most severe counts, so theirs can hide ours.
    """
    mode, count = status("Seccomp"), status("Seccomp_filters")
    if mode == "2":
        several = f"{count} seccomp filters are" if count not in ("", "1") else "a filter is"
        return Finding(
            "own-filters",
            State.INFO,
            f"{several} in force here, and in every target",
            "A call which they refuse is refused before a rule of the notify engine sees it.",
        )
    if mode == "0":
        return Finding("own-filters", State.OK, "no seccomp filter is in force here")
    return Finding("own-filters", State.INFO, "cannot be told: /proc/self/status has no Seccomp")


def open_files() -> Finding:
    """Say RLIMIT_NOFILE (getrlimit(2)): one descriptor is held per process of the target."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}"
    if soft == resource.RLIM_INFINITY or soft >= _ENOUGH_FDS:
        shown = "no limit" if soft == resource.RLIM_INFINITY else f"{soft} ({most})"
        return Finding("open-files", State.OK, shown)
    return Finding(
        "open-files",
        State.LIMITED,
        f"only {soft} descriptors ({most})",
        "inject holds a descriptor or two per process of the target.",
        f"ulimit -n {_ENOUGH_FDS if hard == resource.RLIM_INFINITY else min(_ENOUGH_FDS, hard)}",
    )


def pid_max() -> Finding:
    """Say from where thread ids start again (proc_sys_kernel(5), pid_max)."""
    text = read("/proc/sys/kernel/pid_max")
    return Finding(
        "pid-max",
        State.INFO if text else State.LIMITED,
        f"thread ids are used again after {text}" if text else "cannot be read",
        "The journal names tasks by lineage, which is never used again.",
    )
