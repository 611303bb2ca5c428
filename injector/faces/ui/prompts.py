"""What is asked at the bottom of the screen: lines of input, and questions that a key answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from injector.faces.ui.client import Link, Message
from injector.faces.ui.edit import Choice, LineEditor
from injector.faces.ui.keys import Do, Place
from injector.faces.ui.notices import Notices
from injector.faces.ui.view import Prompt, View


class Prompts:
    """What is being asked, and what comes of the answer."""

    def __init__(
        self, link: Link, view: View, notices: Notices, changed: Callable[[], None]
    ) -> None:
        """`changed` is called when a line was answered: the session stands otherwise."""
        self._link = link
        self._view = view
        self._notices = notices
        self._changed = changed
        self._accept: Callable[[str], None] = lambda text: None
        self._answers: Mapping[str, Callable[[], None]] = {}
        self._saved: str | None = None  # the rules in force at the end
        self._rules_before: list[str] = []
        self._filters_before: list[str] = []

    @property
    def _filters(self) -> bool:
        return self._accept == self._filter

    def remember(self, rule: str) -> None:
        """Keep a rule that is gone, to be brought back."""
        self._rules_before.append(rule)

    def ask(self, title: str, answers: Mapping[str, tuple[str, Callable[[], None]]]) -> None:
        """Ask a question that a key answers; each has a label and what it does."""
        labels = {key: label for key, (label, _) in answers.items()}
        self._view.prompt = Prompt(title, answers=labels)
        self._answers = {key: act for key, (_, act) in answers.items()}

    def add(self, text: str = "") -> None:
        """Ask for a rule that begins so."""
        editor = LineEditor(text, self._rules_before, _complete)
        self._view.prompt, self._accept = Prompt("add rule", editor), self._add

    def filter(self) -> None:
        """Ask for what injections must have to be shown."""
        editor = LineEditor(self._view.filter, self._filters_before)
        self._view.prompt, self._accept = Prompt("filter", editor), self._filter

    def save(self, scenario: str) -> None:
        """Ask for the file that the rules in force go to."""
        editor = LineEditor(f"{Path(scenario).stem or 'scenario'}.yaml")
        self._view.prompt, self._accept = Prompt("save as", editor), self._save

    def over(self, saved: str) -> None:
        """Take it that the session is over; `saved` is the text of its last scenario or ""."""
        self._saved = saved
        self.forget()
        prompt = self._view.prompt
        if prompt is not None and (prompt.editor is None or self._accept == self._add):
            self._view.prompt = None  # it asks about what is over

    def forget(self) -> None:
        """Take it that no line that was sent is answered."""
        if self._view.prompt is not None:
            self._view.prompt.sent = ""

    def answer(self, key: str) -> None:
        """Take a key as the answer to a question; others are none."""
        act = self._answers.get(key)
        if act is not None or key in ("escape", "ctrl-c"):
            self._view.prompt = None
            if act is not None:
                act()

    def edit(self, key: str) -> None:
        """Do what a key does in a line of input."""
        prompt = self._view.prompt
        if prompt is not None and prompt.editor is not None and prompt.editor.key(key):
            prompt.error = ""
            if self._filters:
                self.show_all(prompt.editor.text)

    def leave(self) -> None:
        """Leave a line of input as if it had not been asked for."""
        if self._filters:
            self.show_all()
        self._view.prompt = None

    def line(self, do: Do) -> None:
        """Take, complete or replace a line of input."""
        prompt = self._view.prompt
        if prompt is None or prompt.editor is None:
            return
        match do:
            case Do.ACCEPT:
                text = prompt.editor.text.strip()
                if not text or text != prompt.sent:
                    self._accept(text)
            case Do.COMPLETE:
                prompt.error = ""
                prompt.editor.complete()
            case Do.OLDER:
                prompt.editor.older()
            case _:
                prompt.editor.newer()
        if self._filters and do in (Do.OLDER, Do.NEWER):
            self.show_all(prompt.editor.text)

    def _add(self, text: str) -> None:
        def added(_: Message, asked: bool) -> None:
            self._rules_before.append(text)
            self._notices.say(f"added {text}")
            if asked:
                self._view.focus = Place.RULES
                self._view.prompt = None

        self._send({"do": "add", "text": text}, text, added)

    def _send(self, command: Message, text: str, then: Callable[[Message, bool], None]) -> None:
        """Send what a line asks for.

        `then` gets the answer, unless that is a refusal, and whether the line is still as it was
        sent: the user may have gone on to another, or to something else.
        """
        prompt = self._view.prompt
        if prompt is None or prompt.editor is None or not text:
            self._view.prompt = None
            return
        prompt.sent, editor = text, prompt.editor

        def answered(answer: Message) -> None:
            self._changed()
            if prompt.sent == text:
                prompt.sent = ""
            here = self._view.prompt is prompt
            asked = here and editor.text.strip() == text
            error, help_ = str(answer.get("error", "refused")), str(answer.get("help", ""))
            if answer.get("ok"):
                then(answer, asked)
            elif here:
                prompt.error, prompt.help = error, help_
                if asked and answer.get("column"):
                    indent = len(editor.text) - len(editor.text.lstrip())
                    editor.go_behind(indent + int(answer["column"]) - 1)
            else:
                self._notices.fail(error, help_)

        self._link.send(command, answered)

    def _filter(self, text: str) -> None:
        self.show_all(text)
        if text:
            self._filters_before.append(text)
            self._view.focus = Place.INJECTIONS
        self._view.prompt = None

    def show_all(self, text: str = "") -> None:
        """Show only injections that have a text; by default all, and follow them."""
        self._view.filter = text
        self._view.happened = None

    def _save(self, text: str) -> None:
        prompt, path = self._view.prompt, Path(text).expanduser()

        def told(answer: Message, asked: bool) -> None:
            if asked:
                self._write(path, str(answer.get("scenario", "")), prompt)

        if text and self._saved is not None:
            self._write(path, self._saved, prompt)
        else:
            self._send({"do": "save"}, text, told)

    def _write(
        self, path: Path, scenario: str, prompt: Prompt | None, *, over: bool = False
    ) -> None:
        try:
            with path.open("w" if over else "x", encoding="utf-8") as file:
                file.write(scenario)
        except FileExistsError:
            self.ask(
                f"{path.name} is there already.",
                {
                    "y": ("write over it", lambda: self._write(path, scenario, None, over=True)),
                    "escape": ("keep it", lambda: None),
                },
            )
            return
        except OSError as error:
            text = f"cannot write {path}: {error.strerror}"
            if prompt is None:
                self._notices.fail(text)
            else:
                prompt.error, prompt.help = text, "another name, or Esc"
            return
        self._view.prompt = None
        self._notices.say(f"saved as {path}: inject run {path} -- ... does the same again")


def _complete(text: str) -> list[Choice]:
    from injector.faces.cli.completion import rule_words

    return list(_choices(rule_words(text)))


def _choices(items: list[Any]) -> Iterator[Choice]:
    for item in items:
        yield Choice(str(item.value), str(item.help or ""))
