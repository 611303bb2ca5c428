"""A sweep finds the defect that is there, says what it is, and finds none where there is none."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from injector.campaigns.stacks import of_a_sanitizer

from .conftest import Victim
from .harness import INJECT, finish
from .sweeping import Swept, sweep


@pytest.fixture
def template(tmp_path: Path) -> str:
    """A folder with what the victims read."""
    folder = tmp_path / "template"
    folder.mkdir()
    for name, text in (("input", "hello\n"), ("a", "old\n"), ("b", "old\n")):
        (folder / name).write_text(text)
    return str(folder)


DEFECTS = {
    "silent": {
        ("silent", "write", fault)
        for fault in ("error=ENOSPC", "error=EIO", "short=1", "short=50%")
    },
    "crash": {("crash", "mmap", "error=ENOMEM")},
    "aborts": {("crash", "openat", "error=EACCES"), ("crash", "openat", "error=EMFILE")},
    "hang": {("hang", "read", "error=EINTR")},
    "storm": {("storm", "clone", "error=EAGAIN"), ("storm", "clone", "error=ENOMEM")},
    "descriptor": {("leak", "read", "error=EIO")},
    "temporary": {("leak", "write", "error=ENOSPC"), ("leak", "write", "error=EIO")},
}


def failed(swept: Swept) -> set[tuple[str, str, str]]:
    """Return verdict, syscall and fault of each run that showed a failure."""
    return {(run.verdict or "", run.syscall, run.fault) for run in swept.runs if run.fingerprint}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_known_defect_is_found(
    defect: str, victim: Victim, template: str, tmp_path: Path
) -> None:
    swept = sweep(tmp_path, ["--workdir", template, "--timeout", "4s"], [victim("defects"), defect])
    assert swept.status == 1, swept.err
    assert failed(swept) == DEFECTS[defect]
    (finding,) = swept.findings  # one defect, however many faults show it
    assert finding.verdict == next(iter(DEFECTS[defect]))[0]
    assert finding.flaky is False
    assert f" in {defect}" in finding.title or " in write_all" in finding.title
    assert all(run.state == "done" and run.fired for run in swept.runs)
    assert finding.command in swept.err
    assert "inject: next: inject report" in swept.err
    assert not swept.out


def test_a_careful_program_yields_nothing(victim: Victim, template: str, tmp_path: Path) -> None:
    command = [victim("defects"), "careful"]
    swept = sweep(tmp_path, ["--workdir", template, "--depth", "2"], command)
    assert (swept.status, failed(swept)) == (0, set()), swept.err
    assert {run.verdict for run in swept.runs} <= {"handled", "unaffected", "not reached"}
    assert any(run.mode == "second" for run in swept.runs)
    assert "nothing found" in swept.err


def test_the_second_fault_is_found_at_depth_two_alone(
    victim: Victim, template: str, tmp_path: Path
) -> None:
    command = [victim("defects"), "second"]
    first = sweep(tmp_path, ["--workdir", template], command, db="1.db")
    assert (first.status, failed(first)) == (0, set()), first.err
    swept = sweep(tmp_path, ["--workdir", template, "--depth", "2"], command, db="2.db")
    assert swept.status == 1
    assert failed(swept) == {("crash", "mmap", "error=ENOMEM")}
    (finding,) = swept.findings
    assert finding.command.count(" -e ") == 2
    (run,) = (run for run in swept.runs if run.key == finding.run)
    assert run.mode == "second" and run.site in {point.site for point in swept.points}


SANITIZED = """
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    char *text = malloc(8);
    int fd = open("input", O_RDONLY);
    if (fd < 0) free(text);
    close(fd);
    free(text);
    return 0;
}
"""


def test_a_sanitizer_reports_and_is_not_tried_itself(template: str, tmp_path: Path) -> None:
    (tmp_path / "twice.c").write_text(SANITIZED)
    program = str(tmp_path / "twice")
    assert finish(["gcc", "-g", "-fsanitize=address", f"{program}.c", "-o", program])[0] == 0
    arguments = ["--workdir", template, "--jobs", "1"]
    refused = sweep(tmp_path, arguments, [program])
    assert (refused.status, refused.runs) == (125, ())
    assert "its LeakSanitizer does not work while it is traced" in refused.err
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    swept = sweep(tmp_path, arguments, [program], env=env)
    assert swept.status == 1, swept.err
    assert not any(of_a_sanitizer(point.stack[0], "") for point in swept.points if point.stack)
    assert len(swept.points) < 10  # there are a hundred calls of the sanitizer
    assert failed(swept) == {("crash", "openat", f"error={name}") for name in ("EACCES", "EMFILE")}
    assert any(
        "in main: AddressSanitizer attempting double-free in main" in one.title
        for one in swept.findings
    )


def test_an_invariant_that_does_not_hold(victim: Victim, template: str, tmp_path: Path) -> None:
    command = [victim("defects"), "invariant"]
    swept = sweep(tmp_path, ["--workdir", template, "--check", "cmp a b"], command)
    assert swept.status == 1
    assert {finding.verdict for finding in swept.findings} == {"check"}
    assert {verdict for verdict, _, _ in failed(swept)} == {"check"}
    assert {"rename", "write", "openat", "fsync"} <= {name for _, name, _ in failed(swept)}
    assert "a b differ" in swept.findings[0].title


@pytest.mark.parametrize("defect", ["silent", "aborts"])
def test_the_line_of_a_finding_repeats_it(
    defect: str, victim: Victim, template: str, tmp_path: Path
) -> None:
    swept = sweep(tmp_path, ["--workdir", template], [victim("defects"), defect])
    (finding,) = swept.findings
    inject = tmp_path / "bin" / "inject"
    inject.parent.mkdir()
    inject.write_text(f'#!/bin/sh\nexec {" ".join(INJECT)} "$@"\n')
    inject.chmod(0o755)
    env = {"PATH": f"{inject.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    line = f'{finding.command}; code=$?; cd "$d"; wc -c output; exit $code'
    status, out, err = finish(["bash", "-c", line], env=env, cwd=tmp_path)
    assert err.count("rule-1 ") >= 1
    if defect == "silent":
        assert (status, out) == (0, "95 output\n"), err
    else:
        assert status == 134, err


def test_every_call_and_some_of_each_kind(victim: Victim, template: str, tmp_path: Path) -> None:
    command = [victim("defects"), "silent"]
    rules = ["--workdir", template, "-e", "write:error=EIO"]
    one = sweep(tmp_path, rules, command, db="1.db")
    assert [run.key for run in one.runs] == [
        "once 0/write#1 error=EIO",
        "persistent 0/write#1 error=EIO",
    ]
    some = sweep(tmp_path, [*rules, "--per-kind", "3"], command, db="3.db")
    assert [run.site for run in some.runs if run.mode == "once"] == [
        "0/write#1",
        "0/write#11",
        "0/write#20",
    ]
    every = sweep(tmp_path, [*rules, "--every"], command, db="all.db")
    assert len(every.runs) == 40 and len(every.points) == 20
    assert len({point.kind for point in every.points}) == 1
    assert [finding.runs for finding in every.findings] == [40]


def test_the_plain_loop_ends_by_itself(victim: Victim, template: str, tmp_path: Path) -> None:
    arguments = ["--workdir", template, "--mode", "nth", "-e", "write:error=EIO"]
    swept = sweep(tmp_path, arguments, [victim("defects"), "silent"])
    assert swept.status == 1
    by_mode: dict[bool, list[tuple[str, str | None]]] = {}
    for run in swept.runs:
        by_mode.setdefault(run.site.endswith("+"), []).append((run.site, run.verdict))
    for onward, mark in ((False, ""), (True, "+")):
        sites = [(f"write#{n}{mark}", "silent") for n in range(1, 21)]
        assert by_mode[onward] == [*sites, (f"write#21{mark}", "not reached")]


def test_what_differs_by_itself_is_not_compared(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo $$; exec cat /etc/hostname"]
    swept = sweep(tmp_path, ["-e", "openat:path=/etc/hostname:error=EACCES"], command)
    assert swept.status == 0, swept.err
    assert "differ from run to run" in swept.err and "stdout" in swept.err


def test_a_run_has_a_number_of_its_own(tmp_path: Path) -> None:
    command = ["sh", "-c", 'test $INJECT_RUN = {run} && mkdir seen-{run} && test -n "$TMPDIR"']
    swept = sweep(tmp_path, ["-e", "mkdir:error=ENOSPC", "--jobs", "3"], command)
    assert {run.verdict for run in swept.runs} == {"handled"}, swept.err
    # The two runs to compare with, and the recording.
    assert sorted(one.name for one in tmp_path.glob("seen-*")) == ["seen-1", "seen-2", "seen-3"]


def test_setup_and_teardown_stand_around_every_run(tmp_path: Path) -> None:
    arguments = ["--setup", "echo up >>log", "--teardown", "echo down >>log", "--jobs", "1"]
    swept = sweep(
        tmp_path,
        [*arguments, "-e", "openat:path=/etc/hostname:error=EIO"],
        ["cat", "/etc/hostname"],
    )
    assert swept.status == 0, swept.err
    runs = len(swept.runs) + 3
    assert (tmp_path / "log").read_text().splitlines() == ["up", "down"] * runs


def test_the_folder_of_a_finding_is_kept(victim: Victim, template: str, tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("inject-*"))
    arguments = ["--workdir", template, "--keep", "kept", "-e", "write:error=EIO"]
    swept = sweep(tmp_path, arguments, [victim("defects"), "silent"], env={"TMPDIR": str(tmp_path)})
    (kept,) = (tmp_path / "kept").iterdir()
    assert (kept / "work" / "output").stat().st_size == 95
    (run,) = (run for run in swept.runs if run.key == swept.findings[0].run)
    assert kept.name == f"run-{run.number}"
    assert not list(tmp_path.glob("inject-*"))
    assert set(Path("/tmp").glob("inject-*")) >= before


def test_what_is_kept_may_go_to_another_file_system(
    victim: Victim, template: str, tmp_path: Path
) -> None:
    os.mkfifo(f"{template}/pipe")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert os.stat(other).st_dev != os.stat(tmp_path).st_dev
        arguments = ["--workdir", template, "--keep", other, "-e", "write:error=EIO"]
        environment = {"TMPDIR": str(tmp_path)}
        sweep(tmp_path, arguments, [victim("defects"), "silent"], env=environment)
        (kept,) = Path(other).iterdir()
        assert (kept / "work" / "output").stat().st_size == 95
        assert stat.S_ISFIFO((kept / "work" / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("arguments", "command", "says"),
    [
        ([], ["sh", "-c", "kill -SEGV $$"], "sh is killed by SIGSEGV without any fault"),
        (["--timeout", "1s"], ["sleep", "60"], "did not end within 1 s without any fault"),
        (["--check", "echo no; false"], ["true"], "the check fails without any fault: no"),
        (["--setup", "exit 4"], ["true"], "setup ended with status 4"),
        (["--setup", "test $INJECT_RUN != 2"], ["true"], "setup ended with status 1"),
        ([], ["/no/such"], "/no/such"),
        (["--shard", "4/3"], ["true"], "'4/3' is no part"),
        (["--every", "--per-kind", "2"], ["true"], "cannot both be given"),
        ([], [], "there is no command to run"),
        (["-e", "write:error=ENOPE"], ["true"], "ENOPE"),
    ],
)
def test_refusals(arguments: list[str], command: list[str], says: str, tmp_path: Path) -> None:
    swept = sweep(tmp_path, arguments, command)
    assert swept.status in (125, 127)
    assert says in swept.err
    assert not (tmp_path / "test.db").exists()


def test_sqlite_loses_nothing(tmp_path: Path) -> None:
    template = tmp_path / "t"
    template.mkdir()
    sqlite = shutil.which("sqlite3") or "/usr/bin/sqlite3"
    made = "create table t (a unique, b); insert into t values (1, 'one'), (2, 'two');"
    assert finish([sqlite, str(template / "x.db"), made])[0] == 0
    swept = sweep(
        tmp_path,
        [
            "--workdir",
            str(template),
            "--check",
            'test "$(sqlite3 x.db "pragma integrity_check; select count(*) % 2 from t")" = "ok\n0"',
            "-e",
            "write,pwrite64,fsync,fdatasync,unlink:path=**/x.db*:error=EIO,ENOSPC",
        ],
        [
            sqlite,
            "-bail",
            "x.db",
            "insert into t values (3, 'a'), (4, 'b'); select count(*) from t",
        ],
    )
    assert len(swept.runs) >= 20
    assert {run.verdict for run in swept.runs} <= {"handled", "unaffected"}, swept.err
    assert swept.status == 0


def test_a_failure_that_does_not_come_again_is_flaky(tmp_path: Path) -> None:
    command = ["sh", "-c", "cat /etc/hostname || test -e seen || { touch seen; kill -SEGV $$; }"]
    rules = ["-e", "openat:path=/etc/hostname:error=EIO", "--jobs", "1"]
    swept = sweep(tmp_path, rules, command)
    assert [run.verdict for run in swept.runs] == ["crash", "handled"]
    (finding,) = swept.findings
    assert finding.flaky is True and finding.runs == 1
    assert "flaky" in swept.err
    assert swept.status == 1
