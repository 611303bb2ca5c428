"""The commands that steer a session while it runs: what each means, and what it answers.

Each change is told as a Steered event, so that the journal has what a person did and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from injector.engines.base import Engine
from injector.rules.decide import RulesDecider, State, Totals
from injector.rules.scenario.fields import Bad
from injector.rules.scenario.oneline import parse_rules
from injector.rules.scenario.sets import OMITTED
from injector.rules.scenario.values import count, errno, probability
from injector.rules.scenario.write import one_line, yaml_text
from injector.words.errors import InjectError
from injector.words.model import Fail, Rule, Scenario

COMMANDS: Mapping[str, str] = {
    "snapshot": "say how the session stands",
    "pause": "let every call pass",
    "resume": "go on injecting",
    "enable": "let a rule fire again",
    "disable": "keep a rule from firing",
    "set": "give a rule another probability, limit or error",
    "fire": "have a rule fire at its next match",
    "add": "add a rule",
    "remove": "take a rule away",
    "save": "give the rules in force as a scenario file",
    "detach": "let the target run on without us",
    "stop": "end the target, or let it go if it was attached to",
}


def counts(totals: Totals) -> dict[str, object]:
    """Return a rule's totals as the journal and the control socket give them."""
    told = {one.name: getattr(totals, one.name) for one in fields(totals)}
    return {**told, "rule": totals.rule.name}


def _error(rule: Rule) -> str:
    match rule.fault.outcome:
        case Fail(errnos):
            return ", ".join(name for name, _ in errnos)
        case _:
            return ""


def _settled(rule: Rule) -> Rule:
    """Return the rule with its calls by name, if its error said which they are."""
    match = rule.match
    if match.syscalls_text != OMITTED:
        return rule
    return replace(rule, match=replace(match, syscalls_text=",".join(sorted(match.syscalls))))


class Steering:
    """Carries out the commands that are about rules."""

    def __init__(self, engine: Engine, decider: RulesDecider) -> None:
        self._engine = engine
        self._decider = decider

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule as it stands: its text, whether it is enabled, its totals."""
        return [
            {
                **counts(totals),
                "text": totals.rule.text,
                "enabled": state.enabled,
                "next": state.once,
                "probability": totals.rule.probability,
                "limit": totals.rule.limit,
                "error": _error(totals.rule),
            }
            for state, totals in zip(self._decider.states, self._decider.totals(), strict=True)
        ]

    def save(self, process: str) -> str:
        """Return the rules in force as the text of a scenario file; others are comments in it.

        Raises:
            InjectError: there is none.
        """
        states = self._decider.states
        off = {state.rule.name for state in states if not state.enabled}
        if len(off) == len(states):
            raise InjectError(
                "there is nothing to save: no rule is in force",
                help="ctl enable RULE, or ctl add RULE-TEXT",
            )
        return yaml_text(
            Scenario(tuple(state.rule for state in states), seed=self._decider.seed),
            head=[f"The rules in force when {process or 'a program'} ran, by inject ctl save."],
            comments={name: ["Disabled when this was saved:"] for name in off},
            off=off,
        )

    def obey(self, do: str, words: dict[str, Any]) -> str:
        """Carry out a command about rules; return what was done, in words.

        Raises:
            InjectError: there is no such rule or command, or a value is wrong.
        """
        decider = self._decider
        match do:
            case "pause" | "resume":
                decider.pause(do == "pause")
                return ""
            case "enable" | "disable":
                state = self._rule(words)
                decider.enable(state, do == "enable")
                return state.rule.name
            case "fire":
                state = self._rule(words)
                decider.fire(state)
                return state.rule.name
            case "set":
                return self._set(self._rule(words), words)
            case "add":
                return self._add(str(words.get("text", "")))
            case "remove":
                state = self._rule(words)
                decider.remove(state)
                return state.rule.name
            case _:
                raise InjectError(
                    f"there is no command {do}", help="commands: " + ", ".join(COMMANDS)
                )

    def _rule(self, words: dict[str, Any]) -> State:
        name = str(words.get("rule", ""))
        state = self._decider.state(name)
        if state is None:
            names = ", ".join(one.rule.name for one in self._decider.states) or "none"
            raise InjectError(f"there is no rule {name!r}", help=f"the rules are: {names}")
        return state

    def _set(self, state: State, words: dict[str, Any]) -> str:
        what, text = str(words.get("what", "")), str(words.get("value", ""))
        rule = state.rule
        try:
            match what:
                case "probability":
                    rule = replace(rule, probability=probability(text))
                case "limit":
                    rule = replace(rule, limit=None if text == "none" else count(text))
                case "error":
                    outcome = Fail(((errno(text), 1.0),))
                    if not isinstance(rule.fault.outcome, Fail):
                        raise Bad(f"rule {rule.name} reports no error")
                    rule = replace(_settled(rule), fault=replace(rule.fault, outcome=outcome))
                case _:
                    raise Bad(f"{what or 'nothing'} cannot be set", "probability, limit or error")
        except Bad as error:
            raise InjectError(f"set: {error}", help=error.help) from error
        self._decider.change(state, replace(rule, text=one_line(rule)))
        return f"{rule.name} {what} {text}"

    def _add(self, text: str) -> str:
        taken = [state.rule.name for state in self._decider.states]
        rules = parse_rules((text,), taken)
        for rule in rules:
            lacks = self._engine.lacks(rule)
            if lacks:
                raise InjectError(f"rule {rule.name} would never fire: {lacks}")
        for rule in rules:
            self._decider.add(rule)
        return ", ".join(f"{rule.name} {rule.text}" for rule in rules)
