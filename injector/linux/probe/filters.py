"""Whether a seccomp filter can be installed, and if that takes no_new_privs (seccomp(2))."""

from __future__ import annotations

import errno
import struct

from injector.linux import libc, seccomp
from injector.linux.probe.finding import Finding, State
from injector.linux.probe.host import allowance, status
from injector.linux.probe.trial import Attempt, Channel, attempt, number

RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
RET_ERRNO = 0x00050000
_RET_ALLOW = 0x7FFF0000

PROBED = "getpgid"
"""The only call that a filter names here: nothing else in a trial makes it."""
ANSWER = errno.ENOSPC
"""An error that getpgid(2) never gives by itself."""


def program(call: str, action: int) -> bytes:
    """Return the BPF program `action` for this call, ALLOW for others (seccomp(2))."""
    steps = (
        (0x20, 0, 0, 0),  # load seccomp_data.nr
        (0x15, 0, 1, number(call)),  # is it the call?
        (0x06, 0, 0, action),
        (0x06, 0, 0, _RET_ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def install(code: bytes, flags: int = 0) -> tuple[int, bool]:
    """Install a filter in this process; return seccomp(2)'s result, and if it took no_new_privs.

    seccomp(2): EACCES without CAP_SYS_ADMIN and without no_new_privs.
    """
    try:
        return seccomp.install(code, flags), False
    except PermissionError as error:
        if error.errno != errno.EACCES:
            raise
    libc.set_no_new_privs()
    return seccomp.install(code, flags), True


def call_probed() -> int:
    """Make the call that the filters here name."""
    return libc.syscall(number(PROBED), 0)


def _filter(channel: Channel) -> None:
    _, needed = install(program(PROBED, RET_ERRNO | ANSWER))
    channel.tell(no_new_privs=needed)
    try:
        call_probed()
    except OSError as error:
        channel.tell(answered=error.errno == ANSWER)


def filters() -> tuple[Finding, ...]:
    """Install a filter that fails a call: seccomp(2), "SECCOMP_SET_MODE_FILTER".

    Tells also whether no_new_privs was needed, which takes effect at execve(2):
    setuid, setgid and file capabilities are ignored (PR_SET_NO_NEW_PRIVS(2const)).
    """
    tried = attempt(_filter)
    if tried.ok and tried["answered"]:
        support = Finding(
            "seccomp-filter", State.OK, "a filter was installed and failed a call with ENOSPC"
        )
    else:
        support = Finding(
            "seccomp-filter",
            State.MISSING,
            f"no filter can be installed ({tried.why or 'it had no effect'})",
            "EINVAL or ENOSYS: a kernel without CONFIG_SECCOMP_FILTER; EPERM: the filter of a "
            "container or sandbox forbids it.",
            allowance("--security-opt seccomp=unconfined"),
        )
    return support, _no_new_privs(tried)


def _no_new_privs(tried: Attempt) -> Finding:
    topic = "no-new-privs"
    needed = tried["no_new_privs"]
    if needed is None:
        return Finding(topic, State.INFO, "could not be tried, no filter can be installed")
    if status("NoNewPrivs") == "1":
        return Finding(
            topic,
            State.INFO,
            "set here already: setuid programs have no privilege, with inject or without",
        )
    if not needed:
        return Finding(
            topic, State.OK, "not needed: setuid programs in the target keep their privilege"
        )
    return Finding(
        topic,
        State.LIMITED,
        "needed (no CAP_SYS_ADMIN): sudo, su, ping in the target lose their privilege",
        "Setuid and setgid bits and file capabilities have no effect in a program that is started "
        "under inject, and in its children.",
        "if the target needs them, run inject as root",
    )
