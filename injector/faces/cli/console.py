"""Where a command prints what has columns and colours: today's stdout."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console

_PIPED_WIDTH = 100


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        raise


def stdout_console() -> Console:
    """Return a console that prints texts as they are: a pipe has no width, and 80 is narrow."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale without UTF-8 ends no report
        sys.stdout.reconfigure(errors="backslashreplace")
    console = _Stdout(highlight=False, markup=False, emoji=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return _Stdout(highlight=False, markup=False, emoji=False, width=_PIPED_WIDTH)
