"""What a probe found: one topic, how well it went, and what can be done about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How well a topic went.

    OK: tried, and it works. LIMITED: something is lost, and the finding says what.
    MISSING: it does not work. INFO: neither good nor bad, worth knowing.
    """

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic's answer.

    `summary` is one line; `detail` says what it means; `remedy` what to do ("" where
    there is nothing to do). The topics are those of `TOPICS` in this package.
    """

    topic: str
    state: State
    summary: str
    detail: str = ""
    remedy: str = ""
