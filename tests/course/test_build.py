"""build: executes, makes the learner edition, writes what changed, and says where it failed. Real kernels."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course.build import BuildFailed, NoSuchMaster, build, masters
from labkit.course.edition import UnbalancedSolution, learner_edition, to_text

EXERCISE = "def doble(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks" / "soluciones").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "sanitize.cfg").write_text("[port]\nregex: port \\d+\nreplace: port PORT\n")
    return tmp_path / "notebooks"


@pytest.fixture(autouse=True)
def no_kernel_is_left():
    """However the execution ended, at the moment at which `build` returns."""
    before = psutil.Process().children(recursive=True)
    yield
    assert [process for process in psutil.Process().children(recursive=True) if process not in before] == []


def write_master(folder, *sources, name="00_inicio", tags=()):
    cells = [new_code_cell(source) for source in sources]
    if tags:
        cells[-1].metadata["tags"] = list(tags)
    path = folder / "soluciones" / f"{name}.ipynb"
    path.write_text(to_text(new_notebook(cells=[new_markdown_cell("# Prueba"), *cells])), encoding="utf-8")
    return path


def outputs(path, number):
    [output] = nbformat.read(path, as_version=4).cells[number].outputs
    return output


def test_master_and_learner_edition_are_executed_and_written(folder, monkeypatch):
    monkeypatch.setenv("LABKIT_STRICT", "1")  # must not reach the learner's kernel
    says = []
    path = write_master(
        folder,
        EXERCISE,
        "import os, sys\n(doble(4), os.environ.get('LABKIT_STRICT'))",
        "(os.path.basename(os.getcwd()), sys.executable)",
        "import labkit.course.edition as e\ne._without_answer(None, 1)",
        tags=["raises-exception"],
    )
    built = build(folder, [], say=says.append)

    learner = folder / "00_inicio.ipynb"
    assert [(b.path, b.changed) for b in built] == [(path, True), (learner, True)]
    assert outputs(path, 2).data["text/plain"] == "(8, '1')"
    assert outputs(learner, 2).data["text/plain"] == "(None, None)"
    assert outputs(path, 3).data["text/plain"] == f"('soluciones', {sys.executable!r})"
    assert outputs(learner, 3).data["text/plain"] == f"('notebooks', {sys.executable!r})"
    assert outputs(learner, 4).ename == "AttributeError"

    made = nbformat.read(learner, as_version=4)
    assert [cell.execution_count for cell in made.cells if cell.cell_type == "code"] == [1, 2, 3, 4]
    assert [c.source for c in made.cells] == [c.source for c in learner_edition(made).cells]
    raw = json.loads(learner.read_text(encoding="utf-8"))
    assert sorted(raw["metadata"]) == ["kernelspec", "language_info"]
    assert all("execution" not in cell["metadata"] for cell in raw["cells"])
    assert "labkit/course/edition.py" in learner.read_text(encoding="utf-8")
    assert f"{Path(__file__).parents[2]}/labkit" not in learner.read_text(encoding="utf-8")
    assert says[0].split()[:3] == ["00_inicio", "maestro", "5"]
    assert says[1].split()[:3] == ["00_inicio", "alumno", "5"]
    assert all("escrito" in line for line in says)


@pytest.mark.limit(120)  # four kernels
def test_a_second_build_writes_nothing_although_declared_outputs_and_figures_differ(folder):
    figure = (
        "import base64, os, random\nfrom IPython.display import display\n"
        "display({'image/png': base64.b64encode(os.urandom(9)).decode(), 'text/plain': 'figura'}, raw=True)"
    )
    path = write_master(folder, figure, "print('port', random.randint(10**6, 10**9))")
    build(folder, [], say=lambda line: None)
    before = path.read_bytes(), (folder / path.name).read_bytes()
    built = build(folder, [], say=lambda line: None)
    assert [b.changed for b in built] == [False, False]
    assert (path.read_bytes(), (folder / path.name).read_bytes()) == before


def test_without_write_it_compares_and_leaves_the_files_alone(folder):
    path = write_master(folder, "1 + 1")
    stale = nbformat.read(path, as_version=4)
    stale.cells[1].outputs = [new_output("stream", text="viejo")]
    path.write_text(to_text(stale), encoding="utf-8")
    before = path.read_bytes()
    says = []
    assert all(b.changed for b in build(folder, [], write=False, say=says.append))
    assert path.read_bytes() == before
    assert not (folder / path.name).exists()
    assert "DISTINTO" in says[0]


def test_a_cell_that_raises_is_named_with_its_traceback(folder):
    path = write_master(folder, "x = 1", "raise ValueError('adrede')")
    before = path.read_bytes()
    with pytest.raises(BuildFailed, match=r"00_inicio.ipynb, celda 3: lanzó un error") as caught:
        build(folder, [], say=lambda line: None)
    assert "ValueError" in str(caught.value)
    assert "adrede" in str(caught.value)
    assert path.read_bytes() == before


def test_a_cell_that_hangs_is_named(folder):
    write_master(folder, "x = 1", "import time; time.sleep(60)")
    with pytest.raises(BuildFailed, match="celda 3: no terminó en 1 s"):
        build(folder, [], say=lambda line: None, cell_timeout=1)


def test_a_kernel_that_dies_is_told(folder):
    write_master(folder, "import os; os._exit(1)")
    with pytest.raises(BuildFailed, match="celda 2: el kernel murió"):
        build(folder, [], say=lambda line: None)


def test_a_failure_in_the_learner_edition_names_that_file(folder):
    write_master(folder, "### BEGIN SOLUTION\ny = 1\n### END SOLUTION", "y")
    with pytest.raises(BuildFailed, match=r"notebooks/00_inicio.ipynb, celda 3[\s\S]*NameError"):
        build(folder, [], say=lambda line: None)


def test_a_bad_marker_is_told_before_anything_runs(folder):
    write_master(folder, "raise SystemError", "### BEGIN SOLUTION")
    with pytest.raises(UnbalancedSolution, match="Celda 3"):
        build(folder, [], say=lambda line: None)


def test_a_master_that_was_edited_meanwhile_is_not_overwritten(folder):
    source = "import pathlib; pathlib.Path('00_inicio.ipynb').open('a').write(' \\n')"
    path = write_master(folder, source)
    with pytest.raises(BuildFailed, match="cambió mientras se ejecutaba"):
        build(folder, [], say=lambda line: None)
    assert path.read_text(encoding="utf-8").endswith(" \n")


def test_masters_are_chosen_by_name_and_an_unknown_name_is_refused(folder):
    for name in ("01_b", "00_a"):
        write_master(folder, "1", name=name)
    assert [p.stem for p in masters(folder, [])] == ["00_a", "01_b"]
    assert [p.stem for p in masters(folder, ["01_b.ipynb"])] == ["01_b"]
    assert [p.stem for p in masters(folder, ["notebooks/01_b.ipynb"])] == ["01_b"]
    with pytest.raises(NoSuchMaster, match=r"'02' en .*Hay: 00_a, 01_b"):
        masters(folder, ["02"])


def test_a_folder_without_masters_is_told(tmp_path):
    with pytest.raises(NoSuchMaster, match="No hay ningún maestro"):
        masters(tmp_path, [])
