"""The panel in JupyterLab: a click kills, the page says so, a call is refused; also while a cell runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from lab import Lab, errors_in, not_run
from test_jupyterlab import write

pytestmark = pytest.mark.limit(180)

SERVE = """
import labkit, requests, time
from flask import Flask
app = Flask("pagos")
app.add_url_rule("/", view_func=lambda: "ok")
pagos = labkit.serve(lambda: app, name="pagos")
otro = labkit.serve(lambda: app, name="otro")
"""
CALL = """
try:
    print(requests.get(pagos.url, timeout=5).text)
except requests.ConnectionError:
    print("rechazada")
"""
BUSY = """
for _ in range(600):
    if pagos.state == "muerto":
        break
    time.sleep(0.05)
print(pagos.state)
"""


@pytest.fixture
def panel(lab: Lab, work: Path, request: pytest.FixtureRequest) -> Locator:
    """A notebook with a panel in its second cell, run as far as that."""
    lab.page.set_viewport_size({"width": 900, "height": 900})
    lab.open(write(work / f"{request.node.name}.ipynb", SERVE, "labkit.panel()", CALL, BUSY), alone=True)
    run(lab, 1, 2)
    shown = lab.page.locator(".labkit-panel")
    shown.wait_for()
    return shown


def run(lab: Lab, *numbers: int, wait: bool = True) -> None:
    """Run those cells, one after the other."""
    for number in numbers:
        # Not awaited: the command ends with the cell.
        lab.page.evaluate(
            """number => {
                window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;
                window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            number,
        )
        if wait:
            lab.wait_idle(30)


def output(lab: Lab, number: int) -> str:
    outputs: list[dict[str, Any]] = lab.cells()[number]["outputs"]
    return "".join("".join(each.get("text", "")) for each in outputs).strip()


def button(panel: Locator, service: str, label: str) -> Locator:
    return panel.locator(f"button[title^='{service}: ']").filter(has_text=label)


def test_a_click_kills_the_page_says_so_and_a_call_is_refused(lab: Lab, panel: Locator) -> None:
    run(lab, 3)
    assert output(lab, 3) == "ok"
    expect(panel).to_contain_text("Panel · 2 de 2 en marcha")
    button(panel, "pagos", "matar").click()
    expect(panel).to_contain_text("muerto")
    expect(panel).to_contain_text("Panel · 1 de 2 en marcha")
    expect(button(panel, "pagos", "matar")).to_be_disabled()
    run(lab, 3)
    assert output(lab, 3) == "rechazada"
    expect(panel.locator(".labkit-calls")).to_have_text("cliente → pagos: 2 llamadas, 1 error")


def test_a_click_acts_while_a_cell_blocks(lab: Lab, panel: Locator) -> None:
    run(lab, 4, wait=False)
    expect(lab.page.locator(".jp-InputPrompt").filter(has_text="[*]").first).to_be_visible()
    button(panel, "pagos", "matar").click()
    expect(panel).to_contain_text("muerto")
    lab.wait_idle(30)
    assert output(lab, 4) == "muerto"


def test_a_fault_is_injected_and_shown(lab: Lab, panel: Locator) -> None:
    panel.locator("select").select_option("corte")
    button(panel, "pagos", "inyectar").click()
    expect(panel).to_contain_text("fallos: corte")
    run(lab, 3)
    assert output(lab, 3) == "rechazada"
    button(panel, "pagos", "quitar").click()
    expect(panel).not_to_contain_text("fallos")


def test_nothing_is_cut_in_a_page_of_900_pixels(lab: Lab, panel: Locator) -> None:
    wide = panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    cut = panel.locator("button").evaluate_all(
        "buttons => buttons.filter(b => b.scrollWidth > b.clientWidth).map(b => b.textContent)"
    )
    row = panel.locator("a", has_text="pagos").bounding_box()
    beside = button(panel, "pagos", "inyectar").bounding_box()
    assert (wide, cut) == (True, [])
    assert row is not None
    assert beside is not None
    assert beside["y"] < row["y"] + row["height"], "in one line"


def test_run_all_and_run_again(lab: Lab, work: Path) -> None:
    name = write(work / "dos.ipynb", SERVE, "panel = labkit.panel()\npanel", CALL, "labkit.stop_all()")
    lab.open(name, alone=True)
    for _ in range(2):
        lab.run_all()
        assert errors_in(lab.cells()) == []
        assert not_run(lab.cells()) == []
        shown = lab.page.locator(".labkit-panel")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text("Panel · 0 de 2 en marcha")
    shown.get_by_role("button", name="cerrar").click()
    expect(shown).to_contain_text("Panel cerrado")
    lab.wait_idle(10)
