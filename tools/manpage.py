"""Write docs/inject.1 from the commands' own help, so that the two cannot differ.

python tools/manpage.py [--check]
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from injector.faces.cli.main import cli
from injector.rules.scenario.fields import EFFECT_KEYS, MATCH_KEYS, STRACE_KEYS, TIME_KEYS
from injector.rules.scenario.keys import RULE

PAGE = Path(__file__).parent.parent / "docs" / "inject.1"
STATUS = {
    "0": "success; the target's own status is passed on",
    "1": "report --fail: there are findings; sweep, replay: a failure was found, came again",
    "3": "with --require-fired: a rule never fired",
    "124": "the --timeout ran out",
    "125": "an error of inject itself; nothing was started",
    "126": "the command cannot be executed",
    "127": "the command was not found",
}
GRAMMAR = """\
A rule in one line is a set of system calls and what is asked of them:
.PP
.nf
  SYSCALLS:KEY=VALUE[,VALUE]...[:KEY=VALUE[,VALUE]...]...
.fi
.PP
SYSCALLS is a list, separated by commas, of names (openat), groups (%file; inject list groups),
regular expressions of the whole name (/p?writev?/), and !exclusions. It is left out, or *, with
error=: then every call is meant that can fail so by its manual page.
.PP
What stands before the effects says which calls are meant, and all that is given must hold. At
least one effect is given; several combine. A value that has a colon or a comma is quoted, as
"a:b" (with \\" \\\\ \\n \\t \\r) or 'a:b'; addresses need no quotes. The shell takes quotes
away, so the whole rule stands within others.
.PP
Every rule whose match accepts a call counts it. The first of them, in the order given, that is
due gives the effect; the summary shows what each saw (seen), accepted (matched), was due for
(due), did (fired), and would do on average of the due calls that no earlier rule took
(expected).
.PP
.nf
Examples:
  openat,socket:error=EMFILE:probability=1%
  write:path=/var/lib/app/wal/**:when=3+:error=ENOSPC@9,EDQUOT@1
  connect:address=10.0.0.0/8:5432:delay=10ms..50ms
  openat:args.flags=O_CREAT:process=postgres*:error=EACCES
  error=EMFILE:probability=1%
.fi"""
STRACE = """\
Every expression of strace(1) is a rule too, in strace's own grammar: for each call of the set
one rule, named as the call.
.PP
.nf
  inject=SET[:error=ERRNO|:retval=VALUE][:signal=SIG][:syscall=CALL][:delay_enter=T]
      [:delay_exit=T][:poke_enter=POKE][:poke_exit=POKE][:when=WHEN]
  fault=SET[:error=ERRNO][:when=WHEN]
.fi
.PP
WHEN is FIRST, FIRST+, FIRST..LAST or FIRST+STEP, counted per task."""


def escaped(text: str) -> str:
    """Return text as roff takes it literally."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(
        "\\&" + line if line.startswith((".", "'")) and line != ".PP" else line for line in lines
    )


def literal(text: str) -> str:
    """Return text of ours, which has its own requests, with the rest taken literally."""
    return "\n".join(
        line if line.startswith((".PP", ".nf", ".fi")) else escaped(line)
        for line in text.splitlines()
    )


def verbatim(text: str) -> list[str]:
    """Return an epilog's examples as they stand."""
    lines = [line for line in text.replace("\b", "").splitlines() if line.strip()]
    return [".nf", *(escaped(line) for line in lines), ".fi"]


def synopsis(name: str, one: click.Command, context: click.Context) -> list[str]:
    """Return the lines of one command, or of those below it, with their options."""
    if isinstance(one, click.Group):
        found = ((below, one.get_command(context, below)) for below in one.list_commands(context))
        return [
            line
            for below, inner in found
            if inner is not None
            for line in synopsis(f"{name} {below}", inner, context)
        ]
    words = []
    for parameter in one.params:
        if isinstance(parameter, click.Option):
            value = "" if parameter.is_flag else " " + parameter.make_metavar(context)
            word = f"[{parameter.opts[0]}{value}]" + "..." * parameter.multiple
        else:
            word = parameter.make_metavar(context)
        words.append(word)
    if name == "run":
        words.append("-- CMD...")
    return [".PP", f".B inject {escaped(name)}", escaped(" ".join(words))]


def keys(names: tuple[str, ...]) -> list[str]:
    """Return a list of a rule's keys, each with what it means and examples."""
    lines = []
    for name in names:
        if name == "syscalls":
            continue
        key = RULE[name]
        shown = [text for one in key.examples if (text := one_line(name, one))]
        such = f" Such as {', '.join(shown)}." if shown else ""
        label = "args.PARAMETER" if name == "args" else name
        about = key.about.replace("`", "")
        lines += [".TP", f".B {escaped(label)}=", escaped(f"{about}{such}")]
    return lines


def one_line(name: str, example: object) -> str:
    """Return an example of a scenario file as it stands in a one-line rule."""
    match example:
        case dict() if name == "args":
            return " ".join(f"args.{key}={value}" for key, value in example.items())
        case dict():
            if all(isinstance(value, int) for value in example.values()):
                return f"{name}=" + ",".join(f"{key}@{value}" for key, value in example.items())
            return ""
        case list():
            return f"{name}=" + ",".join(map(str, example))
        case bool():
            return f"{name}={str(example).lower()}"
        case _:
            return f"{name}={example}"


def command(name: str, one: click.Command, context: click.Context) -> list[str]:
    """Return the section of one command."""
    inner = click.Context(one, info_name=f"{context.info_name} {name}", parent=None)
    usage = " ".join(one.collect_usage_pieces(inner))
    lines = [
        f".SS {escaped(f'inject {name} {usage}')}",
        escaped(inspect.cleandoc(one.help or "").replace("\n\n", "\n.PP\n")),
    ]
    for parameter in one.params:
        record = parameter.get_help_record(inner)
        if record is not None and record[1]:
            lines += [".TP", f".B {escaped(record[0])}", escaped(record[1])]
    if isinstance(one, click.Group):
        for below in one.list_commands(inner):
            found = one.get_command(inner, below)
            if found is not None:
                lines += command(f"{name} {below}", found, context)
    elif one.epilog:
        lines += [".PP", *verbatim(one.epilog)]
    return lines


def page() -> str:
    """Return the whole page."""
    context = click.Context(cli, info_name="inject")
    lines = [
        '.\\" Written by tools/manpage.py; do not edit.',
        '.TH INJECT 1 "" "inject" "User Commands"',
        ".SH NAME",
        "inject \\- make the system calls of an unmodified program fail on purpose",
        ".SH SYNOPSIS",
    ]
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    for name, one in found.items():
        if one is not None:
            lines += synopsis(name, one, context)
    lines.append(".SH COMMANDS")
    for name, one in found.items():
        if one is not None:
            lines += command(name, one, context)
    lines += [".SH RULES", literal(GRAMMAR), ".SS Which calls", *keys(MATCH_KEYS)]
    lines += [".SS Which of them", *keys(TIME_KEYS), ".SS Effects", *keys(EFFECT_KEYS)]
    lines += [".SS Others", *keys(("name", *STRACE_KEYS))]
    lines += [".SS Expressions of strace", literal(STRACE)]
    lines.append(".SH EXIT STATUS")
    for status, meaning in STATUS.items():
        lines += [".TP", f".B {status}", escaped(meaning)]
    lines += [".SH SEE ALSO", "strace(1), seccomp_unotify(2), errno(3), signal(7)", ""]
    return "\n".join(lines)


def main() -> None:
    """Write the page, or with --check say whether it is current."""
    text = page()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == text else 1)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
