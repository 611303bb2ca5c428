"""`inject list …`: the words scenarios are made of, in aligned columns or as JSON, on stdout."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from injector.rules.scenario.fields import Bad, Mistakes, Text, closest
from injector.rules.scenario.load import shipped
from injector.rules.scenario.sets import choose, unknown_call
from injector.rules.scenario.values import errno
from injector.words.errors import InjectError
from injector.words.syscalls import (
    ERRNOS,
    GROUPS,
    NEVER,
    RISKY,
    VDSO,
    errno_message,
    errnos_of,
    native,
    signature,
    syscalls_with,
)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="list", epilog="\b\nExample:\n  inject list syscalls 'open*'")
def list_() -> None:
    """List shipped scenarios, and the words of rules: syscalls, errnos, groups."""


@list_.command(epilog="\b\nExample:\n  inject list scenarios --json")
@_JSON
def scenarios(as_json: bool) -> None:
    """List the scenarios that come with inject, to be run by name."""
    found = shipped()
    if as_json:
        _json([{"name": o.name, "about": o.about, "path": str(o.path)} for o in found])
        return
    if not found:
        raise InjectError(
            "no scenarios are installed",
            help="give a rule with -e, or a file; inject schema describes it",
        )
    _table(("NAME", "ABOUT"), [(one.name, one.about) for one in found])


@list_.command(
    epilog="\b\nExamples:\n  inject list syscalls openat\n  inject list syscalls '%write'"
)
@click.argument("pattern", required=False)
@_JSON
def syscalls(pattern: str | None, as_json: bool) -> None:
    """List the system calls of this machine, with number and parameters.

    PATTERN is a name, a glob, or a set as in a rule (%group, /regex/, !exclusions); with it the
    errors are shown that each call can give by its manual page, and what is special about it.
    """
    arch = native()
    names = sorted(arch.numbers, key=arch.numbers.__getitem__)
    if pattern is not None:
        meant = _matching(pattern, names)
        names = [name for name in names if name in meant]
        if not names:
            raise InjectError(f"no system call of {arch.name} matches '{pattern}'")
    if as_json:
        _json([_call(name) for name in names])
        return
    rows = [(str(arch.numbers[name]), name, _parameters(name)) for name in names]
    if pattern is None:
        _table(("NR", "NAME", "PARAMETERS"), rows)
        return
    for number, name, parameters in rows:
        click.echo(f"{name}({parameters})  number {number}")
        click.echo(f"    errors: {' '.join(errnos_of(name)) or 'none known'}")
        for note in _notes(name):
            click.echo(f"    note: {note}")


@list_.command(epilog="\b\nExamples:\n  inject list errnos\n  inject list errnos ENOSPC")
@click.argument("pattern", required=False)
@_JSON
def errnos(pattern: str | None, as_json: bool) -> None:
    """List the errors a call can be failed with.

    PATTERN is a name, a number or a glob; for a single error the calls are shown that can fail
    so by their manual pages, which are those of a rule that names no calls.
    """
    names = list(ERRNOS)
    if pattern is not None:
        names = fnmatch.filter(names, pattern.upper())
        if not names:
            try:
                names = [errno(pattern)]
            except Bad as bad:
                raise InjectError(bad.message, help=bad.help) from None
    names = [name for name in names if name in ERRNOS]
    if as_json:
        _json(
            [
                {
                    "name": name,
                    "number": ERRNOS[name],
                    "message": errno_message(name),
                    "syscalls": sorted(syscalls_with(name)),
                }
                for name in names
            ]
        )
        return
    rows = [(str(ERRNOS[name]), name, errno_message(name)) for name in names]
    _table(("NR", "NAME", "MESSAGE"), rows)
    if pattern is not None and len(names) == 1:
        click.echo(f"calls: {' '.join(sorted(syscalls_with(names[0]))) or 'none known'}")


@list_.command(epilog="\b\nExamples:\n  inject list groups\n  inject list groups %write")
@click.argument("pattern", required=False)
@_JSON
def groups(pattern: str | None, as_json: bool) -> None:
    """List the groups of system calls, written %NAME in a rule.

    PATTERN is a group's name or a glob; with it every call of the group is shown, else those
    of this machine's architecture are counted.
    """
    arch = native()
    names = sorted(GROUPS)
    if pattern is not None:
        bare = pattern.removeprefix("%")
        names = [name for name in names if fnmatch.fnmatchcase(name, bare)]
        if not names:
            hint = closest(bare, GROUPS)
            raise InjectError(f"no group '{pattern}'{hint}", help="see inject list groups")
    members = {name: sorted(GROUPS[name] & arch.numbers.keys()) for name in names}
    if as_json:
        _json([{"name": f"%{name}", "syscalls": calls} for name, calls in members.items()])
        return
    if pattern is not None:
        for name, calls in members.items():
            click.echo(f"%{name}: {' '.join(calls)}")
        return
    rows = [
        (f"%{name}", str(len(calls)), " ".join(calls[:5]) + (" …" if len(calls) > 5 else ""))
        for name, calls in members.items()
    ]
    _table(("GROUP", "CALLS", "SUCH AS"), rows)


def _matching(pattern: str, names: Sequence[str]) -> frozenset[str]:
    if pattern in names:
        return frozenset((pattern,))
    if set(pattern) & set("*?[") and not pattern.startswith("/"):
        return frozenset(fnmatch.filter(names, pattern))
    notes = Mistakes()
    chosen = choose([Text(pattern)], notes)
    if chosen is not None:
        return chosen.names
    within = frozenset(name for name in names if pattern and pattern in name)
    if within:
        return within
    mistake = notes.found[0] if notes.found else unknown_call(pattern)
    raise InjectError(mistake.message, help=mistake.help)


def _call(name: str) -> dict[str, Any]:
    arch = native()
    found = signature(name, arch)
    return {
        "name": name,
        "number": arch.numbers[name],
        "parameters": [
            {"name": one.name, "kind": str(one.kind), "type": one.ctype}
            for one in (found.parameters if found else ())
        ],
        "errnos": list(errnos_of(name)),
        "groups": sorted(f"%{group}" for group, calls in GROUPS.items() if name in calls),
        "notes": list(_notes(name)),
    }


def _parameters(name: str) -> str:
    found = signature(name, native())
    return ", ".join(one.name for one in found.parameters) if found else "?"


def _notes(name: str) -> Iterable[str]:
    if name in NEVER:
        yield f"must never fail: {NEVER[name]}"
    if name in RISKY:
        yield RISKY[name]
    if name in VDSO:
        yield "programs answer it without entering the kernel (vdso(7))"


def _json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell, numbers to the right, the last one ragged."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    right = [all(row[i].isdigit() for row in rows) for i in range(len(head))]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        click.echo("  ".join(cells).rstrip())
