"""What is generated is what is committed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from injector.faces.cli.main import COMMANDS
from injector.rules.scenario.fields import KEYS
from injector.rules.scenario.oneline import parse_rule
from injector.rules.scenario.schema import json_schema

ROOT = Path(__file__).parent.parent.parent


def test_the_manual_page_is_current() -> None:
    command = [sys.executable, ROOT / "tools/manpage.py", "--check"]
    subprocess.run(command, check=True, timeout=60, env={"PYTHONPATH": str(ROOT)})


def test_the_manual_page_has_words_of_ours_for_what_an_option_takes() -> None:
    page = (ROOT / "docs/inject.1").read_text()
    assert [word for word in ("INTEGER", "FLOAT", "RANGE") if word in page] == []


def test_the_manual_page_has_every_command_and_the_grammar_of_rules() -> None:
    page = (ROOT / "docs/inject.1").read_text().replace("\\-", "-").replace("\\e", "\\")
    synopsis = page.split(".SH SYNOPSIS")[1].split(".SH ")[0]
    for name in [
        *COMMANDS.keys() - {"list", "import"},
        "import strace",
        "list syscalls",
        "list errnos",
        "list groups",
    ]:
        assert f"\n.B inject {name}\n" in synopsis
    grammar = page.split(".SH RULES")[1].split(".SH ")[0]
    for key in KEYS:
        assert f"\n.B {key}=\n" in grammar or key in ("syscalls", "args")
    examples = grammar.split("Examples:\n")[1].split(".fi")[0].split()
    assert len(examples) > 3
    for example in examples:
        assert parse_rule(example)


def test_the_schema_that_editors_use_is_current() -> None:
    assert json.loads((ROOT / "scenarios/scenario.schema.json").read_text()) == json_schema()
