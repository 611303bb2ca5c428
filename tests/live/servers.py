"""Real programs beside themselves: commands run bare and under `inject`, servers started and ended.

A server is waited for by connecting to it with a deadline, ended by its pid, and
its journal can be read while it runs. Whatever happens, nothing is left behind:
the end of the injector ends the target.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.session.journal import read

from .harness import INJECT, Run, finish, inject

NEVER = ("-q", "-e", "all:probability=0:error=EIO", "--watch", "all")
"""Every call is stopped and decided, and no fault ever falls."""

DEADLINE = 30.0


def free_port() -> int:
    """Return a TCP port of the loopback that the kernel just had free."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until(holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Look again and again until `holds`, and fail the test when the deadline is over."""
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.005)


def accepts(port: int) -> bool:
    """Return whether somebody takes connections on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@dataclass(slots=True)
class Server:
    """A server that runs, and what it has left so far. `process` is ours: inject, or it bare."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> str:
        """What it printed up to now."""
        return (self.folder / "stdout").read_text()

    @property
    def err(self) -> str:
        """What it and `inject` printed to stderr up to now."""
        return (self.folder / "stderr").read_text()

    @property
    def events(self) -> tuple[dict[str, Any], ...]:
        """The journal up to now."""
        journal = self.folder / "journal.jsonl"
        return tuple(read(journal)) if journal.exists() else ()

    @property
    def injections(self) -> list[dict[str, Any]]:
        """The faults up to now."""
        return [line for line in self.events if line["event"] == "injection"]

    def pid(self, lineage: str = "0") -> int:
        """Return the process id of a task of the target, as the journal has it."""
        found = [one["pid"] for one in self.events if one.get("task") == lineage]
        return int(found[0])

    def done(self, deadline: float = DEADLINE) -> Run:
        """Wait for its end."""
        status = self.process.wait(deadline)
        return Run(status, self.out, self.err, self.events)

    def stop(self, number: int = signal.SIGTERM) -> Run:
        """Ask it to end, and wait for that."""
        self.process.send_signal(number)
        return self.done()


@contextlib.contextmanager
def serving(
    folder: Path,
    command: Sequence[str],
    arguments: Sequence[str] | None,
    ready: Callable[[], bool],
    *,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server in `folder` under `inject run ARGUMENTS`, or bare for None, until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    words = list(command)
    if arguments is not None:
        journal = str(folder / "journal.jsonl")
        words = [*INJECT, "run", "--journal", journal, *arguments, "--", *command]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    server = Server(process, folder)
    try:
        wait_until(lambda: ready() or process.poll() is not None, f"{command[0]} is ready")
        assert ready(), f"{command[0]} ended with {process.returncode}: {server.err}{server.out}"
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tree(folder: Path, without: Sequence[str] = ()) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of everything below a folder, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name in without:
            continue
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        else:
            content = b""
        found[name] = (path.lstat().st_mode, content)
    return found


def both(
    folder: Path,
    command: Sequence[str],
    prepare: Callable[[Path], None] = lambda here: None,
    *,
    stdin: str = "",
    without: Sequence[str] = (),
    blur: str = r"(?!)",
    ordered: bool = True,
) -> Run:
    """Run a command bare and with every call stopped, in the same place, and compare all it left.

    `without` are files whose content is never the same, `blur` is what is never the
    same in the output; `ordered` is False if several threads print. Returns the
    second run.
    """
    here = folder / "here"
    env = {"HOME": str(here), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def shown(text: str) -> list[str]:
        lines = re.sub(blur, "~", text).split("\n")
        return lines if ordered else sorted(lines)

    here.mkdir()
    prepare(here)
    status, out, err = finish(command, env=env, cwd=here, stdin=stdin)
    files = tree(here, without)
    here.rename(folder / "bare")
    here.mkdir()
    prepare(here)
    run = inject(NEVER, command, env=env, cwd=here, stdin=stdin)
    assert (run.status, shown(run.out), shown(run.err)) == (status, shown(out), shown(err))
    assert tree(here, without) == files
    assert not run.injections
    assert run.events[-1]["event"] == "footer"
    (rule,) = run.events[-1]["rules"]
    assert rule["matched"] > 10 and rule["fired"] == 0
    return run
