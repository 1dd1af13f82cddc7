"""Tracebacks as a learner reads them: the lines of their own code, without paths of the machine."""

from __future__ import annotations

import linecache
import os
import threading
import traceback

from labkit import messages

_HERE = os.path.dirname(os.path.abspath(__file__))
_STDLIB = os.path.dirname(os.path.abspath(threading.__file__))


def brief_traceback(error: BaseException) -> str:
    """Return the frames of the user's own code and the error, without paths of the machine.

    Frames of libraries are left out, unless there is nothing else.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)] or frames[-1:]
    lines = [
        messages.TRACE_FRAME.format(
            function=frame.name,
            line=frame.lineno,
            source=(frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip(),
        )
        for frame in own
    ]
    return "\n".join([*lines, f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")])


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return messages.NO_TEXT


def is_library(filename: str) -> bool:
    """Return True for a file of labkit's, Python's or of an installed package."""
    return filename.startswith((_HERE, _STDLIB, "<frozen")) or "site-packages" in filename
