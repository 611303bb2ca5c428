"""The real terminal while a dashboard has it: raw, on its alternate screen, and as before after.

`RESET` undoes all of it also after a dashboard that died without a word.
"""

from __future__ import annotations

import contextlib
import os

from injector.linux import terminal

# xterm's control sequences: alternate screen, clicks and wheel in SGR form, pasting told apart.
ENTER = b"\x1b[?1049h\x1b[?1000h\x1b[?1006h\x1b[?2004h"
RESET = b"\x1b[0m\x1b[?2026l\x1b[?2004l\x1b[?1006l\x1b[?1000l\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    """The screen of a dashboard; a context in which it is ours."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> Terminal:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def enter(self) -> None:
        """Take the terminal."""
        self._before = terminal.modes(self._fd)
        terminal.raw(self._fd)
        self.write(ENTER)

    def leave(self) -> None:
        """Give it back."""
        self.write(RESET)
        terminal.restore(self._fd, self._before)

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._fd

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        return terminal.size(self._fd)

    def read(self) -> bytes:
        """Return what was typed, nothing when it is hung up."""
        try:
            return os.read(self._fd, 4096)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Write all of it; what a terminal that is hung up does not take is lost."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._fd, data) :]
