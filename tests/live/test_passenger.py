"""Failure simulation as Phusion Passenger 4.0 beta 2 had it: one helper of several, by name.

Which errors, with which chance, in which of the program's processes; the same seed
gives the same faults, and the other processes never see one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .harness import Run, inject

WATCHDOG = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
def agent(name):
    libc.prctl(15, name.encode(), 0, 0, 0)
    failed = []
    for turn in range(600):
        try:
            os.close(os.open("/etc/hostname", os.O_RDONLY))
        except OSError as error:
            failed.append(f"{turn}:{error.errno}")
    os.write(1, f"{name} {' '.join(failed)}\\n".encode())
for name in ("HelperAgent", "LoggingAgent", "SpawnAgent"):
    if os.fork() == 0:
        agent(name)
        os._exit(0)
libc.prctl(15, b"Watchdog", 0, 0, 0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""
SCENARIO = """
name: helper-out-of-descriptors
rules:
  - name: helper
    syscalls: [open, openat]
    path: /etc/hostname
    process: "{process}"
    error: {error}
"""


def simulate(folder: Path, seed: int, process: str, error: str) -> tuple[dict[str, list[str]], Run]:
    """Run the agents under the scenario; return what each saw fail, by its name."""
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO.format(process=process, error=error))
    run = inject([str(scenario), "--seed", str(seed)], [sys.executable, "-c", WATCHDOG])
    assert run.status == 0, run.err
    lines = (line.split() for line in run.out.splitlines())
    return {name: failed for name, *failed in lines}, run


def test_one_process_by_name_fails_and_the_others_do_not(tmp_path: Path) -> None:
    seen, run = simulate(tmp_path, 4, "HelperAgent", "{EMFILE: 1%}")
    assert seen["LoggingAgent"] == seen["SpawnAgent"] == []
    assert 0 < len(seen["HelperAgent"]) < 30  # of 600: 1 %
    assert {failed.partition(":")[2] for failed in seen["HelperAgent"]} == {"24"}
    assert "inject: seed 4 (given)" in run.err
    assert len(run.injections) == len(seen["HelperAgent"])
    for fault, failed in zip(run.injections, seen["HelperAgent"], strict=True):
        assert (fault["process"], fault["fault"]) == ("HelperAgent", "error EMFILE")
        assert fault["occurrence"] == int(failed.partition(":")[0]) + 1
        assert fault["site"].startswith("0.1/openat#")


def test_the_same_seed_gives_the_same_faults_and_another_does_not(tmp_path: Path) -> None:
    error = "{EMFILE: 1%, ENFILE: 2%}"
    first, run = simulate(tmp_path, 4, "*Agent", error)
    for _ in range(3):
        again, repeated = simulate(tmp_path, 4, "*Agent", error)
        assert again == first
        assert repeated.sites == run.sites
    other, different = simulate(tmp_path, 5, "*Agent", error)
    assert other != first and different.sites != run.sites
    numbers = [failed.partition(":")[2] for one in first.values() for failed in one]
    assert 0 < numbers.count("24") < numbers.count("23")
    assert len(set(map(tuple, first.values()))) == 3  # each process has a coin of its own


def test_a_higher_chance_only_adds_faults(tmp_path: Path) -> None:
    few, _ = simulate(tmp_path, 4, "HelperAgent", "{EMFILE: 1%}")
    many, _ = simulate(tmp_path, 4, "HelperAgent", "{EMFILE: 5%}")
    assert set(few["HelperAgent"]) < set(many["HelperAgent"])
