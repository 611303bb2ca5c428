"""Sessions are found and steered from outside, and by nobody else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from injector.session.journal import read

from .attaching import poll_until
from .harness import INJECT, finish
from .screens import Screen

TARGET = "import os, sys\nfor line in sys.stdin:\n    print(os.getppid() > 0, flush=True)\n"


class Session:
    """A run of a program that makes one getppid for each line we write."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.journal = folder / "journal"
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        words = [*INJECT, "run", "-q", "--journal", str(self.journal), *arguments, "--"]
        self.process = subprocess.Popen(
            [*words, sys.executable, "-uc", TARGET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def call(self) -> str:
        """Return "True", or "False" if the call failed: it returns -1 then."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def ctl(self, *words: str) -> tuple[int, str, str]:
        return finish([*INJECT, "ctl", *words], env=self.environment)

    def close(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    one = Session(tmp_path, "-e", "getppid:error=EIO:name=none")
    yield one
    if one.process.poll() is None:
        one.process.kill()
        one.close()


def test_every_command_does_what_it_says(session: Session) -> None:
    assert session.call() == "False"
    steps = [
        (("pause",), "True"),
        (("resume",), "False"),
        (("disable", "none"), "True"),
        (("fire", "none"), "False"),
        (("snapshot",), "True"),
        (("enable", "none"), "False"),
        (("set", "none", "probability", "0%"), "True"),
        (("set", "none", "probability", "100%"), "False"),
        (("set", "none", "limit", "1"), "True"),
        (("add", "getppid:error=EPERM:name=more"), "False"),
        (("remove", "more"), "True"),
    ]
    for words, answer in steps:
        status, _, err = session.ctl(*words)
        assert (status, err) == (0, ""), words
        assert session.call() == answer, words
    assert session.close() == 0
    told = [(e["what"], e["detail"]) for e in read(session.journal) if e["event"] == "control"]
    told = [one for one in told if one[0] != "no_new_privs"]  # what only an ordinary user is told
    expected = [(words[0], " ".join(words[1:])) for words, _ in steps if words[0] != "snapshot"]
    assert [what for what, _ in told] == [what for what, _ in expected]
    assert ("set", "none probability 0%") in told


def test_a_snapshot_says_how_it_stands(session: Session) -> None:
    assert session.call() == "False"
    _, out, _ = session.ctl("snapshot")
    told = json.loads(out)
    (rule,) = told["rules"]
    assert (rule["rule"], rule["fired"], rule["enabled"]) == ("none", 1, True)
    assert rule["seen"] >= rule["matched"] == 1
    assert (rule["error"], rule["limit"], rule["last"] <= told["t"]) == ("EIO", None, True)
    assert (told["engine"], told["faults"], told["calls"]["getppid"]) == ("notify", 1, 1)
    assert told["command"][0] == sys.executable
    assert "getppid" in told["named"]
    (task,) = told["tasks"]
    assert (task["task"], task["pid"], task["tid"]) == ("0", told["pid"], told["pid"])
    assert (task["faults"], task["calls"]) == (1, sum(told["calls"].values()))
    assert task["process"] == task["thread"] == told["process"]
    _, out, _ = finish([*INJECT, "ps"], env=session.environment)
    head, row = out.splitlines()
    assert head.split()[:2] == ["session", "pid"]
    assert row.split()[:2] == [str(session.process.pid), str(told["pid"])]
    (listed,) = json.loads(finish([*INJECT, "ps", "--json"], env=session.environment)[1])
    assert (listed["session"], listed["pid"]) == (session.process.pid, told["pid"])
    assert (listed["target"], listed["rules"], listed["faults"]) == (told["process"], 1, 1)
    assert listed["state"] == "running"
    assert session.ctl(str(told["pid"]), "pause")[0] == 0  # named by its target
    assert session.call() == "True"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "other", "limit", "1"), "there is no rule 'other'"),
        (("set", "none", "probability", "lots"), "set: "),
        (("set", "none", "colour", "red"), "colour cannot be set"),
        (("add", "socket:error=EPERM"), "start with --watch socket"),
        (("add", "getppid:error=ENOSUCH"), "inject: error: no error 'ENOSUCH'"),
        (("add", "getppid:err=EIO"), "inject: unknown key 'err'; did you mean 'error'?\n  keys"),
        (("add", "getppid:short=1"), "getppid"),
        (("enable",), "takes one word, not 0\n  inject ctl enable RULE"),
        (("pause", "x"), "takes no word, not 1"),
        (("sing",), "no command sing"),
        (("paus",), "no command paus; did you mean 'pause'?"),
        (("1", "pause"), "is no session of this user, nor the target of one"),
        (("4194305", "pause"), "there is no session 4194305"),  # beyond PID_MAX_LIMIT
    ],
)
def test_what_cannot_be_done_is_refused(
    session: Session, words: tuple[str, ...], said: str
) -> None:
    assert session.call() == "False"
    status, _, err = session.ctl(*words)
    assert status == 125
    assert said in err
    assert session.call() == "False"


@pytest.mark.parametrize("rule", ["mmap:error=ENOMEM", "%network:error=EIO"])
def test_a_call_that_other_architectures_call_otherwise_is_added(rule: str, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    words = ["--watch", "mmap,%network", "-e", "getppid:error=EIO", "--", "sh", "-c"]
    with subprocess.Popen(
        [*INJECT, "run", "-q", *words, "echo ready; exec sleep 100"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        said = finish([*INJECT, "ctl", str(process.pid), "add", rule], env=environment)
        finish([*INJECT, "ctl", str(process.pid), "stop"], env=environment)
    assert (said[0], said[2]) == (0, "")


def test_what_is_saved_does_the_same(session: Session, tmp_path: Path) -> None:
    assert session.call() == "False"
    for words in (
        ("set", "none", "error", "eperm"),
        ("set", "none", "limit", "2"),
        ("add", "getppid:error=EIO:process='a: #b':name=other"),
        ("disable", "other"),
    ):
        assert session.ctl(*words)[0] == 0
    status, text, err = session.ctl("save")
    assert (status, err) == (0, "")
    file = tmp_path / "saved.yaml"
    file.write_text(text)
    told = json.loads(session.ctl("snapshot")[1])
    assert f"seed: {told['seed']}" in text.splitlines()
    assert told["rules"][0]["text"] == "getppid:limit=2:error=EPERM:name=none"
    assert "  # - name: other" in text.splitlines()
    status, out, _ = finish([*INJECT, "check", str(file)])
    assert status == 0
    assert "-e 'getppid:limit=2:error=EPERM:name=none'" in out
    assert "ok: 1 rule" in out
    (tmp_path / "again").mkdir()
    again = Session(tmp_path / "again", str(file))
    assert [again.call(), again.call(), again.call()] == ["False", "False", "True"]
    assert again.close() == 0
    assert session.close() == 0
    header, *_ = read(again.journal)
    assert header["seed"] == told["seed"]


def test_of_several_sessions_one_must_be_named(session: Session, tmp_path: Path) -> None:
    assert session.call() == "False"
    other = Session(tmp_path, "-e", "getppid:error=EPERM")
    try:
        assert other.call() == "False"
        status, _, err = session.ctl("pause")
        assert status == 125
        first, second = err.splitlines()
        assert first == "inject: 2 sessions run"
        for one in (session, other):
            assert f"{one.process.pid} ({sys.executable} -uc "[:40] in second
            assert session.ctl(str(one.process.pid), "pause")[0] == 0
            assert one.call() == "True"
        _, out, _ = finish([*INJECT, "ps"], env=session.environment)
        assert out.splitlines()[0].split()[-1] == "command"
        for row in out.splitlines()[1:]:
            assert "  paused  " in row
            assert f"{sys.executable} -uc 'import os, sys\\n" in row
    finally:
        other.process.kill()
        other.close()
    poll_until(lambda: "2 sessions" not in session.ctl("resume")[2])
    assert session.call() == "False"


@pytest.mark.parametrize("journal", [False, True])
def test_what_was_steered_is_repeated_from_its_journal(journal: bool, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    options = ["--seed", "3", *(["--journal", str(file)] if journal else [])]
    words = [*INJECT, "run", *options, "-e", "getppid:error=EIO", "--", sys.executable, "-uc"]
    with subprocess.Popen(
        [*words, TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for disabled in (False, True):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == str(disabled)
            if not disabled:
                assert finish([*INJECT, "ctl", "disable", "rule-1"], env=environment)[0] == 0
        process.stdin.close()
        *_, last = process.stderr.read().splitlines()
        assert process.wait(60) == 0
    if not journal:
        assert (
            last == "inject: it was steered by hand: with --journal inject replay repeats that too"
        )
        return
    assert last == f"inject: repeat with: inject replay {file}"
    again = subprocess.run(
        [*INJECT, "replay", str(file)], input="\n\n", capture_output=True, text=True, timeout=60,
        env=environment, check=False,
    )  # fmt: skip
    assert again.stdout.split() == ["False", "True"]
    assert "reproduced: 1 of 1 fault" in again.stderr


def test_without_a_rule_in_force_nothing_is_saved(session: Session) -> None:
    assert session.call() == "False"
    assert session.ctl("disable", "none")[0] == 0
    status, out, err = session.ctl("save")
    assert (status, out) == (125, "")
    assert "no rule is in force" in err


def test_an_error_set_keeps_the_calls_of_the_one_before(tmp_path: Path) -> None:
    session = Session(tmp_path, "-e", "error=ENOTTY:name=one:fd=2")
    assert session.call() == "True"
    assert session.ctl("set", "one", "error", "ENOSPC")[0] == 0
    file = tmp_path / "saved.yaml"
    file.write_text(session.ctl("save")[1])
    status, out, _ = finish([*INJECT, "check", str(file)])
    assert status == 0
    assert "ioctl" in out
    assert "pwrite64" not in out
    assert session.close() == 0


@pytest.mark.parametrize("engine", ["notify", "ptrace"])
def test_a_launched_target_is_let_go(engine: str, tmp_path: Path) -> None:
    session = Session(tmp_path, f"--engine={engine}", "-e", "getppid:error=EIO:name=none")
    assert session.call() == "False"
    assert session.ctl("detach")[0] == 0
    assert session.process.wait(30) == 0
    # It lives, without faults; its end is the end of the keeper too.
    assert session.call() == "True"
    assert next(reversed(list(read(session.journal))))["outcome"] == "detached"
    session.close()


def test_stop_ends_the_target(session: Session) -> None:
    assert session.call() == "False"
    assert session.ctl("stop")[0] == 0
    assert session.process.wait(30) == -15


def test_those_who_watch_see_each_event_and_no_nonsense_harms(session: Session) -> None:
    path = Path(session.environment["XDG_RUNTIME_DIR"], "inject", f"{session.process.pid}.sock")
    assert session.call() == "False"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(30)
        peer.connect(str(path))
        lines = peer.makefile("rw")
        for nonsense in ("", "nothing", "[1]", '{"do": 1}', '{"do": "sing"}', '{"a": "b"}'):
            lines.write(nonsense + "\n")
            lines.flush()
            assert json.loads(lines.readline())["ok"] is False
        lines.write('{"do": "watch"}\n')
        lines.flush()
        answer = json.loads(lines.readline())
        assert answer["control"] == 1
        assert [event["syscall"] for event in answer["recent"]] == ["getppid"]
        assert session.call() == "False"
        assert json.loads(lines.readline())["event"] == "injection"
    assert session.call() == "False"  # gone without a word
    assert session.close() == 0
    assert not path.exists()


def test_an_attached_target_is_let_go(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    words = [sys.executable, "-uc", TARGET]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdin
        assert target.stdout

        def call() -> str:
            assert target.stdin
            assert target.stdout
            target.stdin.write("\n")
            target.stdin.flush()
            return target.stdout.readline().strip()

        assert call() == "True"
        journal = tmp_path / "journal"
        rule = ["-e", "getppid:error=EIO"]
        attach = [*INJECT, "attach", str(target.pid), "--journal", str(journal), *rule]
        with subprocess.Popen(attach, env=environment, stderr=subprocess.PIPE, text=True) as inject:
            assert inject.stderr
            while "attached to" not in inject.stderr.readline():
                assert inject.poll() is None
            assert call() == "False"
            status, _, err = finish([*INJECT, "ctl", str(target.pid), "detach"], env=environment)
            assert (status, err) == (0, "")
            assert inject.wait(30) == 0
        assert call() == "True"
        assert [*read(journal)][-1]["outcome"] == "detached"
        assert "TracerPid:\t0\n" in Path(f"/proc/{target.pid}/status").read_text()


@contextmanager
def watching(runtime: Path, session: int) -> Iterator[IO[str]]:
    """Watch the session of a process; yield what it says, line by line."""
    path = runtime / "inject" / f"{session}.sock"
    poll_until(path.exists)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(60)
        peer.connect(str(path))
        lines = peer.makefile("rw")
        lines.write('{"do": "watch"}\n')
        lines.flush()
        assert json.loads(lines.readline())["ok"]
        yield lines


def test_watchers_are_spared_a_flood(tmp_path: Path) -> None:
    flood = "import os\ninput()\nfor _ in range(20000):\n    os.getppid()\n"
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    journal = tmp_path / "journal"
    words = ["run", "-q", "-e", "getppid:error=EIO", "--journal", str(journal), "--"]
    with subprocess.Popen(
        [*INJECT, *words, sys.executable, "-c", flood], stdin=subprocess.PIPE, env=environment
    ) as process:
        with watching(tmp_path, process.pid) as lines:
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.close()
            events = [json.loads(line) for line in lines]
        assert process.wait(60) == 0
    told = [event for event in events if event["event"] == "injection"]
    skipped = sum(event.get("watch_skipped", 0) for event in events)
    seconds = int(told[-1]["t"]) - int(told[0]["t"]) + 1
    assert len(told) <= 500 * seconds
    assert len(told) + skipped == 20000
    assert sum(event["event"] == "injection" for event in read(journal)) == 20000
    assert events[-1]["event"] == "footer"


LATE = """
import json, os, sys
from injector.linux.doorbell import Doorbell
from injector.session.control import ControlSocket
from injector.words.events import Control

bell = Doorbell()
control = ControlSocket(bell, lambda do, words: {}, list, os.getpid())
bell.start()
print("ready", flush=True)
while not control.watched:
    for fd, _ in bell.ready():
        control.serve(fd)
for number in range(5000):
    control.show(Control(number, "remark", "x" * 200))
print("told", flush=True)
control.close()
"""


def test_who_reads_late_is_told_the_end_too(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    with (
        socket.socket(socket.AF_UNIX) as peer,
        subprocess.Popen(
            [sys.executable, "-c", LATE], stdout=subprocess.PIPE, text=True, env=environment
        ) as process,
    ):
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        peer.settimeout(60)
        peer.connect(str(tmp_path / "inject" / f"{process.pid}.sock"))
        lines = peer.makefile("rw")
        lines.write('{"do": "watch"}\n')
        lines.flush()
        assert process.stdout.readline() == "told\n"
        assert json.loads(lines.readline())["ok"]
        assert [json.loads(line)["t"] for line in lines] == [*range(5000)]
        assert process.wait(60) == 0


BRIEF = """
import os
for ways in (1, 3, 0):
    input()
    child = os.fork()
    if child == 0:
        for way in range(ways):
            os.getppid()
        os._exit(0)
    os.waitpid(child, 0)
    print("gone", flush=True)
input()
"""


def test_tasks_that_had_faults_are_told_when_they_are_gone(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    words = [*INJECT, "run", "-q", "-e", "getppid:error=EIO", "--", sys.executable, "-c", BRIEF]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "gone\n"

        def snapshot() -> dict[str, Any]:
            told: dict[str, Any] = json.loads(
                finish([*INJECT, "ctl", "snapshot"], env=environment)[1]
            )
            return told

        poll_until(lambda: snapshot()["tasks_total"] == 1)
        rows = [(one["task"], one["faults"], one.get("ended")) for one in snapshot()["tasks"]]
        assert rows == [("0.2", 3, True), ("0.1", 1, True), ("0", 0, None)]
        with watching(tmp_path, process.pid) as lines:
            process.stdin.write("\n")
            process.stdin.close()
            *_, totals, footer = [json.loads(line) for line in lines]
        assert process.wait(60) == 0
    assert (totals["event"], footer["event"]) == ("totals", "footer")
    assert (totals["faults"], totals["calls"]["getppid"], totals["tasks_total"]) == (4, 4, 0)
    assert "- name: rule-1\n" in totals["saved"]
    rows = [(one["task"], one["faults"], one["ended"]) for one in totals["tasks"]]
    assert all("thread" in one for one in totals["tasks"])
    assert rows[:2] == [("0.2", 3, True), ("0.1", 1, True)]
    assert sorted(rows[2:]) == [("0", 0, True), ("0.3", 0, True)]


@pytest.mark.parametrize("live", [[], ["--live"]])
def test_a_folder_that_others_may_enter_is_not_used_and_said(
    live: list[str], tmp_path: Path
) -> None:
    (tmp_path / "inject").mkdir(mode=0o755)
    (tmp_path / "inject").chmod(0o755)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "TERM": "xterm"}
    words = [*INJECT, "run", *live, "-e", "getppid:error=EIO", "--", "true"]
    screen = Screen(words, environment, 200)
    try:
        assert screen.ended() == 0
    finally:
        screen.close()
    wrong = f"no control socket: others may enter {tmp_path}/inject, its mode is 755"
    assert f"inject: warning: {wrong}; ps, watch and ctl" in screen.text
    assert f"  chmod 700 {tmp_path}/inject" in screen.text
    assert (f"no dashboard: {wrong}" in screen.text) == bool(live)
    assert not list((tmp_path / "inject").iterdir())
    assert 1049 not in screen.screen.private
    assert b"1049h" not in screen.raw
