"""The examples in each command's help, pasted into a shell, work."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from injector.faces.cli.ctl import COLUMNS, ps
from injector.faces.cli.main import cli
from tests.unit.sweeps import database

from .harness import INJECT, finish


def commands(one: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Return a command and those below it, each with how it is called."""
    yield path, one
    if isinstance(one, click.Group):
        context = click.Context(one)
        for name in one.list_commands(context):
            below = one.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}")


HELPS = {path: one.epilog or "" for path, one in commands(cli, "inject")}
EXAMPLES = [
    (path, line.strip())
    for path, text in HELPS.items()
    for line in text.replace("\b", "").splitlines()
    if line.startswith("  ") and not line.lstrip().startswith("#")
]


def test_every_help_has_an_example_of_its_command() -> None:
    for path in HELPS:
        assert any(path in line for name, line in EXAMPLES if name == path), path


def test_the_help_of_ps_names_every_column() -> None:
    assert [one for one in COLUMNS if one not in (ps.help or "")] == []


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_works_when_pasted(path: str, line: str, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin" / "inject"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(INJECT)} "$@"\n')
    wrapper.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    if path == "inject report":
        database(home / "sweep.db")
    env = {
        "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),  # no other session of this user's is to be seen
    }
    if "zsh" in line or "|" in line:  # the reader's own programs need not be here
        line = (
            line.partition("|")[0].partition('"$(')[2].partition(")")[0] or line.partition("|")[0]
        )
    status, out, err = finish(["bash", "-c", f"{line}\n"], env=env, cwd=home)
    assert status not in (125, 126, 127), err
    assert "Traceback" not in err and "Usage" not in err
    if path == "inject completion" and line.startswith("eval"):
        asked = f"{line}\ncomplete -p"
        assert finish(["bash", "--norc", "-c", asked], env=env, cwd=home) == (
            0,
            "complete -o nosort -F _inject_completion inject\n",
            "",
        )
    assert (
        out
        or "inject run" in line
        or "inject attach" in line
        or "inject sweep" in line
        or "inject ps" in line
        or ">" in line
        or line.startswith("eval")
    )
