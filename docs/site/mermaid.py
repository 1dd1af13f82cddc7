"""Mermaid diagrams as SVG, drawn while the site is built: a reader needs neither a network nor a script.

JupyterLab brings Mermaid, and shares its renderer with its extensions (module federation). A page without a
server loads JupyterLab's own scripts from the folder they are installed in and asks the renderer for each
diagram, and headless Chromium prints the page.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

STATIC = Path(sys.prefix, "share", "jupyter", "lab", "static")
PROGRAMS = [
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
]
# Virtual milliseconds: the browser's clock stands still while it loads, so this is no limit of time.
BUDGET = 60_000
PATIENCE = 120  # seconds

# The names differ by the bundler that made JupyterLab. What it shares is there when its script has run to its
# end, hence the timeout of 0.
PAGE = """<!doctype html>
<meta charset="utf-8">
<style>body {{ --jp-ui-font-family: Arial, Helvetica, sans-serif; }}</style>
<script id="jupyter-config-data" type="application/json">{config}</script>
<script id="diagrams" type="application/json">{diagrams}</script>
<pre id="drawn"></pre>
<script>
const drawn = document.getElementById("drawn");
async function draw(require) {{
  await new Promise(done => setTimeout(done, 0));
  await require.I("default");
  const versions = Object.values(require.S.default["@jupyterlab/mermaid"]);
  const {{ MermaidManager }} = (await versions[0].get())();
  const manager = new MermaidManager();
  const svgs = [];
  for (const text of JSON.parse(document.getElementById("diagrams").textContent))
    svgs.push((await manager.renderSvg(text)).svg);
  drawn.textContent = JSON.stringify(svgs);
}}
for (const name of ["webpackChunk", "rspackChunk"])
  self[name + "_jupyterlab_application_top"] = [
    [["drawing"], {{}}, require => draw(require).catch(error => drawn.textContent = String(error))]];
</script>
<script src="{main}"></script>
"""


def draw(diagrams: Sequence[str]) -> list[str]:
    """Return each diagram as SVG. Raises RuntimeError where there is no browser, or a diagram is none."""
    if not diagrams:
        return []
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RuntimeError("the lessons' diagrams are drawn by Chromium or Chrome, and neither was found")
    (main,) = STATIC.glob("main.*.js")
    config = {"fullStaticUrl": STATIC.as_uri(), "federated_extensions": []}
    page = PAGE.format(config=in_script(config), diagrams=in_script(list(diagrams)), main=main.as_uri())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "diagrams.html")
        file.write_text(page, "utf-8")
        command = [
            *(program, "--headless", "--disable-gpu", "--no-sandbox", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            *(f"--user-data-dir={folder}/profile", f"--virtual-time-budget={BUDGET}", "--dump-dom"),
            file.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    return drawn_in(done.stdout.decode())


def drawn_in(page: str) -> list[str]:
    """Return the drawings from a page that Chromium has printed. Raises RuntimeError where none is."""
    found = re.search(r'<pre id="drawn">(.*?)</pre>', page, re.DOTALL)
    text = html.unescape(found[1]) if found else ""
    if not text.startswith("["):
        raise RuntimeError(f"Mermaid drew nothing: {text or page[:500]}")
    svgs: list[str] = json.loads(text)
    return svgs


def in_script(value: object) -> str:
    """Return JSON that no tag inside of it can end."""
    return json.dumps(value).replace("<", "\\u003c")
