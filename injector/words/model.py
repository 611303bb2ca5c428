"""The words of the product as frozen values: Scenario, Rule, Match, When, Fault.

What the user wrote, checked and resolved, and nothing else: no I/O, no clock, no
counting. `injector.rules` compiles these into predicates and counters; the
faces print them. Times are integer nanoseconds throughout.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class When:
    """Which occurrences: strace's `first..last+step` (strace(1), "Tampering").

    `3` is When(3, 3, 1), `3+` When(3, None, 1), `3+2` When(3, None, 2),
    `3..9` When(3, 9, 1), `3..9+2` When(3, 9, 2). Occurrences count from 1.
    """

    first: int = 1
    last: int | None = None
    step: int = 1

    def includes(self, occurrence: int) -> bool:
        """Return whether the `occurrence`-th counted call (from 1) is meant."""
        return (
            occurrence >= self.first
            and (self.last is None or occurrence <= self.last)
            and (occurrence - self.first) % self.step == 0
        )

    def __str__(self) -> str:
        if self.last == self.first:
            return str(self.first)
        text = f"{self.first}..{self.last}" if self.last is not None else f"{self.first}+"
        if self.step == 1:
            return text
        return f"{text}{self.step}" if self.last is None else f"{text}+{self.step}"


EVERY = When()


@dataclass(frozen=True, slots=True)
class Globs:
    """Patterns as written: a text matches if some `include` does and no `exclude` does.

    With no `include` given, everything not excluded matches. `*` and `?` stop at
    `/`, `**` does not; a pattern without `/` is compared with the last component.
    In a command line all of them match any character.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join((*self.include, *(f"!{glob}" for glob in self.exclude)))


class FdKind(enum.StrEnum):
    """What stands behind a descriptor."""

    FILE = "file"
    DIR = "dir"
    SOCKET = "socket"
    PIPE = "pipe"
    TTY = "tty"
    DEVICE = "device"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Range:
    """Integers from `low` to `high`, both included; None is open-ended."""

    low: int | None = None
    high: int | None = None

    def __contains__(self, value: int) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class FdSet:
    """Descriptors by number or by kind; either is enough."""

    ranges: tuple[Range, ...] = ()
    kinds: frozenset[FdKind] = frozenset()
    text: str = ""


@dataclass(frozen=True, slots=True)
class AddressPattern:
    """A socket address: IP network and port range, or a Unix path glob.

    `network` is text for ipaddress.ip_network ("" any). `ports` None is any.
    `unix` is a glob for a path or an abstract name written `@name`; with it the
    others are empty.
    """

    network: str = ""
    ports: Range | None = None
    unix: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Masked:
    """`(argument & mask) == value`, or its opposite: flag words and enumerations."""

    mask: int
    value: int
    negated: bool = False


ArgTest: TypeAlias = Masked | Range


@dataclass(frozen=True, slots=True)
class ArgPattern:
    """A test of one argument, by its parameter name as the manual page has it.

    All of `tests` must hold. The position depends on the syscall, so it is found
    when the rule is compiled.
    """

    parameter: str
    tests: tuple[ArgTest, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """A call's name that is the same in the next run: `0.2/openat#3`.

    The `number`-th call of that name that stopped in the task of that lineage; with `onward`
    (`0.2/openat#3+`) all later ones of that task and name too.
    """

    lineage: str
    syscall: str
    number: int
    onward: bool = False

    def __str__(self) -> str:
        return f"{self.lineage}/{self.syscall}#{self.number}{'+' * self.onward}"


@dataclass(frozen=True, slots=True)
class Match:
    """Pure predicate on a Call: which calls a rule is about. All given must hold.

    `syscalls` are resolved names (every architecture's); `syscalls_text` is what
    was written, "" where the `site` says it. `startup` also lets the dynamic loader's own
    calls match, as a `site` does.
    """

    syscalls: frozenset[str]
    syscalls_text: str = ""
    path: Globs | None = None
    process: Globs | None = None
    thread: Globs | None = None
    fd: FdSet | None = None
    address: tuple[AddressPattern, ...] = ()
    args: tuple[ArgPattern, ...] = ()
    caller: Globs | None = None
    startup: bool = False
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Make the call fail. `errnos` are (name, weight); weights are relative."""

    errnos: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Return:
    """Report success with this value, 64 bits wide; the call is not made."""

    value: int


@dataclass(frozen=True, slots=True)
class Short:
    """Transfer at most `bytes`, or that `fraction` (0 < f < 1) of what was asked for."""

    bytes: int | None = None
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Damage the data that is read or written.

    `at` (0..1) chooses the bit that is flipped, or the random bytes; None: a coin does.
    """

    how: Literal["bitflip", "zero", "random"]
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Substitute:
    """Make another syscall instead (strace's `syscall=`)."""

    syscall: str


Outcome: TypeAlias = Fail | Return | Short | Corrupt | Substitute


@dataclass(frozen=True, slots=True)
class Delay:
    """Time before the call goes on, nanoseconds.

    fixed: `low`. uniform: between `low` and `high`. exponential: mean `low`.
    normal: mean `low`, standard deviation `high`, never below 0.
    """

    shape: Literal["fixed", "uniform", "exponential", "normal"]
    low: int
    high: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a call. At least one part is given; they combine."""

    outcome: Outcome | None = None
    call: Literal["skip", "run"] = "skip"
    delay: Delay | None = None
    delay_exit: Delay | None = None
    signal: int | None = None
    kill: Literal["before", "after"] | None = None
    freeze: bool = False
    poke: str = ""  # strace's poke_enter/poke_exit, as written


@dataclass(frozen=True, slots=True)
class Rule:
    """Match + schedule in time + Fault, with a name that is unique in its scenario.

    `probability` is 0..1. `limit` and `when` count within `per`: one task (the
    default), one process, or the whole run. `after` and `until` are nanoseconds
    since the target's start. `family` is the expression that made this rule and others,
    one for each call of its set: for people they are one.
    """

    name: str
    match: Match
    fault: Fault
    when: When = EVERY
    probability: float = 1.0
    limit: int | None = None
    per: Literal["task", "process", "run"] = "task"
    after: int | None = None
    until: int | None = None
    text: str = ""  # the rule in one line, for people
    family: str = field(default="", compare=False)
    place: tuple[int, int] = field(default=(0, 0), compare=False)  # line, column


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seed and rules, checked. `source` says where it came from."""

    rules: tuple[Rule, ...]
    name: str = ""
    about: str = ""
    seed: int | None = None
    source: str = ""
    text: str = ""

    @property
    def matches(self) -> tuple[Match, ...]:
        """What each rule is about."""
        return tuple(rule.match for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Warning:
    """Something in a scenario that is allowed, yet likely not what is wanted.

    `hint` marks advice that only a check shows: a run need not repeat it.
    """

    message: str
    rule: str = ""
    line: int = 0
    column: int = 0
    hint: bool = False
