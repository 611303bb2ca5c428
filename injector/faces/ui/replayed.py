"""A target's output as it is written to the real terminal when the dashboard is gone.

What it asked the terminal is left out: the answer would be typed to whoever reads there now, mostly
the shell. And what it switched on and was killed before it switched off can be undone.
"""

from __future__ import annotations

import re

# Control sequences that have an answer, by xterm's ctlseqs: what are you (DA, DECID, XTVERSION,
# ENQ), how are you (DSR), which mode (DECRQM), parameters, presentation, checksum of the screen,
# window, graphics, keys; colours and clipboard (OSC with a ?), settings and capabilities
# (DECRQSS, XTGETTCAP); iTerm2's reports.
_QUESTION = re.compile(
    rb"\x05"
    rb"|\x1bZ"
    rb"|\x1b\[[>=]?[0-9;]*c"
    rb"|\x1b\[>[0-9]*q"
    rb"|\x1b\[\??[0-9;]*n"
    rb"|\x1b\[\??[0-9;]*\$p"
    rb"|\x1b\[[01]?x"
    rb"|\x1b\[[0-9;]*(?:\$[uw]|\*y|&u|\"v|'\||#[R|])"
    rb"|\x1b\[(?:1[134-689]|2[01])(?:;[0-9]*)*t"
    rb"|\x1b\[\?[0-9;]*[mSu]"
    rb"|\x1b\][0-9]+;(?:[^\x07\x1b]*;)?\?(?:;[^\x07\x1b]*)?(?:\x07|\x1b\\)"
    rb"|\x1b\]1337;(?:Report|RequestUpload|Capabilities)[^\x07\x1b]*(?:\x07|\x1b\\)"
    rb"|\x1bP[+$]q[^\x1b\x07]*\x1b\\"
)
# Cancels the sequence in whose midst it stands: what is before a question and what is behind it
# must not become another one.
_CANCEL = b"\x18"
# Of kitty's graphics each has an answer unless it says q=2; the last of two says it.
_GRAPHICS = re.compile(rb"(\x1b_G[^;\x1b]*)(;[^\x1b]*)?(\x1b\\)")
# The beginning of a sequence whose rest may come with the next part.
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]P_][^\x07\x1b]*\x1b?|[ -/]+)?\Z")
_LONGEST = 8192  # kitty's graphics come in pieces of 4096
_MODE = re.compile(
    rb"\x1b\[(?P<private>\??)(?P<modes>[0-9;]+)(?P<how>[hl])"
    rb"|\x1b\[(?P<keys>[<>])(?P<number>[0-9]{0,9})[0-9;]*u"  # kitty's keyboard: push and pop
    rb"|(?P<reset>\x1bc)"
)
_ALTERNATE = (b"?47", b"?1047", b"?1049")
# Modes and whether they are on as a terminal begins (xterm, DECSET and SM).
_AT_FIRST = {
    **dict.fromkeys((b"4", b"20", b"?1", b"?5", b"?69"), False),
    b"?7": True,
    # mouse, focus, paste, updates, colours and size told unasked
    **dict.fromkeys((b"?9", *(b"?%d" % mode for mode in range(1000, 1007))), False),
    **dict.fromkeys((b"?1015", b"?1016", b"?2004", b"?2026", b"?2031", b"?2048"), False),
    **dict.fromkeys(_ALTERNATE, False),
    b"?25": True,
}
# What else stays: what sets it, or else ends it, and what we end it with.
_OTHERS = (
    (re.compile(rb"(\x1b=)|\x1b>|\x1bc"), b"\x1b>"),  # the keypad's own keys
    (re.compile(rb"(\x1b\[>4;[1-9][0-9]*m)|\x1b\[>(?:4(?:;0?)?)?m|\x1b\[>4n|\x1bc"), b"\x1b[>4m"),
    (re.compile(rb"(\x1b\[=[1-9][0-9]*(?:;[0-9]*)?u)|\x1b\[=[0;]*u|\x1bc"), b"\x1b[=0u"),
    (re.compile(rb"(\x1b\([^B])|\x1b\(B|\x1bc"), b"\x1b(B"),  # letters that are lines
    (re.compile(rb"(\x0e)|\x0f|\x1bc"), b"\x0f"),
    (re.compile(rb"(\x1b\[[1-9] q)|\x1b\[0? q|\x1bc"), b"\x1b[ q"),  # the cursor's shape
    # The scroll region; to end it moves the cursor.
    (re.compile(rb"(\x1b\[[0-9]*;?[0-9]+r)|\x1b\[;?r|\x1bc"), b"\x1b7\x1b[r\x1b8"),
)


class Replayed:
    """Goes over all of an output, part by part."""

    def __init__(self) -> None:
        self._rest = b""
        self._modes: dict[bytes, bool] = {}
        self._pushed = {False: 0, True: 0}  # of the keyboard's modes; the alternate screen has own
        self._others: dict[bytes, bool] = {}

    def quiet(self, data: bytes) -> bytes:
        """Return a part of the output without what asks for an answer.

        What may be the beginning of a question comes with the next part, or with `rest`.
        """
        data = self._rest + data
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST))
        end = begun.start() if begun is not None else len(data)
        self._rest, data = data[end:], data[:end]
        self._note(data)
        return _GRAPHICS.sub(rb"\1,q=2\2\3", _QUESTION.sub(_CANCEL, data))

    def rest(self) -> bytes:
        """Return what was held back; more of the output is only `seen` from then on."""
        return self._rest

    def seen(self, data: bytes) -> bytes:
        """Take note of a part of the output that is written as it is; return it."""
        self.quiet(data)
        return data

    def undo(self) -> bytes:
        """Return what brings the terminal back from what the output left it in."""
        parts = [_CANCEL] if self._rest else []
        parts += [end for end, on in self._others.items() if on]
        if self._alternate:
            parts.append(self._pop(True))
        for mode, first in _AT_FIRST.items():
            if self._modes.get(mode, first) is not first:
                parts.append(b"\x1b[%b%b" % (mode, b"h" if first else b"l"))
        return b"".join([*parts, self._pop(False)])

    def _note(self, data: bytes) -> None:
        for found in _MODE.finditer(data):
            if found["modes"]:
                for mode in found["modes"].split(b";"):
                    self._modes[found["private"] + mode] = found["how"] == b"h"
            elif found["keys"]:
                number, alternate = int(found["number"] or 1), self._alternate
                change = 1 if found["keys"] == b">" else -number
                self._pushed[alternate] = max(0, self._pushed[alternate] + change)
            else:
                self._modes.clear()
                self._pushed = {False: 0, True: 0}
        for pattern, end in _OTHERS:
            for found in pattern.finditer(data):
                self._others[end] = found[1] is not None

    @property
    def _alternate(self) -> bool:
        return any(self._modes.get(mode) for mode in _ALTERNATE)

    def _pop(self, alternate: bool) -> bytes:
        number = self._pushed[alternate]
        return b"\x1b[<%du" % number if number else b""
