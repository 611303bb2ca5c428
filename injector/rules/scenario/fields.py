"""What the user wrote for one rule, before it means anything: keys, texts and their places.

YAML files and one-line rules are both read into these, so that one builder serves both. Pure;
nothing here knows what a key means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from injector.words.errors import Mistake

MATCH_KEYS = ("syscalls", "site", "path", "process", "thread", "fd", "address", "args", "caller")
TIME_KEYS = ("when", "probability", "limit", "per", "after", "until", "during")
EFFECT_KEYS = ("error", "retval", "call", "short", "corrupt", "delay", "signal", "kill", "freeze")
STRACE_KEYS = ("delay_exit", "substitute", "poke_enter", "poke_exit")
"""What only strace's expressions ask for, under names that also the scenario takes."""
KEYS = ("name", *MATCH_KEYS, *TIME_KEYS, *EFFECT_KEYS, *STRACE_KEYS)
"""Every key of a rule, in the order of the manual."""

# Words people bring from other tools, where the letters alone would not lead to ours.
_KNOWN_AS = {
    "errno": "error",
    "action": "error",
    "filename": "path",
    "file": "path",
    "files": "path",
    "calls": "syscalls",
    "syscall": "syscalls",
    "function": "caller",
    "delay_enter": "delay",
    "latency": "delay",
    "sleep": "delay",
    "chance": "probability",
    "percent": "probability",
    "rate": "probability",
    "count": "limit",
    "times": "limit",
    "max": "limit",
    "return": "retval",
    "comm": "process",
    "exe": "process",
    "tid": "thread",
    "host": "address",
    "port": "address",
    "peer": "address",
    "startup": "during",
    "start": "after",
    "stop": "freeze",
    "from": "after",
    "to": "until",
}


class Bad(ValueError):
    """A text that does not mean what its key needs.

    Args:
        message: what is wrong, without the place.
        help: what to write instead, or "".
        offset: where in the text, characters from 0.
    """

    def __init__(self, message: str, help: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the place of its first character, from 1; 0 where it has none.

    `shift` is the number of characters in the source before the text proper (a quote);
    None when the source is spelled otherwise than the text, so that columns cannot be told.
    """

    text: str
    line: int = 0
    column: int = 0
    shift: int | None = 0

    def place(self, offset: int = 0) -> tuple[int, int]:
        """Return line and column of the character at `offset`."""
        if self.shift is None or not self.line:
            return self.line, self.column
        return self.line, self.column + (self.shift + offset if offset else 0)


@dataclass(slots=True)
class Field:
    """One key with what follows it: texts, or a table of them (`error`, `args`)."""

    key: Text
    items: list[Text] = field(default_factory=list)
    table: list[tuple[Text, list[Text]]] | None = None


@dataclass(slots=True)
class RawRule:
    """The keys of one rule, each at most once, and the place of the rule itself.

    `spoiled` are keys that were given but already refused.
    """

    fields: dict[str, Field]
    place: Text
    spoiled: set[str] = field(default_factory=set)

    def given(self, key: str) -> bool:
        """Return whether the user wrote this key, rightly or wrongly."""
        return key in self.fields or key in self.spoiled


@dataclass(slots=True)
class Mistakes:
    """Collects what is wrong, so that all of it is told at once."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, at: Text, message: str, help: str = "", offset: int = 0) -> None:
        """Note a mistake at a text, `offset` characters into it."""
        line, column = at.place(offset)
        self.found.append(Mistake(message, line, column, help))

    def bad(self, at: Text, error: Bad, what: str = "") -> None:
        """Note a refused text; `what` names its key."""
        prefix = f"{what}: " if what else ""
        self.add(at, prefix + error.message, error.help, error.offset)


def closest(word: str, words: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the word that is written most alike, or ""."""
    import difflib  # only when something is wrong

    candidates = list(words)
    lower = {candidate.lower(): candidate for candidate in reversed(candidates)}
    # Two letters exchanged are one slip of the fingers, but two differences to difflib.
    low = word.lower()
    swapped = (low[:i] + low[i + 1] + low[i] + low[i + 2 :] for i in range(len(low) - 1))
    found = [one for one in swapped if one in lower][:1]
    found = found or difflib.get_close_matches(low, lower, n=1, cutoff=0.6)
    if not found and len(word) >= 3:
        found = sorted((one for one in lower if one.startswith(low)), key=len)[:1]
    return f"; did you mean '{lower[found[0]]}'?" if found else ""


def unknown_key(key: str) -> Bad:
    """Return the refusal of a key that no rule has, with the one that was likely meant."""
    if (meant := _KNOWN_AS.get(key.lower())) is not None:
        hint = f"; did you mean '{meant}'?"
    else:
        hint = closest(key, KEYS)
    return Bad(f"unknown key '{key}'{hint}", "keys of a rule: " + ", ".join(KEYS))
