"""Write docs/inject.1 from the commands' own help, so that the two cannot differ.

python tools/manpage.py [--check]
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from injector.faces.cli.main import cli

PAGE = Path(__file__).parent.parent / "docs" / "inject.1"
STATUS = {
    "0": "success; the target's own status is passed on",
    "3": "with --require-fired: a rule never fired",
    "124": "the --timeout ran out",
    "125": "an error of inject itself; nothing was started",
    "126": "the command cannot be executed",
    "127": "the command was not found",
}


def escaped(text: str) -> str:
    """Return text as roff takes it literally."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(
        "\\&" + line if line.startswith((".", "'")) and line != ".PP" else line for line in lines
    )


def verbatim(text: str) -> list[str]:
    """Return an epilog's examples as they stand."""
    lines = [line for line in text.replace("\b", "").splitlines() if line.strip()]
    return [".nf", *(escaped(line) for line in lines), ".fi"]


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
        ".B inject run",
        "[\\fISCENARIO\\fR] [\\fB\\-e\\fR \\fIRULE\\fR]... \\-\\- \\fICMD\\fR...",
        ".SH COMMANDS",
    ]
    for name in cli.list_commands(context):
        found = cli.get_command(context, name)
        if found is not None:
            lines += command(name, found, context)
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
