"""What cannot be attached to: each refusal says why and what to do, and nothing is left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from injector.linux import procfs, seize, yama
from injector.linux.probe import host
from injector.words.errors import InjectError

from .attaching import NEVER, Living, attached, living, poll_until, status, untraced
from .conftest import Victim
from .harness import ENGINE, INJECT, finish

ENGINES = ("ptrace", "notify")
NOBODY = 65534


def refused(*words: str, prefix: tuple[str, ...] = ()) -> str:
    """Return what `inject attach` says when it refuses; it must leave nothing attached."""
    attach = (*prefix, *INJECT, "attach", "--engine", os.environ[ENGINE], "-e", NEVER)
    code, out, err = finish([*attach, *words], cwd="/")
    assert (code, out) == (125, ""), err
    assert "Traceback" not in err
    return err


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_no_such_process() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert refused(str(gone.pid)).startswith(f"inject: there is no process {gone.pid}\n")
    assert "there is no process 99999999\n" in refused("99999999")
    assert "there is no process 0\n" in refused("0")


def test_a_thread(victim: Victim) -> None:
    with living(victim("attach"), "faulty") as target:
        thread = procfs.threads(target.pid)[1]
        said = refused(str(thread))
        assert f"{thread} is a thread of process {target.pid} (attach)\n" in said
        assert f"inject attach {target.pid} takes all its threads" in said
        assert untraced(target.pid)


def test_ourselves_and_our_parent() -> None:
    program = "import os, sys; os.execv(sys.argv[1], [*sys.argv[1:], str(os.getpid())])"
    attach = [*INJECT, "attach", "--engine", os.environ[ENGINE], "-e", NEVER]
    code, _, err = finish([sys.executable, "-c", program, *attach])
    assert (code, "is inject itself\n" in err) == (125, True), err
    code, _, err = finish(["sh", "-c", '"$@" $$; exit $?', "sh", *attach])
    assert (code, "(sh) is our parent: " in err) == (125, True), err


@pytest.mark.skipif(procfs.comm(2) != "kthreadd", reason="kernel threads are not seen here")
def test_a_kernel_thread() -> None:
    assert "inject: 2 (kthreadd) is a kernel thread: it makes no system calls\n" in refused("2")


def test_a_process_that_has_ended() -> None:
    process = subprocess.Popen(["true"])
    poll_until(lambda: procfs.state(process.pid) == "Z")
    said = refused(str(process.pid))
    assert f"{process.pid} (true) has ended; its parent {os.getpid()} (" in said
    process.wait()


@contextlib.contextmanager
def tracing(*words: str) -> Iterator[int]:
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as tracer:
        try:
            yield tracer.pid
        finally:
            tracer.kill()


@pytest.mark.parametrize("name", ["strace", "gdb", "inject"])
def test_traced_already(name: str, sleeper: subprocess.Popen[bytes]) -> None:
    pid = str(sleeper.pid)
    if name == "inject":
        with attached(sleeper.pid) as first:
            said = refused(pid)
            assert "traced already, by " in said and f" ({first.process.pid})\n" in said
            assert status(sleeper.pid, "TracerPid") == str(first.process.pid)
            first.leave()
    else:
        words = {"strace": ["strace", "-p", pid], "gdb": ["gdb", "-q", "-p", pid]}[name]
        with tracing(*words) as tracer:
            poll_until(lambda: status(sleeper.pid, "TracerPid") == str(tracer))
            said = refused(pid)
            assert f"{pid} (sleep) is traced already, by {name} ({tracer})\n" in said
            assert f"end {tracer} first, or let it detach" in said
            assert status(sleeper.pid, "TracerPid") == str(tracer)
    poll_until(lambda: untraced(sleeper.pid))


@pytest.mark.only("ptrace")
def test_of_several_all_or_none(sleeper: subprocess.Popen[bytes]) -> None:
    with living("sh", "-c", "echo ready; read line") as other, attached(other.pid) as first:
        assert "traced already" in refused(str(sleeper.pid), str(other.pid))
        assert untraced(sleeper.pid)
        first.leave()


def ordinary() -> tuple[str, ...]:
    """Return what makes a command an ordinary user's."""
    setpriv = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return setpriv if os.geteuid() == 0 else ()


@contextlib.contextmanager
def ordinary_living(program: str, *words: str) -> Iterator[Living]:
    """Start a victim as an ordinary user."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with living(*ordinary(), shutil.copy(program, folder), *words) as target:
            yield target


def test_another_users() -> None:
    said = refused("1", prefix=ordinary())
    assert f"cannot attach to 1 ({procfs.comm(1)}): it belongs to user root\n" in said
    assert "run inject as that user, or as root" in said


def test_a_protected_one(victim: Victim) -> None:
    with ordinary_living(victim("attach"), "undumpable") as target:
        said = refused(str(target.pid), prefix=ordinary())
        assert "it is protected (setuid, or PR_SET_DUMPABLE is 0, prctl(2))\n" in said
        assert "run inject as root" in said
        target.go()
        assert target.end() == (0, "ok\n")


@pytest.mark.parametrize("capable", [False, True])
def test_a_call_that_is_refused_alone(monkeypatch: pytest.MonkeyPatch, capable: bool) -> None:
    """By a container's filter, or by a security module, which may forbid to look as well."""
    rule = yama.Yama(0, capable)
    monkeypatch.setattr(yama, "here", lambda: rule)
    monkeypatch.setattr(host, "in_user_namespace", lambda: False)
    if capable:
        monkeypatch.setattr(seize, "_namespace", {os.getpid(): "ours", os.getppid(): ""}.get)
    error = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(InjectError) as told:
        seize.refuse(os.getppid(), error, "pidfd_getfd", "say --engine ptrace")
    assert told.value.message.endswith(": pidfd_getfd: Operation not permitted")


@pytest.mark.only("ptrace")
@pytest.mark.parametrize("how", ["filtered-error", "filtered-kill"])
def test_a_filter_of_its_own_and_no_privilege(victim: Victim, how: str) -> None:
    """Without CAP_SYS_ADMIN the filter cannot be suspended; the fault is seen all the same."""
    rule = "openat:error=EIO:probability=50%"
    with ordinary_living(victim("attach"), how) as target:
        words = [*ordinary(), *INJECT, "attach", "-q", str(target.pid), "-e", rule]
        code, out, err = finish([*words, "--duration", "300ms"], cwd="/")
        assert (code, out, err) == (0, "", "")
        target.go()
        assert target.end() == (0, "ok\n")
