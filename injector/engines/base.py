"""What every engine gives and takes: a closed set of stops, one answer per call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from injector.engines.call import StoppedCall
from injector.engines.tasks import Task
from injector.rules.decide import Order


@dataclass(frozen=True, slots=True)
class Ordered:
    """A call that waits for the fault that was decided for it."""

    call: StoppedCall
    order: Order


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task of the target is known from now on."""

    task: Task


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task ended. `status` is the process's wait status, None if not to be had.

    `last` says that its process ended with it.
    """

    task: Task
    status: int | None
    last: bool


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """The target begins to use something that does its work without system calls."""

    what: str
    task: Task


@dataclass(frozen=True, slots=True)
class Woken:
    """Descriptors of the session's own are ready."""

    fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The last task of the target is gone."""


Stop: TypeAlias = Ordered | TaskStarted | TaskEnded | BlindSpot | Woken | Finished
