"""A running program under load, and `inject attach` to it.

A client asks numbered things and knows each answer beforehand; a refusal counts
as ordered only where the fault that the test orders can be the reason. Whatever
else is not the right answer in time is wrong, and kept with its traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .harness import INJECT
from .servers import Server, wait_until

ATTACH = (*INJECT, "attach")
PATIENCE = 20.0
PAUSE = 0.001  # seconds before a question, so that the clients are not all that runs
STAYING = 4
"""How many clients stay; a client with a higher index may have the program start processes."""


class Client(Protocol):
    """One connection to the program under test."""

    def ask(self, number: int) -> bool:
        """Ask, and check the answer; True: it was right, False: refused as ordered."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs, and how it is asked."""

    server: Server
    connect: Callable[[int], Client]
    visit: Callable[[], None]
    """Ask once with the program's own client, and check the answer."""
    ordered: str
    """The rule whose every injection is one refusal that a client sees."""
    slow: str
    """A rule that delays some calls."""
    forks: bool = False
    """Whether it starts a process for each connection."""


class Wire:
    """A TCP connection whose every read ends in time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """Receive a line, and return it without its end."""
        line = self.file.readline()
        assert line.endswith(b"\n"), f"the connection ended after {line!r}"
        return line.rstrip(b"\r\n")

    def exactly(self, size: int) -> bytes:
        """Receive so many bytes."""
        data = self.file.read(size)
        assert len(data) == size, f"the connection ended after {len(data)} of {size} bytes"
        return data

    def close(self) -> None:
        """End the connection."""
        self.file.close()
        self.socket.close()


@dataclass(slots=True)
class Asker:
    """A thread that asks again and again, and what came of it."""

    name: str
    right: int = 0
    ordered: int = 0
    wrong: str = ""
    thread: threading.Thread = field(default_factory=threading.Thread)

    @property
    def answers(self) -> int:
        """All answers as they should be."""
        return self.right + self.ordered


@dataclass(slots=True)
class Load:
    """Askers on connections that stay, one that connects each time anew, and visitors."""

    program: Program
    askers: list[Asker] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def ordered(self) -> int:
        """How many answers were refusals as ordered."""
        return sum(asker.ordered for asker in self.askers)

    def check(self) -> None:
        """Fail if an answer was wrong."""
        wrong = [f"{one.name} after {one.answers}: {one.wrong}" for one in self.askers if one.wrong]
        assert not wrong, "\n".join(wrong)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until `holds`; fail at the first wrong answer."""
        try:
            wait_until(lambda: holds() or any(one.wrong for one in self.askers), what)
        except AssertionError as error:
            root = self.program.server.process.pid
            raise AssertionError(f"{error}\n{standing(family(root))}") from None
        self.check()

    def progress(self, count: int) -> None:
        """Wait until each asker has had so many more answers."""
        goals = [(asker, asker.answers + count) for asker in self.askers]

        def late() -> list[str]:
            return [asker.name for asker, goal in goals if asker.answers < goal]

        try:
            self.until(lambda: not late(), f"{count} more answers for each")
        except AssertionError as error:
            raise AssertionError(f"{error}; no end yet: {late()}") from None

    def add(self, name: str, work: Callable[[Asker], None]) -> Asker:
        """Start one more asker, which ends at its first wrong answer."""

        def run() -> None:
            try:
                work(asker)
            except Exception:
                asker.wrong = traceback.format_exc()

        asker = Asker(name)
        asker.thread = threading.Thread(target=run, name=name, daemon=True)
        self.askers.append(asker)
        asker.thread.start()
        return asker

    def stay(self, index: int) -> Callable[[Asker], None]:
        """Return the work of an asker on one connection."""

        def work(asker: Asker) -> None:
            client = self.program.connect(index)
            with contextlib.closing(client):
                while not self.over.wait(PAUSE):
                    if client.ask(asker.answers):
                        asker.right += 1
                    else:
                        asker.ordered += 1

        return work

    def come_and_go(self, index: int) -> Callable[[Asker], None]:
        """Return the work of an asker that connects anew for every question."""

        def work(asker: Asker) -> None:
            while not self.over.wait(PAUSE):
                with contextlib.closing(self.program.connect(index)) as client:
                    if client.ask(asker.answers):
                        asker.right += 1
                    else:
                        asker.ordered += 1

        return work

    def visit(self, asker: Asker) -> None:
        """Ask with the program's own client."""
        while not self.over.wait(20 * PAUSE):
            self.program.visit()
            asker.right += 1


