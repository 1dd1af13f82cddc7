"""A journal's entries in a file as well: a JSON object a line, for reading after the class.

`service.journal.write_to("pagos.log")` is all there is to it. JSON and not the text that a cell shows: a
traceback stays one line, times and durations are in it, and `pandas.read_json(path, lines=True)`, `jq` or
`grep` read it.

The standard library's rotating handler writes, behind its queue: a file must never hold up nor break a
service. What a full disk or a full queue does not take is counted, and said once in the journals that write
there. A file that has grown to 10 MB becomes `pagos.log.1`, in place of the one before, and a new one is
begun; so only a file of this kind is written to, never a user's own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import stat
import sys
import threading
import time
from contextvars import Context
from datetime import datetime
from io import TextIOWrapper
from logging.handlers import QueueListener, RotatingFileHandler
from typing import Any, Protocol
from weakref import WeakSet

from labkit import messages
from labkit.entries import Line, Request
from labkit.errors import BadArgument, reason

LIMIT = 10_000_000  # bytes, then it is rotated
WAITING = 20_000  # entries that wait to be written
_BUFFER = 1 << 20  # bytes: a line is one write, so that two kernels may share a file
_ANSWERING = 0.2  # seconds: aiohttp answers after its handler is done
_AT_EXIT = 1.0  # seconds that the end of the interpreter may wait for it

_files: dict[str, JournalFile] = {}
_opening = threading.Lock()


class Journal(Protocol):
    """A journal, as seen from here."""

    def note(self, text: str, /) -> None:
        """Take a remark about the file."""


class JournalFile:
    """A file that journals are written to. Made by `Journal.write_to`, not by hand.

    `lost`: entries that could not be written; `error`: why the last one could not, None if it could.
    """

    def __init__(self, path: str, shown: str) -> None:
        """Open the file; `path`: the whole of it, `shown`: as it was given. Raises OSError."""
        self.shown = shown
        self.lost = 0
        self.error: OSError | None = None
        self._closed = False
        self._journals: WeakSet[Journal] = WeakSet()
        # Not a Queue: the garbage collector may run a finalizer anywhere, and some of them speak.
        self._waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._handler = _Handler(path, self.told)
        self._listener = QueueListener(self._waiting, self._handler)
        # In an empty context: a service may note the first entry, and the thread is not that service's.
        Context().run(self._listener.start)

    def attach(self, journal: Journal) -> None:
        """Register a journal to be told when the file cannot be written."""
        self._journals.add(journal)

    def detach(self, journal: Journal) -> None:
        """Tell a journal no more; with the last one the file is closed."""
        with _opening:
            self._journals.discard(journal)
            if self._journals:
                return
            _files.pop(self._handler.baseFilename, None)
        self.close()

    def close(self) -> None:
        """Write what was queued, if that takes only a moment, and end the thread."""
        if self.flush(_AT_EXIT):
            self._handler.close()
        self._closed = True
        self._listener.enqueue_sentinel()

    def take(self, service: str, entry: Request | Line) -> None:
        """Queue an entry to be written. Waits for nothing."""
        if self._waiting.qsize() < WAITING:
            self._waiting.put(logging.makeLogRecord({"service": service, "entry": entry}))
        else:
            self.lost += 1

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what was queued is written, at most `timeout` seconds; False if it is not."""
        if self._closed:
            return self.error is None
        reached = threading.Event()
        self._waiting.put(logging.makeLogRecord({"reached": reached}))
        return reached.wait(timeout) and self.error is None

    def told(self, error: OSError | None) -> None:
        """Note how a write ended, and tell the journals when that has changed."""
        before, self.error = self.error, error
        self.lost += error is not None
        if (before is None) == (error is None):
            return
        text = messages.JOURNAL_FILE_AGAIN.format(path=self.shown, count=self.lost)
        if error is not None:
            text = messages.JOURNAL_FILE_FAILS.format(path=self.shown, reason=reason(error))
        for journal in list(self._journals):
            journal.note(text)

    def __repr__(self) -> str:
        parts = [messages.JOURNAL_FILE.format(path=self.shown)]
        if self.error is not None:
            parts.append(reason(self.error))
        if self.lost:
            parts.append(messages.JOURNAL_FILE_LOST.format(count=self.lost))
        return " · ".join(parts)


