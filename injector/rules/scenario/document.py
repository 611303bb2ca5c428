"""From the text of a scenario file to a Scenario, with all its mistakes at their places.

Joins the tree (`yaml_source`), the shape (`schema`) and the meaning (`build`). Pure; imports
YAML and pydantic, so import it only to read a scenario.
"""

from __future__ import annotations

import json

from injector.words.errors import InjectError, Mistake, ScenarioError
from injector.words.model import Rule, Scenario

from .build import build_rule
from .fields import KEYS, Field, Mistakes, RawRule, Text, closest, unknown_key
from .keys import RULE
from .schema import check
from .yaml_source import MAX_BYTES, Node, parse

_EXAMPLE = "at least: rules: [{syscalls: [openat], error: EMFILE}]"
_TOP_KEYS = ("name", "about", "seed", "rules")


def build_scenario(text: str, source: str, default_name: str) -> Scenario:
    """Return the scenario of a YAML text.

    `source` names it in messages, `default_name` the scenario if it does not itself. Raises
    ScenarioError with everything that is wrong.
    """
    if len(text) > MAX_BYTES:
        raise InjectError(f"{source} is no scenario: more than 1 MiB")
    torn: list[Mistake] = []
    root = parse(text, source, torn)
    notes = Mistakes(torn)
    if root is None or (root.kind == "scalar" and root.value is None):
        notes.add(Text("", 1, 1), "the scenario is empty", _EXAMPLE)
        raise ScenarioError(source, tuple(notes.found))
    rules, refused = _meaning(root, notes)
    if torn:
        # Both values of a key given twice are looked at, so that all is told at once.
        other = Mistakes()
        if (again := parse(text, source, [], last=True)) is not None:
            _meaning(again, other)
        notes.found.extend(one for one in other.found if one not in notes.found)
    if notes.found:
        raise ScenarioError(source, tuple(notes.found))
    top = {key.text: value for key, value in root.pairs}
    name, about, seed = (
        None if (key,) in refused or key not in top else top[key]
        for key in ("name", "about", "seed")
    )
    return Scenario(
        rules=rules,
        name=name.text if name else default_name,
        about=about.text if about else "",
        seed=seed.value if seed and isinstance(seed.value, int) else None,
        source=source,
        text=text,
    )


def _meaning(root: Node, notes: Mistakes) -> tuple[tuple[Rule, ...], set[tuple[str | int, ...]]]:
    """Return the rules of a tree and what of its shape is refused; all mistakes are noted."""
    refused = _shape(root, notes)
    rules = next((value for key, value in root.pairs if key.text == "rules"), None)
    return (_rules(rules, refused, notes) if rules else ()), refused


def _shape(root: Node, notes: Mistakes) -> set[tuple[str | int, ...]]:
    """Check the shape, note what is wrong with its place, return what is refused."""
    refused = set()
    for where, kind, message in check(root.data()):
        where = tuple(one for one in where if one != "schema_")
        refused.add(where)
        if kind == "unknown":
            key, _ = _pair(root, where)
            in_rule = where[0] == "rules"
            bad = unknown_key(str(where[-1]))
            hint = closest(str(where[-1]), _TOP_KEYS)
            if not in_rule and where[-1] in KEYS and not hint:
                hint = "; it belongs to a rule: rules: [{syscalls: …, " + f"{where[-1]}: …}}]"
            at = _text(key)
            if in_rule:
                notes.add(at, bad.message, bad.help)
            else:
                notes.add(at, message + hint, "keys of a scenario: " + ", ".join(_TOP_KEYS))
        elif kind == "missing":
            notes.add(_text(root), message, _EXAMPLE)
        else:
            _, value = _pair(root, where)
            key_name = f"{where[-1]}: " if where and isinstance(where[-1], str) else ""
            if where == ("rules",) and value.kind == "scalar" and value.value is None:
                notes.add(_text(value), "there is no rule", "uncomment one; " + _EXAMPLE)
                continue
            notes.add(_text(value), key_name + message, _help(where))
    return refused


def _help(where: tuple[str | int, ...]) -> str:
    """Return the examples of the key at this place."""
    if not where:
        return _EXAMPLE
    if len(where) == 2 and where[0] == "rules":
        return "like {syscalls: [openat], error: EMFILE}"
    if len(where) == 3 and where[0] == "rules":
        examples = RULE[str(where[2])].examples if where[2] in RULE else ()
        return "like " + " or ".join(map(_shown, examples[:3])) if examples else ""
    return ""


def _shown(example: object) -> str:
    return json.dumps(example).strip('"') if isinstance(example, str | bool) else str(example)


def _pair(root: Node, where: tuple[str | int, ...]) -> tuple[Node, Node]:
    """Return key and value at a path; where the path leads nowhere, the nearest above."""
    key = value = root
    for step in where:
        if isinstance(step, int):
            if value.kind != "list" or step >= len(value.items):
                break
            key = value = value.items[step]
        else:
            found = next((pair for pair in value.pairs if pair[0].text == step), None)
            if found is None:
                break
            key, value = found
    return key, value


def _rules(node: Node, refused: set[tuple[str | int, ...]], notes: Mistakes) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    names: dict[str, int] = {}
    for index, item in enumerate(node.items):
        if item.kind != "map":
            continue  # the shape was refused already
        raw = _raw(
            item, {where[2] for where in refused if where[:2] == ("rules", index) and where[2:]}
        )
        rule = build_rule(raw, index + 1, notes)
        own = raw.fields.get("name")
        name = rule.name if rule else (own.items[0].text.strip() if own and own.items else "")
        if name in names and name:
            at = own.items[0] if own else raw.place
            notes.add(at, f"another rule is named '{name}' already, in line {names[name]}")
        names.setdefault(name, own.items[0].line if own and own.items else item.line)
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _raw(node: Node, refused: set[str | int]) -> RawRule:
    raw = RawRule({}, _text(node))
    for key, value in node.pairs:
        if key.text in refused:
            raw.spoiled.add(key.text)
        elif value.kind == "map":
            table = [(_text(name), _texts(item)) for name, item in value.pairs]
            raw.fields[key.text] = Field(_text(key), [], table)
        else:
            raw.fields[key.text] = Field(_text(key), _texts(value))
    return raw


def _texts(node: Node) -> list[Text]:
    return [_text(item) for item in node.items] if node.kind == "list" else [_text(node)]


def _text(node: Node) -> Text:
    text = node.text
    if isinstance(node.value, bool):
        text = text.lower()  # True and TRUE are true
    return Text(text, node.line, node.column, node.shift)
