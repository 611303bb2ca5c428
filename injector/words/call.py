"""What the rules see of one intercepted system call.

The engines make these; the rules read them. Everything that costs a look at the
target (paths, descriptors, addresses, names) is a method, asked for only by a
rule that needs it. Nothing here does I/O: it is the shape, not the maker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from injector.words.model import FdKind
from injector.words.syscalls import Arch


class Address(NamedTuple):
    """A socket address: IP text and port, or a Unix path (`@name` if abstract)."""

    host: str
    port: int
    unix: str | None = None


class Who(Protocol):
    """The task that makes a call: its lineage, and a place for the decider's own state."""

    @property
    def lineage(self) -> str:
        """Its path in the fork and clone tree."""

    @property
    def process_lineage(self) -> str:
        """The lineage of its process's first task."""

    @property
    def calls(self) -> Mapping[str, int]:
        """How many of its calls have stopped, by name; at a stop that one too."""

    @property
    def lanes(self) -> dict[str, Any]:
        """By syscall name; the decider's own."""


class Call(Protocol):
    """One intercepted system call, valid until it is answered."""

    @property
    def name(self) -> str:
        """The syscall's name on its architecture."""

    @property
    def arch(self) -> Arch:
        """The architecture whose numbers the call used."""

    @property
    def args(self) -> tuple[int, ...]:
        """The six argument registers, unsigned."""

    @property
    def task(self) -> Who:
        """The calling task."""

    @property
    def by_loader(self) -> bool:
        """Whether the dynamic loader made it (the start-up shield)."""

    def elapsed(self) -> int:
        """Nanoseconds since the target's start."""

    def paths(self) -> tuple[str, ...]:
        """Absolute paths it names, and the files behind its descriptors; () if unreadable."""

    def process_names(self) -> tuple[str, ...]:
        """The process's name, executable and command line."""

    def thread_name(self) -> str:
        """The task's own name."""

    def fds(self) -> tuple[int, ...]:
        """The descriptors among its arguments, signed."""

    def fd_kind(self, fd: int) -> FdKind | None:
        """What stands behind a descriptor, None if nothing."""

    def addresses(self) -> tuple[Address, ...]:
        """The call's own socket address, or the peer and bound address of its descriptor."""

    def callers(self) -> tuple[str, ...]:
        """What its call stack goes through: functions and libraries; () if unknown."""
