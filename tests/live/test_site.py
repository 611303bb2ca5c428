"""`site`: exactly that call fails, under both engines, in threads and in processes."""

from __future__ import annotations

import pytest

from .conftest import Victim
from .harness import inject

ENGINES = ("notify", "ptrace")


def failed(out: str) -> dict[str, list[int]]:
    """Return which calls of each task failed, as the victims tell."""
    lines = (line.split(":") for line in out.splitlines())
    return {name: [int(one) for one in numbers.split()] for name, numbers in lines}


def test_of_a_thread(victim: Victim) -> None:
    rules = ["-e", "site=0.3/getppid#7:error=EIO", "-e", "site=0.8/getppid#48+:error=EPERM"]
    run = inject(rules, [victim("threads"), "8", "50"])
    assert run.status == 0, run.err
    found = failed(run.out)
    assert {k: v for k, v in found.items() if v} == {"2": [7], "7": [48, 49, 50]}
    assert [one["site"] for one in run.injections if one["result"][3:6] == "EIO"] == [
        "0.3/getppid#7"
    ]


def test_of_a_process(victim: Victim) -> None:
    rules = ["-e", "site=0.2.1/getppid#3:error=EIO", "-e", "site=0.1/getppid#20+:error=EIO"]
    run = inject(rules, [victim("tree"), "3", "2", "20"])
    assert run.status == 0, run.err
    found = failed(run.out)
    assert {k: v for k, v in found.items() if v} == {"0.2.1": [3], "0.1": [20]}


def test_every_site_of_a_run_is_that_call_again(victim: Victim) -> None:
    rule = "getppid:error=EAGAIN:probability=7%"
    first = inject(["-e", rule, "--seed", "4"], [victim("threads"), "8", "100"])
    sites = [one["site"] for one in first.injections]
    assert len(sites) > 20
    rules = [word for site in sites for word in ("-e", f"site={site}:error=EAGAIN")]
    again = inject(rules, [victim("threads"), "8", "100"])
    assert again.out == first.out
    assert sorted(one["site"] for one in again.injections) == sorted(sites)


def test_a_call_of_the_loader() -> None:
    run = inject(["-e", "site=0/openat#2+:error=EMFILE"], ["/bin/cat", "/dev/null"])
    assert run.status == 127
    assert run.injections[0]["site"] == "0/openat#2"


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("0/getppid#51", "task 0 made getppid 50 times only"),
        ("0/getppid#51+", "getppid seen 50 times, before 0/getppid#51+"),
        ("0.7/getppid#1", "task 0.7 never made a getppid"),
    ],
)
def test_one_that_is_never_reached(victim: Victim, site: str, words: str) -> None:
    run = inject(["-e", f"site={site}:error=EIO"], [victim("tree"), "0", "0", "50"])
    assert run.status == 0
    assert f"rule-1 never fired: {words}" in run.err
