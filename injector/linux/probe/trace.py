"""Whether processes can be traced: a child, and one that is none of ours (ptrace(2)).

The tracer is a forked child that waits without a deadline of its own: the trial's ends it.
"""

from __future__ import annotations

import ctypes
import errno
import os

from injector.linux import libc
from injector.linux import yama as yama_rule
from injector.linux.probe import host
from injector.linux.probe.filters import PROBED, RET_TRACE, call_probed, install, program
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.trial import Attempt, Channel, Child, attempt, describe, number

_CONT, _DETACH, _SETOPTIONS = 7, 17, 0x4200
_SEIZE, _INTERRUPT, _GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420E
_O_TRACESECCOMP, _O_EXITKILL, _O_SUSPEND_SECCOMP = 1 << 7, 1 << 20, 1 << 21
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
_SYSCALL_INFO_SECCOMP = 3  # linux/ptrace.h
_WALL = 0x40000000  # wait also for tasks that are not our children
_COULD_NOT = "could not be tried, nothing can be traced"


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    return libc.syscall(number("ptrace"), request, pid, address, data)


def _wait(pid: int) -> int:
    """Return the number of the event the tracee stops with; pass signals on."""
    while True:
        _, status = os.waitpid(pid, _WALL)
        if not os.WIFSTOPPED(status):
            raise ChildProcessError(errno.ECHILD, "the tracee died")
        if status >> 16:
            return status >> 16
        _ptrace(_CONT, pid, 0, os.WSTOPSIG(status))


def _tracee(channel: Channel) -> None:
    try:
        install(program(PROBED, RET_TRACE))
        channel.tell(filtered="")
    except OSError as error:
        channel.tell(filtered=describe(error.errno or 0))
    channel.hear()
    call_probed()


def _trace(channel: Channel) -> None:
    with Child(_tracee) as tracee:
        pid = tracee.pid
        filtered = tracee.expect()["filtered"]
        channel.tell(filtered=filtered, tracer=int(host.status("TracerPid", pid) or 0))
        _ptrace(_SEIZE, pid, 0, _O_EXITKILL | _O_TRACESECCOMP)
        _ptrace(_INTERRUPT, pid)
        channel.tell(stopped=_wait(pid) == _EVENT_STOP)
        channel.tell(suspend=_suspend_seccomp(pid))
        size, _, _ = _syscall_info(pid)
        channel.tell(info=size > 0)
        if filtered:
            return
        _ptrace(_CONT, pid)
        tracee.tell(call=True)
        event = _wait(pid)
        _, kind, call = _syscall_info(pid)
        channel.tell(
            filter_stop=(event, kind, call)
            == (_EVENT_SECCOMP, _SYSCALL_INFO_SECCOMP, number(PROBED))
        )


def _syscall_info(pid: int) -> tuple[int, int, int]:
    """Return the size told, the kind of stop and the call (struct ptrace_syscall_info)."""
    info = ctypes.create_string_buffer(128)
    size = _ptrace(_GET_SYSCALL_INFO, pid, 128, ctypes.addressof(info))
    return size, info.raw[0], int.from_bytes(info.raw[24:32], "little")


def _suspend_seccomp(pid: int) -> str:
    options = _O_EXITKILL | _O_TRACESECCOMP
    try:
        _ptrace(_SETOPTIONS, pid, 0, options | _O_SUSPEND_SECCOMP)
    except OSError as error:
        return describe(error.errno or 0)
    _ptrace(_SETOPTIONS, pid, 0, options)
    return ""


def tracing() -> tuple[Finding, ...]:
    """Seize a child, stop it, ask about the stop, and see it stop at a filter: ptrace(2).

    PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO (Linux 5.3), PTRACE_O_TRACESECCOMP with
    SECCOMP_RET_TRACE (seccomp(2)), PTRACE_O_SUSPEND_SECCOMP (needs CAP_SYS_ADMIN).
    """
    tried = attempt(_trace)
    return (_seize(tried), _info(tried), _filter_stop(tried), _suspend(tried))


def _seize(tried: Attempt) -> Finding:
    topic = "ptrace-seize"
    if tried["stopped"]:
        return Finding(topic, State.OK, "a child was seized and stopped")
    if tracer := tried["tracer"]:
        return Finding(
            topic,
            State.MISSING,
            f"another tracer has our children already: {host.read(f'/proc/{tracer}/comm')}"
            f" ({tracer})",
            "A process has one tracer. inject runs under strace -f, a debugger, or another inject.",
            "run inject outside of it, or strace without -f",
        )
    return Finding(
        topic,
        State.MISSING,
        f"a child cannot be traced ({tried.why})",
        "EPERM: Yama or the filter of a container forbids it.",
        host.tracing("use --engine notify"),
    )


