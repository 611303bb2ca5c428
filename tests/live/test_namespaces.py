"""Targets in namespaces of their own (a container's), and inject in one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from injector.linux import procfs
from injector.session.journal import read

from .attaching import Living, attached, living, poll_until, untraced
from .harness import INJECT, finish, inject

ENGINES = ("ptrace", "notify")

APART = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount", "--kill-child")
WITH_PROC = (*APART, "--mount-proc")
OURS = "openat:path=/made/here:error=EIO"

LOOKS = """
import os, sys, threading
os.mkdir(sys.argv[1] + "/made")
open(sys.argv[1] + "/made/here", "w").close()
os.chroot(sys.argv[1])  # what its paths mean, nobody else sees
print("ready", flush=True)
def look():
    try:
        os.close(os.open("/made/here", os.O_RDONLY))
        return "read"
    except OSError as error:
        return error.strerror
for line in sys.stdin:
    said = [look()]
    thread = threading.Thread(target=lambda: said.append(look()))
    thread.start(), thread.join()
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, f"{os.getpid() < 50} {look()}".encode())
        os._exit(0)
    os.wait()
    print(os.getpid(), *said, os.read(read, 99).decode(), flush=True)
"""


def child(pid: int) -> int:
    """Return the number that a process's one child has here."""
    (found,) = procfs.children(pid, pid) or ()
    return found


@contextlib.contextmanager
def contained(folder: Path) -> Iterator[tuple[Living, int]]:
    """Start a program in namespaces of its own; give it with the number that it has here."""
    words = (*WITH_PROC, "--", sys.executable, "-uc", LOOKS, str(folder))
    with living(*words) as target:
        yield target, child(target.pid)


def say(target: Living) -> str:
    """Have it look once, and return what it says."""
    assert target.process.stdin
    target.process.stdin.write(b"\n")
    return target.line()


FAILED = "1 Input/output error Input/output error True Input/output error\n"
WELL = "1 read read True read\n"


def test_attached_to_from_outside(tmp_path: Path, engine: str) -> None:
    journal = tmp_path / "journal"
    with contained(tmp_path) as (target, pid):
        assert say(target) == WELL
        words = ["--engine", engine, "-e", OURS, "--journal", str(journal)]
        with attached(pid, *words) as injector:
            assert say(target) == FAILED
            injector.leave()
        assert say(target) == WELL
        assert untraced(pid)
        events = list(read(journal))
        faults = [one for one in events if one["event"] == "injection"]
        assert [one["site"].partition("/")[0] for one in faults] == ["0", "0.1", "0.2"]
        assert {one["path"] for one in faults} == {"/made/here"}
        # The numbers are those of our namespace.
        assert [one["pid"] == pid for one in faults] == [True, True, False]
        assert all(one["pid"] > 1 and one["tid"] > 1 for one in faults)
        tasks = {one["task"]: one["tid"] for one in events if one["event"] == "task_start"}
        assert [one["tid"] for one in faults] == [tasks[name] for name in ("0", "0.1", "0.2")]
        assert target.process.stdin
        target.process.stdin.close()
        assert target.process.wait(60) == 0


def test_a_program_that_enters_them_itself(tmp_path: Path) -> None:
    words = [*WITH_PROC, "--", sys.executable, "-uc", LOOKS, str(tmp_path)]
    run = inject(["-q", "-e", OURS], words, stdin="\n")
    assert (run.status, run.out) == (0, f"ready\n{FAILED}"), run.err
    sites = [(one["site"], one["path"]) for one in run.injections]
    assert sites == [(f"{task}/openat#{n}", "/made/here") for task, n in calls(run.injections)]
    assert [task for task, _ in calls(run.injections)] == ["0.1", "0.1.1", "0.1.2"]
    assert [one["exit"] for one in run.of("task_end")] == [0] * 4
    assert len({one["pid"] for one in run.injections}) == 2


def calls(injections: list[dict[str, object]]) -> list[tuple[str, str]]:
    """Return task and number of each injection's site."""
    found = []
    for one in injections:
        task, _, rest = str(one["site"]).partition("/")
        found.append((task, rest.partition("#")[2]))
    return found


def test_inject_in_them_too(tmp_path: Path, engine: str) -> None:
    words = [*INJECT, "run", "-q", "--engine", engine, "-e", OURS, "--"]
    looks = [sys.executable, "-uc", LOOKS.replace("os.getpid(),", "", 1), str(tmp_path)]
    status, out, err = finish([*WITH_PROC, "--", *words, *looks], stdin="\n")
    assert (status, out, err) == (0, f"ready\n{FAILED[2:]}", "")


def test_who_is_outside_cannot_be_attached_to(engine: str) -> None:
    attach = [*INJECT, "attach", "--engine", engine, "-e", OURS]
    outside = subprocess.Popen(["sleep", "100"])
    try:
        status, _, err = finish([*WITH_PROC, "--", *attach, str(outside.pid)], cwd="/")
        assert (status, f"inject: there is no process {outside.pid}\n" in err) == (125, True), err
        assert "one in a container needs the number it has here" in err
        seen = ["unshare", "--user", "--map-root-user", "--", *attach, str(outside.pid)]
        status, _, err = finish(seen, cwd="/")
        assert status == 125
        assert f"cannot attach to {outside.pid} (sleep): it runs in another user namespace" in err
        assert "run inject as root outside of containers, or inside of that one" in err
        assert untraced(outside.pid)
    finally:
        outside.kill()
        outside.wait()


def test_without_a_proc_of_their_own(engine: str) -> None:
    """Nothing can be told then, so nothing is begun."""
    other = "inject: /proc shows another pid namespace than the one we are in\n"
    none = "inject: there is no /proc here that shows us\n"
    run = [*INJECT, "run", "-q", "--engine", engine, "-e", OURS, "--", "echo", "begun"]
    attach = [*INJECT, "attach", "--engine", engine, "-e", OURS, "1"]
    empty = ["sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    for words, said in ((run, other), (attach, other), ((*empty, *run), none)):
        status, out, err = finish([*APART, "--", *words], cwd="/")
        assert (status, out) == (125, "")
        assert err.startswith(said) and "  mount -t proc proc /proc" in err
    status, out, _ = finish([*APART, "--", *INJECT, "doctor"], cwd="/")
    assert status == 125
    assert "missing  proc " in out


def test_a_container_that_ends_while_attached_to(tmp_path: Path, engine: str) -> None:
    """Its first process's end kills all in it, and each end is told."""
    journal = tmp_path / "journal"
    with contained(tmp_path) as (target, pid):
        words = ["--engine", engine, "-e", OURS, "--journal", str(journal)]
        with attached(pid, *words) as injector:
            assert say(target) == FAILED
            os.kill(pid, 9)
            injector.left()
        poll_until(lambda: target.process.poll() is not None)
    ends = [one for one in read(journal) if one["event"] == "task_end"]
    assert [one["signal"] for one in ends if one["task"] == "0"] == ["SIGKILL"]
    assert list(read(journal))[-1]["event"] == "footer"
