"""A journal's entries in a file as well: a JSON object a line, for who reads them after the class.

`service.journal.write_to("pagos.log")` is all there is to it. JSON and not the text that a cell shows: a
traceback stays one line, times and durations are in it, and `pandas.read_json(path, lines=True)`, `jq` or
`grep` read it.

A file must never hold up nor break a service, so whoever notes something only leaves it here, and a thread
of the file's own appends what has gathered, in one write of whole lines; services that share a file share
that thread, and it ends when there is nothing to write. The file is opened for each such write: it may be
deleted, moved or rotated by others at any time, and nothing has to be closed.

A write that fails (a full disk, a file system that went away) is counted, said once in the journals that
write there, and tried again each second; what waits meanwhile is bounded, the oldest gives way and is
counted. What a full disk cut off in the middle of a line is taken back, so a file has whole lines only.

A file that has grown to 10 MB becomes `pagos.log.1`, in place of the one before, and a new one is begun:
the two never take much more than twice that.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import stat
import threading
import time
from contextvars import Context
from datetime import datetime
from itertools import islice
from typing import Any, Protocol
from weakref import WeakSet, WeakValueDictionary

from labkit import messages
from labkit.entries import Line, Request
from labkit.errors import reason

Entry = tuple[str, Request | Line]  # with the name of the service

LIMIT = 10_000_000  # bytes, then it is rotated
WAITING = 10_000  # entries that wait to be written
RETRY = 1.0  # seconds from a write that failed to the next
_TICK = 0.05  # seconds in which what comes is gathered for one write
_IDLE = 1.0  # seconds without anything to write after which the thread ends
_BATCH = 1_000  # entries in one write
_AT_EXIT = 1.0  # seconds that the end of the interpreter may wait for it

_files: WeakValueDictionary[str, JournalFile] = WeakValueDictionary()
_opening = threading.Lock()


class Journal(Protocol):
    """A journal, as seen from here."""

    def note(self, text: str, /) -> None:
        """Take a remark about the file."""


class JournalFile:
    """A file that journals are written to. Made by `Journal.write_to`, not by hand.

    `written`: lines; `failures`: writes that failed; `lost`: entries that gave way while they waited;
    `error`: why the last write failed, None if it did not.
    """

    def __init__(self, path: str, shown: str) -> None:
        """`path`: the whole of it, so that a cell may change the folder; `shown`: as it was given."""
        self.path, self.shown = path, shown
        self.written = self.failures = self.lost = 0
        self.error: OSError | None = None
        self._journals: WeakSet[Journal] = WeakSet()
        self._arrived: list[Entry] = []
        self._waiting: list[Entry] = []  # the thread's own, as what follows
        self._unsaid = 0  # of the lost, those that no line in the file tells of
        # Held for moments and never together with a journal's. Reentrant: the garbage collector may run a
        # finalizer anywhere, and some of them speak ("Unclosed client session").
        self._lock = threading.RLock()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._at_end = False  # requests that last are written as they are

    # for journals

    def attach(self, journal: Journal) -> None:
        """Have a journal told when the file cannot be written, or that it could not be a moment ago."""
        with self._lock:
            self._journals.add(journal)
            error = self.error
        if error is not None:
            journal.note(messages.JOURNAL_FILE_FAILS.format(path=self.shown, reason=reason(error)))

    def detach(self, journal: Journal) -> None:
        """Tell it no more."""
        with self._lock:
            self._journals.discard(journal)

    def take(self, service: str, *entries: Request | Line) -> None:
        """Have entries written, requests when they have ended. Waits for nothing."""
        with self._lock:
            self._arrived += [(service, entry) for entry in entries]
            self._make_room(self._arrived)  # the thread does it too, but it may be held up by the disk
            self._need_thread()

    # for everybody

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what was noted is written, requests that last excepted, and say whether it is.

        `timeout`: seconds, at most; a write that fails ends the wait too.
        """
        deadline, failures = time.monotonic() + timeout, self.failures
        while True:
            with self._lock:
                if not any(map(self._is_ready, [*self._arrived, *self._waiting])):
                    return True
                self._need_thread()
            if self.failures > failures or time.monotonic() >= deadline:
                return False
            self._hurry.set()
            time.sleep(0.002)

    def __repr__(self) -> str:
        parts = [messages.JOURNAL_FILE.format(path=self.shown)]
        if self.error is not None:
            parts.append(reason(self.error))
        if self.lost:
            parts.append(messages.JOURNAL_FILE_LOST.format(count=self.lost))
        return " · ".join(parts)

    # its thread

    def _need_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._work, name="labkit-journal-file", daemon=True)
        try:
            # In an empty context: a service may note the first entry, and the thread is not that service's.
            Context().run(self._thread.start)
        except RuntimeError:  # no thread to be had now; the next entry may be luckier
            self._thread = None

    def _work(self) -> None:
        """Write what gathers, until there has been nothing for a while."""
        pause, end = _TICK, time.monotonic() + _IDLE
        while True:
            self._hurry.wait(pause)
            self._hurry.clear()
            with self._lock:
                self._waiting, self._arrived = [*self._waiting, *self._arrived], []
                self._make_room(self._waiting)
                if not self._waiting and time.monotonic() > end:
                    self._thread = None
                    return
            if self._waiting:
                end = time.monotonic() + _IDLE
            entries = list(islice(filter(self._is_ready, self._waiting), _BATCH))
            if entries:
                pause = self._write(entries)
            elif self._waiting:  # for requests to end: look ever more seldom, for some never do
                pause = min(1.5 * pause, _IDLE)
            else:
                pause = _TICK

    def _write(self, entries: list[Entry]) -> float:
        """Append entries; returns how many seconds to wait before the next."""
        unsaid = self._unsaid
        lines = [as_line(service, entry) for service, entry in entries]
        if unsaid:
            lines.insert(0, _encode({"kind": "log", "text": messages.JOURNAL_FILE_LOST.format(count=unsaid)}))
        error: OSError | None
        try:
            done, error = append(self.path, lines)
        except OSError as raised:
            done, error = 0, raised
        self.written += done
        gone = {id(each) for each in entries[: done - 1 if unsaid and done else done]}
        with self._lock:
            self._waiting = [each for each in self._waiting if id(each) not in gone]
            self._unsaid -= unsaid if done else 0
            before, self.error = self.error, error
            self.failures += error is not None
            journals = list(self._journals)
        text = ""
        if error is not None and before is None:
            text = messages.JOURNAL_FILE_FAILS.format(path=self.shown, reason=reason(error))
        elif error is None and before is not None:
            text = messages.JOURNAL_FILE_AGAIN.format(path=self.shown)
        for journal in journals if text else []:
            journal.note(text)
        if error is not None:
            return RETRY
        return 0.0 if len(entries) == _BATCH else _TICK

    def _make_room(self, entries: list[Entry]) -> None:
        too_many = max(0, len(entries) - WAITING)
        del entries[:too_many]
        self.lost += too_many
        self._unsaid += too_many

    def _is_ready(self, each: Entry) -> bool:
        # A request that lasts is written when it has ended, or as it is when no journal writes here any more.
        return self._at_end or not self._journals or getattr(each[1], "duration", 0.0) is not None

    def finish(self) -> None:
        """The interpreter ends: write all there is, if that can be done in a moment."""
        self._at_end = True
        self.flush(_AT_EXIT)


