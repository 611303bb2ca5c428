"""Scenario files: YAML 1.2 with the place of everything, bounded in size, depth and aliases.

Events come from PyYAML; trees and scalars are our own, because PyYAML's are YAML 1.1 (`no` is
False, `010` is 8, `12:30:45` is 45045), keep the last of duplicate keys and recurse. May read
the one file it is given.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml

from injector.words.errors import InjectError, Mistake, ScenarioError

from .scalars import resolve

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 100_000

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where PyYAML has it
_TAG = "tag:yaml.org,2002:"

_OPEN_ALREADY = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+", re.ASCII)
_QUOTE = "quote it: values cannot begin with % ! & * @ ` > | { [ unquoted"


@dataclass(slots=True)
class Node:
    """A value of the file with its place, from 1. Shared where aliases share it.

    `text` is a scalar as written (without quotes), `value` what it is in YAML 1.2. `shift` is
    the length of an opening quote, None when the text is spelled with escapes or line breaks.
    """

    kind: Literal["scalar", "list", "map"]
    line: int
    column: int
    text: str = ""
    value: str | int | float | bool | None = None
    shift: int | None = 0
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    size: int = 1
    height: int = 0
    whole: bool = False

    def data(self) -> Value:
        """Return the value as plain Python; the tree is bounded, so this is too."""
        if self.kind == "scalar":
            return self.value
        if self.kind == "list":
            return [item.data() for item in self.items]
        return {key.text: value.data() for key, value in self.pairs}


def read_text(path: str) -> str:
    """Return the text of a scenario file; InjectError says why if it cannot be one."""
    try:
        _refuse(path, os.stat(path).st_mode)
        # Not to block where a FIFO came into its place since.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _refuse(path, os.fstat(file.fileno()).st_mode)
            os.set_blocking(file.fileno(), True)
            raw = file.read(MAX_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except IsADirectoryError:
        raise InjectError(f"{path} is a directory, not a scenario file") from None
    except FileNotFoundError:
        raise InjectError(f"{path}: no such file") from None
    except PermissionError:
        raise InjectError(f"{path} cannot be read: permission denied") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InjectError(f"{path} cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        shown = f"{size / (1 << 20):.1f} MiB" if size > MAX_BYTES else "more than 1 MiB"
        raise InjectError(
            f"{path} is no scenario: {shown}, at most 1 MiB is read",
            help="a scenario is a page of YAML; is this the right file?",
        )
    if b"\0" in raw:
        raise InjectError(
            f"{path} is no scenario: a binary file", help="a scenario is a YAML file in UTF-8"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InjectError(
            f"{path} is no scenario: not UTF-8 text (byte 0x{raw[error.start]:02x} in line {line})",
            help="a scenario is a YAML file in UTF-8",
        ) from None


def _refuse(path: str, mode: int) -> None:
    """Raise for what is neither a regular file nor something the caller has open already.

    Opening a FIFO or a device may block for ever, or do something.
    """
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if stat.S_ISREG(mode) or _OPEN_ALREADY.fullmatch(path):
        return
    kinds = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    what = next((name for test, name in kinds if test(mode)), "a device")
    raise InjectError(
        f"{path} is {what}, not a scenario file",
        help="a scenario is a regular file; /dev/stdin and <(command) are read too",
    )


def parse(
    text: str, source: str, notes: list[Mistake] | None = None, *, last: bool = False
) -> Node | None:
    """Return the tree of a YAML text, None for an empty one; ScenarioError with all mistakes.

    With `notes` given, mistakes that leave a tree are added there instead of raised. Of a key
    given twice the first value is in the tree, with `last` the last.
    """
    composer = _Composer(source, last)
    try:
        root = composer.compose(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise ScenarioError(source, (_syntax(text, error),)) from None
    except yaml.reader.ReaderError as error:
        raise ScenarioError(source, (_character(text, error),)) from None
    if notes is not None:
        notes.extend(composer.mistakes)
    elif composer.mistakes:
        raise ScenarioError(source, tuple(composer.mistakes))
    return root


def _syntax(text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "not YAML"
    context = f" ({error.context})" if error.context else ""
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    help = "see https://yaml.org for the syntax"
    character = text.splitlines()[mark.line : mark.line + 1] if mark else []
    if mark and character and character[0][mark.column : mark.column + 1] == "\t":
        help = "indent with spaces; YAML takes no tabs"
    elif "cannot start any token" in problem or "alias" in context or "block scalar" in context:
        help = _QUOTE
    elif "mapping values are not allowed" in problem:
        help = "quote a value that contains ': '"
    return Mistake(f"not YAML: {problem}{context}", *place, help)


def _character(text: str, error: yaml.reader.ReaderError) -> Mistake:
    at = error.position if isinstance(error.position, int) else 0
    found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    at = found.start() if found else at
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return Mistake(f"not YAML: control character {text[at : at + 1]!r}", line, column)


class _Composer:
    """Makes a tree of events without recursion, so that depth cannot break anything."""

    def __init__(self, source: str, last: bool) -> None:
        self.source = source
        self.last = last
        self.mistakes: list[Mistake] = []
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[Node, list[Node]]] = []
        self.root: Node | None = None

    def compose(self, events: Iterator[Any]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.refuse(event, "a second document", "one scenario per file")
            elif isinstance(event, yaml.ScalarEvent):
                self.add(event, self.scalar(event))
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.start(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close()
        return self.root

    def refuse(self, event: Any, message: str, help: str = "") -> None:
        """Give up: what follows cannot be understood."""
        mark = event.start_mark
        mistake = Mistake(message, mark.line + 1, mark.column + 1, help)
        raise ScenarioError(self.source, (*self.mistakes, mistake))

    def note(self, node: Node, message: str, help: str = "") -> None:
        self.mistakes.append(Mistake(message, node.line, node.column, help))

    def scalar(self, event: Any) -> Node:
        begin, end = event.start_mark, event.end_mark
        quotes = 0 if event.style in (None, "") else 1
        plain = (
            begin.line == end.line and len(event.value) + 2 * quotes == end.column - begin.column
        )
        node = Node(
            "scalar",
            begin.line + 1,
            begin.column + 1,
            text=event.value,
            shift=quotes if plain and event.style not in ("|", ">") else None,
            whole=True,
        )
        tag = event.tag if event.tag != "!" else f"{_TAG}str"
        if not tag:
            node.value = resolve(event.value) if event.implicit[0] else event.value
        elif not tag.startswith(_TAG):
            help = f'quote it: "{tag}{event.value}"' if tag.startswith("!") else "drop the tag"
            self.note(node, f"{tag} is a YAML tag here, which a scenario has no use for", help)
            # `!close` is meant as it stands; without a value it would be a second mistake.
            node.value = node.text = event.value or tag
        else:
            node.value = self.tagged(node, tag.removeprefix(_TAG))
        return node

    def tagged(self, node: Node, tag: str) -> str | int | float | bool | None:
        value = node.text if tag == "str" else resolve(node.text)
        if tag == "float" and type(value) is int:
            value = float(value)
        kinds = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}
        if tag not in kinds:
            self.note(node, f"unknown tag !!{tag}", "drop the tag")
        elif type(value) is not kinds[tag]:
            self.note(node, f"'{node.text}' is no !!{tag}")
        return value

    def alias(self, event: Any) -> None:
        node = self.anchors.get(event.anchor)
        if node is None:
            self.refuse(event, f"no anchor &{event.anchor} for *{event.anchor}", _QUOTE)
        elif not node.whole:
            self.refuse(event, f"*{event.anchor} contains itself")
        else:
            self.add(event, node)

    def start(self, event: Any) -> None:
        mark = event.start_mark
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node = Node("list" if is_list else "map", mark.line + 1, mark.column + 1, shift=None)
        if event.tag and event.tag not in (f"{_TAG}seq", f"{_TAG}map", "!"):
            self.note(node, f"unknown tag {event.tag}", "drop the tag")
        if event.anchor:
            self.anchors[event.anchor] = node
        if len(self.open) >= MAX_DEPTH:
            self.refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        self.open.append((node, []))

    def close(self) -> None:
        node, children = self.open.pop()
        node.size += sum(child.size for child in children)
        node.height = 1 + max((child.height for child in children), default=0)
        node.whole = True
        if node.size > MAX_NODES or node.height > MAX_DEPTH:
            what = "values once aliases are written out" if self.anchors else "values"
            mistake = Mistake(f"more than {MAX_NODES} {what}", node.line, node.column)
            raise ScenarioError(self.source, (*self.mistakes, mistake))
        if node.kind == "list":
            node.items = children
        else:
            self.pair(node, children)
        self.attach(node)

    def pair(self, node: Node, children: list[Node]) -> None:
        seen: dict[str, Node] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if key.kind != "scalar":
                self.note(key, f"a {key.kind} cannot be a key")
            elif key.text in seen:
                first = seen[key.text]
                self.note(key, f"'{key.text}' is given twice", f"first in line {first.line}")
                if self.last:
                    node.pairs = [pair for pair in node.pairs if pair[0].text != key.text]
                    node.pairs.append((key, value))
            else:
                seen[key.text] = key
                node.pairs.append((key, value))

    def add(self, event: Any, node: Node) -> None:
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self.anchors[event.anchor] = node
        self.attach(node)

    def attach(self, node: Node) -> None:
        if self.open:
            self.open[-1][1].append(node)
        else:
            self.root = node
