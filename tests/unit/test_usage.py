"""A command line that is wrong is answered with the one that was likely meant."""

from __future__ import annotations

import shlex

import click
import pytest

from injector.faces.cli.usage import WithCommand
from injector.words.errors import InjectError


def parse(words: str, operand: str = "scenario", needs_rules: bool = True) -> click.Context:
    """Parse the words behind `inject run` as a command does that has most of its options."""
    params: list[click.Parameter] = [
        click.Option(["-e"], multiple=True),
        click.Option(["--seed"]),
        click.Option(["-q", "--quiet"], is_flag=True),
    ]
    if operand:
        params.append(click.Argument([operand], required=False))
    command = WithCommand("run", params=params, callback=lambda **_: None, needs_rules=needs_rules)
    parent = click.Context(click.Group("inject"), info_name="inject")
    return command.make_context("run", shlex.split(words), parent)


@pytest.mark.parametrize(
    ("words", "corrected"),
    [
        ("fd-exhaustion sh", "fd-exhaustion -- sh"),
        ("fd-exhaustion --seed 7 -q sh -c 'exit 3'", "fd-exhaustion --seed 7 -q -- sh -c 'exit 3'"),
        ("fd-exhaustion no-such-program --port 0", "fd-exhaustion -- no-such-program --port 0"),
        ("mine.yaml --seed=7 ls -l", "mine.yaml --seed=7 -- ls -l"),
        ("-e '*:error=EIO' ls", "-e '*:error=EIO' -- ls"),
        ("-e'*:error=EIO' no-such-program", "'-e*:error=EIO' -- no-such-program"),
        ("-e read:error=EIO fd-exhaustion ls", "-e read:error=EIO fd-exhaustion -- ls"),
        ("misspelt ls -l", "misspelt -- ls -l"),
        ("ls --all", "SCENARIO -- ls --all"),
        ("sh", "SCENARIO -- sh"),
    ],
)
def test_a_forgotten_separator(words: str, corrected: str) -> None:
    with pytest.raises(InjectError, match="there is no -- before the command") as caught:
        parse(words)
    assert caught.value.help == f"inject run {corrected}"


@pytest.mark.parametrize(
    ("operand", "words", "corrected"),
    [
        ("", "ls", "-- ls"),
        ("", "ls x", "-- ls x"),
        ("", "--seed 7 ls x", "--seed 7 -- ls x"),
        ("journal", "j ls x", "j -- ls x"),
        ("scenario", "ls x", "-- ls x"),
        ("scenario", "fd-exhaustion ls x", "fd-exhaustion -- ls x"),
    ],
)
def test_a_forgotten_separator_where_no_rules_are_needed(
    operand: str, words: str, corrected: str
) -> None:
    with pytest.raises(InjectError, match="there is no -- before the command") as caught:
        parse(words, operand, needs_rules=False)
    assert caught.value.help == f"inject run {corrected}"


def test_nothing_is_said_where_none_is_forgotten() -> None:
    assert parse("fd-exhaustion -- ls -l").meta["command"] == ["ls", "-l"]
    assert parse("fd-exhaustion --").meta["command"] == []
    assert "command" not in parse("fd-exhaustion --seed 7").meta
    with pytest.raises(click.NoSuchOption):
        parse("fd-exhaustion --sede 7 ls")
