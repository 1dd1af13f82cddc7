"""Build the course's web site: what a learner opens, with its outputs, to be read without installing.

    python docs/site/build.py build/site

The pages are the learner editions as they are committed (nothing is executed, no answer is taken along), the
glossary, the pages of `docs/`, what the project says of itself, and a reference made from labkit's
docstrings. They are laid out in a folder of their own as in the repository, so that links between files hold;
Sphinx with MyST-NB makes the site of it, and a warning is an error: a link to nowhere, for example.

`LABKIT_REPOSITORY=owner/name@branch` says where on GitHub the course is. With it each lesson has links that
open it in Binder and Colab, and links to files that are no page lead there; without it neither is written.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import mermaid

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PAGES = [
    *("notebooks/[0-9]*.ipynb", "notebooks/GLOSARIO.md"),
    *("docs/*.md", "deploy/*/*.md"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
]
FENCE = re.compile(r"^```mermaid\n(.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
OWN_LINK = re.compile(r'<a href="http://127\.0\.0\.1:[^>]*>(.*?)</a>')
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)

# What the theme says in English only; where it says it, between these marks.
SPANISH = {
    ">Back to top<": ">Volver arriba<",
    ">Skip to content<": ">Ir al contenido<",
    "On this page\n": "En esta página\n",
    ">Previous<": ">Anterior<",
    ">Next<": ">Siguiente<",
    "Made with <a": "Hecho con <a",
    "</a> and <a": "</a> y <a",
    "</a>'s\n": "</a>:\n",
    ">Contents<": ">Contenido<",
    ">Menu<": ">Menú<",
    ">Expand<": ">Desplegar<",
    ">Light mode<": ">Claro<",
    ">Dark mode<": ">Oscuro<",
    ">Auto light/dark, in light mode<": ">Como el sistema: claro<",
    ">Auto light/dark, in dark mode<": ">Como el sistema: oscuro<",
    '"Toggle Light / Dark / Auto color theme"': '"Cambiar entre claro, oscuro y como el sistema"',
    '"Toggle site navigation sidebar"': '"Mostrar u ocultar el menú"',
    '"Toggle table of contents sidebar"': '"Mostrar u ocultar el contenido de la página"',
    '"Toggle navigation of ': '"Mostrar u ocultar ',
}

# What the reference shows besides `labkit.__all__`.
MODULES = ["labkit.faults", "labkit.errors", "labkit.pytest_plugin", "labkit.exercises.exercise"]


class Repository:
    """The repository on GitHub that links lead to.

    `given`: `owner/name` or `owner/name@branch`; empty where it is not known.
    """

    def __init__(self, given: str) -> None:
        self.name, _, branch = given.partition("@")
        self.branch = branch or "main"
        if given and not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", given):
            raise SystemExit(f"LABKIT_REPOSITORY={given!r}: use owner/name or owner/name@branch")

    def file(self, path: str) -> str | None:
        """Return the address of a file, where the repository is known."""
        return f"https://github.com/{self.name}/blob/{self.branch}/{path}" if self.name else None

    def launch(self, path: str) -> str:
        """Return a line that opens a notebook elsewhere; empty where the repository is not known."""
        if not self.name:
            return ""
        binder = f"https://mybinder.org/v2/gh/{self.name}/{self.branch}?urlpath=lab/tree/{path}"
        colab = f"https://colab.research.google.com/github/{self.name}/blob/{self.branch}/{path}"
        return f"[Abrir en Binder]({binder}) · [Abrir en Colab]({colab})"

    def colab_needs(self) -> str:
        """Return what the start page says of Colab, which does not install the course by itself."""
        if not self.name:
            return ""
        package = f"labkit[course] @ git+https://github.com/{self.name}@{self.branch}"
        return (
            "En cada lección, **Abrir en Binder** la arranca en una máquina prestada, con todo instalado. En "
            f'Colab, ejecuta antes en una celda `%pip install "{package}"`; allí no se ha probado.'
        )


class Diagrams:
    """The diagrams of all pages, collected first and drawn together."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, text: str) -> str:
        """Take a diagram and return its name."""
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.texts[name] = text
        return name

    def draw(self) -> dict[str, str]:
        """Return all of them as SVG, by name."""
        return dict(zip(self.texts, mermaid.draw(list(self.texts.values())), strict=True))


