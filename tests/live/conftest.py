"""Victims: small C programs that check for themselves what they see, compiled once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.harness import ENGINE

# Shells start their background jobs with these ignored, nohup(1) the last; targets inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

VICTIMS = Path(__file__).parent / "victims"
HANDLED = (
    "own", "once", "executes", "inherited", "failed-execve", "while-it-reads", "shared", "executed",
)  # fmt: skip
"""The ways of the victim `handlers`."""
Victim = Callable[..., str]


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """Return a function: name of a source in victims/ (and compiler flags) -> program's path."""
    folder = tmp_path_factory.mktemp("victims")
    made: dict[tuple[str, ...], str] = {}

    def build(name: str, *flags: str) -> str:
        key = (name, *flags)
        if key not in made:
            program = folder / "-".join((name, *(flag.strip("-") for flag in flags)))
            source = VICTIMS / f"{name}.c"
            command = ["gcc", "-O1", "-Wall", "-Werror", "-pthread", *flags]
            subprocess.run([*command, "-o", program, source], check=True, timeout=60)
            made[key] = str(program)
        return made[key]

    return build


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a module's tests under each of its ENGINES; one marked `only` under that one."""
    engines = getattr(metafunc.module, "ENGINES", ())
    if engines:
        only = metafunc.definition.get_closest_marker("only")
        metafunc.parametrize("engine", only.args if only else engines, indirect=True)


# Of its own accord: pytest does not set up a fixture that only a parameter names.
@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have `inject run` use this engine; "" leaves the choice to it."""
    name = str(getattr(request, "param", ""))
    if name:
        monkeypatch.setenv(ENGINE, name)
    return name
