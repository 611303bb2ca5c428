"""A program in a pseudo-terminal, and what a terminal emulator makes of its output."""

from __future__ import annotations

import copy
import os
import pty
import select
import signal
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyte

KEYS = {"up": "\x1b[A", "down": "\x1b[B", "enter": "\r", "escape": "\x1b", "tab": "\t"}


class _Screen(pyte.Screen):
    """Knows which private modes are on: the alternate screen, the mouse."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__(columns, lines)
        self.private: set[int] = set()
        self._main: tuple[list[dict[int, Any]], Any] | None = None

    def set_mode(self, *modes: int, **how: bool) -> None:
        self.private |= set(modes) if how.get("private") else set()
        if how.get("private") and 1049 in modes:
            self._main = [dict(self.buffer[row]) for row in range(self.lines)], self.cursor
            self.cursor = copy.copy(self.cursor)
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: bool) -> None:
        self.private -= set(modes) if how.get("private") else set()
        if how.get("private") and 1049 in modes and self._main is not None:
            rows, self.cursor = self._main
            self._main = None
            self.erase_in_display(2)
            for row, line in enumerate(rows[: self.lines]):
                self.buffer[row].update(line)
        super().reset_mode(*modes, **how)


class Screen:
    """Runs a command on a terminal of its own; `text` is what one sees there."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self.screen = _Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.status: int | None = None
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (lines, columns))
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(master)
                os.login_tty(slave)
                os.execvpe(words[0], list(words), {**env, "TERM": env.get("TERM", "xterm")})
            finally:
                os._exit(127)
        self.fd, self._slave = master, slave

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, *keys: str) -> None:
        """Type; names of keys stand for what a terminal sends."""
        for key in keys:
            os.write(self.fd, KEYS.get(key, key).encode())

    def _pump(self, end: float) -> None:
        left = end - time.monotonic()
        assert left > 0, f"it did not come:\n{self.text}"
        if select.select([self.fd], [], [], min(left, 0.2))[0]:
            data = os.read(self.fd, 65536)
            self.raw += data
            self._stream.feed(data)

    def until(self, *wanted: str, without: str = "", seconds: float = 40) -> str:
        """Wait until all of this, and not that, is on the screen."""
        end = time.monotonic() + seconds
        while not all(one in self.text for one in wanted) or (without and without in self.text):
            self._pump(end)
        return self.text

    def until_that(self, holds: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            self._pump(end)

    def look(self) -> str:
        """Take what has come; return what the terminal shows."""
        while select.select([self.fd], [], [], 0)[0]:
            self._pump(time.monotonic() + 1)
        return self.text.rstrip()

    def until_left(self, seconds: float = 40) -> None:
        """Wait until the alternate screen is left."""
        end = time.monotonic() + seconds
        while 1049 in self.screen.private:
            self._pump(end)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self.screen.resize(lines, columns)
        termios.tcsetwinsize(self._slave, (lines, columns))

    def closed(self, seconds: float = 40) -> int:
        """Leave a dashboard that came up before the command was over; then as `ended`."""

        def up() -> bool:
            return 1049 in self.screen.private and self.text.startswith(" exit ")

        def over() -> bool:
            return bool(os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))

        self.until_that(lambda: up() or over(), seconds)
        if up():
            self.press("q")
        return self.ended(seconds)

    def ended(self, seconds: float = 40) -> int:
        """Wait for the command's end; its status, negative for a signal."""
        end = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif select.select([self.fd], [], [], 0.05)[0]:
                self._pump(end)
            assert time.monotonic() < end, f"it did not end:\n{self.text}"
        while select.select([self.fd], [], [], 0)[0]:
            self._pump(end)
        return self.status

    def is_as_before(self) -> bool:
        """Whether the terminal is as it was: settings, screen, cursor, mouse."""
        left = self.screen.private & {1049, 1000, 1006}
        same = termios.tcgetattr(self._slave) == self.before
        return same and not left and not self.screen.cursor.hidden

    def close(self) -> None:
        """End it, if it did not end itself."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        os.close(self._slave)
