"""How a session is looked at: what is chosen, filtered, asked; and what a drawing is. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from rich.text import Text

from injector.faces.ui.cells import Pieces
from injector.faces.ui.edit import LineEditor
from injector.faces.ui.keys import Place
from injector.faces.ui.model import Happened, Model

Screenful = Sequence[Pieces]


@dataclass(slots=True)
class Prompt:
    """A line at the bottom: of input (`editor`), or a question that a key answers."""

    title: str
    editor: LineEditor | None = None
    error: str = ""
    help: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    sent: str = ""  # the text that waits for its answer


@dataclass(slots=True)
class View:
    """How the session is looked at."""

    owner: bool = False
    focus: Place = Place.RULES
    rule: str = ""
    happened: int | None = None  # None: the newest, as they come
    pinned: bool = False  # the details are of one that was the newest
    filter: str = ""
    task: str = ""  # none of the name: the first
    call: str = ""
    back: int = 0  # lines scrolled back in the output
    over: Place | None = None  # details or help
    scroll: int = 0  # of what lies over the panes
    prompt: Prompt | None = None
    notice: str = ""
    alarm: bool = False
    typing: bool = False
    frozen: bool = False
    hits: Hits = field(default_factory=lambda: Hits())


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines, where the cursor stands (column, line), and the size of each pane's contents."""

    lines: list[Text]
    cursor: tuple[int, int] | None
    sizes: Mapping[Place, tuple[int, int]]


class Hits:
    """The injections that a filter lets through; looks at each only once."""

    def __init__(self) -> None:
        self._text = ""
        self._looked = 0
        self._found: list[Happened] = []

    def of(self, model: Model, text: str) -> Sequence[Happened]:
        """Return what is to be shown, the newest last."""
        if not text:
            return model.happened
        if text != self._text or not model.happened or model.happened[-1].number < self._looked:
            self._text, self._looked, self._found = text, 0, []
        if model.happened:
            new = islice(reversed(model.happened), model.happened[-1].number - self._looked)
            self._found += [one for one in new if one.has(text)][::-1]
            self._looked = model.happened[-1].number
            oldest = model.happened[0].number
            self._found = self._found[bisect.bisect_left(self._found, oldest, key=_number) :]
        return self._found


def chosen_of(names: Sequence[str], name: str) -> int:
    """Return where the chosen one stands; the first if there is none of its name."""
    return names.index(name) if name in names else 0


def _number(one: Happened) -> int:
    return one.number


def index_of(shown: Sequence[Happened], number: int | None) -> int:
    """Return where an injection stands in what is shown; the last for None, -1 for nothing."""
    if number is None or not shown:
        return len(shown) - 1
    if shown[-1].number - shown[0].number == len(shown) - 1:
        return min(max(0, number - shown[0].number), len(shown) - 1)
    return min(bisect.bisect_left(shown, number, key=_number), len(shown) - 1)
