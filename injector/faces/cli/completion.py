"""`inject completion`: what a shell needs to complete our commands, options and scenarios."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from injector.words.errors import InjectError


def scenarios(ctx: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Return the shipped scenarios that begin so, and let the shell add files."""
    from injector.rules.scenario.load import shipped

    found = [
        CompletionItem(one.name, help=one.about) for one in shipped() if one.name.startswith(start)
    ]
    return found or [CompletionItem(start, type="file")]


@click.command(
    epilog="\b\nExamples:\n"
    '  eval "$(inject completion bash)"      in ~/.bashrc\n'
    "  inject completion fish > ~/.config/fish/completions/inject.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    kind = get_completion_class(shell)
    if kind is None:
        raise InjectError(f"no completion for {shell}")
    script = kind(ctx.find_root().command, {}, "inject", "_INJECT_COMPLETE")
    # Not source(): it asks the installed bash for its version, which may be another.
    click.echo(kind.source_template % script.source_vars())
