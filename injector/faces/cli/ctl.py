"""`inject ctl` and `inject ps`: steer sessions that run, from another terminal or a script."""

from __future__ import annotations

import json
import socket
from typing import Any

import click

from injector.linux import procfs, rendezvous
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
            f"ctl {command} takes {len(wanted)} words, not {len(arguments)}",
            help=f"inject ctl {' '.join((command, *wanted))}",
        )
    names = {"add": ("text",)}.get(command, ("rule", "what", "value"))
    answer = ask(session, {"do": command, **dict(zip(names, arguments, strict=False))})
    if command == "snapshot":
        click.echo(json.dumps(answer, indent=2))
    if command == "save":
        click.echo(answer["scenario"], nl=False)


@click.command(epilog="\b\nExample:\n  inject ps")
def ps() -> None:
    """List the sessions of this user that run: inject's number, the target's, rules, faults."""
    rows = [("session", "pid", "target", "seconds", "rules", "faults", "state")]
    for session in rendezvous.sessions():
        told = ask(session, {"do": "snapshot"})
        rows.append(
            (
                str(session),
                str(told["pid"]),
                told["process"] or "?",
                f"{told['t']:.0f}",
                str(len(told["rules"])),
                str(sum(rule["fired"] for rule in told["rules"])),
                "paused" if told["paused"] else "attached" if told["attached"] else "running",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    if len(rows) == 1:
        click.echo("no session runs", err=True)


def ask(session: int, command: dict[str, Any]) -> dict[str, Any]:
    """Send a command to a session and return its answer.

    Raises:
        InjectError: there is no such session, or it refuses.
    """
    with rendezvous.connect(session) as peer:
        peer.sendall(json.dumps(command).encode() + b"\n")
        answer: dict[str, Any] = json.loads(_line(peer, session))
    if not answer.pop("ok"):
        raise InjectError(answer["error"], help=answer.get("help", ""))
    return answer


def _line(peer: socket.socket, session: int) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        try:
            part = peer.recv(65536)
        except TimeoutError as error:
            raise InjectError(f"session {session} does not answer") from error
        if not part:
            raise InjectError(f"session {session} ended before it answered")
        data += part
    return data


def _parts(words: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
    given = words[0] if words[0].isdecimal() else ""
    rest = words[1:] if given else words
    if not rest or rest[0] not in _USAGE:
        raise InjectError(
            f"ctl has no command {rest[0]}" if rest else "ctl needs a command",
            help="commands: " + ", ".join(_USAGE),
        )
    running = rendezvous.sessions()
    if given:
        number = int(given)
        for session in running:
            if number == session or number == ask(session, {"do": "snapshot"})["pid"]:
                return session, rest[0], rest[1:]
        raise InjectError(f"there is no session {number}", help="inject ps lists those that run")
    if len(running) != 1:
        what = "no session runs" if not running else f"{len(running)} sessions run"
        raise InjectError(
            what,
            help="start one with inject run or inject attach"
            if not running
            else "say which: "
            + ", ".join(f"{one} ({procfs.cmdline(one)[:40]})" for one in running),
        )
    return running[0], rest[0], rest[1:]
