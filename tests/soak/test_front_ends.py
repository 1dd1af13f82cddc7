"""Lessons without JupyterLab: nbconvert and papermill run them from a command line.

What they show is compared with what is committed, cell by cell, as nbval does it in `make test`.
"""

from __future__ import annotations

import configparser
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from support import take_fixed_ports

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.soak

COMMANDS = {
    "nbconvert": ["nbconvert", "--to", "notebook", "--execute", "--output-dir=."],
    "papermill": ["papermill", "--no-progress-bar"],
}


@pytest.mark.parametrize("lesson", ["00_inicio", "05_event_sourcing"])
@pytest.mark.parametrize("tool", COMMANDS)
def test_a_command_line_runs_a_lesson_and_shows_what_is_committed(
    tool: str, lesson: str, tmp_path: Path
) -> None:
    committed = ROOT / "notebooks" / f"{lesson}.ipynb"
    made = tmp_path / f"{lesson}.ipynb"
    command = [sys.executable, "-m", *COMMANDS[tool], str(committed)]
    command += [str(made)] if tool == "papermill" else []
    with take_fixed_ports() if lesson == "00_inicio" else contextlib.nullcontext():
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(shown(made)) == list(shown(committed))


def shown(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each code cell's source and the words that it shows, without what may differ between two runs."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code":
            continue
        said = ""
        for output in cell.outputs:
            said += output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for pattern, replacement in SANITIZE:
            said = re.sub(pattern, replacement, said)
        yield cell.source, said


def sanitize() -> list[tuple[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "tests" / "sanitize.cfg", encoding="utf-8")
    return [(parser[each]["regex"], parser[each]["replace"]) for each in parser.sections()]


SANITIZE = sanitize()
