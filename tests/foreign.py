"""Foreign test suites: source distributions and what they need, fetched once into a folder of the .venv."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "foreign"


def source(name: str, version: str) -> Path:
    """The unpacked source distribution of a package; skips the test when it cannot be had."""
    folder = FOLDER / f"{name}-{version}"
    if not folder.exists():
        FOLDER.mkdir(exist_ok=True)
        run("download", "--no-binary", name, "--no-deps", "--dest", FOLDER, f"{name}=={version}")
        with tarfile.open(FOLDER / f"{name}-{version}.tar.gz") as archive:
            archive.extractall(FOLDER, filter="data")
    return folder


def packages(name: str, *requirements: str) -> Path:
    """A folder for PYTHONPATH that holds these packages, beside the environment and not in it."""
    folder = FOLDER / name
    if not folder.exists():
        try:
            run("install", "--target", folder, *requirements)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"cannot be fetched: {arguments[-1]}")
