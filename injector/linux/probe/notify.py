"""Whether seccomp user notification is to be had, and how well (seccomp(2), seccomp_unotify(2)).

Every answer is tried in a forked child; a kernel's version is never asked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from injector.linux import libc, seccomp
from injector.linux.probe.filters import (
    ANSWER,
    PROBED,
    RET_USER_NOTIF,
    call_probed,
    install,
    program,
)
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.host import allowance, tracing
from injector.linux.probe.trial import Attempt, Channel, Child, attempt, describe, number
from injector.linux.slate import Slate

_GET_NOTIF_SIZES = 3
_SIZES = (80, 24, 64)  # struct seccomp_notif, seccomp_notif_resp, seccomp_data


def _listen(channel: Channel) -> None:
    # The number that the kernel gives to the listener is the lowest free one.
    lowest = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.close(lowest)
    listener, needed = install(program(PROBED, RET_USER_NOTIF), seccomp.NEW_LISTENER)
    channel.tell(listener=listener, lowest=lowest, no_new_privs=needed)
    while (order := channel.hear()) is not None:
        if "give" in order:
            channel.give(listener)
            continue
        try:
            channel.tell(value=call_probed())
        except OSError as error:
            channel.tell(failed=error.errno)


def _converse(channel: Channel) -> None:
    with Child(_listen) as target:
        told = target.expect()
        channel.tell(listening=True, predicted=told["lowest"] == told["listener"])
        channel.tell(**_pidfd_getfd(target.pid, told["listener"]))
        target.tell(give=True)
        listener = seccomp.Listener(target.take(), Slate())
        channel.tell(sync_wake_up=listener.sync_wake_up)

        target.tell(call=1)
        cookie, tid, _, call, *_ = listener.receive()
        channel.tell(
            named=(tid, call) == (target.pid, number(PROBED)), valid=listener.valid(cookie)
        )
        listener.proceed(cookie)
        channel.tell(proceeded=target.expect().get("value") == os.getpgid(target.pid))

        target.tell(call=2)
        listener.reply(listener.receive()[0], 0, ANSWER)
        channel.tell(failed=target.expect().get("failed") == ANSWER)


def _pidfd_getfd(pid: int, fd: int) -> dict[str, int]:
    """Return errno of pidfd_open(2) and of pidfd_getfd(2), 0 where it worked."""
    try:
        pidfd = libc.syscall(number("pidfd_open"), pid, 0)
    except OSError as error:
        return {"pidfd_open": error.errno or 0}
    try:
        os.close(libc.pidfd_getfd(pidfd, fd))
    except OSError as error:
        return {"pidfd_open": 0, "pidfd_getfd": error.errno or 0}
    finally:
        os.close(pidfd)
    return {"pidfd_open": 0, "pidfd_getfd": 0}


def notification() -> tuple[Finding, ...]:
    """Hold a whole conversation over a listener: seccomp_unotify(2).

    A child installs a filter with a listener; one of its calls is answered CONTINUE, one with an
    error, and the child says what it saw. The listener is taken by pidfd_getfd(2) as `inject run`
    does, and by SCM_RIGHTS for the rest of the trial, so that one missing does not hide the other.
    """
    tried = attempt(_converse)
    return (_user_notification(tried), _sync_wake_up(tried), *_pidfds(tried))


def _user_notification(tried: Attempt) -> Finding:
    topic = "user-notification"
    if tried.ok and all(tried[fact] for fact in ("named", "valid", "proceeded", "failed")):
        return Finding(
            topic, State.OK, "one call was let through, one was failed with ENOSPC; both were seen"
        )
    if tried.errno == errno.EBUSY and not tried["listening"]:
        return Finding(
            topic,
            State.MISSING,
            "another supervisor listens to this process already (EBUSY)",
            "Linux allows one listener per tree of filters. Some container managers and sandboxes "
            "have one, and so has another inject.",
            "use --engine ptrace, or run outside of it",
        )
    if not tried["listening"]:
        return Finding(
            topic,
            State.MISSING,
            f"no listener can be had ({tried.why})",
            "It needs Linux 5.5 or newer, and seccomp(2) not forbidden by a container.",
            allowance("--security-opt seccomp=unconfined", "use --engine ptrace"),
        )
    facts = ", ".join(f"{fact}: {tried[fact]}" for fact in ("named", "proceeded", "failed"))
    return Finding(
        topic,
        State.MISSING,
        f"a listener is there, but does not answer right ({tried.why or facts})",
        remedy="use --engine ptrace",
    )


def _sync_wake_up(tried: Attempt) -> Finding:
    topic = "sync-wake-up"
    if tried["sync_wake_up"] is None:
        return Finding(topic, State.INFO, "could not be tried, there is no listener")
    if tried["sync_wake_up"]:
        return Finding(topic, State.OK, "caller and injector share a core: fast answers")
    return Finding(
        topic,
        State.LIMITED,
        "not in this kernel: a named call takes about five times as long",
        "SECCOMP_IOCTL_NOTIF_SET_FLAGS came with Linux 6.6; without it each answer wakes "
        "another core.",
        "taskset -c 0 inject run ... gives most of it back, on one core",
    )


def _pidfds(tried: Attempt) -> tuple[Finding, ...]:
    opened, fetched = tried["pidfd_open"], tried["pidfd_getfd"]
    if opened is None:
        return (
            _simple_pidfd_open(),
            Finding("pidfd-getfd", State.INFO, "could not be tried, there is no listener"),
        )
    first = (
        Finding("pidfd-open", State.OK, "works")
        if opened == 0
        else _no_pidfd_open(describe(opened))
    )
    if fetched == 0:
        return first, Finding("pidfd-getfd", State.OK, "the listener was taken from a child")
    why = describe(fetched) if fetched else "there is no pidfd"
    return first, Finding(
        "pidfd-getfd",
        State.MISSING,
        f"the listener cannot be taken from the target ({why})",
        "pidfd_getfd(2) asks for the rights of ptrace. Docker and containerd allow it only with "
        "CAP_SYS_PTRACE; Yama may forbid it.",
        tracing("use --engine ptrace"),
    )


def _simple_pidfd_open() -> Finding:
    try:
        os.close(libc.syscall(number("pidfd_open"), os.getpid(), 0))
    except OSError as error:
        return _no_pidfd_open(describe(error.errno or 0))
    return Finding("pidfd-open", State.OK, "works")


def _no_pidfd_open(why: str) -> Finding:
    return Finding(
        "pidfd-open",
        State.MISSING,
        f"processes cannot be held by a descriptor ({why})",
        "pidfd_open(2) came with Linux 5.3; an old container runtime may forbid it.",
        allowance("--security-opt seccomp=unconfined", "use --engine ptrace"),
    )


def _wait_killable(channel: Channel) -> None:
    flags = seccomp.NEW_LISTENER | seccomp.WAIT_KILLABLE_RECV
    install(program(PROBED, RET_USER_NOTIF), flags)


def wait_killable() -> Finding:
    """Install a listener with SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (seccomp(2), Linux 5.19)."""
    topic = "wait-killable"
    tried = attempt(_wait_killable)
    if tried.ok:
        return Finding(topic, State.OK, "a signal does not break off a call that is being decided")
    if tried.errno != errno.EINVAL:
        return Finding(topic, State.INFO, f"could not be tried ({tried.why})")
    return Finding(
        topic,
        State.LIMITED,
        "not in this kernel: a signal breaks off a call that is being decided",
        "The call is then made again, and counted once. Programs with a storm of signals (Go) "
        "become slow.",
        "use --engine ptrace if a Go program makes no progress",
    )


def _sizes(channel: Channel) -> None:
    sizes = ctypes.create_string_buffer(6)
    libc.syscall(number("seccomp"), _GET_NOTIF_SIZES, 0, ctypes.addressof(sizes))
    channel.tell(sizes=struct.unpack("=3H", sizes.raw))


def notif_sizes() -> Finding:
    """Ask for the sizes of the kernel's structures (seccomp(2), SECCOMP_GET_NOTIF_SIZES)."""
    topic = "notif-sizes"
    tried = attempt(_sizes)
    if not tried.ok:
        return Finding(topic, State.LIMITED, f"cannot be asked for ({tried.why})")
    sizes = tuple(tried["sizes"])
    if sizes == _SIZES:
        return Finding(topic, State.OK, "notification, answer, data: 80, 24, 64 bytes, as known")
    return Finding(
        topic,
        State.LIMITED,
        f"{sizes[0]}, {sizes[1]}, {sizes[2]} bytes, where 80, 24, 64 are known",
        "This kernel is newer than this inject.",
        "see whether user-notification works; if not, update inject or use --engine ptrace",
    )
