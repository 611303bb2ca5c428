"""A session as the dashboard is told of it, made up: the same at each run."""

from __future__ import annotations

import random
from typing import Any

from injector.faces.ui.model import Model

RULES: list[dict[str, Any]] = [
    {"rule": "full-disk", "text": "write,fsync:path=/var/lib/redis/**:probability=2%:error=ENOSPC",
     "probability": 0.02, "seen": 41_230, "matched": 1210, "due": 1210, "fired": 27,
     "expected": 24.2, "last": 751.2, "misses": {"path": 40_020}, "examples": {"path": "pipe:[7]"}},
    {"rule": "slow-net", "text": "%network:address=10.0.0.0/8:delay=10ms..50ms:name=slow-net",
     "probability": 1.0, "seen": 88_114, "matched": 611, "due": 611, "fired": 611,
     "expected": 611.0, "last": 753.9},
    {"rule": "no-sockets", "text": "socket,accept4:error=EMFILE:probability=50%", "enabled": False,
     "probability": 0.5, "limit": 10, "error": "EMFILE", "seen": 310, "matched": 310, "due": 310,
     "fired": 9, "expected": 2.5, "last": 301.0},
    {"rule": "rule-4", "text": "openat:args.flags=O_CREAT:error=EACCES", "probability": 1.0},
]  # fmt: skip
TASKS = [
    ("0", 4711, 4711, "redis-server", "redis-server", 190_022, 611),
    ("0.1", 4711, 4713, "redis-server", "bio_close_file", 12, 0),
    ("0.2", 4711, 4714, "redis-server", "bio_aof", 40_213, 27),
    ("0.3", 4711, 4715, "redis-server", "jemalloc_bg_thd", 3, 0),
    ("0.7", 4790, 4790, "redis-rdb-bgsave", "redis-rdb-bgsave", 511, 9),
]
CALLS = {
    "write": 60_210, "read": 60_114, "epoll_wait": 60_001, "sendto": 21_733, "recvfrom": 20_998,
    "fsync": 1020, "socket": 310, "openat": 97, "clone3": 8, "rename": 3,
}  # fmt: skip
PATH = "/var/lib/redis/appendonly.aof.1.incr.aof"
MADE = [
    ("0.2", "full-disk", "write", f"8<{PATH}>, 0x7f21e0350ad0, 114", "error ENOSPC",
     "-1 ENOSPC (No space left on device)", "redis-server"),
    ("0", "slow-net", "sendto", "9<10.0.0.7:51512>, 0x7ffd10, 21, 0, NULL, 0", "delay 31ms",
     "made", "redis-server"),
    ("0.7", "no-sockets", "socket", "AF_INET, SOCK_STREAM, 0", "error EMFILE",
     "-1 EMFILE (Too many open files)", "redis-rdb-bgsave"),
]  # fmt: skip


def snapshot(t: float, **more: Any) -> dict[str, Any]:
    """Return how the session stands after so many seconds."""
    part = t / 754.0
    counts = ("seen", "matched", "due", "fired", "expected")
    rules = [
        {**row, **{key: type(row[key])(row[key] * part) for key in counts if key in row}}
        for row in RULES
    ]
    fields = ("task", "pid", "tid", "process", "thread", "calls", "faults")
    return {
        "t": t, "version": "0.1.0", "scenario": "redis-under-pressure", "seed": 42,
        "engine": "notify", "command": ["redis-server", "--port", "0", "--appendonly", "yes"],
        "pid": 4711, "process": "redis-server", "paused": False, "attached": False,
        "faults": int(647 * part), "calls": {k: int(n * part) for k, n in CALLS.items()},
        "named": sorted(CALLS), "tasks_total": len(TASKS), "rules": rules,
        "tasks": [dict(zip(fields, row, strict=True)) for row in TASKS], **more,
    }  # fmt: skip


def injection(number: int, t: float) -> dict[str, Any]:
    """Return the event of one injection."""
    task, rule, call, args, fault, result, process = MADE[number % len(MADE)]
    event = {
        "event": "injection", "t": t, "site": f"{task}/{call}#{number}", "rule": rule, "pid": 4711,
        "tid": 4711 + number % 3, "process": process, "syscall": call, "args": args,
        "path": PATH if call == "write" else "", "fault": fault, "result": result,
        "occurrence": number,
    }  # fmt: skip
    if number % 3 == 1:
        event["stack"] = ["sendto+0x1c (libc.so.6)", "connSocketWrite+0x20 (redis-server)"]
    return event


def sample(**more: Any) -> Model:
    """Return a session that has run for 754 seconds."""
    model, chance = Model(), random.Random(1)
    for t in range(690, 755):
        model.snapshot(snapshot(t + chance.random() * 0.9, **more))
    for number in range(1, 64):
        model.event(injection(number, 690 + number))
    model.event({"event": "control", "t": 753.5, "what": "enable", "detail": "slow-net"})
    model.event(injection(64, 753.9))
    model.snapshot(snapshot(754.0, **more))
    return model


OUTPUT = [
    "4711:M 24 Nov 2026 09:12:01.120 * Ready to accept connections tcp",
    "4711:M 24 Nov 2026 09:12:03.418 # Error writing to the AOF: No space left on device",
    "4711:M 24 Nov 2026 09:12:04.001 * AOF write error looks solved. The server can write again.",
]
