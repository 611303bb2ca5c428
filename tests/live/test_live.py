"""`--live`: the terminal is safe whatever happens, no output is lost, the target notices none."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from injector.faces.ui.terminal import RESET

from .attaching import poll_until
from .harness import INJECT
from .screens import Screen

RULE = ["-e", "getppid:error=EIO:name=none"]
Start = Callable[..., Screen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    screens = []
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "TERM": "xterm-256color"}

    def go(*words: str, **more: str) -> Screen:
        screens.append(Screen(words, {**env, **more}, 100, 30))
        return screens[-1]

    yield go
    for screen in screens:
        screen.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A fifo that a target waits at, until `release` opens it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    os.mkfifo(second(path))  # opened anew, the first may still have its last writer
    yield path


def second(gate: Path) -> Path:
    return gate.with_name("gate2")


def release(gate: Path) -> None:
    with gate.open("w") as file:
        file.write("go\n")


def live(script: str, *options: str) -> list[str]:
    return [*INJECT, "run", "--live", *RULE, *options, "--", "sh", "-c", script]


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parts(front: int) -> dict[str, int]:
    """The processes of a live session, by their parts."""
    holder, dashboard = children(front)
    return {
        "front": front,
        "holder": holder,
        "dashboard": dashboard,
        "session": children(holder)[0],
    }


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("end", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", -11)])
def test_the_targets_end_is_ours(start: Start, gate: Path, end: str, status: int) -> None:
    screen = start(*live(f"echo hello; read x < {gate}; echo bye; {end}"))
    screen.until("running", "none", "hello")
    release(gate)
    screen.until("the session is over")
    screen.press("q")
    assert screen.ended() == status
    assert screen.is_as_before()
    assert screen.raw.endswith(b"\r\n")
    said = screen.raw[screen.raw.rindex(b"1049l") :]
    for line in (b"inject: seed", b"hello\r\n", b"bye\r\n", b"\r\ninject: repeat with: inject run"):
        assert said.count(line) == 1, line


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nosuch-scenario", "--", "true"], 125, "nosuch-scenario"),
        (["-e", "read:error=ENOSUCH", "--", "true"], 125, "ENOSUCH"),
        ([*RULE, "--", "nosuch-program"], 127, "command not found"),
        ([*RULE, "--", "/etc"], 126, "is a directory"),
        ([*RULE, "--", "true"], 0, "true exited with status 0"),
    ],
)
def test_what_is_over_at_once_is_said_as_always(
    start: Start, words: list[str], status: int, said: str
) -> None:
    screen = start(*INJECT, "run", "--live", *words)
    assert screen.closed() == status  # over before the dashboard has begun, or just after
    assert said in screen.text
    assert screen.is_as_before()


def test_no_byte_of_the_output_is_lost(start: Start, gate: Path, tmp_path: Path) -> None:
    data = bytes(byte for byte in range(256) if byte != 10) * 1000
    (tmp_path / "data").write_bytes(data)
    screen = start(*live(f"read x < {gate}; cat {tmp_path}/data; printf end"))
    screen.until("running")
    known = parts(screen.pid)
    os.kill(known["dashboard"], signal.SIGSTOP)  # nobody looks: the target must not wait for that
    release(gate)
    poll_until(lambda: not alive(known["session"]))
    os.kill(known["dashboard"], signal.SIGCONT)
    screen.until("the session is over")
    screen.press("q")
    assert screen.ended() == 0
    shown = data.replace(b"\x05", b"\x18")  # a question, which nobody may answer now
    assert shown + b"endinject: sh exited" in screen.raw


def test_what_the_target_left_open_is_closed_and_what_it_asked_is_not_asked_again(
    start: Start, gate: Path
) -> None:
    screen = start(*live(f"printf 'full\\033[c\\033[?1049h\\033[?25lscreen'; read x < {gate}"))
    screen.until("running", "screen")
    screen.press("S")
    screen.until("killed by SIGTERM")
    screen.press("q")
    assert screen.ended() == -signal.SIGTERM
    assert b"full\x18\x1b[?1049h\x1b[?25lscreen" in screen.raw
    assert screen.is_as_before()


def test_what_is_no_terminal_stays_the_targets(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("given\n")
    line = shlex.join(live("cat; echo no >&2; test -t 2"))
    screen = start("sh", "-c", f"{line} < {tmp_path}/in > {tmp_path}/out")
    assert screen.closed() == 0
    assert (tmp_path / "out").read_text() == "given\n"
    assert "\nno\n" in screen.text
    assert screen.is_as_before()


@pytest.mark.parametrize("number", ["KILL", "TERM", "HUP", "INT", "QUIT", "SEGV", "ABRT"])
def test_the_dashboard_may_die(start: Start, gate: Path, number: str) -> None:
    screen = start(*live(f"read x < {gate}; echo still here; read y; echo got $y; exit 3"))
    screen.until("running")
    os.kill(parts(screen.pid)["dashboard"], signal.Signals["SIG" + number])
    screen.until("the dashboard ended", "brings it back")
    screen.until_left()
    release(gate)
    screen.until("still here")
    screen.press("typed\r")
    screen.until("got typed")
    assert screen.ended() == 3
    assert screen.is_as_before()


@pytest.mark.parametrize("number", ["TERM", "HUP", "INT", "QUIT"])
def test_a_signal_to_the_front_is_the_targets(start: Start, gate: Path, number: str) -> None:
    screen = start(*live(f"read x < {gate}"))
    screen.until("running")
    others = [*parts(screen.pid).values()][1:]
    os.kill(screen.pid, signal.Signals["SIG" + number])
    assert screen.ended() == -signal.Signals["SIG" + number]
    assert screen.is_as_before()
    poll_until(lambda: not any(map(alive, others)))


@pytest.mark.parametrize(("number", "status"), [("KILL", 137), ("SEGV", 139)])
def test_a_front_that_dies_is_a_terminal_that_is_closed(
    start: Start, gate: Path, number: str, status: int
) -> None:
    # Not the leader of its terminal's session: else the kernel takes that away too.
    modes = r"printf '\033[?1049h\033[?1000h\033[?25ldrawn'"
    line = shlex.join(live(f"echo said before; {modes}; read x < {gate}"))
    screen = start("sh", "-c", f"{line}; echo status $?; read y")
    screen.until("running", "drawn")
    (front,) = children(screen.pid)
    all_parts = parts(front)
    others = [*all_parts.values(), *children(all_parts["session"])]
    os.kill(front, signal.Signals["SIG" + number])
    poll_until(lambda: not any(map(alive, others)))
    poll_until(lambda: screen.look() is not None and f"status {status}".encode() in screen.raw)
    # By the dashboard: the last that can.
    screen.until_that(lambda: b"drawn" in screen.raw.partition(RESET)[2] and screen.is_as_before())
    assert "said before" in screen.text
    screen.press("\r")
    assert screen.ended() == 0


@pytest.mark.parametrize("number", ["USR1", "USR2", "ALRM"])
def test_a_signal_that_means_no_end_is_the_targets_too(
    start: Start, gate: Path, number: str
) -> None:
    script = f"trap 'echo got it' {number}; echo ready; while true; do read x < {gate}; done"
    screen = start(*live(script))
    screen.until("running", "ready")
    os.kill(screen.pid, signal.Signals["SIG" + number])
    screen.until("got it")
    screen.press("S")
    screen.until("the session is over")
    screen.press("q")
    assert screen.ended() == -signal.SIGTERM
    assert screen.is_as_before()


def test_a_session_that_is_killed_leaves_the_target(start: Start, gate: Path) -> None:
    screen = start(*live(f"trap '' HUP; read x < {gate}; echo lives on"))
    screen.until("running")
    os.kill(parts(screen.pid)["session"], signal.SIGKILL)
    screen.until("the session was killed; q quits")
    screen.press("q")
    assert screen.ended() == -signal.SIGKILL
    assert screen.is_as_before()
    release(gate)  # as without --live: the target outlives us, and still has its terminal
    screen.until("lives on")


def test_who_holds_the_terminal_is_killed(start: Start, gate: Path) -> None:
    screen = start(*live(f"read x < {gate}"))
    screen.until("running")
    os.kill(parts(screen.pid)["holder"], signal.SIGKILL)
    screen.until("killed by SIGHUP", "the session is over")  # the kernel hangs up
    screen.press("q")
    assert screen.ended() == 125
    assert "the process that holds the terminal was killed" in screen.text
    assert screen.is_as_before()


def test_left_it_is_a_plain_run(start: Start, gate: Path) -> None:
    script = f"read x < {gate}; trap 'echo interrupted; exit 5' INT; stty size; read y; echo no"
    screen = start(*live(script))
    screen.until("running")
    screen.press("q")
    screen.until("still runs")
    screen.press("l")
    screen.until_left()
    screen.until("inject: seed", "the faults go on; inject watch ")
    release(gate)
    screen.until("30 100")  # the size of the real terminal, no pane's
    screen.press("\x03")
    screen.until("interrupted")
    assert screen.ended() == 5
    assert screen.is_as_before()


def test_a_target_that_is_let_go_keeps_its_terminal(start: Start, gate: Path) -> None:
    screen = start(*live(f"read x < {gate}; echo fir''st; read x < {second(gate)}; echo sec''ond"))
    screen.until("running")
    screen.press("d")
    assert screen.ended() == 0
    assert screen.is_as_before()
    release(gate)
    screen.until("\nfirst")
    release(second(gate))
    screen.until("\nsecond")


def test_keys_are_typed_to_the_target_and_ended(start: Start) -> None:
    screen = start(*live("read x; echo got $x; sleep 60"))
    screen.until("running")
    screen.press("\x1b[Z", "i")  # the output is the last pane
    screen.until("Ctrl-]")
    screen.press("hello\r")
    screen.until("got hello")
    screen.press("\x1d", "q")
    screen.until("still runs")
    screen.press("e")
    screen.until("killed by SIGTERM")
    screen.press("q")
    assert screen.ended() == -signal.SIGTERM
    assert screen.is_as_before()


@pytest.mark.parametrize(
    ("words", "why"),
    [(["env", "TERM=dumb"], "TERM says"), (["setsid", "-w"], "there is no terminal")],
)
def test_where_nothing_can_be_drawn_there_are_lines(
    start: Start, words: list[str], why: str
) -> None:
    screen = start(*words, *live("echo hello; exit 4"))
    assert screen.ended() == 4
    assert "inject: no dashboard: " + why in screen.text
    assert "getppid() = -1 EIO" in screen.text
    assert b"1049h" not in screen.raw


def test_it_is_not_suspended_where_no_shell_could_continue_it(start: Start, gate: Path) -> None:
    screen = start("sh", "-c", f"{shlex.join(live(f'read x < {gate}; exit 5'))}; exit $?")
    screen.until("running")
    screen.press("\x1a", "p")
    screen.until(" paused ")
    release(gate)
    screen.until("the session is over")
    screen.press("q")
    assert screen.ended() == 5
    assert screen.is_as_before()


def test_suspended_it_is_a_job_as_others(start: Start, gate: Path) -> None:
    screen = start("bash", "--norc", "--noprofile", "-i", PS1="$ ")
    screen.until("$")
    screen.press(shlex.join(live(f"read x < {gate}; exit 6")) + "\r")
    screen.until("running", "Rules")
    screen.press("\x1a")
    screen.until("Stopped")
    screen.until_left()
    screen.press("stty -a | grep -c ' echo '\r")
    screen.until("\n1\n")
    screen.press("fg\r")
    screen.until("running", "Rules")
    release(gate)
    screen.until("the session is over")
    screen.press("q")
    screen.until("exited with status 6")
    poll_until(lambda: screen.look().endswith("$"))
    screen.press("exit\r")
    assert screen.ended() == 6


def test_the_target_sees_what_it_sees_on_any_terminal(start: Start, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "fds = [fd for fd in range(256) if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "own = os.tcgetpgrp(0) == os.getpgrp()\n"
        "ignored = [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN]\n"
        "mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
        "os.close(os.open('/dev/tty', os.O_RDWR))\n"
        "seen = (fds[:-1], own, ignored, mask, os.nice(0), os.umask(0), os.getcwd(),\n"
        "        [os.isatty(fd) for fd in range(3)], sorted(os.environ))\n"
        "open(sys.argv[1], 'w').write(repr(seen))\n"
    )
    for name, option in (("plain", []), ("live", ["--live"])):
        target = [sys.executable, "-c", script, str(tmp_path / name)]
        screen = start(*INJECT, "run", "-q", *option, *RULE, "--", *target)
        assert screen.closed() == 0
    assert (tmp_path / "live").read_text() == (tmp_path / "plain").read_text()


def test_output_that_cannot_be_kept_is_passed_through(start: Start, gate: Path) -> None:
    script = (
        f"read x < {gate}; head -c 100000 /dev/zero | tr '\\0' x; echo; read x < {second(gate)}"
    )
    screen = start("sh", "-c", f"ulimit -f 8; exec {shlex.join(live(script))}")
    screen.until("running")
    release(gate)
    why = b"the target's output cannot be kept: File too large"
    poll_until(lambda: screen.look() is not None and why in screen.raw)
    poll_until(lambda: screen.look() is not None and screen.raw.count(b"x") >= 100_000)
    release(second(gate))
    assert screen.ended() == 0
    assert screen.is_as_before()


def test_attached_on_a_terminal_the_first_fault_is_added_by_hand(start: Start) -> None:
    script = "import os, sys\nfor line in sys.stdin:\n    print(os.getppid() > 0, flush=True)\n"
    with subprocess.Popen(
        [sys.executable, "-uc", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:

        def call() -> str:
            assert target.stdin
            assert target.stdout
            target.stdin.write("\n")
            target.stdin.flush()
            return target.stdout.readline().strip()

        assert call() == "True"
        screen = start(*INJECT, "attach", str(target.pid))
        screen.until("attached", "No rule yet: press a to add the first fault")
        assert call() == "True"
        screen.until("getppid")  # with no rule it shows what is called
        screen.press("a")
        screen.until("add")
        screen.press("getppid:error=EIO\r")
        screen.until("EIO", "100%")
        assert call() == "False"
        screen.press("q")
        screen.until("let it go")
        screen.press("e")
        screen.until("q quits")
        screen.press("q")
        assert screen.ended() == 0
        assert "let go of" in screen.text
        assert screen.is_as_before()
        assert "TracerPid:\t0\n" in Path(f"/proc/{target.pid}/status").read_text()
        assert call() == "True"
        assert target.stdin
        target.stdin.close()


def test_in_tmux(gate: Path, tmp_path: Path) -> None:
    env = {**os.environ, "TMUX_TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    env["SHELL"] = "/bin/sh"  # some users' is nologin(8)

    def tmux(*words: str) -> str:
        command = ["tmux", "-f", "/dev/null", *words]
        return subprocess.run(
            command, env=env, check=True, timeout=30, capture_output=True, text=True
        ).stdout

    def shows(*wanted: str) -> None:
        poll_until(lambda: all(one in tmux("capture-pane", "-p") for one in wanted))

    inner = shlex.join(live(f"echo hello; read x < {gate}; exit 7"))
    tmux("new-session", "-d", "-x", "90", "-y", "28", f"{inner}; echo status $?; read wait")
    try:
        shows("running", "Rules", "hello")
        tmux("resize-window", "-x", "120", "-y", "40")
        poll_until(lambda: max(map(len, tmux("capture-pane", "-p").splitlines())) > 110)
        release(gate)
        shows("the session is over")
        tmux("send-keys", "q")
        shows("hello", "sh exited with status 7", "status 7")
        assert "Rules" not in tmux("capture-pane", "-p")
    finally:
        tmux("kill-server")
