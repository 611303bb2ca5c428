"""The journal: a session's facts on disk, one JSON object a line, append-only.

Every line is handed to the kernel whole by one write(2), so that it outlives us
whatever kills us; a reader tolerates a torn last line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from injector.words.errors import InjectError
from injector.words.events import Event, as_json


class Journal:
    """Writes events to a new file.

    Raises:
        InjectError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise InjectError(
                f"cannot write the journal {path}: {error.strerror}",
                help="say --journal FILE with a file that can be written",
            ) from error

    def write(self, event: Event) -> None:
        """Append one event.

        Raises:
            InjectError: the disk is full, or the like; the journal is the proof.
        """
        # Names of the target may hold any bytes; surrogates are escaped as \\udcXX.
        line = json.dumps(as_json(event), separators=(",", ":")).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError as error:
            raise InjectError(f"cannot write the journal {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a journal; a torn last line is left out.

    Raises:
        InjectError: the file cannot be read, or a line before the last is no event in JSON.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InjectError(f"cannot read the journal {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                return
            raise InjectError(f"{path}:{number}: this line is not JSON") from error
        if not isinstance(event, dict) or "event" not in event:
            raise InjectError(f"{path}:{number}: this line is no event of a journal")
        yield event
