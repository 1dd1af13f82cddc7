"""Imports only point down (DESIGN §2) and in no circle, and `import labkit` is cheap."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "labkit"
PATTERNS = sorted(path.parent for path in PACKAGE.glob("patterns/[a-z]*/__init__.py"))

# A module or subpackage directly below labkit, and the floor it stands on.
FLOORS = {
    **dict.fromkeys(["errors", "messages", "sockets", "faults", "capture", "waiting"], 0),
    **dict.fromkeys(["journal", "journal_file", "entries", "traces", "client_hooks", "patching"], 0),
    "servers": 1,
    **dict.fromkeys(["service", "roster", "display", "background"], 2),
    **dict.fromkeys(["exercises", "lens", "kernel", "pytest_plugin"], 3),
    "course": 4,
    "__main__": 5,
}
# A wing of its own, and the public face, whose imports are lazy and point anywhere.
WING, FACE = "patterns", "labkit"


def module_of(path: Path, package: Path = PACKAGE) -> str:
    """`labkit/servers/wsgi.py` → `labkit.servers.wsgi`, `labkit/servers/__init__.py` → `labkit.servers`."""
    parts = ["labkit", *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files_of(package: Path) -> dict[str, Path]:
    return {module_of(path, package): path for path in sorted(package.rglob("*.py"))}


def part_of(module: str) -> str:
    """`labkit.servers.wsgi` → `servers`."""
    return module.split(".")[1] if "." in module else FACE


def imports_of(path: Path, package: Path = PACKAGE) -> set[str]:
    """Every module of labkit that a file imports, however it does.

    Absolutely or relatively, at the top, for types alone or inside a function; by a string that is a module's
    name, and in the text of a program.
    """
    modules = files_of(package)
    tree = ast.parse(path.read_text("utf-8"))
    return set(_imports(tree, [*path.relative_to(package).with_suffix("").parts], modules)) - {
        module_of(path, package)
    }


def _imports(tree: ast.AST, here: list[str], modules: dict[str, Path]) -> Iterator[str]:
    here = ["labkit", *here]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "labkit")
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.split(".")[0] == "labkit":
                submodules = [f"{module}.{name.name}" for name in node.names]
                yield from (name if name in modules else module for name in submodules)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in modules and "." in node.value:
                yield node.value
            elif re.search(r"^(from|import) labkit", node.value, re.MULTILINE):
                try:
                    program = ast.parse(node.value)
                except SyntaxError:  # prose that begins like a program
                    continue
                yield from _imports(program, ["__main__"], modules)


MODULES = files_of(PACKAGE)
GRAPH = {module: imports_of(path) for module, path in MODULES.items() if module != FACE}


def floor_of(module: str) -> float:
    """The floor of an imported module; the face stands above all, as its names come from everywhere."""
    return FLOORS.get(part_of(module), float("inf"))


def test_no_import_is_part_of_a_circle() -> None:
    try:
        order = list(TopologicalSorter(GRAPH).static_order())
    except CycleError as circle:
        pytest.fail(f"a circle: {' → '.join(circle.args[1])}")
    assert set(order) == set(GRAPH)


@pytest.mark.parametrize("module", GRAPH)
def test_imports_only_point_down(module: str) -> None:
    part = part_of(module)
    if part == WING:
        outside = [name for name in GRAPH[module] if part_of(name) != WING]
        assert not outside, "patterns could be copied into a real service: they import nothing else of labkit"
        return
    assert part in FLOORS, f"labkit.{part} stands on no floor: give it one in DESIGN §2 and here"
    upwards = [name for name in GRAPH[module] if part_of(name) != WING and floor_of(name) > FLOORS[part]]
    assert not upwards


def test_a_floor_below_may_not_know_the_patterns() -> None:
    """Only lessons' machinery (floor 3 and above) may use a pattern."""
    for module, imported in GRAPH.items():
        if FLOORS.get(part_of(module), 4) < 3:
            assert not [name for name in imported if part_of(name) == WING], module


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
    for name in ("__init__", "base", "wsgi", "child"):
        file = tmp_path / "servers" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for name in ("__init__", "service", "course", "kernel", "lens"):
        (tmp_path / f"{name}.py").touch()
    module = tmp_path / "servers" / "wsgi.py"
    module.write_text(
        "import labkit\n"
        "from labkit import kernel\n"
        "from .base import Server\n"
        "from .. import course\n"
        "def later():\n"
        "    from ..service import Service\n"
        "    importlib.import_module('labkit.lens')\n"
        "    subprocess.run([python, '-c', 'import sys\\nfrom labkit.servers.child import main\\n'])\n"
        "PROSE = '''import labkit in a cell, and it works'''\n"
    )
    assert imports_of(module, tmp_path) == {
        "labkit",
        "labkit.course",
        "labkit.kernel",
        "labkit.lens",
        "labkit.servers.base",
        "labkit.servers.child",
        "labkit.service",
    }


@pytest.mark.parametrize(
    "program", ["import labkit", "import labkit; labkit.serve", "import labkit.pytest_plugin"]
)
def test_import_labkit_loads_nothing_heavy(program: str) -> None:
    heavy = {"matplotlib", "pandas", "numpy", "opentelemetry"}
    if program != "import labkit; labkit.serve":
        heavy |= {"flask", "aiohttp", "werkzeug", "requests", "IPython"}
    code = f"import sys; {program}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(loaded.stdout.split())


@pytest.mark.parametrize("name", ["labkit", *(f"labkit.patterns.{path.name}" for path in PATTERNS)])
def test_every_public_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
