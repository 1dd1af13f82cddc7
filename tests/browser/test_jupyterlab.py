"""What a learner does: open a notebook in JupyterLab, Run All, follow a service's link."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import BrowserContext
from support import take_fixed_ports

from lab import NOTEBOOKS, Lab, errors_in, jupyterlab, not_run

pytestmark = pytest.mark.limit(180)

# The panel and a drawing of Mermaid's are in these two; every lesson's cells run under nbval as well.
OFTEN = ("00_inicio", "04_sidecar")
LESSONS = [
    pytest.param(lesson, id=lesson.stem, marks=() if lesson.stem in OFTEN else pytest.mark.soak)
    for lesson in sorted(NOTEBOOKS.glob("*.ipynb"))
]


def write(path: Path, *sources: str) -> str:
    cells = [new_markdown_cell("# Prueba"), *(new_code_cell(source) for source in sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path.name


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_from_top_to_bottom(lab: Lab, lesson: Path) -> None:
    with take_fixed_ports() if lesson.stem == "00_inicio" else nullcontext():
        lab.open(lesson.name)
        lab.run_all()
    cells = lab.cells()
    assert errors_in(cells) == []
    assert not_run(cells) == []


def test_labkit_lab_opens_the_first_lesson(browser: BrowserContext, work: Path, tmp_path: Path) -> None:
    with jupyterlab(work, tmp_path, program=("labkit", "lab")) as address:
        page = browser.new_page()
        page.goto(address.format(path=""))
        page.get_by_role("tab", name="00_inicio.ipynb").wait_for()
        page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
        page.close()


def test_a_services_link_opens(lab: Lab, work: Path) -> None:
    name = write(
        work / "enlace.ipynb",
        "import labkit\nfrom flask import Flask",
        "app = Flask('saludo')\n\n@app.get('/')\ndef saludo():\n    return 'hola desde el cuaderno'",
        "labkit.serve(app, name='saludo')",
    )
    lab.open(name)
    lab.run_all()
    assert errors_in(lab.cells()) == []
    link = lab.page.locator(".jp-OutputArea-output a[href*='127.0.0.1']").first
    with lab.page.expect_popup() as popup:
        link.click()
    assert popup.value.text_content("body") == "hola desde el cuaderno"


def test_an_error_would_be_seen(lab: Lab, work: Path) -> None:
    """The reading itself: the error is found, and so are the cells that never ran after it."""
    lab.open(write(work / "error.ipynb", "1 + 1", "1 / 0", "2 + 2"))
    lab.run_all()
    cells = lab.cells()
    assert errors_in(cells) == ["cell 2: ZeroDivisionError: division by zero"]
    assert not_run(cells) == [3]


def test_what_is_below_the_view_is_seen_too(lab: Lab, work: Path) -> None:
    lab.open(write(work / "largo.ipynb", *(f"print('línea\\n' * 10, {number})" for number in range(80))))
    lab.run_all()
    cells = lab.cells()
    assert not_run(cells) == []
    assert cells[-1]["outputs"][0]["text"]
