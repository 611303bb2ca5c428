"""From findings to what can be done: which engine can run and attach, and what it lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from injector.linux.probe.finding import Finding, State

_NOTIFY = ("kernel", "proc", "seccomp-filter", "user-notification", "pidfd-open", "pidfd-getfd")
_PTRACE = ("kernel", "proc", "ptrace-seize", "ptrace-syscall-info", "python-ptrace")
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "notify": {
        "run": (*_NOTIFY, "libseccomp"),
        "attach": (*_NOTIFY, "libseccomp", "ptrace-seize", "attach"),
    },
    "ptrace": {
        "run": (*_PTRACE, "ptrace-filter-stop", "libseccomp"),
        "attach": (*_PTRACE, "attach"),
    },
}
"""The topics that must be OK for an engine to launch and to attach."""

_MEMORY = ("process-vm-readv", "proc-mem", "open-files", "no-new-privs")
LIMITS: dict[str, tuple[str, ...]] = {
    "notify": (*_MEMORY, "wait-killable", "notif-sizes", "sync-wake-up", "pidfd-info"),
    "ptrace": (*_MEMORY, "suspend-seccomp"),
}
"""The topics without which an engine works, with a loss."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What one engine can do here.

    `lacks` names the topics that keep it from `run` or `attach`; `limits` those that make it
    poorer. `state` is MISSING if it can do neither, OK if it can do both without limits.
    """

    name: str
    state: State
    run: bool
    attach: bool
    lacks: tuple[str, ...]
    limits: tuple[str, ...]


def verdict(findings: Iterable[Finding]) -> tuple[Engine, ...]:
    """Return what each engine can do, in the order in which `--engine auto` tries them."""
    states = {finding.topic: finding.state for finding in findings}
    return tuple(_engine(name, states) for name in NEEDS)


def _engine(name: str, states: dict[str, State]) -> Engine:
    needs = NEEDS[name]
    can = {deed: all(states.get(t) is State.OK for t in needs[deed]) for deed in needs}
    wanted = dict.fromkeys(topic for deed in needs for topic in needs[deed])
    lacks = tuple(topic for topic in wanted if states.get(topic) is not State.OK)
    limits = tuple(
        topic for topic in LIMITS[name] if states.get(topic) in (State.LIMITED, State.MISSING)
    )
    if not any(can.values()):
        state = State.MISSING
    elif lacks or limits:
        state = State.LIMITED
    else:
        state = State.OK
    return Engine(name, state, can["run"], can["attach"], lacks, limits)


def can_run(engines: Iterable[Engine]) -> bool:
    """Return whether `inject run` works with one engine at least."""
    return any(engine.run for engine in engines)
