"""`inject watch` on a real session, in a terminal: keys are pressed, and the target changes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.faces.ui.client import Link, Message

from .harness import INJECT, finish
from .screens import Screen

TARGET = "import os, sys\nfor line in sys.stdin:\n    print(os.getppid() > 0, flush=True)\n"
RULE = "getppid:error=EIO:name=none"


class Session:
    """A run of a program that makes one getppid for each line we write."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        words = [*INJECT, "run", "-q", "--seed", "1", *arguments, "--"]
        self.process = subprocess.Popen(
            [*words, sys.executable, "-uc", TARGET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.watchers: list[Screen] = []

    def call(self) -> bool:
        """Let the target make its call; return whether it worked."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        assert line in ("True", "False")
        return line == "True"

    def watch(self, *words: str, **size: int) -> Screen:
        screen = Screen([*INJECT, "watch", *words], self.environment, **size)
        self.watchers.append(screen)
        return screen

    def close(self) -> None:
        for screen in self.watchers:
            screen.close()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    one = Session(tmp_path, "-e", RULE)
    assert not one.call()
    yield one
    one.close()


def test_the_keys_change_what_the_target_sees(session: Session) -> None:
    screen = session.watch()
    screen.until(" running ", "› none", "getppid()", "error EIO", "100%")
    screen.press("p")
    screen.until(" paused ", "p resume", "— pause")
    assert session.call()
    screen.press("p")
    screen.until(" running ", "— resume")
    assert not session.call()
    screen.press(" ")
    screen.until("1 off", "— disable none")
    assert session.call()
    screen.press("f")
    screen.until("none fires at its next match")
    assert [session.call(), session.call()] == [False, True]
    screen.press(" ")
    screen.until("Rules 1 ─", "— enable none")
    assert not session.call()
    for chance in ("50%", "20%", "10%", "5%", "2%", "1%", "0.5%", "0.2%", "0.1%"):
        screen.press("-")
        screen.until(f"none: probability {chance}")
        screen.until(f" {chance} ")
    screen.press("-")
    screen.until("none is at 0.1% already")
    assert [session.call() for _ in range(5)] == [True] * 5
    for chance in ("0.2%", "0.5%", "1%", "2%", "5%", "10%", "20%", "50%", "100%"):
        screen.press("+")
        screen.until(f"none: probability {chance}")
        screen.until(f" {chance} ")
    assert not session.call()
    screen.press("x")
    screen.until("press a to add the first fault")
    assert session.call()
    screen.press("a", "up", "enter")
    screen.until("› none", "Rules 1 ")
    assert not session.call()
    screen.press("q")
    assert screen.ended() == 0
    assert screen.is_as_before()
    assert not session.call()  # it needs nobody who watches


def test_a_rule_is_completed_refused_in_place_and_added(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    screen.press("x")
    screen.until("press a to add")
    screen.press("a", "getpp", "tab", ":err", "tab", "EP", "tab")
    screen.until("add rule › getppid:error=EP", "EPERM  EPIPE", "Tab takes one after the other")
    screen.press("tab")
    screen.until("add rule › getppid:error=EPERM", "Operation not permitted")
    screen.press("X", "enter")
    screen.until(" error: no error 'EPERMX'; did you mean 'EPERM'?\n see inject list errnos\n")
    screen.press("\x7f", "enter")
    screen.until("Rules 1 ", "› rule-", "getppid:error=EPERM", without="no error")
    assert not session.call()
    screen.until("error EPERM")
    screen.press("a", "socket:error=EMFILE", "enter")
    screen.until("a filter cannot grow; start with --watch socket")
    screen.press("escape")
    screen.until("? help", without="add rule ›")


def test_injections_are_filtered_followed_and_told_in_full(session: Session) -> None:
    for _ in range(30):
        assert not session.call()
    screen = session.watch()
    screen.until("Injections 31")
    screen.press("tab", "enter")
    screen.until("Injection 31", "0/getppid#31", "Input/output error", "--stacks")
    screen.press("up")
    screen.until("Injection 30", "0/getppid#30")
    screen.press("escape")
    screen.until("End follows", without="occurrence")
    screen.press("\x1b[F")
    screen.until("Injections 31", without="End follows")
    screen.press("p", "p")
    screen.until("— resume")
    screen.press("/", "paus")
    screen.until("/paus/ 1 of 33")
    screen.press("enter", "escape")
    screen.until("Injections 31", without="/paus/")


def test_a_view_that_is_frozen_shows_what_was(session: Session) -> None:
    screen = session.watch()
    screen.until("Injections 1 ")
    screen.press("z")
    screen.until("view frozen")
    assert not session.call()
    screen.press("p")  # keys still steer
    while not session.call():
        pass
    assert "Injections 1 " in screen.until(" running ", "view frozen")
    screen.press("z")
    text = screen.until(" paused ", "— pause", without="view frozen")
    assert "Injections 1 " not in text


def test_what_is_in_force_is_saved_and_nothing_overwritten_unasked(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    screen.press("-")
    screen.until("none: probability 50%")
    path = session.folder / "kept.yaml"
    path.write_text("mine")
    for answer, said in (("escape", "? help"), ("y", "saved as")):
        screen.press("s", "\x15", str(path), "enter")
        screen.until("is there already", "y write over it")
        assert path.read_text() == "mine"
        screen.press(answer)
        screen.until(said, without="is there already")
    status, _, err = finish([*INJECT, "check", str(path)])
    assert (status, err) == (0, "")
    assert "50%" in path.read_text()
    screen.press("s", "\x15", "/nowhere/at/all", "enter")
    screen.until("cannot write /nowhere/at/all")


def test_the_target_is_let_go(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    screen.press("d")
    screen.until(" detached ")
    assert session.process.wait(30) == 0
    assert session.call()
    screen.press("p")
    screen.until("the session is over")
    screen.press("q")
    assert screen.ended() == 0


def test_the_target_is_stopped(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    screen.press("S")
    screen.until("killed by SIGTERM")
    assert session.process.wait(30) == -signal.SIGTERM
    screen.press("q")
    assert screen.ended() == 0


def test_it_says_that_the_session_was_killed(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    session.process.kill()
    screen.until(" the session was killed ")
    assert session.call()
    screen.press("q")
    assert screen.ended() == 0
    assert screen.is_as_before()


def test_it_says_that_the_session_does_not_answer(session: Session) -> None:
    screen = session.watch()
    screen.until(" running ")
    os.kill(session.process.pid, signal.SIGSTOP)
    screen.until(" no answer for ")
    os.kill(session.process.pid, signal.SIGCONT)
    screen.until(" running ")


def test_who_is_dropped_is_connected_anew(session: Session) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(session.folder))
        link = Link(session.process.pid)
        answers: list[Message] = []
        for _ in range(2):
            link.send({"do": "snapshot"}, answers.append)
            link.send({"do": "x" * (1 << 17)}, answers.append)  # longer than any command
            while link.open:
                link.flush()
                select.select([link], [], [], 30)
                link.receive()
            assert answers[-1]["ok"]
            assert link.reopen()
        session.process.kill()
        session.process.wait(30)
        assert not link.reopen()


def test_without_colour_there_is_none(session: Session) -> None:
    session.environment["NO_COLOR"] = "1"
    screen = session.watch()
    screen.until(" running ", "› none")
    screen.press("q")
    assert screen.ended() == 0
    assert re.search(rb"\x1b\[[0-9;]*7m", screen.raw)  # what is reverse stays so
    assert not re.search(rb"\x1b\[(?:[0-9;]*;)?[349][0-7](?:;[0-9;]*)?m", screen.raw)


def test_it_is_not_suspended_where_no_shell_could_continue_it(session: Session) -> None:
    screen = Screen(["sh", "-c", '"$@"; exit 4', "sh", *INJECT, "watch"], session.environment)
    session.watchers.append(screen)
    screen.until("› none")
    screen.press("\x1a", "p")
    screen.until(" paused ")
    screen.press("q")
    assert screen.ended() == 4
    assert screen.is_as_before()


def test_interrupt_quits_and_the_terminal_is_as_before(session: Session) -> None:
    screen = session.watch(str(session.process.pid))
    screen.until("› none")
    assert not screen.is_as_before()
    screen.press("\x03")
    assert screen.ended() == 0
    assert screen.is_as_before()
    assert not session.call()


def child_of(pid: int) -> int:
    """Return the one child of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
@pytest.mark.parametrize("which", ["guard", "dashboard"])
def test_no_signal_breaks_the_terminal(session: Session, number: int, which: str) -> None:
    screen = session.watch()
    screen.until("› none")
    os.kill(screen.pid if which == "guard" else child_of(screen.pid), number)
    assert screen.ended() == -number
    assert screen.is_as_before()
    assert not session.call()


def test_kill_breaks_no_terminal_either(session: Session) -> None:
    screen = session.watch()
    screen.until("› none")
    os.kill(child_of(screen.pid), signal.SIGKILL)
    assert screen.ended() == -signal.SIGKILL
    assert screen.is_as_before()
    # Whoever started the terminal's session must stay, else the kernel hangs the terminal up.
    words = ["sh", "-c", '"$@"; read rest', "sh", *INJECT, "watch"]
    screen = Screen(words, session.environment)
    session.watchers.append(screen)
    screen.until("› none")
    os.kill(child_of(screen.pid), signal.SIGKILL)
    screen.until_that(screen.is_as_before)
    assert not session.call()


def test_errors_are_repeated_when_it_closes(session: Session) -> None:
    folder = session.folder / "taken"
    folder.mkdir()
    screen = session.watch()
    screen.until("› none")
    screen.press("s", "\x15", str(folder), "enter")
    screen.until("taken is there already")
    screen.press("y")
    screen.until("cannot write")
    screen.press("q")
    assert screen.ended() == 0
    assert screen.is_as_before()
    assert b"inject: cannot write" in screen.raw.rpartition(b"\x1b[?1049l")[2]


def test_it_follows_the_terminal_s_size(session: Session) -> None:
    screen = session.watch()
    screen.until("─ Calls", "? help")
    screen.resize(140, 45)
    screen.until("│─ Calls", "d detach")
    for line in screen.screen.display[3:]:
        assert line[93] in "│─" or not line.strip() or line.startswith((" a add", "  ", "›", "▸"))
    screen.resize(60, 12)
    screen.until("Rules 1", "q quit", without="─ Calls")
    screen.resize(30, 8)
    screen.until("inject: 40x10 at least")
    screen.press("?")
    screen.resize(100, 30)
    screen.until("▸ Keys", "add a rule")


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_each_fault_is_a_line_where_there_is_no_terminal(session: Session, term: str) -> None:
    environment = {**session.environment, "TERM": term}
    if term == "dumb":
        screen = Screen([*INJECT, "watch"], environment, 140)
        session.watchers.append(screen)
        screen.until("getppid() = -1 EIO (Input/output error) (INJECTED: none)")
        assert session.process.stdin
        session.process.stdin.close()
        assert screen.ended() == 0
        assert "inject: the session is over: exit 0" in screen.text
        assert b"\x1b" not in screen.raw
        return
    words = [*INJECT, "watch"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as watch:
        assert watch.stdout
        for _ in range(2):
            assert "(INJECTED: none)" in watch.stdout.readline()
            assert not session.call()
        assert session.process.stdin
        session.process.stdin.close()
        lines = watch.stdout.read().splitlines()
        assert lines[-1].startswith("inject: the session is over: exit 0, ")
        assert watch.wait(30) == 0


def test_there_must_be_a_session(tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    status, _, err = finish([*INJECT, "watch"], env=environment)
    assert (status, "no session runs" in err) == (125, True)
