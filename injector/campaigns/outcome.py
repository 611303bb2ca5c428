"""What came of a run, in one word, and its fingerprint: the same text for the same failure.

Pure. A fingerprint leaves out what differs from run to run: numbers of processes, addresses,
places of temporary files, times.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

CRASHES = frozenset(
    ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP", "SIGSTKFLT")
)
"""Signals that a program dies of by its own doing."""


class Verdict(enum.StrEnum):
    """What a run shows."""

    CRASH = "crash"
    HANG = "hang"
    CHECK = "check"
    SILENT = "silent"
    STORM = "storm"
    LEAK = "leak"
    HANDLED = "handled"
    UNAFFECTED = "unaffected"
    UNREACHED = "not reached"
    ERROR = "error"

    @property
    def failed(self) -> bool:
        """Whether the program did wrong."""
        return self in _FAILURES


_FAILURES = frozenset(
    (Verdict.CRASH, Verdict.HANG, Verdict.CHECK, Verdict.SILENT, Verdict.STORM, Verdict.LEAK)
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, its fingerprint, and one line for people."""

    verdict: Verdict
    fingerprint: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a program said of its own failure: who found it, what, and where."""

    kind: str
    message: str
    frame: str = ""

    def __str__(self) -> str:
        told = f"{self.kind} {self.message}".strip()
        return f"{told} in {self.frame}" if self.frame else told


_NORMALISED = (
    (re.compile(r"0x[0-9a-fA-F]+"), "0x"),
    (re.compile(r"(?:/private)?(?:/var)?/tmp/[^\s:'\"`)\]},;]*"), "/tmp"),
    (re.compile(r"/proc/\d+"), "/proc/N"),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "H"),
    (re.compile(r"\d+"), "N"),
    (re.compile(r"\s+"), " "),
)


def normal(text: str) -> str:
    """Return a message without what differs from run to run."""
    for pattern, instead in _NORMALISED:
        text = pattern.sub(instead, text)
    return text.strip()[:200]


# compiler-rt, sanitizer_common: "==PID==ERROR: AddressSanitizer: heap-use-after-free on …"
_SANITIZER = re.compile(
    r"(?:ERROR|WARNING): (?P<who>(?:Address|Leak|Memory|Thread|HWAddress)Sanitizer): "
    r"(?P<what>[^\n]*)"
)
_UNDEFINED = re.compile(r"^(?P<where>\S+?):\d+(?::\d+)?: runtime error: (?P<what>.*)$", re.M)
_FRAME = re.compile(r"^\s*#\d+ (?:0x[0-9a-f]+ )?(?:in )?(?P<name>(?!0x)[^\s(+]+)", re.M)
_INSIDE = re.compile(
    r"^(?:__interceptor_|__sanitizer|__asan|__msan|__tsan|__lsan|__ubsan|_*libc_|operator$|"
    r"malloc$|calloc$|realloc$|free$|(?:str|mem)[a-z]+$|raise$|abort$|\(|<null>)"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    # glibc assert(3): "prog: file.c:12: function: Assertion `x' failed."
    (
        "assert",
        re.compile(r"^.*?(?P<frame>[^\s:/]+):\d+: .*?(?P<what>Assertion [`'].*' failed)", re.M),
    ),
    # musl: "Assertion failed: x (file.c: function: 12)"
    ("assert", re.compile(r"^(?P<what>Assertion failed: .*?) \((?P<frame>[^\s:]+): ", re.M)),
    ("glibc", re.compile(r"^\*\*\* (?P<what>.*detected) \*\*\*", re.M)),
    (
        "malloc",
        re.compile(
            r"^(?P<what>(?:free|malloc|realloc|munmap_chunk|double free|corrupted|"
            r"malloc_consolidate)[^\n]*(?:invalid|corrupt|unaligned|double free)[^\n]*)$",
            re.M,
        ),
    ),
    # Rust 1.73 on has the message in the line below.
    (
        "panic",
        re.compile(
            r"^thread '.*?'(?: \(\d+\))? panicked at (?P<frame>[^\s:]+):\d+:\d+:\n(?P<what>.*)$",
            re.M,
        ),
    ),
    (
        "panic",
        re.compile(r"^thread '.*?' panicked at '(?P<what>.*)', (?P<frame>[^\s:]+):\d+:\d+$", re.M),
    ),
    ("fatal", re.compile(r"^fatal error: (?P<what>.*)$(?=[\s\S]*^goroutine )", re.M)),
    ("panic", re.compile(r"^panic: (?P<what>.*)$(?=[\s\S]*^goroutine )", re.M)),
    ("terminate", re.compile(r"^terminate called (?P<what>.*)$", re.M)),
    (
        "exception",
        re.compile(
            r"^Exception in thread \"[^\"]*\" (?P<what>.*)$(?:\n\s+at (?P<frame>[^\s(]+))?", re.M
        ),
    ),
    ("fatal", re.compile(r"^#\s+(?P<what>SIG[A-Z]+) \(0x", re.M)),  # the JVM's own crash
)
_TRACEBACK = "Traceback (most recent call last):"
_GO_FRAME = re.compile(
    r"^goroutine .*\n(?:(?:panic|runtime[./]).*\n\s.*\n)*(?P<name>[^\s(]+)", re.M
)


def report(text: str) -> Report | None:
    """Return what a program's stderr tells of its own failure, None if nothing."""
    found = _SANITIZER.search(text)
    if found:
        what = re.split(r" on (?:(?:unknown )?address|0x)| \(pid|: \d| in \S+$|\(", found["what"])[
            0
        ]
        return Report(found["who"], normal(what), _frame(text[found.end() :]))
    found = _UNDEFINED.search(text)
    if found:
        where = found["where"].rsplit("/", 1)[-1]
        return Report("UndefinedBehaviorSanitizer", normal(found["what"]), where)
    for kind, pattern in _PATTERNS:
        found = pattern.search(text)
        if found is None:
            continue
        frame = found.groupdict().get("frame") or ""
        if not frame and kind in ("panic", "fatal"):
            go = _GO_FRAME.search(text)
            frame = go["name"] if go else ""
        message = found["what"]
        if kind == "terminate":
            thrown = re.search(r"^\s+what\(\):\s+(.*)$", text, re.M)
            message += f" {thrown[1]}" if thrown else ""
        return Report(kind, normal(message), frame.rsplit("/", 1)[-1])
    return _traceback(text)


