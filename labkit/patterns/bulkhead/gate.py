"""The permits themselves: who is inside, who waits, and what became of everyone else.

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
from enum import Enum, auto
from itertools import count

from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.errors import BulkheadClosedError, BulkheadError, BulkheadFullError
from labkit.patterns.bulkhead.events import BulkheadEvent, Kind, Metrics, Outcome, Recorder
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


class Admission:
    """One call's way through the gate. A subclass for each way of waiting."""

    __slots__ = (
        "arrival",
        "end",
        "error",
        "number",
        "on_grant",
        "outcome",
        "refusal",
        "start",
        "state",
        "worker",
    )

    # Set where the permit comes before the worker: what begins the work says so with `Gate.begin`.
    begins_later = False

    def __init__(self, number: int, arrival: float, worker: str | None = None) -> None:
        self.number = number
        self.arrival = arrival
        self.worker = worker
        self.state = State.ARRIVED
        self.start: float | None = None
        self.end: float | None = None
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.refusal: BulkheadError | None = None
        self.on_grant: Callable[[], object] | None = None

    def queued(self) -> None:
        """Get ready to be notified. Called under the gate's lock, as are the others."""

    def notify(self) -> None:
        """Say that a place in the queue has become a permit or a refusal. RuntimeError: nobody hears it."""


class ThreadAdmission(Admission):
    """A thread that stands still until its turn."""

    __slots__ = ("_turn",)

    def queued(self) -> None:
        self._turn = threading.Lock()
        self._turn.acquire()

    def notify(self) -> None:
        self._turn.release()

    def wait(self, seconds: float) -> None:
        """Return when notified, or after so many seconds."""
        self._turn.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


