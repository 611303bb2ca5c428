"""Start a program under a filter, and take the filter's listener, or trace it.

The child tells which descriptor number its listener will get, installs the
filter and executes the program; the execve is itself stopped by the filter, so
it waits until the parent has the listener (pidfd_getfd(2)). No call is needed
in the child to hand the listener over: the filter might stop that call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from injector.linux import libc, procfs, seccomp, yama
from injector.linux.signals import Inherited
from injector.words.errors import InjectError, NotifyRefused

if TYPE_CHECKING:
    from injector.linux.forker import Forker

_REPORT = struct.Struct("=Bi")  # what, number
_LISTENER, _SECCOMP_FAILED, _EXEC_FAILED, _NO_NEW_PRIVS = range(4)
_LOOK = 0.0002  # seconds between two looks whether its listener is there
_GRACE = 10.0  # seconds a child has to install its filter


@dataclass(frozen=True, slots=True)
class Apart:
    """A target's surroundings where they are not ours: it runs in a session of its own.

    `stdio` are its descriptors 0 to 2, as ours are numbered; `environment` None is ours.
    `forker` makes its process, None: we do.
    """

    stdio: tuple[int, int, int]
    cwd: str
    environment: tuple[bytes, ...] | None = None
    forker: Forker | None = None

    def enter(self) -> None:
        """Make them this process's, which is about to execute the target."""
        os.setsid()
        os.chdir(self.cwd)
        for place, fd in enumerate(self.stdio):
            os.dup2(fd, place)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                with contextlib.suppress(OSError):  # the one that this list was read by
                    os.set_inheritable(int(name), False)


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that waits in its execve for an answer on `listener`, -1 if it is traced.

    `report` becomes readable at end-of-file when execve succeeded and holds one
    report when it failed; see `exec_state`.
    """

    path: str
    pid: int
    pidfd: int
    listener: int
    report: int
    no_new_privs: bool = False


def hold_standard_descriptors() -> None:
    """Occupy those of the descriptors 0 to 2 that are closed, until execve(2).

    Else a pipe or the journal of ours got such a number, and what we say went into it.
    The target sees them closed, as without us.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # the lowest free number is this one
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def find(command: str, folder: str = "") -> str:
    """Return the path execve(2) is to be given, found as execvp(3) finds it from a folder.

    Raises:
        InjectError: status 127 if there is none, 126 if it cannot be executed.
    """
    if "/" in command:
        _require_program(os.path.join(folder, command))
        return command
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    refused = None
    for place in folders if command else ():
        path = os.path.join(place or ".", command)
        try:
            _require_program(os.path.join(folder, path))
        except InjectError as error:
            if error.status == 126 and not os.path.isdir(os.path.join(folder, path)):
                refused = refused or error
            continue
        return path
    raise refused or InjectError(
        f"{command or repr(command)}: command not found",
        help="it is not in any folder of PATH",
        status=127,
    )


