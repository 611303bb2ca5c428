"""How a dashboard is left: the exit status of its process, which its parent acts on."""

from __future__ import annotations

import enum


class Leaving(enum.IntEnum):
    """How the dashboard was left."""

    ENDED = 40  # the session is over
    QUIT = 41  # it may run; nobody asked to end it
    LEAVE = 42  # it runs, and is to go on without us
    DETACHED = 43  # its target runs on without it, as was asked here
