"""docs/servidores.md: every recipe does what the page shows, with the code as it stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kernels import kernel
from support import take_fixed_ports

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parent.parent / "docs" / "servidores.md").read_text("utf-8")
TESTS = "Fallos en una prueba con pytest"


class Block(NamedTuple):
    """A cell of the page, and what the page says it shows."""

    code: str
    shown: str | None


def blocks(section: str) -> Iterator[Block]:
    fenced = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?"
    for match in re.finditer(fenced, section, re.DOTALL | re.MULTILINE):
        yield Block(match[1], match[2])


RECIPES = {
    title: list(blocks(text))
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}


def test_there_are_five_and_each_shows_something() -> None:
    assert len(RECIPES) == 5
    assert all(any(block.shown for block in recipe) for recipe in RECIPES.values())
    fences = PAGE.count("```") // 2
    assert fences == sum(1 + (block.shown is not None) for recipe in RECIPES.values() for block in recipe)


@pytest.mark.parametrize("title", [title for title in RECIPES if title != TESTS])
def test_a_recipe_shows_what_the_page_says(title: str) -> None:
    if sys.platform == "win32" and "proceso" in title:
        pytest.skip("how a process ends is told by a signal of POSIX")
    # Only the tutorial's names a port.
    with take_fixed_ports(), kernel(loaded=False) as one:
        for block in RECIPES[title]:
            cell = one.ok(block.code)
            if block.shown is not None:
                assert (cell.result or "") + "\n" == block.shown


def test_the_tests_of_the_page_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = RECIPES[TESTS]
    pytester.makepyfile(test_tienda=block.code)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_subprocess("-p", "labkit.pytest_plugin")
    assert block.shown is not None
    result.assert_outcomes(passed=int(block.shown.split()[0]))
