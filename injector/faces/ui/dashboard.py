"""What keys, the session's answers and events, and the target's output come to: a drawing.

No clock and no descriptor of its own but the target's terminal; the loop has those.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from injector.faces.ui.client import Link, Message
from injector.faces.ui.commands import Commands
from injector.faces.ui.keys import PANES, STEERING, Decoder, Do, Place, lookup
from injector.faces.ui.layout import draw
from injector.faces.ui.leaving import Leaving
from injector.faces.ui.model import Model, RuleRow
from injector.faces.ui.moving import WHEEL, move
from injector.faces.ui.notices import Notices
from injector.faces.ui.output import Output, Pane
from injector.faces.ui.prompts import Prompts
from injector.faces.ui.view import Drawing, View, chosen_of

_AGAIN = 0.25  # seconds between an answer and the next question
_ECHO = 0.03  # between two looks at the output while one types
_SILENT = 3.0  # seconds without an answer that are said


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
        self._notices = Notices(self.view, complain)
        self._output = output
        self._pane = Pane(output) if output is not None and output.shown else None
        self._still: Model | None = None
        self._sizes: dict[Place, tuple[int, int]] = {}
        self._now = 0.0
        self._asked = False
        self._asked_at = self._ask_at = 0.0
        self._backlog = False
        self._typed_at = 0.0
        self._detaching = False
        self._prompts = Prompts(link, self.view, self._notices, self._changed)
        self._commands = Commands(
            link,
            self.model,
            self._notices,
            changed=self._changed,
            removed=self._prompts.remember,
        )
        self._heard = False  # since we are connected
        link.send({"do": "watch"}, self._watching)

    # What comes from the session.

    def _watching(self, answer: Message) -> None:
        if answer.get("ok"):
            self.model.recent(answer.get("recent", ()))

    def _snapshot(self, answer: Message) -> None:
        self._asked = False
        self._ask_at = self._now + _AGAIN
        if answer.pop("ok", False):
            self._heard = True
            self.model.snapshot(answer)
            self._commands.presume()

    def _changed(self) -> None:
        self._ask_at = 0.0  # show at once what came of it
        self.hurry = True

    def receive(self) -> None:
        """Take what the session sent."""
        for event in self.link.receive():
            self.model.event(event)
        if self.link.open:
            return
        if self.model.footer is None and self._heard and self.link.reopen():
            self._begin_anew()
        else:
            self.model.ended()
            self._over()

    def _begin_anew(self) -> None:
        """Watch again: we were stopped or too slow, and so dropped."""
        self._heard = self._asked = False
        self._ask_at = 0.0
        self._commands.forget()
        self._prompts.forget()
        self.model.forget()
        self.link.send({"do": "watch"}, self._watching)
        self._notices.say("connected anew: the session does not wait for who does not read")
        self.hurry = True

    def _over(self) -> None:
        self.hurry = True
        self.view.typing = False
        self._still, self.view.frozen = None, False
        self._prompts.over(self.model.saved)
        if self._detaching and self.view.owner:
            self.leaving = Leaving.DETACHED
        elif self.model.lost and self.view.owner and not self.model.told:
            self.leaving = Leaving.ENDED  # there is nothing to show: its own words say all
        elif self.model.lost:
            self._notices.say(f"{self.model.lost}; q quits", alarm=True)
        elif self.view.owner:
            self._notices.say(f"the session is over ({self.model.state}); q quits")

    def tick(self, now: float) -> None:
        """Do what is due: ask how the session stands, read the output, forget a notice."""
        self._now = now
        waited = now - self._asked_at if self._asked and self.link.open else 0.0
        self.model.silence = waited if waited > _SILENT else 0.0
        if self.link.open and not self._asked and now >= self._ask_at:
            self._asked, self._asked_at = True, now
            self.link.send({"do": "snapshot"}, self._snapshot)
        self._notices.tick(now)
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

    # What is typed.

    def typed(self, data: bytes, decoder: Decoder) -> None:
        """Do what was typed; pass on what is the target's."""
        while data:
            if self._pane is not None and self._place() is Place.TYPING:
                theirs, ours, data = data.partition(b"\x1d")
                self._typed_at = self._now
                self._pane.write(theirs)
                if ours:
                    self.key("ctrl-]")
                continue
            for key in decoder.feed(data):
                self.key(key)
                if self._place() is Place.TYPING:
                    break
            data = decoder.rest() if self._place() is Place.TYPING else b""

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
        self._notices.clear()
        if view.prompt is not None and view.prompt.editor is None:
            self._prompts.answer(key)
            return
        do = lookup(self._place(), key)
        if do is not None:
            self.do(do, WHEEL if key.startswith("wheel") else 1)
        else:
            self._prompts.edit(key)

    def do(self, do: Do, step: int = 1) -> None:
        """Do something of the table of keys."""
        view = self.view
        if self.model.over and do in STEERING and not (do is Do.SAVE and self.model.saved):
            self._notices.say(f"the session is over: {self.model.state}")
            return
        match do:
            case Do.UP | Do.DOWN:
                self._go(step if do is Do.DOWN else -step)
            case Do.PAGE_UP | Do.PAGE_DOWN:
                page = max(1, self._page() - 1)  # one line stays to be known again
                self._go(page if do is Do.PAGE_DOWN else -page)
            case Do.FIRST | Do.LAST:
                self._go(-(10**9) if do is Do.FIRST else 10**9)
            case Do.NEXT | Do.PREVIOUS:
                self._focus(1 if do is Do.NEXT else -1)
            case Do.DETAILS | Do.HELP:
                view.over = Place.DETAILS if do is Do.DETAILS else Place.HELP
                view.scroll = 0
                found = view.hits.of(self.shown, view.filter)
                if do is Do.DETAILS and view.happened is None and found:
                    view.happened, view.pinned = found[-1].number, True
            case Do.BACK:
                self._back()
            case Do.PAUSE:
                paused = not self.model.paused
                self._commands.send("pause" if paused else "resume", presume={"paused": paused})
            case Do.FREEZE:
                self._still = None if self._still is not None else self.model.still()
                view.frozen = self._still is not None
            case Do.FILTER:
                self._prompts.filter()
            case Do.ADD:
                self._prompts.add()
            case Do.ADD_FOR:
                calls = [row.name for row in self.shown.calls]
                self._prompts.add(f"{calls[chosen_of(calls, view.call)]}:error=" if calls else "")
            case Do.SAVE:
                self._prompts.save(str(self.model.told.get("scenario") or "scenario"))
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
                self._stop()
            case Do.QUIT:
                self._quit()
            case Do.ACCEPT | Do.COMPLETE | Do.OLDER | Do.NEWER:
                self._prompts.line(do)
            case _:
                self._steer(do)

    def _page(self) -> int:
        high = self._sizes.get(self.view.over or self.view.focus, (0, 10))[1]
        return high if self.view.over or self.view.focus is Place.OUTPUT else high - 1

    def _go(self, step: int) -> None:
        kept = self._pane.kept if self._pane is not None else 0
        move(self.view, self.shown, step, kept=kept)

    def _focus(self, step: int) -> None:
        places = [one for one in PANES if one is not Place.OUTPUT or self._pane is not None]
        self.view.focus = places[(places.index(self.view.focus) + step) % len(places)]

    def _back(self) -> None:
        view = self.view
        if view.prompt is not None:
            self._prompts.leave()
        elif view.over is not None:
            view.over = None
            if view.pinned:
                view.happened, view.pinned = None, False
        else:
            self._prompts.show_all()

    def _chosen(self) -> RuleRow | None:
        rules = self.model.rules
        return next(
            (one for one in rules if one.name == self.view.rule), rules[0] if rules else None
        )

    def _steer(self, do: Do) -> None:
        rule = self._chosen()
        if rule is None:
            self._notices.say("there is no rule: a adds one")
            return
        self.view.rule = rule.name
        if do is Do.REMOVE:  # the one behind it is chosen then, or else the one before
            names = [one.name for one in self.model.rules]
            at = names.index(rule.name)
            self.view.rule = [*names[at + 1 :], *names[:at][::-1], ""][0]
        self._commands.steer(do, rule)

    def _detach(self) -> None:
        def gone() -> None:
            self._detaching = True

        self._commands.send("detach", gone, say="asked to let the target run on")

    def _stop(self) -> None:
        self._commands.send("stop", say="asked the target to end")

    def _leave(self) -> None:
        self.leaving = Leaving.LEAVE

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
            title = f"Still attached to {name}." if attached else f"{name} still runs."
            end = "let it go" if attached else "end it"
            self._prompts.ask(
                title,
                {
                    "e": (end, self._stop),
                    "l": ("quit, faults go on", self._leave),
                    "escape": ("back", lambda: None),
                },
            )
        else:
            self.leaving = Leaving.QUIT
