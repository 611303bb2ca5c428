"""The shipped scenarios by name: each fires on a real program, and the program says so itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .harness import INJECT, Run, finish, inject
from .servers import accepts, free_port, serving

NAMES = (
    "disk-full",
    "dns-failure",
    "eintr-storm",
    "entropy-failure",
    "fd-exhaustion",
    "flaky-network",
    "fsync-failure",
    "io-errors",
    "out-of-memory",
    "permission-denied",
    "process-limit",
    "slow-disk",
)
SQL = "create table t(x); insert into t values(1); select sum(x) from t;"
SEEDS = 60


def first(
    name: str, command: Sequence[str], folder: Path, shows: Callable[[Run], bool]
) -> tuple[int, Run]:
    """Return the first seed whose run shows what is asked, and the run.

    How many calls a program makes depends on its version, so no one seed is right
    everywhere; on one machine the first that shows it is always the same.
    """
    for seed in range(SEEDS):
        here = folder / str(seed)
        here.mkdir()
        run = inject([name, "--seed", str(seed)], command, cwd=here, env={"LC_ALL": "C"})
        if run.injections and shows(run):
            return seed, run
    raise AssertionError(f"{name} showed nothing on {command[0]} with {SEEDS} seeds")


def errors(run: Run) -> set[str]:
    """Return the faults, in the journal's words."""
    return {one["fault"] for one in run.injections}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_checked_without_a_warning(name: str) -> None:
    status, out, err = finish([*INJECT, "check", name])
    assert (status, "warning" in out + err) == (0, False), out + err


def test_all_are_listed_with_what_goes_wrong() -> None:
    status, out, err = finish([*INJECT, "list", "scenarios"])
    assert (status, err) == (0, "")
    listed = [line.split(maxsplit=1) for line in out.splitlines()[1:]]
    assert [words[0] for words in listed] == list(NAMES)
    assert all(len(words) == 2 for words in listed), out


