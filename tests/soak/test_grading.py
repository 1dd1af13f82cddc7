"""nbgrader as a teacher runs it: three students hand in a lesson, and their marks are what the checks say."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
LESSON = "01_service_discovery"
# What the student «mitad» has answered, and what has answered wrong: (in the master, in its place).
HALF = {"SD-1", "SD-2", "SD-3", "SD-4a"}
WRONG = {"SD-4b": (", timeout=1", "")}
# What «bien» writes besides: no mistake, though nbgrader gives nothing for a check that shows any stderr.
NOISE = {"SD-4b": ("def sanas(urls):", "import sys\ndef sanas(urls):\n    print('ojo', file=sys.stderr)")}


# Where `make soak` puts nbgrader.
BINARIES = Path(sys.prefix, "grading", "Scripts" if sys.platform == "win32" else "bin")
PYTHON = BINARIES / Path(sys.executable).name

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not PYTHON.exists(), reason="nbgrader is not here: make soak installs it"),
]


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class that was handed out a lesson, handed it in, and had it graded."""
    course = tmp_path_factory.mktemp("clase")
    shutil.copy(ROOT / "deploy" / "nbgrader" / "nbgrader_config.py", course)
    (course / "source" / "01").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "soluciones" / f"{LESSON}.ipynb", course / "source" / "01")
    nbgrader(course, "generate_assignment", "01")
    for student in ("bien", "mitad", "vacio"):
        place = course / "submitted" / student / "01"
        place.mkdir(parents=True)
        nbformat.write(handed_in(course, student), place / f"{LESSON}.ipynb")
    said = nbgrader(course, "autograde", "01", "--create")
    assert "cannot be converted to" not in said, "a check's value is not taken for points"
    nbgrader(course, "generate_feedback", "01")
    nbgrader(course, "export", "--to=notas.csv")
    return course


def nbgrader(course: Path, *arguments: str) -> str:
    """Run it in the folder of the course; return what it said."""
    return python(course, "-m", "nbgrader", *arguments)


def python(course: Path, *arguments: str) -> str:
    """Run nbgrader's Python; return what it said."""
    command = [str(PYTHON), *arguments]
    path = os.pathsep.join([str(BINARIES), os.environ["PATH"]])  # nbgrader calls alembic by name
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout + done.stderr


def handed_in(course: Path, student: str) -> nbformat.NotebookNode:
    """The released notebook, with the answers of the master that this student has found."""
    released = nbformat.read(course / "release" / "01" / f"{LESSON}.ipynb", 4)
    master = nbformat.read(course / "source" / "01" / f"{LESSON}.ipynb", 4)
    answers = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in master.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    found = {"bien": set(answers), "mitad": HALF | set(WRONG), "vacio": set()}[student]
    changes = {"bien": NOISE, "mitad": WRONG, "vacio": {}}[student]
    for cell in released.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in found:
            old, new = changes.get(name, ("", ""))
            assert old in answers[name]
            cell.source = answers[name].replace(old, new) if old else answers[name]
    return released


# [student, exercise, points by the checks, the most there are, whether a person has to look] for each grade
GRADES = """
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps([
        [submission.student.id, grade.name.removesuffix("-check"),
         grade.auto_score, grade.max_score, grade.needs_manual_grade]
        for submission in book.assignment_submissions("01")
        for notebook in submission.notebooks for grade in notebook.grades
    ]))
"""


def scores(course: Path) -> list[Any]:
    """Read the gradebook."""
    said = python(course, "-c", GRADES).splitlines()
    return list(json.loads(next(line for line in said if line.startswith("[["))))


def test_what_is_handed_out_holds_the_spanish_stubs_and_no_answer(classroom: Path) -> None:
    text = (classroom / "release" / "01" / f"{LESSON}.ipynb").read_text("utf-8")
    assert "# TU CÓDIGO AQUÍ" in text
    assert "*Escribe aquí tu respuesta.*" in text
    assert "SOLUTION" not in text
    assert "YOUR CODE HERE" not in text


def verdicts(course: Path, student: str) -> dict[str, str]:
    """Return what each check said when nbgrader ran it: ok, falla or pendiente."""
    graded = nbformat.read(course / "autograded" / student / "01" / f"{LESSON}.ipynb", 4)
    return {
        cell.metadata.nbgrader.grade_id.removesuffix("-check"): " ".join(
            re.findall(r"^[A-Z]{2}-\d+[a-z]? (ok|falla|pendiente) ", shown(cell), re.MULTILINE)
        )
        for cell in graded.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    }


def shown(cell: nbformat.NotebookNode) -> str:
    return "\n".join(output.get("text") or output.get("evalue") or "" for output in cell.outputs)


def test_the_gradebook_says_what_the_checks_say(classroom: Path) -> None:
    said = {student: verdicts(classroom, student) for student in ("bien", "mitad", "vacio")}
    assert set(said["bien"].values()) == {"ok"}
    assert said["mitad"]["SD-4b"] == "falla"
    assert set(said["vacio"].values()) == {"pendiente"}
    for student, exercise, points, most, by_hand in scores(classroom):
        right = student == "bien" or (student == "mitad" and exercise in HALF)
        if exercise == "SD-1":  # a question: nothing to read in an empty one
            assert (points, by_hand) == ((None, True) if right else (0, False))
        else:
            assert (points, by_hand) == (most if right else 0, False), (student, exercise)
            assert (said[student][exercise] == "ok") is right


def test_the_exported_marks_add_up(classroom: Path) -> None:
    with (classroom / "notas.csv").open(encoding="utf-8") as file:
        marks = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    added: dict[str, float] = {}
    for student, _, points, *_ in scores(classroom):
        added[student] = added.get(student, 0) + (points or 0)
    assert marks == added
    assert marks["bien"] > marks["mitad"] > marks["vacio"] == 0


def test_the_feedback_holds_the_hint_of_what_failed(classroom: Path) -> None:
    pages = list((classroom / "feedback" / "mitad" / "01").rglob("*.html"))
    assert len(pages) == 1
    text = pages[0].read_text("utf-8")
    assert "SD-6 pendiente" in text
    assert "SD-4b falla" in text
    assert "¿lleva tu petición un tiempo límite" in text
