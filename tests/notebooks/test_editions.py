"""The committed notebooks: each learner edition is what its master makes, and both read as STYLE asks.

What the cells show is compared by nbval; here it is how the notebooks are made.
"""

from __future__ import annotations

import getpass
import re
import statistics
import tempfile
from pathlib import Path

import nbformat
import pytest

from labkit.course.edition import has_marker, learner_edition, tidy, to_text
from labkit.exercises.exercise import known_ids

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MASTERS = sorted((NOTEBOOKS / "soluciones").glob("*.ipynb"))
LEARNERS = sorted(NOTEBOOKS.glob("*.ipynb"))

CHECK = re.compile(r"""\bcheck\(\s*["']([A-Z]{2}-\d+[a-z]?)["']""")
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)

# Cells of the lesson itself (its exercises come on top), median and longest code cell in lines, median prose in words (STYLE: 25 to 45, a little room left).
CELLS = {"00_inicio": (15, 60)}
USUAL_CELLS = (40, 70)
EXERCISES = "## Tu participación"
MEDIAN_CODE, LONGEST_CODE = 4, 25
MEDIAN_PROSE = (15, 50)


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=[str(path.relative_to(NOTEBOOKS)) for path in paths])


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def shown(notebook):
    """Everything that the outputs say in words."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield from ("\n".join(output.get("traceback", [])), output.get("text", ""))
            yield from (str(data) for kind, data in output.get("data", {}).items() if "image/" not in kind)


def test_every_learner_notebook_has_a_master_and_the_other_way_round():
    assert MASTERS
    assert [path.name for path in LEARNERS] == [path.name for path in MASTERS]


@named(MASTERS)
def test_the_learner_edition_is_what_its_master_makes(path):
    made, committed = learner_edition(read(path)), read(NOTEBOOKS / path.name)
    assert [(c.id, c.cell_type, c.source, c.metadata) for c in committed.cells] == [
        (c.id, c.cell_type, c.source, c.metadata) for c in made.cells
    ], "run: python -m labkit build"
    assert committed.metadata == made.metadata


@named(MASTERS + LEARNERS)
def test_the_file_is_as_build_writes_it(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.read_text(encoding="utf-8") == to_text(tidy(notebook))


@named(MASTERS + LEARNERS)
def test_every_code_cell_was_executed_once_and_in_order(path):
    # nbval passes a cell without an execution count in silence.
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.source.strip() for cell in cells), "an empty code cell is never executed"


@named(MASTERS + LEARNERS)
def test_an_error_is_shown_where_it_is_meant_and_only_there(path):
    for cell in code_cells(read(path)):
        errors = [output.ename for output in cell.outputs if output.output_type == "error"]
        assert bool(errors) == ("raises-exception" in tags(cell)), f"{cell.source}\n{errors}"


@named(MASTERS + LEARNERS)
def test_the_last_code_cell_stops_every_service(path):
    assert "stop_all(" in code_cells(read(path))[-1].source


@named(MASTERS + LEARNERS)
def test_the_outputs_hold_no_folder_of_a_machine_and_no_user(path):
    root = str(NOTEBOOKS.parent)
    places = [root, str(Path.home()) + "/", tempfile.gettempdir() + "/", "/home/", "/Users/", "\\Users\\"]
    if (user := getpass.getuser()) != "root":  # `root` is a word of its own
        places.append(user)
    for text in shown(read(path)):
        assert not [place for place in places if place in text], text


@named(MASTERS + LEARNERS)
def test_the_outputs_hold_no_secret(path):
    secret = re.compile(
        r"eyJ[\w-]{10,}\.[\w-]+\."  # a JWT
        r"|BEGIN [A-Z ]*PRIVATE KEY|\b(ghp|gho|sk|xox[bp])[-_][A-Za-z0-9]{16,}|\bAKIA[0-9A-Z]{16}\b"
        r"|//[^/\s:@]+:[^/\s@]+@"  # a password in an address
        r"|[?&]token=\w+"
    )
    for text in shown(read(path)):
        assert not secret.search(text)


@named(MASTERS)
def test_every_exercise_that_is_checked_exists_and_the_master_passes_it(path):
    for cell in code_cells(read(path)):
        for exercise_id in CHECK.findall(cell.source):
            assert exercise_id in known_ids()
            said = [
                line for output in cell.outputs for line in [output.get("data", {}).get("text/plain", "")]
            ]
            assert any(f"{exercise_id} ok · " in line for line in said), said


@named(LEARNERS)
def test_in_the_learner_edition_every_exercise_is_pending(path):
    for cell in code_cells(read(path)):
        for exercise_id in CHECK.findall(cell.source):
            said = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            assert any(f"{exercise_id} pendiente · " in line for line in said), said


@named(LEARNERS)
def test_the_learner_edition_holds_no_marker_of_an_answer(path):
    notebook = read(path)
    assert not [cell.source for cell in notebook.cells if has_marker(cell.source)]
    assert not [cell.source for cell in notebook.cells if "solo-maestro" in tags(cell)]


@named(MASTERS)
def test_no_line_of_an_answer_stands_before_its_check_in_the_learner_edition(path):
    """A line of code that only the answer holds is nowhere in the cells that come before the check.

    Short lines (`return None`, `try:`) are everybody's; longer ones would give the answer away.
    """
    learner = "\n".join(cell.source for cell in read(NOTEBOOKS / path.name).cells if cell.cell_type == "code")
    for cell in code_cells(read(path)):
        for answer in re.findall(r"BEGIN SOLUTION\n(.*?)\n[^\n]*END SOLUTION", cell.source, re.DOTALL):
            for line in map(str.strip, answer.splitlines()):
                if len(line) > 30 and not line.startswith(("#", "import ", "from ", "except ")):
                    assert line not in learner, line


@named(MASTERS)
def test_answers_and_checks_carry_nbgraders_metadata(path):
    seen = []
    for cell in read(path).cells:
        nbgrader = cell.metadata.get("nbgrader")
        ids = CHECK.findall(cell.source) if cell.cell_type == "code" else []
        if nbgrader is None:
            assert not has_marker(cell.source), cell.source
            assert not ids, cell.source
            continue
        seen.append(nbgrader["grade_id"])
        assert nbgrader["schema_version"] == 3
        if has_marker(cell.source):
            assert nbgrader["solution"], cell.source
            assert not nbgrader["locked"], cell.source
        elif ids:
            assert (nbgrader["grade"], nbgrader["solution"], nbgrader["locked"]) == (True, False, True)
        if nbgrader["grade"]:
            assert nbgrader["points"] >= 0
    assert len(seen) == len(set(seen)), "nbgrader wants every grade_id once"


@named(LEARNERS)
def test_the_measures_of_style(path):
    notebook = read(path)
    least, most = CELLS.get(path.stem, USUAL_CELLS)
    sources = [cell.source for cell in notebook.cells]
    lesson = next((n for n, source in enumerate(sources) if source.startswith(EXERCISES)), len(sources))
    # A small exercise in the middle is no more to read.
    small = sum(bool(re.match(r"[a-z]{2}-\d", cell.get("id", ""))) for cell in notebook.cells[:lesson])
    assert least <= lesson - small <= most
    code = [len(cell.source.strip().splitlines()) for cell in code_cells(notebook)]
    assert statistics.median(code) <= MEDIAN_CODE
    assert max(code) <= LONGEST_CODE
    # Folded answers and tables are read when one wants to; headings alone are no prose.
    prose = [
        len(FOLDED.sub("", cell.source).split())
        for cell in notebook.cells
        if cell.cell_type == "markdown" and "\n|" not in cell.source and len(cell.source.split()) > 8
    ]
    assert MEDIAN_PROSE[0] <= statistics.median(prose) <= MEDIAN_PROSE[1]


@named(LEARNERS)
def test_a_lesson_asks_for_predictions_and_folds_their_answers(path):
    notebook = read(path)
    folded = sum(len(FOLDED.findall(cell.source)) for cell in notebook.cells if cell.cell_type == "markdown")
    assert folded >= (1 if path.stem == "00_inicio" else 3)
