"""`make site`, built for real: no link leads nowhere, nothing is fetched, and pages as a reader sees them."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import flask
import pytest
from playwright.sync_api import BrowserContext, Page

import labkit
from lab import browser_context, find_chromium

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))

# Where `make soak` puts Sphinx.
PYTHON = Path(sys.prefix, "site", "Scripts" if sys.platform == "win32" else "bin", Path(sys.executable).name)
CHROMIUM = find_chromium()

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not PYTHON.exists(), reason="Sphinx is not here: make soak installs it"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome, which draws the diagrams"),
]

WIDTHS = {"desktop": 1280, "phone": 390}


class Document(HTMLParser):
    """A page's anchors, what it links and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name == "href" and value and tag == "a":
                self.links.append(value)
            elif name in ("src", "href") and value:
                self.loads.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, without a repository to lead to."""
    target = tmp_path_factory.mktemp("site") / "site"
    environment = {name: value for name, value in os.environ.items() if name != "LABKIT_REPOSITORY"}
    command = [str(PYTHON), str(ROOT / "docs" / "site" / "build.py"), str(target)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-5000:]
    print(done.stdout)
    return target


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    return {path: Document(path.read_text("utf-8")) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    assert CHROMIUM is not None
    with browser_context(CHROMIUM) as browser:
        yield browser


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


# Links


def test_no_link_leads_nowhere(documents: dict[Path, Document]) -> None:
    broken = []
    for path, document in documents.items():
        for address in [*document.links, *document.loads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = {"", *documents[target].anchors} if target in documents else {parts.fragment}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.name}: {address}")
    assert broken == []
    assert sum(len(document.links) for document in documents.values()) > 1000


def test_no_page_loads_anything_from_elsewhere(site: Path, documents: dict[Path, Document]) -> None:
    loads = {address for document in documents.values() for address in document.loads}
    assert {address for address in loads if urlsplit(address).netloc} == set()
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"url\(.?https?:|@import", styles) == []


def test_no_link_leads_to_the_machine_it_was_made_on(documents: dict[Path, Document]) -> None:
    links = {urlsplit(link) for document in documents.values() for link in document.links}
    assert {link.geturl() for link in links if link.hostname in ("127.0.0.1", "localhost")} == set()
    assert {link.scheme for link in links} <= {"", "https"}


def test_the_theme_speaks_spanish(site: Path) -> None:
    english = r"Back to top|Skip to content|On this page|Made with|Toggle |[Ll]ight mode|>Next<|>Previous<"
    pages = {path.name: path.read_text("utf-8") for path in site.rglob("*.html")}
    assert {name: found for name, text in pages.items() if (found := re.findall(english, text))} == {}


# Answers


def answers() -> Iterator[str]:
    """What stands between the marks in the masters."""
    for master in sorted((ROOT / "notebooks" / "soluciones").glob("[0-9]*.ipynb")):
        for cell in json.loads(master.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            yield from re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.DOTALL)


def test_no_answer_is_on_the_site(site: Path) -> None:
    def plain(text: str) -> str:
        return re.sub(r"\s+", "", text)

    pages = [re.sub(r"<[^>]+>", "", path.read_text("utf-8")) for path in site.rglob("notebooks/*.html")]
    everything = plain(html.unescape("".join(pages)))
    handed_out = json.loads(LESSONS[1].read_text("utf-8"))["cells"]
    code = [plain("".join(cell["source"])) for cell in handed_out if cell["cell_type"] == "code"]
    assert all(source in everything for source in code), "whatever is handed out is found"
    long = [answer for answer in answers() if len(plain(answer)) > 80]
    assert len(long) > 40
    assert [answer for answer in long if plain(answer) in everything] == []


# As it is seen


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_page_fits_and_shows_its_images(site: Path, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        name = path.name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        images = page.evaluate(
            "Promise.all([...document.images].map(i => i.decode().then(() => 1, () => 0)))"
        )
        assert all(images), name
    assert {urlsplit(address).scheme for address in asked} <= {"file", "data"}
    assert errors == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_shows_every_figure_and_diagram(site: Path, page: Page, lesson: Path) -> None:
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    figures = sum("image/png" in each for each in data)
    told = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    told += ["".join(each.get("text/markdown", "")) for each in data]
    diagrams = "\n".join(told).count("```mermaid") + sum("text/vnd.mermaid" in each for each in data)
    page.goto((site / "notebooks" / f"{lesson.stem}.html").as_uri())
    images = page.evaluate("""[...document.querySelectorAll("article img")].map(
        image => ({src: image.getAttribute("src"), alt: image.alt, width: image.naturalWidth}))""")
    assert len([image for image in images if image["src"].endswith(".png")]) == figures
    assert len([image for image in images if image["src"].endswith(".svg")]) == diagrams
    assert all(image["width"] > 100 and len(image["alt"]) > 10 for image in images)


def test_a_folded_answer_opens(site: Path, page: Page) -> None:
    page.goto((site / "notebooks" / "05_event_sourcing.html").as_uri())
    folded = page.locator("details").first
    inside = folded.locator("p").last
    assert not inside.is_visible()
    folded.locator("summary").click()
    assert inside.is_visible()


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    app = flask.Flask("site", static_folder=str(site), static_url_path="")
    with labkit.serve(app, name="site") as service:
        yield service.url


@pytest.mark.parametrize("asked", ["compartimento", "compartimentos", "petición", "CircuitBreaker"])
def test_the_search_finds_words_in_spanish_and_names_of_the_reference(
    served: str, page: Page, asked: str
) -> None:
    page.goto(f"{served}/index.html")
    page.locator("input[name=q]").first.fill(asked)
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found: Any = page.evaluate("""[...document.querySelectorAll("#search-results li a")].map(a => a.href)""")
    wanted = "/api/labkit.patterns.circuit_breaker" if asked == "CircuitBreaker" else "/notebooks/"
    assert any(wanted in address for address in found)
