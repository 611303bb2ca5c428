"""A process that makes runs for another one, one after the other.

A run needs a process of its own: it traces from the main thread, adopts what the target leaves
and takes signals. So whoever makes many starts hands and gives them work over a pipe; a hand
that dies takes one run with it. Its main part is at the end: `serve`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from injector.campaigns.folders import claim, hold, remove
from injector.campaigns.trial import Bench
from injector.linux import libc
from injector.words.errors import InjectError

T = TypeVar("T")

_MOST = 1000  # runs of one hand: what libraries lose at each of them stays bounded
_IDLE = 0.3  # seconds to see that no more is asked for
_PATIENCE = 10.0  # seconds that a run has to clean up behind itself


class HandLost(InjectError):
    """A hand died in the midst of a run."""


class Hand:
    """Our end of one."""

    def __init__(self) -> None:
        self._made = 0
        self._closed = False
        self._folder, self._held = claim()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from injector.campaigns.hand import serve; serve({os.getpid()}, {self._folder!r})"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # ^C is for us; we tell it
        )

    def do(self, work: Callable[[Bench], T]) -> T:
        """Have it call a function with its bench; return what that returned, raise what it raised.

        Raises:
            HandLost: it died.
        """
        if self._made >= _MOST:
            self._renew()
        self._made += 1
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(work, process.stdin)
            process.stdin.flush()
            done, value = pickle.load(process.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            if not self._closed:
                self._renew()
            raise HandLost(
                f"the process that made a run ended with status {process.returncode}",
                help="was it killed for want of memory? Fewer --jobs may help",
            ) from error
        if not done:
            assert isinstance(value, BaseException)
            raise value
        result: T = value
        return result

    def dismiss(self) -> None:
        """Let it end when it has nothing to do; `close` waits for that."""
        self._closed = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self) -> None:
        """End it; a run that it is making is given up, and cleaned up behind."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        _end(self._process)
        remove(self._folder)  # if it was killed, it could not
        os.close(self._held)

    def _renew(self) -> None:
        self._end()
        self._folder, self._held = claim()
        self._process, self._made = self._start(), 0


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    # An idle one ends by itself, a busy one must be told.
    for last, patience in ((signal.SIGTERM, _IDLE), (signal.SIGKILL, _PATIENCE)):
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(last)
    process.wait()
    process.stdout.close()


def serve(parent: int, folder: str) -> None:
    """Do what is asked for on descriptor 0, answer on 1, until it is closed.

    Args:
        folder: for temporary files; removed at the end.
    """
    signal.signal(signal.SIGTERM, _interrupt)
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
