"""From what the user wrote to a Rule: every value parsed, every mistake noted with its place.

Serves scenario files and one-line rules alike. Pure: no files, no printing, no pydantic.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast

from injector.words.model import (
    EVERY,
    AddressPattern,
    ArgPattern,
    Corrupt,
    Fail,
    Fault,
    Globs,
    Match,
    Outcome,
    Return,
    Rule,
    Short,
    Site,
    Substitute,
)
from injector.words.syscalls import GROUPS, NEVER

from . import args, errnos, patterns, sets, values
from .fields import EFFECT_KEYS, STRACE_KEYS, Bad, Field, Mistakes, RawRule, Text, closest
from .text import rule_text

T = TypeVar("T")

_LONGEST_VALUE = 400
OUTCOME_KEYS = ("error", "retval", "short", "corrupt", "substitute")
TRANSFERS: frozenset[str] = frozenset().union(
    *(GROUPS[name] for name in ("read", "write", "recv", "send", "copy", "random", "dir"))
)
"""Calls that move data, so that `short` has a meaning."""
CORRUPTIBLE = TRANSFERS - GROUPS["copy"]
"""Calls whose data pass through the program's memory."""


def build_rule(raw: RawRule, index: int, notes: Mistakes) -> Rule | None:
    """Return the rule, or None if something in it was refused; all of it is noted.

    `index` counts from 1 and gives the name `rule-N` to a rule without one.
    """
    before = len(notes.found)
    rule = _Builder(raw, notes).rule(f"rule-{index}")
    if rule is None or len(notes.found) > before or raw.spoiled:
        return None
    return replace(rule, text=rule_text(rule))


