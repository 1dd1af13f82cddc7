"""Permits, and the queue for them: one way in for both kinds of bulkhead.

`threading.Semaphore` will not do: its waiters are not served in order, its value cannot be lowered, an
asyncio task cannot wait for it, and a waiter that is interrupted may take a permit with it. Here a permit
that is given back is handed to the first in the queue while the lock is held, so nobody overtakes; and what
became of each call is written on its `Permit`, so that giving back is right at any moment and harmless
twice.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from itertools import count

from labkit.patterns._events import Listeners
from labkit.patterns._given import InvalidInput, valid_count, valid_text
from labkit.patterns._limits import LimitAlgorithm, Sample
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import BulkheadClosedError, BulkheadError, BulkheadFullError
from labkit.patterns.bulkhead.events import BulkheadEvent, Kind, Listener, Metrics, Outcome

_log = logging.getLogger(__name__)

# What a refused caller is told to wait when no call has ended yet: seconds.
FIRST_GUESS = 1.0
# How much the latest call counts in the mean duration.
_WEIGHT = 0.2


class State(Enum):
    """Where a call is. It moves down only."""

    ARRIVED = auto()
    QUEUED = auto()
    HELD = auto()
    DONE = auto()


@dataclass(slots=True, eq=False)
class Permit:
    """One call's way through a gate: its permit is asked for, waited for, held, and given back once."""

    gate: "Gate" = field(repr=False)
    number: int
    arrival: float  # this and the other times: seconds of the gate's clock
    # Ends the wait: it is held, or refused. Raises RuntimeError when nobody hears it.
    notify: Callable[[], object] = field(default=int, repr=False)
    patience: float = 0.0
    state: State = State.ARRIVED
    start: float | None = None
    end: float | None = None
    outcome: Outcome | None = None
    worker: str | None = None
    error: BaseException | None = None
    refusal: BulkheadError | None = None

    def release(self, error: BaseException | None = None) -> None:
        """Give it back, from any thread; twice does no harm. `error`: what its work ended with."""
        self.gate._leave(self, error)


