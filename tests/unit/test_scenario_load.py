"""Scenarios by file or by name, the JSON Schema, and what is imported for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from injector.rules.scenario.fields import KEYS
from injector.rules.scenario.load import load_scenario, scenarios_dirs, shipped
from injector.rules.scenario.schema import json_schema
from injector.words.errors import InjectError, ScenarioError
from injector.words.syscalls import GROUPS, NEVER

RULES = "rules: [{syscalls: [openat], error: EMFILE}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fd-exhaustion.yaml").write_text(f"about: No descriptors are left.\n{RULES}")
    (tmp_path / "disk-full.yaml").write_text(f"name: other\n{RULES}")
    (tmp_path / "broken.yaml").write_text("rules: [")
    (tmp_path / "README.md").write_text("no scenario")
    return tmp_path


def test_by_name(folder: Path) -> None:
    scenario = load_scenario("fd-exhaustion", [folder])
    assert (scenario.name, scenario.about) == ("fd-exhaustion", "No descriptors are left.")
    assert scenario.source == str(folder / "fd-exhaustion.yaml")
    assert scenario.text.endswith(RULES)


def test_by_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_scenario(str(folder / "disk-full.yaml")).name == "other"
    monkeypatch.chdir(folder)
    assert load_scenario("disk-full.yaml", []).name == "other"
    Path("bare").write_text(RULES)
    assert load_scenario("bare", []).name == "bare"


def test_shipped(folder: Path) -> None:
    found = shipped([folder, folder / "none"])
    assert [(one.name, one.about) for one in found] == [
        ("broken", ""),
        ("disk-full", ""),
        ("fd-exhaustion", "No descriptors are left."),
    ]
    assert found[2].path == folder / "fd-exhaustion.yaml"


def test_every_shipped_scenario_is_right() -> None:
    for one in shipped():
        scenario = load_scenario(str(one.path))
        assert scenario.about, one.path
        assert scenario.name == one.name, one.path
    assert all(path.name == "scenarios" for path in scenarios_dirs())


def test_unknown_names(folder: Path) -> None:
    with pytest.raises(InjectError) as caught:
        load_scenario("fd-exhastion", [folder])
    assert caught.value.message == (
        "no scenario 'fd-exhastion': neither a file nor a shipped one; "
        "did you mean 'fd-exhaustion'?"
    )
    assert caught.value.help == "see inject list scenarios"
    for wrong in ("", "zzz", "a\0b", "x" * 5000):
        with pytest.raises(InjectError):
            load_scenario(wrong, [folder])
    with pytest.raises(ScenarioError) as broken:
        load_scenario("broken", [folder])
    assert str(broken.value).startswith(f"{folder / 'broken.yaml'}:2:1: not YAML: ")


def test_one_line_rules_need_neither_yaml_nor_pydantic() -> None:
    script = (
        "import sys, injector.rules.scenario.load, injector.rules.scenario.lint\n"
        "from injector.rules.scenario.oneline import parse_rules\n"
        "parse_rules(['openat:error=EMFILE', 'inject=read:error=EIO'])\n"
        "print(sorted({'yaml', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_schema_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {"$schema", "name", "about", "seed", "rules"}
    assert schema["required"] == ["rules"]
    rule = schema["$defs"]["Rule"]
    assert tuple(rule["properties"]) == KEYS
    assert rule["additionalProperties"] is False
    for key, one in rule["properties"].items():
        assert one["title"], key
        assert one["description"].endswith("."), key
        assert one["examples"], key
    assert '"default":' not in json.dumps(schema)


def test_the_schema_completes_calls_and_errors() -> None:
    text = json.dumps(json_schema())
    assert '"openat"' in text
    assert '"%write"' in text
    assert '"EMFILE"' in text
    assert not any(f'"{name}"' in text for name in NEVER)
    assert all(f'"%{name}"' in text for name in GROUPS)


def test_the_examples_of_the_schema_are_right(tmp_path: Path) -> None:
    fitting: dict[str, dict[str, object]] = {
        "syscalls": {"delay": "1s"},
        "site": {"delay": "1s"},
        "corrupt": {"syscalls": "read"},
        "short": {"syscalls": "read"},
        "args": {"syscalls": ["openat", "write", "mmap"], "delay": "1s"},
        "call": {"syscalls": "read", "error": "EIO"},
        "error": {},
    }
    for key, schema in json_schema()["$defs"]["Rule"]["properties"].items():
        for example in schema["examples"]:
            rest = fitting.get(key, {"syscalls": "openat", "delay": "1s"})
            path = tmp_path / "s.yaml"
            path.write_text(json.dumps({"rules": [{**rest, key: example}]}, ensure_ascii=False))
            assert load_scenario(str(path)).rules, (key, example)
