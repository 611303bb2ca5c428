"""The house: an import goes down or stays on its floor, never up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import injector

ROOT = Path(injector.__file__).parent
FLOORS = ("words", "linux", "rules", "engines", "session", "campaigns", "faces")
MODULES = sorted(ROOT.rglob("*.py"))


def floor_of(parts: tuple[str, ...]) -> int:
    return FLOORS.index(parts[0]) if parts and parts[0] in FLOORS else len(FLOORS)


def imports(path: Path) -> list[tuple[int, str]]:
    package = ("injector", *path.relative_to(ROOT).parts[:-1])
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            found.append((node.lineno, ".".join((*base, *filter(None, [node.module])))))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    mine = floor_of(path.relative_to(ROOT).parts)
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "injector" and len(parts) > 1:
            assert floor_of(tuple(parts[1:])) <= mine, f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_wall_touches_ctypes_and_only_faces_draw(path: Path) -> None:
    mine = floor_of(path.relative_to(ROOT).parts)
    for line, name in imports(path):
        top = name.split(".")[0]
        if top in ("ctypes", "fcntl", "pyseccomp", "ptrace"):
            assert mine == FLOORS.index("linux"), f"{path}:{line} imports {name}"
        if top in ("rich", "click"):
            assert mine >= FLOORS.index("faces"), f"{path}:{line} imports {name}"


def test_the_walk_sees_something() -> None:
    assert len(MODULES) > 50
    assert any(name == "injector.linux.seccomp" for p in MODULES for _, name in imports(p))
