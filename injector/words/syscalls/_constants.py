"""Families of constants: what `O_CREAT` means as an argument of openat(2), and back.

A name stands for a value under a mask, because not every constant is a bit: `O_RDONLY` is 0 in
the two bits of the access mode (open(2)), `MAP_PRIVATE` is 2 in the four bits of the sharing
type (mmap(2)), `SEEK_SET` is the whole argument. The table is loaded when first asked for.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ._calls import Arch, signature


@dataclass(frozen=True, slots=True)
class Constant:
    """A name for some bits of an argument: it holds when `arg & mask == value`."""

    name: str
    value: int
    mask: int

    def holds(self, argument: int) -> bool:
        """Whether an argument, as the register has it, carries this constant."""
        return argument & self.mask == self.value


@dataclass(frozen=True, slots=True)
class Family:
    """The constants of one kind of parameter, those to show first first."""

    name: str
    bits: bool
    """Whether several of them can be or-ed into one argument."""
    shown: bool
    """False where a number alone does not tell the name: SO_DEBUG and TCP_NODELAY are both 1."""
    constants: Mapping[str, Constant]

    @property
    def values(self) -> dict[str, int]:
        """The value of each name."""
        return {name: constant.value for name, constant in self.constants.items()}

    def show(self, argument: int) -> str:
        """The argument in words, `O_WRONLY|O_CREAT|0x100000000`; bits without a name in hex."""
        if not self.shown:
            return str(argument)
        words = []
        rest, read = argument, 0
        for constant in self.constants.values():
            # A field is read once: its other values cannot hold, nor can a second name for it.
            if constant.mask & read or not constant.holds(argument):
                continue
            words.append(constant.name)
            rest &= ~constant.mask
            read |= constant.mask
            if not self.bits:
                return constant.name
        if rest or not words:
            words.append(hex(rest) if self.bits and rest else str(rest))
        return "|".join(words)


@functools.cache
def family(name: str, arch: Arch | None = None) -> Family | None:
    """The family of that name, None for none; aarch64 has other values for some of open(2)'s."""
    from . import _words

    found = _words.FAMILIES.get(name)
    if found is None:
        return None
    bits, shown, rows = found
    other = _words.OTHER.get(arch.name, {}).get(name, {}) if arch else {}
    constants = {}
    for word, value, mask in rows:
        if word in other:
            value = mask = other[word]
        constants[word] = Constant(word, value, mask)
    return Family(name, bits, shown, MappingProxyType(constants))


@functools.cache
def families() -> tuple[str, ...]:
    """The names of all families."""
    from . import _words

    return tuple(_words.FAMILIES)


def words_of(syscall: str, parameter: str, arch: Arch | None = None) -> Family | None:
    """The constants that a call's parameter is made of; None when it is a plain number."""
    found = signature(syscall, arch)
    position = found.index(parameter) if found else None
    if found is None or position is None:
        return None
    return family(found.parameters[position].words, arch)