def main() -> None:
    """Build the site in the folder that the command names."""
    parser = argparse.ArgumentParser(description="Build the course's web site.")
    parser.add_argument("target", type=Path)
    target = parser.parse_args().target
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder, "pages")
        lay_out(pages, Repository(os.environ.get("LABKIT_REPOSITORY", "")))
        made = Path(folder, "site")
        sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE)]
        done = subprocess.run([*sphinx, "-d", str(Path(folder, "doctrees")), str(pages), str(made)])
        if done.returncode:
            raise SystemExit(done.returncode)
        for file in made.rglob("*.html"):
            file.write_text(in_spanish(file.read_text("utf-8")), "utf-8")
        for unneeded in [".buildinfo", "objects.inv"]:
            (made / unneeded).unlink(missing_ok=True)
        (made / ".nojekyll").touch()  # GitHub's pages leave out folders that begin with _
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"{target}: {len(list(target.rglob('*.html')))} pages, {size / 1e6:.1f} MB")


def in_spanish(page: str) -> str:
    """Return a page with the theme's words in the language of the site."""
    for english, spanish in SPANISH.items():
        page = page.replace(english, spanish)
    return page


def lay_out(pages: Path, repository: Repository) -> None:
    """Write every page's source below a folder, as they stand in the repository."""
    paths = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    lessons = "\n".join(
        f"{title_of(name, text)} </{name}>" for name, text in texts.items() if is_lesson(name)
    )
    start = (HERE / "index.md").read_text("utf-8")
    others = [name for name in texts if name.startswith(("docs/", "deploy/")) and name[:-3] not in start]
    guides = "\n".join(f"/{name}" for name in others)
    for mark, text in {"Colab": repository.colab_needs(), "Lessons": lessons, "Guides": guides}.items():
        start = start.replace(f"<!-- {mark} -->", text)
    texts |= {"index.md": start, **dict(reference())}
    diagrams = Diagrams()
    for name, text in texts.items():
        file = pages / name
        file.parent.mkdir(parents=True, exist_ok=True)

        def prepared(markdown: str, name: str = name) -> str:
            return drawings(links(markdown, name, set(texts), repository), name, diagrams)

        if is_lesson(name):
            text = json.dumps(lesson(json.loads(text), name, prepared, repository, diagrams))
        elif name.endswith(".md"):
            text = prepared(text)
        file.write_text(text, "utf-8")
    svgs = diagrams.draw()
    (pages / "drawings").mkdir()
    for name, svg in svgs.items():
        (pages / "drawings" / f"{name}.svg").write_text(svg, "utf-8")
    shutil.copy(ROOT / "docs" / "labkit.png", pages / "docs")


def is_lesson(name: str) -> bool:
    """Return True for a notebook's name."""
    return name.endswith(".ipynb")


def title_of(name: str, text: str) -> str:
    """Return a lesson's number, by which the others name it, and its heading."""
    heading = "".join(json.loads(text)["cells"][0]["source"]).partition("\n")[0]
    return f"{PurePosixPath(name).name[:2]} · {heading.removeprefix('# ')}"


def lesson(
    notebook: dict[str, Any],
    name: str,
    prepared: Callable[[str], str],
    repository: Repository,
    diagrams: Diagrams,
) -> dict[str, Any]:
    """Return a notebook as its page shows it."""
    cells = notebook["cells"]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = prepared("".join(cell["source"]))
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/vnd.mermaid" in data:
                data["text/markdown"] = f"```mermaid\n{''.join(data.pop('text/vnd.mermaid'))}\n```"
            if "text/markdown" in data:
                data["text/markdown"] = prepared("".join(data["text/markdown"]))
            if "text/html" in data:
                # The service that ran when this was shown is nobody's here.
                data["text/html"] = OWN_LINK.sub(r"\1", "".join(data["text/html"]))
            if "image/png" in data:
                # The text form says what the figure shows: for those who do not see it.
                alt = " ".join("".join(data.get("text/plain", "")).split("\n"))
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    launch = repository.launch(name)
    if launch:
        title, newline, rest = cells[0]["source"].partition("\n")
        cells[0]["source"] = f"{title}\n\n{launch}\n{newline}{rest}"
    return notebook


