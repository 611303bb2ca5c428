"""Launch pads: many short runs in one process, each a vfork(2) and no more.

A pad is a filter with its zygote and its keeper; there is one for each set of calls that is
stopped, and those used last are kept. A run that goes wrong takes its pad with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from injector.engines.notify import Stopped, stopped_for
from injector.engines.spawned import NotStarted, SpawnedEngine
from injector.linux import libc, pidfd, seccomp
from injector.linux.doorbell import Doorbell
from injector.linux.ending import Orphans
from injector.linux.keeper import Keeper, limit_descriptors, raise_descriptor_limit
from injector.linux.launch import Apart, find
from injector.linux.signals import Inherited, Signals
from injector.linux.zygote import Zygote
from injector.rules.decide import RulesDecider
from injector.session.session import Session
from injector.session.start import arches_here, named_calls
from injector.words.model import Scenario

__all__ = ["NotStarted", "Pads"]

_PATIENCE = 2.0  # seconds for what was killed to be gone
_MOST = 12  # pads that are kept: each is two small processes


@dataclass(frozen=True, slots=True)
class _Pad:
    keeper: Keeper
    zygote: Zygote
    stopped: Stopped


class Pads:
    """The pads of this process; made and used in one thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._bell: Doorbell | None = None
        self._pads: OrderedDict[object, _Pad] = OrderedDict()

    @contextmanager
    def launched(
        self,
        command: list[str],
        decider: RulesDecider,
        scenario: Scenario,
        *,
        apart: Apart,
        watched: frozenset[str] = frozenset(),
        timeout: int | None = None,
    ) -> Iterator[Session]:
        """Start a command under the notify engine; nothing of it is left at the end.

        Args:
            watched: calls to stop besides those of the rules.
            timeout: nanoseconds, None for no end.

        Raises:
            NotStarted: it could not be executed in this way.
            InjectError: the command cannot be found, or what a run needs is refused.
        """
        path = find(command[0], apart.cwd)
        signals = Signals()
        limits = raise_descriptor_limit()
        engine = session = None
        wrong = False
        try:
            key, pad = self._pad(scenario, watched, signals.inherited, limits)
            bell = self._bell
            assert bell is not None  # a pad has it
            try:
                engine = SpawnedEngine(pad.zygote, arches_here(), bell, pad.keeper, pad.stopped)
                session = Session(
                    engine,
                    decider,
                    bell,
                    signals,
                    pad.keeper,
                    timeout,
                    orphans=Orphans(pad.zygote.pid),
                )
                bell.start()
                if not pad.zygote.start(path, command, apart):
                    raise NotStarted("the command and its environment are too long")
                with libc.on_this_core():
                    yield session
            except NotStarted:
                raise
            except BaseException:
                wrong = True
                raise
        finally:
            if session is not None:
                session.close()
            if wrong:
                self._end(key, engine.known() if engine is not None else ())
            if engine is not None:
                engine.close()
            if self._bell is not None:
                self._bell.hush()
            limit_descriptors(limits)
            signals.close()

    def _pad(
        self,
        scenario: Scenario,
        watched: frozenset[str],
        inherited: Inherited,
        limits: tuple[int, int],
    ) -> tuple[object, _Pad]:
        """Return the pad for these rules, and the key it is kept by."""
        calls = named_calls(scenario) | watched
        # The kernel makes no test for a site, so that the calls alone make the filter.
        plain = all(rule.match.site is not None for rule in scenario.rules)
        key: object = calls
        if not plain:
            wanted = stopped_for(scenario, watched, arches_here(), handlers=True)
            key = seccomp.build(wanted.calls), wanted.tells_handlers
        pad = self._pads.get(key)
        if pad is None:
            if plain:
                wanted = stopped_for(scenario, watched, arches_here(), handlers=True)
            if len(self._pads) >= _MOST:
                self._end(next(iter(self._pads)))
            self.rest()  # we fork
            keeper = Keeper()
            try:
                program = seccomp.build(wanted.calls)
                zygote = Zygote(program, inherited, limits, keeper.watch_process)
            except BaseException:
                keeper.abandon()
                raise
            keeper.watch_listener(zygote.listener)
            pad = self._pads[key] = _Pad(keeper, zygote, wanted)
            self._bell = self._bell or Doorbell()
        self._pads.move_to_end(key)
        return key, pad

    def _end(self, key: object, known: Iterable[int] = ()) -> None:
        """End a pad, and all that runs from it; `known` are pidfds of the target."""
        pad = self._pads.pop(key)
        listener = pad.zygote.listener
        pidfd.send(pad.zygote.pidfd, signal.SIGSTOP)
        for fd in known:
            pidfd.send(fd, signal.SIGKILL)
        Orphans(pad.zygote.pid).end()
        pidfd.send(pad.zygote.pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pad.zygote.pid, 0)
        if seccomp.deserted(listener, _PATIENCE):
            pad.keeper.dismiss()
        else:  # something hides from us: it ends at its next call
            pad.keeper.charge()
        pad.zygote.close()

    def rest(self) -> None:
        """Be ready for a fork(2) of this process: no thread of ours runs."""
        if self._bell is not None:
            self._bell.rest()

    def close(self) -> None:
        """End all pads."""
        for key in list(self._pads):
            self._end(key)
        if self._bell is not None:
            self._bell.close()
            self._bell = None
