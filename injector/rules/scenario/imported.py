"""What became of another tool's expression: a scenario, and notes where its meaning was mended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from injector.words.model import Rule, Scenario

from .write import yaml_text


@dataclass(slots=True)
class Imported:
    """Rules with notes; `head` is about all of them, `notes` about one, by its name."""

    rules: tuple[Rule, ...]
    seed: int | None = None
    head: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the scenario file."""
        return yaml_text(Scenario(self.rules, seed=self.seed), head=self.head, comments=self.notes)


def as_glob(text: str) -> str:
    """Return the glob that matches this text only."""
    escaped = re.sub(r"[*?[]", r"[\g<0>]", text)
    return escaped if not escaped.startswith("!") else "?" + escaped[1:]


def listed(items: Sequence[str], most: int = 8) -> str:
    """Return some of these as a list in a sentence."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
