"""What the dashboard has to say to its user for a while."""

from __future__ import annotations

from collections.abc import Callable

from injector.faces.ui.view import View

_SHOWN = 5.0  # seconds


class Notices:
    """Puts notices into the view and takes them away; errors are said again afterwards."""

    def __init__(self, view: View, complain: Callable[[str], None]) -> None:
        self._view = view
        self._complain = complain
        self._now = 0.0
        self._until: float | None = None

    def say(self, text: str, *, alarm: bool = False) -> None:
        """Show a notice for a while, an alarm until a key is pressed."""
        self._view.notice, self._view.alarm = text, alarm
        self._until = None if alarm else self._now + _SHOWN

    def fail(self, error: str, help: str = "") -> None:
        """Show an error, which is repeated when the dashboard is left."""
        self._complain(f"{error}\n  {help}" if help else error)
        self.say(f"{error}; {help}" if help else error, alarm=True)

    def tick(self, now: float) -> None:
        """Take away what was shown long enough."""
        self._now = now
        if self._until is not None and now >= self._until:
            self.clear()

    def clear(self) -> None:
        """Take away what is shown."""
        self._view.notice, self._view.alarm, self._until = "", False, None
