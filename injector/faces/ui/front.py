"""The process in front of a live session: it keeps the terminal safe and loses no output.

    front ── holder (leads the pseudo-terminal's session) ── inject, as without --live ── target
      └──── dashboard

The front copies the pseudo-terminal's output into the spool, which the dashboard reads and which
goes to the real terminal in the end. Whatever becomes of the dashboard, the front gives the
terminal back as it was; then it passes output and keys through until the session is over.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from injector.faces.cli.printer import say
from injector.faces.ui.leaving import Leaving
from injector.faces.ui.replayed import Replayed
from injector.faces.ui.terminal import ENTER, RESET, Terminal
from injector.linux import rendezvous, terminal
from injector.linux.signals import die_by
from injector.words.errors import InjectError

_PART = 1 << 16
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
_HANDLED = (*_FORWARDED, signal.SIGCHLD, signal.SIGWINCH, signal.SIGTSTP)
_NUMBER = struct.Struct("=i")
_FAILED = 39  # exit status of a dashboard that could not be shown
_LOST = 125 << 8  # the wait status of a session of which nobody told
_SOON = 0.01  # seconds between two looks for a session that begins


def refusal() -> str:
    """Return why no dashboard can be shown here, "" if it can."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return "TERM says that this terminal can only print lines"
    tty = terminal.controlling()
    if tty is None:
        return "there is no terminal"
    os.close(tty)
    try:
        rendezvous.check()
    except InjectError as error:
        return error.message + (f"; {error.help}" if error.help else "")
    return ""


def take_up(*, output: bool) -> None:
    """Go on as the session of a dashboard; returns in a new process, whose terminal is another.

    The process that called is its front, and ends when the session has.

    Args:
        output: the target writes to our terminal, so that the dashboard has a pane for it.

    Raises:
        InjectError: there is no pseudo-terminal to be had.
    """
    tty = terminal.controlling()
    assert tty is not None  # refusal() has looked
    try:
        master, slave = terminal.pair(tty)
    except OSError as error:
        os.close(tty)
        raise InjectError(
            f"no pseudo-terminal for the target: {error.strerror}", help="leave --live out"
        ) from error
    told, tell = os.pipe()
    life, hold = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    holder = os.fork()
    if holder == 0:
        for fd in (master, told, hold, tty):
            os.close(fd)
        _hold(slave, tell, life)  # returns in the session's process
        return
    for fd in (slave, tell, life):
        os.close(fd)
    try:
        _Front(tty, master, told, holder, output=output).run()
    except BaseException:
        traceback.print_exc()
    os._exit(125)


def _hold(slave: int, tell: int, life: int) -> None:
    """Lead the session of the pseudo-terminal; fork the one that returns, and outlive it.

    When a session's leader ends, the kernel hangs up on its foreground processes; a target that
    was let go must not see that.
    """
    terminal.lead(slave)
    session = os.fork()
    if session == 0:
        os.close(tell)
        os.close(life)
        for fd in range(3):
            if os.isatty(fd):
                os.dup2(slave, fd)
        if slave > 2:
            os.close(slave)
        return
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGCHLD})
        os.write(tell, _NUMBER.pack(session))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(slave)
        ended = os.pidfd_open(session)
        ready, _, _ = select.select([ended, life], [], [])
        if ended in ready:
            _, status = os.waitpid(session, 0)
            os.write(tell, _NUMBER.pack(status))
            os.read(life, 1)  # at its end nobody needs the terminal any more
    finally:
        os._exit(0)  # the kernel sends SIGHUP to who is left in the foreground


