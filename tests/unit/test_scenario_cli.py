"""`inject check`, `inject list` and `inject schema` as commands."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from injector.faces.cli.check import check, schema
from injector.faces.cli.lists import list_
from injector.words.errors import InjectError, ScenarioError
from injector.words.syscalls import native

COMMANDS: dict[str, click.Command] = {"check": check, "list": list_, "schema": schema}


def inject(*args: str) -> Result:
    return CliRunner().invoke(click.Group(commands=COMMANDS), args)


def output(*args: str) -> str:
    result = inject(*args)
    assert result.exception is None, result.exception
    assert result.exit_code == 0
    return result.output


def refused(*args: str) -> InjectError:
    error = inject(*args).exception
    assert isinstance(error, InjectError)
    assert error.status == 125
    return error


def test_check_explains_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: x\nabout: All is lost.\nrules:\n"
        "- {name: a, syscalls: write, error: ENOSPC}\n- {name: b, syscalls: write, delay: 1s}\n"
    )
    assert output("check", str(path)) == (
        "x: All is lost.\n"
        "  a: every write fails with ENOSPC (No space left on device)\n"
        "    -e 'write:error=ENOSPC:name=a'\n"
        "  b: every write is delayed by 1s\n"
        "    -e 'write:delay=1s:name=b'\n"
        f"warning: {path}:5:3: b: rule 'a' before it takes every call, so this one never fires\n"
        "ok: 2 rules, 1 warning\n"
    )


def test_check_takes_rules_and_strace_expressions() -> None:
    text = output("check", "-e", "inject=read,write:error=EIO", "-e", "write:delay=1s")
    assert text.endswith("ok: 3 rules, 1 warning\n")
    assert "write: every write fails with EIO" in text


def test_check_tells_a_class_of_calls_once() -> None:
    lines = output("check", "-e", "inject=%file:error=EIO:when=2").splitlines()
    assert re.fullmatch(
        r"  inject=%file:error=EIO:when=2: \d+ rules, one for each call: the 2nd call of each task "
        r"fails with EIO \(Input/output error\)",
        lines[0],
    )
    assert re.search(r"\bopenat\b", "\n".join(lines[1:-1]))
    assert len(lines) < 15


def test_check_refuses_mistakes_and_nothing(tmp_path: Path) -> None:
    assert isinstance(refused("check", "-e", "wirte:error=EIO"), ScenarioError)
    assert refused("check").message == "there is nothing to inject: no scenario and no rule"
    assert refused("check", str(tmp_path)).message.endswith("is a directory, not a scenario file")


@pytest.mark.parametrize("calls", ["none", "!all", "?no_such_call", "?%no_such_class"])
def test_an_expression_that_means_no_call_is_no_mistake(calls: str) -> None:
    assert output("check", "-e", f"inject={calls}:error=EIO") == (
        "warning: -e: no system call is meant, so nothing is injected\nok: 0 rules, 1 warning\n"
    )


def test_list_scenarios() -> None:
    result = inject("list", "scenarios", "--json")
    for one in json.loads(result.output):
        assert set(one) == {"name", "about", "path"}


def test_list_syscalls() -> None:
    number = native().numbers["openat"]
    lines = output("list", "syscalls").splitlines()
    assert re.fullmatch(r" *NR  NAME +PARAMETERS", lines[0])
    assert any(re.fullmatch(rf" *{number}  openat +dirfd, pathname, flags, mode", s) for s in lines)
    assert len({line.index(line.split()[1]) for line in lines[1:]}) == 1
    one = output("list", "syscalls", "openat")
    assert one.startswith(f"openat(dirfd, pathname, flags, mode)  number {number}\n    errors: ")
    assert "ENOSPC" in one
    assert output("list", "syscalls", "*openat").startswith("openat(")
    assert "must never fail" in output("list", "syscalls", "exit_group")
    assert output("list", "syscalls", "%accept").count("\naccept4(") == 1
    assert "fsync(" in output("list", "syscalls", "fsy")
    (found,) = json.loads(output("list", "syscalls", "openat", "--json"))
    assert (found["name"], found["number"]) == ("openat", number)
    assert found["parameters"][0] == {"name": "dirfd", "kind": "dirfd", "type": "int"}
    assert "ENOSPC" in found["errnos"]
    assert "%open" in found["groups"]


def test_list_errnos() -> None:
    assert "28  ENOSPC" in output("list", "errnos")
    one = output("list", "errnos", "enospc")
    assert one.splitlines()[1] == "28  ENOSPC  No space left on device"
    assert "write" in one.splitlines()[2]
    assert "28  ENOSPC" in output("list", "errnos", "28")
    assert "EMFILE" in output("list", "errnos", "E*FILE")
    (found,) = json.loads(output("list", "errnos", "ENOSPC", "--json"))
    assert (found["number"], "write" in found["syscalls"]) == (28, True)


def test_list_groups() -> None:
    assert re.search(r"^%accept +2  accept accept4$", output("list", "groups"), re.MULTILINE)
    assert output("list", "groups", "%accept") == "%accept: accept accept4\n"
    assert {"name": "%accept", "syscalls": ["accept", "accept4"]} in json.loads(
        output("list", "groups", "--json")
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("syscalls", "opeat"), "no system call 'opeat'; did you mean 'openat'?"),
        (("syscalls", "%opne"), "no group '%opne'; did you mean '%open'?"),
        (("errnos", "ENOSP"), "no error 'ENOSP'; did you mean 'ENOSPC'?"),
        (("groups", "acept"), "no group 'acept'; did you mean 'accept'?"),
    ],
)
def test_lists_refuse_unknown_words(args: tuple[str, ...], message: str) -> None:
    assert refused("list", *args).message == message


def test_schema_is_json() -> None:
    assert json.loads(output("schema"))["title"] == "Scenario of inject"


def commands(group: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not isinstance(group, click.Group):
        return [path]
    below = [commands(one, (*path, name)) for name, one in group.commands.items()]
    return [path, *(one for many in below for one in many)]


@pytest.mark.parametrize(
    "path",
    [one for name, command in COMMANDS.items() for one in commands(command, (name,))],
    ids=" ".join,
)
def test_every_help_ends_with_examples_that_work(path: tuple[str, ...]) -> None:
    text = output(*path, "--help")
    examples = re.findall(r"^    inject (.*)$", text, re.MULTILINE)
    assert examples
    assert text.rstrip().splitlines()[-1].startswith("    ")
    for example in examples:
        args = shlex.split(example.partition(" > ")[0])
        if args[:2] != ["list", "scenarios"]:
            output(*args)
