"""A scenario as a file, as a person would write it: the inverse of `load`, exactly.

`load_text(yaml_text(scenario))` gives equal rules, and the same name, about and seed. What is
written of a rule are the keys of its one-line form, so no key can be forgotten here. Pure.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence

from injector.words.model import Rule, Scenario

from .fields import KEYS, Field, Mistakes
from .oneline import read
from .scalars import resolve
from .sets import OMITTED, split
from .text import rule_text

_WIDTH = 100
# Plain scalars that are read as they stand in every YAML, also within [ ] and { }.
_PLAIN = re.compile(r"[A-Za-z0-9_./][\w./+%|-]*( [\w./+%|-]+)*", re.ASCII)
_PROSE = re.compile(r"[A-Za-z0-9][\w./+%|,;()' -]*(?<! )", re.ASCII)
_TEXTS = ("name", "path", "process", "thread", "address", "caller")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def one_line(rule: Rule) -> str:
    """Return the rule as `-e` takes it."""
    return rule_text(rule)


def yaml_text(
    scenario: Scenario,
    *,
    head: Iterable[str] = (),
    comments: Mapping[str, Sequence[str]] | None = None,
    off: Collection[str] = (),
) -> str:
    """Return the scenario as the text of a file.

    Bytes that are not UTF-8 are not in a text file: in their place stands `?`, which a glob
    takes for any character.

    Args:
        head: comments at its beginning.
        comments: of a rule, by its name, before it.
        off: names of the rules that are written as comments.
    """
    lines = [f"# {line}".rstrip() for text in head for line in _folded(text)]
    for key in ("name", "about"):
        if text := getattr(scenario, key):
            lines.append(f"{key}: {_scalar(text, _PROSE)}")
    if scenario.seed is not None:
        lines.append(f"seed: {scenario.seed}")
    lines.append("rules:")
    for rule in scenario.rules:
        lines += [
            f"  # {one}".rstrip()
            for text in (comments or {}).get(rule.name, ())
            for one in _folded(text)
        ]
        mark = "# " if rule.name in off else ""
        lines += [f"  {mark}{line}" for line in _rule(rule)]
    return "\n".join(lines) + "\n"


def _folded(text: str) -> list[str]:
    """Return a comment as lines; nothing in it can end the comment."""
    return [
        "".join(one if one.isprintable() else "?" for one in part)
        for line in text.split("\n")
        for part in textwrap.wrap(line, _WIDTH - 4, break_long_words=False) or [""]
    ]


def _rule(rule: Rule) -> list[str]:
    fields = read(rule_text(rule), Mistakes()).fields
    lines: list[str] = []
    for key in KEYS:
        if key in fields:
            lines += _key(key, fields[key])
    return [f"{'  ' if at else '- '}{line}" for at, line in enumerate(lines)]


def _key(key: str, found: Field) -> list[str]:
    if found.table is not None:
        table = [(name.text, [one.text for one in items]) for name, items in found.table]
        return _mapping(key, table)
    items = [one.text for one in found.items]
    if key == "syscalls":
        if items == [OMITTED]:
            return []
        items = [part for item in items for part, _ in split(item)]
    if key == "error" and any("@" in one for one in items):
        pairs = (one.partition("@") for one in items)
        return _mapping(key, [(name, [weight or "1"]) for name, _, weight in pairs])
    if key.startswith("poke_"):
        items = [",".join(items)]
    words = [_scalar(one, text=key in _TEXTS) for one in items]
    return [f"{key}: {words[0]}"] if len(words) == 1 else _list(key, words)


def _list(key: str, words: Sequence[str]) -> list[str]:
    line = f"{key}: ["
    lines = []
    for at, word in enumerate(words):
        part = word + ("]" if at == len(words) - 1 else ",")
        if len(line) + len(part) > _WIDTH - 8 and line[-1] != "[":
            lines.append(line)
            line = f"  {part}"
        else:
            line += part if line[-1] == "[" else f" {part}"
    return [*lines, line]


def _mapping(key: str, table: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    pairs = [(name, [_scalar(one, text=False) for one in items]) for name, items in table]
    shown = [(name, v[0] if len(v) == 1 else f"[{', '.join(v)}]") for name, v in pairs]
    line = f"{key}: {{{', '.join(f'{name}: {value}' for name, value in shown)}}}"
    if len(line) <= _WIDTH - 4:
        return [line]
    return [f"{key}:", *(f"  {name}: {value}" for name, value in shown)]


def _scalar(value: str, plain: re.Pattern[str] = _PLAIN, *, text: bool = True) -> str:
    """Return a scalar; one that is a `text` is quoted where YAML would see something else."""
    if plain.fullmatch(value):
        meant = resolve(value)
        if isinstance(meant, str) or not text:
            return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(one: str) -> str:
    if "\ud800" <= one <= "\udfff":
        return "?"
    if one in _ESCAPES or one.isprintable():
        return _ESCAPES.get(one, one)
    code = ord(one)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