class _Front:
    """The loop: output into the spool or through, signals on, until all is over."""

    def __init__(self, tty: int, master: int, told: int, holder: int, *, output: bool) -> None:
        self._tty = tty
        self._master = master
        self._told = told
        self._holder = holder
        self._output = output
        self._before = terminal.modes(tty)
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115
        self._replayed = Replayed()
        self._relaying = False
        self._dashboard = 0
        self._left: int | None = None  # the dashboard's exit status
        self._status: int | None = None  # the session's wait status
        self._session = 0
        self._complaints = b""
        self._guard = -1  # closed, it ends the dashboard
        self._ending = False
        self._master_over = False
        self._full = False  # the spool takes no more
        self._rest = b""

    def run(self) -> NoReturn:
        """Carry it to its end; then end as the session did."""
        self._session = self._number()
        woken, wake = os.pipe()
        for fd in (woken, wake, self._master):
            os.set_blocking(fd, False)
        for number in _HANDLED:
            signal.signal(number, _nothing)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._dashboard, complaints, self._guard = self._show()
        poll = select.poll()
        for fd in (self._master, self._told, woken, complaints):
            poll.register(fd, select.POLLIN)
        while not self._over():
            for fd, _ in poll.poll():
                if fd == self._master:
                    if not self._copy():
                        poll.unregister(self._master)
                        self._master_over = True
                elif fd == self._told:
                    self._status = self._number()
                    poll.unregister(self._told)
                    self._dismiss()
                elif fd == woken:
                    for byte in os.read(woken, 512):
                        self._signalled(byte)
                elif fd == complaints:
                    data = os.read(complaints, _PART)
                    self._complaints += data
                    if not data:
                        poll.unregister(complaints)
                elif fd == self._tty:
                    self._type(poll)
            if self._left is not None and not self._relaying:
                self._relay(poll)
        self._end()

    def _number(self) -> int:
        data = os.read(self._told, _NUMBER.size)
        if len(data) == _NUMBER.size:
            return int(_NUMBER.unpack(data)[0])
        self._complaints += b"the process that holds the terminal was killed\n"
        return _LOST

    def _over(self) -> bool:
        return self._status is not None and self._left is not None

    def _show(self) -> tuple[int, int, int]:
        """Fork the dashboard; return it, the pipe of its complaints, and what ends it."""
        heard, complain = os.pipe()
        guard, alive = os.pipe()
        front = os.getpid()
        pid = os.fork()
        if pid:
            os.close(complain)
            os.close(guard)
            return pid, heard, alive
        with _last_words():
            os.close(heard)
            os.close(alive)
            os.close(self._told)
            _default_signals()
            os.nice(5)
            from injector.faces.ui import loop
            from injector.faces.ui.output import Output

            if not _begun(self._session):
                os._exit(Leaving.ENDED)
            output = Output(self._spool.fileno(), self._master, shown=self._output)
            with Terminal(self._tty) as screen:
                left = loop.run(
                    screen,
                    self._session,
                    output,
                    guard,
                    owner=True,
                    complain=lambda text: _tell(complain, text),
                )
            if os.getppid() != front:  # killed: nobody else can show it any more
                self._replay()
                self._print(self._replayed.undo())
            os._exit(left)
        os._exit(_FAILED)

    # -- what happens --------------------------------------------------------------

    def _copy(self) -> bool:
        try:
            data = os.read(self._master, _PART)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the other end open any more
            return False
        if self._relaying:
            self._print(self._replayed.seen(data))
            return bool(data)
        try:
            while data:
                data = data[os.write(self._spool.fileno(), data) :]
        except OSError as error:
            self._rest += data
            if not self._full:
                self._full = True
                text = f"the target's output cannot be kept: {error.strerror}"
                self._complaints += text.encode() + b"\n"
                os.kill(self._dashboard, signal.SIGKILL)
        return True

    def _print(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # hung up
            while data:
                data = data[os.write(self._tty, data) :]

    def _replay(self) -> None:
        """Write all of the spool, and a rest that it did not take."""
        at = 0
        while data := os.pread(self._spool.fileno(), _PART, at):
            at += len(data)
            self._print(self._replayed.quiet(data))
        self._print(self._replayed.quiet(self._rest) + self._replayed.rest())
        self._rest = b""

    def _signalled(self, number: int) -> None:
        match number:
            case signal.SIGCHLD:
                self._reap()
            case signal.SIGWINCH if self._relaying:
                terminal.set_size(self._master, *terminal.size(self._tty))
            case signal.SIGTSTP:
                self._suspend()
            case _ if number in _FORWARDED:
                self._ending = self._ending or number in _ENDING
                if self._status is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._session, number)
                self._dismiss()
            case _:
                pass

    def _dismiss(self) -> None:
        """Close the dashboard, once the session is over and somebody asked us to end."""
        if self._ending and self._status is not None and self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def _reap(self) -> None:
        if self._left is None:
            pid, status = os.waitpid(self._dashboard, os.WNOHANG)
            if pid:
                self._left = status

    def _suspend(self) -> None:
        """Stop as a job does, the terminal as it was; on again, take it up."""
        drawing = self._left is None
        if drawing:
            os.kill(self._dashboard, signal.SIGSTOP)
            _, status = os.waitpid(self._dashboard, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                self._left = status
                return
            self._print(RESET)
        terminal.restore(self._tty, self._before)
        _stop()
        if drawing:
            terminal.raw(self._tty)
            self._print(ENTER)
            os.kill(self._dashboard, signal.SIGCONT)
            os.kill(self._dashboard, signal.SIGWINCH)  # draw all of it
        elif self._relaying:
            terminal.raw(self._tty)

    def _relay(self, poll: select.poll) -> None:
        """Without a dashboard: show what it held back, and pass all through from now on."""
        assert self._left is not None
        left = os.waitstatus_to_exitcode(self._left)
        well = left in set(Leaving)
        if not well:
            self._print(RESET)
        terminal.set_size(self._master, *terminal.size(self._tty))
        self._relaying = True
        terminal.raw(self._tty)
        self._replay()
        terminal.restore(self._tty, self._before)
        self._complain()
        if self._status is None:
            if left == Leaving.LEAVE:
                say(f"inject: the faults go on; inject watch {self._session} shows them")
            if not well:
                self._explain(left)
            terminal.raw(self._tty)
            poll.register(self._tty, select.POLLIN)

    def _explain(self, left: int) -> None:
        how = f"killed by {signal.Signals(-left).name}" if left < 0 else f"status {left}"
        if left != _FAILED and not self._full:
            say(f"inject: the dashboard ended ({how}); inject watch {self._session} brings it back")

    def _complain(self) -> None:
        for line in self._complaints.decode(errors="replace").splitlines():
            say(f"inject: {line}")
        self._complaints = b""

    def _type(self, poll: select.poll) -> None:
        try:
            data = os.read(self._tty, _PART)
        except OSError:
            data = b""
        if not data:
            poll.unregister(self._tty)
        with contextlib.suppress(OSError):  # more than it takes is dropped, as terminals do
            os.write(self._master, data)

    # -- the end -------------------------------------------------------------------

    def _end(self) -> NoReturn:
        while not self._master_over and select.select([self._master], [], [], 0)[0]:
            self._master_over = not self._copy()
        self._print(self._replayed.undo())
        terminal.restore(self._tty, self._before)
        self._complain()
        assert self._status is not None
        if not self._master_over and self._still_open():
            self._go_on_behind()
        if os.WIFSIGNALED(self._status):
            die_by(os.WTERMSIG(self._status))
        os._exit(os.waitstatus_to_exitcode(self._status))

    def _still_open(self) -> bool:
        """Return whether anybody has the other end: a target that runs on without us."""
        poll = select.poll()
        poll.register(self._master, 0)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    def _go_on_behind(self) -> None:
        """Leave a process that shows what is still written, as a background job would."""
        # Before the fork: should we lead our terminal's session, our end is a SIGHUP for it.
        for number in (signal.SIGHUP, signal.SIGTTOU, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork():
            return
        os.setpgid(0, 0)
        os.set_blocking(self._master, True)
        while self._copy():
            pass
        os._exit(0)


def guard(run: Callable[[Terminal, int, Callable[[str], None]], int]) -> int:
    """Run a dashboard in a process of its own; give the terminal back whatever becomes of it.

    Returns:
        Its exit status, negative the signal that ended it.
    """
    tty = terminal.controlling()
    assert tty is not None  # refusal() has looked
    before = terminal.modes(tty)
    heard, complain = os.pipe()
    watched, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        with _last_words():
            os.close(heard)
            os.close(alive)
            _default_signals()
            os.nice(5)
            with Terminal(tty) as screen:
                left = run(screen, watched, lambda text: _tell(complain, text))
            os._exit(left)
        os._exit(_FAILED)
    os.close(complain)
    os.close(watched)
    for number in (*_ENDING, signal.SIGTSTP):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        os.write(tty, RESET)
        terminal.restore(tty, before)
        _stop()
        terminal.raw(tty)
        os.write(tty, ENTER)
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGWINCH)
    left = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):
        if left < 0 or left == _FAILED:
            os.write(tty, RESET)
    terminal.restore(tty, before)
    for line in _everything(heard).decode(errors="replace").splitlines():
        say(f"inject: {line}")
    return left


@contextlib.contextmanager
def _last_words() -> Iterator[None]:
    """Have nothing of a forked dashboard return into its parent's code."""
    try:
        yield
    except InjectError as error:
        say(f"inject: {error.message}")
    except BaseException:
        traceback.print_exc()


def _tell(fd: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(fd, text.encode(errors="replace") + b"\n")


def _everything(fd: int) -> bytes:
    data = b""
    while part := os.read(fd, _PART):
        data += part
    return data


def _begun(session: int) -> bool:
    """Wait until a session can be watched; return False if it ends before that."""
    while True:
        try:
            rendezvous.connect(session).close()
            return True
        except InjectError:
            if not os.path.exists(f"/proc/{session}"):
                return False
            time.sleep(_SOON)


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)


def _stop() -> None:
    """Stop as a job until somebody continues it; not at all where no shell could.

    signal(7): the kernel discards this stop in an orphaned process group, SIGSTOP's it does not.
    """
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)


def _nothing(*_: object) -> None:
    """Only wake the loop."""
