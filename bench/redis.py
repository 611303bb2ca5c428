"""Redis under a supervisor: a server on a free port of the loopback, and its throughput."""

from __future__ import annotations

import contextlib
import csv
import io
import socket
import subprocess
import time
from pathlib import Path

from tools import DEADLINE, Failed, output, running, watching

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


def throughput(
    supervisor: list[str], folder: Path, requests: int, *, watched: bool = False
) -> float:
    """Return the SET requests a second of one server under `supervisor`, or with a dashboard too.

    Raises:
        Failed: server or benchmark did not run.
    """
    port = _free_port()
    server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    server += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(folder)]
    client = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-t", "set"]
    client += ["-c", str(CLIENTS), "-n", str(requests), "--csv"]
    with running([*supervisor, *server, "--logfile", str(folder / "redis.log")]) as process:
        _wait(port, process)
        with watching(process.pid) if watched else contextlib.nullcontext():
            rows = list(csv.reader(io.StringIO(output(client))))
        try:
            _say(port, b"SHUTDOWN NOSAVE")
            process.wait(DEADLINE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"redis-server did not end: {error}") from error
    found = [row[1] for row in rows if row and row[0] == "SET"]
    if not found:
        raise Failed(f"redis-benchmark printed no result: {rows}")
    return float(found[0])
