"""What is wrong with a command line, said with the one that was likely meant."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Sequence
from typing import Any

import click

from injector.words.errors import InjectError


class WithCommand(click.Command):
    """A command that is followed by `-- CMD...`, which is handed on untouched."""

    def __init__(self, *args: Any, needs_rules: bool = False, **attributes: Any) -> None:
        """Take what click.Command does.

        Args:
            needs_rules: there is nothing to do without a scenario or a rule.
        """
        super().__init__(*args, **attributes)
        self.needs_rules = needs_rules

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what stands behind the first `--` away before click looks."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["command"] = args[:at], args[at + 1 :]
        elif not ctx.resilient_parsing and (error := no_separator(self, ctx, args)):
            raise error
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "-- CMD..."]


def no_separator(
    command: WithCommand, ctx: click.Context, args: Sequence[str]
) -> InjectError | None:
    """Return the refusal of arguments in which a `--` was left out; None if it was not.

    It is put before the first word that is neither an option, nor its value, nor a scenario or
    what else the command takes.
    """
    operands = {one.name for one in command.get_params(ctx) if isinstance(one, click.Argument)}
    options = {
        name: one
        for one in command.get_params(ctx)
        if isinstance(one, click.Option)
        for name in one.opts
    }
    at, rules, taken = 0, False, not operands
    while at < len(args):
        word = args[at]
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            option = options.get(name)
            if option is None or option.is_eager:  # click's to refuse, or --help
                return None
            rules |= name == "-e"
            at += 1 + (not option.is_flag and word == name)
        elif not taken and ("scenario" not in operands or _is_scenario(word, rules)):
            taken = True
            at += 1
        else:
            break
    if at >= len(args):
        return None
    ruled = taken or rules or not command.needs_rules
    before = list(args[:at]) if ruled else [*args[:at], "SCENARIO"]
    line = shlex.join([*ctx.command_path.split(), *before, "--", *args[at:]])
    return InjectError("there is no -- before the command", help=line)


def _is_scenario(word: str, rules: bool) -> bool:
    """Return whether a word is rather a scenario than a command, with rules given already."""
    from injector.rules.scenario.load import shipped

    if word in {one.name for one in shipped()} or word.endswith((".yaml", ".yml", ".json")):
        return True
    if shutil.which(word) is not None:
        return False
    return os.path.isfile(word) or not rules


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