@contextlib.contextmanager
def load(program: Program, staying: int = STAYING) -> Iterator[Load]:
    """Put a program under load; at the end every question must have had its right answer."""
    one = Load(program)
    try:
        for index in range(staying):
            one.add(f"staying {index}", one.stay(index))
        one.progress(1)  # whom the program starts for them is there now
        yield one
    finally:
        one.over.set()
        for asker in one.askers:
            asker.thread.join(PATIENCE + 5)
    one.check()
    assert not any(asker.thread.is_alive() for asker in one.askers)


def come(one: Load) -> Asker:
    """Add the askers for whom the program may start processes that soon end; return the first."""
    passer = one.add("coming and going", one.come_and_go(STAYING))
    one.add("visitor", one.visit)
    one.progress(1)
    return passer


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{parent}/task"):
                text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                found += map(int, text.split())
    return found


def tasks(pids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return /proc/TID/status of every thread of some processes; who has ended is left out."""
    found = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    lines = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
                    words = (line.partition(":") for line in lines)
                    found[int(task)] = {key: value.strip() for key, _, value in words}
    return found


def standing(pids: Sequence[int]) -> str:
    """Return where every thread of some processes stands, for the message of a failure."""
    keys = ("Name", "Tgid", "State", "TracerPid", "SigPnd", "ShdPnd", "SigBlk")
    lines = []
    for tid, status in tasks(pids).items():
        call = ""
        with contextlib.suppress(OSError):
            call = Path(f"/proc/{tid}/syscall").read_text().strip()
        lines.append(f"{tid} {' '.join(status.get(key, '') for key in keys)} in {call}")
    return "\n".join(lines)


def assert_let_go(root: int) -> None:
    """Fail if a thread of a process or its descendants is traced, or stands still."""
    for tid, status in tasks(family(root)).items():
        assert status["TracerPid"] == "0", (tid, status["Name"], status["TracerPid"])
        assert status["State"][0] not in "Tt", (tid, status["Name"], status["State"])


@contextlib.contextmanager
def attaching(folder: Path, pids: Sequence[int], arguments: Sequence[str]) -> Iterator[Server]:
    """Start to attach, and be sure of the injector's end."""
    folder.mkdir(parents=True)
    journal = str(folder / "journal.jsonl")
    words = [*ATTACH, *map(str, pids), "--journal", journal, *arguments]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    try:
        yield Server(process, folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def attached(folder: Path, pids: Sequence[int], arguments: Sequence[str]) -> Iterator[Server]:
    """Attach, and wait until every thread is held."""
    with attaching(folder, pids, arguments) as one:
        process = one.process
        wait_until(lambda: bool(one.events) or process.poll() is not None, "the journal's header")
        assert one.events, f"ended with {process.returncode}: {one.err}"
        yield one


def traced(pids: Sequence[int]) -> bool:
    """Return whether some thread of some processes has a tracer."""
    return any(status["TracerPid"] != "0" for status in tasks(pids).values())


@contextlib.contextmanager
def ended_with_family(server: Server, polite: int = signal.SIGTERM) -> Iterator[None]:
    """Whatever happens, end a server and its descendants, some of which left its session."""
    try:
        yield
    finally:
        pids = family(server.process.pid)
        server.process.send_signal(polite)
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            for pid in pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