@dataclass(slots=True)
class _Builder:
    raw: RawRule
    notes: Mistakes

    def rule(self, default_name: str) -> Rule | None:
        name = self.one("name", rule_name) or default_name
        after, until = self.one("after", values.duration), self.one("until", values.duration)
        when = self.one("when", values.when)
        per = self.one("per", lambda text: values.choice(text, ("task", "process", "run")))
        limit = self.one("limit", values.count)
        probability = self.one("probability", values.probability)
        failing, total = self.failing()
        outcome = self.outcome(failing)
        fault = self.fault(outcome)
        match, call = self.match(outcome)
        if total is not None:
            if self.raw.given("probability"):
                self.notes.add(
                    self.raw.fields["error"].key,
                    "error: percentages are the probability; `probability` says it again",
                    "drop one, or write the weights as plain numbers",
                )
            probability = total
        if match is None:
            return None
        return Rule(
            name=name,
            match=match,
            fault=replace(fault, call=call),
            when=when or EVERY,
            probability=1.0 if probability is None else probability,
            limit=limit,
            per=cast("Literal['task', 'process', 'run']", per or "task"),
            after=after,
            until=until,
            place=self.raw.place.place(),
        )

    def one(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Parse the one value of a key; None if it is not given or was refused."""
        found = self.raw.fields.get(key)
        if found is None:
            return None
        item = self.single(found)
        if item is None:
            return None
        try:
            if len(item.text) > _LONGEST_VALUE:
                raise Bad("the value is too long to mean anything")
            return parse(item.text.strip())
        except Bad as error:
            shift = len(item.text) - len(item.text.lstrip())
            self.notes.add(item, f"{key}: {error.message}", error.help, error.offset + shift)
            return None

    def single(self, found: Field) -> Text | None:
        key = found.key.text
        if len(found.items) > 1:
            self.notes.add(found.items[1], f"{key}: takes one value")
        elif not found.items or not found.items[0].text.strip():
            self.notes.add(found.items[0] if found.items else found.key, f"{key}: has no value")
        else:
            return found.items[0]
        return None

    def failing(self) -> tuple[Fail | None, float | None]:
        found = self.raw.fields.get("error")
        if found is None:
            return None, None
        return errnos.parse(found, self.notes)

    def outcome(self, failing: Fail | None) -> Outcome | None:
        found: dict[str, Outcome | None] = {
            "error": failing,
            "retval": _map(self.one("retval", values.retval), Return),
            "short": self.one("short", values.short),
            "corrupt": self.one("corrupt", values.corrupt),
            "substitute": _map(self.one("substitute", substitute), Substitute),
        }
        keys = [key for key in found if key in self.raw.fields]
        for key in keys[1:]:
            self.notes.add(
                self.raw.fields[key].key,
                f"{key}: {keys[0]} says already what becomes of the call",
                "one of " + ", ".join(OUTCOME_KEYS[:4]) + " in a rule",
            )
        return next((one for one in found.values() if one is not None), None)

    def fault(self, outcome: Outcome | None) -> Fault:
        kill = self.one("kill", lambda text: values.choice(text, ("before", "after")))
        freeze = self.one("freeze", lambda text: values.choice(text, ("true",)))
        pokes = [
            f"{key}={poke}"
            for key in ("poke_enter", "poke_exit")
            if (poke := self.poke(key)) is not None
        ]
        effects = (key for key in (*EFFECT_KEYS, *STRACE_KEYS) if key != "call")
        if not any(map(self.raw.given, effects)) and not self.raw.spoiled:
            self.notes.add(
                self.raw.place,
                "the rule does nothing to the calls it names",
                "give it one of: error, retval, short, corrupt, delay, signal, kill, freeze",
            )
        return Fault(
            outcome=outcome,
            delay=self.one("delay", values.delay),
            delay_exit=self.one("delay_exit", values.delay),
            signal=self.one("signal", values.signal),
            kill=cast("Literal['before', 'after'] | None", kill),
            freeze=freeze is not None,
            poke=":".join(pokes),
        )

    def poke(self, key: str) -> str | None:
        found = self.raw.fields.get(key)
        if found is None:
            return None
        text = ",".join(item.text.strip() for item in found.items)
        try:
            return errnos.poke(text)
        except Bad as error:
            self.notes.bad(found.items[0] if found.items else found.key, error, key)
            return None

    def match(self, outcome: Outcome | None) -> tuple[Match | None, Literal["skip", "run"]]:
        site = self.one("site", site_of_a_call)
        chosen = None
        if site is not None:
            chosen = self.of_site(site)
        elif not self.raw.given("site"):
            chosen = self.syscalls(outcome)
        call: Literal["skip", "run"] = "skip"
        arguments: tuple[ArgPattern, ...] = ()
        if chosen is not None:
            chosen, call = self.close(self.allowed(chosen, outcome), outcome)
            arguments = self.arguments(chosen.names)
        fd = self.raw.fields.get("fd")
        during = self.one("during", lambda text: values.choice(text, ("startup",)))
        rest = Match(
            syscalls=chosen.names if chosen else frozenset(),
            syscalls_text=chosen.text if chosen else "",
            path=self.globs("path"),
            process=self.globs("process"),
            thread=self.globs("thread"),
            fd=patterns.fd_set(fd.items, self.notes) if fd else None,
            address=self.addresses(),
            args=arguments,
            caller=self.globs("caller"),
            startup=during is not None or site is not None,
            site=site,
        )
        return (rest if chosen is not None else None), call

    def of_site(self, site: Site) -> sets.Chosen | None:
        """Return the call that a site names; `syscalls` may say it again."""
        at = self.raw.fields["site"].items[0]
        name = site.syscall
        found = self.raw.fields.get("syscalls")
        if found is None:
            return sets.Chosen(frozenset((name,)), {name: at}, "")
        chosen = sets.choose(found.items, self.notes)
        if chosen is None:
            return None
        if name not in chosen.names:
            self.notes.add(
                at,
                f"site: {site} is a call of {name}, which syscalls does not name",
                "leave syscalls out: they follow from the site",
            )
            return None
        return sets.Chosen(frozenset((name,)), {name: chosen.named.get(name, at)}, chosen.text)

    def syscalls(self, outcome: Outcome | None) -> sets.Chosen | None:
        found = self.raw.fields.get("syscalls")
        left_out = found is not None and [i.text.strip() for i in found.items] in ([], [""], ["*"])
        if found is not None and not left_out:
            return sets.choose(found.items, self.notes)
        if isinstance(outcome, Fail):
            chosen = sets.failing_with(name for name, _ in outcome.errnos)
            if chosen.names:
                return chosen
            names = ", ".join(name for name, _ in outcome.errnos)
            self.notes.add(
                self.raw.fields["error"].key,
                f"error: no system call fails with {names} by its manual page",
                "say which: syscalls: [write]",
            )
        elif not self.raw.given("error") and not self.raw.spoiled:
            at = found.items[0] if found and found.items else self.raw.place
            self.notes.add(
                at,
                "the rule names no system calls",
                "add syscalls: names, %groups, /regex/, or all; only with `error` may it be left "
                "out, for every call that can fail so",
            )
        return None

    def allowed(self, chosen: sets.Chosen, outcome: Outcome | None) -> sets.Chosen:
        """Refuse or drop the calls that this outcome is not for."""
        if outcome is not None:
            for name, place in chosen.named.items():
                if name in NEVER:
                    self.notes.add(place, f"{name} must never fail: {NEVER[name]}")
        names = frozenset(n for n in chosen.names if n not in NEVER or n in chosen.named)
        if isinstance(outcome, Short | Corrupt):
            key = "short" if isinstance(outcome, Short) else "corrupt"
            fit = TRANSFERS if isinstance(outcome, Short) else CORRUPTIBLE
            for name, place in chosen.named.items():
                if name not in fit:
                    self.notes.add(
                        place,
                        f"{name} transfers no data that {key} could change",
                        "calls that do: %read, %write, %recv, %send",
                    )
            names &= fit | chosen.named.keys()
        if not names:
            at = (
                self.raw.fields["syscalls"].key if "syscalls" in self.raw.fields else self.raw.place
            )
            self.notes.add(at, "syscalls: no call is left in the set that can be treated so")
        return replace(chosen, names=names)

    def close(
        self, chosen: sets.Chosen, outcome: Outcome | None
    ) -> tuple[sets.Chosen, Literal["skip", "run"]]:
        """Settle `call`, and what it means for close(2), which frees the descriptor anyway."""
        given = self.one("call", lambda text: values.choice(text, ("skip", "run")))
        if given is not None and not isinstance(outcome, Fail):
            if not self.raw.given("error"):
                self.notes.add(
                    self.raw.fields["call"].key,
                    "call: says what becomes of a call that `error` fails, and there is no error",
                )
            return chosen, "skip"
        if given is not None or self.raw.given("call"):
            return chosen, cast("Literal['skip', 'run']", given or "skip")
        if not isinstance(outcome, Fail) or "close" not in chosen.names:
            return chosen, "skip"
        rest = chosen.names - {"close"}
        if "close" in chosen.named and not rest:
            return chosen, "run"
        if "close" in chosen.named:
            # close(2), "NOTES": Linux frees the descriptor even when close fails.
            self.notes.add(
                chosen.named["close"],
                "close is made, then reported as failed; the other calls of the rule are not made",
                "give close a rule of its own, or say call: skip (it leaks the descriptor) or "
                "call: run for all",
            )
        elif not rest:
            self.notes.add(self.raw.place, "only close is left of the set", "name it: close")
        return replace(chosen, names=rest), "skip"

    def arguments(self, calls: frozenset[str]) -> tuple[ArgPattern, ...]:
        table = self.raw.fields["args"].table if "args" in self.raw.fields else None
        found = [args.pattern(name, items, calls, self.notes) for name, items in table or ()]
        return tuple(one for one in found if one is not None)

    def globs(self, key: str) -> Globs | None:
        found = self.raw.fields.get(key)
        return patterns.globs(found.items, self.notes) if found else None

    def addresses(self) -> tuple[AddressPattern, ...]:
        found = self.raw.fields.get("address")
        result = []
        for item in found.items if found else ():
            try:
                result.append(patterns.address(item.text.strip()))
            except Bad as error:
                self.notes.bad(item, error, "address")
        return tuple(result)


def _map(value: int | str | None, make: Callable[..., Outcome]) -> Outcome | None:
    return None if value is None else make(value)


def site_of_a_call(text: str) -> Site:
    """Return a site; Bad if its call is none."""
    found = values.site(text)
    if found.syscall not in sets.EVERYTHING:
        bad = sets.unknown_call(found.syscall)
        raise Bad(bad.message, bad.help, text.index("/") + 1)
    return found


def rule_name(text: str) -> str:
    """Return a rule's name; Bad if it cannot be printed in one line."""
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text):
        raise Bad("a name is one line of text")
    if len(text) > 100:
        raise Bad("a name has at most 100 characters")
    return text


def substitute(text: str) -> str:
    """Return the name of a call without effects, to be made instead of another."""
    pure = GROUPS["pure"]
    if text in pure:
        return text
    if text in sets.EVERYTHING:
        raise Bad(f"{text} has effects of its own", "calls without: " + ", ".join(sorted(pure)))
    raise Bad(f"no system call '{text}'{closest(text, pure)}", "one of " + ", ".join(sorted(pure)))
