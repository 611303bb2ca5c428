"""`inject learn`: watch a program once, say what it did, and write a scenario that fits it.

The report is printed when the target has ended, so that it is never amid its output.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import click

from injector.campaigns.learn import (
    CHANGES,
    COPIES,
    OPENS,
    READS,
    SIZES,
    SYNCS,
    WATCHED,
    WRITES,
    Learned,
    Learner,
    proposed,
    watch,
)
from injector.faces.cli.common import say_what_stacks_lack, time_span
from injector.faces.cli.printer import say
from injector.faces.cli.usage import WithCommand
from injector.faces.plain import pasteable, plain
from injector.linux.launch import find, hold_standard_descriptors
from injector.rules.scenario.write import yaml_text
from injector.session.session import Session
from injector.session.start import EngineName, launched
from injector.words.errors import InjectError, NotifyRefused
from injector.words.model import Rule, Scenario
from injector.words.syscalls import signal_name

_WIDTH = 100
_MOST_CALLS = 40
_MOST_FILES = 15
_MOST_FOLDERS = 10
_MOST_ROWS = 20
_FEW = 8
_USES: tuple[tuple[str, frozenset[str]], ...] = (
    ("opened", frozenset(OPENS)),
    ("read", frozenset(READS)),
    ("written", frozenset(WRITES | COPIES | SIZES)),
    ("synced", frozenset(SYNCS)),
    ("changed", frozenset(CHANGES)),
)


@click.command(
    cls=WithCommand,
    epilog="\b\nExamples:\n"
    "  inject learn -- cat /etc/hostname\n"
    "  inject learn --stacks -o find.yaml -- find /etc/apt -name '*.list'\n"
    "  inject learn --timeout 2s -o sleep.yaml -- sleep 60",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the scenario goes; NAME.learned.yaml by the name of CMD if left out.",
)
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report there, and nothing to stdout.",
)
@click.option("--stacks", is_flag=True, help="Say which functions make the calls (ptrace; slower).")
@click.option(
    "--timeout", metavar="T", help="End the target after so long, as 10s; what it did is learned."
)
@click.pass_context
def learn(
    ctx: click.Context,
    output: Path | None,
    report: Path | None,
    stacks: bool,
    timeout: str | None,
) -> None:
    """Watch CMD once without a fault; print what it did, and write a scenario that fits it.

    In the scenario every fault that CMD could meet is a line in comments: take the mark of one
    away, and give the file to inject run. An existing file is not overwritten. The report goes to
    stdout when CMD has ended; CMD keeps its own input and output. The exit status is 0 however CMD
    ended, 125 for an error of our own, 126 and 127 for a CMD that cannot be executed or found.
    """
    hold_standard_descriptors()
    command: list[str] = ctx.meta.get("command", [])
    if not command:
        raise InjectError(
            "there is no command to watch",
            help="put it behind --, for example: inject learn -- cat /etc/hostname",
        )
    limit = time_span("--timeout", timeout)
    find(command[0])
    file = output or Path(f"{os.path.basename(command[0])}.learned.yaml")
    _require_room(file, "-o FILE says where the scenario goes")
    if report is not None:
        _require_room(report, "give --report another name")
    if stacks:
        say_what_stacks_lack(Scenario(()), stacks)
    learned = _watch(command, limit, stacks)
    rules, comments = proposed(learned)
    text = _report(command, learned, _print(file, command, rules, comments))
    if report is not None:
        _create(report, text)
    else:
        click.echo(text, nl=False)


def _watch(command: list[str], limit: int | None, stacks: bool) -> Learned:
    def start(engine: EngineName, learner: Learner) -> AbstractContextManager[Session]:
        return launched(
            command,
            learner,
            Scenario(()),
            engine=engine,
            watched=WATCHED,
            timeout=limit,
            kill_on_exit=True,
        )

    if not stacks:
        try:
            return watch(lambda learner: start("notify", learner))
        except NotifyRefused as refusal:
            say(f"inject: {refusal.message}: engine ptrace instead")
    return watch(lambda learner: start("ptrace", learner), stacks=stacks)


def _require_room(file: Path, help: str) -> None:
    """Raise now for what would be an error when the target has ended."""
    if file.exists() or file.is_symlink():
        raise InjectError(f"{file} is there already", help=help)
    folder = file.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InjectError(f"{file} cannot be written: no folder {folder} to write to", help=help)


def _create(file: Path, text: str) -> None:
    try:
        with open(file, "x", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError as error:
        raise InjectError(f"{file} cannot be written: {error.strerror}") from error


def _print(
    file: Path, command: Sequence[str], rules: tuple[Rule, ...], comments: dict[str, list[str]]
) -> list[str]:
    """Write the scenario; return what is to be said of it."""
    again = pasteable(shlex.join(["inject", "run", str(file), "--", *command]))
    if not rules:
        return ["No fault is plausible: no call was seen that the world can make fail."]
    shown = pasteable(shlex.join(command))
    text = yaml_text(
        Scenario(rules, about=f"Faults that {os.path.basename(command[0])} could meet."),
        head=[
            f"Learned from one run without a fault of: {shown}",
            "Each line that begins with `# - {` is a fault: take its `# ` away, then",
            f"  {again}",
        ],
        comments=comments,
        off={rule.name for rule in rules},
        flow=True,
    )
    _create(file, text)
    count = f"{len(rules)} fault{'s' * (len(rules) != 1)}"
    return [f"{file} has {count} in comments: take the `# ` of one away, then", f"  {again}"]


def _report(command: Sequence[str], learned: Learned, scenario: Sequence[str]) -> str:
    parts = [
        _head(command, learned),
        _processes(learned),
        _calls(learned),
        _files(learned.files),
        _section("Network", _network(learned)),
        _section("Other", _uses_rows(learned.others)),
        _sites(learned),
        ["Scenario", *(f"  {line}" for line in scenario)],
    ]
    return "\n\n".join("\n".join(map(plain, part)) for part in parts if part) + "\n"


def _head(command: Sequence[str], learned: Learned) -> list[str]:
    ended = learned.ended
    assert ended is not None
    if ended.detached:
        how = "was let go"
    elif ended.signal:
        how = f"was killed by {signal_name(ended.signal)}"
    else:
        how = f"exited with {ended.exit}" if ended.exit is not None else "ended"
    late = ", its time was up" if ended.timed_out else ""
    processes = len(learned.programs)
    threads = sum(one.threads for one in learned.programs)
    calls, loader = learned.calls.total(), learned.startup.total()
    lines = [
        f"{os.path.basename(command[0])} {how} after {ended.seconds:.2f} s{late}; no fault made.",
        f"{_count(processes, 'process', 'processes')}, {_count(threads, 'thread')}, "
        f"{_count(calls, 'call')} that could fail or wait"
        + (f" ({loader} more by the dynamic loader, which rules leave alone)." if loader else "."),
    ]
    if learned.io_uring:
        lines.append("It uses io_uring, whose reads and writes are not seen.")
    return lines


def _processes(learned: Learned) -> list[str]:
    if len(learned.programs) < 2:
        return []
    alike: dict[tuple[str, str], list[str]] = {}
    for one in learned.programs:
        how = one.signal or ("" if one.exit is None else f"exit {one.exit}")
        threads = f", {one.threads} threads" if one.threads > 1 else ""
        alike.setdefault((one.exe or "?", how + threads), []).append(one.lineage)
    rows = [
        (str(len(lineages)), exe, how, _few(lineages)) for (exe, how), lineages in alike.items()
    ]
    return _section("Processes", _cut(rows), right=1)


def _calls(learned: Learned) -> list[str]:
    found = learned.calls.most_common()
    if not found:
        return []
    cells = [(f"{count}", name) for name, count in found[:_MOST_CALLS]]
    numbers = max(len(count) for count, _ in cells)
    width = numbers + 2 + max(len(name) for _, name in cells) + 3
    columns = max(1, (_WIDTH - 2) // width)
    height = -(-len(cells) // columns)
    texts = [f"{count:>{numbers}}  {name}" for count, name in cells]
    lines = [
        "  " + "".join(text.ljust(width) for text in texts[row::height]).rstrip()
        for row in range(height)
    ]
    if len(found) > _MOST_CALLS:
        lines.append(f"  and {len(found) - _MOST_CALLS} more")
    return ["Calls", *lines]


def _files(files: Mapping[str, Counter[str]]) -> list[str]:
    """Return the files by use: data first, and what is left by folder."""
    used = {path: _uses(seen) for path, seen in files.items()}
    ranked = sorted(
        used,
        key=lambda path: (
            not path.startswith(("/dev/", "/proc/", "/sys/")),
            sum(used[path][2:]),
            used[path][1],
            used[path][0],
        ),
        reverse=True,
    )
    data = [path for path in ranked if any(used[path][1:])]
    shown = data[:_MOST_FILES] if len(data) > _MOST_FILES + 3 else data
    chosen = set(shown)
    rest = [path for path in ranked if path not in chosen]
    rows = [
        (*map(_blank, used[path]), _blank(files[path].total() - sum(used[path])), path)
        for path in shown
    ]
    folders = {path: [path] for path in rest} if len(rest) <= _FEW else _folders(rest)
    for folder, paths in sorted(folders.items(), key=lambda one: -len(one[1])):
        sums = [sum(used[path][at] for path in paths) for at in range(len(_USES))]
        others = sum(files[path].total() for path in paths) - sum(sums)
        name = folder if paths == [folder] else f"{folder.rstrip('/')}/**  ({len(paths)} paths)"
        rows.append((*map(_blank, sums), _blank(others), name))
    if not rows:
        return []
    heads = (*(name for name, _ in _USES), "other", "path")
    return _section("Files", [heads, *rows], right=len(heads) - 1)


def _folders(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return paths by folders, as deep as leaves few enough."""
    groups: dict[str, list[str]] = {}
    for depth in range(12, -1, -1):
        groups = {}
        for path in paths:
            folder = "/".join(path.split("/")[:-1][: depth + 1]) or "/"
            groups.setdefault(folder, []).append(path)
        if len(groups) <= _MOST_FOLDERS:
            break
    return {group[0] if len(group) == 1 else folder: group for folder, group in groups.items()}


