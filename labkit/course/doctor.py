"""Has this machine what the course needs? Each finding says what was found and what to do about it.

It runs where things are broken, so it imports what may be missing only where it looks for it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labkit.course import messages
from labkit.errors import LabkitError
from labkit.sockets import listen, owner_of

Level = Literal["ok", "aviso", "error"]
_SIGNS: dict[Level, str] = {"ok": "✓", "aviso": "!", "error": "✗"}

EXTRA = "course"
# What an environment is made with, in any version, and nothing of the course needs.
SEEDS = {"pip", "setuptools", "wheel"}
# The package lists of a clone; a labkit that was installed from a wheel has none.
CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Finding:
    """A finding; `error` prevents the course, `aviso` does not. `remedy`: what to do."""

    level: Level
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{_SIGNS[self.level]} {self.text}"
        return f"{line}\n{messages.REMEDY.format(remedy=self.remedy)}" if self.remedy else line


def examine(notebooks: Path | None) -> Iterator[Finding]:
    """Look at everything; `notebooks`: the folder of the course, None where it was not found."""
    yield python(CHECKOUT)
    yield from packages(CHECKOUT)
    yield kernel()
    yield loopback()
    yield from ports()
    yield (
        Finding("ok", messages.NOTEBOOKS_FINE.format(folder=notebooks))
        if notebooks
        else Finding("error", messages.NO_NOTEBOOKS_SHORT, messages.NOTEBOOKS_REMEDY)
    )
    yield chromium()


def report(notebooks: Path | None) -> int:
    """Print all findings and a summary; return 1 when something prevents the course."""
    levels = set()
    for finding in examine(notebooks):
        levels.add(finding.level)
        print(finding, flush=True)
    print()
    if "error" in levels:
        print(messages.SUMMARY_ERRORS)
        return 1
    print(messages.SUMMARY_WARNINGS if "aviso" in levels else messages.SUMMARY_FINE)
    return 0


def python(checkout: Path) -> Finding:
    """Check that this Python is one that the project is made for."""
    version = platform.python_version()
    wanted = _project(checkout).get("requires-python") or _metadata("Requires-Python")
    # By hand: `packaging` may be what is missing, and the project states a least version only.
    least = re.search(r">=\s*(\d+)\.(\d+)", wanted)
    if least and sys.version_info[:2] < tuple(map(int, least.groups())):
        text = messages.PYTHON_WRONG.format(version=version, executable=sys.executable, wanted=wanted)
        return Finding("error", text, messages.PYTHON_REMEDY)
    return Finding("ok", messages.PYTHON_FINE.format(version=version, executable=sys.executable))


def packages(checkout: Path) -> Iterator[Finding]:
    """Check that what pyproject.toml asks for is installed, in the versions that were tested."""
    remedy = messages.PACKAGES_REMEDY.format(
        python=sys.executable,
        constraints="-c constraints.txt " if (checkout / "constraints.txt").exists() else "",
        source=f".[{EXTRA}]",
    )
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding("error", messages.NO_PACKAGING, remedy)
        return
    wrong = False
    requirements = [Requirement(line) for line in _requirements(checkout)]
    requirements = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": EXTRA})]
    for requirement in requirements:
        version = _version(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        if version is None:
            wrong = True
            yield Finding("error", messages.PACKAGE_MISSING.format(requirement=wanted), remedy)
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong = True
            text = messages.PACKAGE_WRONG.format(name=requirement.name, version=version, requirement=wanted)
            yield Finding("error", text, remedy)
    if not wrong:
        yield Finding("ok", messages.PACKAGES_FINE.format(count=len(requirements)))
    other = []
    for line in _lines(checkout / "constraints.txt"):
        pin = Requirement(line)
        version = _version(pin.name)
        applies = pin.marker is None or pin.marker.evaluate()
        if pin.name in SEEDS or not applies or version is None:
            continue
        if not pin.specifier.contains(version, prereleases=True):
            other.append(f"{pin.name} {version} ({pin.specifier})")
    if other:
        shown = ", ".join(other[:5]) + (", …" if len(other) > 5 else "")
        yield Finding("aviso", messages.PACKAGE_UNPINNED.format(packages=shown), remedy)


def kernel() -> Finding:
    """Check that JupyterLab would start this Python for a notebook.

    A kernelspec `python3` of the user's or the system's can stand before this environment's own.
    """
    remedy = messages.KERNEL_REMEDY.format(python=sys.executable)
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

        spec = KernelSpecManager().get_kernel_spec("python3")
    except ImportError:
        return Finding("error", messages.KERNEL_MISSING, remedy)
    except NoSuchKernel:
        return Finding("error", messages.KERNEL_MISSING, remedy)
    where, argv0 = spec.resource_dir, spec.argv[0] if spec.argv else ""
    # jupyter_client starts its own Python for these names.
    if argv0 in ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        return Finding("ok", messages.KERNEL_FINE)
    try:
        # Asked, not compared by path: a venv's python is a link to the one it was made from.
        prefix = subprocess.run(
            [argv0, "-c", "import sys; print(sys.prefix)"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        text = messages.KERNEL_BROKEN.format(where=where, argv0=argv0)
        return Finding("error", text, remedy)
    if not os.path.exists(prefix) or not os.path.samefile(prefix, sys.prefix):
        text = messages.KERNEL_OTHER.format(where=where, found=prefix, own=sys.prefix)
        return Finding("error", text, messages.KERNEL_REMEDY_OTHER.format(python=sys.executable))
    return Finding("ok", messages.KERNEL_FINE)


def loopback() -> Finding:
    """Check that no proxy would stand between a notebook and its own services."""
    try:
        from requests.utils import get_environ_proxies
    except ImportError:  # told by `packages`
        return Finding("ok", messages.LOOPBACK_FINE)
    proxy = get_environ_proxies("http://127.0.0.1:5000/", no_proxy=None).get("http")
    if proxy is None:
        return Finding("ok", messages.LOOPBACK_FINE)
    # A proxy's address may hold a password.
    shown = re.sub(r"//[^@/]*@", "//…@", proxy)
    return Finding("error", messages.LOOPBACK_PROXY.format(proxy=shown), messages.LOOPBACK_REMEDY)


def ports(numbers: tuple[int, ...] = tuple(messages.PORT_USES)) -> Iterator[Finding]:
    """Look which of the ports that lessons name are taken, and by whom. None of it prevents the course."""
    free = []
    for port in numbers:
        use = messages.PORT_USES.get(port, "")
        try:
            listen("127.0.0.1", port).close()
        except LabkitError as error:
            owner = getattr(error, "owner", None) or owner_of(port) or messages.PORT_UNKNOWN_OWNER
            remedy = messages.PORT_REMEDY_8888 if port == 8888 else messages.PORT_REMEDY
            yield Finding("aviso", messages.PORT_TAKEN.format(port=port, use=use, owner=owner), remedy)
        except OSError as error:
            text = messages.PORT_UNUSABLE.format(port=port, use=use, error=error)
            yield Finding("aviso", text, messages.PORT_REMEDY)
        else:
            free.append(port)
    if free:
        yield Finding("ok", messages.PORT_FREE.format(ports=", ".join(map(str, free))))


def chromium() -> Finding:
    """Look for Chromium, which only the tests in a browser use."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    return Finding("ok", messages.CHROMIUM_FINE.format(path=path) if path else messages.CHROMIUM_MISSING)


def _project(checkout: Path) -> dict[str, Any]:
    path = checkout / "pyproject.toml"
    if not path.exists():
        return {}
    project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project


def _requirements(checkout: Path) -> list[str]:
    """Read what the clone asks for now: an editable install's metadata are as old as it."""
    project = _project(checkout)
    if project:
        extra = project.get("optional-dependencies", {}).get(EXTRA, [])
        return [*project.get("dependencies", []), *extra]
    try:
        return importlib.metadata.requires("labkit") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _metadata(field: str) -> str:
    try:
        return importlib.metadata.metadata("labkit")[field] or ""
    except (importlib.metadata.PackageNotFoundError, KeyError):
        return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]
