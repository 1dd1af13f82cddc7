"""An access log: one JSON object a line, written by a thread of its own.

A request never waits for the disk: the lines queue up, and when `most` are waiting the next ones are dropped
and counted. One that stood in a queue without bound would take the memory instead.

Whatever a client sends, it cannot begin a line of its own: JSON writes a line end as `\\n`.
"""

import json
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.patterns.edge.checks import count


class AccessLog:
    """Append entries to a file. `most`: lines that may wait; `dropped`: how many found no place."""

    def __init__(self, path: Path | str, *, most: int = 10_000) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._most = count("most", most)
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = self._closed = False
        self._file = self.path.open("a", encoding="utf-8")
        self._thread = threading.Thread(target=self._write_all, name="edge-access-log", daemon=True)
        self._thread.start()

    def write(self, entry: dict[str, Any]) -> None:
        """Queue one entry. Its `time` is added: UTC, to the millisecond (RFC 3339)."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **entry}, ensure_ascii=False, default=str) + "\n"
        with self._changed:
            if len(self._lines) >= self._most or self._closed:
                self.dropped += 1
                return
            self._lines.append(line)
            if not self._writing:
                self._changed.notify_all()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was written is in the file; False when `timeout` seconds pass before."""
        end = time.monotonic() + timeout
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._lines and not self._writing, max(0.0, end - time.monotonic())
            )

    def close(self) -> None:
        """Write what is queued and close the file."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._file.close()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                lines, self._lines = self._lines, deque()
                self._writing = True
            try:
                self._file.writelines(lines)
                self._file.flush()
            except OSError:  # a full disk must not close the shop
                self.dropped += len(lines)
