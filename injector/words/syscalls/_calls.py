"""Architectures, numbers, parameters and groups: what a system call is and how it is called.

The data are the generated modules beside this one. Pure: reads no file, asks no kernel.
"""

import enum
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import _aarch64, _groups, _i386, _x86_64


class Kind(enum.StrEnum):
    """What a parameter is, as far as matching and printing care (section 2 of the manual)."""

    FD = "fd"
    DIRFD = "dirfd"  # a descriptor, or AT_FDCWD: openat(2)
    FDPAIR = "fdpair"  # int[2] that the kernel fills: pipe(2), socketpair(2)
    PATH = "path"
    STRING = "string"  # text that is not looked up as a path: xattr names, symlink's target
    BUFFER = "buffer"  # data that is read or written; its length is another parameter
    IOVEC = "iovec"
    MSGHDR = "msghdr"
    SOCKADDR = "sockaddr"
    SOCKLEN = "socklen"
    SIZE = "size"
    OFFSET = "offset"
    FLAGS = "flags"  # constants that are or-ed
    CHOICE = "choice"  # one of a list of constants (some lists have flags besides)
    MODE = "mode"  # permission bits, shown in octal
    SIGNAL = "signal"
    PID = "pid"
    ID = "id"  # a user's or group's number
    ADDRESS = "address"  # of memory that is managed: mmap(2), brk(2)
    TIME = "time"  # pointer to a time or a duration
    POINTER = "pointer"  # anything else in memory
    INT = "int"
    UINT = "uint"
    LONG = "long"
    ULONG = "ulong"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a call, under the name its manual page gives it."""

    name: str
    kind: Kind
    aliases: tuple[str, ...]
    """The kernel's name for it and other common ones."""
    bits: int
    """How much of the register the kernel looks at on a 64-bit architecture: 32 or 64. An
    architecture of 32 bits has no wider ones: take the lesser of this and `Arch.bits`."""
    signed: bool
    words: str
    """The family of constants it is made of, for `family()`; "" for none."""
    ctype: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a call in the order of the registers."""

    name: str
    parameters: tuple[Parameter, ...]

    def index(self, parameter: str) -> int | None:
        """The position of a parameter; its own name goes before anyone's alias."""
        for position, one in enumerate(self.parameters):
            if one.name == parameter:
                return position
        for position, one in enumerate(self.parameters):
            if parameter in one.aliases:
                return position
        return None

    def first(self, *kinds: Kind) -> int | None:
        """The position of the first parameter of one of these kinds."""
        for position, one in enumerate(self.parameters):
            if one.kind in kinds:
                return position
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Arch:
    """A system call table; `audit` is the AUDIT_ARCH_* that seccomp and ptrace report."""

    name: str
    audit: int
    bits: int
    numbers: Mapping[str, int]
    names: Mapping[int, str]

    def __repr__(self) -> str:
        """Short: the tables are long."""
        return f"Arch({self.name})"


def _arch(name: str, audit: int, bits: int, numbers: dict[str, int]) -> Arch:
    names = {number: call for call, number in numbers.items()}
    return Arch(name, audit, bits, MappingProxyType(numbers), MappingProxyType(names))


# linux/audit.h: the ELF machine | 0x80000000 for 64 bits | 0x40000000 for little endian
X86_64 = _arch("x86_64", 0xC000003E, 64, _x86_64.NUMBERS)
I386 = _arch("i386", 0x40000003, 32, _i386.NUMBERS)
AARCH64 = _arch("aarch64", 0xC00000B7, 64, _aarch64.NUMBERS)
ARCHES: Mapping[int, Arch] = MappingProxyType({a.audit: a for a in (X86_64, I386, AARCH64)})
"""Every architecture known here, by its AUDIT_ARCH value."""

_MACHINES = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}
_MACHINES |= {machine: I386 for machine in ("i386", "i486", "i586", "i686")}


@functools.cache
def native() -> Arch:
    """The architecture of this machine's kernel, by uname(2); LookupError on others."""
    machine = os.uname().machine
    try:
        return _MACHINES[machine]
    except KeyError:
        raise LookupError(f"no system call table for the machine {machine!r}") from None


def compat(arch: Arch) -> tuple[Arch, ...]:
    """The other tables that a process on that kernel can use: i386 on x86_64 (int 0x80)."""
    return (I386,) if arch is X86_64 else ()


def same_on(arch: Arch, name: str) -> tuple[str, ...]:
    """What a user's name stands for there: the call itself if the table has it, and its variants.

    On i386 `mmap` is mmap and mmap2, `newfstatat` is fstatat64. Empty for a name without a
    counterpart, such as `open` on aarch64 (syscalls(2)).
    """
    candidates = (name, *_groups.VARIANTS.get(name, ()))
    return tuple(call for call in candidates if call in arch.numbers)


LIBRARY_NAMES: Mapping[str, str] = MappingProxyType(_groups.LIBRARY_NAMES)
"""Functions of the C library that are not system calls, and the call beneath, for hints."""


@functools.cache
def signature(name: str, arch: Arch | None = None) -> Signature | None:
    """The parameters of a call, as the kernel takes them; None when nothing documents it.

    Some differ by architecture, so give the one the call came from: i386 passes 64-bit values in
    two registers, and clone(2) has its last two in another order. None means x86_64's.
    """
    from . import _signatures

    rows = _signatures.OTHER.get(arch.name, {}).get(name) if arch else None
    if rows is None:
        rows = _signatures.SIGNATURES.get(name)
    if rows is None:
        return None
    parameters = (
        Parameter(own, Kind(kind), aliases, bits, signed, words, ctype)
        for own, kind, aliases, bits, signed, words, ctype in rows
    )
    return Signature(name, tuple(parameters))


GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: frozenset(members) for name, members in _groups.GROUPS.items()}
)
"""The groups by name: strace(1)'s classes, and ours shaped by what one fault would hit."""


def group(name: str) -> frozenset[str] | None:
    """The members of a group, on any architecture, None for none; as the user writes it or bare.

    One `%` is dropped: `%read` is `read`, `%stat` is `stat`, and strace's `%%stat` is all of the
    stat family.
    """
    return GROUPS.get(name.removeprefix("%"))
