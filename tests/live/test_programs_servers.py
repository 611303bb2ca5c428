"""Servers of Debian, unmodified: the same as without us, and their own words for each fault."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .harness import finish, inject
from .servers import NEVER, Server, accepts, alive, free_port, serving, wait_until

PAGE = "<p>hello</p>\n" * 2000


# -- redis ------------------------------------------------------------------------


class Redis:
    """A redis-server and what is asked of it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port

    def ask(self, *words: str, stdin: str = "") -> str:
        """Send one command with redis-cli (or many by stdin) and return the answer."""
        command = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *words]
        status, out, err = finish(command, stdin=stdin)
        assert status == 0, err
        return out.strip()

    def save_ends(self) -> str:
        """Start a save in the background, wait for its end and return how it went."""
        self.ask("bgsave")
        wait_until(lambda: "rdb_bgsave_in_progress:0" in self.ask("info", "persistence"), "saved")
        found = re.search(r"rdb_last_bgsave_status:(\w+)", self.ask("info", "persistence"))
        assert found is not None
        return found[1]


@contextlib.contextmanager
def redis(folder: Path, arguments: Sequence[str] | None) -> Iterator[Redis]:
    port = free_port()
    options = {"bind": "127.0.0.1", "port": port, "save": "", "enable-debug-command": "local"}
    command = ["redis-server"]
    for key, value in options.items():
        command += [f"--{key}", str(value)]

    def ready() -> bool:
        return accepts(port) and "Ready to accept" in (folder / "stdout").read_text()

    with serving(folder, command, arguments, ready) as server:
        yield Redis(server, port)


def work(one: Redis) -> list[str]:
    """Let a redis do a bit of everything; return its answers."""
    commands = "".join(f"set key:{n} {'v' * n}\nrpush list {n}\n" for n in range(300))
    answers = [one.ask(stdin=commands), one.ask("dbsize"), one.ask("lrange", "list", "0", "-1")]
    answers += [one.ask("incr", "key:1"), one.ask("eval", "return redis.call('get', 'key:9')", "0")]
    answers += [one.save_ends(), one.ask("debug", "digest"), one.ask("config", "get", "maxclients")]
    return answers


def test_redis_is_the_same(tmp_path: Path) -> None:
    said, logs = [], []
    for name, arguments in (("bare", None), ("under", NEVER)):
        with redis(tmp_path / name, arguments) as one:
            said.append(work(one))
            one.ask("shutdown", "save")
            run = one.server.done()
        assert run.status == 0 and run.err == ""
        with redis(tmp_path / name, None) as again:  # what it wrote is whole
            assert again.ask("debug", "digest") == said[-1][-2]
        lines = (re.split(r" [#*] ", line, maxsplit=1)[-1] for line in run.out.splitlines())
        logs.append([re.sub(r"\d+", "N", line) for line in lines])
    assert said[0] == said[1]
    assert logs[0] == logs[1] and "User requested shutdown..." in logs[0]
    assert len(run.of("task_start")) == len(run.of("task_end")) > 5  # threads and the saver


def test_redis_ends_by_sigterm_as_without_us(tmp_path: Path) -> None:
    # A signal can make a call that a rule names fail with EINTR before we have received it
    # (seccomp_unotify(2), "Interaction with SA_RESTART signal handlers"): so only one is named.
    with redis(tmp_path, ["-q", "-e", "write:probability=0:error=EIO"]) as one:
        run = one.server.stop(signal.SIGTERM)
    assert run.status == 0
    assert "Received SIGTERM scheduling shutdown..." in run.out


@pytest.mark.parametrize(
    ("rule", "message", "lineage"),
    [
        (
            "write:path=temp-*.rdb:error=ENOSPC",
            "Write error saving DB on disk(",
            r"0\.\d+",
        ),
        (
            "fork,vfork,clone,clone3:args.flags=!CLONE_THREAD:error=EAGAIN",
            "Can't save in background: fork: Resource temporarily unavailable",
            "0",
        ),
        (
            "rename:error=EROFS",
            "on the final destination dump.rdb (in server root dir",
            r"0\.\d+",
        ),
    ],
)
def test_redis_says_why_a_save_failed(
    tmp_path: Path, rule: str, message: str, lineage: str
) -> None:
    with redis(tmp_path, ["-q", "-e", rule]) as one:
        one.ask("set", "a", "b")
        assert one.save_ends() == "err" or "EAGAIN" in rule
        assert one.ask("get", "a") == "b"
        one.ask("shutdown", "nosave")
        run = one.server.done()
    assert message in run.out
    assert not (tmp_path / "dump.rdb").exists()
    assert run.injections
    for fault in run.injections:
        assert re.fullmatch(lineage, fault["site"].partition("/")[0])
        assert fault["fault"] == f"error {rule.rpartition('=')[2]}"
        assert fault["process"].startswith("redis")


