"""Keep the tracing thread on the core of the one task it traces (sched_setaffinity(2)).

A stop and its answer are two wake-ups; across cores each must wake an idle one, which costs
several times the work itself. The target's own affinity is its own and never touched.
"""

from __future__ import annotations

import os

from injector.linux import procfs


class Follower:
    """Made in the thread that traces."""

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._on: int | None = None

    def follow(self, tid: int) -> None:
        """Go where this task runs."""
        core = procfs.core(tid)
        if core is None or core == self._on or core not in self._allowed:
            return
        os.sched_setaffinity(0, {core})
        self._on = core

    def roam(self) -> None:
        """Run anywhere again: there are several tasks to serve."""
        if self._on is not None:
            os.sched_setaffinity(0, self._allowed)
            self._on = None
