"""What the project says of itself is true: the READMEs, the environment, the versions, the licences."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
READMES = ["README.md", "README.es.md"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


# The commands


@pytest.mark.parametrize("readme", READMES)
def test_every_make_command_of_the_readme_exists(readme: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake (?:[A-Z]+=\S+ )?([a-z]+)\b(?=[` \n])", "\n".join(code_in(readme))))
    assert {"lab", "test"} <= named <= targets


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_installs_what_the_makefile_installs(readme: str) -> None:
    """The course alone to open it, and what tests need besides for them."""

    def extras(text: str) -> list[str]:
        return re.findall(r"\.\[([\w,]+)\]", text)

    made = {"course", "course,dev", "course,grading", "course,site", "course,hub"}
    assert set(extras(read("Makefile"))) == made
    assert extras(read(readme)) == ["course", "course,dev"][: len(extras(read(readme)))]


def test_the_readme_and_the_makefile_test_the_same() -> None:
    (tests,) = re.findall(r"^TESTS \?= (.*)$", read("Makefile"), re.MULTILINE)

    def options(text: str) -> set[str]:
        command = text.replace("\\\n", " ").split("-m pytest ", 1)[1].splitlines()[0]
        command = command.replace("$(TESTS)", tests)
        return {option for option in shlex.split(command) if option != "$(ARGS)"}

    assert options(read("README.md")) == options(read("Makefile"))
    assert not {option for option in options(read("Makefile")) if "lax" in option}


def test_ci_runs_the_readmes_commands() -> None:
    commands = re.findall(r"^ *make ([a-z]+)", read(".ci/run"), re.MULTILINE)
    assert commands == ["lint", "test", "test", "soak"]  # the second one on other Pythons


def code_in(readme: str) -> Iterator[str]:
    """The README's code, in blocks and in lines."""
    text = read(readme)
    yield from re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
    yield from re.findall(r"`make[^`]*`", text)


# The map


@pytest.mark.parametrize("readme", READMES)
def test_every_file_that_the_readme_links_exists(readme: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", read(readme)) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_the_map_names_every_lesson_that_exists(readme: str) -> None:
    assert [path.name for path in NOTEBOOKS if f"(notebooks/{path.name})" not in read(readme)] == []


# The environment


def test_environment_yml_takes_everything_from_pyproject() -> None:
    """Python, pip and the project: a package named there as well would have its range in two places."""
    environment = yaml.safe_load(read("environment.yml"))
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"
    version = re.fullmatch(r"python=(3\.\d+)", python)
    assert version, "Binder reads one exact minor version"
    assert version[1] in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    constraints, project = from_pip["pip"]
    assert constraints == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", project)
    assert extras
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


# The versions


def pins() -> list[Requirement]:
    return [Requirement(line) for line in read("constraints.txt").splitlines()]


def declared() -> list[Requirement]:
    optional = PROJECT["optional-dependencies"].values()
    return [
        Requirement(text)
        for text in [*PROJECT["dependencies"], *(text for extra in optional for text in extra)]
    ]


@pytest.mark.parametrize("dependency", declared(), ids=lambda dependency: dependency.name)
def test_a_dependency_is_pinned_inside_its_range(dependency: Requirement) -> None:
    pinned = [pin for pin in pins() if canonicalize_name(pin.name) == canonicalize_name(dependency.name)]
    assert pinned, "run `make constraints`"
    for pin in pinned:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert exact.version in dependency.specifier


def test_constraints_hold_for_every_platform_and_python() -> None:
    """Everywhere one version of each package, and every package that is asked for there."""
    systems = [("linux", "posix", "Linux"), ("darwin", "posix", "Darwin"), ("win32", "nt", "Windows")]
    for python in ["3.11", "3.12", "3.13", "3.14"]:
        for sys_platform, os_name, platform_system in systems:
            environment = {
                "python_version": python,
                "python_full_version": f"{python}.9",
                "sys_platform": sys_platform,
                "os_name": os_name,
                "platform_system": platform_system,
            }
            names = [
                canonicalize_name(pin.name)
                for pin in pins()
                if pin.marker is None or pin.marker.evaluate(environment)
            ]
            assert len(names) == len(set(names))
            missing = {
                canonicalize_name(dependency.name)
                for dependency in declared()
                if dependency.marker is None or dependency.marker.evaluate(environment)
            } - set(names)
            assert not missing


def test_constraints_hold_names_and_versions_only() -> None:
    for line in read("constraints.txt").splitlines():
        pin, _, marker = line.partition(" ; ")
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*", pin)
        assert not marker or Marker(marker)


# The files


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # A file that somebody deletes or moves just now is listed and not there.
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# Built from parts: this file is among those that are read.
FORBIDDEN = [
    *("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb." + "debian", "anaconda" + ".org"),
    *("extra-index" + "-url", "/work" + "/main", "/work" + "/shared", "/root" + "/"),
    *(".library" + "/env", "/usr/bin/" + "chromium"),
]
# In code these may be data; in what a notebook shows they come from the machine it ran on.
FORBIDDEN_IN_NOTEBOOKS = [*FORBIDDEN, "/home/", "/Users/", "/tmp/"]


def test_no_file_names_a_registry_or_a_path_of_somebodys_machine() -> None:
    """Notebooks' outputs included: a traceback is quick to name the folder it came from."""
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        if path.suffix != ".png"
        for text in [path.read_text("utf-8", errors="replace")]
        for word in (FORBIDDEN_IN_NOTEBOOKS if path.suffix == ".ipynb" else FORBIDDEN)
        if word in text
    ]
    assert found == []


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb")), ids=lambda path: path.stem
)
def test_every_cell_of_a_notebook_was_executed(notebook: Path) -> None:
    """nbval lets a cell without an execution count pass without comparing anything."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


def test_both_licences_are_there() -> None:
    assert PROJECT["license-files"] == ["LICENSE", "LICENSE-text"]
    assert read("LICENSE").startswith("MIT License\n")
    assert "Creative Commons Attribution 4.0 International Public License" in read("LICENSE-text")
    assert "https://creativecommons.org/licenses/by/4.0/" in read("LICENSE-text")
