"""One line of input: cursor, history, completion. Pure: keys in, text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from injector.faces.ui.keys import PASTE


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to go on: the whole text up to the cursor, and what it is."""

    text: str
    about: str = ""


Completer = Callable[[str], Sequence[Choice]]


class LineEditor:
    """The text, where the cursor is in it, and the lines of before."""

    def __init__(
        self, text: str = "", history: Sequence[str] = (), completer: Completer | None = None
    ) -> None:
        self.text = text
        self.cursor = len(text)
        self.choices: tuple[Choice, ...] = ()
        self.picked: int | None = None
        self._completer = completer
        self._lines = [*history, text]
        self._at = len(history)

    def key(self, key: str) -> bool:
        """Do what a key does in a line; return whether it is one of those."""
        text, at = self.text, self.cursor
        match key:
            case "backspace":
                self._set(text[: max(0, at - 1)] + text[at:], max(0, at - 1))
            case "delete" | "ctrl-d":
                self._set(text[:at] + text[at + 1 :], at)
            case "left" | "ctrl-b":
                self._set(text, max(0, at - 1))
            case "right" | "ctrl-f":
                self._set(text, min(len(text), at + 1))
            case "home" | "ctrl-a":
                self._set(text, 0)
            case "end" | "ctrl-e":
                self._set(text, len(text))
            case "ctrl-left" | "alt-b" | "alt-left":
                self._set(text, self._word_before())
            case "ctrl-right" | "alt-f" | "alt-right":
                self._set(text, self._word_behind())
            case "ctrl-w" | "alt-backspace":
                begin = self._word_before()
                self._set(text[:begin] + text[at:], begin)
            case "ctrl-u":
                self._set(text[at:], 0)
            case "ctrl-k":
                self._set(text[:at], at)
            case "space":
                self._set(f"{text[:at]} {text[at:]}", at + 1)
            case _ if key.startswith(PASTE):
                words = " ".join(key.removeprefix(PASTE).split())
                self._set(text[:at] + words + text[at:], at + len(words))
            case _ if len(key) == 1 and key.isprintable():
                self._set(text[:at] + key + text[at:], at + 1)
            case _:
                return False
        return True

    def go_behind(self, at: int) -> None:
        """Put the cursor behind a word of a rule that begins there."""
        ends = (self.text.find(one, at) for one in ":,=")
        self._set(self.text, min((end for end in ends if end >= 0), default=len(self.text)))

    def _set(self, text: str, cursor: int) -> None:
        self.text, self.cursor = text, cursor
        self.choices, self.picked = (), None

    def _word_before(self) -> int:
        at = self.cursor
        while at and not self.text[at - 1].isalnum():
            at -= 1
        while at and self.text[at - 1].isalnum():
            at -= 1
        return at

    def _word_behind(self) -> int:
        at, end = self.cursor, len(self.text)
        while at < end and not self.text[at].isalnum():
            at += 1
        while at < end and self.text[at].isalnum():
            at += 1
        return at

    def older(self) -> None:
        """Show the line before in the history."""
        self._recall(self._at - 1)

    def newer(self) -> None:
        """Show the line after in the history; what was being written is the last."""
        self._recall(self._at + 1)

    def _recall(self, at: int) -> None:
        if 0 <= at < len(self._lines):
            self._lines[self._at] = self.text
            self._at = at
            self._set(self._lines[at], len(self._lines[at]))

    def complete(self) -> None:
        """Write what all choices have in common; at the second time, one after the other."""
        if self._completer is None:
            return
        if self.choices:
            last = -1 if self.picked is None else self.picked
            self._pick((last + 1) % len(self.choices))
            return
        found = tuple(self._completer(self.text[: self.cursor]))
        if not found:
            return
        common = _common([one.text for one in found])
        behind = self.text[self.cursor :]
        if len(common) >= self.cursor:  # else they differ from what is written in case
            self._set(common + behind, len(common))
        self.choices = found if len(found) > 1 else ()

    def _pick(self, which: int) -> None:
        choices, behind = self.choices, self.text[self.cursor :]
        text = choices[which].text
        self._set(text + behind, len(text))
        self.choices, self.picked = choices, which


def _common(texts: Sequence[str]) -> str:
    """Return what all texts begin with."""
    first, last = min(texts), max(texts)
    same = 0
    while same < len(first) and same < len(last) and first[same] == last[same]:
        same += 1
    return first[:same]