class TaskAdmission(Admission):
    """An asyncio task that waits while its loop goes on; notified from any thread."""

    __slots__ = ("_future", "_loop")

    def queued(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future()

    def notify(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    async def wait(self, seconds: float) -> None:
        """Return when notified, or after so many seconds."""
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._future
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class Gate:
    """At most `limit` admissions hold a permit; the others wait in order of arrival or are refused.

    `max_wait`: seconds; 0 refuses at once, infinity is for who gives up by other means. It bounds the wait
    twice: who waits is woken after so many real seconds, and a permit is not handed to someone who by `clock`
    has waited longer. `max_queue`: how many may wait (None: any number, each for a bounded time).
    `limit`: a number, or an algorithm that is asked after each call.

    The lock is reentrant because giving back may happen anywhere: the garbage collector closes a coroutine
    that was dropped in the middle, and runs its `finally` in whatever thread is allocating memory.
    """

    def __init__(
        self,
        name: str,
        limit: int | LimitAlgorithm,
        recorder: Recorder,
        clock: Callable[[], float],
        *,
        max_wait: float = 0.0,
        max_queue: int | None = None,
        lock: "threading.RLock | None" = None,
    ) -> None:
        self.name = name
        self.max_wait = max_wait
        self.max_queue = max_queue
        self.lock = threading.RLock() if lock is None else lock
        self.recorder = recorder
        self.clock = clock
        self.algorithm = None if isinstance(limit, int) else limit
        self.limit = limit if isinstance(limit, int) else limit.limit
        self.on_limit: Callable[[int], None] | None = None
        self.in_use = 0
        self.queue: deque[Admission] = deque()
        self.closed = False
        self._numbers = count(1)
        self._mean: float | None = None
        self._busy = 0.0
        self._accepted = self._rejected = self._abandoned = self._completed = self._failed = 0
        self._max_in_use = self._max_waiting = 0

    # Coming in

    def next_number(self) -> int:
        return next(self._numbers)

    def arrive(self, admission: Admission) -> bool:
        """Take a permit at once (True) or a place in the queue (False). Raises BulkheadFullError."""
        with self.lock:
            at_once = self.seat(admission)
        if self.recorder.listening:
            self.recorder.deliver()
        if admission.refusal is not None:
            raise admission.refusal
        return at_once

    def enter(self, admission: ThreadAdmission) -> None:
        """Return with a permit. Raises BulkheadFullError; whatever is raised, call `leave` afterwards."""
        if not self.arrive(admission):
            admission.wait(self.max_wait)
            self._settle(admission)

    async def enter_async(self, admission: TaskAdmission) -> None:
        """Return with a permit; as `enter`."""
        if not self.arrive(admission):
            await admission.wait(self.max_wait)
            self._settle(admission)

    def begin(self, admission: Admission, worker: str) -> None:
        """Note that the work of an admission that `begins_later` begins now."""
        with self.lock:
            if admission.state is State.HELD:
                admission.worker = worker
                admission.start = self.clock()
                self._note("admitted", admission.start, admission)
        self.recorder.deliver()

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
                if self.recorder.listening:
                    self._note("abandoned" if admission.start is None else "released", now, admission)
                if self.queue:
                    self._hand_over()
                if self.algorithm is not None:
                    self._learn(self.algorithm, admission, in_flight)
                # The error's traceback leads to the frame that holds the admission: no cycle to collect.
                admission.error = None
            elif admission.state is State.QUEUED:
                self._unqueue(admission)
                admission.outcome, admission.end = Outcome.CANCELLED, self.clock()
                self._abandoned += 1
                self._note("abandoned", admission.end, admission)
        if self.recorder.listening:
            self.recorder.deliver()

    def close(self) -> None:
        """Refuse whoever waits and whoever comes."""
        with self.lock:
            self.closed = True
            for admission in list(self.queue):
                self._unqueue(admission)
                self._refuse(admission, Outcome.REJECTED)
                self._notify(admission)
        self.recorder.deliver()

    # The limit

    def set_limit(self, limit: int) -> None:
        """Change the limit. Lowered, nobody is put out: the next permits given back are not handed on.

        Raises InvalidInput when an algorithm keeps it.
        """
        if self.algorithm is not None:
            raise InvalidInput(
                messages.LIMIT_IS_ADAPTIVE.format(name=self.name, algorithm=type(self.algorithm).__name__)
            )
        with self.lock:
            self.change_limit(limit)
        self.recorder.deliver()

    # Under the lock

    def seat(self, admission: Admission) -> bool:
        """Grant (True), queue (False) or refuse (False too, `admission.refusal` says why)."""
        if self.closed:
            self._refuse(admission, Outcome.REJECTED)
            return False
        if self.in_use < self.limit and not self.queue:
            self._grant(admission)
            return True
        if self.max_wait > 0 and (self.max_queue is None or len(self.queue) < self.max_queue):
            admission.queued()
            admission.state = State.QUEUED
            self.queue.append(admission)
            self._max_waiting = max(self._max_waiting, len(self.queue))
            self._hand_over()  # a permit may have come back since we looked, by the garbage collector
        else:
            self._refuse(admission, Outcome.REJECTED)
        return False

    def change_limit(self, limit: int) -> None:
        """Set the limit, whoever keeps it."""
        if limit == self.limit:
            return
        self.limit = limit
        if self.on_limit is not None:
            self.on_limit(limit)
        self._note("limit", self.clock(), None)
        self._hand_over()

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
            self.change_limit(max(1, limit))

    def _grant(self, admission: Admission) -> None:
        # In one breath: an interrupt of the main thread comes between calls, never inside this line.
        admission.state, self.in_use = State.HELD, self.in_use + 1
        self._accepted += 1
        if self.in_use > self._max_in_use:
            self._max_in_use = self.in_use
        if not admission.begins_later:
            admission.start = self.clock()
            if self.recorder.listening:
                self._note("admitted", admission.start, admission)
        if admission.on_grant is not None:
            admission.on_grant()

    def _hand_over(self) -> None:
        while self.queue and self.in_use < self.limit:
            admission = self.queue[0]
            if admission.state is State.QUEUED:
                late = self.clock() - admission.arrival > self.max_wait
                if late:
                    self._refuse(admission, Outcome.GAVE_UP)
                else:
                    self._grant(admission)
                heard = self._notify(admission)
                # Work that has begun elsewhere (on_grant) keeps its permit, though nobody waits for its end.
                if not (heard or late) and admission.on_grant is None:
                    self._take_back(admission)
            # Last, so that an interrupt before it costs no permit: who is no longer queued is passed over.
            self._unqueue(admission)

    def _notify(self, admission: Admission) -> bool:
        try:
            admission.notify()
        except RuntimeError:
            return False  # its loop is closed: nobody is there to take the permit
        return True

    def _take_back(self, admission: Admission) -> None:
        admission.state, self.in_use = State.DONE, self.in_use - 1
        self._accepted -= 1
        self._abandoned += 1
        admission.outcome, admission.end = Outcome.CANCELLED, self.clock()
        self._note("abandoned", admission.end, admission)

    def _settle(self, admission: Admission) -> None:
        """After the wait: a permit, or the reason why not."""
        with self.lock:
            if admission.state is State.QUEUED:
                self._unqueue(admission)
                self._refuse(admission, Outcome.GAVE_UP)
        self.recorder.deliver()
        if admission.refusal is not None:
            raise admission.refusal

    def _unqueue(self, admission: Admission) -> None:
        if admission.state is State.QUEUED:
            admission.state = State.DONE
        try:
            self.queue.remove(admission)
        except ValueError:
            pass

    def _refuse(self, admission: Admission, outcome: Outcome) -> None:
        now = self.clock()
        admission.state = State.DONE
        admission.outcome, admission.end = outcome, now
        admission.refusal = self._refusal(outcome)
        self._rejected += 1
        self._note("rejected", now, admission)

    def _refusal(self, outcome: Outcome) -> BulkheadError:
        if self.closed:
            return BulkheadClosedError(messages.CLOSED.format(name=self.name))
        waited = outcome is Outcome.GAVE_UP
        return BulkheadFullError(
            self._why(waited=waited), name=self.name, retry_after=self._retry_after(), waited=waited
        )

    def _why(self, *, waited: bool) -> str:
        text = messages.WAITED if waited else messages.QUEUE_FULL if self.queue else messages.FULL
        return text.format(
            name=self.name,
            in_use=self.in_use,
            limit=self.limit,
            waiting=len(self.queue),
            seconds=self.max_wait,
        )

    def _retry_after(self) -> float:
        # The queue ahead leaves at a rate of limit / duration (Little's law).
        if self._mean is None:
            return FIRST_GUESS
        return self._mean * (len(self.queue) + 1) / self.limit

    def _count_end(self, admission: Admission, error: BaseException | None, now: float) -> None:
        admission.end, admission.error = now, error
        if error is None:
            admission.outcome = Outcome.OK
            self._completed += 1
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            admission.outcome = Outcome.CANCELLED
        else:
            admission.outcome = Outcome.FAILED
            self._failed += 1
        if admission.start is None:
            self._abandoned += 1
            return
        duration = now - admission.start
        self._busy += duration
        self._mean = duration if self._mean is None else self._mean + _WEIGHT * (duration - self._mean)

    def _note(self, kind: Kind, t: float, admission: Admission | None) -> None:
        if self.recorder.listening:
            self.recorder.note(self._event(kind, t, admission))

    def _event(self, kind: Kind, t: float, admission: Admission | None) -> BulkheadEvent:
        # The first of the queue still stands in it while it is answered, see _hand_over.
        answered = bool(self.queue) and self.queue[0].state is not State.QUEUED
        waiting = len(self.queue) - answered
        if admission is None:
            return BulkheadEvent(kind, t, self.name, self.limit, self.in_use, waiting)
        return BulkheadEvent(
            kind,
            t,
            self.name,
            self.limit,
            self.in_use,
            waiting,
            str(admission.number),
            admission.arrival,
            admission.start,
            admission.end,
            admission.outcome,
            admission.worker,
            admission.error,
        )

    def metrics(self) -> Metrics:
        """Everything in numbers, of one moment."""
        with self.lock:
            return Metrics(
                limit=self.limit,
                in_use=self.in_use,
                waiting=len(self.queue),
                accepted=self._accepted,
                rejected=self._rejected,
                abandoned=self._abandoned,
                completed=self._completed,
                failed=self._failed,
                max_in_use=self._max_in_use,
                max_waiting=self._max_waiting,
                busy=self._busy,
            )
