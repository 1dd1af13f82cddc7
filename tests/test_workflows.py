"""The workflows for GitHub run what the Makefile and the README have; one version stands everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import labkit

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def jobs(workflow: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    return loaded


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(workflow).values() for step in job["steps"]]


def known(command: str) -> bool:
    """Whether the Makefile has the target, or the README the very line."""
    make = re.fullmatch(r"make (\w+)( PYTHON=python)?", command)
    if make:
        return re.search(rf"^{make[1]}:", read("Makefile"), re.MULTILINE) is not None
    return command in read("README.md").splitlines()


def test_there_are_workflows_for_tests_the_site_and_the_package() -> None:
    assert [path.stem for path in WORKFLOWS] == ["publish", "site", "tests"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_runs_a_command_of_the_project_or_an_action_of_one_major_version(workflow: Path) -> None:
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        for command in step.get("run", "").splitlines():
            assert known(command), command
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", step["uses"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_ends_and_may_no_more_than_it_needs(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text("utf-8"))["permissions"]["contents"] == "read"
    assert all(job["timeout-minutes"] <= 60 for job in jobs(workflow).values())


def test_the_tests_run_on_three_systems_and_on_pythons_that_the_project_names() -> None:
    (tests,) = (path for path in WORKFLOWS if path.stem == "tests")
    matrices = [job["strategy"]["matrix"] for job in jobs(tests).values()]
    systems = {system for matrix in matrices for system in matrix.get("os", ["windows-latest"])}
    assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}
    for matrix in matrices:
        for version in matrix["python"]:
            assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_site_is_published_from_where_make_site_puts_it() -> None:
    (site,) = (path for path in WORKFLOWS if path.stem == "site")
    (upload,) = (step for step in steps(site) if "upload-pages-artifact" in step.get("uses", ""))
    assert f"docs/site/build.py {upload['with']['path']} " in read("Makefile")


# The version


def test_one_version_stands_everywhere() -> None:
    assert PROJECT["version"] == labkit.__version__
    assert re.findall(r"^## \[(.*?)\]", read("CHANGELOG.md"), re.MULTILINE)[0] == labkit.__version__
    assert yaml.safe_load(read("CITATION.cff"))["version"] == labkit.__version__


def test_the_citation_is_valid_and_names_the_authors_of_the_licence() -> None:
    """The fields that the Citation File Format 1.2.0 demands, and no other than it knows."""
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert set(citation) <= {
        *("cff-version", "message", "type", "title", "authors", "version", "license", "keywords", "abstract"),
        *("date-released", "doi", "url", "repository-code", "identifiers", "references", "contact"),
    }
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in ("software", "dataset")
    (author,) = citation["authors"]
    assert set(author) == {"name"}
    assert f"Copyright (c) 2026 {author['name']}\n" in read("LICENSE")
    assert citation["license"] == PROJECT["license"].split(" AND ")


def test_the_change_log_keeps_to_the_order_of_keep_a_changelog() -> None:
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for version in re.split(r"^## ", read("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert sections == [kind for kind in order if kind in sections]
