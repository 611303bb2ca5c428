"""A target's output as it is written to the real terminal when the dashboard is gone.

What it asked the terminal is left out: the answer would be typed to whoever reads there now, mostly
the shell. And what it switched on and was killed before it switched off can be undone.
"""

from __future__ import annotations

import re

# xterm's control sequences that have an answer: what are you (DA, DECID, XTVERSION), how are
# you (DSR), which mode (DECRQM), parameters, window reports, graphics, keys; colours and clipboard
# (OSC with a ?), settings and capabilities (DECRQSS, XTGETTCAP).
_QUESTION = re.compile(
    rb"\x1bZ"
    rb"|\x1b\[[>=]?[0-9;]*c"
    rb"|\x1b\[>[0-9]*q"
    rb"|\x1b\[\??[0-9;]*n"
    rb"|\x1b\[\??[0-9;]*\$p"
    rb"|\x1b\[[01]?x"
    rb"|\x1b\[(?:1[134-689]|2[01])(?:;[0-9]*)*t"
    rb"|\x1b\[\?[0-9;]*[mSu]"
    rb"|\x1b\][0-9]+;(?:[^\x07\x1b]*;)?\?(?:\x07|\x1b\\)"
    rb"|\x1bP[+$]q[^\x1b\x07]*\x1b\\"
)
# The beginning of one of these, or of a mode, whose rest may come with the next part.
_BEGUN = re.compile(
    rb"\x1b(?:\[[>=?]?[0-9;]*\$?|\][^\x07\x1b]*\x1b?|P(?:[+$](?:q[^\x1b\x07]*\x1b?)?)?)?\Z"
)
_LONGEST = 4096
_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
# Off as a terminal begins: mouse, focus, paste, alternate screens (xterm, DECSET).
_OFF = (9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 47, 1047, 1049)
_CURSOR = 25


class Replayed:
    """Goes over all of an output, part by part."""

    def __init__(self) -> None:
        self._rest = b""
        self._modes: dict[int, bool] = {}

    def quiet(self, data: bytes) -> bytes:
        """Return a part of the output without what asks for an answer.

        What may be the beginning of a question comes with the next part, or with `rest`.
        """
        data = self._rest + data
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST))
        end = begun.start() if begun is not None else len(data)
        self._rest = data[end:]
        return self.seen(_QUESTION.sub(b"", data[:end]))

    def rest(self) -> bytes:
        """Return what was held back."""
        rest, self._rest = self._rest, b""
        return rest

    def seen(self, data: bytes) -> bytes:
        """Take note of a part of the output as it is; return it."""
        for numbers, how in _MODE.findall(data):
            for number in numbers.split(b";"):
                if number:
                    self._modes[int(number)] = how == b"h"
        return data

    def undo(self) -> bytes:
        """Return what brings the terminal back from the modes the output left it in."""
        off = [f"\x1b[?{mode}l" for mode in _OFF if self._modes.get(mode)]
        hidden = self._modes.get(_CURSOR) is False
        return "".join([*off, *(["\x1b[?25h"] if hidden else [])]).encode()
