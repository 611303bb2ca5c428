"""The line that makes a run again."""

from __future__ import annotations

import subprocess
from pathlib import Path

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
    line = repeat_line(["echo", "a b"], ["write:error=EIO"], 1, verdict="crash", prints=True)
    assert line == "inject run -e write:error=EIO -- echo 'a b' >/dev/null"


def test_a_silent_loss_is_kept_to_be_looked_at(tmp_path: Path) -> None:
    done(repeat_line(["echo", "x"], [], 1, verdict=Verdict.SILENT, prints=True), tmp_path)
    assert (tmp_path / "out").read_text() == "x\n"


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
    assert line == "inject run -- tar c; export INJECT_STATUS=$?; (tar t f)"
