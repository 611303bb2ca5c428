"""Become the tracer of all threads of a running process; say why where that cannot be.

ptrace(2), "Attaching and detaching". Which refusal means what is ptrace(2), "Ptrace access
mode checking", and Documentation/admin-guide/LSM/Yama.rst.
"""

from __future__ import annotations

import os
import pwd
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from injector.linux import procfs, ptrace, yama
from injector.linux.pidfd import zombie
from injector.linux.probe import host
from injector.linux.standin import NAME
from injector.words.errors import InjectError

_PATIENCE = 0.02  # seconds after which a seizing is taken for blocked
_SWEEPS = 20
_PF_KTHREAD = 0x00200000  # linux/sched.h, field 9 of /proc/PID/stat


def require_process(pid: int) -> None:
    """Refuse a number that is no process to attach to, before anything is touched.

    Raises:
        InjectError: it does not exist, is a thread, a kernel thread, a zombie, ourselves, our
            parent, or traced already.
    """
    procfs.require()
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
    if zombie(pid):
        raise InjectError(
            f"{pid} ({name}) has ended; its parent {ids.ppid} ({procfs.comm(ids.ppid)}) has not "
            "waited for it",
        )
    _refuse_traced(pid, f"{pid} ({name}) is")


def seize_all(pid: int, options: int, waited: deque[tuple[int, int]]) -> list[int]:
    """Seize every thread of a process; return their numbers. None of them is stopped.

    A thread that is born meanwhile is seized here or comes by its creator's PTRACE_EVENT_CLONE.

    Args:
        waited: gets what was waited for meanwhile, (task, status) each, of any tracee of ours.

    Raises:
        InjectError: none could be seized.
    """
    for _ in range(_SWEEPS):
        seized, refused = _sweep(pid, options, waited)
        if seized:
            return seized
        # In an execve(2) the leader is dead for a moment, and then another thread.
        time.sleep(_PATIENCE / 4)
    refuse(pid, refused)


def _sweep(
    pid: int, options: int, waited: deque[tuple[int, int]]
) -> tuple[list[int], OSError | None]:
    seized: set[int] = set()
    seen: set[int] = set()
    refused: OSError | None = None
    with reaping(waited) as reaped:
        while fresh := [tid for tid in procfs.threads(pid) if tid not in seen]:
            for tid in fresh:
                seen.add(tid)
                try:
                    ptrace.seize(tid, options)
                    seized.add(tid)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    if is_ours(tid):  # by its creator, or by an execve(2)
                        seized.add(tid)
                    else:  # a leader that has ended, or none that we may trace
                        refused = error
            # A thread that we had not seized may have executed: it has the leader's number now.
            lost = {tid for tid in seized if not is_ours(tid)}
            seized -= lost
            if lost:
                seen = set(seized)
    return sorted(seized - reaped), refused


def is_ours(tid: int) -> bool:
    """Return whether this thread is a task's tracer."""
    return host.status("TracerPid", tid) == str(threading.get_native_id())


@contextmanager
def reaping(waited: deque[tuple[int, int]]) -> Iterator[set[int]]:
    """Reap the dead meanwhile; yield who they are.

    A thread's execve holds what PTRACE_SEIZE waits for, until those of its siblings that we
    seized already are reaped; and no signal ends that wait. A wait for the dead alone takes
    stops of tracees too (wait_task_stopped of kernel/exit.c), so all are kept for who serves them.
    """
    reaped: set[int] = set()
    done = threading.Event()

    def reap() -> None:
        while not done.wait(_PATIENCE):
            while (found := ptrace.poll())[0]:
                waited.append(found)
                if isinstance(ptrace.decode(found[1]), ptrace.Ended):
                    reaped.add(found[0])

    helper = threading.Thread(target=reap, name="reaper", daemon=True)
    helper.start()
    try:
        yield reaped
    finally:
        done.set()
        helper.join()


def _refuse_traced(pid: int, what: str) -> None:
    tracer = int(host.status("TracerPid", pid) or 0)
    if not tracer:
        return
    name = procfs.comm(tracer)
    raise InjectError(
        f"{what} traced already, by {name} ({tracer})",
        help="`inject run` launched it under ptrace and let it go: its filter needs this tracer "
        "as long as it lives; start it anew"
        if name == NAME
        else f"a process has one tracer; end {tracer} first, or let it detach",
    )


def refuse(pid: int, error: OSError | None, call: str = "", instead: str = "") -> NoReturn:
    """Explain why a process cannot be seized.

    Args:
        error: what the kernel said, None where that is not known.
        call: what was refused, if not PTRACE_SEIZE but something with its conditions.
        instead: what else can be done where that alone is forbidden.

    Raises:
        InjectError: always.
    """
    if error is None or procfs.ids(pid) is None:
        raise InjectError(f"process {pid} ended while it was attached to")
    what = f"cannot attach to {pid} ({procfs.comm(pid)})"
    _refuse_traced(pid, f"{what}: it is")
    owner = int((host.status("Uid", pid) or "0").split()[0])
    rule = yama.here()
    capable = rule.exempt
    if not capable and owner != os.geteuid():
        raise InjectError(
            f"{what}: it belongs to {_user(owner)}", help="run inject as that user, or as root"
        )
    if rule.forbids_others:
        raise InjectError(f"{what}: {rule}", help=rule.remedy_for_others())
    theirs = _namespace(pid)
    # Our capabilities end with our own namespace (user_namespaces(7)): one around it may not
    # even be looked at.
    around = capable and not theirs and host.in_user_namespace()
    if around or (theirs and theirs != _namespace(os.getpid())):
        raise InjectError(
            f"{what}: it runs in another user namespace than we, a container's",
            help="run inject as root outside of containers, or inside of that one",
        )
    if not capable and not theirs:
        raise InjectError(
            f"{what}: it is protected (setuid, or PR_SET_DUMPABLE is 0, prctl(2))",
            help="run inject as root",
        )
    said = f"{call}: {error.strerror}" if call else error.strerror
    raise InjectError(f"{what}: {said}", help=host.tracing(instead))


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _namespace(pid: int) -> str:
    """Return the user namespace, "" where it may not be looked at."""
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""
