"""The line that makes a run again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from injector.campaigns.outcome import Verdict
from injector.campaigns.repeat import repeat_line

# Stands for inject: says its words, ends with status 3.
FAKE = 'inject() { while [ "$1" != -- ]; do shift; done; shift; "$@"; return 3; }; '


def done(line: str, folder: Path) -> str:
    shell = subprocess.run(
        ["sh", "-c", FAKE + line], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return shell.stdout


def test_a_rule_and_a_command_are_quoted() -> None:
    line = repeat_line(["touch", "a b"], ["write:error=EIO"], 1, verdict="crash", prints=False)
    assert line == "inject run -e write:error=EIO -- touch 'a b' </dev/null"


def test_what_is_printed_goes_to_a_file_and_overwrites_none(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    line = repeat_line(["echo", "x"], [], 1, verdict=Verdict.SILENT, prints=True)
    assert done(f'{line}; cat "$out"; rm "$out"', tmp_path) == "x\n"
    assert (tmp_path / "out").read_text() == "mine"


def test_the_command_reads_nothing(tmp_path: Path) -> None:
    line = repeat_line(["cat"], [], 1, verdict="crash", prints=False)
    assert done(f"echo input | {{ {line}; }}", tmp_path) == ""


@pytest.mark.parametrize("verdict", [Verdict.HANG, Verdict.STORM])
def test_what_does_not_end_is_ended(verdict: Verdict) -> None:
    line = repeat_line(["x"], [], 1, verdict=verdict, prints=False, limit=5.0)
    assert line.startswith("inject run --timeout 5s -- x")
    assert "--timeout" not in repeat_line(["x"], [], 1, verdict="crash", prints=False, limit=5.0)


def test_files_that_are_left_are_shown(tmp_path: Path) -> None:
    line = repeat_line(
        ["sh", "-c", 'echo said; echo >"$TMPDIR/left"'],
        [],
        1,
        verdict=Verdict.LEAK,
        fingerprint="leak temporary files at write-1",
        prints=True,
    )
    assert done(line, tmp_path) == "left\n"


def test_a_check_is_told_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "file").write_text("it is a copy\n")
    (tmp_path / "check.sh").write_text('echo "of run $INJECT_RUN: status $INJECT_STATUS"')
    line = repeat_line(
        ["sh", "-c", "cat file; echo complaint >&2; test -e made"],
        ["write:error=EIO"],
        7,
        verdict=Verdict.CHECK,
        prints=True,
        setup="touch made",
        check=f'test -n "$INJECT_RUN" && sh {tmp_path}/check.sh; cat "$INJECT_OUTPUT"/*; exit 1',
        workdir="template",
    )
    said = done(f"{line}; echo not left", tmp_path)
    assert said.splitlines() == [
        "of run 7: status 3",
        "complaint",
        "it is a copy",
        "not left",
    ]


def test_a_check_without_a_word_of_its_own_stays_short() -> None:
    line = repeat_line(["tar", "c"], [], 1, verdict=Verdict.CHECK, prints=False, check="tar t f")
    assert line == "inject run -- tar c </dev/null; INJECT_STATUS=$? sh -c 'tar t f'"


def test_shell_texts_stay_what_they_are(tmp_path: Path) -> None:
    line = repeat_line(
        ["sh", "-c", "cat 'it'"],
        [],
        1,
        verdict=Verdict.CHECK,
        prints=False,
        setup="echo made >it # with a word",
        check='echo "$INJECT_STATUS"; exit 7 # fails',
        teardown="rm it; true &",
    )
    assert done(f'{line}; echo "$?"; ls', tmp_path) == "made\n3\n7\n"