def test_a_full_disk_is_sqlites_full_database(tmp_path: Path) -> None:
    run = inject(["disk-full", "--seed", "7"], ["sqlite3", "a.db", SQL], cwd=tmp_path)
    assert run.status == 13
    assert "database or disk is full (13)" in run.err
    assert {one["syscall"] for one in run.injections} == {"pwrite64"}


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (["cp", "old", "new"], "no-space-for-files"),
        (["mktemp", "-p", "."], "no-space-for-files"),
        (["mkdir", "new"], "no-space-for-names"),
        (["mkfifo", "new"], "no-space-for-names"),
        (["ln", "-s", "old", "new"], "no-space-for-names"),
        (["mv", "old", "new"], "no-space-for-names"),
        (["dd", "if=old", "of=out", "conv=nocreat,notrunc"], "no-space-for-data"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_full_disk_takes_no_new_name_and_no_data(
    command: list[str], rule: str, tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("kept\n")
    (tmp_path / "out").write_text("kept\n")
    run = inject(["disk-full", "--seed", "7"], command, cwd=tmp_path, env={"LC_ALL": "C"})
    assert run.status == 1
    assert "No space left on device" in run.err
    assert {one["rule"] for one in run.injections} == {rule}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "out"]
    assert (tmp_path / "out").read_text() == "kept\n"


def test_a_full_disk_opens_what_is_there_and_truncates(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("kept\n")
    run = inject(["disk-full", "--seed", "7"], ["truncate", "-s", "100", "old"], cwd=tmp_path)
    assert (run.status, run.injections) == (0, [])


def test_a_full_disk_leaves_a_pipe_alone() -> None:
    run = inject(["disk-full", "--seed", "7"], ["seq", "3"])
    assert (run.status, run.out, run.injections) == (0, "1\n2\n3\n", [])


def test_descriptors_run_out_in_git_and_the_seed_repeats_it(tmp_path: Path) -> None:
    command = ["git", "init", "-q", "repository"]
    seed, run = first(
        "fd-exhaustion", command, tmp_path, lambda run: "Too many open files" in run.err
    )
    assert run.status == 128
    again = tmp_path / "again"
    again.mkdir()
    repeated = inject(
        ["fd-exhaustion", "--seed", str(seed)], command, cwd=again, env={"LC_ALL": "C"}
    )
    assert repeated.sites == run.sites


def test_sort_says_that_the_disk_fails(tmp_path: Path) -> None:
    command = ["sort", "-o", "out", "/etc/services"]
    _, run = first("io-errors", command, tmp_path, lambda run: "Input/output error" in run.err)
    assert run.status == 2
    assert all("EIO" in fault for fault in errors(run))


def test_gzip_is_slow_and_right(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a line\n" * 1000)
    run = inject(["slow-disk", "--seed", "7"], ["gzip", "-k", "text"], cwd=tmp_path)
    assert run.status == 0
    assert {"slow-read", "slow-write"} <= {one["rule"] for one in run.injections}
    unpacked = finish(["gzip", "-dc", "text.gz"], cwd=tmp_path)
    assert unpacked == (0, "a line\n" * 1000, "")


def test_curl_meets_a_bad_network(tmp_path: Path) -> None:
    port = free_port()
    web = tmp_path / "web"
    words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with serving(web, words, None, lambda: accepts(port)):
        command = ["curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{port}/"]
        _, refused = first("flaky-network", command, tmp_path, lambda run: run.status == 7)
        assert "connect-fails" in {one["rule"] for one in refused.injections}
        (tmp_path / "late").mkdir()
        _, late = first(
            "flaky-network",
            command,
            tmp_path / "late",
            lambda run: (
                run.status == 0 and {one["rule"] for one in run.injections} == {"peer-lags"}
            ),
        )
        assert "<html" in late.out


ASK = """
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    one.sendto(b"?", ("127.0.0.1", 53))
except OSError as error:
    print(error.strerror)
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    other.connect(("127.0.0.1", 53))
except OSError as error:
    print(error.strerror)
other.sendto(b"?", ("127.0.0.1", 54))
"""


def test_no_name_server_is_reached_and_other_ports_are() -> None:
    run = inject(["dns-failure", "--seed", "7"], [sys.executable, "-c", ASK])
    assert (run.status, len(run.out.splitlines())) == (0, 2), run.err
    assert set(run.out.splitlines()) <= {"Network is unreachable", "No route to host"}
    assert [one["syscall"] for one in run.injections] == ["sendto", "connect"]


ALLOCATE = """
import mmap
refused = 0
for _ in range(100):
    try:
        mmap.mmap(-1, 1 << 20).close()
    except OSError as error:
        refused += error.errno == 12
print(refused)
"""


def test_python_is_refused_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALLOCATE]
    _, run = first("out-of-memory", command, tmp_path, lambda run: run.status == 0)
    assert 0 < int(run.out) < 100
    assert len(run.injections) >= int(run.out)
    assert all("ENOMEM" in fault for fault in errors(run))


def test_cat_does_not_try_again_when_interrupted(tmp_path: Path) -> None:
    command = ["cat", "/etc/services"]
    _, run = first(
        "eintr-storm", command, tmp_path, lambda run: "Interrupted system call" in run.err
    )
    assert run.status == 1
    assert all("EINTR" in fault for fault in errors(run))


def test_tar_goes_on_without_what_it_may_not_read(tmp_path: Path) -> None:
    command = ["tar", "-cf", "a.tar", "-C", "/etc", "default"]
    _, run = first(
        "permission-denied", command, tmp_path, lambda run: "Cannot open: Permission" in run.err
    )
    assert run.status == 2


def test_a_shell_cannot_fork() -> None:
    run = inject(["process-limit", "--seed", "7"], ["dash", "-c", "/bin/true; echo on"])
    assert (run.status, run.out) == (2, "")
    assert "Cannot fork" in run.err
    assert [one["fault"] for one in run.injections] and "EAGAIN" in run.injections[0]["fault"]


def test_sqlite_says_that_a_flush_failed(tmp_path: Path) -> None:
    command = ["sqlite3", "a.db", SQL]
    _, run = first("fsync-failure", command, tmp_path, lambda run: run.status == 10)
    assert "disk I/O error (10)" in run.err
    assert {one["rule"] for one in run.injections} == {"flush-fails"}


def test_openssl_makes_no_key_without_entropy() -> None:
    run = inject(["entropy-failure", "--seed", "7"], ["openssl", "rand", "-hex", "8"])
    assert (run.status, run.out) == (1, "")
    assert "error retrieving entropy" in run.err
    assert {one["rule"] for one in run.injections} >= {"no-getrandom"}
