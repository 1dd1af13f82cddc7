"""The record of what a service served, printed, logged and raised, in order of time.

A journal is bounded: the oldest entries are dropped and counted. Its text forms hold no times, ports
or identifiers, so that a notebook that shows them is the same on every run.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator

from labkit import journal_file, messages
from labkit.entries import Line, Request
from labkit.errors import CannotWrite
from labkit.traces import brief_traceback

LIMIT = 10_000
_SHOWN = 30


class Journal:
    """A bounded record of one service, filled from any thread."""

    def __init__(self, limit: int = LIMIT, *, name: str = "") -> None:
        self.name = name
        self.entries: deque[Request | Line] = deque(maxlen=limit)
        self.limit = limit
        self._added = 0
        self._requests = 0
        self._errors = 0
        # Reentrant: the garbage collector may run a finalizer anywhere, and some of them speak ("Unclosed
        # client session").
        self._lock = threading.RLock()
        self._file: journal_file.JournalFile | None = None
        # What is on its way here from the service's own process is let in before anybody reads.
        self.settling: Callable[[], None] | None = None
        self._unfinished: dict[int, str] = {}  # a line begun by print(end=""), by thread

    # reading

    @property
    def requests(self) -> list[Request]:
        """The requests still held, oldest first."""
        return [entry for entry in self._snapshot() if isinstance(entry, Request)]

    @property
    def lines(self) -> list[str]:
        """Every entry still held as text, oldest first: requests, prints, log records, tracebacks."""
        return [str(entry) for entry in self._snapshot()]

    @property
    def counts(self) -> dict[str, int]:
        """The number of `requests`, of those that ended in `errors` (5xx), and of entries `dropped`."""
        self.settle()
        return {"requests": self._requests, "errors": self._errors, "dropped": self.dropped}

    @property
    def dropped(self) -> int:
        """The number of entries that had to make room."""
        self.settle()
        return max(0, self._added - self.limit)

    def text(self, last: int | None = None) -> str:
        """Return all entries, or the `last` so many, a line each (tracebacks: several)."""
        lines = self.lines
        if not lines:
            return messages.JOURNAL_EMPTY
        shown = lines if last is None else lines[-last:]
        older = len(lines) - len(shown) + self.dropped
        head = [messages.JOURNAL_DROPPED.format(count=older)] if older else []
        return "\n".join(head + shown)

    def __iter__(self) -> Iterator[Request | Line]:
        return iter(self._snapshot())

    def __len__(self) -> int:
        self.settle()
        return len(self.entries)

    def __repr__(self) -> str:
        return self.text(last=_SHOWN)

    def clear(self) -> None:
        """Forget all entries and counts."""
        self.settle()
        with self._lock:
            self.entries.clear()
            self._added = self._requests = self._errors = 0

    def settle(self) -> None:
        """Let in what is on its way here from the service's own process; whoever reads does it."""
        settling = self.settling
        if settling is not None:
            settling()

    def _snapshot(self) -> list[Request | Line]:
        self.settle()
        with self._lock:
            return list(self.entries)

    def write_to(self, path: str | os.PathLike[str] | None) -> journal_file.JournalFile | None:
        """Write to a file as well: what is held now, then whatever comes; None: no longer.

        A JSON object a line, added at the end of the file; several services may share one. It is done in
        the background, and a file that cannot be written breaks nothing: that is noted here, and tried
        again (see `labkit.journal_file`). A file that cannot even be opened is refused: CannotWrite (an
        OSError). `clear` forgets what is held and not what was written.
        """
        try:
            file = None if path is None else journal_file.file_at(path)
        except OSError as error:
            raise CannotWrite(path, error) from None
        with self._lock:
            before, self._file = self._file, file
            held = list(self.entries)
        if file is not before:
            if before is not None:
                before.detach(self)
            if file is not None:
                file.attach(self)
                file.take(self.name, *held)
        return file

    # writing

    def begin(self, method: str, path: str) -> Request:
        """Note the arrival of a request."""
        request = Request(method, path)
        with self._lock:
            self.entries.append(request)
            self._added += 1
            self._requests += 1
            file = self._file
        if file is not None:
            file.take(self.name, request)
        return request

    def answer(self, request: Request, status: int) -> None:
        """Note the status with which a response begins."""
        if status < 500 and request.status is None:  # nearly always, and nothing to count
            request.status = status
            return
        with self._lock:
            self._errors += (status >= 500) - ((request.status or 0) >= 500)
            request.status = status

    def done(self, request: Request, duration: float) -> None:
        """Note how many seconds a request took, when its answer was handed over or it was cut."""
        request.duration = duration

    def write(self, text: str) -> None:
        """Take what `print` writes; whole lines are entries, an unfinished one waits for its end."""
        thread = threading.get_ident()
        *whole, rest = (self._unfinished.pop(thread, "") + text).split("\n")
        for line in whole:
            self.add(Line("print", line))
        if rest:
            self._unfinished[thread] = rest

    def flush(self) -> None:
        """End the line that this thread began."""
        rest = self._unfinished.pop(threading.get_ident(), "")
        if rest:
            self.add(Line("print", rest))

    def log(self, record: logging.LogRecord) -> None:
        """Take a log record; one that carries an exception becomes its traceback."""
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit; as with logging's own handlers, nobody is harmed
            message = f"{record.msg} {record.args}"
        if record.exc_info and record.exc_info[1] is not None:
            self.error(record.exc_info[1], head=message)
        else:
            self.add(Line("log", f"{record.levelname} {record.name}: {message}"))

    def error(self, error: BaseException, head: str = "") -> None:
        """Take an exception with its traceback."""
        detail = "".join(traceback.format_exception(error))
        self.add(Line("error", "\n".join(filter(None, [head, brief_traceback(error)])), detail))

    def note(self, text: str) -> None:
        """Take a remark of labkit's own."""
        self.add(Line("log", text))

    def add(self, line: Line) -> None:
        """Take a line as it is."""
        with self._lock:
            self.entries.append(line)
            self._added += 1
            file = self._file
        if file is not None:
            file.take(self.name, line)
