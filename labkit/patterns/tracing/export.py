"""From ended spans to a receiver, in a thread of its own: bounded, never waited for, what is lost is counted.

A queue without a bound in front of a receiver that hangs is a leak that grows with every request. A full
queue that makes requests wait lets the tracing bring down what it observes. So a span that finds no room is
dropped: tracing is the first thing to go without.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from labkit.patterns._given import valid_count, valid_function, valid_seconds
from labkit.patterns.tracing import messages
from labkit.patterns.tracing.tracer import Span

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metrics:
    """What became of the spans that ended: their sum is how many did.

    `exported`: the receiver has them; `failed`: the receiver was dead or refused them; `dropped`: there was
    no room, or they came after `close`; `pending`: in the queue, or under way.
    """

    exported: int
    failed: int
    dropped: int
    pending: int


class BatchExporter:
    """Hands ended spans to `send` in batches, from a thread of its own. `Tracer("pedidos", exporter)`.

    `send`: a function of a sequence of spans that raises when they were not delivered (`OtlpHttp`,
    `OtlpFile`); bound its time, for close waits for it. `capacity`: spans that may wait; `batch`: at most so
    many at once; `interval`: seconds that a span waits at most for others to come along.

    The thread begins with the first span, so that a server that forks its workers has one in each. It does
    not keep the process alive: `close()` at the end, or a `with` block, or the last batch is lost.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Span]], object],
        *,
        capacity: int = 2048,
        batch: int = 512,
        interval: float = 1.0,
    ) -> None:
        self._send = valid_function("send", send)
        self.capacity = valid_count("capacity", capacity)
        self.batch = valid_count("batch", batch)
        if batch > capacity:
            raise ValueError(messages.BAD_BATCH.format(given=batch, capacity=capacity))
        self.interval = valid_seconds("interval", interval)
        self._queue: deque[Span] = deque()
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None
        self._closed = False
        self._hurry = 0  # how many wait in `flush`
        self._accepted = self._exported = self._failed = self._dropped = 0
        self._failing = False

    def __call__(self, span: Span) -> None:
        """Take a span, or drop it; never wait for the receiver."""
        with self._changed:
            if self._closed or len(self._queue) >= self.capacity:
                self._dropped += 1
                return
            self._accepted += 1
            self._queue.append(span)
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="tracing-exporter", daemon=True)
                self._worker.start()
            if len(self._queue) in (1, self.batch):
                self._changed.notify_all()

    @property
    def metrics(self) -> Metrics:
        """The counts at this moment."""
        with self._changed:
            pending = self._accepted - self._exported - self._failed
            return Metrics(self._exported, self._failed, self._dropped, pending)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the spans taken so far were sent, or failed; False after `timeout` seconds."""
        with self._changed:
            goal = self._accepted
            self._hurry += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._exported + self._failed >= goal, timeout)
            finally:
                self._hurry -= 1

    def close(self, timeout: float = 5.0) -> bool:
        """Send what is left and end the thread; False after `timeout` seconds: the rest is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            worker = self._worker
        if worker is None:
            return True
        worker.join(timeout)
        with self._changed:
            lost = len(self._queue)
            self._queue.clear()
            self._accepted -= lost
            self._dropped += lost
        return not worker.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._send(batch)
            except Exception as error:
                self._count(failed=len(batch))
                if not self._failing:  # once for each outage, and not for each batch
                    _log.warning(messages.NOT_DELIVERED, len(batch), error or type(error).__name__)
                self._failing = True
            else:
                self._count(exported=len(batch))
                self._failing = False

    def _next(self) -> list[Span]:
        """Wait for a batch: full, old enough, or wanted at once. Empty when closed and all is sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._changed.wait_for(
                lambda: len(self._queue) >= self.batch or self._hurry or self._closed, self.interval
            )
            return [self._queue.popleft() for _ in range(min(self.batch, len(self._queue)))]

    def _count(self, *, exported: int = 0, failed: int = 0) -> None:
        with self._changed:
            self._exported += exported
            self._failed += failed
            self._changed.notify_all()