def _require_program(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.ENOENT:
            raise InjectError(f"{path}: no such file", status=127) from error
        text = os.strerror(number) if number else str(error)
        raise InjectError(f"{path}: {text}", status=126) from error
    if stat.S_ISDIR(mode):
        raise InjectError(f"{path}: is a directory", status=126)
    if not os.access(path, os.X_OK):
        raise InjectError(f"{path}: not executable", help=f"chmod +x {path}", status=126)


def filter_ourselves(program: bytes, flags: int, report: int) -> int:
    """Put a filter into this process, and tell by `report` which number its listener gets.

    Return that number. Ends this process where the kernel refuses, and says so first.
    """
    lowest = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    os.close(lowest)
    os.write(report, _REPORT.pack(_LISTENER, lowest))
    for _ in range(3):
        try:
            seccomp.install(program, flags)
            break
        except OSError as error:
            if error.errno == errno.EINVAL and flags & seccomp.WAIT_KILLABLE_RECV:
                flags &= ~seccomp.WAIT_KILLABLE_RECV
            elif error.errno == errno.EACCES:
                libc.set_no_new_privs()
                os.write(report, _REPORT.pack(_NO_NEW_PRIVS, 1))
            else:
                os.write(report, _REPORT.pack(_SECCOMP_FAILED, error.errno or 0))
                os._exit(125)
    return lowest


def child(
    path: str,
    argv: list[str],
    program: bytes,
    report: int,
    go: int,
    inherited: Inherited,
    flags: int,
    apart: Apart | None,
) -> NoReturn:
    """Become the command: wait for `go`, install the filter, execute; tell by `report` how."""
    try:
        # Whoever starts us may die before the keeper knows of us.
        if not os.read(go, 1):
            os._exit(125)
        os.close(go)
        environment = procfs.environment()
        words = [os.fsencode(word) for word in argv]
        inherited.restore()
        if apart is not None:
            apart.enter()
            if apart.environment is not None:
                environment = list(apart.environment)
        filter_ourselves(program, flags, report)
        try:
            libc.execve(os.fsencode(path), words, environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # A script without "#!": execvp(3) hands it to the shell, so do env(1) and others.
            words[:1] = [b"/bin/sh", os.fsencode(path)]
            libc.execve(b"/bin/sh", words, environment)
    except OSError as error:
        os.write(report, _REPORT.pack(_EXEC_FAILED, error.errno or 0))
    finally:
        os._exit(127)


def _refused(number: int) -> InjectError:
    if number == errno.EBUSY:
        return NotifyRefused(
            "another supervisor already listens to this process tree (seccomp: EBUSY)",
            help="this happens inside another `inject run` and some container managers; "
            "leave --engine out, or start the command outside of it",
        )
    return NotifyRefused(
        f"the kernel refused the filter: {os.strerror(number)}",
        help="`inject doctor` says what this machine allows",
    )


def launch(
    argv: list[str],
    program: bytes,
    inherited: Inherited | None = None,
    guard: Callable[[int], None] | None = None,
    apart: Apart | None = None,
) -> Launched:
    """Fork, filter and execute; return when the listener is ours.

    Args:
        argv: the command; its first word is looked up as a shell does.
        program: BPF from `seccomp.build`, which must stop execve.
        inherited: the signal mask and dispositions the target gets.
        guard: told the child's pidfd before the child has a filter.
        apart: its surroundings, where they are not ours.

    Raises:
        InjectError: the command cannot be found or executed, or the kernel
            refuses the filter or the listener.
    """
    flags = seccomp.NEW_LISTENER | seccomp.WAIT_KILLABLE_RECV
    with _forked(argv, program, inherited, flags, apart) as child:
        if guard is not None:
            guard(child.pidfd)
        child.go()
        listener, restricted = take_listener(child.path, child.pidfd, child.report)
        return Launched(child.path, child.pid, child.pidfd, listener, child.report, restricted)


def launch_traced(
    argv: list[str],
    program: bytes,
    options: int,
    inherited: Inherited | None = None,
    guard: Callable[[int], None] | None = None,
    apart: Apart | None = None,
) -> Launched:
    """Fork, trace, filter and execute; return when the child is on its way to execve.

    Args:
        program: BPF whose stops are SECCOMP_RET_TRACE.
        options: of PTRACE_SEIZE.

    Raises:
        InjectError: the command cannot be found, or the child not be traced.
    """
    with _forked(argv, program, inherited, 0, apart) as child:
        if guard is not None:
            guard(child.pidfd)
        from injector.linux import ptrace  # its binding costs the other engine's start too much

        try:
            ptrace.seize(child.pid, options)
        except OSError as error:
            raise _closed("trace a child of ours", error, "ptrace-seize") from error
        child.go()
        what, number = _REPORT.unpack(os.read(child.report, _REPORT.size))
        if what != _LISTENER:
            raise InjectError(f"{child.path}: {os.strerror(number)}")
        return Launched(child.path, child.pid, child.pidfd, -1, child.report)


def _closed(what: str, error: OSError, topic: str) -> InjectError:
    rule = yama.here()
    if error.errno == errno.EPERM and rule.forbids_children:
        return InjectError(f"cannot {what}: {rule}", help=rule.remedy_for_children())
    return InjectError(
        f"cannot {what}: {error.strerror}",
        help=f"`inject doctor` says what this machine allows ({topic}, yama)",
    )


class _Forked:
    """Our child before it has a filter: it waits for `go`."""

    def __init__(self, path: str, pid: int, report: int, start: int) -> None:
        self.path = path
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.report = report
        self._start = start

    def go(self) -> None:
        """Let it install its filter and execute the command."""
        os.write(self._start, b"g")

    def __enter__(self) -> _Forked:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self._start)
        if kind is None:
            return
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        os.close(self.report)


def _forked(
    argv: list[str],
    program: bytes,
    inherited: Inherited | None,
    flags: int,
    apart: Apart | None,
) -> _Forked:
    procfs.require()
    path = find(argv[0], apart.cwd if apart is not None else "")
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    go, start = os.pipe2(os.O_CLOEXEC)
    wanted = inherited or Inherited()
    try:
        if apart is not None and apart.forker is not None:
            pid = apart.forker.fork(path, argv, program, write_end, go, wanted, flags, apart)
        else:
            pid = os.fork()
        if pid == 0:
            os.close(start)
            child(path, argv, program, write_end, go, wanted, flags, apart)
    except BaseException:
        os.close(read_end)
        os.close(start)
        raise
    finally:
        os.close(write_end)
        os.close(go)
    return _Forked(path, pid, read_end, start)


def take_listener(path: str, pidfd: int, report: int) -> tuple[int, bool]:
    """Return the listener of a process that filters itself, and whether it has no_new_privs.

    Raises:
        InjectError: it could not be had.
    """
    what, number = _REPORT.unpack(os.read(report, _REPORT.size))
    if what != _LISTENER:
        raise InjectError(f"{path}: {os.strerror(number)}")
    poll = select.poll()
    poll.register(report, select.POLLIN)
    restricted = False
    deadline = time.monotonic() + _GRACE
    while True:
        listener = -1
        try:
            listener = libc.pidfd_getfd(pidfd, number)
        except OSError as error:
            # It may have been refused, reported that and ended before we looked.
            if error.errno not in (errno.EBADF, errno.ESRCH):
                raise _closed("take the listener from the child", error, "pidfd-getfd") from error
            time.sleep(_LOOK)  # poll(2) would wait for a whole millisecond
        # Where there is a listener, what the filter took has been reported before.
        if poll.poll(0):
            data = os.read(report, _REPORT.size)
            if not data:
                raise InjectError("the child was killed before it executed the command")
            what, value = _REPORT.unpack(data)
            if what != _NO_NEW_PRIVS:
                raise _refused(value)
            restricted = True
        if listener >= 0:
            return listener, restricted
        if time.monotonic() > deadline:
            raise InjectError("the child did not install its filter in time")


@dataclass(frozen=True, slots=True)
class Started:
    """The execve of a launched child is done: it succeeded."""

    no_new_privs: bool = False


def exec_state(launched: Launched) -> Started | InjectError | None:
    """Return None while the execve is not done, then how it went. Never blocks."""
    poll = select.poll()
    poll.register(launched.report, select.POLLIN)
    restricted = launched.no_new_privs
    while poll.poll(0):
        data = os.read(launched.report, _REPORT.size)
        if not data:
            return Started(restricted)
        what, number = _REPORT.unpack(data)
        if what == _EXEC_FAILED:
            return _not_executed(launched.path, number)
        if what == _SECCOMP_FAILED:
            return _refused(number)
        restricted = True
    return None


def _not_executed(path: str, number: int) -> InjectError:
    status = 127 if number == errno.ENOENT else 126
    help = ""
    if number == errno.ENOENT and os.path.exists(path):
        help = "the file is there; the interpreter or dynamic loader that it names is not"
    elif number == errno.ENOEXEC:
        help = "it is no program of this machine's kind"
    return InjectError(f"{path}: cannot execute: {os.strerror(number)}", help=help, status=status)
