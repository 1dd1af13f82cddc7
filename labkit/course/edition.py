"""The learner edition of a master: the same notebook without its answers and without its outputs.

The markers are nbgrader's, and so is their meaning, so that a teacher can give the masters to nbgrader as
they are (https://nbgrader.readthedocs.io, "Creating and grading assignments"):

- lines from `### BEGIN SOLUTION` to `### END SOLUTION` become a placeholder with the marker's indentation;
  a cell may hold several regions; in Markdown the markers stand in HTML comments, on lines of their own;
- where the line above a region is `name = ...`, that line is the placeholder, under a comment;
- a cell without a region whose nbgrader metadata say `"solution": true` is an answer as a whole;
- a cell with the tag `solo-maestro` is dropped.
"""

from __future__ import annotations

import copy
import importlib
import re
from typing import TYPE_CHECKING, Any

from labkit.course import messages
from labkit.errors import LabkitError

if TYPE_CHECKING:
    from nbformat import NotebookNode

MASTER_ONLY = "solo-maestro"

# Looked for anywhere in the line, as nbgrader does: the two must never disagree about what an answer is.
_BEGIN, _END = "BEGIN SOLUTION", "END SOLUTION"

_PLACEHOLDER_LINE = re.compile(r"\s*\w+( *:[^=]+)? = \.\.\.\s*(#.*)?")

# What stays of the metadata; the rest is a front end's or a run's, and would change without a reason.
_WIDGET = "application/vnd.jupyter.widget-view+json"
_CELL_METADATA = ("deletable", "editable", "jupyter", "nbgrader", "slideshow", "tags")
_KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_LANGUAGE_INFO = {"name": "python", "pygments_lexer": "ipython3"}


class UnbalancedSolution(LabkitError, ValueError):
    """A marker of a solution without its other half."""


def learner_edition(master: NotebookNode) -> NotebookNode:
    """Return what a learner gets of a master, not executed; the master stays as it is.

    Raises UnbalancedSolution, which names the cell, for a marker without its other half.
    """
    notebook = copy.deepcopy(master)
    cells = []
    for number, cell in enumerate(notebook.cells, 1):
        if MASTER_ONLY in cell.metadata.get("tags", []):
            continue
        if cell.cell_type in ("code", "markdown"):
            cell.source = _without_answer(cell, number)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
        cells.append(cell)
    notebook.cells = cells
    return tidy(notebook)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without what a front end or a run leaves in its metadata."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.metadata = _node({key: cell.metadata[key] for key in _CELL_METADATA if key in cell.metadata})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = _node({})
            # A widget lives in a kernel: a file shows what stands beside it, a table for example.
            output.get("data", {}).pop(_WIDGET, None)
    notebook.metadata = _node({"kernelspec": _KERNELSPEC, "language_info": _LANGUAGE_INFO})
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """Return the notebook as it is written to a file: the same notebook is always the same text."""
    return str(_nbformat().writes(notebook)).rstrip("\n") + "\n"


def has_marker(source: str) -> bool:
    """Return True for a cell whose source holds a marker of a solution."""
    return _BEGIN in source or _END in source


def _nbformat() -> Any:  # imported when it is needed: it belongs to the extra `course`
    return importlib.import_module("nbformat")


def _node(content: dict[str, Any]) -> Any:
    return _nbformat().from_dict(content)


def _without_answer(cell: NotebookNode, number: int) -> str:
    source = str(cell.source)
    code = cell.cell_type == "code"
    if not has_marker(source):
        if not cell.metadata.get("nbgrader", {}).get("solution", False):
            return source
        return f"{messages.CODE_PLACEHOLDER}\n..." if code else messages.TEXT_PLACEHOLDER

    def refuse(line: int, problem: str) -> UnbalancedSolution:
        start = next((text for text in source.splitlines() if text.strip()), "")
        return UnbalancedSolution(
            messages.UNBALANCED.format(
                number=number, id=cell.get("id"), line=line, problem=problem, start=start[:60]
            )
        )

    kept: list[str] = []
    begun = 0  # the line of the open region's marker
    for line_number, line in enumerate(source.split("\n"), 1):
        if _BEGIN in line:
            if begun:
                raise refuse(line_number, messages.NESTED_BEGIN)
            begun = line_number
            indent = line[: len(line) - len(line.lstrip())]
            if code:
                _placehold(kept, indent)
            else:
                kept.append(messages.TEXT_PLACEHOLDER)
        elif _END in line:
            if not begun:
                raise refuse(line_number, messages.END_WITHOUT_BEGIN)
            begun = 0
        elif not begun:
            kept.append(line)
    if begun:
        raise refuse(begun, messages.BEGIN_WITHOUT_END)
    return "\n".join(kept)


def _placehold(kept: list[str], indent: str) -> None:
    """Append the placeholder, or mark the lines `name = ...` just above as it."""
    first = len(kept)
    while first and _PLACEHOLDER_LINE.fullmatch(kept[first - 1]):
        first -= 1
    if first < len(kept):
        kept.insert(first, indent + messages.CODE_PLACEHOLDER)
    else:
        kept.extend([indent + messages.CODE_PLACEHOLDER, f"{indent}..."])
