"""One-line rules, `-e 'openat,socket:error=EMFILE:probability=1%'`, and strace's own.

    SYSCALLS:key=value:key=value…

SYSCALLS is a comma list as in a scenario; empty or `*` where `error` is given. The keys are the
scenario's; lists are separated by commas, tests of arguments are `args.flags=O_CREAT`, and errors
with weights `error=ENOSPC@9,EDQUOT@1`; `{ENOSPC: 9, EDQUOT: 1}` is read as well. A value, or an
item of a list, that contains `:` or `,` is quoted: `"…"` with \\" \\\\ \\n \\t \\r, or `'…'` as it
stands. `inject=…` and `fault=…` are strace's own grammar, strace(1) "Tampering". Pure: no files,
no printing, no YAML, no pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from injector.words.errors import Mistake, ScenarioError
from injector.words.model import Rule

from . import strace
from .build import build_rule
from .fields import KEYS, Bad, Field, Mistakes, RawRule, Text, closest, unknown_key
from .sets import end_of_set

_UNESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_ITEM = re.compile(r'\s*(?:"((?:\\.|[^"\\])*)"|\'([^\']*)\')\s*', re.DOTALL)
_RAW = re.compile(r"[^:,]*")
_OPENING = re.compile(r"\s*\{")
_ENTRY = re.compile(r"\s*([^:,]+)(?::\s*([^,]*))?(?:,|$)|\s*,")
_KEY = re.compile(r"\s*([^=:\s]*)\s*=")


@dataclass(frozen=True, slots=True)
class _Parsed:
    rule: Rule
    strace: bool


def parse_rule(text: str, index: int = 1) -> tuple[Rule, ...]:
    """Return the rules of one `-e` argument: one, or one per syscall for strace's expressions.

    `index` counts from 1 and names a rule without a name: `rule-N`. Raises ScenarioError with
    every mistake; its columns count in `text` from 1.
    """
    return _named_apart(_parse(text, index), ())


def parse_rules(texts: Sequence[str], taken: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the rules of several `-e` arguments in order, their names unique.

    `taken` are the names of rules that exist already; rules without a name are numbered after
    them. As in strace, a later expression replaces an earlier one's rule for the same syscall.
    Raises ScenarioError with the mistakes of the first argument that has any.
    """
    names = tuple(taken)
    found: list[_Parsed] = []
    for text in texts:
        more = _parse(text, len(names) + len(found) + 1)
        # strace keeps one specification per syscall: its filter_qualify.c, inject_vec.
        again = {one.rule.match.syscalls_text for one in more if one.strace}
        found = [one for one in found if not (one.strace and one.rule.match.syscalls_text in again)]
        for one in more:
            others = {*names, *(other.rule.name for other in found if not other.strace)}
            if not one.strace and one.rule.name in others:
                message = f"another rule is named '{one.rule.name}' already"
                raise ScenarioError(source_of(text), (Mistake(message, 1, 1, "give it name=…"),))
        found.extend(more)
    return _named_apart(found, names)


def source_of(text: str) -> str:
    """Return how messages call a `-e` argument."""
    return f"-e '{text}'"


def caret(text: str, mistake: Mistake) -> tuple[str, str]:
    """Return the argument and a line with `^` below the mistake, to be printed under it."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown, " " * max(0, mistake.column - 1) + "^"


def _parse(text: str, index: int) -> list[_Parsed]:
    notes = Mistakes()
    found: list[_Parsed] = []
    if strace.is_expression(text):
        found = [_Parsed(rule, strace=True) for rule in strace.parse(text, notes)]
    elif (rule := build_rule(read(text, notes), index, notes)) is not None:
        found = [_Parsed(rule, strace=False)]
    if notes.found:
        raise ScenarioError(source_of(text), tuple(notes.found))
    return found


def _named_apart(parsed: Sequence[_Parsed], taken: Iterable[str]) -> tuple[Rule, ...]:
    """Number the names that strace's expressions share with other rules: write, write-2."""
    names = {*taken, *(one.rule.name for one in parsed if not one.strace)}
    result = []
    for one in parsed:
        rule = one.rule
        if one.strace:
            name, number = rule.name, 1
            while name in names:
                number += 1
                name = f"{rule.name}-{number}"
            names.add(name)
            rule = strace.renamed(rule, name)
        result.append(rule)
    return tuple(result)


def read(text: str, notes: Mistakes) -> RawRule:
    """Split a rule of our own grammar into its keys; what cannot be split is noted."""
    whole = Text(text, 1, 1)
    raw = RawRule({}, whole)
    if not text.strip():
        notes.add(whole, "the rule is empty", "like openat:error=EMFILE:probability=1%")
        raw.spoiled.update(("syscalls", "error"))
        return raw
    end = end_of_set(text)
    if _KEY.match(text) and (text.find("=") < end):
        end = -1  # no set at all: `error=EMFILE:probability=1%`
    elif text[:end].strip():
        raw.fields["syscalls"] = Field(_at(text, 0, "syscalls"), [_at(text, 0, text[:end])])
    position = end + 1
    if end == len(text):
        return raw
    while position <= len(text):
        position = _read_key(text, position, raw, notes)
    return raw


def _at(text: str, offset: int, part: str, shift: int | None = 0) -> Text:
    return Text(part, 1, offset + 1, shift)


