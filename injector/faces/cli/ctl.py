"""`inject ctl` and `inject ps`: steer sessions that run, from another terminal or a script."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import click

from injector.faces.ui.client import Message, ask, find, snapshots
from injector.rules.scenario.fields import closest
from injector.words.errors import InjectError

_USAGE = {
    "snapshot": (),
    "pause": (),
    "resume": (),
    "enable": ("RULE",),
    "disable": ("RULE",),
    "set": ("RULE", "probability|limit|error", "VALUE"),
    "fire": ("RULE",),
    "add": ("RULE-TEXT",),
    "remove": ("RULE",),
    "save": (),
    "detach": (),
    "stop": (),
}
COLUMNS = ("session", "pid", "target", "seconds", "rules", "faults", "state", "command")


@click.command(
    epilog="\b\nExample:\n"
    "  inject run -q -e 'getppid:error=EIO:name=none' -- sleep 3 & sleep 1; inject ctl pause",
)
@click.argument("words", metavar="[SESSION] COMMAND [ARG]...", nargs=-1, required=True)
def ctl(words: tuple[str, ...]) -> None:
    """Steer a session: pause it, change its rules, let the target go.

    SESSION is the number that inject ps shows, of inject or of its target; it may be left out
    while there is only one. Each command is in the session's journal. The exit status is 0 when
    it was carried out, 125 otherwise.

    \b
    snapshot                              the session as JSON
    pause, resume                         let every call pass; go on
    enable RULE, disable RULE             let a rule fire or not
    set RULE probability|limit|error V    change a rule
    fire RULE                             at its next match, whatever its schedule says
    add RULE-TEXT, remove RULE            as with -e; a filter cannot grow: see --watch
    save                                  the rules in force, as a scenario file
    detach                                the target runs on without us
    stop                                  end the target, or let an attached one go
    """
    session, command, arguments = _parts(words)
    wanted = _USAGE[command]
    if len(arguments) != len(wanted):
        raise InjectError(
            f"ctl {command} takes {_words(len(wanted))}, not {len(arguments)}",
            help=f"inject ctl {' '.join((command, *wanted))}",
        )
    names = {"add": ("text",)}.get(command, ("rule", "what", "value"))
    answer = ask(session, {"do": command, **dict(zip(names, arguments, strict=False))})
    if command == "snapshot":
        click.echo(json.dumps(answer, indent=2))
    if command == "save":
        click.echo(answer["scenario"], nl=False)


@click.command(epilog="\b\nExample:\n  inject ps")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ps(as_json: bool) -> None:
    """List the sessions of this user that run.

    A line for each: the number of inject (session) and of its target (pid), the name of the
    target, the seconds so far, how many rules and faults, the state, and the target's command.
    """
    rows = [_row(session, told) for session, told in snapshots()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from injector.faces.ui.cells import PLAIN, cells, cut, left

    shown = [COLUMNS, *(tuple(_cell(row[name]) for name in COLUMNS) for row in rows)]
    columns = zip(*shown, strict=True)
    widths = [max(cells([(text, PLAIN)]) for text in column) for column in columns]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for texts in shown:
        parts = (left(text, width) for text, width in zip(texts, widths, strict=True))
        click.echo(cut("  ".join(parts).rstrip(), room))
    if not rows:
        click.echo("no session runs", err=True)


def _words(number: int) -> str:
    match number:
        case 0:
            return "no word"
        case 1:
            return "one word"
        case _:
            return f"{number} words"


def _row(session: int, told: Message | None) -> Message:
    if told is None:
        return {**dict.fromkeys(COLUMNS), "session": session, "state": "does not answer"}
    state = "paused" if told["paused"] else "attached" if told["attached"] else "running"
    return {
        "session": session,
        "pid": told["pid"],
        "target": told["process"] or None,
        "seconds": told["t"],
        "rules": len(told["rules"]),
        "faults": told["faults"],
        "state": state,
        "command": told["command"],
    }


def _cell(value: object) -> str:
    from injector.faces.ui.cells import clean

    match value:
        case None:
            return "?"
        case float():
            return f"{value:.0f}"
        case list():
            return clean(shlex.join(value))
        case _:
            return clean(str(value))


def _parts(words: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
    given = words[0] if words[0].isdecimal() else ""
    rest = words[1:] if given else words
    if not rest or rest[0] not in _USAGE:
        raise InjectError(
            f"ctl has no command {rest[0]}{closest(rest[0], _USAGE)}"
            if rest
            else "ctl needs a command",
            help="commands: " + ", ".join(_USAGE),
        )
    return find(int(given) if given else None), rest[0], rest[1:]
