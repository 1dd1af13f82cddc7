"""docs/site/build.py: what is laid out for Sphinx. What comes of it: tests/soak/test_site.py."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        spec.loader.exec_module(module)
    return module


build, mermaid = load("build"), load("mermaid")


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lay the pages out for a repository; diagrams are not drawn, as that takes a browser."""
    monkeypatch.setattr(build.mermaid, "draw", lambda diagrams: ["<svg/>" for _ in diagrams])

    def lay_out(repository: str) -> dict[str, str]:
        build.lay_out(tmp_path, build.Repository(repository))
        files = [file for file in tmp_path.rglob("*") if file.suffix in (".md", ".rst", ".ipynb", ".svg")]
        return {file.relative_to(tmp_path).as_posix(): file.read_text("utf-8") for file in files}

    return lay_out


# Pages


def test_the_pages_are_the_learners_lessons_and_no_master(pages: Any) -> None:
    texts = pages("")
    lessons = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/[0-9]*.ipynb")}
    assert {name for name in texts if name.endswith(".ipynb")} == lessons
    assert {"index.md", "notebooks/GLOSARIO.md", "docs/profesores.md", "docs/servidores.md"} <= set(texts)
    assert [name for name, text in texts.items() if "BEGIN SOLUTION" in text] == ["CONTRIBUTING.md"]


def test_every_page_is_reached_from_the_start(pages: Any) -> None:
    texts = pages("")
    start = texts["index.md"]
    named = set(re.findall(r"^(?:.* <)?/([\w/.-]+?)(?:\.md|\.ipynb)?>?$", start, re.MULTILINE))
    reference = {f"api/{name}" for name in re.findall(r"^   ([\w.]+)$", texts["api/index.rst"], re.MULTILINE)}
    there = {name.rpartition(".")[0] for name in texts if not name.endswith(".svg")} - {"index"}
    assert named | reference == there


def test_every_diagram_is_an_image_with_a_text_alternative(pages: Any) -> None:
    texts = pages("")
    lessons = [nbformat.reads(text, 4) for name, text in texts.items() if name.endswith(".ipynb")]
    shown = [
        text
        for lesson in lessons
        for cell in lesson.cells
        for text in [
            *([cell.source] if cell.cell_type == "markdown" else []),
            *(output.data.get("text/markdown", "") for output in cell.get("outputs", []) if "data" in output),
        ]
    ]
    images = re.findall(r"!\[(.+)\]\(\.\./(drawings/\w+\.svg)\)", "\n".join(shown))
    committed = [path.read_text("utf-8") for path in sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))]
    diagrams = re.findall(r'"```mermaid\\n|"text/vnd.mermaid"', "\n".join(committed))
    assert len(images) == len(diagrams) > 0
    assert {name for _, name in images} == {name for name in texts if name.endswith(".svg")}
    assert not [text for text in shown if "```mermaid" in text]
    assert not any("text/vnd.mermaid" in json.dumps(lesson) for lesson in lessons)


def test_no_page_links_a_service_that_ran_when_it_was_made(pages: Any) -> None:
    for name, text in pages("").items():
        if name.endswith(".ipynb"):
            assert '<a href=\\"http://127.0.0.1' not in text


# Links


def test_without_a_repository_nothing_leads_to_one(pages: Any) -> None:
    for name, text in pages("").items():
        assert not re.search(r"mybinder|colab\.research|github\.com//|blob/main", text), name


def test_one_setting_gives_the_links_of_every_lesson(pages: Any) -> None:
    texts = pages("owner/course@main")
    for name, text in texts.items():
        if name.endswith(".ipynb"):
            first = nbformat.reads(text, 4).cells[0].source
            assert f"https://mybinder.org/v2/gh/owner/course/main?urlpath=lab/tree/{name}" in first
            assert f"https://colab.research.google.com/github/owner/course/blob/main/{name}" in first
    assert "git+https://github.com/owner/course@main" in texts["index.md"]


def test_a_setting_that_is_no_repository_is_refused() -> None:
    with pytest.raises(SystemExit, match="owner/name"):
        build.Repository("https://example.org/course")


@pytest.mark.parametrize(
    ("given", "alone", "with_repository"),
    [
        ("[a](b.md)", "[a](b.md)", "[a](b.md)"),
        ("[a](b.md#c)", "[a](b.md#c)", "[a](b.md#c)"),
        ("[a](#c)", "[a](#c)", "[a](#c)"),
        ("[a](https://example.org)", "[a](https://example.org)", "[a](https://example.org)"),
        ("[a](../LICENSE)", "a", "[a](https://github.com/o/n/blob/main/LICENSE)"),
        ("[a](nowhere.md)", "[a](nowhere.md)", "[a](nowhere.md)"),
        ("`[a](../LICENSE)`", "`[a](../LICENSE)`", "`[a](../LICENSE)`"),
        ("```\n[a](../x)\n```", "```\n[a](../x)\n```", "```\n[a](../x)\n```"),
        ("![a](../x.png)", "![a](../x.png)", "![a](../x.png)"),
    ],
)
def test_a_link_to_a_file_that_is_no_page(given: str, alone: str, with_repository: str) -> None:
    pages = {"docs/a.md", "docs/b.md"}
    assert build.links(given, "docs/a.md", pages, build.Repository("")) == alone
    assert build.links(given, "docs/a.md", pages, build.Repository("o/n@main")) == with_repository


# Diagrams


def test_a_drawing_is_read_from_the_page_that_chromium_prints() -> None:
    page = '<html><pre id="drawn">["&lt;svg&gt;&lt;/svg&gt;"]</pre></html>'
    assert mermaid.drawn_in(page) == ["<svg></svg>"]


@pytest.mark.parametrize("page", ["", '<pre id="drawn"></pre>', '<pre id="drawn">Error: Parse error</pre>'])
def test_a_diagram_that_is_none_fails_the_build(page: str) -> None:
    with pytest.raises(RuntimeError, match="Mermaid drew nothing"):
        mermaid.drawn_in(page)


def test_without_a_browser_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mermaid.shutil, "which", lambda _name: None)
    with pytest.raises(RuntimeError, match="Chromium or Chrome"):
        mermaid.draw(["flowchart LR"])
    assert mermaid.draw([]) == []


def test_a_text_in_the_page_cannot_end_its_script() -> None:
    assert "<" not in mermaid.in_script(["</script><script>"])


# The reference


def test_the_reference_has_every_public_name(pages: Any) -> None:
    import labkit

    texts = pages("")
    for name in labkit.__all__:
        assert re.search(rf"^\.\. auto\w+:: labkit\.(lens\.)?{name}$", texts["api/labkit.rst"], re.MULTILINE)
    patterns = {path.parent.name for path in ROOT.glob("labkit/patterns/[a-z]*/__init__.py")}
    assert {f"api/labkit.patterns.{name}.rst" for name in patterns} <= set(texts)
    assert ".. autoclass:: labkit.faults.Faults" in texts["api/labkit.faults.rst"]
