"""`python -m labkit`: lab opens the course, build makes it from the masters, doctor says what is missing."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit.course import messages, workspace
from labkit.course.workspace import MASTERS
from labkit.errors import LabkitError

FIRST = "00_inicio.ipynb"
# JupyterLab's page in Spanish, without the question about news.
SETTINGS = Path(__file__).parent / "course" / "settings"


class NotFound(LabkitError, LookupError):
    """Something that the command needs is not there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may have no ✓
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "lab":
        parser.error(" ".join(rest))
    try:
        if options.command == "lab":
            return _lab(rest)
        if options.command == "build":
            return _build(options.names, write=not options.check)
        return _doctor()
    except LabkitError as error:
        print(error, file=sys.stderr)
        return 1


def notebooks_folder(start: Path) -> Path:
    """Find the folder of the notebooks: in `start`, above it, or in the clone that labkit is imported from.

    Raises NotFound, which names the places.
    """
    clone = Path(__file__).resolve().parents[1]
    for place in (start, *start.parents, clone):
        for folder in (place / "notebooks", place):
            # By the masters' folder as well: before the first build there is no learner edition.
            if folder.name != MASTERS and any((at / FIRST).exists() for at in (folder, folder / MASTERS)):
                return folder
    raise NotFound(messages.NO_NOTEBOOKS.format(places=f"{start}, {clone}"))


def _parser() -> argparse.ArgumentParser:
    # allow_abbrev: `lab --no` must reach JupyterLab as it is.
    parser = argparse.ArgumentParser("python -m labkit", description=messages.DESCRIPTION, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    # No --help of its own: `lab --help` shows JupyterLab's options, which are the ones it takes.
    commands.add_parser("lab", help=messages.HELP_LAB, add_help=False, allow_abbrev=False)
    build = commands.add_parser("build", help=messages.HELP_BUILD, allow_abbrev=False)
    build.add_argument("names", nargs="*", metavar="NOMBRE", help=messages.HELP_NAMES)
    build.add_argument("--check", action="store_true", help=messages.HELP_CHECK)
    commands.add_parser("doctor", help=messages.HELP_DOCTOR)
    return parser


def _lab(rest: list[str]) -> int:
    notebooks = notebooks_folder(Path.cwd())
    try:
        app = importlib.import_module("jupyterlab.labapp")
    except ImportError:
        text = messages.NO_JUPYTERLAB.format(prefix=sys.prefix, python=sys.executable)
        raise NotFound(text) from None
    options = [f"--LabApp.app_settings_dir={SETTINGS}"]
    # A folder that is named is opened as it is: who edits the masters names theirs.
    if not any(Path(argument).is_dir() for argument in rest):
        copy = notebooks.parent / workspace.NAME
        workspace.refresh(notebooks, copy, say=lambda line: print(line, flush=True))
        # The first notebook as the address and not as an argument: so the printed link opens it too.
        options += [str(copy), f"--LabApp.default_url=/lab/tree/{FIRST}"]
    # In a container one is root. Whoever may start it may do anything here already; from outside nobody may.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in rest:
        print(messages.AS_ROOT, flush=True)
        options.append("--allow-root")
    # In this process: Ctrl-C and a closed terminal reach JupyterLab as if it had been started by hand.
    app.main([*options, *rest])
    return 0


def _build(names: list[str], *, write: bool) -> int:
    for package in ("nbformat", "nbclient"):
        try:
            importlib.import_module(package)
        except ImportError:
            text = messages.NO_BUILD_PACKAGES.format(package=package, python=sys.executable)
            raise NotFound(text) from None
    from labkit.course.build import build

    built = build(notebooks_folder(Path.cwd()), names, write=write, say=lambda line: print(line, flush=True))
    if write or not any(notebook.changed for notebook in built):
        return 0
    print(messages.CHECK_DIFFERS, file=sys.stderr)
    return 1


def _doctor() -> int:
    from labkit.course.doctor import report

    try:
        folder = notebooks_folder(Path.cwd())
    except NotFound:
        return report(None)
    return report(folder)


if __name__ == "__main__":
    sys.exit(main())
