"""What is generated is what is committed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from injector.rules.scenario.schema import json_schema

ROOT = Path(__file__).parent.parent.parent


def test_the_manual_page_is_current() -> None:
    command = [sys.executable, ROOT / "tools/manpage.py", "--check"]
    subprocess.run(command, check=True, timeout=60, env={"PYTHONPATH": str(ROOT)})


def test_the_schema_that_editors_use_is_current() -> None:
    assert json.loads((ROOT / "scenarios/scenario.schema.json").read_text()) == json_schema()
