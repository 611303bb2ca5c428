"""What is imported from other tools runs, and does what it does there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .harness import INJECT, finish, inject


def imported(folder: Path, *words: str) -> str:
    """Import, have it checked, and return the path of the file."""
    status, text, err = finish([*INJECT, "import", *words])
    assert (status, err) == (0, "")
    file = folder / "imported.yaml"
    file.write_text(text)
    status, out, err = finish([*INJECT, "check", str(file)])
    assert (status, err) == (0, ""), text
    assert "\nok: " in out
    return str(file)


@pytest.mark.parametrize(
    "words",
    [
        ["-e", "inject=openat:error=EPERM"],
        ["-P", "/etc/passwd", "-e", "inject=%file:error=EACCES", "-e", "trace=openat"],
        ["-P", "/etc/passwd", "-e", "inject=read:error=EIO:when=1"],
        ["-P", "/etc/passwd", "-e", "inject=read:retval=0"],
    ],
)
def test_a_program_fails_as_under_strace(tmp_path: Path, words: list[str]) -> None:
    # Statically bound, so that strace does not hit a loader.
    source = tmp_path / "cat.c"
    source.write_text(
        "#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\n"
        "int main(int n, char **a) { char b[64]; int f = open(a[1], O_RDONLY); ssize_t got;\n"
        ' if (f < 0) { perror("open"); return 1; }\n'
        " while ((got = read(f, b, sizeof b)) > 0) write(1, b, got);\n"
        ' if (got < 0) { perror("read"); return 2; } return 0; }\n'
    )
    program = str(tmp_path / "cat")
    subprocess.run(["gcc", "-static", "-o", program, str(source)], check=True)
    command = [program, "/etc/passwd"]
    wanted = finish(["strace", "-f", "-o", "/dev/null", *words, *command])
    file = imported(tmp_path, "strace", "strace", "-f", *words, *command)
    run = inject(["-q", file], command)
    assert (run.status, run.out, run.err) == wanted
    assert run.injections
    assert finish(command)[1] != run.out


AGENTS = """
import ctypes, os
libc = ctypes.CDLL(None)
def agent(name):
    libc.prctl(15, name.encode(), 0, 0, 0)
    failed = 0
    for turn in range(400):
        try:
            os.stat("/etc/passwd")
        except OSError as error:
            failed += 1
    return f"{name} {failed}"
for name in ("core", "watchdog", "other"):
    if os.fork() == 0:
        said = agent(name)
        libc.prctl(15, b"done", 0, 0, 0)
        os.write(1, f"{said}\\n".encode())
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_passengers_processes_fail_as_often_as_was_said(tmp_path: Path) -> None:
    file = imported(tmp_path, "passenger", "core=EMFILE:0.1,ENFILE:0.2;watchdog=EIO:1")
    run = inject(["-q", "--seed", "3", file], [sys.executable, "-c", AGENTS])
    assert run.status == 0
    failed = {name: int(count) for name, count in map(str.split, run.out.splitlines())}
    assert failed["other"] == 0
    assert failed["watchdog"] == 400
    assert 80 < failed["core"] < 160  # 30 %: eight standard deviations lie outside
    faults = [one["fault"] for one in run.injections if one["process"] == "core"]
    assert 0 < faults.count("error EMFILE") < faults.count("error ENFILE")


def test_a_title_with_a_blank_is_a_process_too(tmp_path: Path) -> None:
    file = imported(tmp_path, "passenger", "PassengerAgent core=EIO:1")
    words = ["-c", 'exec -a "PassengerAgent core" cat /etc/passwd']
    run = inject(["-q", file], ["bash", *words])
    assert run.status == 1
    assert {one["fault"] for one in run.injections} == {"error EIO"}  # even of what it says
    assert inject(["-q", file], ["cat", "/etc/passwd"]).status == 0


def test_errors_are_told_with_what_to_do() -> None:
    status, out, err = finish([*INJECT, "import", "strace", "ls", "-l"])
    assert (status, out) == (125, "")
    assert "there is no fault in it" in err
    status, out, err = finish([*INJECT, "import", "passenger", " "])
    assert (status, out) == (125, "")
    status, out, err = finish([*INJECT, "import", "strace", "inject=wirte:error=EIO"])
    assert status == 125
    assert "did you mean 'write'" in err
