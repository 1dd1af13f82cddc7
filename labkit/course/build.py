"""Execute the masters, make the learner edition from them, and execute that too.

What a file holds is a run's result, so a second run would change figures, ports and tracebacks although
nothing is new. A file is therefore written only when it differs in something that is compared: sources,
metadata, and outputs without images, without tracebacks' text and with the patterns of tests/sanitize.cfg
applied, which is also what nbval compares. To renew figures alone, clear the notebook's outputs first.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.course import messages
from labkit.course.edition import learner_edition, tidy, to_text
from labkit.errors import LabkitError

if TYPE_CHECKING:
    from nbformat import NotebookNode

MASTERS = "soluciones"
CELL_TIMEOUT = 60  # seconds


class BuildFailed(LabkitError, RuntimeError):
    """A cell of a notebook raised, hung or lost its kernel; the text names it and holds the traceback."""


class NoSuchMaster(LabkitError, LookupError):
    """There is no master of that name."""


@dataclass(frozen=True)
class Built:
    """A notebook that was executed. `changed`: it differs from the file in something that is compared."""

    path: Path
    changed: bool


def masters(folder: Path, names: list[str]) -> list[Path]:
    """Return the masters of those names (with or without .ipynb) in notebooks folder `folder`; no name: all.

    Raises NoSuchMaster, which names those that there are.
    """
    found = {path.stem: path for path in sorted((folder / MASTERS).glob("*.ipynb"))}
    if not found:
        raise NoSuchMaster(messages.NO_MASTERS.format(folder=folder / MASTERS))
    chosen = [Path(name).name.removesuffix(".ipynb") for name in names] or list(found)
    for name in chosen:
        if name not in found:
            known = ", ".join(found)
            raise NoSuchMaster(messages.NO_MASTER.format(given=name, folder=folder / MASTERS, known=known))
    return [found[name] for name in chosen]


def build(
    folder: Path,
    names: list[str],
    *,
    write: bool = True,
    say: Callable[[str], None] = print,
    cell_timeout: float = CELL_TIMEOUT,
) -> list[Built]:
    """Build the masters of those names, all if none is given, each with its learner edition.

    `write=False` executes and compares only. `say` gets a line for each notebook. `cell_timeout`: seconds.
    Raises BuildFailed at the first cell that fails; what was built before it is written.
    """
    nbformat = importlib.import_module("nbformat")
    patterns = _sanitize_patterns(folder.resolve().parent / "tests" / "sanitize.cfg")
    built = []
    for path in masters(folder, names):
        master = nbformat.read(path, as_version=4)
        learner = learner_edition(master)  # first: a marker that is wrong is told before anything runs
        for notebook, target, edition in (
            (tidy(master), path, messages.MASTER),
            (learner, folder / path.name, messages.LEARNER),
        ):
            began, before = time.monotonic(), _read(target)
            execute(notebook, target, strict=edition == messages.MASTER, cell_timeout=cell_timeout)
            changed = _settled(before, patterns) != _settled(to_text(notebook), patterns)
            if changed and write:
                if _read(target) != before:
                    raise BuildFailed(messages.EDITED_MEANWHILE.format(notebook=target))
                _write(target, to_text(notebook))
            outcome = messages.UNCHANGED if not changed else messages.WRITTEN if write else messages.DIFFERS
            say(
                messages.BUILT.format(
                    name=path.stem,
                    edition=edition,
                    cells=len(notebook.cells),
                    seconds=time.monotonic() - began,
                    outcome=outcome,
                )
            )
            built.append(Built(target, changed))
    return built


def execute(notebook: NotebookNode, path: Path, *, strict: bool, cell_timeout: float = CELL_TIMEOUT) -> None:
    """Run all cells in a new kernel of this interpreter, in the folder of `path`; outputs go into `notebook`.

    `strict`: `labkit.check` raises for anything but `ok`. Raises BuildFailed.
    """
    nbclient = importlib.import_module("nbclient")
    exceptions = importlib.import_module("nbclient.exceptions")
    running = [0]

    def note(cell: Any, cell_index: int) -> None:
        running[0] = cell_index

    def failed(problem: str, details: str = "") -> BuildFailed:
        text = messages.BUILD_FAILED.format(notebook=path, number=running[0] + 1, problem=problem)
        source = str(notebook.cells[running[0]].source) if notebook.cells else ""
        return BuildFailed("\n\n".join(part for part in (text, source, details) if part))

    with _environment(strict) as environment:
        manager = _kernel_manager()
        client = nbclient.NotebookClient(
            notebook,
            km=manager,
            timeout=cell_timeout,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=40"],  # no warning about TCP on this machine's loopback
            on_cell_start=note,
            resources={"metadata": {"path": str(path.parent.resolve())}},
        )

        async def to_its_end() -> None:
            try:
                await client.async_execute(env=environment)
            finally:
                if manager.has_kernel:  # nbclient ends only the kernels whose manager it has made itself
                    await manager.shutdown_kernel(now=True)

        try:
            asyncio.run(to_its_end())
        except exceptions.CellTimeoutError:
            raise failed(messages.CELL_TIMEOUT.format(seconds=f"{cell_timeout:g}")) from None
        except exceptions.CellExecutionError as error:
            raise failed(messages.CELL_RAISED, error.traceback) from None
        except exceptions.DeadKernelError:
            raise failed(messages.KERNEL_DIED) from None
    executed = tidy(notebook)
    notebook.cells, notebook.metadata = executed.cells, executed.metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                output.traceback = [_without_places(line) for line in output.traceback]


def _kernel_manager() -> Any:
    """Make a manager of kernels of this interpreter, whatever kernelspec `python3` there is."""
    specs = importlib.import_module("jupyter_client.kernelspec")
    manager = importlib.import_module("jupyter_client.manager")
    native = specs.KernelSpecManager(kernel_dirs=[])
    return manager.AsyncKernelManager(kernel_name=specs.NATIVE_KERNEL_NAME, kernel_spec_manager=native)


@contextlib.contextmanager
def _environment(strict: bool) -> Iterator[dict[str, str]]:
    """Return the environment of a kernel whose outputs are committed: nothing personal in it."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LABKIT_STRICT", "MPLBACKEND", "HOST") and not name.startswith("JUPYTERHUB_")
    }
    if strict:
        environment["LABKIT_STRICT"] = "1"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        yield {**environment, "IPYTHONDIR": profile}


