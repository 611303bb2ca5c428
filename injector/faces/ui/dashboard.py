"""The loop: keys, the session's answers and events, the target's output, and a frame now and then.

Runs in a process of its own. Nothing here is needed for the session to go on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from injector.faces.ui.client import Link, Message
from injector.faces.ui.edit import Choice, LineEditor
from injector.faces.ui.keys import PANES, Decoder, Do, Place, lookup
from injector.faces.ui.leaving import Leaving
from injector.faces.ui.model import Model, RuleRow
from injector.faces.ui.output import Output, Pane
from injector.faces.ui.painter import Painter, colors
from injector.faces.ui.panes import Drawing, Prompt, View, chance, draw, index_of

__all__ = ["Dashboard", "Leaving", "Output", "Screen", "run"]

_FRAME = 0.25  # seconds between two frames, and between an answer and the next question
_ESCAPE = 0.05  # an escape key is known by nothing following so long
_ECHO = 0.03  # between two looks at the output while one types
_NOTICE = 5.0
_SILENT = 3.0  # seconds without an answer that are said
_WHEEL = 3  # lines
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Screen(Protocol):
    """The terminal, in raw mode and on its alternate screen."""

    def fileno(self) -> int:
        """Return the descriptor to select on."""

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""

    def read(self) -> bytes:
        """Return what was typed, nothing when it is hung up."""

    def write(self, data: bytes) -> None:
        """Write all of it."""


def run(
    screen: Screen,
    session: int,
    output: Output | None,
    guard: int | None,
    *,
    owner: bool,
    complain: Callable[[str], None],
) -> Leaving:
    """Show a session until it is left.

    `guard` ends it when it is closed at its other end; `owner` says that the session was
    launched with this dashboard; `complain` gets each error that was shown.

    Raises:
        InjectError: there is no such session.
    """
    link = Link(session)
    painter = Painter(screen.write, colors(os.environ))
    dashboard = Dashboard(link, output, owner=owner, complain=complain)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    old = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        return _loop(screen, painter, dashboard, guard, woken)
    finally:
        signal.set_wakeup_fd(old)
        signal.signal(signal.SIGWINCH, before)
        os.close(woken)
        os.close(wake)
        link.close()


def _loop(
    screen: Screen, painter: Painter, dashboard: Dashboard, guard: int | None, woken: int
) -> Leaving:
    decoder = Decoder()
    link = dashboard.link
    size = screen.size()
    due = 0.0
    while dashboard.leaving is None:
        now = time.monotonic()
        dashboard.tick(now)
        if now >= due or dashboard.hurry:
            dashboard.hurry = False
            painter.paint(dashboard.drawing(*size))
            due = now + _FRAME
        wait = _ESCAPE if decoder.pending else dashboard.patience(max(0.0, due - now))
        reads = [screen.fileno(), woken, *([link.fileno()] if link.open else [])]
        reads += [guard] if guard is not None else []
        writes = [link.fileno()] if link.open and link.unsent else []
        ready, writable, _ = select.select(reads, writes, [], wait)
        keys = decoder.flush() if decoder.pending and not ready else []
        if guard in ready:
            return Leaving.QUIT
        if screen.fileno() in ready:
            data = screen.read()
            if not data:
                return Leaving.QUIT
            keys += dashboard.typed(data, decoder)
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            size = screen.size()
            painter.forget()  # resized, or we were suspended and others wrote there
            dashboard.hurry = True
        for key in keys:
            dashboard.key(key)
        if link.open and link.fileno() in ready:
            dashboard.receive()
        if writable:
            link.flush()
    return dashboard.leaving


class Dashboard:
    """What the keys do, between a session and what is shown of it."""

    def __init__(
        self,
        link: Link,
        output: Output | None,
        *,
        owner: bool,
        complain: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.link = link
        self.model = Model()
        self.view = View(owner=owner)
        self.leaving: Leaving | None = None
        self.hurry = True
        self._complain = complain
        self._output = output
        self._pane = Pane(output) if output is not None and output.shown else None
        self._still: Model | None = None
        self._sizes: dict[Place, tuple[int, int]] = {}
        self._now = 0.0
        self._asked = False
        self._asked_at = self._ask_at = 0.0
        self._silence_at: float | None = None
        self._backlog = False
        self._typed_at = 0.0
        self._detaching = False
        self._pinned = False  # the details are of one that was the newest
        # What commands that are not answered yet will do: the next key counts on it.
        self._presumed: list[tuple[str, dict[str, Any]]] = []
        self._answers: dict[str, Callable[[], None]] = {}
        self._accept: Callable[[str], None] = lambda text: None
        self._rules_before: list[str] = []
        self._filters_before: list[str] = []
        link.send({"do": "watch"}, self._watching)

    # What comes from the session.

    def _watching(self, answer: Message) -> None:
        if answer.get("ok"):
            self.model.recent(answer.get("recent", ()))

    def _snapshot(self, answer: Message) -> None:
        self._asked = False
        self._ask_at = self._now + _FRAME
        if answer.pop("ok", False):
            self.model.snapshot(answer)
            for rule, fields in self._presumed:
                self.model.presume(rule, **fields)

    def receive(self) -> None:
        """Take what the session sent."""
        for event in self.link.receive():
            self.model.event(event)
        if not self.link.open:
            self.model.ended()
            self._over()

    def _over(self) -> None:
        self.hurry = True
        self.view.typing = False
        self._still, self.view.frozen = None, False
        if self.view.prompt is not None and self.view.prompt.editor is None:
            self.view.prompt = None  # a question about what is over
        if self._detaching and self.view.owner:
            self.leaving = Leaving.DETACHED
        elif self.model.lost and self.view.owner and not self.model.told:
            self.leaving = Leaving.ENDED  # there is nothing to show: its own words say all
        elif self.model.lost:
            self._say(f"{self.model.lost}; q quits", alarm=True)
        elif self.view.owner:
            self._say(f"the session is over ({self.model.state}); q quits")

    def tick(self, now: float) -> None:
        """Do what is due: ask how the session stands, read the output, forget a notice."""
        self._now = now
        waited = now - self._asked_at if self._asked and self.link.open else 0.0
        self.model.silence = waited if waited > _SILENT else 0.0
        if self.link.open and not self._asked and now >= self._ask_at:
            self._asked, self._asked_at = True, now
            self.link.send({"do": "snapshot"}, self._snapshot)
        if self._silence_at is not None and now >= self._silence_at:
            self._silence_at = None
            self.view.notice = ""
        if self._pane is not None:
            self._backlog = self._pane.read()
            self.hurry = self.hurry or (self._backlog and self.view.typing)

    def patience(self, wait: float) -> float:
        """Return how long to wait for something to happen, at most so long."""
        if self._backlog:
            return 0.0
        return min(wait, _ECHO) if self._now - self._typed_at < 1 else wait

    # What is shown.

    @property
    def shown(self) -> Model:
        """The model, or as it was when the view was frozen."""
        return self._still or self.model

    def drawing(self, columns: int, lines: int) -> Drawing:
        """Return the screen as it should be."""
        view, pane = self.view, self._pane
        if pane is not None:
            pane.frame()
        output = pane.lines(view.back) if pane is not None else None
        made = draw(self.shown, view, output, columns, lines)
        wanted = made.sizes.get(Place.OUTPUT)
        if pane is not None and wanted is not None and wanted != self._sizes.get(Place.OUTPUT):
            pane.resize(*wanted)
            made = draw(self.shown, view, pane.lines(view.back), columns, lines)
        self._sizes = {**self._sizes, **made.sizes}
        if view.typing and pane is not None and view.prompt is None:
            column, line = pane.cursor
            # The head's two lines and the pane's title are above.
            return Drawing(made.lines, (column, line + 3), made.sizes)
        return made

    def _say(self, text: str, *, alarm: bool = False) -> None:
        self.view.notice, self.view.alarm = text, alarm
        self._silence_at = None if alarm else self._now + _NOTICE
        self.hurry = True

    def _fail(self, error: str, help: str = "") -> None:
        self._complain(f"{error}\n  {help}" if help else error)
        self._say(f"{error}; {help}" if help else error, alarm=True)

    # What is typed.

    def typed(self, data: bytes, decoder: Decoder) -> list[str]:
        """Return the keys of what was typed; pass it on where it is the target's."""
        if not self.view.typing or self._pane is None:
            return decoder.feed(data)
        mine, found, rest = data.partition(b"\x1d")
        self._typed_at = self._now
        self._pane.write(mine)
        if not found:
            return []
        self.key("ctrl-]")
        return decoder.feed(rest)

    def _place(self) -> Place:
        if self.view.prompt is not None:
            return Place.EDIT
        if self.view.over is not None:
            return self.view.over
        return Place.TYPING if self.view.typing else self.view.focus

    def key(self, key: str) -> None:
        """Do what a key does."""
        self.hurry = True
        view = self.view
        if self._silence_at is not None or view.alarm:
            view.notice, view.alarm, self._silence_at = "", False, None
        prompt = view.prompt
        if prompt is not None and prompt.editor is None:
            act = self._answers.get(key)
            if act is not None or key in ("escape", "ctrl-c"):
                view.prompt = None
                if act is not None:
                    act()
            return
        do = lookup(self._place(), key)
        if do is not None:
            self.do(do, _WHEEL if key.startswith("wheel") else 1)
        elif prompt is not None and prompt.editor is not None and prompt.editor.key(key):
            prompt.error = ""
            if self._accept == self._filter:
                self._filter_live(prompt.editor.text)

    def do(self, do: Do, step: int = 1) -> None:
        """Do something of the table of keys."""
        view = self.view
        if self.model.over and do in _STEERING:
            self._say(f"the session is over: {self.model.state}")
            return
        match do:
            case Do.UP | Do.DOWN:
                self._move(step if do is Do.DOWN else -step)
            case Do.PAGE_UP | Do.PAGE_DOWN:
                page = max(1, self._page() - 1)
                self._move(page if do is Do.PAGE_DOWN else -page)
            case Do.FIRST | Do.LAST:
                self._move(-(10**9) if do is Do.FIRST else 10**9)
            case Do.NEXT | Do.PREVIOUS:
                self._focus(1 if do is Do.NEXT else -1)
            case Do.DETAILS | Do.HELP:
                view.over = Place.DETAILS if do is Do.DETAILS else Place.HELP
                view.scroll = 0
                found = view.hits.of(self.shown, view.filter)
                if do is Do.DETAILS and view.happened is None and found:
                    view.happened, self._pinned = found[-1].number, True
            case Do.BACK:
                self._back()
            case Do.PAUSE:
                paused = not self.model.paused
                self._send("pause" if paused else "resume", presume={"paused": paused})
            case Do.FREEZE:
                self._still = None if self._still is not None else self.model.still()
                view.frozen = self._still is not None
            case Do.FILTER:
                editor = LineEditor(view.filter, self._filters_before)
                self._prompt(Prompt("filter", editor), self._filter)
            case Do.ADD:
                editor = LineEditor("", self._rules_before, _complete)
                self._prompt(Prompt("add rule", editor), self._add)
            case Do.SAVE:
                name = str(self.model.told.get("scenario") or "scenario")
                editor = LineEditor(f"{Path(name).stem or 'scenario'}.yaml")
                self._prompt(Prompt("save as", editor), self._save)
            case Do.TYPE | Do.TYPED:
                view.typing = do is Do.TYPE and self._pane is not None
                view.back = 0
            case Do.SUSPEND:
                # Our parent stops, and us: as a job of the shell that started it.
                os.kill(os.getppid(), signal.SIGTSTP)
            case Do.INTERRUPT:
                self._interrupt()
            case Do.DETACH:
                self._detach()
            case Do.STOP:
                self._send("stop", say="asked the target to end")
            case Do.QUIT:
                self._quit()
            case Do.ACCEPT | Do.COMPLETE | Do.OLDER | Do.NEWER:
                self._line(do)
            case _:
                self._steer(do)

    def _line(self, do: Do) -> None:
        prompt = self.view.prompt
        if prompt is None or prompt.editor is None:
            return
        match do:
            case Do.ACCEPT:
                self._accept(prompt.editor.text.strip())
            case Do.COMPLETE:
                prompt.error = ""
                prompt.editor.complete()
            case Do.OLDER:
                prompt.editor.older()
            case _:
                prompt.editor.newer()
        if self._accept == self._filter and do in (Do.OLDER, Do.NEWER):
            self._filter_live(prompt.editor.text)

    # Moving.

    def _page(self) -> int:
        return self._sizes.get(self.view.focus, (0, 10))[1] - 1

    def _focus(self, step: int) -> None:
        places = [one for one in PANES if one is not Place.OUTPUT or self._pane is not None]
        self.view.focus = places[(places.index(self.view.focus) + step) % len(places)]

    def _move(self, step: int) -> None:
        view, model = self.view, self.shown
        if view.over is Place.HELP or (view.over is not None and abs(step) > _WHEEL):
            view.scroll = min(max(0, view.scroll + step), 200)
            return
        view.scroll = 0
        match view.focus:
            case Place.RULES:
                names = [rule.name for rule in model.rules]
                if names:
                    chosen = names.index(view.rule) if view.rule in names else 0
                    view.rule = names[_within(chosen + step, len(names))]
            case Place.INJECTIONS:
                self._pinned = False
                found = view.hits.of(model, view.filter)
                chosen = index_of(found, view.happened) + step
                last = chosen >= len(found) - (step > 0 and view.happened is None)
                view.happened = None if last else found[max(0, chosen)].number
            case Place.CALLS:
                room = len(model.calls) - self._page()
                view.call = _within(view.call + step, max(1, room + 1))
            case Place.TASKS:
                view.task = _within(min(view.task, len(model.tasks) - 1) + step, len(model.tasks))
            case _ if self._pane is not None:
                view.back = min(max(0, view.back - step), self._pane.kept)

    def _back(self) -> None:
        view = self.view
        if view.prompt is not None:
            if self._accept == self._filter:
                self._filter_live("")
            view.prompt = None
        elif view.over is not None:
            view.over = None
            if self._pinned:
                view.happened, self._pinned = None, False
        else:
            self._filter_live("")
            view.happened = None

    # Steering.

    def _send(
        self,
        do: str,
        then: Callable[[], None] | None = None,
        *,
        say: str = "",
        presume: dict[str, Any] | None = None,
        **words: str,
    ) -> None:
        """Send a command; `presume` is what it changes, of its rule or of the session."""
        presumed = (words.get("rule", ""), presume or {})
        self._presumed.append(presumed)
        self.model.presume(presumed[0], **presumed[1])

        def answered(answer: Message) -> None:
            self.hurry = True
            self._presumed.remove(presumed)
            self._ask_at = 0.0  # show at once what came of it
            if not answer.get("ok"):
                self._fail(str(answer.get("error", "refused")), str(answer.get("help", "")))
                return
            if say:
                self._say(say)
            if then is not None:
                then()

        self.link.send({"do": do, **words}, answered)

    def _chosen(self) -> RuleRow | None:
        rules = self.model.rules
        return next(
            (one for one in rules if one.name == self.view.rule), rules[0] if rules else None
        )

    def _steer(self, do: Do) -> None:
        rule = self._chosen()
        if rule is None:
            self._say("there is no rule: a adds one")
            return
        self.view.rule = rule.name
        match do:
            case Do.TOGGLE:
                enabled = not rule.enabled
                do_ = "enable" if enabled else "disable"
                self._send(do_, rule=rule.name, presume={"enabled": enabled})
            case Do.FIRE:
                say = f"{rule.name} fires at its next match"
                self._send("fire", say=say, rule=rule.name)
            case Do.REMOVE:
                # As it is now: it may have been changed since the last snapshot.
                self.link.send({"do": "snapshot"}, partial(self._remember, rule.name))
                say = f"removed {rule.name}: a and ↑ bring it back"
                self._send("remove", say=say, rule=rule.name)
            case Do.RAISE | Do.LOWER:
                value = step_of(rule.probability, 1 if do is Do.RAISE else -1)
                if value is None:
                    self._say(f"{rule.name} is at {chance(rule.probability)} already")
                    return
                text = f"{value * 100:g}%"
                say = f"{rule.name}: probability {text}"
                fields = {"probability": value}
                self._send(
                    "set",
                    say=say,
                    presume=fields,
                    rule=rule.name,
                    what="probability",
                    value=text,
                )

    def _remember(self, name: str, answer: Message) -> None:
        texts = [str(one.get("text")) for one in answer.get("rules", ()) if one["rule"] == name]
        self._rules_before += texts

    def _detach(self) -> None:
        def gone() -> None:
            self._detaching = True

        self._send("detach", gone, say="asked to let the target run on")

    def _interrupt(self) -> None:
        if self._output is not None and not self.model.over:
            with contextlib.suppress(OSError):
                os.write(self._output.master, b"\x03")
        else:
            self.leaving = Leaving.ENDED if self.model.over else Leaving.QUIT

    def _quit(self) -> None:
        if self.model.over:
            self.leaving = Leaving.ENDED
        elif self.view.owner:
            name = str(self.model.told.get("process") or "the target")
            attached = bool(self.model.told.get("attached"))
            title = f"inject is attached to {name}." if attached else f"{name} still runs."
            end = "let it go" if attached else "end it"
            answers = {"e": end, "l": "leave the faults on and quit", "escape": "back"}
            self.view.prompt = Prompt(title, answers=answers)
            self._answers = {
                "e": lambda: self._send("stop", say="asked the target to end"),
                "l": lambda: self._leave(Leaving.LEAVE),
            }
        else:
            self.leaving = Leaving.QUIT

    def _leave(self, how: Leaving) -> None:
        self.leaving = how

    # Lines of input.

    def _prompt(self, prompt: Prompt, accept: Callable[[str], None]) -> None:
        self.view.prompt, self._accept = prompt, accept

    def _add(self, text: str) -> None:
        if not text:
            self.view.prompt = None
            return
        prompt = self.view.prompt

        def answered(answer: Message) -> None:
            self.hurry = True
            if answer.get("ok"):
                self._rules_before.append(text)
                self._ask_at = 0.0
                self.view.focus = Place.RULES
                if self.view.prompt is prompt:
                    self.view.prompt = None
                self._say(f"added {text}")
            elif prompt is not None:
                prompt.error = str(answer.get("error", "refused"))
                prompt.help = str(answer.get("help", ""))

        self.link.send({"do": "add", "text": text}, answered)

    def _filter(self, text: str) -> None:
        self._filter_live(text)
        if text:
            self._filters_before.append(text)
            self.view.focus = Place.INJECTIONS
        self.view.prompt = None

    def _filter_live(self, text: str) -> None:
        self.view.filter = text
        self.view.happened = None

    def _save(self, text: str) -> None:
        prompt = self.view.prompt
        if not text:
            self.view.prompt = None
            return

        def answered(answer: Message) -> None:
            self.hurry = True
            if answer.get("ok"):
                self._write(Path(text).expanduser(), str(answer.get("scenario", "")), prompt)
            elif prompt is not None:
                prompt.error = str(answer.get("error", "refused"))
                prompt.help = str(answer.get("help", ""))

        self.link.send({"do": "save"}, answered)

    def _write(
        self, path: Path, scenario: str, prompt: Prompt | None, *, over: bool = False
    ) -> None:
        try:
            with path.open("w" if over else "x") as file:
                file.write(scenario)
        except FileExistsError:
            answers = {"y": "write over it", "escape": "keep it"}
            self.view.prompt = Prompt(f"{path.name} is there already.", answers=answers)
            self._answers = {"y": lambda: self._write(path, scenario, None, over=True)}
            return
        except OSError as error:
            text = f"cannot write {path}: {error.strerror}"
            if prompt is None:
                self._fail(text)
            else:
                prompt.error, prompt.help = text, "another name, or Esc"
            return
        self.view.prompt = None
        self._say(f"saved as {path}: inject run {path} -- ... does the same again")


_STEERING = frozenset(
    {Do.PAUSE, Do.ADD, Do.SAVE, Do.TYPE, Do.DETACH, Do.STOP}
    | {Do.TOGGLE, Do.FIRE, Do.REMOVE, Do.RAISE, Do.LOWER}
)


def step_of(probability: float, direction: int) -> float | None:
    """Return the next probability up or down of 0.1, 0.2, 0.5, 1, ... 100 %, None at the end."""
    if direction > 0:
        return next((one for one in STEPS if one > probability * 1.001), None)
    return next((one for one in reversed(STEPS) if one < probability * 0.999), None)


def _within(index: int, length: int) -> int:
    return max(0, min(index, length - 1))


def _complete(text: str) -> list[Choice]:
    from injector.faces.cli.completion import rule_words

    return list(_choices(rule_words(text)))


def _choices(items: list[Any]) -> Iterator[Choice]:
    for item in items:
        yield Choice(str(item.value), str(item.help or ""))
