"""Permits, and the queue for them: one admission for both kinds of bulkhead.

`threading.Semaphore` will not do: its waiters are not served in order, its value cannot be lowered, an
asyncio task cannot wait for it, and a waiter that is interrupted may take a permit with it. Here a permit
that is given back is handed to the first in the queue while the lock is held, so nobody overtakes; and what
became of each call is written on its `Admission`, so that giving back is right at any moment and harmless
twice.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from itertools import count

from labkit.patterns._events import Listeners
from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import BulkheadClosedError, BulkheadError, BulkheadFullError
from labkit.patterns.bulkhead.events import BulkheadEvent, Kind, Listener, Metrics, Outcome
from labkit.patterns.bulkhead.limits import LimitAlgorithm, Sample

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
class Admission:
    """One call's way through the gate; times in seconds of the gate's clock."""

    number: int
    arrival: float
    worker: str | None = None
    # The permit comes before the worker: what begins the work says so with `Gate.begin`.
    begins_later: bool = False
    # Ends the wait: there is a permit, or a refusal. Raises RuntimeError when nobody hears it.
    notify: Callable[[], object] = int
    patience: float = 0.0
    state: State = State.ARRIVED
    start: float | None = None
    end: float | None = None
    outcome: Outcome | None = None
    error: BaseException | None = None
    refusal: BulkheadError | None = None


class Gate:
    """At most `limit` admissions hold a permit; the others wait in order of arrival or are refused.

    `max_wait`: seconds; 0 refuses at once, infinity is for a pool's queue. It bounds the wait twice: a waiter
    is woken after so many real seconds, and gets no permit when by `clock` it has waited longer. `max_queue`:
    how many may wait (None: any number). `limit`: a number, or an algorithm that is asked after each call.

    The lock is reentrant because giving back may happen anywhere: the garbage collector closes a coroutine
    that was dropped in the middle, and runs its `finally` in whatever thread is allocating memory.
    """

    def __init__(
        self,
        name: str,
        limit: int | LimitAlgorithm,
        clock: Callable[[], float],
        listener: Listener | None = None,
        *,
        max_wait: float = 0.0,
        max_queue: int | None = None,
    ) -> None:
        self.name = name
        self.max_wait = max_wait
        self.max_queue = max_queue
        self.clock = clock
        self.lock = threading.RLock()
        self.listeners: Listeners[BulkheadEvent] = Listeners(name, () if listener is None else (listener,))
        self.algorithm = None if isinstance(limit, int) else limit
        self.limit = limit if isinstance(limit, int) else limit.limit
        self.in_use = 0
        self.queue: deque[Admission] = deque()
        self.closed = False  # for newcomers; who waits is still served
        self._numbers = count(1)
        self._counts = Metrics()
        self._mean: float | None = None  # seconds of a call

    # Coming in

    def admission(self, worker: str | None = None) -> Admission:
        """Return the admission of a call that comes now."""
        return Admission(next(self._numbers), self.clock(), worker)

    def enter(self, admission: Admission) -> None:
        """Return with a permit, taken by this thread. Raises BulkheadFullError, with nothing held."""
        turn = threading.Lock()
        turn.acquire()
        admission.notify = turn.release
        try:
            if not self.arrive(admission):
                turn.acquire(timeout=min(admission.patience, threading.TIMEOUT_MAX))
                self.settle(admission)
        except BaseException as error:
            self.leave(admission, error)
            raise

    async def enter_async(self, admission: Admission) -> None:
        """Return with a permit, taken by this task; as `enter`. It is notified from any thread."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()

        def wake() -> None:
            if not turn.done():
                turn.set_result(None)

        admission.notify = partial(loop.call_soon_threadsafe, wake)
        try:
            if not self.arrive(admission):
                timer = loop.call_later(admission.patience, wake)
                try:
                    await turn
                finally:
                    timer.cancel()
                self.settle(admission)
        except BaseException as error:
            self.leave(admission, error)
            raise

    def arrive(self, admission: Admission) -> bool:
        """Take a permit at once (True) or a place in the queue (False). Raises BulkheadFullError."""
        at_once = False
        with self.lock:
            if self.closed:
                self._refuse(admission, Outcome.REJECTED)
            elif self.in_use < self.limit and not self.queue:
                at_once = True
                self._grant(admission)
            elif self.max_wait > 0 and (self.max_queue is None or len(self.queue) < self.max_queue):
                admission.state, admission.patience = State.QUEUED, self.max_wait
                self.queue.append(admission)
                self._counts.max_waiting = max(self._counts.max_waiting, len(self.queue))
                self._hand_over()  # a permit may have come back since we looked, by the garbage collector
            else:
                self._refuse(admission, Outcome.REJECTED)
        self._tell(admission)
        return at_once

    def settle(self, admission: Admission) -> None:
        """Refuse, after its wait, who has got no permit. Raises BulkheadFullError."""
        with self.lock:
            if admission.state is State.QUEUED:
                self._unqueue(admission)
                self._refuse(admission, Outcome.GAVE_UP)
        self._tell(admission)

    def begin(self, admission: Admission) -> None:
        """Note that the work of an admission that `begins_later` begins now, in this thread."""
        with self.lock:
            if admission.state is State.HELD:
                admission.worker = threading.current_thread().name
                admission.start = self.clock()
                self._note("admitted", admission.start, admission)
        self.listeners.deliver()

    # Going out

    def leave(self, admission: Admission, error: BaseException | None = None) -> None:
        """Give back what the admission holds, a permit or a place in the queue; nothing, if it holds nothing.

        `error`: what its work ended with.
        """
        with self.lock:
            if admission.state is State.HELD:
                now = self.clock()
                in_flight = self.in_use
                admission.state, self.in_use = State.DONE, in_flight - 1
                self._count_end(admission, error, now)
                # Most calls end with nobody waiting, listening or learning: those hold the lock no longer.
                if self.listeners.all:
                    self._note("abandoned" if admission.start is None else "released", now, admission)
                if self.queue:
                    self._hand_over()
                if self.algorithm is not None:
                    self._learn(self.algorithm, admission, in_flight)
            elif admission.state is State.QUEUED:
                self._unqueue(admission)
                self._abandon(admission)
            # An error's traceback leads to the frame that holds the admission: no cycle to collect.
            admission.error = admission.refusal = None
            admission.notify = int
        self.listeners.deliver()

    def _tell(self, admission: Admission) -> None:
        self.listeners.deliver()
        if admission.refusal is not None:
            raise admission.refusal

    # The limit

    def set_limit(self, limit: int) -> None:
        """Change the limit. Lowered, nobody is put out: the next permits given back are not handed on.

        Raises InvalidInput when an algorithm keeps it.
        """
        if self.algorithm is not None:
            kind = type(self.algorithm).__name__
            raise InvalidInput(messages.LIMIT_IS_ADAPTIVE.format(name=self.name, algorithm=kind))
        with self.lock:
            self._change_limit(limit)
        self.listeners.deliver()

    def metrics(self) -> Metrics:
        """Everything in numbers, of one moment."""
        with self.lock:
            return replace(self._counts, limit=self.limit, in_use=self.in_use, waiting=len(self.queue))

    # What follows is called with the lock held

    def _grant(self, admission: Admission) -> None:
        # In one breath: an interrupt of the main thread comes between calls, never inside this line.
        admission.state, self.in_use = State.HELD, self.in_use + 1
        self._counts.accepted += 1
        if self.in_use > self._counts.max_in_use:
            self._counts.max_in_use = self.in_use
        if not admission.begins_later:
            admission.start = self.clock()
            if self.listeners.all:
                self._note("admitted", admission.start, admission)

    def _hand_over(self) -> None:
        while self.queue and self.in_use < self.limit:
            admission = self.queue[0]
            if admission.state is State.QUEUED:
                late = self.clock() - admission.arrival > admission.patience
                if late:
                    self._refuse(admission, Outcome.GAVE_UP)
                else:
                    self._grant(admission)
                try:
                    admission.notify()
                except RuntimeError:  # its loop is closed: nobody is there to take the permit
                    if not late:
                        self.in_use -= 1
                        self._counts.accepted -= 1
                        self._abandon(admission)
            # Last, so that an interrupt before it costs no permit: who is no longer queued is passed over.
            self._unqueue(admission)

    def _unqueue(self, admission: Admission) -> None:
        try:
            self.queue.remove(admission)
        except ValueError:
            pass

    def _abandon(self, admission: Admission) -> None:
        admission.state, admission.outcome, admission.end = State.DONE, Outcome.CANCELLED, self.clock()
        self._counts.abandoned += 1
        self._note("abandoned", admission.end, admission)

    def _refuse(self, admission: Admission, outcome: Outcome) -> None:
        admission.state, admission.outcome, admission.end = State.DONE, outcome, self.clock()
        admission.refusal = self._refusal(admission, waited=outcome is Outcome.GAVE_UP)
        self._counts.rejected += 1
        self._note("rejected", admission.end, admission)

    def _refusal(self, admission: Admission, *, waited: bool) -> BulkheadError:
        if self.closed:
            return BulkheadClosedError(messages.CLOSED.format(name=self.name))
        text = messages.WAITED if waited else messages.QUEUE_FULL if self.queue else messages.FULL
        words = {"name": self.name, "in_use": self.in_use, "limit": self.limit, "waiting": len(self.queue)}
        if waited:
            words["seconds"] = admission.patience
        # The queue ahead leaves at a rate of limit / duration (Little's law).
        wait = FIRST_GUESS if self._mean is None else self._mean * (len(self.queue) + 1) / self.limit
        return BulkheadFullError(text.format(**words), name=self.name, retry_after=wait, waited=waited)

    def _count_end(self, admission: Admission, error: BaseException | None, now: float) -> None:
        admission.end, admission.error = now, error
        if error is None:
            admission.outcome = Outcome.OK
            self._counts.completed += 1
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            admission.outcome = Outcome.CANCELLED
        else:
            admission.outcome = Outcome.FAILED
            self._counts.failed += 1
        if admission.start is None:
            self._counts.abandoned += 1
            return
        duration = now - admission.start
        self._counts.busy += duration
        self._mean = duration if self._mean is None else self._mean + _WEIGHT * (duration - self._mean)

    def _learn(self, algorithm: LimitAlgorithm, admission: Admission, in_flight: int) -> None:
        # A call that its caller cancelled, or that failed for a reason of its own, tells nothing about the
        # load. Timeouts and broken connections are OSErrors, those of requests and most of aiohttp's too.
        if admission.start is None or admission.end is None:
            return
        dropped = isinstance(admission.error, OSError)
        if admission.outcome is not Outcome.OK and not dropped:
            return
        try:
            limit = algorithm.update(Sample(admission.start, admission.end, in_flight, dropped))
        except Exception:
            _log.exception(messages.LOG_ALGORITHM_FAILED, self.name)
        else:
            self._change_limit(max(1, limit))

    def _change_limit(self, limit: int) -> None:
        if limit != self.limit:
            self.limit = limit
            self._note("limit", self.clock())
            self._hand_over()

    def _note(self, kind: Kind, t: float, call: Admission | None = None) -> None:
        if not self.listeners.all:
            return
        # The first of the queue still stands in it while it is answered, see _hand_over.
        answered = bool(self.queue) and self.queue[0].state is not State.QUEUED
        waiting = len(self.queue) - answered
        now = (kind, t, self.name, self.limit, self.in_use, waiting)
        if call is None:
            event = BulkheadEvent(*now)
        else:
            times = (call.arrival, call.start, call.end)
            event = BulkheadEvent(*now, str(call.number), *times, call.outcome, call.worker, call.error)
        self.listeners.note(event)
