"""What every engine gives and takes: a closed set of stops, one answer per call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from injector.engines.call import StoppedCall
from injector.engines.tasks import Task
from injector.rules.decide import Order
from injector.words.model import Corrupt, Fault, Rule, Short, Substitute


@dataclass(frozen=True, slots=True)
class Ordered:
    """A call that waits for the fault that was decided for it."""

    call: StoppedCall
    order: Order


@dataclass(frozen=True, slots=True)
class Completed:
    """A call under a fault that `finishes_late` is over, and waits to return.

    `result` is what it reports, a negative errno or a value; None if its task died in it.
    """

    call: StoppedCall
    order: Order
    result: int | None


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
class Remark:
    """Something a person should know: `io_uring` (the target does its work without system
    calls from now on), `no_new_privs`, `stuck` (a task that cannot be let go yet)."""

    what: str
    task: Task


@dataclass(frozen=True, slots=True)
class Paused:
    """Job control stopped the launched process: whoever waits for us should see that."""


@dataclass(frozen=True, slots=True)
class Woken:
    """Descriptors of the session's own are ready."""

    fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The last task of the target is gone, or let go."""


Stop: TypeAlias = Ordered | Completed | TaskStarted | TaskEnded | Remark | Paused | Woken | Finished


class Engine(Protocol):
    """What a session asks of an engine."""

    @property
    def started(self) -> int:
        """When the target was launched or attached to, time.monotonic_ns()."""

    @property
    def first(self) -> int:
        """The first process's number."""

    @property
    def status(self) -> int | None:
        """The first process's wait status, None while it is not known."""

    @property
    def tasks(self) -> Mapping[int, Task]:
        """The live tasks by their numbers."""

    @property
    def named(self) -> frozenset[str] | None:
        """The calls that are stopped, None for every call."""

    def next(self, decide: Callable[[StoppedCall], Order | None]) -> Stop:
        """Let calls pass until one is decided otherwise or something else happens."""

    def valid(self, call: StoppedCall) -> bool:
        """Return whether the task still waits for its answer."""

    def put_off(self, call: StoppedCall, order: Order) -> None:
        """Take back an Ordered call that is not valid: if it comes again it is Ordered again."""

    def carry_out(self, call: StoppedCall, order: Order) -> None:
        """Answer an Ordered call, after its delay if it has one."""

    def complete(self, call: StoppedCall, order: Order) -> None:
        """Let a Completed call return."""

    def children_changed(self) -> bool:
        """Look after our own children; return whether job control stopped the first process."""

    def release(self) -> None:
        """Answer every delayed call now."""

    def send(self, number: int) -> None:
        """Signal the first process, as if it were us; when it has ended, all that are left."""

    def send_all(self, number: int) -> None:
        """Signal every process of the target."""

    def lacks(self, rule: Rule) -> str:
        """Return why a rule that is added now could not fire, "" if it can."""

    def cannot_leave(self) -> str:
        """Return why the target cannot be let go, "" if it can."""

    def detach(self) -> None:
        """Begin to let the target go; Finished follows."""

    def end(self) -> None:
        """Kill a launched target, let an attached one go; return when that is done."""

    def close(self) -> None:
        """Close every descriptor; the last thing that is asked."""


def finishes_late(fault: Fault) -> bool:
    """Return whether only the end of the call shows what the fault did."""
    return (
        isinstance(fault.outcome, Short | Corrupt | Substitute)
        or (fault.call == "run" and fault.outcome is not None)
        or fault.kill == "after"
        or fault.delay_exit is not None
        or bool(fault.poke)
    )
