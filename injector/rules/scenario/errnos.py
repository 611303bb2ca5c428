"""The values of `error`, with weights, and of strace's `poke_enter` and `poke_exit`. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from injector.words.model import Fail

from .fields import Bad, Field, Mistakes, Text
from .values import errno, number

_POKE = re.compile(r"@arg([1-7])=([0-9a-fA-F]*)", re.ASCII)


def parse(found: Field, notes: Mistakes) -> tuple[Fail | None, float | None]:
    """Return the errors with their weights, and the probability if the weights are percentages.

    `ENOSPC`, a list of equals, `ENOSPC@9,EDQUOT@1` or a table `{ENOSPC: 9, EDQUOT: 1}`. Weights
    are relative, but percentages sum to the rule's probability. What is wrong is noted.
    """
    before = len(notes.found)
    weights: dict[str, Fraction] = {}
    percents: list[bool] = []
    for name, weight in _pairs(found, notes):
        try:
            meant = errno(name.text.strip())
        except Bad as error:
            notes.bad(name, error, "error")
            continue
        percent, value = _weight(weight, notes)
        if meant in weights:
            notes.add(name, f"error: {meant} is given twice")
        weights[meant] = value
        percents.append(percent)
    if not weights and len(notes.found) == before:
        notes.add(found.key, "error: has no value", "like ENOSPC, or {ENOSPC: 9, EDQUOT: 1}")
    if any(percents) and not all(percents):
        notes.add(found.key, "error: percentages and plain weights cannot be mixed")
    total = sum(weights.values()) / 100
    if all(percents) and total > 1:
        notes.add(found.key, f"error: the percentages sum to {float(total * 100):g}%, over 100%")
    if len(notes.found) > before:
        return None, None
    fail = Fail(tuple((name, float(value)) for name, value in weights.items()))
    return fail, float(total) if all(percents) else None


def _pairs(found: Field, notes: Mistakes) -> list[tuple[Text, Text | None]]:
    if found.table is None:
        return [_at(item) for item in found.items]
    pairs: list[tuple[Text, Text | None]] = []
    for name, items in found.table:
        if len(items) != 1:
            notes.add(name, f"error: {name.text} takes one weight", "a number or a percentage")
        else:
            pairs.append((name, items[0]))
    return pairs


def _at(item: Text) -> tuple[Text, Text | None]:
    name, sign, weight = item.text.partition("@")
    if not sign:
        return item, None
    line, column = item.place(len(name) + 1)
    return Text(name, item.line, item.column, item.shift), Text(weight, line, column)


def _weight(weight: Text | None, notes: Mistakes) -> tuple[bool, Fraction]:
    if weight is None:
        return False, Fraction(1)
    text = weight.text.strip()
    try:
        value = number(text.removesuffix("%").rstrip())
        if not value:
            raise Bad("a weight of 0 never happens", "leave the error out")
        if not Fraction(1, 10**9) <= value <= 10**9:
            raise Bad(f"{text} is no weight", "weights are relative, 1e-9 to 1e9")
    except Bad as error:
        notes.bad(weight, error, "error")
        value = Fraction(1)
    return text.endswith("%"), value


def poke(text: str) -> str:
    """Check strace's `@arg1=00FF,@arg2=00` and return it; Bad for what strace refuses."""
    seen = set()
    for part in text.split(","):
        match = _POKE.fullmatch(part)
        if match is None:
            raise Bad(f"'{part}' is no data for an argument", "like @arg1=0000DEAD, @arg1 to @arg7")
        if not match[2] or len(match[2]) % 2 or len(match[2]) > 2048:
            raise Bad("the data are 1 to 1024 bytes, two hexadecimal digits each")
        if match[1] in seen:
            raise Bad(f"@arg{match[1]} is given twice")
        seen.add(match[1])
    return text
