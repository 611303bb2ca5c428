"""The facts of a session, as it yields them and the journal keeps them.

Each is one line of the journal (docs/journal.md); `as_json` gives its fields.
Times are seconds since the target's start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Header:
    """How the run was started: enough to repeat it.

    `pids` are those that were attached to, `watch` calls that stopped besides those of rules.
    """

    command: tuple[str, ...]
    scenario: dict[str, Any]
    seed: int
    engine: str
    version: str
    kernel: str
    time: str  # ISO 8601, UTC
    cwd: str
    pids: tuple[int, ...] = ()
    watch: tuple[str, ...] = ()
    format: int = FORMAT
    event: str = field(default="header", init=False)


@dataclass(frozen=True, slots=True)
class TaskStart:
    """A thread or process of the target is known."""

    t: float
    task: str
    pid: int
    tid: int
    process: str
    event: str = field(default="task_start", init=False)


@dataclass(frozen=True, slots=True)
class Injection:
    """A decision that is carried out. Written before the target gets the answer.

    `exact` is the fault with every choice made, as a rule for this `site` has it.
    `stack` is the call stack, innermost first, None where nobody asked for it.
    """

    t: float
    site: str
    rule: str
    pid: int
    tid: int
    process: str
    syscall: str
    args: str
    path: str
    fault: str
    result: str
    occurrence: int
    exact: str
    stack: tuple[str, ...] | None = None
    event: str = field(default="injection", init=False)


@dataclass(frozen=True, slots=True)
class Control:
    """Something a person or the injector itself did to the session."""

    t: float
    what: str
    detail: str = ""
    event: str = field(default="control", init=False)


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """A task ended: `exit` status or `signal`, both None where the kernel does not tell."""

    t: float
    task: str
    pid: int
    tid: int
    exit: int | None
    signal: str | None
    process: str
    event: str = field(default="task_end", init=False)


@dataclass(frozen=True, slots=True)
class Footer:
    """How it ended. `outcome` is exit, signal or timeout; `rules` has the counts."""

    t: float
    outcome: str
    status: int | None
    signal: str | None
    rules: tuple[dict[str, Any], ...]
    event: str = field(default="footer", init=False)


Event: TypeAlias = Header | TaskStart | Injection | Control | TaskEnd | Footer


def as_json(event: Event) -> dict[str, Any]:
    """Return the fields of an event, `event` first."""
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    if fields.get("stack", ()) is None:
        del fields["stack"]
    return {"event": fields.pop("event"), **fields}