def _frame(text: str) -> str:
    """Return the first function of a sanitizer's stack that is the program's own."""
    names = [found["name"] for found in _FRAME.finditer(text)]
    return next((name for name in names if not _INSIDE.match(name)), names[0] if names else "")


def _traceback(text: str) -> Report | None:
    """Return the exception of Python's last traceback, and the function that raised it."""
    start = text.rfind(_TRACEBACK)
    if start < 0:
        return None
    frame = ""
    for line in text[start + len(_TRACEBACK) :].splitlines()[1:]:
        inside = re.match(r'\s+File ".*", line \d+, in (\S+)', line)
        if inside:
            frame = inside[1]
        elif line[:1].strip():
            return Report("exception", normal(line), frame)
    return None


def ending(status: int | None, signal: str | None) -> str:
    """Return how a process ended, in words."""
    if signal is not None:
        return f"signal {signal}"
    return "unknown" if status is None else f"exit {status}"


def crash(signals: Iterable[tuple[str, str]], stderr: str) -> str:
    """Return the fingerprint of a crash, "" if there was none.

    Args:
        signals: process and the signal it died of.
    """
    died = sorted({(process, name) for process, name in signals if name in CRASHES})
    told = report(stderr)
    if not died:
        sanitized = told is not None and told.kind.endswith("Sanitizer")
        return f"crash {told}" if sanitized else ""
    words = " ".join(f"{name} {process}".strip() for process, name in died)
    return f"crash {words}{f' {told}' if told else ''}"
