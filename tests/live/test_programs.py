"""Commands of Debian, unmodified: the same as without us, and their own words for each fault."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from .conftest import Victim
from .harness import inject
from .servers import both

THREADS = """
import queue, threading
jobs, done = queue.Queue(), []
def work():
    while (job := jobs.get()) is not None:
        with open(f"out-{job}", "w") as file:
            file.write("x" * job)
        with open(f"out-{job}") as file:
            done.append(len(file.read()))
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for job in range(60): jobs.put(job)
for _ in threads: jobs.put(None)
for thread in threads: thread.join()
print(sum(done), len(done))
"""
ASYNCIO = """
import asyncio, sys
async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
async def client(port, name):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = 0
    for turn in range(20):
        writer.write(f"{name} {turn}\\n".encode())
        got += await reader.readline() == f"{name} {turn}\\n".upper().encode()
    writer.close()
    return got
async def child(number):
    script = f"echo $(({number} * 2)); exit {number}"
    made = await asyncio.create_subprocess_shell(script, stdout=asyncio.subprocess.PIPE)
    out, _ = await made.communicate()
    return int(out), made.returncode
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(await asyncio.gather(*(client(port, f"c{n}") for n in range(5))))
    print(await asyncio.gather(*(child(n) for n in range(4))))
    loop = asyncio.get_running_loop()
    print(await asyncio.gather(*(loop.run_in_executor(None, pow, 2, n) for n in range(5))))
    server.close()
