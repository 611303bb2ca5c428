"""Our own errors: what a person is told when `inject` cannot do what was asked.

An *error* is ours; a *fault* is what we inject; a *failure* is the target's.
Lives on the lowest floor so that every other floor can raise them. Nothing here
prints; `injector.faces.cli` turns an error into text and an exit status.
"""

from __future__ import annotations

from dataclasses import dataclass


class InjectError(Exception):
    """Something the user asked for cannot be done.

    Args:
        message: what went wrong and where, one line.
        help: what the user can do about it, or "".
        status: exit status of the command: 125 our own error, 126 the command
            is not executable, 127 it was not found (as env(1) and timeout(1)).
    """

    def __init__(self, message: str, *, help: str = "", status: int = 125) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.status = status


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a text the user wrote: a scenario file or a one-line rule.

    `line` and `column` count from 1; 0 where the text has no such place.
    """

    message: str
    line: int = 0
    column: int = 0
    help: str = ""


class ScenarioError(InjectError):
    """All mistakes of one scenario, each with its place (`source:line:column`)."""

    def __init__(self, source: str, mistakes: tuple[Mistake, ...]) -> None:
        self.source = source
        self.mistakes = mistakes
        super().__init__("\n".join(self.lines()))

    def lines(self) -> tuple[str, ...]:
        """Return one `file:line:col: message` per mistake, in file order."""
        ordered = sorted(self.mistakes, key=lambda m: (m.line, m.column))
        return tuple(
            f"{self.source}:{m.line}:{m.column}: {m.message}"
            if m.line
            else f"{self.source}: {m.message}"
            for m in ordered
        )


class NotAvailable(InjectError):
    """A word of the scenario asks for something this engine or this kernel cannot do."""


class NotifyRefused(InjectError):
    """The kernel gives no listener for this process tree; another engine may do."""
