"""The README's examples, run as they stand there: what they print is what it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .harness import INJECT, finish

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
FILES = {text.split()[1]: text for kind, text in BLOCKS if kind == "yaml"}
SHOWN = [text for kind, text in BLOCKS if kind == "console"]


def still(text: str) -> str:
    """Take out what differs from run to run and machine to machine.

    That is the seconds, how many calls a rule saw, the loader's among them, and what an
    ordinary user is told beside.
    """
    text = re.sub(r"^inject: warning: without CAP_SYS_ADMIN .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\d+\.\d\d s$", "N s", text, flags=re.MULTILINE)
    return re.sub(r"^(  [a-z0-9-]+ +)\d+ ", r"\1N ", text, flags=re.MULTILINE)


@pytest.mark.parametrize("block", SHOWN, ids=range(len(SHOWN)))
def test_a_command_prints_what_is_shown(block: str, tmp_path: Path) -> None:
    first, _, expected = block.partition("\n")
    words = shlex.split(first.removeprefix("$ "))
    assert words[0] == "inject"
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a.conf").write_text("one\n")
    (tmp_path / "b.conf").write_text("two\n")
    # One stream, as on a terminal: the order is the programs' own.
    command = ["sh", "-c", 'exec "$@" 2>&1', "sh", *INJECT, *words[1:]]
    _, out, _ = finish(command, cwd=tmp_path, env={"LC_ALL": "C"})
    assert still(out) == still(expected)


@pytest.mark.parametrize("name", FILES)
def test_a_scenario_is_right(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    status, out, err = finish([*INJECT, "check", name], cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "warning" not in out


def test_every_scenario_it_names_is_shipped() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)` \|", README.read_text(), re.MULTILINE))
    assert named == {path.stem for path in (README.parent / "scenarios").glob("*.yaml")}
