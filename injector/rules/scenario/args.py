"""Tests of a call's arguments by their names in the manual page: what `args` takes.

`O_CREAT|O_WRONLY` is all of these set, `!O_APPEND` not that; numbers, ranges and comparisons
otherwise. Words are looked up in the constants of that parameter. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from injector.words.model import ArgPattern, ArgTest, Masked
from injector.words.syscalls import (
    Arch,
    Constant,
    Kind,
    Parameter,
    family,
    native,
    signature,
)

from .fields import Bad, Mistakes, Text, closest
from .patterns import number_range
from .values import integer

AT_FDCWD = -100  # linux/fcntl.h


def _arch() -> Arch | None:
    try:
        return native()
    except LookupError:
        return None


def _parameters(calls: Iterable[str]) -> Iterator[tuple[str, Parameter]]:
    arch = _arch()
    for call in sorted(calls):
        found = signature(call, arch)
        for parameter in found.parameters if found else ():
            yield call, parameter


def pattern(
    name: Text, items: Sequence[Text], calls: frozenset[str], notes: Mistakes
) -> ArgPattern | None:
    """Return the test of one argument for these calls; None if it was refused (and noted)."""
    everyone = list(_parameters(calls))
    meant = [one for _, one in everyone if name.text == one.name]
    meant += [one for _, one in everyone if name.text in one.aliases]
    if not meant:
        known = sorted({one.name for _, one in everyone})
        hint = closest(name.text, known)
        where = "this call" if len(calls) == 1 else "these calls"
        listed = ", ".join(known[:12]) + (" …" if len(known) > 12 else "")
        help = f"parameters: {listed}" if known else "their parameters are not known"
        notes.add(name, f"no parameter '{name.text}' in {where}{hint}", help)
        return None
    tests: list[ArgTest] = []
    texts: list[str] = []
    before = len(notes.found)
    for item in items:
        text = "".join(item.text.split())
        try:
            tests.append(_test(text, meant))
            texts.append(text)
        except Bad as error:
            notes.bad(item, error)
    if len(notes.found) > before:
        return None
    return ArgPattern(name.text, tuple(tests), ",".join(texts))


def _test(text: str, meant: Sequence[Parameter]) -> ArgTest:
    bare = text.removeprefix("!")
    negated = bare != text
    if negated and bare.startswith("="):
        bare = bare[1:]
    if not bare:
        raise Bad("a value is missing", 'like O_CREAT, !O_APPEND, ">4096", 10..20, 0x1000')
    if (
        any(one.kind is Kind.MODE for one in meant)
        and bare.isascii()
        and bare.lstrip("0").isdigit()
    ):
        bare = _octal(bare)
    if bare == "AT_FDCWD" and any(one.kind is Kind.DIRFD for one in meant):
        bare = str(AT_FDCWD)
    found = number_range(bare)
    if found is None:
        mask, value = _words(bare, meant)
        return Masked(mask, value, negated)
    if not negated:
        return found
    if found.low is None or found.low != found.high:
        raise Bad("! takes one value, not a range", "say the opposite range")
    mask = (1 << max(one.bits for one in meant)) - 1
    return Masked(mask, found.low & mask, negated=True)


def _octal(digits: str) -> str:
    # chmod(2) modes are octal to people, and 644 without a 0 could be either.
    if not digits.startswith("0"):
        raise Bad(f"is mode {digits} octal?", f"say 0{digits}")
    try:
        return hex(int(digits, 8))
    except ValueError:
        raise Bad(f"{digits} is no octal number") from None


def _words(text: str, meant: Sequence[Parameter]) -> tuple[int, int]:
    """Return mask and value of `A|B|0x4`: all of it set."""
    arch = _arch()
    known: dict[str, Constant] = {}
    alone = True
    for parameter in meant:
        constants = family(parameter.words, arch) if parameter.words else None
        if constants is not None:
            alone = alone and not constants.bits
            for word, constant in constants.constants.items():
                known.setdefault(word, constant)
    name = meant[0].name
    parts = text.split("|")
    if len(parts) > 1 and known and alone:
        raise Bad(f"{name} is one value, not flags", "give one, or one rule for each")
    mask = value = 0
    offset = 0
    for part in parts:
        if not part:
            raise Bad("a word is missing beside |", offset=offset)
        bits, setting = _word(part, known, meant[0], offset)
        if (value ^ setting) & mask & bits:
            raise Bad(f"{part} cannot hold together with the words before it", offset=offset)
        mask |= bits
        value |= setting
        offset += len(part) + 1
    return mask, value


def _word(
    part: str, known: dict[str, Constant], parameter: Parameter, offset: int
) -> tuple[int, int]:
    if part[0] in "0123456789":
        bits = integer(part)
        return bits, bits
    if (constant := known.get(part) or known.get(part.upper())) is not None:
        return constant.mask, constant.value
    if not known:
        if parameter.kind in (Kind.PATH, Kind.STRING):
            help = "say `path`" if parameter.kind is Kind.PATH else "texts are not compared"
            raise Bad(f"{parameter.name} is a text; only its address is an argument", help, offset)
        raise Bad(
            f"'{part}' is no number, and {parameter.name} has no words",
            'like 4096, ">4096", 10..20, 0x1000, !=0',
            offset,
        )
    hint = closest(part, known)
    some = ", ".join(list(known)[:10]) + (" …" if len(known) > 10 else "")
    raise Bad(f"no '{part}' for {parameter.name}{hint}", f"words: {some}", offset)
