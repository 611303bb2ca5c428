"""Scenarios by file or by name: found, read, checked. The only place that opens them.

YAML and pydantic are imported when a scenario is read, not before: `inject run -e …` needs
neither, and they cost a tenth of a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from injector.words.errors import InjectError
from injector.words.model import Scenario

from .fields import closest

SUFFIXES = (".yaml", ".yml", ".json")


class Shipped(NamedTuple):
    """A scenario that comes with the product."""

    name: str
    about: str
    path: Path


def scenarios_dirs() -> tuple[Path, ...]:
    """Return the folder of shipped scenarios: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "scenarios"
    return (inside if inside.is_dir() else package.parent / "scenarios",)


def shipped(dirs: Iterable[Path] | None = None) -> list[Shipped]:
    """Return the shipped scenarios by name; `about` is read without checking the rest."""
    return [Shipped(name, _about(path), path) for name, path in _paths(dirs).items()]


def load_scenario(spec: str, dirs: Iterable[Path] | None = None) -> Scenario:
    """Return the scenario of a file, or the shipped one of that name.

    Raises ScenarioError with all mistakes of the file, InjectError when there is none.
    """
    if not spec:
        raise InjectError("the name of the scenario is empty", help="see inject list scenarios")
    path = Path(spec)
    if (
        os.sep in spec
        or path.suffix in SUFFIXES
        or _is(path, lambda one: one.exists() and not one.is_dir())
    ):
        return load_file(path)
    known = _paths(dirs)
    if spec in known:
        return load_file(known[spec])
    if _is(path, Path.is_dir):
        raise InjectError(f"{spec} is a directory, not a scenario file")
    raise InjectError(
        f"no scenario '{spec}': neither a file nor a shipped one{closest(spec, known)}",
        help="see inject list scenarios",
    )


def load_file(path: Path) -> Scenario:
    """Return the scenario of a file; ScenarioError or InjectError as `load_scenario()`."""
    from .document import build_scenario
    from .yaml_source import read_text

    return build_scenario(read_text(str(path)), str(path), path.stem)


def load_text(text: str, source: str = "scenario") -> Scenario:
    """Return the scenario of a YAML text; `source` names it in messages. Raises ScenarioError."""
    from .document import build_scenario

    return build_scenario(text, source, "")


def _is(path: Path, what: Callable[[Path], bool]) -> bool:
    try:
        return what(path)
    except (OSError, ValueError):
        return False


def _paths(dirs: Iterable[Path] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in scenarios_dirs() if dirs is None else dirs:
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES[:2] and path.is_file():
                    found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _about(path: Path) -> str:
    from .yaml_source import parse, read_text

    try:
        root = parse(read_text(str(path)), str(path))
    except InjectError:
        return ""
    pairs = root.pairs if root is not None else []
    return next((value.text for key, value in pairs if key.text == "about"), "")
