"""Both engines give the same journal: the same faults at the same Sites, with the same words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .conftest import Victim
from .harness import inject

# What differs from run to run: times and numbers of processes.
FIELDS = ("site", "rule", "syscall", "args", "path", "fault", "result", "occurrence", "process")


def facts(victim: Victim, engine: str, program: list[str], rules: list[str]) -> dict[str, Any]:
    words = [word for rule in rules for word in ("-e", rule)]
    run = inject(["--engine", engine, "--seed", "7", *words], program)
    # Addresses in arguments are the kernel's choice.
    faults = [
        {field: re.sub("0x[0-9a-f]+", "0x", str(one[field])) for field in FIELDS}
        for one in run.injections
    ]
    return {
        "status": run.status,
        "out": sorted(run.out.splitlines()),
        "faults": sorted(faults, key=lambda one: (one["site"], one["rule"])),
        "tasks": sorted(one["task"] for one in run.of("task_start")),
        "ends": sorted((one["task"], one["exit"], one["signal"]) for one in run.of("task_end")),
        "rules": run.events[-1]["rules"],
        "outcome": run.events[-1]["outcome"],
    }


@pytest.mark.parametrize(
    ("program", "arguments", "rules"),
    [
        ("threads", ["4", "50"], ["getppid:probability=20%:error={EIO: 3, EPERM: 1}"]),
        ("tree", ["2", "2", "20"], ["getppid:when=3+4:error=EIO:per=process", "getppid:retval=1"]),
        ("copy", [], ["read,write:probability=50%:error=EINTR", "openat:delay=1ms:when=1"]),
        ("life", ["fails-once"], ["getppid:when=1:error=EIO:delay=5ms:signal=SIGCHLD"]),
        ("life", ["forks", "5"], ["getppid:kill=before:when=9", "clone:when=2:error=EAGAIN"]),
    ],
)
def test_same_journal(victim: Victim, program: str, arguments: list[str], rules: list[str]) -> None:
    command = [victim(program), *arguments]
    notify = facts(victim, "notify", command, rules)
    ptrace = facts(victim, "ptrace", command, rules)
    assert notify == ptrace
    assert any(rule["seen"] for rule in notify["rules"])


def test_same_journal_of_a_real_program() -> None:
    command = ["sh", "-c", "ls /etc/hostname /nowhere; cat /etc/hostname /etc/hosts | wc -l"]
    rules = ["openat:path=/etc/hosts:error=EMFILE", "write:fd=1:delay=1ms:probability=50%"]
    words = [word for rule in rules for word in ("-e", rule)]
    runs = [inject(["--engine", e, "--seed", "3", *words], command) for e in ("notify", "ptrace")]
    one, other = (sorted((i["rule"], i["syscall"], i["fault"]) for i in r.injections) for r in runs)
    assert one == other != []
    assert runs[0].out == runs[1].out