asyncio.run(main())
"""
SQL = (
    "pragma journal_mode = wal; create table t (a integer primary key, b text);"
    "with recursive n (i) as (select 1 union all select i + 1 from n where i < 500) "
    "insert into t select i, printf('%0500d', i) from n;"
    "delete from t where a % 3 = 0; pragma journal_mode = delete; vacuum;"
    "select count(*), sum(a), max(b) from t; pragma integrity_check; select * from missing;"
)
GIT = """
set -e
export GIT_AUTHOR_DATE='@1700000000 +0000' GIT_COMMITTER_DATE='@1700000000 +0000'
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main repository
cp -r text repository/
cd repository
git add .
git commit -m first
echo more >> text/1.txt
git commit -qam second
git log --stat
git ls-files -s
git gc -q
git fsck --strict
git diff --exit-code HEAD~
"""


def texts(here: Path) -> None:
    """Put some files to work on into a folder."""
    (here / "text").mkdir()
    for number in range(40):
        (here / "text" / f"{number}.txt").write_text(f"line {number}\n" * (number + 1))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_sqlite_is_the_same(tmp_path: Path) -> None:
    run = both(tmp_path, ["sqlite3", "a.db", SQL])
    assert "334|83667|" in run.out and "\nok\n" in run.out
    assert run.status == 1 and "no such table: missing" in run.err


def test_git_is_the_same(tmp_path: Path) -> None:
    # The index keeps times and inodes; `git ls-files -s` shows what it says.
    without = [f"repository/.git/{name}" for name in ("index", "logs")]
    run = both(tmp_path, ["sh", "-c", GIT], texts, without=without)
    assert run.status == 1  # git diff's: there is a difference
    assert "40 files changed" in run.out and "+more" in run.out
    assert len(run.of("task_start")) == len(run.of("task_end")) > 10


def test_rclone_of_go_is_the_same(tmp_path: Path) -> None:
    command = "rclone copy --transfers 4 text copy && rclone lsf -R --hash SHA1 --format phs copy"

    def prepare(here: Path) -> None:
        texts(here)
        (here / "rclone.conf").touch()

    run = both(tmp_path, ["env", "RCLONE_CONFIG=rclone.conf", "sh", "-c", command], prepare)
    assert run.status == 0 and len(run.out.splitlines()) == 40
    assert len(run.of("task_start")) > 4


def test_ripgrep_of_rust_is_the_same(tmp_path: Path) -> None:
    run = both(tmp_path, ["rg", "-j", "4", "-n", "line .?7", "text"], texts, ordered=False)
    assert run.status == 0 and len(run.out.splitlines()) == 8 + 18 + 28 + 38
    assert len(run.of("task_start")) > 2


@pytest.mark.parametrize("code", [THREADS, ASYNCIO], ids=["threads", "asyncio"])
def test_python_is_the_same(tmp_path: Path, code: str) -> None:
    run = both(tmp_path, python(code))
    assert (run.status, run.err) == (0, "")
    assert run.out in (
        "1770 60\n",
        "[20, 20, 20, 20, 20]\n[(0, 0), (2, 1), (4, 2), (6, 3)]\n[1, 2, 4, 8, 16]\n",
    )


def test_a_static_program_is_the_same(tmp_path: Path, victim: Victim) -> None:
    run = both(tmp_path, [victim("copy", "-static"), "text/39.txt", "copy"], texts)
    size = (tmp_path / "here" / "text" / "39.txt").stat().st_size
    assert (run.status, run.out) == (0, f"{size} bytes\n")


def repository(here: Path) -> None:
    """Make a git repository with one commit and one change that is not added."""
    texts(here)
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"),
    ):
        subprocess.run(["git", *words], cwd=here, env={**os.environ, "HOME": str(here)}, check=True)
    (here / "text" / "1.txt").write_text("changed\n")


RCLONE = ["rclone", "--config", "/dev/null", "--retries", "1", "copy", "text", "copy"]
THREAD = "import threading; threading.Thread(target=print).start()"
STREAM = (
    "import asyncio\n"
    "async def main(): await asyncio.open_connection('127.0.0.1', 9)\n"
    "asyncio.run(main())"
)
NO_SPACE = "No space left on device"


@pytest.mark.parametrize(
    ("rule", "command", "status", "message", "path"),
    [
        (
            "pwrite64:error=ENOSPC",
            ["sqlite3", "a.db", "create table t (a)"],
            13,
            "database or disk is full (13)",
            "a.db*",
        ),
        (
            "fsync,fdatasync:error=EIO",
            ["sqlite3", "a.db", "create table t (a)"],
            10,
            "disk I/O error (10)",
            "a.db*",
        ),
        (
            "openat:path=a.db:error=EACCES",
            ["sqlite3", "a.db", "create table t (a)"],
            1,
            'unable to open database "a.db"',
            "a.db",
        ),
        (
            "openat:path=**/index.lock:error=ENOSPC",
            ["git", "add", "."],
            128,
            f".git/index.lock': {NO_SPACE}",
            ".git/index.lock",
        ),
        (
            "write:path=**/.git/objects/**:error=ENOSPC",
            ["git", "add", "."],
            128,
            f"fatal: unable to write loose object file: {NO_SPACE}",
            ".git/objects/??/tmp_obj_*",
        ),
        (
            "openat:path=**/.git/objects/??/**:error=EIO",
            ["git", "fsck"],
            128,
            "Input/output error",
            ".git/objects/??/*",
        ),
        (
            "write:path=**/copy/**:error=ENOSPC",
            RCLONE,
            1,
            "7.txt: no space left on device",
            "copy/*.txt",
        ),
        (
            "openat:path=7.txt:error=EACCES",
            ["rg", "-j", "4", "line", "text"],
            2,
            "text/7.txt: Permission denied (os error 13)",
            "text/7.txt",
        ),
        (
            "write:fd=file:error=ENOSPC",
            python("with open('a', 'w') as a: a.write('b')"),
            1,
            f"OSError: [Errno 28] {NO_SPACE}",
            "a",
        ),
        (
            "clone,clone3:error=EAGAIN",
            python(THREAD),
            1,
            "RuntimeError: can't start new thread",
            "",
        ),
        (
            "socket:error=EMFILE",
            python(STREAM),
            1,
            "OSError: [Errno 24] Too many open files",
            "",
        ),
        (
            "socket:args.domain=AF_INET:error=ENOBUFS",
            ["curl", "-sS", "http://127.0.0.1:9/"],
            7,
            "Failed to connect to 127.0.0.1 port 9",
            "",
        ),
    ],
    ids=lambda value: str(value).partition(":")[0] if ":error=" in str(value) else "",
)
def test_a_fault_is_the_programs_own_error(
    tmp_path: Path, rule: str, command: list[str], status: int, message: str, path: str
) -> None:
    repository(tmp_path)
    env = {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    run = inject(["-q", "-e", rule], command, env=env, cwd=tmp_path)
    assert run.status == status
    assert message in run.err + run.out
    assert run.injections
    error = rule.rpartition("=")[2]
    for one in run.injections:
        assert one["syscall"] in rule.partition(":")[0].split(",")
        assert one["fault"] == f"error {error}"
        assert one["process"] == Path(command[0]).name[:15]
        assert fnmatch(one["path"], f"{tmp_path}/{path}" if path else "")


@pytest.mark.parametrize(
    ("call", "when", "said"),
    [
        ("open", 1, "open text/39.txt: Too many open files"),
        ("open", 2, "create copied: Too many open files"),
        ("read", 1, "read text/39.txt: Input/output error"),
        ("write", 1, "write copied: No space left on device"),
    ],
)
@pytest.mark.parametrize("flags", [("-static",), ()], ids=["static", "dynamic"])
def test_a_copy_says_which_call_failed(
    tmp_path: Path, victim: Victim, flags: tuple[str, ...], call: str, when: int, said: str
) -> None:
    texts(tmp_path)
    error = {"open": "EMFILE", "read": "EIO", "write": "ENOSPC"}[call]
    calls = "open,openat" if call == "open" else call
    command = [victim("copy", *flags), "text/39.txt", "copied"]
    # The loader of the dynamic one opens and reads libraries first: those do not count.
    run = inject(["-q", "-e", f"{calls}:when={when}:error={error}"], command, cwd=tmp_path)
    assert (run.status, run.err) == (10, f"copy: {said}\n")
    (fault,) = run.injections
    assert fault["path"] == str(tmp_path / said.split()[1].rstrip(":"))
    assert fault["occurrence"] == when