def drawings(markdown: str, page: str, diagrams: Diagrams) -> str:
    """Put an image in the place of each Mermaid diagram; its source is the image's text alternative."""
    up = "../" * (len(PurePosixPath(page).parts) - 1)

    def image(match: re.Match[str]) -> str:
        source = match[1].strip()
        lines = [line.strip() for line in source.splitlines()]
        alt = re.sub(r"([\\\[\]<>&])", r"\\\1", "; ".join(lines))
        return f"![{alt}]({up}drawings/{diagrams.add(source)}.svg)"

    return FENCE.sub(image, markdown)


def links(markdown: str, page: str, pages: set[str], repository: Repository) -> str:
    """Lead links to files that are no page to the repository, or leave their words alone."""

    def link(match: re.Match[str]) -> str:
        words, address = match.groups()
        path, _, _ = address.partition("#")
        if not path or re.match(r"[a-z]+:", address):
            return match[0]
        target = os.path.normpath(PurePosixPath(page).parent / path).replace(os.sep, "/")
        if target in pages or not (ROOT / target).exists():  # Sphinx complains of what is not there
            return match[0]
        elsewhere = repository.file(target)
        return f"[{words}]({elsewhere})" if elsewhere else words

    pieces = CODE.split(markdown)
    return "".join(piece if number % 2 else LINK.sub(link, piece) for number, piece in enumerate(pieces))


def reference() -> Iterator[tuple[str, str]]:
    """Yield the pages of the reference: labkit's public names, and a page for each pattern."""
    names = sorted(path.parent.name for path in ROOT.glob("labkit/patterns/[a-z]*/__init__.py"))
    modules = ["labkit", *MODULES, *(f"labkit.patterns.{name}" for name in names)]
    yield "api/index.rst", API.format(entries="\n".join(f"   {module}" for module in modules))
    indexed: set[int] = set()
    for module in modules:
        yield f"api/{module}.rst", module_page(importlib.import_module(module), indexed)


def module_page(module: ModuleType, indexed: set[int]) -> str:
    """Return the page of a module: its docstring, and what it makes public.

    `indexed`: what other pages have described already; this page describes it again, outside of the index.
    """
    title = module.__name__
    parts = [f"{title}\n{'=' * len(title)}\n", f".. automodule:: {title}\n   :no-index:\n"]
    for name in public(module):
        thing = getattr(module, name)
        again = "   :no-index:\n" if id(thing) in indexed else ""
        indexed.add(id(thing))
        if inspect.isclass(thing):
            kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
            bases = "" if thing.__bases__ == (object,) else "   :show-inheritance:\n"
            parts.append(f".. {kind}:: {title}.{name}\n   :members:\n{bases}{again}")
        elif inspect.ismodule(thing):
            parts.append(f".. automodule:: {thing.__name__}\n   :members:\n")
        elif inspect.isroutine(thing):
            parts.append(f".. autofunction:: {title}.{name}\n{again}")
        else:
            # Its value says more than its type's docstring.
            parts.append(f".. py:data:: {title}.{name}\n   :value: {thing!r}\n")
    return "\n".join(parts)


def public(module: ModuleType) -> list[str]:
    """Return what a module declares public, or else what it defines itself under a public name."""
    declared: list[str] | None = getattr(module, "__all__", None)
    if declared is not None:
        return list(declared)
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith(("_", "pytest_"))  # pytest's hooks are for pytest
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]


API = """\
Referencia de labkit
====================

Lo que ``labkit`` ofrece a quien escribe cuadernos, y los patrones del curso, que se pueden copiar a un
servicio de verdad. Estas páginas salen de los *docstrings* del código, que están en inglés.

.. toctree::
   :maxdepth: 1

{entries}
"""

if __name__ == "__main__":
    main()
