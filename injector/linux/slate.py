"""Which calls wait for our answer, in memory that the keeper shares.

A notification that was received can be answered by its number alone. Were that number only in
our own memory, our death would leave its task waiting for ever.
"""

from __future__ import annotations

import mmap

_PAGE = 4096
_SIZE = 64 * _PAGE
_FREE = 0
LISTENERS = _PAGE // 8
"""How many listeners one slate serves."""
_AHEAD = 4096


class Slate:
    """Made before the keeper is forked.

    `last[n]` is for the number that was received last from the nth listener.
    """

    def __init__(self) -> None:
        words = memoryview(mmap.mmap(-1, _SIZE)).cast("Q")  # MAP_SHARED
        self.last = words[:LISTENERS]
        self._held = words[LISTENERS:]
        self._places: dict[int, int] = {}
        self._unused: list[int] = []
        self._next = 0  # no place from here on was ever used

    def hold(self, cookie: int) -> None:
        """Note a call that is answered later: others are received meanwhile."""
        if cookie in self._places:
            return
        if not self._unused and self._next < len(self._held):
            self._unused.append(self._next)
            self._next += 1
        if self._unused:
            place = self._unused.pop()
            self._places[cookie] = place
            self._held[place] = cookie

    def drop(self, cookie: int) -> None:
        """Forget a call that is answered."""
        place = self._places.pop(cookie, None)
        if place is not None:
            self._held[place] = _FREE
            self._unused.append(place)

    def clear(self) -> None:
        """Forget all calls: their listener is gone."""
        for cookie in [*self._places]:
            self.drop(cookie)

    def waiting(self, index: int = 0) -> list[int]:
        """Return the numbers of a listener that may wait for an answer, and more.

        We may die between the kernel's handing out of a number and its copy into this memory;
        but numbers are given in order (kernel/seccomp.c, seccomp_next_notify_id), so it is one of
        the next. To answer one that was not handed out yet does nothing (EINPROGRESS).
        """
        last = self.last[index]
        if not last:
            return []  # none was received; the first number is anywhere
        held = [cookie for cookie in self._held if cookie != _FREE]
        return [*held, *range(last, last + _AHEAD)]
