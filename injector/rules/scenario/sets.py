"""Sets of system calls as users write them: names, %groups, /regexes/, !exclusions.

A name stands for the call and what does its work on other architectures (`mmap` also for
i386's mmap2). Pure.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from injector.words.syscalls import (
    ARCHES,
    GROUPS,
    LIBRARY_NAMES,
    X86_64,
    group,
    same_on,
    syscalls_with,
)

from .fields import Bad, Mistakes, Text, closest

EVERYTHING = frozenset(name for arch in ARCHES.values() for name in arch.numbers)
"""Every call of every architecture."""
OMITTED = "*"
"""How a set is written that is left to the error: every call that can fail so."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The calls of a set; `named` are those written by their own names, with the place."""

    names: frozenset[str]
    named: dict[str, Text]
    text: str


def variants(name: str) -> frozenset[str]:
    """Return a call and its counterparts on every architecture."""
    return frozenset(one for arch in ARCHES.values() for one in same_on(arch, name)) | {name}


def split(text: str) -> list[tuple[str, int]]:
    """Split at commas that are not within /…/; return the parts with their offsets."""
    parts = []
    position = 0
    while position <= len(text):
        match = _PART.match(text, position)
        assert match is not None  # the pattern takes anything, also nothing
        part = match[0].strip()
        parts.append((part, match.start() + len(match[0]) - len(match[0].lstrip())))
        position = match.end() + 1
    return parts


# A regex in slashes, in which \\/ does not end it; or whatever comes before the next comma.
_REGEX = re.compile(r"\s*!?\s*/(?:\\.|[^\\/])*/")
_PART = re.compile(_REGEX.pattern + r"[^,]*|[^,]*")


def end_of_set(text: str) -> int:
    """Return where the set at the start of a one-line rule ends: its first `:` outside /…/."""
    position = 0
    while True:
        regex = _REGEX.match(text, position)
        position = regex.end() if regex else position
        stop = re.compile("[:,]").search(text, position)
        if stop is None or stop[0] == ":":
            return stop.start() if stop else len(text)
        position = stop.end()


def choose(items: Sequence[Text], notes: Mistakes) -> Chosen | None:
    """Return the calls of a set, None if something of it was refused (and noted)."""
    before = len(notes.found)
    included: set[str] = set()
    excluded: set[str] = set()
    named: dict[str, Text] = {}
    parts: list[str] = []
    for item in items:
        for part, offset in split(item.text):
            bare = part.removeprefix("!").lstrip()
            try:
                found = _members(bare)
            except Bad as error:
                at = offset + len(part) - len(bare) + error.offset
                notes.add(item, error.message, error.help, at)
                continue
            (included if bare == part else excluded).update(found)
            if bare == part and bare in EVERYTHING:
                line, column = item.place(offset)
                named.setdefault(bare, Text(bare, line, column))
            parts.append(part.replace(" ", "") if bare[:1] != "/" else part)
    if len(notes.found) > before:
        return None
    if excluded and not included:
        included = set(EVERYTHING)
    names = frozenset(included - excluded)
    if not names:
        notes.add(items[0], "the set of system calls is empty: all of it is excluded")
        return None
    kept = {name: place for name, place in named.items() if name in names}
    return Chosen(names, kept, ",".join(parts))


def failing_with(errnos: Iterable[str]) -> Chosen:
    """Return every call that can fail with one of the errors by its manual page."""
    calls = frozenset(call for errno in errnos for call in syscalls_with(errno))
    return Chosen(frozenset().union(*map(variants, calls)), {}, OMITTED)


def _members(part: str) -> frozenset[str]:
    if not part:
        raise Bad("a system call is missing here", "names, %groups, /regex/ or !exclusions")
    if part == "all":
        return EVERYTHING
    if part == OMITTED:
        raise Bad("* stands alone, for every call that can fail with the error", "or say all")
    if part.startswith("%"):
        found = group(part)
        if found is None:
            hint = closest(part, [f"%{name}" for name in GROUPS])
            raise Bad(f"no group '{part}'{hint}", "see inject list groups")
        return found
    if part.startswith("/"):
        return matching(part)
    if part in EVERYTHING:
        return variants(part)
    raise unknown_call(part)


@functools.lru_cache(maxsize=64)
def matching(part: str) -> frozenset[str]:
    """Return the calls whose whole name `/regex/` matches; Bad for a wrong one or for none."""
    body = part[1:-1]
    if len(part) < 3 or not part.endswith("/"):
        raise Bad("a regex is written between slashes", f"like {part.rstrip('/')}/")
    try:
        pattern = re.compile(body.replace("\\/", "/"))
    except re.error as error:
        raise Bad(f"wrong regex: {error.msg}", offset=1 + (error.pos or 0)) from None
    found = frozenset(name for name in EVERYTHING if pattern.fullmatch(name))
    if not found:
        raise Bad(f"no system call matches {part}", f"the whole name is compared: /.*{body}.*/")
    return found


def unknown_call(name: str) -> Bad:
    """Return the refusal of a name that no architecture has, with the one that was meant."""
    if name.isascii() and name.isdigit() and len(name) < 10:
        known = X86_64.names.get(int(name))
        return Bad(
            f"'{name}' is a number, not the name of a system call",
            f"on x86_64 it is {known}" if known else "see inject list syscalls",
        )
    if (beneath := LIBRARY_NAMES.get(name)) is not None:
        return Bad(
            f"'{name}' is a function of the C library, not a system call; did you mean '{beneath}'?"
        )
    if group(name) is not None:
        return Bad(f"no system call '{name}'; did you mean the group '%{name}'?")
    return Bad(f"no system call '{name}'{closest(name, EVERYTHING)}", "see inject list syscalls")