def file_at(path: str | os.PathLike[str]) -> JournalFile:
    """Return the file of that path, the same one for every journal. Raises OSError and BadArgument."""
    shown = os.fspath(path)
    whole = os.path.realpath(shown)
    with _opening:
        if whole not in _files:
            for each in (whole, f"{whole}.1"):
                if not _is_ours(each):
                    raise BadArgument(messages.NOT_A_JOURNAL_FILE.format(path=shown))
            _files[whole] = JournalFile(whole, shown)
        return _files[whole]


def _is_ours(path: str) -> bool:
    """Return True for a file that does not exist, is empty, or begins as a journal does."""
    try:
        kind = os.stat(path)
    except OSError:
        return True  # opening it says more
    if not stat.S_ISREG(kind.st_mode):
        return not (stat.S_ISFIFO(kind.st_mode) or stat.S_ISSOCK(kind.st_mode))
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        first = file.readline(_BUFFER)
        return not first or {"time", "service", "kind"} <= set(json.loads(first))
    return False


class _Handler(RotatingFileHandler):
    """Writes entries as JSON and tells how each write ended."""

    def __init__(self, path: str, told: Any) -> None:
        super().__init__(path, maxBytes=LIMIT, backupCount=1, encoding="utf-8", errors="backslashreplace")
        self._told = told
        self._error: OSError | None = None

    def _open(self) -> TextIOWrapper:
        stream = open(self.baseFilename, "a", _BUFFER, encoding=self.encoding, errors=self.errors)  # noqa: SIM115
        if not _ends_a_line(self.baseFilename):  # of a kernel that was killed, or a disk that was full
            stream.write("\n")
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        if "reached" in record.__dict__:
            record.__dict__["reached"].set()
            return
        self._error = None
        if self.stream is not None and not self._is_there(self.stream):
            self.close()
        super().emit(record)
        self._told(self._error)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        self._error = error if isinstance(error, OSError) else OSError(str(error))
        with contextlib.suppress(OSError):  # what is left in the buffer is half a line
            self.close()

    def _is_there(self, stream: TextIOWrapper) -> bool:
        """Return False for a file that was deleted, moved, or rotated by another kernel."""
        try:
            return os.path.samestat(os.fstat(stream.fileno()), os.stat(self.baseFilename))
        except OSError:
            return False

    def format(self, record: logging.LogRecord) -> str:
        return as_line(record.__dict__["service"], record.__dict__["entry"])


def as_line(service: str, entry: Request | Line) -> str:
    """Return an entry as a line of JSON."""
    facts: dict[str, Any] = {"time": "", "service": service}
    if isinstance(entry, Request):
        end = time.monotonic() + _ANSWERING
        while entry.status is None and not entry.faults and time.monotonic() < end:
            time.sleep(0.001)
        moment = entry.started
        facts |= {"kind": "request", "method": entry.method, "path": entry.path, "status": entry.status}
        facts["seconds"] = None if entry.duration is None else round(entry.duration, 6)
        if entry.faults:
            facts["faults"] = list(entry.faults)
    else:
        moment = entry.time
        facts |= {"kind": entry.kind, "text": entry.text} | ({"detail": entry.detail} if entry.detail else {})
    facts["time"] = datetime.fromtimestamp(moment).astimezone().isoformat(timespec="milliseconds")
    return json.dumps(facts, ensure_ascii=False)


def _ends_a_line(path: str) -> bool:
    if not os.path.isfile(path) or not os.path.getsize(path):
        return True
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _finish() -> None:
    for file in list(_files.values()):
        file.flush(_AT_EXIT)


# labkit.journal imports this module, so this was registered before the roster's end of all services: it runs
# after that, and what they say in their last moment is written too.
atexit.register(_finish)
