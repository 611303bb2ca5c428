"""What is wrong with a command line, said with the one that was likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from injector.words.errors import InjectError


def no_such_option(error: click.NoSuchOption) -> InjectError:
    """Return the refusal of an option that a command does not have."""
    path = error.ctx.command_path if error.ctx else "inject"
    params = error.ctx.command.get_params(error.ctx) if error.ctx else ()
    names = [name for one in params for name in one.opts if name.startswith("--")]
    near = closest_option(error.option_name, names)
    meant = f"did you mean {near}? " if near else ""
    return InjectError(
        f"{path} has no option {error.option_name}",
        help=f"{meant}{path} --help lists them",
    )


def closest_option(word: str, names: Sequence[str]) -> str:
    """Return the option that is written nearly so or begins so, "" if none is.

    Dashes do not count: with them, short names that have nothing in common look alike.
    """
    bare = {name.strip("-"): name for name in names}
    wanted = word.strip("-")
    near = difflib.get_close_matches(wanted, bare, 1, cutoff=0.75)
    if not near and len(wanted) > 2:
        near = [name for name in bare if name.startswith(wanted)]
    return bare[near[0]] if near else ""
