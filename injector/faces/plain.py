"""Texts of others made fit to be shown: nothing of theirs that a terminal obeys. Pure."""

from __future__ import annotations

LAYOUT = "\n\t"
"""What may stand in a text of several lines."""


def plain(text: str, keep: str = "") -> str:
    """Return a text of the target as it is safe to show, control characters as escapes.

    Bytes that are no UTF-8 become `\\xff`; so does whatever would turn the direction of the line
    or move the cursor. `keep` are characters that stand nevertheless.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def pasteable(command: str, keep: str = "") -> str:
    """Return a command that was quoted for a shell so that no character of it is lost.

    What shlex quotes stands within '…', where a line feed would break the line and an escape
    would move the cursor: there `'$'\\n''` leaves the quotes for bash's and zsh's own. `keep` are
    characters that stand nevertheless.
    """
    if command.isprintable():
        return command
    return "".join(
        one if one.isprintable() or one in keep else f"'$'{_escaped(one)}''" for one in command
    )


def _escaped(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return one.encode("unicode_escape", "backslashreplace").decode()