def test_redis_cli_hears_of_a_refused_connection() -> None:
    rule = "connect:address=127.0.0.0/8:error=ECONNREFUSED"
    command = ["redis-cli", "-h", "127.0.0.1", "-p", str(free_port()), "ping"]
    run = inject(["-q", "-e", rule], command)
    assert run.status == 1 and "Connection refused" in run.err
    assert run.injections
    wrong = inject(["-q", "-e", rule.replace("127.", "128.")], command)
    assert not wrong.injections


# -- nginx ------------------------------------------------------------------------

CONFIG = """
{user}
worker_processes 2;
daemon {daemon};
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    default_type text/html;
    server {{ listen 127.0.0.1:{port}; root html; }}
}}
"""


@contextlib.contextmanager
def nginx(
    folder: Path, arguments: Sequence[str] | None, daemon: str = "off"
) -> Iterator[tuple[Server, int]]:
    port = free_port()
    (folder / "html").mkdir(parents=True)
    (folder / "html" / "page.html").write_text(PAGE)
    # A worker under another user could not enter the tests' folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(CONFIG.format(user=user, daemon=daemon, port=port))
    command = ["nginx", "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
    path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def ready() -> bool:
        log = folder / "error.log"
        return log.exists() and log.read_text().count("start worker process ") == 2

    with serving(folder, command, arguments, ready, env=path) as server:
        yield server, port


def curl(port: int, path: str, *options: str) -> tuple[int, str, str]:
    return finish(["curl", "-sS", *options, f"http://127.0.0.1:{port}/{path}"])


def visit(port: int) -> list[tuple[int, str]]:
    """Ask for what is there, what is not, a part, and much of it at once."""
    urls = [f"http://127.0.0.1:{port}/page.html"] * 20
    blur = ["-w", "%{http_code} %{size_download}\n", "-o", "/dev/null"]
    parallel = [part for url in urls for part in ("-o", "/dev/null", url)]
    visits = [
        curl(port, "page.html"),
        curl(port, "missing.html"),
        curl(port, "page.html", "-r", "100-199"),
        curl(port, "page.html", "--http1.0", *blur),
        curl(port, "page.html", "-X", "DELETE", "-w", "%{http_code}"),
        finish(["curl", "-sS", "-Z", "-w", "%{http_code} ", *parallel]),
    ]
    return [(status, out) for status, out, _ in visits]  # stderr shows curl's speed


def log(folder: Path) -> list[str]:
    """Return the kinds of lines of nginx's error log, which come in any order."""
    text = (folder / "error.log").read_text().replace(str(folder), "")
    lines = (line.partition("] ")[2] for line in text.splitlines())
    return sorted({re.sub(r"\d+", "N", line) for line in lines})


def test_nginx_is_the_same(tmp_path: Path) -> None:
    seen, logs = [], []
    for name, arguments in (("bare", None), ("under", NEVER)):
        with nginx(tmp_path / name, arguments) as (server, port):
            seen.append(visit(port))
            assert server.process.poll() is None
            assert (server.out, server.err, server.injections) == ("", "", [])
        logs.append(log(tmp_path / name))
    assert seen[0] == seen[1]
    assert seen[0][0] == (0, PAGE) and "404 Not Found" in seen[0][1][1]
    assert logs[0] == logs[1] and "N#N: start worker processes" in logs[0]


def test_a_daemon_is_followed_until_its_last_task_is_gone(tmp_path: Path) -> None:
    rule = "openat:path=**/html/page.html:when=2:per=run:error=EMFILE"
    with nginx(tmp_path, ["-q", "-e", rule], daemon="on") as (server, port):
        first = server.pid()
        wait_until(lambda: not alive(first), "the first process is gone")
        assert server.process.poll() is None  # and we are not
        codes = [curl(port, "page.html", "-o", "/dev/null", "-w", "%{http_code}")[1] for _ in "123"]
        assert codes == ["200", "500", "200"]
        pids = [one["pid"] for one in server.events if one["event"] == "task_start"]
        assert len(pids) == 4 and [alive(pid) for pid in pids] == [False, True, True, True]
        for pid in pids[1:]:
            assert server.process.poll() is None
            os.kill(pid, signal.SIGKILL)
        run = server.done()
    assert run.status == 0  # the first process's
    (fault,) = run.injections
    assert fault["site"].startswith("0.1.")  # the daemon is 0.1, its workers 0.1.1 and 0.1.2
    ends = sorted((end["task"], end["exit"], end["signal"]) for end in run.of("task_end"))
    assert ends == [
        ("0", 0, None),
        *((task, None, "SIGKILL") for task in ("0.1", "0.1.1", "0.1.2")),
    ]
    assert 'page.html" failed (24: Too many open files)' in (tmp_path / "error.log").read_text()


@pytest.mark.parametrize(
    ("rule", "status", "message"),
    [
        ("openat:path=page.html:error=EMFILE", "500", "failed (24: Too many open files)"),
        ("openat:path=page.html:error=EACCES", "403", "failed (13: Permission denied)"),
        ("openat:path=page.html:error=ENOENT", "404", "failed (2: No such file or directory)"),
        ("accept4:when=1:error=ECONNABORTED", "200", "(103: Software caused connection abort)"),
        ("accept4:when=1:error=EMFILE", "200", "accept4() failed (24: Too many open files)"),
        ("pread64:path=page.html:error=EIO", "000", "failed (5: Input/output error)"),
        ("write:path=access.log:error=ENOSPC", "200", "(28: No space left on device)"),
    ],
)
def test_nginx_says_what_failed(tmp_path: Path, rule: str, status: str, message: str) -> None:
    with nginx(tmp_path, ["-q", "-e", rule]) as (server, port):
        code = curl(port, "page.html", "-o", "/dev/null", "-w", "%{http_code}")[1]
        assert code == status
        log = tmp_path / "error.log"
        wait_until(lambda: message in log.read_text(), message)
        assert server.injections
        for fault in server.injections:
            assert fault["process"] == "nginx"
            assert fault["syscall"] == rule.partition(":")[0]
            assert fault["result"].startswith(f"-1 {rule.rpartition('=')[2]} (")


def test_workers_and_master_are_told_apart_by_their_titles(tmp_path: Path) -> None:
    rules = []
    for process in ("worker", "master"):  # nginx writes its titles over its arguments
        title = f'"nginx: {process} process*"'
        rules += ["-e", f"openat:name={process}:process={title}:path=page.html:error=EMFILE"]
    with nginx(tmp_path, ["-q", *rules]) as (server, port):
        codes = [curl(port, "page.html", "-o", "/dev/null", "-w", "%{http_code}")[1] for _ in "123"]
        assert codes == ["500"] * 3
        assert [fault["rule"] for fault in server.injections] == ["worker"] * 3
        assert server.pid() not in [fault["pid"] for fault in server.injections]


@pytest.mark.parametrize(
    ("rule", "status", "message"),
    [
        ("connect:address=:{port}:error=ETIMEDOUT", 28, "Failed to connect to 127.0.0.1"),
        ("connect:address=:{port}:error=ECONNREFUSED", 7, "Failed to connect to 127.0.0.1"),
        ("recvfrom:address=127.0.0.1:error=ECONNRESET", 56, "Connection reset by peer"),
        ("sendto:address=127.0.0.0/8:error=EPIPE", 55, "Broken pipe"),
        ("write:path=**/saved:error=ENOSPC", 23, "Failure writing output to destination"),
    ],
)
def test_curl_says_what_failed(tmp_path: Path, rule: str, status: int, message: str) -> None:
    with nginx(tmp_path, None) as (_, port):
        rule = rule.replace(":{port}", f'":{port}"')
        command = ["curl", "-sS", "-o", "saved", f"http://127.0.0.1:{port}/page.html"]
        run = inject(["-q", "-e", rule], command, cwd=tmp_path)
        assert (run.status, run.out) == (status, "")
        assert message in run.err
        assert run.injections
        assert all(one["syscall"] == rule.partition(":")[0] for one in run.injections)
        clean = inject(NEVER, command, cwd=tmp_path)
        assert (clean.status, clean.out, clean.err) == (0, "", "")
        assert (tmp_path / "saved").read_text() == PAGE
