"""Which calls a rule takes, on real programs: path, descriptor, address, process, thread, args."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Victim
from .harness import INJECT, Run, inject

ENGINES = ("notify", "ptrace")

# Tries the calls it is told and remembers the name of each one's error, or "ok".
TRY = """
import ctypes, errno, os, socket, sys, threading

results = []
def do(name, call):
    try:
        call()
        results.append(name + " ok")
    except OSError as error:
        results.append(name + " " + errno.errorcode[error.errno])
"""
# A call that no rule here names: it can always speak.
TELL = """
os.writev(1, [chr(10).join(results).encode()])
"""


def tried(rule: str, code: str, cwd: Path, *words: str) -> tuple[dict[str, str], Run]:
    """Run TRY and `code` under one rule; return what came of each step."""
    command = [sys.executable, "-c", TRY + code + TELL, *words]
    run = inject(["-q", "-e", rule], command, cwd=cwd)
    assert run.status == 0, run.err
    said = dict(line.split(" ") for line in run.out.splitlines())
    return said, run


def failed(said: dict[str, str], error: str) -> set[str]:
    return {name for name, word in said.items() if word == error}


PATHS = """
os.makedirs("data/deep"); os.makedirs("else")
for name in ("data/a", "data/b.log", "data/deep/c", "else/a"):
    open(name, "w").close()
def opened(*arguments, **options): os.close(os.open(*arguments, **options))
data, deep = os.open("data", os.O_RDONLY), os.open("data/deep", os.O_RDONLY)
do("relative", lambda: opened("data/a", os.O_RDWR))
do("absolute", lambda: opened(os.getcwd() + "/data/a", os.O_RDWR))
do("dotted", lambda: opened("else/../data/./a", os.O_RDWR))
do("dirfd", lambda: opened("a", os.O_RDWR, dir_fd=data))
do("log", lambda: opened("b.log", os.O_RDWR, dir_fd=data))
do("below", lambda: opened("c", os.O_RDWR, dir_fd=deep))
do("above", lambda: opened("../a", os.O_RDWR, dir_fd=deep))
do("elsewhere", lambda: opened("else/a", os.O_RDWR))
os.chdir("data")
do("moved", lambda: opened("a", os.O_RDWR))
"""
EVERY = {"relative", "absolute", "dotted", "dirfd", "log", "below", "above", "elsewhere", "moved"}
IN_A = {"relative", "absolute", "dotted", "dirfd", "above", "moved"}


@pytest.mark.parametrize(
    ("globs", "fail"),
    [
        ("{here}/data/a", IN_A),
        ("{here}/data/*", IN_A | {"log"}),
        ("{here}/data/**", IN_A | {"log", "below"}),
        ("**/data/**,!*.log", IN_A | {"below"}),
        ("**/data/**,!**/deep/**", IN_A | {"log"}),
        ("a,c", IN_A | {"below", "elsewhere"}),
        ("?.log", {"log"}),
        ("[bc]*", {"log", "below"}),
        ("data/*", set()),
    ],
)
def test_paths(tmp_path: Path, globs: str, fail: set[str]) -> None:
    rule = f"openat:path={globs.format(here=tmp_path)}:args.flags=O_RDWR:error=EIO"
    said, run = tried(rule, PATHS, tmp_path)
    assert failed(said, "EIO") == fail
    assert said.keys() == EVERY
    assert len(run.injections) == len(fail)
    assert all(one["path"].startswith(f"{tmp_path}/") for one in run.injections)


def test_a_path_is_found_behind_a_descriptor(tmp_path: Path) -> None:
    code = """
one, other = (os.open(name, os.O_RDWR | os.O_CREAT) for name in ("one", "other"))
copy = os.dup(one)
os.rename("other", "moved")
for name, fd in (("one", one), ("copy", copy), ("moved", other)):
    do(f"write-{name}", lambda: os.write(fd, b"x"))
    do(f"fsync-{name}", lambda: os.fsync(fd))
    do(f"truncate-{name}", lambda: os.ftruncate(fd, 0))
os.unlink("one")
do("gone", lambda: os.write(one, b"x"))
"""
    rule = "write,fsync,ftruncate:path={}/one,{}/moved:error=ENOSPC".replace("{}", str(tmp_path))
    said, run = tried(rule, code, tmp_path)
    assert set(said.values()) == {"ENOSPC"} and len(said) == len(run.injections) == 10


FDS = """
file = os.open("file", os.O_RDWR | os.O_CREAT)
inside, outside = os.pipe()
near, far = socket.socketpair()
leader, tty = os.openpty()
null = os.open("/dev/null", os.O_RDWR)
folder = os.open(".", os.O_RDONLY)
kinds = {"file": file, "pipe": outside, "socket": near.fileno(), "tty": tty, "device": null}
for name, fd in kinds.items():
    do(name, lambda: os.write(fd, b"x"))
