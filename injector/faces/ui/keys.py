"""The keys: what a terminal sends, turned into names, and the one table of what each does.

The footer, the help and docs/dashboard.md are made from the table.
"""

from __future__ import annotations

import codecs
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


class Place(enum.Enum):
    """Where a key has a meaning: a pane that has the focus, or what lies over the panes."""

    RULES = "rules"
    INJECTIONS = "injections"
    CALLS = "calls"
    TASKS = "tasks"
    OUTPUT = "output"
    TYPING = "typing"
    EDIT = "edit"
    DETAILS = "details"
    HELP = "help"


PANES = (Place.RULES, Place.INJECTIONS, Place.CALLS, Place.TASKS, Place.OUTPUT)


class Do(enum.Enum):
    """What a key does."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    FIRST = "first"
    LAST = "last"
    NEXT = "next pane"
    PREVIOUS = "previous pane"
    DETAILS = "details"
    ADD = "add"
    ADD_FOR = "add for a call"
    TOGGLE = "toggle"
    RAISE = "raise"
    LOWER = "lower"
    FIRE = "fire"
    REMOVE = "remove"
    PAUSE = "pause"
    FREEZE = "freeze"
    FILTER = "filter"
    SAVE = "save"
    TYPE = "type"
    TYPED = "stop typing"
    INTERRUPT = "interrupt"
    SUSPEND = "suspend"
    DETACH = "detach"
    STOP = "stop"
    HELP = "help"
    QUIT = "quit"
    BACK = "back"
    ACCEPT = "accept"
    COMPLETE = "complete"
    OLDER = "older"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Key:
    """One line of the table.

    `label` stands in the footer, nothing there if it is empty; those of a low `rank` stay
    there longest when the terminal is narrow.
    """

    keys: tuple[str, ...]
    do: Do
    about: str
    label: str = ""
    where: tuple[Place, ...] = PANES
    rank: int = 5
    sign: str = ""  # stands in the footer for the key


_R = (Place.RULES,)
_E = (Place.EDIT,)
_READ = (Place.DETAILS, Place.HELP)
TABLE: tuple[Key, ...] = (
    Key(("a",), Do.ADD, "add a rule, in the grammar of -e", "add", PANES, 2),
    Key(("space",), Do.TOGGLE, "let the rule fire, or not", "on/off", _R, 2),
    Key(("+", "="), Do.RAISE, "raise the rule's probability", "chance", _R, 2, "+ -"),
    Key(("-",), Do.LOWER, "lower the rule's probability", where=_R),
    Key(("f",), Do.FIRE, "the rule fires at its next match, whatever its schedule", "fire", _R, 2),
    Key(("x", "delete"), Do.REMOVE, "remove the rule; a and ↑ bring it back", "remove", _R, 4),
    Key(("enter",), Do.ADD_FOR, "a rule for the chosen call", "rule for it", (Place.CALLS,), 2),
    Key(("i", "enter"), Do.TYPE, "type to the target", "type", (Place.OUTPUT,), 2),
    Key(
        ("enter",), Do.DETAILS, "all there is to say about it", "details",
        (Place.RULES, Place.INJECTIONS, Place.TASKS), 4,
    ),
    Key(("/",), Do.FILTER, "show only the injections that have a text", "filter", PANES, 4),
    Key(("p",), Do.PAUSE, "pause all rules, or go on", "pause", PANES, 2),
    Key(("z",), Do.FREEZE, "freeze what is shown; nothing else stops", "freeze", PANES, 6),
    Key(("s",), Do.SAVE, "save the rules now in force as a scenario", "save", PANES, 5),
    Key(("tab", "right"), Do.NEXT, "the next pane", "pane", PANES, 3),
    Key(("shift-tab", "left"), Do.PREVIOUS, "the pane before"),
    Key(("up", "k", "wheel-up"), Do.UP, "up", where=(*PANES, *_READ)),
    Key(("down", "j", "wheel-down"), Do.DOWN, "down", where=(*PANES, *_READ)),
    Key(("page-up", "ctrl-b"), Do.PAGE_UP, "a page up", where=(*PANES, *_READ)),
    Key(("page-down", "ctrl-f"), Do.PAGE_DOWN, "a page down", where=(*PANES, *_READ)),
    Key(("home", "g"), Do.FIRST, "the first", where=(*PANES, *_READ)),
    Key(("end", "G"), Do.LAST, "the last, and follow what comes", where=(*PANES, *_READ)),
    Key(("d",), Do.DETACH, "detach: the target runs on without faults", "detach", PANES, 7),
    Key(("S",), Do.STOP, "stop: end the target, or let an attached one go", "stop", PANES, 7),
    Key(("ctrl-c",), Do.INTERRUPT, "to the target, as on any terminal; ends inject watch"),
    Key(("ctrl-z",), Do.SUSPEND, "suspend the dashboard; fg brings it back"),
    Key(("escape",), Do.BACK, "take the filter away, and follow what comes"),
    Key(("?", "h"), Do.HELP, "this help", "help", PANES, 0),
    Key(("q",), Do.QUIT, "quit", "quit", PANES, 1),
    Key(("ctrl-]",), Do.TYPED, "stop typing to the target", "back to the keys", (Place.TYPING,), 0),
    Key(("escape", "q", "enter", "?"), Do.BACK, "back", "back", _READ, 0),
    Key(("ctrl-c",), Do.INTERRUPT, "as without it", where=_READ),
    Key(("enter",), Do.ACCEPT, "take the line", "take it", _E, 1),
    Key(("tab",), Do.COMPLETE, "complete calls, keys, values, errors", "complete", _E, 2),
    Key(("up",), Do.OLDER, "the line before", "history", _E, 3),
    Key(("down",), Do.NEWER, "the line after", where=_E),
    Key(("escape", "ctrl-c"), Do.BACK, "leave it", "leave", _E, 1),
)  # fmt: skip

STEERING = frozenset(
    {Do.ADD, Do.ADD_FOR, Do.TOGGLE, Do.RAISE, Do.LOWER, Do.FIRE, Do.REMOVE, Do.PAUSE, Do.SAVE}
    | {Do.TYPE, Do.DETACH, Do.STOP}
)
"""What needs a session that still runs."""

SHOWN: Mapping[str, str] = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "space": "Space",
    "tab": "Tab",
    "enter": "Enter",
    "escape": "Esc",
    "delete": "Del",
    "home": "Home",
    "end": "End",
    "page-up": "PgUp",
    "page-down": "PgDn",
    "shift-tab": "Shift-Tab",
    "wheel-up": "Wheel↑",
    "wheel-down": "Wheel↓",
}


def shown(key: str) -> str:
    """Return a key as people write it."""
    if key.startswith("ctrl-"):
        return "Ctrl-" + key[5:].upper()
    return SHOWN.get(key, key)


def lookup(place: Place, key: str) -> Do | None:
    """Return what a key does there."""
    return next((one.do for one in TABLE if place in one.where and key in one.keys), None)


def at(place: Place) -> Iterator[Key]:
    """Yield the lines of the table that hold there."""
    return (one for one in TABLE if place in one.where)


_NAMED = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x1b": "escape",
    " ": "space",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x00": "ctrl-space",
    "\x1c": "ctrl-\\",
    "\x1d": "ctrl-]",
    "\x1e": "ctrl-^",
    "\x1f": "ctrl-_",
}
_FINAL = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "tab"}
_TILDE = {
    "1": "home", "2": "insert", "3": "delete", "4": "end", "5": "page-up", "6": "page-down",
    "7": "home", "8": "end",
}  # fmt: skip
_SEQUENCE = re.compile(r"\x1b(?:O(.)|\[([<?0-9;]*)([\x20-/]*)([@-~]))", re.DOTALL)
# Pasted text is no keys (xterm, "Bracketed Paste Mode").
_PASTED = re.compile(r"\x1b\[200~(.*?)\x1b\[201~", re.DOTALL)
_PASTING = "\x1b[200~"
_LONGEST = 1 << 16
PASTE = "paste "
"""Begins a key that stands for pasted text."""
_BEGUN = re.compile(r"\x1b(?:\[[<?0-9;]*[\x20-/]*|O)?\Z")
_WHEEL = {64: "wheel-up", 65: "wheel-down"}


class Decoder:
    """Turns what a terminal sends into the names of keys, one character or one name each."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""

    @property
    def pending(self) -> bool:
        """Whether an escape sequence may have begun: if nothing follows soon, `flush`."""
        return bool(self._text)

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the keys that are complete; what is behind one that was yielded is in `rest`."""
        self._text += self._decoder.decode(data)
        yield from self._keys()

    def rest(self) -> bytes:
        """Return what is no key yet, and forget it."""
        text, self._text = self._text, ""
        pending, _ = self._decoder.getstate()
        self._decoder.reset()
        return text.encode("utf-8", "surrogateescape") + bytes(pending)

    def flush(self) -> list[str]:
        """Return what waited for more, as keys of their own; a paste waits on."""
        if self._text.startswith(_PASTING):
            return []
        text, self._text = self._text, ""
        return [_single(one) for one in text]

    def _keys(self) -> Iterator[str]:
        while self._text:
            length, key = self._first()
            if not length:
                return
            self._text = self._text[length:]
            if key:
                yield key

    def _first(self) -> tuple[int, str]:
        """Return how long the first key is, 0 if there is more of it to come, and its name."""
        text = self._text
        if text[0] != "\x1b":
            return 1, _single(text[0])
        if text.startswith(_PASTING) and len(text) < _LONGEST:
            pasted = _PASTED.match(text)
            return (pasted.end(), PASTE + pasted[1]) if pasted is not None else (0, "")
        found = _SEQUENCE.match(text)
        if found is not None:
            return found.end(), _sequence(found[1], found[2] or "", found[4] or "")
        if _BEGUN.match(text):
            return 0, ""
        if text[1] == "\x1b":
            return 1, "escape"
        return 2, f"alt-{_single(text[1])}"


def _single(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character < "\x1b":
        return f"ctrl-{chr(ord(character) + 96)}"
    return character


def _sequence(ss3: str | None, parameters: str, final: str) -> str:
    """Return the key of an escape sequence, "" for one that means nothing to us."""
    if ss3:
        return _FINAL.get(ss3, "enter" if ss3 == "M" else "")
    if parameters.startswith("<"):  # xterm, "SGR mouse mode": button; column; line
        button = parameters[1:].split(";")[0]
        return _WHEEL.get(int(button), "") if final == "M" and button.isdecimal() else ""
    number, _, modifier = parameters.partition(";")
    name = _TILDE.get(number, "") if final == "~" else _FINAL.get(final, "")
    if final == "Z":
        return "shift-tab"
    kind = {"2": "shift-", "3": "alt-", "5": "ctrl-"}.get(modifier, "")
    return kind + name if name else ""
