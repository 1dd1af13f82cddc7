"""The learner's copy of the notebooks: git ignores it, and an update never overwrites what was edited in it.

A file that is as it was copied follows the course; any other is the learner's. Which is which tells a list of
digests that is kept in the copy.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit.course import messages

NAME = "mi_curso"
MASTERS = "soluciones"
_COPIED = ".copiado.json"


def refresh(notebooks: Path, copy: Path, say: Callable[[str], None]) -> None:
    """Copy into `copy` what it lacks of `notebooks`, and what changed there and was not edited here.

    `say` is told of each file that was edited and has changed in the course since.
    """
    copy.mkdir(exist_ok=True)
    record = copy / _COPIED
    copied: dict[str, str] = json.loads(record.read_text("utf-8")) if record.exists() else {}
    for path in _handed_out(notebooks):
        name, own = path.relative_to(notebooks).as_posix(), copy / path.relative_to(notebooks)
        new = _digest(path)
        if copied.get(name) == new and own.exists():
            continue
        if own.exists() and _digest(own) not in (copied.get(name), new):
            say(messages.LESSON_CHANGED.format(name=name, copy=copy.name, notebooks=notebooks.name))
        else:
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, own)
        copied[name] = new
    record.write_text(json.dumps(copied, indent=1), "utf-8")


def _handed_out(notebooks: Path) -> Iterator[Path]:
    """Yield the files of the learner's edition: no model answers, and nothing that a tool hides there."""
    for path in sorted(notebooks.rglob("*")):
        parts = path.relative_to(notebooks).parts
        if path.is_file() and parts[0] != MASTERS and not any(part.startswith((".", "__")) for part in parts):
            yield path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
