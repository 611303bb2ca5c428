"""The commands that keys send to the session, and what they are taken to do until it answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from injector.faces.ui.client import Link, Message
from injector.faces.ui.figures import chance
from injector.faces.ui.keys import Do
from injector.faces.ui.model import Model, RuleRow
from injector.faces.ui.notices import Notices

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Commands:
    """What is asked of one session by keys."""

    def __init__(
        self,
        link: Link,
        model: Model,
        notices: Notices,
        *,
        changed: Callable[[], None],
        removed: Callable[[str], None],
    ) -> None:
        """Send to a session.

        Args:
            changed: is called when a command was answered: the session stands otherwise.
            removed: gets the text of each rule that is removed.
        """
        self._link = link
        self._model = model
        self._notices = notices
        self._changed = changed
        self._removed = removed
        # What commands that are not answered yet will do: the next key counts on it.
        self._presumed: list[tuple[str, dict[str, Any]]] = []

    def presume(self) -> None:
        """Take it again, after a snapshot of before, that commands will do what they should."""
        for rule, fields in self._presumed:
            self._model.presume(rule, **fields)

    def forget(self) -> None:
        """Take it that none of those under way is answered."""
        self._presumed.clear()

    def send(
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
        self._model.presume(presumed[0], **presumed[1])

        def answered(answer: Message) -> None:
            self._presumed.remove(presumed)
            self._changed()
            if not answer.get("ok"):
                self._notices.fail(str(answer.get("error", "refused")), str(answer.get("help", "")))
                return
            if say:
                self._notices.say(say)
            if then is not None:
                then()

        self._link.send({"do": do, **words}, answered)

    def steer(self, do: Do, rule: RuleRow) -> None:
        """Do what a key does to a rule."""
        match do:
            case Do.TOGGLE:
                enabled = not rule.enabled
                do_ = "enable" if enabled else "disable"
                self.send(do_, rule=rule.name, presume={"enabled": enabled})
            case Do.FIRE:
                say = f"{rule.name} fires at its next match"
                self.send("fire", say=say, rule=rule.name, presume={"next": True})
            case Do.REMOVE:
                # As it is now: it may have been changed since the last snapshot.
                self._link.send({"do": "snapshot"}, partial(self._told, rule.name))
                say = f"removed {rule.name}: a and ↑ bring it back"
                self.send("remove", say=say, presume={"removed": True}, rule=rule.name)
            case Do.RAISE | Do.LOWER:
                value = step_of(rule.probability, 1 if do is Do.RAISE else -1)
                if value is None:
                    self._notices.say(f"{rule.name} is at {chance(rule.probability)} already")
                    return
                text = f"{value * 100:g}%"
                say = f"{rule.name}: probability {text}"
                fields = {"probability": value}
                self.send(
                    "set",
                    say=say,
                    presume=fields,
                    rule=rule.name,
                    what="probability",
                    value=text,
                )

    def _told(self, name: str, answer: Message) -> None:
        texts = [str(one.get("text")) for one in answer.get("rules", ()) if one["rule"] == name]
        for text in texts:
            self._removed(text)


def step_of(probability: float, direction: int) -> float | None:
    """Return the next probability up or down of 0.1, 0.2, 0.5, 1, ... 100 %, None at the end."""
    if direction > 0:
        return next((one for one in STEPS if one > probability * 1.001), None)
    return next((one for one in reversed(STEPS) if one < probability * 0.999), None)
