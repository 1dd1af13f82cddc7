"""labkit by itself: `pip install .` in an empty environment, and a kernel there as an editor starts one.

No JupyterLab, no figures, no OpenTelemetry: what needs them says what to install. The size is printed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager
from kernels import Kernel

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.soak

SHOP = """
import flask

tienda = flask.Flask("tienda")

@tienda.get("/")
def portada():
    print("alguien entra")
    return "hola"
"""
SERVES = """
import importlib.util
import labkit, requests
from aiohttp import web
from tienda import tienda

for name in ("matplotlib", "pandas", "jupyterlab", "ipykernel", "ipywidgets", "opentelemetry", "notebook"):
    assert importlib.util.find_spec(name) is None, name

def hacer_pagos():
    async def saluda(request):
        return web.Response(text="pagado")
    app = web.Application()
    app.router.add_get("/", saluda)
    return app

servicio, pagos = labkit.serve(tienda), labkit.serve(hacer_pagos, name="pagos")
assert requests.get(servicio.url).text == "hola" and requests.get(pagos.url).text == "pagado"
with servicio.faults.error(503), pagos.faults.error(502):
    assert requests.get(servicio.url).status_code == 503 and requests.get(pagos.url).status_code == 502
assert requests.get(servicio.url).text == "hola"
dicho = ["GET / → 200", "alguien entra"]
dicho = [*dicho, "GET / → 503 (fallo inyectado: error)", *dicho]
assert servicio.journal.lines == dicho, servicio.journal.lines
with labkit.serve("tienda:tienda", name="aparte", isolation="process") as aparte:
    assert requests.get(aparte.url).text == "hola"
carga = labkit.load(servicio.url, requests=4)
assert carga.ok == 4
for asks in (carga.drawing, labkit.observe):
    try:
        asks().__enter__()
    except labkit.LabkitError as error:
        print(error)
print(labkit.panel())
labkit.stop_all()
"""


def environment(folder: Path, *more: str) -> Path:
    """Make an environment with labkit and no more than it needs; return its Python."""
    binaries = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = binaries / Path(sys.executable).name
    what = ["-c", str(ROOT / "constraints.txt"), str(ROOT), *more]
    if uv := shutil.which("uv"):
        said = run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        said = run(uv, "pip", "install", "--quiet", "--python", str(python), *what)
    else:
        said = run(sys.executable, "-m", "venv", str(folder))
        said = run(str(python), "-m", "pip", "install", "--quiet", *what)
    if re.search("connect|network|dns|resolution|timed out", said.stderr, re.IGNORECASE):
        pytest.skip("without a network nothing can be installed")
    assert said.returncode == 0, said.stderr[-3000:]
    return python


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_in_an_empty_environment_services_faults_and_journals_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = environment(tmp_path / "empty")
    (tmp_path / "tienda.py").write_text(SHOP, "utf-8")
    (tmp_path / "uso.py").write_text(SERVES, "utf-8")
    done = run(str(python), str(tmp_path / "uso.py"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pip install matplotlib" in done.stdout
    assert "observe() necesita OpenTelemetry" in done.stdout
    packages = next(python.parents[1].rglob("site-packages"))
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    count = len(list(packages.glob("*.dist-info")))
    with capsys.disabled():
        print(f"\nlabkit alone: {count} packages, {size / 1e6:.0f} MB")


@pytest.mark.parametrize("widgets", [False, True], ids=["no widgets", "widgets that nobody draws"])
def test_a_kernel_alone_shows_services_and_a_panel_in_html(widgets: bool, tmp_path: Path) -> None:
    """As an editor starts it: no JupyterLab, and a front end that answers no comm."""
    python = environment(tmp_path / "editor", "ipykernel", *(["ipywidgets"] if widgets else []))
    manager = KernelManager()
    manager.kernel_spec.argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # type: ignore[union-attr]
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        running = Kernel(manager, client)
        running.ok("import importlib.util\nassert importlib.util.find_spec('jupyterlab') is None")
        running.ok("%load_ext labkit")
        shown = running.ok(
            f"{SHOP}\nimport labkit, requests\nservicio = tienda.run(port=0)\nlabkit.services()"
        )
        assert "<b>flask</b>" in (shown.html or "")
        assert "flask · corriendo" in (shown.result or "")
        assert running.ok("requests.get(servicio.url).text").result == "'hola'"
        panel = running.ok("labkit.panel()")
        assert "<b>flask</b>" in (panel.html or "")
        assert ("pip install ipywidgets" in (panel.html or "")) is not widgets
        assert "1 petición" in (running.ok("labkit.panel()").result or "")
        running.ok("labkit.stop_all()")
        assert running.everything().count("Traceback") == 0
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
