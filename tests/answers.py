"""Hold a check against answers: the master's as it stands in its notebook, one line changed, another make.

    SD6 = Master("SD-6")

    RIGHT = {"with a session": '''class Cliente: …'''}
    WRONG = {   # what the master says → what a learner writes, and the hint it must get
        "no status": ("respuesta.raise_for_status()", "pass", "¿miras el código"),
        "no class": ("Cliente = None.__class__", "se pide una clase"),      # a whole answer, and its hint
    }
    test_right, test_wrong = SD6.tests(RIGHT, WRONG)

The master itself is always among the right ones. Wrong answers are judged at a quick pace, right ones at the
learner's.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.exercises.check import Verdict, check, judge
from labkit.exercises.exercise import Exercise, find_exercise
from labkit.exercises.pace import FULL, QUICK, Pace

MASTERS = Path(__file__).parent.parent / "notebooks" / "soluciones"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


class Master:
    """An exercise's answer in the master notebook, and the names that the notebook gives it.

    `run`: the ids of cells that are run whole and not only for their definitions: they start what the answer
    needs. `same`: changes of the answer that mean the same as it, as `make mutants` prints them, and why.
    `names`: what the test itself gives.
    """

    def __init__(
        self, exercise_id: str, *, run: tuple[str, ...] = (), same: Mapping[str, str] = {}, **names: Any
    ) -> None:
        exercise = find_exercise(exercise_id)
        assert exercise is not None, exercise_id
        self.exercise: Exercise = exercise
        self._run, self._names, self.same = run, names, same

    @functools.cached_property
    def _cells(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The code cells before the answer, and those of the answer."""
        asked = re.compile(rf"""labkit\.check\(\s*["']{self.exercise.id}["']""")
        for path in sorted(MASTERS.glob("[0-9]*.ipynb")):
            cells = [
                cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"
            ]
            for cell in cells:
                cell["source"] = "".join(cell["source"])
            found = next((n for n, cell in enumerate(cells) if asked.search(cell["source"])), None)
            if found is None:
                continue
            first = found
            while first and not re.search(r"labkit\.check\(", cells[first - 1]["source"]):
                first -= 1
            answer = [cell for cell in cells[first:found] if BEGIN in cell["source"]]
            assert answer, f"no solution before the check of {self.exercise.id}"
            before = cells[: cells.index(answer[0])]
            between = [cell for cell in cells[first:found] if cell not in answer and cell not in before]
            return before + between, answer
        raise LookupError(f"no master has a check of {self.exercise.id}")

    @property
    def source(self) -> str:
        """The answer, without the markers."""
        text = "\n".join(cell["source"] for cell in self._cells[1])
        return "\n".join(line for line in text.splitlines() if line.strip() not in (BEGIN, END)) + "\n"

    def namespace(self) -> dict[str, Any]:
        """What the notebook defines before the answer: imports, functions, classes and constants."""
        names: dict[str, Any] = {"__name__": "__main__"}
        for cell in self._cells[0]:
            whole = cell.get("id") in self._run
            for node in _statements(cell["source"]):
                if whole or isinstance(node, _DEFINITIONS) or _is_constant(node):
                    _execute(ast.Module([node], []), names, strict=whole)
        names.update(self._names)
        return names

    def changed(self, old: str, new: str) -> str:
        """The answer with one piece of it replaced, wherever it stands; fails when it stands nowhere."""
        assert old in self.source, f"{self.exercise.id} says no {old!r}:\n{self.source}"
        return self.source.replace(old, new)

    def made(self, answer: str) -> tuple[Any, ...]:
        """What an answer's source defines, in the order in which `check` wants it."""
        names = self.namespace()
        exec(compile(textwrap.dedent(answer), f"<{self.exercise.id}>", "exec"), names)
        return tuple(names[name] for name in self.exercise.arguments)

    def verdict(self, answer: object, pace: Pace = FULL) -> Verdict:
        """Judge an answer: its source, what it defines, or a tuple of that."""
        try:
            if isinstance(answer, str):
                answer = self.made(answer)
            return judge(self.exercise, answer if isinstance(answer, tuple) else (answer,), pace)
        finally:
            if self._run:
                labkit.stop_all(grace=0)

    def tests(
        self, right: Mapping[str, Any] = {}, wrong: Mapping[str, tuple[Any, ...]] = {}
    ) -> tuple[Callable[..., None], Callable[..., None]]:
        """Make two tests: every right answer and the master pass, every wrong one gets its hint."""

        @pytest.mark.parametrize("name", ["the master", *right])
        def test_right(name: str) -> None:
            verdict = self.verdict(right.get(name, self.source))
            assert verdict.state == "ok", verdict.text

        # An answer that hangs is stopped wherever it is, in a weakref's callback too.
        @pytest.mark.filterwarnings(
            "ignore::pytest.PytestUnraisableExceptionWarning",
            "ignore::pytest.PytestUnhandledThreadExceptionWarning",
        )
        @pytest.mark.parametrize("name", list(wrong))
        def test_wrong(name: str) -> None:
            *change, hint = wrong[name]
            verdict = self.verdict(self.changed(*change) if len(change) == 2 else change[0], QUICK)
            assert verdict.state == "falla", verdict.text
            assert hint in verdict.hint, verdict.hint

        return test_right, test_wrong


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _statements(source: str) -> list[ast.stmt]:
    if source.startswith("%%"):
        return []
    return ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))).body


def _is_constant(node: ast.stmt) -> bool:
    """True for an assignment that needs nothing but literals and names."""
    if not isinstance(node, ast.Assign):
        return False
    allowed = (
        ast.Constant,
        ast.List,
        ast.Tuple,
        ast.Dict,
        ast.Set,
        ast.Name,
        ast.Load,
        ast.BinOp,
        ast.operator,
    )
    return all(isinstance(part, (*allowed, ast.UnaryOp, ast.unaryop)) for part in ast.walk(node.value))


def _execute(module: ast.Module, names: dict[str, Any], *, strict: bool) -> None:
    try:
        exec(compile(module, "<cuaderno>", "exec"), names)
    except NameError:  # it needs what only a running notebook has
        if strict:
            raise


# For the engine's own tests


def assert_right(exercise_id: str, *answer: object) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "ok", verdict.text
    return verdict


def assert_wrong(exercise_id: str, *answer: object, hint_contains: str) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "falla", verdict.text
    assert hint_contains in verdict.hint, verdict.hint
    assert not re.search(r"\b_[A-Za-z]|well_instance", verdict.hint), "names of the cases' own"
    return verdict


def assert_pending(exercise_id: str, *answer: object) -> Verdict:
    verdict = check(exercise_id, *answer)
    assert verdict.state == "pendiente", verdict.text
    return verdict
