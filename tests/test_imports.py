"""Imports only point down (DESIGN §2), and `import labkit` is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "labkit"

# A module or subpackage directly below labkit, and the floor it stands on.
FLOORS = {
    **dict.fromkeys(["errors", "messages", "sockets", "faults", "capture", "waiting"], 0),
    **dict.fromkeys(["journal", "journal_file"], 0),
    "servers": 1,
    **dict.fromkeys(["service", "roster", "display", "background"], 2),
    **dict.fromkeys(["exercises", "lens", "kernel"], 3),
    "course": 4,
    "__main__": 5,
}
# A wing of its own, and the public face, whose imports are lazy and point anywhere.
WING, FACE = "patterns", "__init__"

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """`labkit/servers/wsgi.py` → `servers`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Every `labkit…` module that the file imports, absolutely or relatively, also inside functions."""
    here = ["labkit", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "labkit")
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "labkit":
                # `from labkit import x`: a module of that name, or a public name of the face.
                yield from (f"labkit.{name.name}" for name in node.names)
            elif module.startswith("labkit."):
                yield module


def floor_of(imported: str) -> float:
    """The floor of an imported name; the face stands above all, as its names come from everywhere."""
    part = imported.split(".")[1] if "." in imported else FACE
    return FLOORS.get(part, float("inf"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_point_down(path: Path) -> None:
    part = part_of(path)
    if part == FACE:
        pytest.skip("the public face: its names are loaded lazily, from every floor")
    if part == WING:
        outside = [name for name in imports_of(path) if not name.startswith(f"labkit.{WING}")]
        assert not outside, "patterns could be copied into a real service: they import nothing else of labkit"
        return
    assert part in FLOORS, f"labkit.{part} stands on no floor: give it one in DESIGN §2 and here"
    upwards = [
        name for name in imports_of(path) if name.split(".")[1:2] != [WING] and floor_of(name) > FLOORS[part]
    ]
    assert not upwards


def test_a_floor_below_may_not_know_the_patterns() -> None:
    """Only lessons' machinery (floor 3 and above) may use a pattern."""
    for path in MODULES:
        if FLOORS.get(part_of(path), 4) < 3:
            assert not [name for name in imports_of(path) if name.startswith(f"labkit.{WING}")], path


def test_an_import_upwards_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finder itself: lazily, relatively, by the package, by a name of the package."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    module = tmp_path / "servers" / "wsgi.py"
    module.parent.mkdir()
    module.write_text(
        "import labkit\n"
        "from labkit import kernel\n"
        "from .base import Server\n"
        "from .. import course\n"
        "def later():\n"
        "    from ..service import Service\n"
        "    import labkit.lens.plots\n"
    )
    assert sorted(imports_of(module)) == [
        "labkit",
        "labkit.course",
        "labkit.kernel",
        "labkit.lens.plots",
        "labkit.servers.base",
        "labkit.service",
    ]


@pytest.mark.parametrize("program", ["import labkit", "import labkit; labkit.serve"])
def test_import_labkit_loads_nothing_heavy(program: str) -> None:
    heavy = {"matplotlib", "pandas", "numpy", "opentelemetry"}
    if program == "import labkit":
        heavy |= {"flask", "aiohttp", "werkzeug", "requests", "IPython"}
    code = f"import sys; {program}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(loaded.stdout.split())