class Gate:
    """At most `limit` calls hold a permit; the others wait in order of arrival or are refused.

    `max_wait`: seconds; 0 refuses at once, infinity is for a pool's queue. It bounds the wait twice: a waiter
    is woken after so many real seconds, and gets no permit when by `clock` it has waited longer. `max_queue`:
    how many may wait (None: any number). `limit`: a number, or an algorithm that is asked after each call.

    The lock is reentrant because giving back may happen anywhere: the garbage collector closes a coroutine
    that was dropped in the middle, and runs its `finally` in whatever thread is allocating memory.
    """

    def __init__(
        self,
        limit: int | LimitAlgorithm,
        *,
        name: str,
        max_wait: float = 0.0,
        max_queue: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self.name = valid_text("name", name)
        self.in_use = 0
        self._algorithm = None if isinstance(limit, int) else limit
        self._limit = limit if isinstance(limit, int) else limit.limit
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._clock = clock
        self._lock = threading.RLock()
        self._listeners: Listeners[BulkheadEvent] = Listeners(name, () if listener is None else (listener,))
        self._queue: deque[Permit] = deque()
        self._closed = False  # for newcomers; who waits is still served
        self._numbers = count(1)
        self._counts = Metrics()
        self._mean: float | None = None  # seconds of a call

    @property
    def limit(self) -> int:
        """How many may be inside. May be set while it runs: lowered, nobody inside is put out.

        Setting it raises InvalidInput when an algorithm keeps it.
        """
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        valid_count("limit", limit)
        if self._algorithm is not None:
            kind = type(self._algorithm).__name__
            raise InvalidInput(messages.LIMIT_IS_ADAPTIVE.format(name=self.name, algorithm=kind))
        with self._lock:
            self._change_limit(limit)
        self._listeners.deliver()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._queue)

    def metrics(self) -> Metrics:
        """Everything in numbers, of one moment."""
        with self._lock:
            return replace(self._counts, limit=self._limit, in_use=self.in_use, waiting=self.waiting)

    # Coming in

    def _new_permit(self) -> Permit:
        return Permit(self, next(self._numbers), self._clock())

    def _enter(self, permit: Permit) -> None:
        """Return when this thread holds it. Raises BulkheadFullError, with nothing held."""
        turn = threading.Lock()
        turn.acquire()
        permit.notify = turn.release
        permit.worker = threading.current_thread().name
        try:
            if not self._arrive(permit):
                turn.acquire(timeout=min(permit.patience, threading.TIMEOUT_MAX))
                self._settle(permit)
        except BaseException as error:
            self._leave(permit, error)
            raise

    async def _enter_async(self, permit: Permit) -> None:
        """Return when this task holds it, as `_enter`; it may be notified from any thread."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()

        def wake() -> None:
            if not turn.done():
                turn.set_result(None)

        permit.notify = partial(loop.call_soon_threadsafe, wake)
        task = asyncio.current_task()
        permit.worker = task.get_name() if task else None
        try:
            if not self._arrive(permit):
                timer = loop.call_later(permit.patience, wake)
                try:
                    await turn
                finally:
                    timer.cancel()
                self._settle(permit)
        except BaseException as error:
            self._leave(permit, error)
            raise

    def _arrive(self, permit: Permit) -> bool:
        """Take a permit at once (True) or a place in the queue (False). Raises BulkheadFullError."""
        at_once = False
        with self._lock:
            if self._closed:
                self._refuse(permit, Outcome.REJECTED)
            elif self.in_use < self._limit and not self._queue:
                at_once = True
                self._grant(permit)
            elif self._max_wait > 0 and (self._max_queue is None or len(self._queue) < self._max_queue):
                permit.state, permit.patience = State.QUEUED, self._max_wait
                self._queue.append(permit)
                self._counts.max_waiting = max(self._counts.max_waiting, len(self._queue))
                self._hand_over()  # a permit may have come back since we looked, by the garbage collector
            else:
                self._refuse(permit, Outcome.REJECTED)
        self._tell(permit)
        return at_once

    def _settle(self, permit: Permit) -> None:
        """Refuse, after its wait, who has got no permit. Raises BulkheadFullError."""
        with self._lock:
            if permit.state is State.QUEUED:
                self._unqueue(permit)
                self._refuse(permit, Outcome.GAVE_UP)
        self._tell(permit)

    # Going out

    def _leave(self, permit: Permit, error: BaseException | None = None) -> None:
        """Take back what the call holds, a permit or a place in the queue; nothing, if it holds nothing.

        `error`: what its work ended with.
        """
        with self._lock:
            if permit.state is State.HELD:
                in_flight = self.in_use
                permit.state, self.in_use = State.DONE, in_flight - 1
                self._count_end(permit, error)
                self._note("released", permit)
                # Most calls end with nobody waiting or learning: those hold the lock no longer.
                if self._queue:
                    self._hand_over()
                if self._algorithm is not None:
                    self._learn(self._algorithm, permit, in_flight)
            elif permit.state is State.QUEUED:
                self._unqueue(permit)
                self._abandon(permit)
            # Neither an error's traceback nor what notifies may lead back here: no cycle to collect.
            permit.error = permit.refusal = None
            permit.notify = int
        self._listeners.deliver()

    def _tell(self, permit: Permit) -> None:
        self._listeners.deliver()
        if permit.refusal is not None:
            raise permit.refusal

    # What follows is called with the lock held

    def _grant(self, permit: Permit) -> None:
        permit.start = self._clock()
        # In one breath: an interrupt of the main thread comes between calls, never inside this line.
        permit.state, self.in_use = State.HELD, self.in_use + 1
        self._counts.accepted += 1
        self._counts.max_in_use = max(self._counts.max_in_use, self.in_use)
        self._note("admitted", permit)

    def _hand_over(self) -> None:
        while self._queue and self.in_use < self._limit:
            permit = self._queue[0]
            if permit.state is State.QUEUED:
                late = self._clock() - permit.arrival > permit.patience
                if late:
                    self._refuse(permit, Outcome.GAVE_UP)
                else:
                    self._grant(permit)
                try:
                    permit.notify()
                except RuntimeError:  # its loop is closed: nobody is there to take the permit
                    if not late:
                        self.in_use -= 1
                        self._counts.accepted -= 1
                        self._abandon(permit)
            # Last, so that an interrupt before it costs no permit: who is no longer queued is passed over.
            self._unqueue(permit)

    def _unqueue(self, permit: Permit) -> None:
        try:
            self._queue.remove(permit)
        except ValueError:
            pass

    def _abandon(self, permit: Permit) -> None:
        permit.state, permit.outcome, permit.end = State.DONE, Outcome.CANCELLED, self._clock()
        self._counts.abandoned += 1
        self._note("abandoned", permit)

    def _refuse(self, permit: Permit, outcome: Outcome) -> None:
        permit.state, permit.outcome, permit.end = State.DONE, outcome, self._clock()
        permit.refusal = self._refusal(permit.patience, waited=outcome is Outcome.GAVE_UP)
        self._counts.rejected += 1
        self._note("rejected", permit)

    def _refusal(self, patience: float, *, waited: bool) -> BulkheadError:
        if self._closed:
            return BulkheadClosedError(messages.CLOSED.format(name=self.name))
        text = messages.WAITED if waited else messages.QUEUE_FULL if self._queue else messages.FULL
        text = text.format(
            name=self.name, in_use=self.in_use, limit=self._limit, waiting=self.waiting, seconds=patience
        )
        # The queue ahead leaves at a rate of limit / duration (Little's law).
        wait = FIRST_GUESS if self._mean is None else self._mean * (self.waiting + 1) / self._limit
        return BulkheadFullError(text, name=self.name, retry_after=wait, waited=waited)

    def _count_end(self, permit: Permit, error: BaseException | None) -> None:
        permit.end, permit.error = self._clock(), error
        if error is None:
            permit.outcome = Outcome.OK
            self._counts.completed += 1
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            permit.outcome = Outcome.CANCELLED
        else:
            permit.outcome = Outcome.FAILED
            self._counts.failed += 1
        assert permit.start is not None
        duration = permit.end - permit.start
        self._counts.busy += duration
        self._mean = duration if self._mean is None else self._mean + _WEIGHT * (duration - self._mean)

    def _learn(self, algorithm: LimitAlgorithm, permit: Permit, in_flight: int) -> None:
        # A call that its caller cancelled, or that failed for a reason of its own, tells nothing about the
        # load. Timeouts and broken connections are OSErrors, those of requests and most of aiohttp's too.
        dropped = isinstance(permit.error, OSError)
        if permit.outcome is not Outcome.OK and not dropped:
            return
        assert permit.start is not None
        assert permit.end is not None
        try:
            limit = algorithm.update(Sample(permit.start, permit.end, in_flight, dropped))
        except Exception:
            _log.exception(messages.LOG_ALGORITHM_FAILED, self.name)
        else:
            self._change_limit(max(1, limit))

    def _change_limit(self, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self._note("limit")
            self._hand_over()

    def _note(self, kind: Kind, call: Permit | None = None) -> None:
        if not self._listeners.all:
            return
        # The first of the queue still stands in it while it is answered, see _hand_over.
        answered = bool(self._queue) and self._queue[0].state is not State.QUEUED
        t = self._clock() if call is None else call.start if call.end is None else call.end
        event = BulkheadEvent(kind, t or 0.0, self.name, self._limit, self.in_use, self.waiting - answered)
        if call is not None:
            names = ("arrival", "start", "end", "outcome", "worker", "error")
            told = {name: getattr(call, name) for name in names}
            event = replace(event, name=str(call.number), **told)
        self._listeners.note(event)
