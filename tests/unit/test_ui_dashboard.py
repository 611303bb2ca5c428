"""What the keys send to the session, and how the dashboard is left: against a session made up."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from injector.faces.ui.client import Message, Then
from injector.faces.ui.dashboard import Dashboard
from injector.faces.ui.keys import TABLE, Decoder, Place
from injector.faces.ui.leaving import Leaving
from injector.faces.ui.output import Output

from .ui_sample import injection, snapshot


class FakeLink:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.open = True
        self.lives = False  # the session, when the connection is lost
        self.unsent = False
        self.sent: list[tuple[Message, Then]] = []
        self.events: list[Message] = []

    def reopen(self) -> bool:
        self.open = self.lives
        self.sent.clear()
        return self.open

    def send(self, command: Message, then: Then) -> None:
        self.sent.append((command, then))

    def receive(self) -> list[Message]:
        events, self.events = self.events, []
        return events


class Board:
    """A dashboard with a screen of 100x30 that nobody sees."""

    def __init__(self, *, owner: bool = False, output: Output | None = None) -> None:
        self.link = FakeLink()
        self.said: list[str] = []
        link: Any = self.link
        self.it = Dashboard(link, output, owner=owner, complain=self.said.append)
        self.answer("watch", recent=[injection(1, 1.0), injection(2, 2.0)])
        self.now = 0.0
        self.tick()
        self.answer("snapshot", **snapshot(754.0))

    def tick(self) -> None:
        self.now += 1.0
        self.it.tick(self.now)

    def answer(self, do: str, ok: bool = True, **words: Any) -> Message:
        """Answer the oldest command, which must be this."""
        command, then = self.link.sent.pop(0)
        assert command["do"] == do
        then({"ok": ok, **words})
        return command

    def press(self, *keys: str) -> None:
        for key in keys:
            self.it.key(key)

    def text(self) -> str:
        return "\n".join(line.plain.rstrip() for line in self.it.drawing(100, 30).lines)


@pytest.fixture
def board() -> Board:
    return Board()


def test_it_never_asks_again_before_the_answer(board: Board) -> None:
    for _ in range(5):
        board.tick()
    assert [command["do"] for command, _ in board.link.sent] == ["snapshot"]
    board.answer("snapshot", **snapshot(755.0))
    board.tick()
    assert [command["do"] for command, _ in board.link.sent] == ["snapshot"]


def test_it_says_when_there_is_no_answer(board: Board) -> None:
    board.tick()
    assert " running " in board.text()
    for _ in range(5):
        board.tick()
    assert " no answer for 5 s " in board.text()
    board.answer("snapshot", **snapshot(755.0))
    board.tick()
    assert " running " in board.text()


def test_one_that_was_dropped_watches_again(board: Board) -> None:
    board.press("p")
    board.link.open, board.link.lives = False, True
    board.it.receive()
    assert "connected anew" in board.text()
    board.answer("watch", recent=[injection(number, 700.0 + number) for number in range(9)])
    board.tick()
    board.answer("snapshot", **snapshot(800.0, paused=False))
    assert (board.it.model.injections, board.it.model.paused) == (9, False)
    assert "Injections 9 of 686" in board.text()
    board.link.open = False
    board.it.receive()
    assert board.it.model.lost == ""
    board.link.open = False  # again, and nobody answered meanwhile: so it is over
    board.it.receive()
    assert "the session was killed; q quits" in board.text()


def unanswered(*, owner: bool) -> Dashboard:
    link: Any = FakeLink()
    dashboard = Dashboard(link, None, owner=owner)
    dashboard.tick(1.0)
    link.open = False
    dashboard.receive()
    return dashboard


def test_a_session_that_ended_before_it_answered_was_not_killed() -> None:
    assert unanswered(owner=True).leaving is Leaving.ENDED
    watching = unanswered(owner=False)
    assert watching.leaving is None
    text = "\n".join(line.plain for line in watching.drawing(100, 30).lines)
    assert "the session ended before it answered; q quits" in text


def test_the_details_stay_with_one_while_others_come(board: Board) -> None:
    board.press("tab", "enter")
    assert "0/sendto" not in board.text()
    assert "0.7/socket#2" in board.text()
    board.it.model.event(injection(4, 4.0))
    assert "0.7/socket#2" in board.text()
    board.press("escape")
    assert board.it.view.happened is None


def test_keys_count_on_what_those_before_them_do(board: Board) -> None:
    board.press("p", "p", "space", "space", "+", "+")
    sent = [command for command, _ in board.link.sent]
    assert [command["do"] for command in sent[:4]] == ["pause", "resume", "disable", "enable"]
    assert [command["value"] for command in sent[4:]] == ["5%", "10%"]
    assert {command["rule"] for command in sent[2:]} == {"full-disk"}


def test_a_snapshot_under_way_does_not_undo_what_was_pressed(board: Board) -> None:
    board.tick()
    board.press("p")
    board.answer("snapshot", **snapshot(755.0))
    assert " paused " in board.text()
    board.answer("pause")
    board.tick()
    board.answer("snapshot", **snapshot(756.0))
    assert " running " in board.text()  # it is the session that knows


def test_a_refusal_is_shown_and_repeated_afterwards(board: Board) -> None:
    board.press("d")
    board.answer("detach", False, error="the target cannot be let go: why", help="stop ends it")
    assert "the target cannot be let go: why; stop ends it" in board.text()
    assert board.said == ["the target cannot be let go: why\n  stop ends it"]
    board.press("down")
    assert "cannot be let go" not in board.text()


def test_the_owner_is_asked_before_quitting() -> None:
    board = Board(owner=True)
    board.press("q")
    assert "redis-server still runs." in board.text()
    board.press("x", "escape")
    assert board.it.leaving is None
    assert board.link.sent == []
    board.press("q", "e")
    board.answer("stop")
    assert board.it.leaving is None
    board.press("q", "l")
    assert board.it.leaving is Leaving.LEAVE


def test_who_only_watches_just_quits(board: Board) -> None:
    board.press("q")
    assert board.it.leaving is Leaving.QUIT


@pytest.mark.parametrize("key", ["q", "ctrl-c"])
def test_after_the_end_the_owner_leaves_with_a_key(key: str) -> None:
    board = Board(owner=True)
    board.link.events = [{"event": "footer", "t": 9.0, "outcome": "exit", "status": 0, "rules": []}]
    board.it.receive()
    board.link.open = False
    board.it.receive()
    assert " exit 0 " in board.text()
    board.press("p", "a", "S", "enter", "escape")
    assert board.link.sent == []
    board.press(key)
    assert board.it.leaving is Leaving.ENDED


def test_what_was_in_force_can_be_saved_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    board = Board(owner=True)
    board.press("a", *"read")
    board.link.events = [
        {"event": "totals", "calls": {}, "saved": "rules: [] # é\n"},
        {"event": "footer", "t": 9.0, "outcome": "exit", "status": 0, "rules": []},
    ]
    board.it.receive()
    board.link.open = False
    board.it.receive()
    assert "add rule" not in board.text()  # nobody would take it
    board.press("down")
    assert " s save " in board.text()
    board.press("s", "enter")
    assert "saved as redis-under-pressure.yaml" in board.text()
    assert (tmp_path / "redis-under-pressure.yaml").read_text("utf-8") == "rules: [] # é\n"
    assert board.link.sent == []


def test_an_owner_who_detaches_leaves() -> None:
    board = Board(owner=True)
    board.press("d")
    board.answer("detach")
    footer = {"event": "footer", "t": 9.0, "outcome": "detached", "status": None, "rules": []}
    board.link.events = [footer]
    board.it.receive()
    board.link.open = False
    board.it.receive()
    assert board.it.leaving is Leaving.DETACHED


@contextlib.contextmanager
def terminal(folder: Path) -> Iterator[tuple[Output, int]]:
    """A target's terminal: what the dashboard has of it, and the target's end."""
    spool = os.open(folder, os.O_TMPFILE | os.O_RDWR)
    master, slave = os.openpty()
    try:
        yield Output(spool, master), slave
    finally:
        for fd in (spool, master, slave):
            os.close(fd)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[tuple[Output, int]]:
    with terminal(tmp_path) as made:
        yield made


def test_typed_keys_go_to_the_target_until_they_are_taken_back(output: tuple[Output, int]) -> None:
    board = Board(owner=True, output=output[0])
    decoder = Decoder()
    os.write(output[0].spool, b"name? ")
    board.it.view.focus = Place.OUTPUT
    board.tick()
    assert "\nname?\n" in board.text()
    board.it.typed(b"iqp\x1b[A\r", decoder)  # all at once, as a slow line brings it
    assert os.read(output[1], 100) == b"qp\x1b[A\n"
    drawing = board.it.drawing(100, 30)
    assert drawing.cursor == (6, 3)
    assert drawing.lines[3].plain.startswith("name? ")
    board.link.sent.clear()
    board.it.typed(b"\r\x1dpi\xff\xc3", decoder)
    assert os.read(output[1], 100) == b"\n"
    assert [command["do"] for command, _ in board.link.sent] == ["pause"]
    board.it.typed(b"\xa9\r\x1d", decoder)
    assert os.read(output[1], 100) == b"\xff\xc3\xa9\n"
    assert not board.it.view.typing


def test_interrupt_goes_to_the_target_of_the_owner(output: tuple[Output, int]) -> None:
    hidden = Output(output[0].spool, output[0].master, shown=False)
    board = Board(owner=True, output=hidden)
    assert "Output" not in board.text()
    attributes = termios.tcgetattr(output[1])
    attributes[3] = 0  # raw: the byte itself is to be seen
    termios.tcsetattr(output[1], 0, attributes)
    board.press("ctrl-c")
    assert os.read(output[1], 10) == b"\x03"
    assert board.it.leaving is None


KEYS = sorted({key for one in TABLE for key in one.keys} - {"ctrl-z"})
STEP = (
    st.sampled_from(KEYS)
    | st.sampled_from(["backspace", "ctrl-w", "y", "l", "e", ":", "E", "paste a\nb", "wheel-down"])
    | st.sampled_from(["<answer>", "<refuse>", "<second>", "<fault>", "<over>", "<gone>"])
    | st.sampled_from(["<output>"])
)
# What single keys hardly ever come to.
HABIT = st.sampled_from(
    [
        ["shift-tab", "i"],
        ["s", "enter"],
        ["s", "enter", "escape"],
        ["s", "home", "/", "enter", *["<answer>"] * 3],
        ["a", "r", "e", "a", "d", "enter"],
        ["<answer>"] * 3,
    ]
)
STEPS = st.lists(STEP.map(lambda one: [one]) | HABIT, max_size=60).map(
    lambda parts: [one for part in parts for one in part]
)
TYPED = {"enter": b"\r", "ctrl-]": b"\x1d", "ctrl-c": b"\x03"}
WRITTEN = b"\x1b[31m\xc3\xa9\x1b[?1049h\x1b[9;1Hred\r\n\x1b[?1049l\n"


def confined(folder: str) -> Callable[..., Any]:
    """Return what opens files of this folder only: any keys make any name."""
    whole = Path.open

    def only(path: Path, *how: Any, **more: Any) -> Any:
        if not path.resolve().is_relative_to(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return whole(path, *how, **more)

    return only


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.booleans(), st.booleans(), st.sampled_from([(40, 10), (80, 24), (130, 40)]))
def test_any_keys_in_any_order_do_no_harm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[str],
    owner: bool,
    shown: bool,
    size: tuple[int, int],
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder, terminal(tmp_path) as (output, _):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(Path, "open", confined(folder))
        decoder = Decoder()
        board = Board(owner=owner, output=output if shown else None)
        link = board.link
        for number, step in enumerate(steps):
            if board.it.leaving is not None:
                break
            match step:
                case "<answer>" | "<refuse>" if link.sent:
                    command, then = link.sent.pop(0)
                    answer: dict[str, Any] = {"ok": step == "<answer>", "error": "x", "column": 3}
                    if command["do"] == "snapshot":
                        more: dict[str, Any] = {"rules": []} if number % 3 == 0 else {}
                        answer |= snapshot(755.0 + number, **more)
                    then({**answer, "scenario": "rules: []\n"})
                case "<answer>" | "<refuse>":
                    pass
                case "<second>":
                    board.tick()
                case "<fault>":
                    link.events = [injection(number, 755.0 + number)]
                    board.it.receive()
                case "<over>":
                    link.events = [{"event": "footer", "t": 999.0, "outcome": "exit", "status": 0}]
                    board.it.receive()
                case "<gone>":
                    link.open = False
                    board.it.receive()
                case "<output>":
                    os.write(output.spool, WRITTEN)
                case key if board.it.view.typing:
                    board.it.typed(TYPED.get(key, b"k"), decoder)
                case key:
                    board.press(key)
            assert not board.it.view.typing or board.it.view.prompt is None
            drawing = board.it.drawing(*size)
            assert [cell_len(line.plain) for line in drawing.lines] == [size[0]] * size[1]
        monkeypatch.undo()


def test_a_rule_is_begun_with_a_call_that_is_seen(board: Board) -> None:
    board.press("tab", "tab", "down", "down", "down")
    hottest = [row.name for row in board.it.model.calls]
    assert f"› {hottest[3]} " in board.text()
    told = snapshot(755.0)
    told["calls"][hottest[3]] += 10**6  # the hottest now: it stays the chosen one
    board.it.model.snapshot(told)
    assert f"› {hottest[3]} " in board.text()
    board.press("enter", *"EIO", "enter")
    assert board.answer("add")["text"] == f"{hottest[3]}:error=EIO"


def test_a_wrong_rule_is_shown_where_it_is_wrong(board: Board) -> None:
    board.press("a", *" write:err=EIO", "enter")
    words = {"error": "unknown key 'err'", "help": "keys of a rule: name", "column": 7}
    board.answer("add", False, **words)
    text = board.text()
    assert "unknown key 'err'\n" in text
    assert "keys of a rule: name\n" in text
    board.press(*"or", "enter")
    assert board.answer("add")["text"] == "write:error=EIO"


def test_help_goes_by_its_own_pages(board: Board) -> None:
    board.it.view.focus = Place.CALLS  # a pane of a few lines
    board.press("?")
    assert "Keys 1 to 26 of" in board.text()
    board.press("page-down")
    assert "Keys 20 to 45 of 45" in board.text()
    board.press("page-up")
    assert "Keys 1 to 26 of" in board.text()


def test_a_removed_rule_can_be_brought_back(board: Board) -> None:
    board.press("down", "x")
    rules = [{"rule": "slow-net", "text": "read:error=EIO:name=slow-net"}]
    board.answer("snapshot", rules=rules)  # its text may have changed since the last one
    assert board.answer("remove")["rule"] == "slow-net"
    board.press("a", "up", "enter")
    assert board.answer("add")["text"] == rules[0]["text"]


def test_what_is_removed_twice_is_two_rules(board: Board) -> None:
    names = [one.name for one in board.it.model.rules]
    board.press("x", "x")
    removed = [command["rule"] for command, _ in board.link.sent if command["do"] == "remove"]
    assert removed == names[:2]
    board.link.sent.reverse()
    board.answer("remove", False, error="no")
    board.link.sent.reverse()
    board.tick()
    assert board.it.view.rule == names[2]
    board.press("end", "x")
    assert board.it.view.rule == names[-2]


def test_a_line_that_waits_for_its_answer_is_not_sent_again(board: Board) -> None:
    board.press("a", *"read:error=EIO", "enter", "enter")
    assert board.answer("add")["text"] == "read:error=EIO"
    assert board.link.sent == []
    assert board.it.view.prompt is None
    board.press("a", *"read:error=EIO", "enter", *":limit=1", "enter")
    board.answer("add")
    assert "add rule › read:error=EIO:limit=1" in board.text()  # what is written stays
    board.answer("add", False, error="no")
    assert "\n no\n" in board.text()
    board.press("enter")
    assert board.answer("add")["text"] == "read:error=EIO:limit=1"
    board.press("a", *"read", "enter")
    board.link.open, board.link.lives = False, True
    board.it.receive()
    board.answer("watch")
    board.press("enter")  # nobody will answer the first
    assert board.answer("add")["text"] == "read"


def test_a_late_answer_does_nothing_to_what_is_there_by_then(
    output: tuple[Output, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "redis-under-pressure.yaml"
    board = Board(owner=True, output=output[0])
    board.press("s", "enter", "escape", "a", *"read")
    board.answer("save", scenario="rules: []\n")
    assert "add rule › read" in board.text()
    assert not Path(name).exists()
    board.press("escape", "a", *"read:error=EIO", "enter", "escape", "/", *"EIO")
    board.answer("add")
    assert "filter › EIO" in board.text()
    board.press("escape", "a", *"read:err=EIO", "enter", "escape")
    board.answer("add", False, error="unknown key")
    assert "unknown key" in board.text()
    Path(name).touch()
    board.it.view.focus = Place.OUTPUT
    decoder = Decoder()
    board.it.typed(b"s\r", decoder)
    board.it.typed(b"\x03i", decoder)
    board.answer("save", scenario="rules: []\n")
    board.it.typed(b"yes\r\x1d", decoder)
    assert os.read(output[1], 10) == b"yes\n"
    assert Path(name).read_text() == ""


def test_the_target_s_text_cannot_make_a_key_or_a_colour(board: Board) -> None:
    event = {**injection(3, 3.0), "args": "\x1b[2J\x07[bold red]x[/]\n", "syscall": "open"}
    board.it.model.event(event)
    text = board.text()
    assert r"open(\x1b[2J\x07[bold red]x[/]\n)" in text
    assert "\x1b" not in text
