"""A process that makes runs for another one, one after the other.

A run needs a process of its own: it traces from the main thread, adopts what the target leaves
and takes signals. So whoever makes many starts hands and gives them work over a pipe; a hand
that dies takes one run with it. Its main part is at the end: `serve`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from injector.campaigns.folders import claim, hold, remove
from injector.campaigns.trial import Bench
from injector.linux import libc, pidfd
from injector.words.errors import InjectError

T = TypeVar("T")

_COLLECT = 50_000  # objects that are made between two looks for cycles: tens of runs
_MOST = 1000  # runs of one hand: what libraries lose at each of them stays bounded
_IDLE = 0.3  # seconds to see that no more is asked for
_PATIENCE = 10.0  # seconds that a run has to clean up behind itself


class HandLost(InjectError):
    """A hand died in the midst of a run."""


@dataclass(frozen=True, slots=True)
class _Child:
    """A hand's process, with a pidfd of it and our ends of its pipes."""

    pid: int
    pidfd: int
    asks: BinaryIO
    answers: BinaryIO

    @classmethod
    def made(cls, folder: str) -> _Child:
        """Start one that makes its runs in a folder."""
        asked, ask = os.pipe2(os.O_CLOEXEC)
        answers, answer = os.pipe2(os.O_CLOEXEC)
        try:
            pid = (_forked if threading.active_count() == 1 else _executed)(folder, asked, answer)
        finally:
            os.close(asked)
            os.close(answer)
        return cls(pid, os.pidfd_open(pid), os.fdopen(ask, "wb"), os.fdopen(answers, "rb"))

    def end(self) -> int:
        """Have it end, wait for that; return its exit status, -N if signal N killed it."""
        with contextlib.suppress(OSError):
            self.asks.close()
        # An idle one ends by itself, a busy one must be told.
        for last, patience in ((signal.SIGTERM, _IDLE), (signal.SIGKILL, _PATIENCE)):
            if pidfd.ended(self.pidfd, patience):
                break
            pidfd.send(self.pidfd, last)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # SIGCHLD is ignored here, as whoever started us had it
            pidfd.ended(self.pidfd, _PATIENCE)
            status = 0
        os.close(self.pidfd)
        self.answers.close()
        return os.waitstatus_to_exitcode(status)


def _forked(folder: str, asked: int, answer: int) -> int:
    """Make a child of what we are: all that it needs is loaded."""
    parent = os.getpid()
    # Else ^C could find the child in the midst of what its parent was at.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    status = 1
    try:
        os.setsid()  # ^C is for us; we tell it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for fd, standard in ((asked, 0), (answer, 1)):
            os.dup2(fd, standard)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        gc.freeze()  # what is here already is not looked through each time, nor copied for it
        serve(parent, folder)
        status = 0
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _executed(folder: str, asked: int, answer: int) -> int:
    """Make a child that begins anew: a fork(2) among threads may find a lock held for ever."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from injector.campaigns.hand import serve\n"
        f"try: serve({os.getpid()}, {folder!r})\n"
        "except KeyboardInterrupt: pass"
    )
    made = subprocess.Popen(
        [sys.executable, "-c", program], stdin=asked, stdout=answer, start_new_session=True
    )
    made.returncode = 0  # waited for elsewhere
    return made.pid


class Hand:
    """Our end of one. Two threads may give it work: it need not wait for the second's."""

    def __init__(self) -> None:
        self._made = 0
        self._closed = False
        # Who asks takes the second before it lets go of the first: they are answered in turn.
        self._asking, self._answering = threading.Lock(), threading.Lock()
        self._life = threading.Lock()  # of the child
        self._folder, self._held = claim()
        self._child = _Child.made(self._folder)

    def do(self, work: Callable[[Bench], T]) -> T:
        """Have it call a function with its bench; return what that returned, raise what it raised.

        Raises:
            HandLost: it died at it.
        """
        with self._asking:
            if self._made >= _MOST:
                with self._answering:  # it has nothing to do
                    self._renew()
            child = self._ask(work)
            self._answering.acquire()
        try:
            if child is not self._child:  # it died before it came to this
                child = self._ask(work)
            done, value = self._answer(child)
        finally:
            self._answering.release()
        if not done:
            assert isinstance(value, BaseException)
            raise value
        result: T = value
        return result

    def _ask(self, work: Callable[[Bench], T]) -> _Child:
        """Write to it what it is to do, whether it is there or not; return who was told."""
        child, wish = self._child, pickle.dumps(work)
        self._made += 1
        with contextlib.suppress(OSError, ValueError):  # that there is no answer tells
            child.asks.write(wish)
            child.asks.flush()
        return child

    def _answer(self, child: _Child) -> tuple[bool, Any]:
        try:
            done, value = pickle.load(child.answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            status = self._renew()
            raise HandLost(
                f"the process that made a run ended with status {status}",
                help="was it killed for want of memory? Fewer --jobs may help",
            ) from error
        return done, value

    def dismiss(self, *, now: bool = False) -> None:
        """Let it end when it has nothing to do, or now; `close` waits for that."""
        self._closed = True
        with self._life:
            if now:
                # First: who writes to it may wait for it to read.
                pidfd.send(self._child.pidfd, signal.SIGTERM)
            with contextlib.suppress(OSError):
                self._child.asks.close()

    def close(self) -> None:
        """End it; the runs that it has are given up, and cleaned up behind."""
        self._closed = True
        with self._life:
            self._end()

    def _end(self) -> int:
        status = self._child.end()
        remove(self._folder)  # if it was killed, it could not
        os.close(self._held)
        return status

    def _renew(self) -> int | None:
        """Return how it ended; there is another one then, unless it is closed."""
        with self._life:
            if self._closed:
                return None
            status = self._end()
            self._folder, self._held = claim()
            self._child, self._made = _Child.made(self._folder), 0
            return status


def serve(parent: int, folder: str) -> None:
    """Do what is asked for on descriptor 0, answer on 1, until it is closed.

    Args:
        folder: for temporary files; removed at the end.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    gc.set_threshold(_COLLECT)
    bench = None
    try:
        libc.die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            return
        hold(folder)  # to our end
        tempfile.tempdir = folder
        bench = Bench(os.path.join(folder, "run"))
        asked, answers = (_taken(fd) for fd in (0, 1))
        reader, writer = os.fdopen(asked, "rb"), os.fdopen(answers, "wb")
        while True:
            _answer(writer, pickle.load(reader), bench)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if bench is not None:
            bench.close()
        remove(folder)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _taken(fd: int) -> int:
    """Move a standard descriptor away from where targets look for theirs."""
    moved = os.dup(fd)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)
    return moved


def _answer(writer: BinaryIO, work: Callable[[Bench], Any], bench: Bench) -> None:
    try:
        answer = pickle.dumps((True, work(bench)))
    except Exception as error:
        answer = _error(error)
    writer.write(answer)
    writer.flush()


def _error(error: Exception) -> bytes:
    try:
        raw = pickle.dumps((False, error))
        pickle.loads(raw)
    except Exception:
        return pickle.dumps((False, InjectError(f"{type(error).__name__}: {error}")))
    return raw
