"""Redis under a supervisor: a server on a free port of the loopback, and its throughput."""

from __future__ import annotations

import contextlib
import csv
import io
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tools import DEADLINE, Failed, output, running

CLIENTS = 20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _say(port: int, word: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(word + b"\r\n")
        return peer.recv(64)


def _wait(port: int, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            if _say(port, b"PING").startswith(b"+PONG"):
                return
        except OSError:
            pass
        if server.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"redis-server did not start: {server.args!r}")
        time.sleep(0.02)


@contextlib.contextmanager
def serving(supervisor: list[str], folder: Path) -> Iterator[tuple[int, int]]:
    """Have a server under `supervisor`; yield the supervisor's number and the server's port.

    Raises:
        Failed: it did not start, or not end.
    """
    port = _free_port()
    server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    server += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(folder)]
    with running([*supervisor, *server, "--logfile", str(folder / "redis.log")]) as process:
        _wait(port, process)
        yield process.pid, port
        try:
            _say(port, b"SHUTDOWN NOSAVE")
            process.wait(DEADLINE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"redis-server did not end: {error}") from error


def rate(port: int, requests: int) -> float:
    """Return the SET requests a second that a server answers.

    Raises:
        Failed: the benchmark did not run.
    """
    client = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", "set"]
    client += ["-c", str(CLIENTS), "-n", str(requests), "--csv"]
    rows = list(csv.reader(io.StringIO(output(client))))
    found = [row[1] for row in rows if row and row[0] == "SET"]
    if not found:
        raise Failed(f"redis-benchmark printed no result: {rows}")
    return float(found[0])


def throughput(supervisor: list[str], folder: Path, requests: int) -> float:
    """Return the SET requests a second of a server of its own under `supervisor`.

    Raises:
        Failed: server or benchmark did not run.
    """
    with serving(supervisor, folder) as (_, port):
        return rate(port, requests)
