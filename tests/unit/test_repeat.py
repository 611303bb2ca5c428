"""The line that makes a run again."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from injector.campaigns.outcome import Verdict
from injector.campaigns.repeat import repeat_line
from injector.rules.scenario.values import duration

# Stands for inject: runs the command, ends with status 3, or as the command if it is killed.
FAKE = """#!/bin/sh
while [ "$1" != -- ]; do shift; done; shift; "$@"; s=$?
if [ $s -gt 128 ]; then exit $s; else exit 3; fi
"""


def done(line: str, folder: Path, shell: str = "sh") -> str:
    """Return what a line prints in a shell, in a folder of which it leaves nothing but itself."""
    with tempfile.TemporaryDirectory() as place:
        inject = Path(place, "inject")
        inject.write_text(FAKE)
        inject.chmod(0o755)
        ended = subprocess.run(
            [shell, "-c", line],
            cwd=folder,
            env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "TMPDIR": place},
            capture_output=True,
            text=True,
            timeout=60,
        )
    return ended.stdout


def test_a_rule_and_a_command_are_quoted() -> None:
    line = repeat_line(["touch", "a b"], ["write:error=EIO"], 1, verdict="crash", prints=False)
    assert line == "INJECT_RUN=1 inject run -e write:error=EIO -- touch 'a b' </dev/null"


def test_what_is_printed_goes_to_a_file_and_overwrites_none(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    line = repeat_line(["echo", "x"], [], 1, verdict=Verdict.SILENT, prints=True)
    assert done(f'{line}; cat "$out"; rm "$out"', tmp_path) == "x\n"
    assert (tmp_path / "out").read_text() == "mine"


def test_the_command_reads_nothing(tmp_path: Path) -> None:
    line = repeat_line(["cat"], [], 1, verdict="crash", prints=False)
    assert done(f"echo input | {{ {line}; }}", tmp_path) == ""


@pytest.mark.parametrize("verdict", [Verdict.HANG, Verdict.STORM])
@pytest.mark.parametrize(
    ("limit", "told"), [(5.0, "5s"), (10800.0, "10800s"), (53.237461, "53.2s")]
)
def test_what_does_not_end_is_ended(verdict: Verdict, limit: float, told: str) -> None:
    line = repeat_line(["x"], [], 1, verdict=verdict, prints=False, limit=limit)
    assert f" inject run --timeout {told} -- x" in line
    assert duration(told)
    assert "--timeout" not in repeat_line(["x"], [], 1, verdict="crash", prints=False, limit=limit)


@pytest.mark.parametrize("workdir", [None, "template"])
def test_files_that_are_left_are_shown(tmp_path: Path, workdir: str | None) -> None:
    (tmp_path / "template").mkdir()
    line = repeat_line(
        ["sh", "-c", 'echo said; echo >"$TMPDIR/left"; touch beside'],
        [],
        1,
        verdict=Verdict.LEAK,
        fingerprint="leak temporary files at write-1",
        prints=True,
        workdir=workdir,
    )
    said = done(line, tmp_path).splitlines()
    assert "left" in said
    assert ("beside" in said) == (workdir is not None)
    assert "said" not in said


def test_nothing_is_run_or_removed_where_the_template_is_gone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    line = repeat_line(
        ["touch", "ran"],
        ["write:error=EIO"],
        7,
        verdict=Verdict.CHECK,
        prints=True,
        setup="touch set-up",
        check="touch checked",
        teardown="rm -rf data",
        workdir="template",
    )
    assert done(f"{line}; echo $?", tmp_path) == "1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["data"]


def test_a_shell_stays_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "template").mkdir()
    line = repeat_line(
        ["echo", "x"],
        [],
        7,
        verdict=Verdict.CHECK,
        prints=True,
        check='echo "$INJECT_OUTPUT" >/dev/null',
        teardown="true",
        workdir="template",
    )
    assert done(f"env >before; {line}; env >after; diff before after; pwd", tmp_path) == (
        f"{tmp_path}\n"
    )


@pytest.mark.parametrize("setup", ["true", "false"])
def test_a_setup_that_fails_is_undone_and_nothing_is_run(tmp_path: Path, setup: str) -> None:
    line = repeat_line(
        ["echo", "ran"],
        [],
        7,
        verdict=Verdict.CHECK,
        prints=False,
        setup=setup,
        check="echo checked",
        teardown="echo undone",
    )
    ran = "ran\nchecked\n" if setup == "true" else ""
    assert done(line, tmp_path) == f"{ran}undone\n"


def test_a_script_knows_the_number_of_the_run(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo run $INJECT_RUN")
    line = repeat_line(["sh", str(script)], [], 7, verdict="crash", prints=False)
    assert done(line, tmp_path) == "run 7\n"
    checked = repeat_line(
        ["true"], [], 7, verdict=Verdict.CHECK, prints=False, check=f"sh {script}"
    )
    assert done(checked, tmp_path) == "run 7\n"


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(("killed", "status"), [("kill -PIPE $$", "SIGPIPE"), ("exit 0", "3")])
def test_a_check_is_told_the_signal_by_its_name(
    tmp_path: Path, shell: str, killed: str, status: str
) -> None:
    (tmp_path / "check").write_text('echo "$INJECT_STATUS"')
    line = repeat_line(
        ["sh", "-c", killed],
        [],
        7,
        verdict=Verdict.CHECK,
        signal="SIGPIPE",
        prints=False,
        check="sh ./check",
    )
    assert done(line, tmp_path, shell) == f"{status}\n"


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
    assert line == (
        "(export INJECT_RUN=1 && "
        "{ inject run -- tar c </dev/null; INJECT_STATUS=$? sh -c 'tar t f'; })"
    )


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
