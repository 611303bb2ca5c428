"""Begin a session and end it: launch or attach, whichever engine, and clean up behind it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from injector.engines.able import reason_for_ptrace, require_notify
from injector.engines.base import Engine
from injector.engines.notify import NotifyEngine, stopped_for
from injector.linux import libc, seccomp, yama
from injector.linux.doorbell import Doorbell
from injector.linux.ending import Orphans
from injector.linux.keeper import Keeper, leave_to, limit_descriptors, raise_descriptor_limit
from injector.linux.launch import Apart, launch, launch_traced
from injector.linux.signals import Signals
from injector.linux.slate import LISTENERS
from injector.linux.standin import stand_in
from injector.rules.decide import RulesDecider
from injector.rules.subscribe import subscriptions
from injector.session.session import Session
from injector.words.errors import InjectError, NotAvailable
from injector.words.model import Scenario
from injector.words.syscalls import Arch, compat, native

EngineName: TypeAlias = Literal["notify", "ptrace"]


def engine_for_run(wanted: str, scenario: Scenario, stacks: bool = False) -> tuple[EngineName, str]:
    """Return the engine to launch with, and why if it is not the usual one.

    Args:
        wanted: auto, notify or ptrace.

    Raises:
        NotAvailable: notify is asked for, and cannot do what the rules ask.
    """
    match wanted:
        case "notify":
            require_notify(scenario)
            if stacks:
                raise NotAvailable("--stacks needs the ptrace engine", help="leave --engine out")
            return "notify", ""
        case "ptrace":
            return "ptrace", ""
        case _:
            reason = "--stacks asks for call stacks" if stacks else reason_for_ptrace(scenario)
            return ("ptrace", reason) if reason else ("notify", "")


@contextmanager
def launched(
    command: list[str],
    decider: RulesDecider,
    scenario: Scenario,
    *,
    engine: EngineName,
    watched: frozenset[str] = frozenset(),
    timeout: int | None = None,
    kill_on_exit: bool = False,
    stacks: bool = False,
    apart: Apart | None = None,
    guard: Keeper | None = None,
) -> Iterator[Session]:
    """Start a command under an engine; its session is over, or it is killed, at the end.

    Args:
        watched: calls to stop besides those of the rules.
        timeout: nanoseconds, None for no end.
        kill_on_exit: our death ends the target; under ptrace it always does, but see `traced`.
        apart: its surroundings, where they are not ours. Then all below us that was not there
            before is its, and is killed at once when its time is up, or a while after its end.
        guard: a keeper to be used, and left for the next run unless this one ends by an error.

    Raises:
        InjectError: the command cannot be found, or what a run needs is refused.
    """
    signals = Signals(children=engine == "notify")
    orphans = Orphans() if apart is not None else None
    # Else a daemon of the target was out of our reach: no path, no address of its calls.
    adopts = engine == "notify" and orphans is None and yama.here().only_descendants
    running: Engine | None = None
    session: Session | None = None
    bell = None
    limits = None
    try:
        remain = engine == "notify" and not kill_on_exit and apart is None
        keeper = Keeper(remain=remain) if guard is None else guard
    except OSError as error:
        signals.close()
        raise _no_room(error) from error
    try:
        if orphans is not None:
            orphans.spare(keeper.pid)
        if adopts:
            libc.adopt_orphans(True)
        arches = arches_here()
        match engine:
            case "notify":
                wanted = stopped_for(scenario, watched, arches)
                program = seccomp.build(wanted.calls)
                target = launch(command, program, signals.inherited, keeper.watch_process, apart)
                bell = Doorbell()
                running = NotifyEngine(target, arches, bell, keeper, wanted)
            case "ptrace":
                from injector.engines.ptrace import TRACED, PtraceEngine, with_creations
                from injector.linux.ptrace import LAUNCH

                always = {*TRACED, *watched}
                stopped = with_creations(subscriptions(scenario.matches, always, arches))
                program = seccomp.build(stopped, seccomp.TRACE)
                target = launch_traced(
                    command, program, LAUNCH, signals.inherited, keeper.watch_process, apart
                )
                bell = Doorbell()
                running = PtraceEngine(
                    arches, named_calls(scenario) | always, bell, target, keeper.pid
                )
        # The target keeps its own limit; we hold descriptors for each of its processes.
        limits = raise_descriptor_limit()
        session = Session(
            running, decider, bell, signals, keeper, timeout, stacks=stacks, orphans=orphans
        )
        bell.start()
        yield session
        session.close()
    except BaseException as error:
        if session is not None:
            session.close()
        if orphans is not None:
            orphans.end()
        if running is not None:
            running.end()
        if bell is not None:
            bell.close()
        keeper.abandon()
        if running is not None:
            running.close()
        if _is_no_room(error):
            raise _no_room(error) from error
        raise
    else:
        bell.close()
        if guard is not None:
            guard.again()
        elif not session.left:
            keeper.dismiss()
        running.close()
    finally:
        if limits is not None:
            limit_descriptors(limits)
        if orphans is not None:
            orphans.close()
        if adopts:
            libc.adopt_orphans(False)
        signals.close()


@contextmanager
def traced(
    command: list[str],
    decider: RulesDecider,
    scenario: Scenario,
    *,
    watched: frozenset[str] = frozenset(),
    timeout: int | None = None,
    kill_on_exit: bool = False,
    stacks: bool = False,
) -> Iterator[Session]:
    """Start a command under ptrace so that it can be let go; this returns in a child.

    The process that called ends as the child does, or when the target is let go. The child has
    to stay then, for the filter needs its tracer: this ends when the target has.

    Args:
        watched: calls to stop besides those of the rules.
        timeout: nanoseconds, None for no end.
        kill_on_exit: the target ends when the process that called is killed.

    Raises:
        InjectError: the command cannot be found, or what a run needs is refused.
    """
    from injector.engines.ptrace import TRACED, PtraceEngine, with_creations
    from injector.linux.ptrace import LAUNCH

    before = Signals(children=False)
    try:
        signals = stand_in(before)
    except OSError as error:
        before.close()
        raise _no_room(error) from error
    running = session = bell = None
    try:
        arches = arches_here()
        always = {*TRACED, *watched}
        stopped = with_creations(subscriptions(scenario.matches, always, arches))
        program = seccomp.build(stopped, seccomp.TRACE)
        target = launch_traced(command, program, LAUNCH, signals.inherited)
        signals.step_aside()
        bell = Doorbell()
        running = PtraceEngine(arches, named_calls(scenario) | always, bell, target, can_stay=True)
        raise_descriptor_limit()
        session = Session(
            running,
            decider,
            bell,
            signals,
            signals,
            timeout,
            remains=not kill_on_exit,
            stacks=stacks,
        )
        bell.start()
        yield session
        session.close()
        if session.left:
            signals.stay()
            running.keep()
    except BaseException as error:
        if session is not None:
            session.close()
        if running is not None:
            running.end()
        if _is_no_room(error):
            raise _no_room(error) from error
        raise
    finally:
        if bell is not None:
            bell.close()
        if running is not None:
            running.close()
        signals.close()


def engine_for_attach(
    wanted: str, scenario: Scenario, pids: list[int], stacks: bool = False
) -> EngineName:
    """Return the engine to attach with: ptrace leaves nothing behind, so it is the usual one.

    Raises:
        NotAvailable: notify is asked for, and cannot do it.
    """
    if wanted != "notify":
        return "ptrace"
    require_notify(scenario)
    if stacks:
        raise NotAvailable("--stacks needs the ptrace engine", help="leave --engine out")
    if len(pids) > LISTENERS:
        raise NotAvailable(
            f"--engine notify attaches to {LISTENERS} processes at most, not to {len(pids)}",
            help="leave --engine notify out, or start one inject for some of them",
        )
    return "notify"


@contextmanager
def attached(
    pids: list[int],
    decider: RulesDecider,
    scenario: Scenario,
    *,
    watched: frozenset[str] = frozenset(),
    duration: int | None = None,
    stacks: bool = False,
) -> Iterator[Session]:
    """Trace running processes; they are let go, unharmed, at the end.

    Args:
        duration: nanoseconds after which to let go, None for never.

    Raises:
        InjectError: one of them cannot be attached to; then none is.
    """
    from injector.engines.ptrace import TRACED, PtraceEngine
    from injector.linux.ptrace import ATTACH
    from injector.linux.seize import require_process, seize_all

    for pid in pids:
        require_process(pid)
    signals = Signals(children=False)
    raise_descriptor_limit()
    bell = Doorbell()
    engine = PtraceEngine(arches_here(), named_calls(scenario) | TRACED | watched, bell)
    session = None
    try:
        for pid in pids:
            engine.attached(pid, seize_all(pid, ATTACH, engine.queue))
        session = Session(
            engine, decider, bell, signals, None, duration, leaves=True, stacks=stacks
        )
        bell.start()
        yield session
    finally:
        if session is not None:
            session.close()
        engine.end()
        bell.close()
        engine.close()
        signals.close()


@contextmanager
def grafted(
    pids: list[int],
    decider: RulesDecider,
    scenario: Scenario,
    *,
    watched: frozenset[str] = frozenset(),
    duration: int | None = None,
) -> Iterator[Session]:
    """Put a filter into running processes; at the end a keeper answers for it, until theirs.

    Args:
        duration: nanoseconds after which to let go, None for never.

    Raises:
        InjectError: one cannot get a filter. None has one then, unless the kernel refused it
            behind all that can be asked before.
    """
    from injector.linux.graft import graft, require_graftable
    from injector.linux.seize import require_process

    for pid in pids:
        require_process(pid)
        require_graftable(pid)
    arches = arches_here()
    wanted = stopped_for(scenario, watched, arches)
    program = seccomp.build(wanted.calls)
    signals = Signals()
    try:
        keeper = Keeper(begun=True)
    except OSError as error:
        signals.close()
        raise _no_room(error) from error
    raise_descriptor_limit()
    targets: list[seccomp.Grafted] = []
    try:
        ends: list[seccomp.Listener] = []
        for index, pid in enumerate(pids):
            targets.append(graft(pid, program, keeper, index, ends))
            ends.append(seccomp.Listener(targets[-1].listener, keeper.slate, index))
    except BaseException as error:
        # It may have a listener also of the one that failed.
        keeper = leave_to(keeper, [one.listener for one in targets])
        signals.close()
        if targets and isinstance(error, InjectError):
            raise _half_done(error, targets, keeper) from error
        raise
    engine = bell = session = None
    try:
        bell = Doorbell()
        engine = NotifyEngine(targets, arches, bell, keeper, wanted)
        session = Session(engine, decider, bell, signals, keeper, duration, leaves=True)
        bell.start()
        yield session
    finally:
        if session is not None:
            session.close()
        if session is not None and session.ended is not None and not session.left:
            keeper.dismiss()  # the process has ended
        elif engine is not None:
            engine.end()
        else:
            leave_to(keeper, [one.listener for one in targets])
        if bell is not None:
            bell.close()
        if engine is not None:
            engine.close()
        signals.close()


def _half_done(error: InjectError, targets: list[seccomp.Grafted], keeper: Keeper) -> InjectError:
    whom = ", ".join(str(one.pid) for one in targets)
    remain = (
        f"{whom} had a filter already: until their end the keeper (pid {keeper.pid}) lets their "
        "calls be made"
    )
    return InjectError(
        error.message, help="; ".join(filter(None, (error.help, remain))), status=error.status
    )


def named_calls(scenario: Scenario) -> frozenset[str]:
    """Return the calls that the rules name."""
    return frozenset().union(*(rule.match.syscalls for rule in scenario.rules))


def arches_here() -> tuple[Arch, ...]:
    """Return the architectures whose calls a program of this machine can make."""
    return (native(), *compat(native()))


def _is_no_room(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
    return isinstance(error, RuntimeError) and "thread" in str(error)


def _no_room(error: BaseException) -> InjectError:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return InjectError(
        f"the system refused what a run needs: {text}",
        help="ulimit -a shows the limits; a run needs two processes, a thread and two "
        "descriptors for each process of the target",
    )
