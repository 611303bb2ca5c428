"""What the shells are told of a rule that is being typed, as they ask: by the environment."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from injector.faces.cli.completion import Bash, Fish, Zsh, rules
from injector.faces.cli.main import cli

BREAKS = " \t\n\"'@><=;|&(:"


def command() -> click.Command:
    """Return a command with the option that the rules are given by."""
    option = click.Option(["-e"], multiple=True, shell_complete=rules)
    return click.Command("inject", params=[option])


def zsh(rule: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the words that zsh is given for `inject -e RULE`."""
    monkeypatch.setenv("COMP_WORDS", f"inject -e {shlex.quote(rule)}")
    monkeypatch.setenv("COMP_CWORD", "2")
    return Zsh(command(), {}, "inject", "_INJECT_COMPLETE").complete().splitlines()[1::3]


@pytest.mark.parametrize(
    ("rule", "some", "none"),
    [
        ("opena", {"openat", "openat2"}, {"read"}),
        ("read,opena", {"read,openat"}, {"openat"}),
        ("%fil", {"%file"}, {"file"}),
        ("%file,!stat", {"%file,!statfs"}, {"%file,stat"}),
        ("err", {"error="}, {"errno"}),
        (
            "openat:",
            {"openat:error=", "openat:when=", "openat:probability=", "openat:path="}
            | {"openat:args.flags="},
            {"openat:args.count="},
        ),
        ("openat:er", {"openat:error="}, {"openat:when="}),
        ("openat:error=EIO:", {"openat:error=EIO:when="}, {"openat:error=EIO:error="}),
        ("openat:error=", {"openat:error=EMFILE"}, {"openat:error=EPIPE"}),
        ("openat:error=EPI", {"openat:error=EPIPE"}, {"openat:error=EMFILE"}),
        ("openat:error=emf", {"openat:error=EMFILE"}, set()),
        ("error=EMF", {"error=EMFILE"}, set()),
        ("read:error=EIO,ENOS", {"read:error=EIO,ENOSPC"}, {"read:error=ENOSPC"}),
        ("read:when=2:per=", {"read:when=2:per=process"}, set()),
        ("read:signal=SIGT", {"read:signal=SIGTERM"}, set()),
        ("inject=%fi", {"inject=%file"}, set()),
        ("inject=read:", {"inject=read:delay_enter="}, {"inject=read:probability="}),
        ("fault=read:error=EI", {"fault=read:error=EIO"}, set()),
        ("/^op:x/:wh", {"/^op:x/:when="}, set()),
    ],
)
def test_a_rule_goes_on(
    rule: str, some: set[str], none: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = set(zsh(rule, monkeypatch))
    assert some <= words
    assert not none & words
    assert all(word.startswith(rule[:3]) or word == "error=" for word in words)


@pytest.mark.parametrize(
    ("line", "last", "wanted"),
    [
        ("inject -e opena", "opena", "part,openat"),
        ("inject -e openat:er", "er", "part,error="),
        ("inject -e openat:", ":", "part,error="),
        ("inject -e openat:error=", "=", "part,EMFILE"),
        ("inject -e openat:error=EMF", "EMF", "part,EMFILE"),
        ("inject -e read:error=EIO@9,ENOS", "9,ENOS", "part,9,ENOSPC"),
        ("inject -e 'openat:er", "'openat:er", "part,openat:error="),
        ("inject -e ", "", "part,openat"),
    ],
)
def test_bash_is_given_what_it_replaces(
    line: str, last: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_WORD", last)
    monkeypatch.setenv("COMP_WORDBREAKS", BREAKS)
    assert wanted in Bash(command(), {}, "inject", "_INJECT_COMPLETE").complete().splitlines()


def test_bash_without_the_line_and_fish_take_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    monkeypatch.setenv("COMP_WORDS", "inject -e openat:er")
    monkeypatch.setenv("COMP_CWORD", "2")
    got = Bash(command(), {}, "inject", "_INJECT_COMPLETE").complete()
    assert got == "part,openat:error="
    monkeypatch.setenv("COMP_CWORD", "openat:er")
    got = Fish(command(), {}, "inject", "_INJECT_COMPLETE").complete()
    assert got.startswith("plain,openat:error=\t")


def test_the_bash_script_completes_in_bash(tmp_path: Path) -> None:
    fake = tmp_path / "inject"
    fake.write_text(
        '#!/bin/sh\n[ "$_INJECT_COMPLETE $COMP_LINE $COMP_WORD" = '
        '"bash_complete inject run -e openat:er er" ] && printf "part,error=\\nplain,*\\n"\n'
    )
    fake.chmod(0o755)
    script = Bash(cli, {}, "inject", "_INJECT_COMPLETE")
    printed = script.source_template % script.source_vars()
    test = (
        "compopt() { echo $*; }\nCOMP_LINE='inject run -e openat:er more' COMP_POINT=23\n"
        "COMP_WORDS=(inject run -e openat : er more) COMP_CWORD=5\n_inject_completion inject\n"
        'printf "<%s>" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", printed + test],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (done.stdout, done.stderr) == ("-o nospace\n<error=><*>", "")


def test_zsh_and_fish_get_scripts_that_know_parts_of_rules() -> None:
    assert 'string split -m 1 ","' in Fish.source_template
    assert "compadd -U -V unsorted -S '' -a parts" in Zsh.source_template
    assert 'parts+=("$key")' in Zsh.source_template
    assert "local -a completions parts\n" in Zsh.source_template


def test_an_unknown_command_is_no_error_while_a_shell_completes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMP_WORDS", "inject rnu -")
    monkeypatch.setenv("COMP_CWORD", "2")
    Zsh(cli, {}, "inject", "_INJECT_COMPLETE").complete()
