"""Sphinx's settings for the course's site. `build.py` lays out the pages and calls it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import labkit

sys.path.insert(0, str(Path(__file__).parent))

project = "Patrones de microservicios, en vivo"
author = "The labkit authors"
copyright = "2026, The labkit authors · código: MIT · textos: CC BY 4.0"
release = version = labkit.__version__
language = "es"

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns: list[str] = []

# The outputs are those in the notebooks: nothing is executed here.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4
suppress_warnings = [
    "mystnb.unknown_mime_type",  # a diagram's mere text, beside its drawing
    "misc.highlighting_failure",  # cells that begin with a %magic are no Python
]

myst_heading_slug_func = "anchors.as_in_jupyterlab"

default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

ARGUMENT = re.compile(r"`[\w*, `]+`: ")


def literal_blocks(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Mark a docstring's indented blocks as code, and give each argument a paragraph: as in Markdown."""
    marked: list[str] = []
    inside = bullets = False
    for line in lines:
        deep = line.startswith("    ")
        if deep and not inside and not bullets and (not marked or not marked[-1]):
            marked += ["::", ""]
            inside = True
        elif line and not deep:
            inside, bullets = False, line.startswith(("- ", "  "))
        if ARGUMENT.match(line) and marked and marked[-1]:
            marked.append("")
        marked.append(line)
    lines[:] = marked


def setup(app: Any) -> None:
    """Register the hook above."""
    app.connect("autodoc-process-docstring", literal_blocks)