_PLACES = tuple(
    sorted(
        {
            form
            for folder in (Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix), Path.home())
            for path in (folder, folder.resolve())
            for form in (str(path), str(path).replace(str(Path.home()), "~", 1))
            if len(form) > 1
        },
        key=len,
        reverse=True,
    )
)


def _without_places(line: str) -> str:
    """Take the folders of this machine out of a line of a traceback."""
    for place in _PLACES:
        line = line.replace(place + os.sep, "")
    return line


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole: a master is the only copy of somebody's work."""
    new = path.with_suffix(".ipynb.new")
    new.write_text(text, encoding="utf-8", newline="\n")
    os.replace(new, path)


def _sanitize_patterns(path: Path) -> list[tuple[re.Pattern[str], str]]:
    pairs = re.findall(r"^regex: (.*)$\n^replace: (.*)$", _read(path), flags=re.MULTILINE)
    return [(re.compile(pattern), replacement) for pattern, replacement in pairs]


def _settled(text: str, patterns: list[tuple[re.Pattern[str], str]]) -> str:
    """Return the file's text without what may differ between two runs of the same notebook."""
    if not text:
        return text
    notebook = importlib.import_module("nbformat").reads(text, as_version=4)
    form = text == to_text(notebook)  # written by another program: worth a rewrite
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                output.traceback = []
            if "data" in output:
                output.data = {key: value for key, value in output.data.items() if "image/" not in key}
            for key, value in [*output.items(), *output.get("data", {}).items()]:
                if isinstance(value, str):
                    for pattern, replacement in patterns:
                        value = pattern.sub(replacement, value)
                    (output if key in output else output.data)[key] = value
    return f"{form}\n{to_text(notebook)}"
