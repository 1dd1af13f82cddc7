"""The state machine.

One lock guards it, held for the few lines that count and never during the call itself. A call carries a
ticket from its admission to its end: the number of the state period (the era) in which it began, so that a
result from an earlier period is recognised however late it comes, and, in half-open, the permit.

Where everybody may pass, a call takes the ticket that lies open and needs no lock: reading it is the moment
of its admission, and if the circuit opens right after, the ticket is of an era gone by.

Time is kept in whole nanoseconds: ten times 0.1 s is one second and not a little less.
"""

import inspect
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from labkit.patterns._events import Listeners
from labkit.patterns._given import (
    NOT_CALLABLE,
    guarded,
    is_coroutine_function,
    name_of,
    refuse_coroutine,
    refuse_unfinished,
    valid_count,
    valid_fraction,
    valid_seconds,
)
from labkit.patterns.circuit_breaker import messages
from labkit.patterns.circuit_breaker.checks import valid_filter, valid_function, valid_state
from labkit.patterns.circuit_breaker.errors import CircuitOpenError
from labkit.patterns.circuit_breaker.events import Event, Metrics, Reason, Rejection, State, StateChange
from labkit.patterns.circuit_breaker.windows import NANO, CountWindow, InARow, Judge, Rates, TimeWindow

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Listener = Callable[[Event], object]
Matcher = type[BaseException] | Callable[[Any], object]

HISTORY = 1000  # changes, and refusals, that a breaker remembers

_DEFAULT_THRESHOLD = 3
_DEFAULT_RATE = 0.5
_DEFAULT_MINIMUM = 10


class _Ticket:
    __slots__ = ("era", "nested", "probes", "started")

    def __init__(self, era: int, started: int, *, nested: bool = False) -> None:
        self.era = era
        self.started = started
        self.nested = nested  # in a call that holds a permit: that one's result is what counts
        self.probes: list[_Ticket] = []  # those of its breaker, while it is one of them


# The probes that this task, or thread, is inside of, of all breakers; some may have ended.
_probing: ContextVar[tuple[_Ticket, ...]] = ContextVar("_probing", default=())

# The `with` blocks that this task, or thread, is in. One variable for all breakers: Python never frees one.
_entered: ContextVar[tuple[tuple["CircuitBreaker", _Ticket], ...]] = ContextVar("_entered", default=())