do("dir", lambda: os.write(folder, b"x"))
os.dup2(file, 40)
do("40", lambda: os.write(40, b"x"))
do("closed", lambda: os.write(77, b"x"))
"""


@pytest.mark.parametrize(
    ("fd", "fail"),
    [
        ("file", {"file", "40"}),
        ("pipe", {"pipe"}),
        ("socket", {"socket"}),
        ("tty", {"tty"}),
        ("device", {"device"}),
        ("dir", {"dir"}),
        ("socket,tty", {"socket", "tty"}),
        ("40", {"40"}),
        ("40,77", {"40", "closed"}),
        ('">2"', {"file", "pipe", "socket", "tty", "device", "dir", "40", "closed"}),
        ("30..50,pipe", {"40", "pipe"}),
    ],
)
def test_descriptors(tmp_path: Path, fd: str, fail: set[str]) -> None:
    said, run = tried(f"write:fd={fd}:error=EIO", FDS, tmp_path)
    assert failed(said, "EIO") == fail
    assert len(run.injections) == len(fail)
    assert said["closed"] == ("EIO" if "closed" in fail else "EBADF")
    assert said["dir"] == ("EIO" if "dir" in fail else "EBADF")


@pytest.mark.parametrize(
    ("fd", "status"), [("0", "in"), ("1", "out"), ("2", "err"), ("0..2", "all")]
)
def test_standard_descriptors(fd: str, status: str) -> None:
    code = """
import os, sys
failed = []
for name, call in (("in", lambda: os.read(0, 1)), ("out", lambda: os.write(1, b"o")),
                   ("err", lambda: os.write(2, b"e"))):
    try: call()
    except OSError as error: failed.append((name, error.errno))
sys.exit(["", "in", "out", "err"].index(failed[0][0]) if len(failed) == 1 else len(failed) + 10)
"""
    rule = f"read,write:fd={fd}:error=EIO"
    run = inject(["-q", "-e", rule], [sys.executable, "-S", "-c", code], stdin="i")
    assert run.status == {"in": 1, "out": 2, "err": 3, "all": 13}[status]
    assert run.out == ("" if status in ("out", "all") else "o")
    assert run.err == ("" if status in ("err", "all") else "e")


# -- addresses --------------------------------------------------------------------

ADDRESSES = """
listening, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
ports = [one.getsockname()[1] for one in (listening, other)]
names = {"unix": "one.sock", "abstract": chr(0) + sys.argv[1]}
unix = {kind: socket.socket(socket.AF_UNIX) for kind in names}
for kind, name in names.items():
    unix[kind].bind(name)
    unix[kind].listen()
for one in (listening, *unix.values()):  # nobody waits for a connection that was refused
    one.setblocking(False)
def connected(*where, family=socket.AF_INET):
    made = socket.socket(family)
    do("connect-" + where[0], lambda: made.connect(where[1]))
    return made
tcp = connected("tcp", ("127.0.0.1", ports[0]))
connected("other", ("127.0.0.1", ports[1]))
connected("six", ("::ffff:127.0.0.1", ports[0]), family=socket.AF_INET6)
for kind, name in names.items():
    connected(kind, name, family=socket.AF_UNIX)
do("accept", lambda: listening.accept())
do("accept-unix", lambda: unix["unix"].accept())
do("send", lambda: tcp.send(b"x"))
"""


@pytest.mark.parametrize(
    ("rule", "fail"),
    [
        ("connect:address=127.0.0.0/8", {"connect-tcp", "connect-other", "connect-six"}),
        ("connect:address=10.0.0.0/8", set()),
        ("connect:address=unix:one.sock", {"connect-unix"}),
        ("connect:address=unix:{here}/one.sock", {"connect-unix"}),
        ("connect:address=unix:@{name}", {"connect-abstract"}),
        ("connect:address=unix:@*{name}", {"connect-abstract"}),
        ("accept4:address=127.0.0.1", {"accept"}),
        ("accept4:address=unix:*.sock", {"accept-unix"}),
        ("sendto:address=127.0.0.1", {"send"}),
        ("sendto:address=unix:**", set()),
    ],
)
def test_addresses(tmp_path: Path, rule: str, fail: set[str]) -> None:
    name = f"inject-{tmp_path.name}-{os.getpid()}"
    syscall, _, address = rule.format(here=tmp_path, name=name).partition(":address=")
    rule = f'{syscall}:address="{address}":error=ECONNABORTED'
    said, run = tried(rule, ADDRESSES, tmp_path, name)
    assert failed(said, "ECONNABORTED") == fail
    assert len(run.injections) == len(fail)


def test_a_port_is_an_address_of_either_end(tmp_path: Path) -> None:
    code = """
server = socket.socket(fileno=int(sys.argv[1]))
port = server.getsockname()[1]
other = socket.create_server(("127.0.0.1", 0))
client, stranger = socket.socket(), socket.socket()
client.connect(("127.0.0.1", port))
stranger.connect(other.getsockname())
accepted, _ = server.accept()
do("client", lambda: client.send(b"x"))  # its peer
do("accepted", lambda: accepted.send(b"x"))  # its own end
do("stranger", lambda: stranger.send(b"x"))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, fd = server.getsockname()[1], server.fileno()
        os.set_inheritable(fd, True)
        command = [sys.executable, "-c", TRY + code + TELL, str(fd)]
        rule = f'sendto:address=":{port}":error=EPIPE'
        words = [*INJECT, "run", "-q", "-e", rule, "--", *command]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, text=True, timeout=60, check=True, pass_fds=[fd]
        )
    said = dict(line.split(" ") for line in done.stdout.splitlines())
    assert said == {"client": "EPIPE", "accepted": "EPIPE", "stranger": "ok"}


