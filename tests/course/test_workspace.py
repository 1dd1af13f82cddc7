"""mi_curso: what is missing comes, what the course changes follows, what a learner wrote stays."""

from __future__ import annotations

import pytest

from labkit.course.workspace import refresh


@pytest.fixture
def course(tmp_path):
    (tmp_path / "notebooks" / "soluciones").mkdir(parents=True)
    for name in ("00.ipynb", "01.ipynb", "GLOSARIO.md", "soluciones/00.ipynb"):
        (tmp_path / "notebooks" / name).write_text(f"{name}, first edition")
    return tmp_path


def updated(course):
    """Copy anew; return what the copy holds and what was said."""
    said = []
    refresh(course / "notebooks", course / "mi_curso", said.append)
    return {path.name: path.read_text() for path in (course / "mi_curso").glob("[!.]*")}, said


def test_the_first_time_all_comes_but_the_masters(course):
    copy, said = updated(course)
    assert copy == {name: f"{name}, first edition" for name in ("00.ipynb", "01.ipynb", "GLOSARIO.md")}
    assert said == []


def test_an_update_of_the_course_reaches_what_was_not_edited_and_nothing_else(course):
    updated(course)
    (course / "mi_curso" / "00.ipynb").write_text("mine")
    assert updated(course)[0]["00.ipynb"] == "mine"
    for name in ("00.ipynb", "01.ipynb"):
        (course / "notebooks" / name).write_text(f"{name}, second edition")
    copy, [line] = updated(course)
    assert (copy["00.ipynb"], copy["01.ipynb"]) == ("mine", "01.ipynb, second edition")
    assert line.startswith("00.ipynb ha cambiado")
    assert updated(course) == (copy, [])  # said once
    (course / "mi_curso" / "00.ipynb").unlink()
    assert updated(course)[0]["00.ipynb"] == "00.ipynb, second edition"


def test_a_copy_made_by_hand_is_the_learners(course):
    (course / "mi_curso").mkdir()
    (course / "mi_curso" / "00.ipynb").write_text("mine")
    copy, said = updated(course)
    assert (copy["00.ipynb"], len(said)) == ("mine", 1)