def _uses(seen: Counter[str]) -> list[int]:
    return [sum(seen[name] for name in names if name in seen) for _, names in _USES]


def _network(learned: Learned) -> list[tuple[str, ...]]:
    return [
        *((f"peer {peer}", told) for peer, told in _uses_rows(learned.peers)),
        *((f"served at {address}", told) for address, told in _uses_rows(learned.served)),
    ]


def _uses_rows(things: Mapping[str, Counter[str]]) -> list[tuple[str, ...]]:
    ranked = sorted(things.items(), key=lambda one: -one[1].total())
    rows = [
        (name, ", ".join(f"{n} {call}" for call, n in seen.most_common(6))) for name, seen in ranked
    ]
    return _cut([row for row in rows if row[1]])


def _sites(learned: Learned) -> list[str]:
    ranked = sorted(learned.sites.items(), key=lambda one: -one[1].total())
    rows = [
        (
            str(seen.total()),
            _shortened(function),
            os.path.basename(library),
            ", ".join(name for name, _ in seen.most_common(5)),
        )
        for (function, library), seen in ranked
    ]
    return _section("Call sites", _cut(rows), right=1)


def _section(title: str, rows: Iterable[Sequence[str]], right: int = 0) -> list[str]:
    """Return rows in columns, the first `right` of them to the right; [] if there is none."""
    table = [tuple(map(plain, row)) for row in rows]
    if not table:
        return []
    wide = [row for row in table if len(row) > 1]
    columns = max(map(len, table))
    widths = [max((len(row[at]) for row in wide), default=0) for at in range(columns)]
    lines = []
    for row in table:
        if len(row) == 1:
            lines.append(f"  {row[0]}")
            continue
        cells = [
            text.rjust(widths[at]) if at < right else text.ljust(widths[at])
            for at, text in enumerate(row)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return [title, *lines]


def _cut(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    if len(rows) <= _MOST_ROWS + 2:
        return list(rows)
    return [*rows[:_MOST_ROWS], (f"and {len(rows) - _MOST_ROWS} more",)]


def _few(lineages: Sequence[str]) -> str:
    return lineages[0] if len(lineages) == 1 else f"{lineages[0]} … {lineages[-1]}"


def _shortened(text: str) -> str:
    return text if len(text) <= 48 else text[:47] + "…"


def _blank(count: int) -> str:
    return str(count) if count else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
