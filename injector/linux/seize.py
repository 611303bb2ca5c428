"""Become the tracer of all threads of a running process; say why where that cannot be.

ptrace(2), "Attaching and detaching". Which refusal means what is ptrace(2), "Ptrace access
mode checking", and Documentation/admin-guide/LSM/Yama.rst.
"""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from injector.linux import procfs, ptrace
from injector.linux.probe import host
from injector.words.errors import InjectError

_PATIENCE = 0.02  # seconds after which a seizing is taken for blocked
_PF_KTHREAD = 0x00200000  # linux/sched.h, field 9 of /proc/PID/stat


def require_process(pid: int) -> None:
    """Refuse a number that is no process to attach to, before anything is touched.

    Raises:
        InjectError: it does not exist, is a thread, a kernel thread, a zombie, ourselves, our
            parent, or traced already.
    """
    ids = procfs.ids(pid)
    if ids is None:
        raise InjectError(
            f"there is no process {pid}",
            help="`pgrep -a NAME` finds numbers; one in a container needs the number it has here",
        )
    name = procfs.comm(pid)
    if ids.tgid != pid:
        raise InjectError(
            f"{pid} is a thread of process {ids.tgid} ({procfs.comm(ids.tgid)})",
            help=f"inject attach {ids.tgid} takes all its threads; `thread:` in a rule picks some",
        )
    if pid == os.getpid():
        raise InjectError(f"{pid} is inject itself", help="give the number of another process")
    if pid == os.getppid():
        raise InjectError(
            f"{pid} ({name}) is our parent: stopped, it could not read what we say",
            help="attach to it from another terminal",
        )
    if pid == 2 or procfs.flags(pid) & _PF_KTHREAD:
        raise InjectError(
            f"{pid} ({name}) is a kernel thread: it makes no system calls",
            help="attach to a process; `ps -e` shows kernel threads in brackets",
        )
    if procfs.state(pid) == "Z" and len(procfs.threads(pid)) < 2:
        raise InjectError(
            f"{pid} ({name}) has ended; its parent {ids.ppid} ({procfs.comm(ids.ppid)}) has not "
            "waited for it",
        )
    tracer = int(host.status("TracerPid", pid) or 0)
    if tracer:
        raise InjectError(
            f"{pid} ({name}) is traced already, by {procfs.comm(tracer)} ({tracer})",
            help=f"a process has one tracer; end {tracer} first, or let it detach",
        )


def seize_all(pid: int, options: int) -> list[int]:
    """Seize every thread of a process; return their numbers. None of them is stopped.

    A thread that is born meanwhile is seized here or comes by its creator's PTRACE_EVENT_CLONE.

    Raises:
        InjectError: none could be seized.
    """
    seized: list[int] = []
    seen: set[int] = set()
    refused: OSError | None = None
    with _reaping() as reaped:
        while fresh := [tid for tid in procfs.threads(pid) if tid not in seen]:
            for tid in fresh:
                seen.add(tid)
                try:
                    ptrace.seize(tid, options)
                    seized.append(tid)
                except ProcessLookupError:
                    continue
                except OSError as error:  # ours already, or a leader that has ended
                    refused = error
    alive = [tid for tid in seized if tid not in reaped]
    if not alive:
        raise _refusal(pid, refused)
    return alive


@contextmanager
def _reaping() -> Iterator[set[int]]:
    """Reap the dead meanwhile.

    A thread's execve holds what PTRACE_SEIZE waits for, until those of its siblings that we
    seized already are reaped; and no signal ends that wait.
    """
    reaped: set[int] = set()
    done = threading.Event()

    def reap() -> None:
        while not done.wait(_PATIENCE):
            while True:
                try:
                    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | ptrace.WALL)
                except ChildProcessError:
                    break
                if found is None:
                    break
                reaped.add(found.si_pid)

    helper = threading.Thread(target=reap, name="reaper", daemon=True)
    helper.start()
    try:
        yield reaped
    finally:
        done.set()
        helper.join()


def _refusal(pid: int, error: OSError | None) -> InjectError:
    """Explain why a process cannot be seized."""
    if error is None or procfs.ids(pid) is None:
        return InjectError(f"process {pid} ended while it was attached to")
    what = f"cannot attach to {pid} ({procfs.comm(pid)})"
    tracer = int(host.status("TracerPid", pid) or 0)
    if tracer:
        return InjectError(
            f"{what}: it is traced already, by {procfs.comm(tracer)} ({tracer})",
            help=f"a process has one tracer; end {tracer} first, or let it detach",
        )
    owner = int((host.status("Uid", pid) or "0").split()[0])
    scope = host.yama_scope()
    capable = host.capable(host.CAP_SYS_PTRACE)
    if not capable and owner != os.geteuid():
        return InjectError(
            f"{what}: it belongs to {_user(owner)}", help="run inject as that user, or as root"
        )
    if scope == 3:
        return InjectError(
            f"{what}: Yama's ptrace_scope is 3, nothing may be traced", help=host.tracing()
        )
    if scope and not capable:
        whom = "only descendants" if scope == 1 else "nothing without CAP_SYS_PTRACE"
        return InjectError(
            f"{what}: Yama's ptrace_scope is {scope}, {whom} may be traced",
            help="sudo sysctl kernel.yama.ptrace_scope=0, or run inject attach as root; "
            "inject run needs neither",
        )
    if _namespace(pid) != _namespace(os.getpid()):
        return InjectError(
            f"{what}: it runs in another user namespace, a container",
            help="run inject as root outside of containers, or inside of that one",
        )
    if not capable:
        return InjectError(
            f"{what}: it is protected (setuid, or PR_SET_DUMPABLE is 0, prctl(2))",
            help="run inject as root",
        )
    return InjectError(f"{what}: {error.strerror}", help=host.tracing())


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""
