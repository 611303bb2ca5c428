"""The scripts that made the findings, run as they stand in the document."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from injector.rules.scenario.oneline import parse_rules

from .harness import finish

TEXT = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LINES = [words for block in BLOCKS for words in [shlex.split(block)] if words[0] == "inject"]


def test_the_scripts_of_redis_hold_without_faults(tmp_path: Path) -> None:
    scripts = {
        text.split()[1]: text for text in BLOCKS if text.startswith("# ") and "redis" in text
    }
    assert sorted(scripts) == ["serve:", "whole:"]
    env = {"INJECT_RUN": str(os.getpid() % 900)}
    for text in scripts.values():
        status, out, err = finish(["sh", "-c", text], cwd=tmp_path, env=env)
        assert status == 0, (out, err, (tmp_path / "log").read_text())
    assert (tmp_path / "acknowledged").read_text().split() == ["1", "2", "3", "4"]


def test_the_rules_are_rules() -> None:
    assert {words[1] for words in LINES} == {"run", "attach", "sweep"}
    for words in LINES:
        own = words[: words.index("--")] if "--" in words else words
        rules = [text for at, text in enumerate(own) if own[at - 1] == "-e"]
        assert len(parse_rules(rules)) == len(rules) > 0