def _info(tried: Attempt) -> Finding:
    topic = "ptrace-syscall-info"
    if tried["info"]:
        return Finding(topic, State.OK, "the kernel describes a stop")
    if not tried["stopped"]:
        return Finding(topic, State.INFO, _COULD_NOT)
    return Finding(
        topic,
        State.MISSING,
        f"the kernel does not describe a stop ({tried.why})",
        "PTRACE_GET_SYSCALL_INFO came with Linux 5.3.",
        "use --engine notify, or a newer kernel",
    )


def _filter_stop(tried: Attempt) -> Finding:
    topic = "ptrace-filter-stop"
    if tried["filter_stop"]:
        return Finding(topic, State.OK, "a filter stopped a child at one call and at no other")
    if not tried["stopped"]:
        return Finding(topic, State.INFO, _COULD_NOT)
    why = tried["filtered"] or tried.why or "it stopped elsewhere"
    return Finding(
        topic,
        State.MISSING,
        f"a filter cannot stop a child ({why})",
        "inject run --engine ptrace stops only at the calls that rules name, by a filter.",
        "use --engine notify, or inject attach, which needs no filter",
    )


def _suspend(tried: Attempt) -> Finding:
    topic = "suspend-seccomp"
    if tried["suspend"] == "":
        return Finding(topic, State.OK, "a target's own filter can be set aside for a call")
    if tried["suspend"] is None:
        return Finding(topic, State.INFO, _COULD_NOT)
    return Finding(
        topic,
        State.LIMITED,
        f"a target's own filter cannot be set aside ({tried['suspend']})",
        "After attaching, an injected error in a sandboxed target may be replaced by that of its "
        "sandbox. It takes CAP_SYS_ADMIN, and no filter over inject itself.",
        "run inject as root, or use --engine notify" if os.geteuid() else "",
    )


def _idle(channel: Channel) -> None:
    channel.tell(ready=True)
    channel.hear()


def _attach(channel: Channel) -> None:
    with Child(_idle) as sibling:
        sibling.expect()

        def tracer(told: Channel) -> None:
            _ptrace(_SEIZE, sibling.pid)
            _ptrace(_INTERRUPT, sibling.pid)
            _wait(sibling.pid)
            _ptrace(_DETACH, sibling.pid)
            told.tell(attached=True)

        with Child(tracer) as other:
            other.expect()
        # It must run on after it was let go.
        sibling.tell(end=True)
        channel.tell(attached="end" in sibling.expect())


def attach() -> Finding:
    """Seize a process that is no descendant of the tracer, and let it go: ptrace(2), Yama.rst."""
    topic = "attach"
    tried = attempt(_attach)
    rule = yama_rule.here()
    if not rule.exempt:
        whose = "your own; those of other users need CAP_SYS_PTRACE"
    else:
        whose = "those of this user namespace" if host.in_user_namespace() else "any user's"
    if tried["attached"]:
        return Finding(topic, State.OK, f"running processes can be attached to ({whose})")
    if rule.scope == 1:
        return Finding(
            topic,
            State.LIMITED,
            f"only to descendants of inject ({tried.why})",
            "Yama's ptrace_scope is 1; inject run is not concerned.",
            rule.remedy_for_others(),
        )
    return Finding(
        topic,
        State.MISSING,
        f"running processes cannot be attached to ({tried.why})",
        "inject attach needs it, with either engine.",
        rule.remedy_for_others() or host.tracing(),
    )


def yama() -> Finding:
    """Say Yama's ptrace_scope and what follows (Documentation/admin-guide/LSM/Yama.rst)."""
    rule = yama_rule.here()
    if not host.read("/proc/sys/kernel/yama/ptrace_scope"):
        return Finding("yama", State.OK, "not in force")
    consequence = (
        "any process of the same user may be traced",
        "only descendants may be traced",
        "only with CAP_SYS_PTRACE may be traced, nor memory read or descriptors taken",
        "nothing may be traced, until the machine restarts",
    )[min(rule.scope, 3)]
    if rule.forbids_others:
        state = State.MISSING if rule.scope == 3 else State.LIMITED
        exempt, detail = "", "inject run adopts what its target leaves behind (getppid(2))"
    else:
        state, detail = State.OK, ""
        exempt = "; CAP_SYS_PTRACE exempts us" if rule.scope else ""
    return Finding(
        "yama",
        state,
        f"ptrace_scope {rule.scope}: {consequence}{exempt}",
        f"{detail}, for else it could not look into it." if rule.only_descendants else "",
        rule.remedy_for_children() or rule.remedy_for_others(),
    )
