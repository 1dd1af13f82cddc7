"""An exercise's file and its tests have 150 lines at most, and every checked exercise has both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.exercises.exercise import known_ids

HERE = Path(__file__).parent
LESSONS = HERE.parents[1] / "labkit" / "course" / "lessons"
MOST = 150


@pytest.mark.parametrize(
    "path", sorted({*LESSONS.rglob("*.py"), *HERE.rglob("*.py")}), ids=lambda path: f"{path.parts[-2]}/{path.name}"
)
def test_a_file_of_a_lesson_is_within_its_budget(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST


@pytest.mark.parametrize("exercise_id", known_ids())
def test_every_exercise_is_held_against_answers(exercise_id: str) -> None:
    tests = [path.read_text("utf-8") for path in HERE.rglob("test_*.py")]
    held = re.compile(rf'Master\(\s*"{exercise_id}"')
    assert any(held.search(text) for text in tests)
