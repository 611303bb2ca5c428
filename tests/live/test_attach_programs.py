"""Servers under load: attached to, let go, and not one answer wrong but those ordered."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from .attached import (
    PATIENCE,
    STAYING,
    Program,
    Wire,
    assert_let_go,
    attached,
    attaching,
    come,
    ended_with_family,
    family,
    load,
    tasks,
    traced,
)
from .conftest import VICTIMS, Victim
from .harness import finish
from .servers import accepts, alive, free_port, serving, wait_until
from .test_programs_servers import nginx as nginx_server
from .test_programs_servers import redis as redis_server

REPEATS = int(os.environ.get("INJECT_ATTACH_REPEATS", "5"))  # the full proof is 200

SHORT = (
    "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg:fd=socket:probability=10%:short=50%"
)
"""What each program must bear on a stream, and each does: no answer shows it."""

PAGES = {
    "empty.html": b"",
    "ordered.html": b"<p>ordered</p>\n" * 3000,
    "page.html": b"<p>hello</p>\n" * 2000,
    "large.html": bytes(range(256)) * 1500,
}


class Http:
    """A connection to an HTTP server; `ordered.html` alone may be refused.

    With one status, or for a server that opens its file after the header is
    sent, with an end before the first byte (None).
    """

    def __init__(self, port: int, refusal: int | None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.refusal = refusal

    def ask(self, number: int) -> bool:
        name = list(PAGES)[number % len(PAGES)]
        return self.get(f"/{name}", PAGES[name])

    def get(self, path: str, expected: bytes) -> bool:
        """Fetch a file and compare it."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        ordered = path.endswith("/ordered.html")
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            assert self.refusal is None and ordered and not error.partial, path
            self.connection.close()
            return False
        if answer.status == self.refusal and ordered:
            return False
        assert answer.status == 200, (path, answer.status, body[:200])
        assert body == expected, (path, len(body), len(expected))
        return True

    def close(self) -> None:
        self.connection.close()


def curl(port: int, path: str, expected: bytes) -> Callable[[], None]:
    """Return a visit that fetches one file with curl and compares it."""

    def visit() -> None:
        command = ["curl", "-sS", "-f", "--max-time", str(PATIENCE), f"http://127.0.0.1:{port}"]
        command[-1] += path
        made = subprocess.run(command, capture_output=True, timeout=PATIENCE + 5)
        assert (made.returncode, made.stderr) == (0, b"")
        assert made.stdout == expected

    return visit


def pages(folder: Path) -> None:
    """Write the files that are asked for."""
    for name, content in PAGES.items():
        (folder / name).write_bytes(content)


# -- redis ------------------------------------------------------------------------


