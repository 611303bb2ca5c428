"""`inject import`: other tools' expressions as a scenario file, on stdout."""

from __future__ import annotations

import click

from injector.rules.scenario import from_passenger, from_strace
from injector.words.errors import InjectError


@click.group(
    name="import", epilog="\b\nExample:\n  inject import strace 'inject=write:error=ENOSPC:when=3+'"
)
def import_() -> None:
    """Print the scenario that says what an expression of another tool says.

    Where the meaning is another here, the file has a comment.
    """


@import_.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n"
    "  inject import strace 'inject=write:error=ENOSPC:when=3+'\n"
    "  inject import strace strace -f -e inject=openat:error=EIO:when=1 cat /etc/hostname\n"
    "  inject import strace 'fault=fsync' > fsync.yaml && inject check fsync.yaml; rm fsync.yaml",
)
@click.argument("text", metavar="TEXT...", nargs=-1, type=click.UNPROCESSED, required=True)
def strace(text: tuple[str, ...]) -> None:
    """Import an inject= or fault= expression of strace, or a whole command line with them.

    TEXT is one expression, or a command line, as one word or as it stands.
    """
    click.echo(from_strace.translate(text).text(), nl=False)


@import_.command(
    epilog="\b\nExample:\n"
    "  inject import passenger 'PassengerAgent watchdog=ENOSPC:0.01;PassengerAgent core=EIO:0.1'",
)
@click.argument("text")
def passenger(text: str) -> None:
    """Import a simulation of failing system calls of Phusion Passenger.

    TEXT is the value of PASSENGER_SIMULATE_SYSCALL_FAILURES, or the line of a shell that sets it.
    """
    if not text.strip():
        raise InjectError(
            "the text is empty",
            help="like inject import passenger 'PassengerAgent core=EMFILE:0.01'",
        )
    click.echo(from_passenger.translate(text).text(), nl=False)
