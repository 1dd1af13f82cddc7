"""The record of what a service served, printed, logged and raised, in order of time.

A journal is bounded, in entries and in bytes: the oldest entries are dropped and counted, the rest of a line
that has no end is cut off and counted too. Its text forms hold no times, ports
or identifiers, so that a notebook that shows them is the same on every run.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from labkit import journal_file, messages
from labkit.entries import DURATION, PATH, STATUS, Line, Noted, Request
from labkit.errors import BadArgument, CannotWrite, WrongType
from labkit.traces import brief_traceback

LIMIT = 10_000
MOST = 10_000_000  # entries, of any journal
LONGEST = 10_000  # characters of a line
_SPARE = 100  # more, for the words that say how much was cut off
_SIZE = 20_000_000  # characters of all entries
_LONG = 200  # characters of an entry: of shorter ones, their number is bound enough
_SHOWN = 30


class Journal:
    """A bounded record of one service, filled from any thread."""

    def __init__(self, limit: int = LIMIT, *, name: str = "") -> None:
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise WrongType(messages.JOURNAL_LIMIT.format(most=MOST, given=limit))
        if not 0 <= limit <= MOST:
            raise BadArgument(messages.JOURNAL_LIMIT.format(most=MOST, given=limit))
        if not isinstance(name, str):
            raise WrongType(messages.JOURNAL_NAME.format(given=name))
        self.name = name
        self.limit = limit
        self._held: deque[Noted | Line] = deque(maxlen=limit)
        self._size = 0  # characters of long entries, of some that are gone as well
        self._lines = self._errors = 0
        self._arrived = _Tally()
        # Reentrant: the garbage collector may run a finalizer anywhere, and some of them speak ("Unclosed
        # client session").
        self._lock = threading.RLock()
        self._file: journal_file.JournalFile | None = None
        # What is on its way here from the service's own process is let in before anybody reads.
        self.settling: Callable[[], None] | None = None
        self.unfinished: dict[int, Unfinished] = {}  # a line begun by print(end=""), by thread

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
        with self._lock:
            requests = self._arrived.total()
        return {"requests": requests, "errors": self._errors, "dropped": self.dropped}

    @property
    def dropped(self) -> int:
        """The number of entries that had to make room."""
        self.settle()
        with self._lock:
            added = self._arrived.total() + self._lines
        return max(0, added - len(self._held))  # what is held is counted a moment later

    def text(self, last: int | None = None) -> str:
        """Return all entries, or the `last` so many, a line each (tracebacks: several)."""
        if not isinstance(last, int | None):
            raise WrongType(messages.BAD_LAST.format(last=last))
        lines = self.lines
        if not lines:
            return messages.JOURNAL_EMPTY
        shown = lines if last is None else lines[-last:]
        older = len(lines) - len(shown) + self.dropped
        head = [messages.JOURNAL_DROPPED.format(count=older)] if older else []
        return "\n".join(head + shown)

    def __iter__(self) -> Iterator[Request | Line]:
        return iter(self._snapshot())

    def __reversed__(self) -> Iterator[Request | Line]:
        """Yield what is held, the newest first, and let nothing in before: a glance, without a copy."""
        with suppress(IndexError):  # it was cleared meanwhile
            for place in range(1, len(self._held) + 1):
                yield _shown(self._held[-place])

    def __len__(self) -> int:
        self.settle()
        return len(self._held)

    def __repr__(self) -> str:
        return self.text(last=_SHOWN)

    def clear(self) -> None:
        """Forget all entries and counts."""
        self.settle()
        with self._lock:
            self._held.clear()
            self._size = self._lines = self._errors = 0
            self._arrived = _Tally()

    def settle(self) -> None:
        """Let in what is on its way here from the service's own process; whoever reads does it."""
        settling = self.settling
        if settling is not None:
            settling()

    def forget_threads(self) -> None:
        """Reset what threads may hold or write to, in a copy of the kernel made by `fork`."""
        self._lock, self.unfinished = threading.RLock(), {}
        self._file = self.settling = None

    def _snapshot(self) -> list[Request | Line]:
        self.settle()
        return [_shown(entry) for entry in list(self._held)]

    def write_to(self, path: str | os.PathLike[str] | None) -> journal_file.JournalFile | None:
        """Write to a file as well: what is held now, then whatever comes; None: no longer.

        A JSON object a line, added at the end of the file; several services may share one. It is done in
        the background, requests are written when they have ended, and a file that cannot be written breaks
        nothing: that is noted here (see `labkit.journal_file`). A file that cannot even be opened is refused:
        CannotWrite (an OSError); one that is no journal, too: BadArgument (a ValueError). `clear` forgets
        what is held and not what was written.
        """
        try:
            file = None if path is None else journal_file.file_at(path)
        except OSError as error:
            raise CannotWrite(path, error) from None
        except BadArgument:
            raise
        except (TypeError, ValueError):
            raise WrongType(messages.BAD_PATH_OF_JOURNAL.format(path=path)) from None
        with self._lock:
            before, self._file = self._file, file
            held = [entry for entry in self._snapshot() if getattr(entry, "duration", 0.0) is not None]
        if file is not before:
            if before is not None:
                before.detach(self)
            if file is not None:
                file.attach(self)
                for entry in held:
                    file.take(self.name, entry)
        return file

    # writing

    # A request takes no lock and makes no object: a deque's append is one step of the interpreter.

    def begin(self, method: str, path: str) -> Noted:
        """Note the arrival of a request."""
        noted: Noted = [method, path, None, time.time(), None, ()]
        self._held.append(noted)
        self._arrived.add()
        if len(path) > _LONG:
            with self._lock:
                self._make_room(len(path))
        return noted

    def answer(self, noted: Noted, status: int) -> None:
        """Note the status with which a response begins."""
        if status < 500 and noted[STATUS] is None:  # nearly always, and nothing to count
            noted[STATUS] = status
            return
        with self._lock:
            self._errors += (status >= 500) - ((noted[STATUS] or 0) >= 500)
            noted[STATUS] = status

    def done(self, noted: Noted, duration: float) -> None:
        """Note how many seconds a request took, when its answer was handed over or it was cut."""
        noted[DURATION] = duration
        file = self._file
        if file is not None:
            file.take(self.name, Request(noted))

    def write(self, text: str) -> None:
        """Take what `print` writes; whole lines are entries, an unfinished one waits for its end."""
        thread = threading.get_ident()
        *whole, rest = text.split("\n")
        begun = self.unfinished.pop(thread, None)
        if begun is not None and whole:
            begun.add(whole[0])
            whole[0] = begun.text()
            begun = None
        for line in whole:
            self.add(Line("print", line))
        if rest:
            begun = begun or Unfinished()
            begun.add(rest)
        if begun is not None:
            self.unfinished[thread] = begun

    def flush(self) -> None:
        """End the line that this thread began."""
        begun = self.unfinished.pop(threading.get_ident(), None)
        if begun is not None:
            self.add(Line("print", begun.text()))

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
        """Take a line as it is, cut where it is longer than any that can be read."""
        line.text, line.detail = shortened(line.text), shortened(line.detail)
        with self._lock:
            self._held.append(line)
            self._lines += 1
            if (size := size_of(line)) > _LONG:
                self._make_room(size)
            file = self._file
        if file is not None:
            file.take(self.name, line)

    def _make_room(self, size: int) -> None:
        """Count a long entry; when there are too many characters, let the oldest entries go."""
        self._size += size
        if self._size > _SIZE:
            held = sum(map(size_of, list(self._held)))
            while held > 3 * _SIZE // 4:
                held -= size_of(self._held.popleft())
            self._size = held