def _read_key(text: str, position: int, raw: RawRule, notes: Mistakes) -> int:
    """Read one `key=value` into `raw`; return where the next begins."""
    match = _KEY.match(text, position)
    if match is None:
        word = _RAW.match(text, position)
        part = word[0] if word else ""
        end = text.find(":", position)
        at = _at(text, position, part)
        if not part.strip():
            notes.add(at, "a key=value is missing here", "drop the colon")
        elif part.strip() in KEYS:
            notes.add(at, f"'{part}' has no value", f"like {part.strip()}=…")
        else:
            hint = closest(part.strip(), KEYS)
            notes.add(at, f"'{part}' is no key=value{hint}", 'quote values that contain ":"')
        raw.spoiled.add(part.strip())
        return len(text) + 1 if end < 0 else end + 1
    key = _at(text, match.start(1), match[1])
    if key.text in ("error", "args") and _OPENING.match(text, match.end()):
        return _read_table(text, match.end(), key, raw, notes)
    before = len(notes.found)
    items, position = _read_items(text, match.end(), key.text, notes)
    if len(notes.found) > before:
        raw.spoiled.add(key.text)
    name, dot, parameter = key.text.partition(".")
    if name == "args" and (dot or "args" not in raw.fields):
        if not parameter:
            notes.add(key, "args: name the parameter", "like args.flags=O_CREAT")
            return position
        table = raw.fields.setdefault("args", Field(key, [], [])).table
        at = _at(text, match.start(1) + len("args."), parameter)
        if table is not None and any(one.text == parameter for one, _ in table):
            notes.add(at, f"'{key.text}' is given twice", "several tests: args.count=>10,<100")
        elif table is not None:
            table.append((at, items))
    elif key.text in raw.fields:
        notes.add(key, f"'{key.text}' is given twice")
    elif key.text not in KEYS:
        notes.bad(key, unknown_key(key.text))
        raw.spoiled.add(key.text)
    else:
        raw.fields[key.text] = Field(key, items)
    return position


def _read_table(text: str, position: int, key: Text, raw: RawRule, notes: Mistakes) -> int:
    """Read `{EIO: 3%}` as a scenario file has it; return where the next key begins."""
    begin = text.index("{", position) + 1
    end = text.find("}", begin)
    if end < 0:
        notes.add(_at(text, begin - 1, ""), "the { is not closed", "like error={EIO: 3%}")
        raw.spoiled.add(key.text)
        return len(text) + 1
    before = len(notes.found)
    if key.text in raw.fields:
        notes.add(key, f"'{key.text}' is given twice")
    table: list[tuple[Text, list[Text]]] = []
    for entry in _ENTRY.finditer(text, begin, end):
        name = _at(text, max(entry.start(1), entry.start()), (entry[1] or "").rstrip())
        if entry[2] is None or not name.text:
            help = "like {ENOSPC: 9, EDQUOT: 1}" if key.text == "error" else "like {flags: O_CREAT}"
            notes.add(name, f"{key.text}: '{entry[0].strip()}' is no NAME: VALUE", help)
        elif key.text == "args" and any(one.text == name.text for one, _ in table):
            notes.add(name, f"'{name.text}' is given twice")
        else:
            value = entry[2].rstrip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            at = _at(text, entry.start(2), value[1:-1] if quoted else value, int(quoted))
            table.append((name, [at]))
    after = _skip(text, end + 1)
    if text[end + 1 : after].strip() or text[after : after + 1] == ",":
        notes.add(_at(text, end + 1, ""), "text after the closing }")
        after = text.find(":", after) if ":" in text[after:] else len(text)
    if len(notes.found) > before:
        raw.spoiled.add(key.text)
    else:
        raw.fields[key.text] = Field(key, [], table)
    return after + 1


def _read_items(text: str, position: int, key: str, notes: Mistakes) -> tuple[list[Text], int]:
    """Read the comma list after `=`; return it and where the next key begins."""
    items: list[Text] = []
    while True:
        quoted = _ITEM.match(text, position)
        if quoted is not None:
            start = quoted.start(1) if quoted[1] is not None else quoted.start(2)
            value, shift = _unquote(quoted, notes)
            items.append(_at(text, start - 1, value, shift))
            position = quoted.end()
            if position < len(text) and text[position] not in ":,":
                notes.add(_at(text, position, ""), "text after the closing quote")
                position = _skip(text, position)
        else:
            end = _address_end(text, position) if key == "address" else _skip(text, position)
            part = text[position:end]
            bare = part.lstrip()
            if bare[:1] in ('"', "'"):
                at = _at(text, end - len(bare), "")
                notes.add(at, "the quote is not closed", f"end it with {bare[0]}")
                end = len(text)
            items.append(_at(text, position, part))
            position = end
        if position >= len(text) or text[position] == ":":
            return items, position + 1
        position += 1


def _skip(text: str, position: int) -> int:
    match = _RAW.match(text, position)
    return match.end() if match else len(text)


def _address_end(text: str, position: int) -> int:
    """Return the end of an address, whose own colons are told by no `key=` following them."""
    while position < len(text) and text[position] != ",":
        if text[position] == ":" and (
            _KEY.match(text, position + 1) or text[position + 1 :].strip() in ("", *KEYS)
        ):
            break
        position += 1
    return position


def _unquote(quoted: re.Match[str], notes: Mistakes) -> tuple[str, int | None]:
    """Return the text between quotes, and its distance from the opening one if it is plain."""
    if quoted[1] is None:
        return quoted[2], 1
    body = quoted[1]
    for escape in re.finditer(r"\\(.)", body, re.DOTALL):
        if escape[1] not in _UNESCAPES:
            at = _at(quoted.string, quoted.start(1) + escape.start(), "")
            bad = Bad(f"unknown escape \\{escape[1]}", 'known: \\" \\\\ \\n \\t \\r')
            notes.bad(at, bad)
    value = re.sub(r"\\(.)", lambda m: _UNESCAPES.get(m[1], m[1]), body, flags=re.DOTALL)
    return value, 1 if value == body else None
