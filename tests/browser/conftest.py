"""JupyterLab and a browser for the tests of this folder; without a browser they are skipped, with a word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from lab import NOTEBOOKS, Lab, browser_context, find_chromium, jupyterlab


@pytest.fixture(scope="session")
def chromium() -> str:
    found = find_chromium()
    if found is None:
        word = "no Chromium or Chrome on this machine: JupyterLab was not looked at in a browser"
        if os.environ.get("LABKIT_REQUIRE_BROWSER") == "1":
            pytest.fail(word)
        pytest.skip(word)
    return found


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the learner's folder, as running a notebook writes to it."""
    return Path(shutil.copytree(NOTEBOOKS, tmp_path_factory.mktemp("lab") / "notebooks"))


# Of a module and no longer: while they last, other tests of this process find children of its own, which they
# count, and an event loop that runs in their thread.
@pytest.fixture(scope="module")
def address(chromium: str, work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with jupyterlab(work, tmp_path_factory.mktemp("homes") / "home") as address:
        yield address


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[BrowserContext]:
    with browser_context(chromium) as browser:
        yield browser


@pytest.fixture
def lab(
    browser: BrowserContext, address: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Lab]:
    """JupyterLab in a page of its own; a screenshot is kept where the test fails."""
    failed_before = request.session.testsfailed
    page = browser.new_page()
    yield Lab(page, address)
    if request.session.testsfailed > failed_before:
        page.screenshot(path=tmp_path / "at-the-end.png")
        print(f"screenshot: {tmp_path / 'at-the-end.png'}")
    page.close()
