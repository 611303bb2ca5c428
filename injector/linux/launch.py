"""Start a program under a filter, and take the filter's listener.

The child tells which descriptor number its listener will get, installs the
filter and executes the program; the execve is itself stopped by the filter, so
it waits until the parent has the listener (pidfd_getfd(2)). No call is needed
in the child to hand the listener over: the filter might stop that call.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import struct
import time
from dataclasses import dataclass
from typing import NoReturn

from injector.linux import libc, seccomp
from injector.words.errors import InjectError

_REPORT = struct.Struct("=Bi")  # what, number
_LISTENER, _SECCOMP_FAILED, _EXEC_FAILED, _NO_NEW_PRIVS = range(4)
_GRACE = 10.0  # seconds a child has to install its filter


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that waits in its execve for an answer on `listener`.

    `report` becomes readable at end-of-file when execve succeeded and holds one
    report when it failed; see `exec_state`.
    """

    pid: int
    pidfd: int
    listener: int
    report: int
    no_new_privs: bool


def find(command: str) -> str:
    """Return the path execve(2) is to be given for a command as a shell finds it.

    Raises:
        InjectError: status 127 if there is none, 126 if it cannot be executed.
    """
    if "/" in command:
        if not os.path.exists(command):
            raise InjectError(f"{command}: no such file", status=127)
        if os.path.isdir(command):
            raise InjectError(f"{command}: is a directory", status=126)
        if not os.access(command, os.X_OK):
            raise InjectError(f"{command}: not executable", help=f"chmod +x {command}", status=126)
        return command
    path = shutil.which(command)
    if path is None:
        raise InjectError(
            f"{command}: command not found", help="it is not in any folder of PATH", status=127
        )
    return path


def _child(
    path: str, argv: list[str], program: bytes, report: int, mask: set[signal.Signals]
) -> NoReturn:
    try:
        # Python ignores these two; the target must not inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        lowest = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
        os.close(lowest)
        os.write(report, _REPORT.pack(_LISTENER, lowest))
        flags = seccomp.NEW_LISTENER | seccomp.WAIT_KILLABLE_RECV
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
        os.execv(path, argv)
    except OSError as error:
        os.write(report, _REPORT.pack(_EXEC_FAILED, error.errno or 0))
    finally:
        os._exit(127)


def _refused(number: int) -> InjectError:
    if number == errno.EBUSY:
        return InjectError(
            "another supervisor already listens to this process tree (seccomp: EBUSY)",
            help="this happens inside another `inject run` and some container managers; "
            "start the command outside of it",
        )
    return InjectError(
        f"the kernel refused the filter: {os.strerror(number)}",
        help="`inject doctor` says what this machine allows",
    )


def launch(argv: list[str], program: bytes, mask: set[signal.Signals] | None = None) -> Launched:
    """Fork, filter and execute; return when the listener is ours.

    Args:
        argv: the command; its first word is looked up as a shell does.
        program: BPF from `seccomp.build`, which must stop execve.
        mask: the signals blocked in the target.

    Raises:
        InjectError: the command cannot be found or executed, or the kernel
            refuses the filter or the listener.
    """
    path = find(argv[0])
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(path, argv, program, write_end, mask or set())
    os.close(write_end)
    pidfd = os.pidfd_open(pid)
    try:
        what, lowest = _REPORT.unpack(os.read(read_end, _REPORT.size))
        if what != _LISTENER:
            raise InjectError(f"{path}: {os.strerror(lowest)}")
        listener, restricted = _take(pidfd, lowest, read_end)
    except BaseException:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pidfd)
        os.close(read_end)
        raise
    return Launched(pid, pidfd, listener, read_end, restricted)


def _take(pidfd: int, number: int, report: int) -> tuple[int, bool]:
    poll = select.poll()
    poll.register(report, select.POLLIN)
    restricted = False
    deadline = time.monotonic() + _GRACE
    while True:
        try:
            return libc.pidfd_getfd(pidfd, number), restricted
        except OSError as error:
            if error.errno != errno.EBADF:
                raise InjectError(
                    f"cannot take the listener from the child: {error.strerror}",
                    help="`inject doctor` says what this machine allows (pidfd-getfd, yama)",
                ) from error
        if poll.poll(0.2):
            data = os.read(report, _REPORT.size)
            what, value = _REPORT.unpack(data) if data else (_SECCOMP_FAILED, errno.ENOSYS)
            if what != _NO_NEW_PRIVS:
                raise _refused(value)
            restricted = True
        if time.monotonic() > deadline:
            raise InjectError("the child did not install its filter in time")


class Started:
    """The execve of a launched child is done: it succeeded."""


def exec_state(launched: Launched) -> Started | InjectError | None:
    """Return None while the execve is not done, then how it went. Never blocks."""
    poll = select.poll()
    poll.register(launched.report, select.POLLIN)
    while poll.poll(0):
        data = os.read(launched.report, _REPORT.size)
        if not data:
            return Started()
        what, number = _REPORT.unpack(data)
        if what == _EXEC_FAILED:
            status = 127 if number == errno.ENOENT else 126
            return InjectError(f"cannot execute: {os.strerror(number)}", status=status)
    return None
