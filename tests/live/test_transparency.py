"""What a target can see of itself is the same with us and without us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .harness import INJECT, finish

UNDER = [*INJECT, "run", "-q", "-e", "getppid:error=EIO:probability=0", "--"]
ROOT = Path(__file__).parents[2]

# Run by -c in a process of its own: sets something up, then executes the rest of its words.
# SIGPIPE and SIGXFSZ as a shell leaves them: what Python found there nobody can tell later.
SET_UP = (
    "import os, resource, signal, sys\n"
    "for n in (13, 25): signal.signal(n, signal.SIG_DFL)\n"
    "{}\nos.execvp(sys.argv[1], sys.argv[1:])"
)


def both(
    command: Sequence[str], set_up: str = "pass", *, status: int = 0, **options: object
) -> tuple[str, str]:
    """Return the stdout of a command bare, and under inject, both started after `set_up`."""
    outs = []
    for words in (command, [*UNDER, *command]):
        done = subprocess.run(
            [sys.executable, "-c", SET_UP.format(set_up), *words],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=30,
            **options,  # type: ignore[call-overload]
        )
        assert done.returncode == status, done.stderr
        outs.append(done.stdout)
    return outs[0], outs[1]


SET_UPS = {
    "nothing": "pass",
    "ignored": "for n in (1, 2, 3, 14, 15, 17, 20, 22): signal.signal(n, signal.SIG_IGN)",
    "blocked": "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())",
    "umask": "os.umask(0o27)",
    "nice": "os.nice(5)",
    "oom": "open('/proc/self/oom_score_adj', 'w').write('500')",
    "group": "os.setpgid(0, 0)",
}


@pytest.mark.parametrize("set_up", SET_UPS.values(), ids=SET_UPS)
def test_proc_self_status(set_up: str) -> None:
    bare, under = (
        {
            line.partition(":")[0]: line
            for line in out.splitlines()
            # Numbers, filters and the memory of the moment are of one process only.
            if not line.startswith(
                ("Pid", "Tgid", "PPid", "Ngid", "NSpid", "NStgid", "NSpgid", "NSsid")
            )
            and not line.startswith(("Seccomp", "Speculation", "Vm", "Rss", "SigQ", "FDSize"))
            and not line.startswith(("voluntary", "nonvoluntary"))
        }
        for out in both(["cat", "/proc/self/status"], set_up)
    )
    restricted = os.geteuid() != 0
    if restricted:
        assert under.pop("NoNewPrivs") == "NoNewPrivs:\t1"
        bare.pop("NoNewPrivs")
    assert under == bare


@pytest.mark.parametrize("name", ["limits", "oom_score_adj", "personality", "cgroup"])
def test_other_facts_of_a_process(name: str) -> None:
    set_up = "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))"
    bare, under = both(["cat", f"/proc/self/{name}"], set_up)
    assert under == bare != ""


def test_group_session_and_directory(tmp_path: Path) -> None:
    code = "import os; print(os.getsid(0), os.getpgrp() == os.getsid(0), os.getcwd())"
    inner = f"{sys.executable} -c '{code}'"
    bare, under = both(["sh", "-c", inner], cwd=tmp_path)
    assert bare == under


@pytest.mark.parametrize("closed", ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-", "7</etc/passwd"])
def test_descriptors(closed: str, tmp_path: Path) -> None:
    result = tmp_path / "descriptors"
    look = (
        f"readlink /proc/self/fd/* | sed s/[0-9][0-9]*/N/ > {result}; ls /proc/self/fd >> {result}"
    )
    seen = []
    for words in (["sh", "-c", look], [*UNDER, "sh", "-c", look]):
        status, _, err = finish(["sh", "-c", f'"$@" {closed}', "sh", *words])
        assert status == 0, err
        seen.append(result.read_text())
    assert seen[0] == seen[1] != ""


def test_the_environment_is_handed_on_byte_by_byte() -> None:
    words = [b"A=1", b"B=\xff\xfe", b"EMPTY=", b"LONG=" + b"x" * 100_000]
    command = ["env", "-i", *words]
    bare = subprocess.run([*command, "env"], capture_output=True, timeout=30, check=True)
    under = subprocess.run(
        [*command, *UNDER, "env"], capture_output=True, timeout=30, check=True, cwd=ROOT
    )
    assert under.stdout == bare.stdout == b"\n".join(words) + b"\n"


def test_arguments_are_handed_on_byte_by_byte() -> None:
    words = [b"a\xff", b"", b"--", b"-e", b"x y", b"--", b"*"]
    command = ["printf", "<%s>", *words]
    under = subprocess.run([*UNDER, *command], capture_output=True, timeout=30, check=True)
    assert under.stdout == b"".join(b"<" + word + b">" for word in words)
    out = subprocess.run(
        [*UNDER, "sh", "-c", "cat /proc/$$/cmdline; exit"], capture_output=True, timeout=30
    )
    assert out.stdout.startswith(b"sh\0")


def test_every_exit_status() -> None:
    for status in (0, 1, 2, 3, 77, 124, 125, 126, 127, 128, 130, 254, 255):
        assert finish([*UNDER, "sh", "-c", f"exit {status}"])[0] == status


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 15, 24, 31, 32, 33, 34, 64])
def test_death_by_a_signal_is_repeated(number: int) -> None:
    # make(1), for one, ignores 32 and 33 and hands that on.
    command = ["sh", "-c", f"kill -{number} $$"]
    bare = finish(command)
    assert bare[0] == -number or number in (32, 33)
    assert finish([*UNDER, *command]) == bare


def test_a_script_without_an_interpreter_runs_as_env_runs_it(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0" "$@"\n')
    script.chmod(0o755)
    assert finish([*UNDER, str(script), "a b"]) == finish(["env", str(script), "a b"])
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert finish([*UNDER, "script", "x"], env=path) == (0, f"{script} x\n", "")


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "plain", "no-interpreter", "bad-interpreter"]
)
def test_what_cannot_be_executed_ends_as_under_env(kind: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    if kind == "folder":
        program.mkdir()
    elif kind != "missing":
        text = {"no-interpreter": "#!/no/such\n", "bad-interpreter": "#!/etc\n"}.get(kind, "")
        program.write_text(text)
        program.chmod(0o644 if kind == "plain" else 0o755)
    bare, _, _ = finish(["env", str(program)])
    status, out, err = finish([*UNDER, str(program)])
    assert (status, out) == (bare, "")
    assert err.startswith(f"inject: {program}: ")
    assert "Traceback" not in err


def test_a_reader_that_leaves_early() -> None:
    script = '"$@" yes | head -1; echo ${PIPESTATUS[0]}'
    assert finish(["bash", "-c", script, "sh", *UNDER])[:2] == (0, "y\n141\n")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
def test_what_we_say_cannot_be_said(where: str) -> None:
    words = [*INJECT, "run", "-e", "getppid:error=EIO", "--", "sh", "-c", "exit 7"]
    status, _, _ = finish(["bash", "-c", f'set -o pipefail; "$@" {where}', "sh", *words])
    assert status == 7


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && "$@"'
    env = {"PYTHONPATH": str(ROOT)}
    status, out, err = finish(["sh", "-c", script, str(gone), *UNDER, "echo", "on"], env=env)
    assert (status, out) == (0, "on\n"), err


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGINT])
def test_signals_ignored_by_whoever_starts_us(number: signal.Signals) -> None:
    set_up = f"signal.signal({int(number)}, signal.SIG_IGN)"
    both(["sh", "-c", "exit 5"], set_up, status=5)