class _Tally:
    """A count that any thread adds to without a lock, since `next` is one step of the interpreter.

    To look is to count as well, which is deducted; one looks at a time.
    """

    def __init__(self) -> None:
        self.add = itertools.count().__next__
        self._looks = 0

    def total(self) -> int:
        """Return how often it was added to."""
        self._looks += 1
        return self.add() + 1 - self._looks


def _shown(entry: Noted | Line) -> Request | Line:
    return entry if isinstance(entry, Line) else Request(entry)


def size_of(entry: Noted | Line) -> int:
    """Count the characters of an entry."""
    return len(entry.text) + len(entry.detail) if isinstance(entry, Line) else len(entry[PATH])


class Unfinished:
    """A line that was begun by `print(end="")`: bounded, and each piece costs the same."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = self._cut = 0

    def add(self, piece: str) -> None:
        """Take what follows; after a carriage return, as of a progress bar, it takes the line's place."""
        _, returned, after = piece.rpartition("\r")
        if returned and after:
            self._pieces, self._size, self._cut, piece = [], 0, 0, after
        if self._size > LONGEST:
            self._cut += len(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)

    def text(self) -> str:
        """Return the line, and how much of it was cut off."""
        return shortened("".join(self._pieces), self._cut)


def shortened(text: str, cut: int = 0) -> str:
    """Cut a text off where it is longer than can be read, and say how much; `cut`: that was before."""
    if not cut and len(text) <= LONGEST + _SPARE:
        return text
    return text[:LONGEST] + messages.LINE_CUT.format(count=len(text) - LONGEST + cut)