class RedisClient(Wire):
    """Sets and gets numbered values; the first client also has the whole saved."""

    def __init__(self, port: int, index: int) -> None:
        super().__init__(port)
        self.index = index

    def command(self, *words: bytes) -> bytes:
        """Send a command, return its answer: a bulk as it is, all else with its mark."""
        parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.send(b"*%d\r\n" % len(words) + b"".join(parts))
        line = self.line()
        if not line.startswith(b"$"):
            return line
        data = self.exactly(int(line[1:]) + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def ask(self, number: int) -> bool:
        if self.index == 0 and number % 2:
            answer = self.command(b"SAVE")
            assert answer in (b"+OK", b"-ERR"), answer
            return answer == b"+OK"
        key = b"%d:%d" % (self.index, number % 100)
        value = b"%d:%d " % (self.index, number) * (1 + number * 37 % 50)
        assert self.command(b"SET", key, value) == b"+OK"
        assert self.command(b"GET", key) == value
        return True


@contextlib.contextmanager
def redis(folder: Path, arguments: Sequence[str] | None = None) -> Iterator[Program]:
    with redis_server(folder, arguments) as one:
        benchmark = ["redis-benchmark", "-p", str(one.port), "-q", "-n", "500", "-c", "10"]

        def visit() -> None:
            status, out, err = finish([*benchmark, "-t", "set,get,incr,mset"])
            assert status == 0 and out.count("requests per second") == 4, out + err
            assert "rror" not in out + err, out + err
            # A child that writes what it had in memory when it was forked.
            assert "ackground append only file rewriting" in one.ask("bgrewriteaof")

        yield Program(
            one.server,
            lambda index: RedisClient(one.port, index),
            visit,
            "openat:path=**/temp-*.rdb:probability=50%:error=EIO",
            "read,write,epoll_wait:probability=1%:delay=1ms",
        )


# -- PostgreSQL -------------------------------------------------------------------


class SqlError(Exception):
    """The server's ERROR; the first argument is its SQLSTATE."""


class SqlClient(Wire):
    """Speaks PostgreSQL's protocol (its documentation, 55.2 and 55.7) for simple queries."""

    def __init__(self, port: int, index: int) -> None:
        super().__init__(port)
        self.index = index
        self.message(b"", struct.pack("!i", 196608) + b"user\0test\0database\0postgres\0\0")
        self.answers()

    def message(self, kind: bytes, body: bytes) -> None:
        """Send one message."""
        self.send(kind + struct.pack("!i", len(body) + 4) + body)

    def answers(self) -> list[tuple[str | None, ...]]:
        """Receive rows until the server is ready for the next query."""
        rows: list[tuple[str | None, ...]] = []
        error = None
        while True:
            kind, size = struct.unpack("!ci", self.exactly(5))
            body = self.exactly(size - 4)
            if kind == b"Z":
                break
            if kind == b"E":
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                error = SqlError(fields[b"C"], fields[b"M"])
            elif kind == b"D":
                row: list[str | None] = []
                place = 2
                for _ in range(struct.unpack_from("!h", body)[0]):
                    (length,) = struct.unpack_from("!i", body, place)
                    place += 4
                    row.append(None if length < 0 else body[place : place + length].decode())
                    place += max(length, 0)
                rows.append(tuple(row))
        if error is not None:
            raise error
        return rows

    def query(self, text: str) -> list[tuple[str | None, ...]]:
        """Ask, and return the rows."""
        self.message(b"Q", text.encode() + b"\0")
        return self.answers()

    def ask(self, number: int) -> bool:
        match number % 4:
            case 0:
                text = f"insert into numbers values ({self.index}, {number}) returning number"
                assert self.query(text) == [(str(number),)]
            case 1:
                total = f"update totals set total = total + {number} where client = {self.index}"
                assert self.query(f"begin; {total}; commit") == []
            case 2:
                rows = self.query(f"select sum(i) from generate_series(1, {number}) i")
                assert rows == [(str(number * (number + 1) // 2),)]
            case 3:
                try:
                    rows = self.query("select pg_read_file('ordered')")
                except SqlError as error:
                    assert error.args[0] == "58030", error  # io_error
                    return False
                assert rows == [(PAGES["ordered.html"].decode(),)]
        return True

    def close(self) -> None:
        self.message(b"X", b"")
        super().close()


SQL = """
create table numbers (client int, number int, primary key (client, number));
create table totals (client int primary key, total bigint);
insert into totals select i, 0 from generate_series(0, 9) i;
"""


def stays(pid: int) -> bool:
    """Return whether a process is none that serves a connection, as its title says."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return title.startswith("postgres: ") and not title.startswith("postgres: test ")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Program]:
    port = free_port()
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    # It refuses to run as root, and another user cannot enter root's folders.
    other = 65534
    user = ["setpriv", "--reuid", str(other), "--regid", str(other), "--clear-groups"]
    place = Path(tempfile.mkdtemp(prefix="inject-postgres-"))
    if os.geteuid() == 0:
        os.chown(place, other, other)
    else:
        user = []
    cluster = place / "data"
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "autovacuum": "off",  # its workers come and go while we list whom to attach to
        "shared_buffers": "16MB",
        "wal_writer_delay": "10ms",
        "bgwriter_delay": "10ms",
    }
    command = [*user, str(programs / "postgres"), "-D", str(cluster)]
    for key, value in options.items():
        command += ["-c", f"{key}={value}"]
    connection = ["-h", "127.0.0.1", "-p", str(port), "-U", "test", "-d", "postgres", "-XAtq"]
    psql = [str(programs / "psql"), *connection, "-v", "ON_ERROR_STOP=1"]

    def visit() -> None:
        text = "select count(*), sum(i) from generate_series(1, 1000) i"
        status, out, err = finish([*psql, "-c", text])
        assert (status, out, err) == (0, "1000|500500\n", "")

    try:
        made = [*user, str(programs / "initdb"), "-D", str(cluster), "-U", "test"]
        status, out, err = finish([*made, "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"])
        assert status == 0, out + err
        (cluster / "ordered").write_bytes(PAGES["ordered.html"])
        os.chmod(cluster / "ordered", 0o644)

        def ready() -> bool:
            return accepts(port) and "ready to accept" in (folder / "stderr").read_text()

        with (
            serving(folder, command, None, ready) as server,
            ended_with_family(server, signal.SIGINT),
        ):
            status, out, err = finish(psql, stdin=SQL)
            assert (status, out, err) == (0, "", "")
            # Who served psql, or our probe of the port, may still be on its way out.
            wait_until(lambda: all(map(stays, family(server.process.pid)[1:])), "nobody is served")
            yield Program(
                server,
                lambda index: SqlClient(port, index),
                visit,
                "openat:path=**/ordered:probability=50%:error=EIO",
                "epoll_wait,recvfrom,sendto,pwrite64:probability=1%:delay=1ms",
                forks=True,
            )
            # Who got an answer to an update has it in the table.
            text = (
                "select count(*) from (select client, count(*) c, max(number) m from numbers"
                " group by client) x where c != m / 4 + 1"
            )
            status, out, err = finish([*psql, "-c", text])
            assert (status, out, err) == (0, "0\n", "")
    finally:
        shutil.rmtree(place)


# -- nginx ------------------------------------------------------------------------


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Program]:
    with nginx_server(folder, None) as (server, port):
        pages(folder / "html")
        assert len(family(server.process.pid)) == 3
        yield Program(
            server,
            lambda index: Http(port, 500),
            curl(port, "/large.html", PAGES["large.html"]),
            "openat:path=**/ordered.html:probability=50%:error=EIO",
            "accept4,recvfrom,pread64,writev,epoll_wait:probability=1%:delay=1ms",
        )


# -- a JVM ------------------------------------------------------------------------


class JavaClient(Http):
    """Fetches files, asks for numbers, and for the exit status of a child."""

    def __init__(self, port: int, index: int) -> None:
        super().__init__(port, 503)
        self.index = index

    def ask(self, number: int) -> bool:
        if number % 2 == 0:
            name = list(PAGES)[number // 2 % len(PAGES)]
            return self.get(f"/file/{name}", PAGES[name])
        if self.index >= STAYING and number % 10 == 5:
            return self.get(f"/child/{number % 256}", b"%d" % (number % 256))
        return self.get(f"/number/{number}", b"%d" % (2 * number))


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the Java server."""
    folder = tmp_path_factory.mktemp("classes")
    command = ["javac", "-d", str(folder), str(VICTIMS / "Numbers.java")]
    subprocess.run(command, check=True, timeout=60)
    return folder


@contextlib.contextmanager
def jvm(folder: Path, classes: Path) -> Iterator[Program]:
    port = free_port()
    folder.mkdir()
    pages(folder)
    # It sends header and body apart: without nodelay each answer waits for the other's ACK.
    options = ["-Xmx64m", "-XX:-UsePerfData", "-Dsun.net.httpserver.nodelay=true"]
    command = ["java", *options, "-cp", str(classes), "Numbers", str(port)]
    with (
        serving(folder, command, None, lambda: accepts(port)) as server,
        ended_with_family(server),
    ):
        yield Program(
            server,
            lambda index: JavaClient(port, index),
            curl(port, "/number/21", b"42"),
            "openat:path=**/ordered.html:probability=50%:error=EIO",
            "read,write,accept,epoll_wait,futex:probability=1%:delay=1ms",
        )


# -- Go ---------------------------------------------------------------------------


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[Program]:
    port = free_port()
    (folder / "html").mkdir(parents=True)
    pages(folder / "html")
    command = ["rclone", "--config", "", "--low-level-retries", "1", "serve", "http"]
    command += ["--addr", f"127.0.0.1:{port}", str(folder / "html")]
    # Without GOGC it would hardly ever collect, and so hardly ever preempt by SIGURG.
    env = {"HOME": str(folder), "GOGC": "5"}
    with (
        serving(folder, command, None, lambda: accepts(port), env=env) as server,
        ended_with_family(server),
    ):
        yield Program(
            server,
            lambda index: Http(port, None),
            curl(port, "/large.html", PAGES["large.html"]),
            "openat:path=**/ordered.html:probability=50%:error=EIO",
            "read,write,accept4,epoll_pwait:probability=1%:delay=1ms",
        )


# -- Python with fifty threads ----------------------------------------------------


class PythonClient(Wire):
    """Asks for numbers, files, and the exit status of a child."""

    def __init__(self, port: int, index: int) -> None:
        super().__init__(port)
        self.index = index

    def ask(self, number: int) -> bool:
        if self.index >= STAYING and number % 5 == 3:
            self.send(b"child %d\n" % (number % 256))
            assert self.line() == b"%d" % (number % 256)
            return True
        if number % 2:
            self.send(b"number %d\n" % number)
            assert self.line() == b"%d" % (2 * number)
            return True
        name = list(PAGES)[number // 2 % len(PAGES)]
        self.send(b"file %s\n" % name.encode())
        answer = self.line()
        if answer == b"errno %d" % errno.EIO and name == "ordered.html":
            return False
        assert answer == b"%d" % len(PAGES[name]), answer
        assert self.exactly(len(PAGES[name])) == PAGES[name]
        return True


@contextlib.contextmanager
def python(folder: Path) -> Iterator[Program]:
    port = free_port()
    folder.mkdir()
    pages(folder)
    command = [sys.executable, str(VICTIMS / "numbers.py"), str(port)]

    def ready() -> bool:
        return "ready" in (folder / "stdout").read_text()

    def visit() -> None:
        with contextlib.closing(PythonClient(port, 0)) as client:
            assert client.ask(1)

    with serving(folder, command, None, ready) as server:
        assert len(tasks([server.process.pid])) == 50
        yield Program(
            server,
            lambda index: PythonClient(port, index),
            visit,
            "openat:path=**/ordered.html:probability=50%:error=EIO",
            "recvfrom,sendto,accept4,futex,pselect6:probability=1%:delay=1ms",
        )


# -- the proof --------------------------------------------------------------------


@pytest.fixture(params=["redis", "postgres", "nginx", "jvm", "rclone", "python"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    """Each program in turn, running."""
    folder = tmp_path / request.param
    if request.param == "jvm":
        made = jvm(folder, request.getfixturevalue("classes"))
    else:
        programs = {one.__name__: one for one in (redis, postgres, nginx, rclone, python)}
        made = programs[request.param](folder)
    with made as one:
        yield one


def test_only_what_was_ordered_goes_wrong(program: Program, tmp_path: Path) -> None:
    root = program.server.process.pid
    rules = []
    for name, rule in (("ordered", program.ordered), ("slow", program.slow), ("short", SHORT)):
        calls, _, rest = rule.partition(":")
        rules += ["-e", f"{calls}:name={name}:{rest}"]
    with load(program) as clients:
        pids = family(root)
        before = set(tasks(pids))
        passer = come(clients)
        with attached(tmp_path / "inject", pids, ["-q", "--seed", "7", *rules]) as injector:
            held = tasks(pids)
            clients.progress(5)
            clients.until(lambda: clients.ordered >= 20, "twenty refusals")
            if program.forks:
                clients.until(lambda: passer.ordered >= 2, "refusals of children born under us")
            run = injector.stop(signal.SIGINT)
        assert_let_go(root)
        assert (run.status, run.out, run.events[-1]["outcome"]) == (0, "", "detached"), run.err
        clients.progress(5)
        for tid in before & set(held):
            assert held[tid]["TracerPid"] == str(injector.process.pid), held[tid]["Name"]
    known = {one["tid"] for one in run.of("task_start")}
    assert before & set(held) <= known
    ordered = [one for one in run.injections if one["rule"] == "ordered"]
    assert clients.ordered == len(ordered)
    assert not program.forks or {one["pid"] for one in ordered} - set(pids)
    for one in ordered:
        assert one["result"].startswith("-1 EIO (") and one["syscall"] == "openat"
        assert one["tid"] in known
    slow = [one for one in run.injections if one["rule"] == "slow"]
    short = [one for one in run.injections if one["rule"] == "short"]
    assert slow and short
    fired = {rule["rule"]: rule["fired"] for rule in run.events[-1]["rules"]}
    assert fired == {"ordered": len(ordered), "slow": len(slow), "short": len(short)}
    assert program.server.process.poll() is None


ENDS: tuple[str | signal.Signals, ...] = (
    "at once",
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGKILL,
    "duration",
)


@pytest.mark.timeout(60 + 3 * REPEATS)
def test_attached_to_again_and_again(program: Program, tmp_path: Path) -> None:
    """However the injector ends, even by SIGKILL while it has not yet attached to all threads."""
    root = program.server.process.pid
    never = ["-e", "all:probability=0:error=EIO"]
    nowhere = ["-e", "%file:path=/nowhere/**:error=EIO"]
    with load(program) as clients:
        pids = family(root)
        come(clients)
        for turn in range(REPEATS):
            end = ENDS[turn % len(ENDS)]
            folder = tmp_path / f"inject-{turn}"
            arguments = ["-q", *(never if turn % 2 else nowhere)]
            match end:
                case "at once":
                    with attaching(folder, pids, arguments) as injector:
                        clients.until(lambda: traced(pids), "a thread is traced")
                        run = injector.stop(signal.SIGKILL)
                case "duration":
                    with attached(folder, pids, [*arguments, "--duration", "0.05s"]) as injector:
                        run = injector.done()
                case signal.Signals():
                    with attached(folder, pids, arguments) as injector:
                        run = injector.stop(end)
            assert_let_go(root)
            clients.check()
            assert not run.injections
            if end in ("at once", signal.SIGKILL):
                assert run.status == -signal.SIGKILL
            else:
                assert (run.status, run.events[-1]["outcome"]) == (0, "detached"), run.err
        clients.progress(5)
    assert program.server.process.poll() is None


def test_nginx_changes_its_workers_while_attached(tmp_path: Path) -> None:
    """Children born under us are held like those we found, and nobody waits for the old ones."""
    with nginx(tmp_path / "nginx") as program, load(program, staying=0) as clients:
        root = program.server.process.pid
        pids = family(root)
        # Nobody stays: nginx may close a connection that has had an answer whenever it likes.
        come(clients)
        rule = program.ordered.replace("openat:", "openat:name=ordered:")
        with attached(tmp_path / "inject", pids, ["-q", "-e", rule]) as injector:
            clients.progress(3)
            os.kill(root, signal.SIGHUP)
            clients.until(lambda: not any(map(alive, pids[1:])), "the old workers are gone")
            seen = clients.ordered
            clients.until(lambda: clients.ordered >= seen + 3, "refusals of the new workers")
            workers = family(root)[1:]
            run = injector.stop(signal.SIGINT)
        assert_let_go(root)
        assert (run.status, run.events[-1]["outcome"]) == (0, "detached"), run.err
        clients.progress(5)
        assert len(workers) == 2 and family(root)[1:] == workers
    assert clients.ordered == len(run.injections)
    assert {one["pid"] for one in run.injections} & set(workers)
    ends = {end["pid"]: (end["exit"], end["signal"]) for end in run.of("task_end")}
    assert [ends[pid] for pid in pids[1:]] == [(0, None)] * 2


def test_nobody_is_forgotten_while_others_are_attached_to(tmp_path: Path, victim: Victim) -> None:
    """What stops before all are seized is served as soon as they are."""
    shown = {number: tmp_path / number / "stdout" for number in ("0", "3000")}

    def dots(number: str) -> int:
        return shown[number].stat().st_size

    def writes(number: str) -> bool:
        return dots(number) > 0

    def more() -> bool:
        return all(dots(number) > seen[number] + 10 for number in shown)

    with contextlib.ExitStack() as stack:
        pids = []
        for number in shown:
            command = [victim("crowd"), number]
            up = serving(tmp_path / number, command, None, partial(writes, number))
            pids.append(stack.enter_context(up).process.pid)
        arguments = ["-q", "-e", "%file:path=/nowhere/**:error=EIO"]
        with attached(tmp_path / "inject", pids, arguments) as injector:
            seen = {number: dots(number) for number in shown}
            wait_until(more, "both go on writing")
            run = injector.stop(signal.SIGINT)
        for pid in pids:
            assert_let_go(pid)
    assert (run.status, run.err, run.events[-1]["outcome"]) == (0, "", "detached")
    assert len(run.of("task_start")) == 1 + 3001