def file_at(path: str | os.PathLike[str]) -> JournalFile:
    """The file of that path, the same one for every journal.

    It is created here, so that a folder that does not exist is told in the cell: raises OSError.
    """
    shown = os.fspath(path)
    whole = os.path.realpath(shown)
    with _opening:
        os.close(_open(whole))
        file = _files.get(whole)
        if file is None:
            file = _files[whole] = JournalFile(whole, shown)
        return file


def append(path: str, lines: list[bytes]) -> tuple[int, OSError | None]:
    """Append lines, and return how many are in the file now, and why not all if so.

    Raises OSError where the file cannot even be opened.
    """
    descriptor = _open(path)
    try:
        if _is_file(descriptor) and os.fstat(descriptor).st_size > LIMIT:
            os.close(descriptor)
            descriptor = -1
            with contextlib.suppress(OSError):  # on Windows: somebody is reading it
                os.replace(path, f"{path}.1")
            descriptor = _open(path)
        if _is_file(descriptor) and not _ends_a_line(descriptor):
            lines = [b"\n" + lines[0], *lines[1:]]
        data, written = b"".join(lines), 0
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError as error:
            done, end = 0, 0
            while (after := end + len(lines[done])) <= written:
                done, end = done + 1, after
            if _is_file(descriptor):
                _take_back(descriptor, written - end)
            return done, error
        return len(lines), None
    finally:
        if descriptor >= 0:
            os.close(descriptor)  # raises where a network's disk is full, and then nothing counts as written


def as_line(service: str, entry: Request | Line) -> bytes:
    """An entry as a line of JSON, its end included."""
    facts: dict[str, Any]
    if isinstance(entry, Request):
        facts = {"kind": "request", "method": entry.method, "path": entry.path, "status": entry.status}
        facts["seconds"] = None if entry.duration is None else round(entry.duration, 6)
        if entry.faults:
            facts["faults"] = list(entry.faults)
        return _encode(facts, service, entry.started)
    facts = {"kind": entry.kind, "text": entry.text}
    if entry.detail:
        facts["detail"] = entry.detail
    return _encode(facts, service, entry.time)


def _encode(facts: dict[str, Any], service: str = "", moment: float | None = None) -> bytes:
    moment = time.time() if moment is None else moment
    when = datetime.fromtimestamp(moment).astimezone().isoformat(timespec="milliseconds")
    head = {"time": when, "service": service}
    text = json.dumps({**head, **facts} if service else {"time": when, **facts}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # of a lone surrogate, \udc80: JSON's own way


def _open(path: str) -> int:
    # To read as well, to see how it ends. And a pipe that nobody reads holds up who opens it to write only.
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _ends_a_line(descriptor: int) -> bool:
    """False for what a kernel that was killed left in the middle of a line."""
    if os.fstat(descriptor).st_size == 0:
        return True
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"


def _take_back(descriptor: int, count: int) -> None:
    """Cut off the last bytes written, unless another program has written behind them."""
    size = os.fstat(descriptor).st_size
    if count and os.lseek(descriptor, 0, os.SEEK_CUR) == size:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size - count)


def _finish() -> None:
    for file in list(_files.values()):
        file.finish()


# labkit.journal imports this module, so this was registered before the roster's end of all services: it runs
# after that, and what they say in their last moment is written too.
atexit.register(_finish)