class CircuitBreaker:
    """Stops calling what keeps failing, and after a while lets a few calls probe whether it is well again.

    `name`: what events and errors call it (default "breaker").

    When it opens: after `fail_threshold` failures in a row (default 3); or, given a `window` (`CountWindow`,
    `TimeWindow`), when its failures reach `failure_rate` (above 0, up to 1; default 0.5) of at least
    `minimum_calls` calls (default 10, or all that the window holds). A call of `slow_call` seconds or longer
    is slow: in a row it counts as a failure; in a window the circuit opens when slow calls reach `slow_rate`
    (default 0.5).

    How it closes: `reset_timeout` seconds after it opened, the next call finds it half-open. Then at most
    `half_open_permits` calls run at once, the others are refused; `half_open_successes` good ones (default:
    as many as there are permits) close it; a failed or slow one opens it again. The permit of a probe that
    runs for `probe_timeout` seconds (default: `reset_timeout`) goes to the next caller, and its result no
    longer counts: choose it longer than the call's own timeout. `max_reset_timeout`: with it the wait doubles
    for each failed probe in a row, up to so many seconds.

    A call inside a call of the same breaker is one of its own, except inside a probe: there it is a part of
    the probe, needs no permit and does not count, or the two would refuse each other for ever.

    What counts: exceptions that match `exceptions` (default: every Exception) and not `ignore`, each a class,
    a predicate of the exception, or a tuple of these; and results for which `failed_result` says so. Any
    other exception, and whatever is no Exception (cancellation, KeyboardInterrupt), changes nothing and
    gives the permit back. So does this breaker's own refusal, met again inside a call.

    `state`: the one to begin in. `listeners`: functions that are called with every Event, in order, after
    the lock is released; what they raise is logged. `clock`: seconds that never run backwards.

    Usable from any thread and any task: `call`, `acall`, as a decorator of either kind of function, and as
    `with` or `async with` block. Raises ValueError and TypeError for bad input, at once.

    Source: Nygard, "Release It!", 2nd ed., ch. 5 (Circuit Breaker); Fowler, "CircuitBreaker", 2014.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        fail_threshold: int | None = None,
        reset_timeout: float = 10.0,
        max_reset_timeout: float | None = None,
        window: CountWindow | TimeWindow | None = None,
        failure_rate: float | None = None,
        minimum_calls: int | None = None,
        slow_call: float | None = None,
        slow_rate: float | None = None,
        half_open_permits: int = 1,
        half_open_successes: int | None = None,
        probe_timeout: float | None = None,
        exceptions: Matcher | Collection[Matcher] = Exception,
        ignore: Matcher | Collection[Matcher] = (),
        failed_result: Callable[[Any], object] | None = None,
        state: State = "closed",
        listeners: Collection[Listener] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise ValueError(messages.BAD_NAME.format(given=name))
        self.name = name or "breaker"
        self.reset_timeout = valid_seconds("reset_timeout", reset_timeout)
        self.probe_timeout = (
            self.reset_timeout if probe_timeout is None else valid_seconds("probe_timeout", probe_timeout)
        )
        self.max_reset_timeout = (
            self.reset_timeout
            if max_reset_timeout is None
            else valid_seconds("max_reset_timeout", max_reset_timeout)
        )
        if self.max_reset_timeout < self.reset_timeout:
            raise ValueError(messages.MAXIMUM_TOO_LOW.format(given=max_reset_timeout, least=reset_timeout))
        self.half_open_permits = valid_count("half_open_permits", half_open_permits)
        self.half_open_successes = (
            self.half_open_permits
            if half_open_successes is None
            else valid_count("half_open_successes", half_open_successes)
        )
        self.slow_call = None if slow_call is None else valid_seconds("slow_call", slow_call)
        if slow_rate is not None and slow_call is None:
            raise ValueError(messages.NEEDS_SLOW_CALL)
        self._judge = _judge(window, fail_threshold, failure_rate, slow_rate, minimum_calls)
        self._exceptions = valid_filter("exceptions", exceptions, Exception)
        self._ignore = valid_filter("ignore", ignore, BaseException)
        self._failed_result: Callable[[Any], object] | None = (
            None
            if failed_result is None
            else valid_function(failed_result, messages.BAD_PREDICATE, name="failed_result")
        )
        self._clock: Callable[[], float] = valid_function(clock, messages.BAD_CLOCK)
        self._slow_after = None if self.slow_call is None else round(self.slow_call * NANO)
        self._wait = round(self.reset_timeout * NANO)  # of the present opening
        self._probe_limit = round(self.probe_timeout * NANO)
        self._timed = self._slow_after is not None or self._judge.timed

        # Of the kind that knows its owner: while it is held the garbage collector may close a dropped
        # coroutine, whose guarded call then ends in this very thread (see `_end`).
        self._lock = threading.RLock()
        self._ended_meanwhile: deque[tuple[_Ticket, bool | None, Exception | None]] = deque()
        self._era = 0
        self._free_ticket: _Ticket | None = None  # None: ask for a permit
        self._probes: list[_Ticket] = []  # who holds a permit, the oldest first
        self._inside: list[_Ticket] = []  # of `with` blocks, which context ever entered them
        self._good_probes = 0
        self._cause: Exception | None = None  # of the present opening
        self._successes = self._failures = self._slow = self._ignored = self._discarded = 0
        self._rejected = self._opened = self._recovered = 0

        if not isinstance(listeners, Collection):
            raise TypeError(messages.BAD_LISTENERS.format(given=listeners))
        self._listeners: Listeners[Event] = Listeners(
            self.name, [valid_function(each, messages.BAD_LISTENER) for each in listeners]
        )
        self._changes: deque[StateChange] = deque(maxlen=HISTORY)
        self._rejections: deque[Rejection] = deque(maxlen=HISTORY)
        self._state: State = valid_state(state)
        self._opened_at = self._now()
        self._begin_era()
        self._tell(StateChange(self._opened_at / NANO, self.name, self._state, None, "created"))
        self._deliver()

    # Calling

    def call(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `func(*args, **kwargs)`; what it raises is raised.

        Raises CircuitOpenError, without calling, when the circuit does not let it through, and TypeError for
        coroutine functions and generators, whose work would begin only after this returns.
        """
        refuse_unfinished(func, messages.COROUTINE_TO_CALL, messages.GENERATOR)
        ticket = self._admit()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._end_raised(ticket, error)
            raise
        try:
            refuse_coroutine(func, result, messages.COROUTINE_RETURNED)
        except TypeError:
            self._end(ticket, None)
            raise
        self._end_returned(ticket, result)
        return result

    async def acall(self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `await func(*args, **kwargs)`, as `call` does. A cancelled call does not count.

        Raises TypeError when `func` gives nothing to await.
        """
        if not callable(func):
            raise TypeError(NOT_CALLABLE.format(given=func))
        ticket = self._admit()
        try:
            awaitable: object = func(*args, **kwargs)
            awaited = inspect.isawaitable(awaitable)
            result = await cast("Awaitable[T]", awaitable) if awaited else None
        except BaseException as error:
            self._end_raised(ticket, error)
            raise
        if not awaited:
            self._end(ticket, None)
            raise TypeError(messages.NOT_AWAITABLE.format(given=name_of(func)))
        self._end_returned(ticket, result)
        return cast("T", result)

    def __call__(self, func: F, /) -> F:
        """Return `func` guarded: `@breaker` before a function or a coroutine function."""
        if not is_coroutine_function(func):
            refuse_unfinished(func, messages.COROUTINE_TO_CALL, messages.GENERATOR)
        return guarded(func, self.call, self.acall)

    def __enter__(self) -> Self:
        """Begin a guarded block; it fails by what it raises, `failed_result` has no part in it."""
        ticket = self._admit()
        _entered.set((*_entered.get(), (self, ticket)))
        self._inside.append(ticket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entered = _entered.get()
        for index in reversed(range(len(entered))):
            if entered[index][0] is self:
                _entered.set((*entered[:index], *entered[index + 1 :]))
                ticket = entered[index][1]
                break
        else:
            # Entered in another context (an asynchronous generator that is closed elsewhere): the permit goes
            # back all the same, and what the block raised is what is raised.
            if not self._inside and error is None:
                raise RuntimeError(messages.EXIT_WITHOUT_ENTER.format(name=self.name))
            if not self._inside:
                return
            ticket = self._inside[-1]
            if error is None:
                self._inside.remove(ticket)
                self._end(ticket, None)
                raise RuntimeError(messages.EXIT_WITHOUT_ENTER.format(name=self.name))
        if ticket in self._inside:
            self._inside.remove(ticket)
        if error is None:
            self._end(ticket, False)
        else:
            self._end_raised(ticket, error)

    async def __aenter__(self) -> Self:
        """See `__enter__`: it never waits, so the two are the same."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # By hand

    def force_open(self) -> None:
        """Refuse every call until `reset`."""
        self._move_by_hand("forced-open")

    def disable(self) -> None:
        """Let every call through, whatever becomes of it, until `reset`."""
        self._move_by_hand("disabled")

    def reset(self) -> None:
        """Close the circuit and forget what was counted towards opening it; calls under way do not count."""
        self._move_by_hand("closed")

    # Looking

    @property
    def state(self) -> State:
        """The state now: "closed", "open", "half-open", "forced-open" or "disabled".

        Looking changes nothing: an open circuit becomes half-open when a call comes, not before.
        """
        return self._state

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be let through; 0 when it would be now, None when opened by hand."""
        with self._lock:
            if self._state in ("closed", "disabled"):
                return 0.0
            if self._state == "half-open" and self._permit_is_free():
                return 0.0
            return self._time_left(self._now())

    @property
    def metrics(self) -> Metrics:
        """The counts as they are now."""
        with self._lock:
            return Metrics(
                self._successes,
                self._failures,
                self._slow,
                self._ignored,
                self._discarded,
                self._rejected,
                self._opened,
                self._recovered,
                *self._judge.counts(self._now()),
            )

    @property
    def changes(self) -> tuple[StateChange, ...]:
        """The last thousand changes of state, the first of all being the state in which it began."""
        with self._lock:
            return tuple(self._changes)

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The last thousand refusals; `metrics.rejected` counts them all."""
        with self._lock:
            return tuple(self._rejections)

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every Event from now on."""
        valid_function(listener, messages.BAD_LISTENER)
        with self._lock:
            self._listeners.all += (listener,)

    def remove_listener(self, listener: Listener) -> None:
        """Undo `add_listener`. Raises ValueError for one that is not there."""
        with self._lock:
            others = list(self._listeners.all)
            if listener not in others:
                raise ValueError(messages.UNKNOWN_LISTENER.format(given=listener, name=self.name))
            others.remove(listener)
            self._listeners.all = tuple(others)

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name}, {self._state})"

    # The life of a call

    def _admit(self) -> _Ticket:
        """Let a call in. Raises CircuitOpenError."""
        free = self._free_ticket
        if free is not None:
            return free if self._slow_after is None else _Ticket(free.era, self._now())
        self._count_ended_meanwhile()
        with self._lock:
            now = self._now()
            # As exactly as a float can say: a caller who waits `retry_after` to the letter is not too early.
            if self._state == "open" and now + _rounding(now) >= self._opened_at + self._wait:
                self._move("half-open", "timeout-over")
            ticket = None
            if self._state == "half-open":
                ticket = self._take_permit(now)
            elif self._free_ticket is not None:  # it has closed while this call waited for the lock
                ticket = _Ticket(self._era, now)
            if ticket is None:
                refusal = CircuitOpenError(self.name, self._state, self._time_left(now), id(self))
                if self._cause is not None:
                    refusal.__cause__ = self._cause
                self._rejected += 1
                self._tell(Rejection(now / NANO, self.name, self._state, refusal.retry_after))
        self._deliver()
        if ticket is None:
            raise refusal
        return ticket

    def _end_returned(self, ticket: _Ticket, result: object) -> None:
        if self._failed_result is None:
            self._end(ticket, False)
            return
        try:
            failed = bool(self._failed_result(result))
        except BaseException:
            self._end(ticket, None)  # the predicate's own mistake must not cost a permit
            raise
        self._end(ticket, failed)

    def _end_raised(self, ticket: _Ticket, error: BaseException) -> None:
        try:
            counts = isinstance(error, Exception) and self._counts(error)
        except BaseException:
            self._end(ticket, None)
            raise
        self._end(ticket, True if counts else None, error if isinstance(error, Exception) else None)

    def _counts(self, error: Exception) -> bool:
        if isinstance(error, CircuitOpenError) and error.issuer == id(self):
            return False
        return not self._ignore.matches(error) and self._exceptions.matches(error)

    def _end(self, ticket: _Ticket, failed: bool | None, error: Exception | None = None) -> None:
        """Count the result of a call; `failed` None: it has no bearing. `error`: what it raised."""
        if self._lock._is_owned():  # type: ignore[attr-defined]
            self._ended_meanwhile.append((ticket, failed, error))  # counted when the lock is free
            return
        with self._lock:
            if ticket.nested:
                self._ignored += 1
                return
            if ticket.era != self._era or (self._state == "half-open" and ticket not in self._probes):
                self._discarded += 1
                return
            if self._state == "half-open":
                self._probes.remove(ticket)
            if failed is None:
                self._ignored += 1
                return
            now = self._now() if self._timed else 0
            slow = self._slow_after is not None and now - ticket.started >= self._slow_after
            self._slow += slow
            if failed:
                self._failures += 1
            else:
                self._successes += 1
            if self._state == "closed":
                reason = self._judge.record(now, failed, slow)
                if reason is None:
                    return
                self._move("open", reason, error)
            elif self._state == "half-open":
                self._judge_probe(failed, slow, error)
        self._deliver()

    # What follows is called with the lock held

    def _judge_probe(self, failed: bool, slow: bool, error: Exception | None) -> None:
        if failed or slow:
            self._move("open", "probe-failed" if failed else "probe-slow", error)
            return
        self._good_probes += 1
        if self._good_probes >= self.half_open_successes:
            self._move("closed", "probes-succeeded")

    def _take_permit(self, now: int) -> _Ticket | None:
        around = tuple(probe for probe in _probing.get() if probe in probe.probes)
        if any(probe.probes is self._probes for probe in around):
            return _Ticket(self._era, now, nested=True)
        if not self._permit_is_free():
            hung = self._hung(now)
            self._recovered += hung
            del self._probes[:hung]
            if not hung:
                return None
        ticket = _Ticket(self._era, now)
        ticket.probes = self._probes
        self._probes.append(ticket)
        _probing.set((*around, ticket))
        return ticket

    def _permit_is_free(self) -> bool:
        # Nor more probes than it takes to close: fast ones would otherwise let a stream of calls through.
        needed = max(self.half_open_permits, self.half_open_successes)
        return len(self._probes) < self.half_open_permits and len(self._probes) + self._good_probes < needed

    def _hung(self, now: int) -> int:
        """How many probes have outlived their permits: the first ones, as they began in order."""
        return sum(now - probe.started >= self._probe_limit for probe in self._probes)

    def _time_left(self, now: int) -> float | None:
        if self._state == "forced-open":
            return None
        if self._state == "open":
            end = self._opened_at + self._wait
        else:
            end = self._probes[0].started + self._probe_limit
        return max(0, end - now) / NANO

    def _move(self, state: State, reason: Reason, cause: Exception | None = None) -> None:
        now = self._now()
        previous, self._state = self._state, state
        self._era += 1
        self._begin_era()
        if state == "open":
            wait = 2 * self._wait if previous == "half-open" else round(self.reset_timeout * NANO)
            self._wait = min(wait, round(self.max_reset_timeout * NANO))
            self._opened_at = now
            self._opened += 1
        if state != "half-open":
            self._cause = cause
        self._tell(StateChange(now / NANO, self.name, state, previous, reason, cause))

    def _begin_era(self) -> None:
        self._free_ticket = _Ticket(self._era, 0) if self._state in ("closed", "disabled") else None
        self._judge.clear()
        self._probes.clear()
        self._good_probes = 0

    def _tell(self, event: Event) -> None:
        if isinstance(event, StateChange):
            # Not the error: a thousand of them, and whatever their tracebacks lead to, would stay in memory.
            self._changes.append(event if event.cause is None else replace(event, cause=None))
        elif isinstance(event, Rejection):
            self._rejections.append(event)
        if self._listeners.all:
            self._listeners.note(event)

    def _now(self) -> int:
        return round(self._clock() * NANO)

    # And this without

    def _move_by_hand(self, state: State) -> None:
        with self._lock:
            if self._state != state:
                self._move(state, "by-hand")
            elif state == "closed":
                self._era += 1
                self._begin_era()
        self._deliver()

    def _count_ended_meanwhile(self) -> None:
        while self._ended_meanwhile and not self._lock._is_owned():  # type: ignore[attr-defined]
            self._end(*self._ended_meanwhile.popleft())

    def _deliver(self) -> None:
        self._count_ended_meanwhile()
        self._listeners.deliver()


def _rounding(now: int) -> int:
    """Return the nanoseconds that a float of seconds may be off."""
    return int(2 * math.ulp(now / NANO) * NANO)


def _judge(
    window: CountWindow | TimeWindow | None,
    fail_threshold: int | None,
    failure_rate: float | None,
    slow_rate: float | None,
    minimum_calls: int | None,
) -> Judge:
    """Return who judges the closed state. Raises ValueError and TypeError for what does not go together."""
    rates = {"failure_rate": failure_rate, "slow_rate": slow_rate, "minimum_calls": minimum_calls}
    if window is None:
        for name, given in rates.items():
            if given is not None:
                raise ValueError(messages.NEEDS_WINDOW.format(name=name))
        return InARow(
            _DEFAULT_THRESHOLD if fail_threshold is None else valid_count("fail_threshold", fail_threshold)
        )
    if not isinstance(window, CountWindow | TimeWindow):
        raise TypeError(messages.BAD_WINDOW.format(given=window))
    if fail_threshold is not None:
        raise ValueError(messages.NEEDS_NO_WINDOW)
    held = window.calls if isinstance(window, CountWindow) else None
    if minimum_calls is None:
        minimum = _DEFAULT_MINIMUM if held is None else min(held, _DEFAULT_MINIMUM)
    else:
        minimum = valid_count("minimum_calls", minimum_calls)
    if held is not None and minimum > held:
        raise ValueError(messages.MINIMUM_TOO_HIGH.format(minimum=minimum, calls=held))
    return Rates(
        window,
        _DEFAULT_RATE if failure_rate is None else valid_fraction("failure_rate", failure_rate),
        _DEFAULT_RATE if slow_rate is None else valid_fraction("slow_rate", slow_rate),
        minimum,
    )