# -- processes, threads, arguments --------------------------------------------------

THREADS = """
rename = lambda name: ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
def work(name):
    rename(name)
    do(name, lambda: os.stat("/etc/hostname"))
rename("leader")
for name in ("reader-1", "reader-2", "writer-1"):
    thread = threading.Thread(target=work, args=(name,))
    thread.start()
    thread.join()
do("leader", lambda: os.stat("/etc/hostname"))
if os.fork() == 0:
    rename("reader-9")
    do("child", lambda: os.stat("/etc/hostname"))
    os.truncate("child", 0) if results[-1] == "child ok" else os.truncate("faulted", 0)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("key", "fail", "child"),
    [
        ("thread=reader-*", {"reader-1", "reader-2"}, True),
        ("thread=reader-*,!*-2", {"reader-1"}, True),
        ("thread=leader", {"leader"}, False),
        ("process=reader-*", set(), True),
        ("process=leader", {"leader", "reader-1", "reader-2", "writer-1"}, False),
        ("process=leader:thread=writer*", {"writer-1"}, False),
        ("process=python*", {"leader", "reader-1", "reader-2", "writer-1"}, True),
        ("process=**/hostname*", {"leader", "reader-1", "reader-2", "writer-1"}, True),
        ("process=nobody", set(), False),
    ],
)
def test_processes_and_threads(tmp_path: Path, key: str, fail: set[str], child: bool) -> None:
    for name in ("child", "faulted"):
        (tmp_path / name).write_text("x")
    rule = f"%stat:path=/etc/hostname:{key}:error=EACCES"
    said, run = tried(rule, THREADS, tmp_path)
    assert failed(said, "EACCES") == fail
    assert ((tmp_path / "faulted").read_text() == "") is child
    assert ((tmp_path / "child").read_text() == "") is not child
    assert len(run.injections) == len(fail) + child


ARGS = """
import mmap
def opened(flags): os.close(os.open("file", flags, 0o600))
do("create", lambda: opened(os.O_CREAT | os.O_RDWR))
do("read", lambda: opened(os.O_RDONLY))
do("write", lambda: opened(os.O_WRONLY))
do("append", lambda: opened(os.O_WRONLY | os.O_APPEND))
fd = os.open("file", os.O_RDWR | os.O_SYNC)
for size in (1, 100, 4096, 5000):
    do(str(size), lambda: os.write(fd, b"x" * size))
do("map", lambda: mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE))
do("exec", lambda: mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))
do("end", lambda: os.lseek(fd, -1, os.SEEK_END))
do("set", lambda: os.lseek(fd, 1, os.SEEK_SET))
"""


@pytest.mark.parametrize(
    ("rule", "fail"),
    [
        ("openat:args.flags=O_CREAT", {"create"}),
        ("openat:args.flags=O_WRONLY", {"write", "append"}),
        ("openat:args.flags=O_WRONLY|O_APPEND", {"append"}),
        ('write:args.count=">=100"', {"100", "4096", "5000"}),
        ('write:args.count=">4096"', {"5000"}),
        ("write:args.count=100..4096", {"100", "4096"}),
        ("write:args.count=1", {"1"}),
        ("mmap:args.prot=PROT_EXEC", {"exec"}),
        ("mmap:args.prot=!PROT_EXEC", {"map"}),
        ("lseek:args.whence=SEEK_END", {"end"}),
        ("lseek:args.whence=SEEK_SET", {"set"}),
        ('lseek:args.offset="<0"', {"end"}),
    ],
)
def test_arguments(tmp_path: Path, rule: str, fail: set[str]) -> None:
    (tmp_path / "file").write_bytes(bytes(8192))
    # The path keeps what Python does for itself out of it.
    said, run = tried(f"{rule}:path={tmp_path}/file:error=EPERM", ARGS, tmp_path)
    assert failed(said, "EPERM") == fail
    assert len(run.injections) == len(fail)


@pytest.mark.only("ptrace")
def test_by_caller_and_call_stacks(victim: Victim) -> None:
    # getppid is called by syscall(3), that by failed(), that by main.
    rule = ["--stacks", "-e", "getppid:caller=failed:error=EIO"]
    run = inject(rule, [victim("life", "-fno-inline"), "fails-once"])
    assert run.injections, run.err
    functions = [frame.partition("+")[0] for frame in run.injections[0]["stack"]]
    assert functions[:3] == ["syscall", "failed", "main"]
    other = inject(["-e", "getppid:caller=nobody:error=EIO"], [victim("life"), "fails-once"])
    assert not other.injections
    assert "by callers other than nobody" in other.err
