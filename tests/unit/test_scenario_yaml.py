"""Scenario files as YAML: version 1.2, everything bounded, every fault of the text at its place."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from injector.rules.scenario.load import load_scenario, load_text
from injector.rules.scenario.scalars import resolve
from injector.rules.scenario.yaml_source import Value, parse
from injector.words.errors import InjectError, ScenarioError

RULE = "rules: [{syscalls: [openat], error: EMFILE}]\n"


def mistakes(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "s.yaml")
    return [(one.line, one.column, one.message) for one in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"), ("NO", "NO")),
        *(("true", True), ("False", False), ("null", None), ("~", None), ("", None)),
        *(("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("1_000", "1_000")),
        *(("1e-3", 0.001), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("0b1", "0b1")),
        *(("12:30:45", "12:30:45"), ("2001-12-14", "2001-12-14"), ("=", "="), ("<<", "<<")),
        *(("3+", "3+"), ("5%", "5%"), ("0..2", "0..2"), ("-.inf", float("-inf"))),
        ("1" * 400, "1" * 400),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Value) -> None:
    found = resolve(text)
    assert (found, type(found)) == (value, type(value))


def test_the_traps_of_yaml_1_1_in_a_scenario() -> None:
    scenario = load_text(
        "name: no\nabout: 12:30:45\nseed: 010\n"
        "rules: [{name: on, syscalls: read, error: EIO, probability: 1e-3}]"
    )
    assert (scenario.name, scenario.about, scenario.seed) == ("no", "12:30:45", 10)
    assert (scenario.rules[0].name, scenario.rules[0].probability) == ("on", 0.001)


def test_quoted_scalars_and_tags_are_texts() -> None:
    root = parse("a: '010'\nb: !!str 010\nc: \"true\"\nd: ! 5\ne: !!float 1\n", "s")
    assert root is not None
    assert root.data() == {"a": "010", "b": "010", "c": "true", "d": "5", "e": 1.0}


def test_schema_comment_and_key_are_accepted() -> None:
    assert load_text(f"# yaml-language-server: $schema=https://x/s.json\n{RULE}").rules
    assert load_text(f"$schema: https://x/s.json\n{RULE}").rules
    assert load_text('{"rules": [{"syscalls": "openat", "error": "EMFILE"}]}').rules


def test_anchors_and_aliases() -> None:
    scenario = load_text(
        "rules:\n- {name: a, syscalls: &calls [read, write], error: EIO}\n"
        "- {name: b, syscalls: *calls, delay: 1s}\n"
    )
    assert scenario.rules[0].match.syscalls == scenario.rules[1].match.syscalls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 1, "the scenario is empty")),
        ("# nothing\n", (1, 1, "the scenario is empty")),
        ("null", (1, 1, "the scenario is empty")),
        ("a: 1\nb: 2\na: 3\n", (3, 1, "'a' is given twice")),
        ("rules: [{error: EIO, error: EIO}]", (1, 22, "'error' is given twice")),
        ("a: &x [*x]", (1, 8, "*x contains itself")),
        ("a: *x", (1, 4, "no anchor &x for *x")),
        ("--- {}\n--- {}\n", (2, 1, "a second document")),
        ("? [a]\n: b\n", (1, 3, "a list cannot be a key")),
        ("[" * 50, (1, 21, "nested deeper than 20 levels")),
        ("{a: " * 50, (1, 81, "nested deeper than 20 levels")),
        ("a: !!python/object:os.system x", (1, 4, "unknown tag !!python/object:os.system")),
        ("a: !!int x", (1, 4, "'x' is no !!int")),
        ("a: !x y", (1, 4, "!x is a YAML tag here, which a scenario has no use for")),
        ("a: !!set {b}", (1, 4, "unknown tag tag:yaml.org,2002:set")),
        ("a: \x01", (1, 4, "not YAML: control character '\\x01'")),
    ],
)
def test_what_yaml_allows_and_scenarios_do_not(text: str, expected: tuple[int, int, str]) -> None:
    assert expected in mistakes(text)


@pytest.mark.parametrize(
    ("text", "line", "help"),
    [
        ("a: [b\nc: d", 2, ""),
        ("a: %file", 1, "quote it"),
        ("a: **/x", 1, "quote it"),
        ("a: >4096\n", 1, "quote it"),
        ("a:\n\t- b", 2, "indent with spaces"),
        ("a: b: c", 1, "quote a value that contains ': '"),
        ("a: 'b", 1, ""),
        ("a: `b`", 1, "quote it"),
    ],
)
def test_yaml_syntax(text: str, line: int, help: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(text)
    (mistake,) = caught.value.mistakes
    assert mistake.line == line
    assert mistake.column > 0
    assert mistake.message.startswith("not YAML: " if "**" not in text else "")
    assert help in mistake.help


def test_an_unquoted_exclusion_is_told_to_be_quoted() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text("rules: [{syscalls: ['%file', !close ], error: EIO}]")
    (mistake,) = caught.value.mistakes
    assert (mistake.column, mistake.help) == (30, 'quote it: "!close"')


def test_alias_bombs_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    start = time.monotonic()
    (mistake,) = mistakes("\n".join(lines))
    assert mistake[2] == "more than 100000 values once aliases are written out"
    assert time.monotonic() - start < 5


def test_a_tower_of_aliases_does_not_recurse() -> None:
    lines = ["a0: &a0 []", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000))]
    assert len(mistakes("\n".join(lines))) == 1


def failure(path: Path | str) -> InjectError:
    with pytest.raises(InjectError) as caught:
        load_scenario(str(path))
    assert caught.value.status == 125
    assert "\n" not in caught.value.message
    return caught.value


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"rules: []\n" * (1 << 20))
    start = time.monotonic()
    error = failure(path)
    assert time.monotonic() - start < 1
    assert error.message == f"{path} is no scenario: 10.0 MiB, at most 1 MiB is read"


def test_an_endless_file_is_refused() -> None:
    with open("/dev/zero", "rb") as zero:
        message = failure(f"/dev/fd/{zero.fileno()}").message
    assert message.endswith("is no scenario: more than 1 MiB, at most 1 MiB is read")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00", "a binary file"),
        (b"rules:\n- name: caf\xe9\n", "not UTF-8 text (byte 0xe9 in line 2)"),
        ("rules: []".encode("utf-16"), "a binary file"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    assert failure(path).message == f"{path} is no scenario: {message}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert failure(tmp_path).message == f"{tmp_path} is a directory, not a scenario file"
    folder = tmp_path / "x.yaml"
    folder.mkdir()
    assert failure(folder).message == f"{folder} is a directory, not a scenario file"
    missing = tmp_path / "none.yaml"
    assert failure(missing).message == f"{missing}: no such file"
    assert "cannot be read" in failure("/proc/self/mem").message
    locked = tmp_path / "locked.yaml"
    locked.write_text(RULE)
    locked.chmod(0)
    if os.geteuid() != 0:
        assert failure(locked).message == f"{locked} cannot be read: permission denied"


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RULE.replace("\n", "\r\n").encode())
    assert load_scenario(str(path)).name == "s"


def test_a_key_given_twice_hides_no_other_mistake() -> None:
    assert sorted(
        mistakes(
            "nmae: x\n"
            "rules:\n"
            "- {name: a, syscalls: wirte, error: EIO, error: ENOSPACE}\n"
            "- {syscalls: [!x read], errno: EIO}\n"
            "rules:\n"
            "- {syscalls: openat, eror: EIO}\n"
        )
    ) == [
        (1, 1, "unknown key 'nmae'; did you mean 'name'?"),
        (3, 23, "no system call 'wirte'; did you mean 'write'?"),
        (3, 42, "'error' is given twice"),
        (4, 15, "!x is a YAML tag here, which a scenario has no use for"),
        (4, 25, "unknown key 'errno'; did you mean 'error'?"),
        (5, 1, "'rules' is given twice"),
        (6, 22, "unknown key 'eror'; did you mean 'error'?"),
    ]


def test_both_values_of_a_key_given_twice_are_checked() -> None:
    assert mistakes("rules: [{syscalls: read, error: EIO, error: ENOSPACE}]") == [
        (1, 38, "'error' is given twice"),
        (1, 45, "error: no error 'ENOSPACE'; did you mean 'ENOSPC'?"),
    ]


def test_a_fifo_and_a_device_are_refused_without_being_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "s.yaml"
    os.mkfifo(fifo)
    for path, what in ((str(fifo), "a FIFO"), ("/dev/zero", "a device")):
        with pytest.raises(InjectError) as caught:
            load_scenario(path)
        assert caught.value.message == f"{path} is {what}, not a scenario file"


def test_a_pipe_that_is_open_already_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "injector", "check"]
    piped = subprocess.run(
        [*command, "/dev/stdin"], input=RULE, text=True, capture_output=True, timeout=60
    )
    assert (piped.returncode, piped.stderr) == (0, "")
    # Two writes with a process started between them: the reader waits for the second.
    shell = ["bash", "-c", '"$@" <(echo "name: x"; /bin/true; cat "$0")']
    scenario = tmp_path / "s.yaml"
    scenario.write_text(RULE)
    substituted = subprocess.run(
        [*shell, str(scenario), *command], text=True, capture_output=True, timeout=60
    )
    assert (substituted.returncode, substituted.stderr) == (0, "")
    assert substituted.stdout.startswith("x\n")
