"""The styles of what is drawn: one for each meaning."""

from __future__ import annotations

from rich.style import Style

BOLD = Style(bold=True)
DIM = Style(dim=True)
LINE = Style(color="bright_black")
FOCUS = Style(bold=True, color="cyan")
SELECTED = Style(reverse=True)
GRAPH = Style(reverse=False)  # in the chosen line too
GOOD = Style(color="green")
ODD = Style(color="yellow")
BAD = Style(color="red", bold=True)
FAULT = Style(color="red")
HINT = Style(color="cyan")
