"""The circuit breaker, on a clock wound by hand; with real threads where it matters."""

import asyncio
import datetime
import functools
import gc
import itertools
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import weakref
from unittest.mock import AsyncMock

import pytest
from breaker_support import PATIENCE, Broken, ManualClock, Pending, Refused, outcome, run, threads, trip
from breaker_support import fail as failing
from breaker_support import refuse as refusing
from breaker_support import work as working

from labkit.patterns import circuit_breaker
from labkit.patterns.circuit_breaker import (
    STATES,
    CircuitBreaker,
    CircuitOpenError,
    CountWindow,
    Metrics,
    Rejection,
    StateChange,
    TimeWindow,
)


@pytest.fixture
def clock():
    return ManualClock(1000.0)


@pytest.fixture
def make(clock):
    return functools.partial(CircuitBreaker, "pagos", clock=clock)


@pytest.fixture
def half_open(make, clock):
    """Make a breaker whose next call finds it half-open."""

    def make_it(**options):
        breaker = make(**options)
        trip(breaker)
        clock.advance(breaker.reset_timeout)
        return breaker

    return make_it


def reasons(breaker):
    return [change.reason for change in breaker.changes]


def states(breaker):
    return [change.state for change in breaker.changes]


# The cycle


def test_a_closed_circuit_gives_what_the_call_gives(make):
    breaker = make()
    assert breaker.call(divmod, 7, 2) == (3, 1)
    assert breaker.call(sorted, [1, 2], reverse=True) == [2, 1]
    error = Broken("mine")

    def fail():
        raise error

    with pytest.raises(Broken) as caught:
        breaker.call(fail)
    assert caught.value is error


def test_func_and_self_may_be_names_of_the_functions_own_arguments(make):
    def target(self, func):
        return self, func

    assert make().call(target, self=1, func=2) == (1, 2)


def test_so_many_failures_in_a_row_open_it_and_then_nothing_is_called(make):
    breaker = make(fail_threshold=3)
    called = []

    def fail():
        called.append(1)
        raise Broken

    assert run(breaker, *[fail] * 6) == ["broken"] * 3 + ["rejected"] * 3
    assert len(called) == 3
    assert breaker.state == "open"


def test_three_is_the_threshold_that_nobody_gave(make):
    assert run(make(), *[failing] * 4) == ["broken"] * 3 + ["rejected"]


def test_a_success_begins_the_row_anew(make):
    breaker = make(fail_threshold=3)
    run(breaker, failing, failing, working, failing, failing)
    assert breaker.state == "closed"
    assert breaker.metrics.failures_in_a_row == 2
    run(breaker, failing)
    assert breaker.state == "open"


def test_it_opens_again_if_the_probe_fails_and_closes_if_it_succeeds(make, clock):
    breaker = make(reset_timeout=10)
    trip(breaker)
    clock.advance(10)
    assert run(breaker, failing, working) == ["broken", "rejected"]
    clock.advance(10)
    assert run(breaker, working, working) == ["done", "done"]
    assert states(breaker) == ["closed", "open", "half-open", "open", "half-open", "closed"]


def test_half_open_at_the_very_end_of_the_timeout_and_not_a_nanosecond_before(make, clock):
    breaker = make(reset_timeout=10)
    clock.advance(0.3)
    trip(breaker)
    for _ in range(99):
        clock.advance(0.1)
    clock.advance(0.099999999)
    assert run(breaker, working) == ["rejected"]
    clock.advance(0.000000001)
    assert run(breaker, working) == ["done"]


def test_looking_changes_nothing(make, clock):
    breaker = make()
    trip(breaker)
    clock.advance(1000)
    assert breaker.state == "open"
    assert breaker.retry_after == 0
    assert breaker.metrics.opened == 1
    assert repr(breaker) == "CircuitBreaker(pagos, open)"
    assert states(breaker) == ["closed", "open"]
    assert breaker.call(lambda: breaker.state) == "half-open"


def test_a_circuit_that_closed_counts_from_zero(half_open):
    breaker = half_open(fail_threshold=2)
    run(breaker, working, failing)
    assert breaker.state == "closed"


def test_the_timeout_is_counted_from_the_last_opening(make, clock):
    breaker = make(reset_timeout=10)
    trip(breaker)
    clock.advance(15)
    run(breaker, failing)
    clock.advance(9)
    assert run(breaker, working) == ["rejected"]
    assert breaker.retry_after == 1


def test_the_wait_doubles_for_each_failed_probe_in_a_row_up_to_a_maximum(make, clock):
    breaker = make(reset_timeout=10, max_reset_timeout=35)
    for wait in (10, 20, 35, 35):
        trip(breaker)
        assert breaker.retry_after == wait
        clock.advance(wait - 1)
        assert run(breaker, working) == ["rejected"]
        clock.advance(1)
        assert run(breaker, failing) == ["broken"]
    clock.advance(35)
    run(breaker, working)
    trip(breaker)
    assert breaker.retry_after == 10


# Refusals


def test_an_open_circuit_says_when_to_try_again(make, clock):
    breaker = make(reset_timeout=10)
    trip(breaker)
    clock.advance(2.5)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(working)
    error = caught.value
    assert (error.name, error.state, error.retry_after) == ("pagos", "open", 7.5)
    assert (
        str(error) == "El circuito «pagos» está abierto: no se ha hecho la llamada. Prueba de nuevo en 7.5 s."
    )
    assert breaker.retry_after == 7.5


def test_a_refusal_in_half_open_says_when_the_permit_is_free_at_the_latest(half_open, clock):
    breaker = half_open(probe_timeout=4)
    probe = Pending(breaker)
    clock.advance(1)
    with pytest.raises(CircuitOpenError, match="semiabierto") as caught:
        breaker.call(working)
    assert (caught.value.state, caught.value.retry_after) == ("half-open", 3)
    assert breaker.retry_after == 3
    clock.advance(3)
    assert breaker.retry_after == 0
    probe.succeed()


def test_a_circuit_opened_by_hand_does_not_know_when(make):
    breaker = make()
    breaker.force_open()
    with pytest.raises(CircuitOpenError, match="a mano") as caught:
        breaker.call(working)
    assert caught.value.retry_after is None
    assert breaker.retry_after is None


def test_a_refusal_is_neither_a_connection_error_nor_an_oserror():
    assert not issubclass(CircuitOpenError, OSError), "a retry on these would ask an open circuit for ever"


def test_a_refusal_travels_between_processes(make):
    breaker = make(state="open")
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(working)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.retry_after == caught.value.retry_after


def test_a_refusal_by_itself_inside_a_call_does_not_count(make):
    breaker = make(fail_threshold=2)

    def last_failure_and_one_more():
        with pytest.raises(Broken):
            breaker.call(failing)
        breaker.call(working)

    run(breaker, failing)
    assert run(breaker, last_failure_and_one_more) == ["rejected"]
    assert breaker.metrics.failures == 2


def test_the_cause_is_told_by_the_event_and_by_each_refusal(make, clock):
    heard = []
    breaker = make(fail_threshold=2, reset_timeout=10, listeners=[heard.append])
    error = Broken("la segunda")

    def fail():
        raise error

    run(breaker, failing, fail)
    assert heard[-1].cause is error
    for seconds in (0, 10):  # open, and half-open with the permit taken
        clock.advance(seconds)
        probe = Pending(breaker) if seconds else None
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(working)
        assert caught.value.__cause__ is error
    probe.succeed()
    breaker.force_open()
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(working)
    assert caught.value.__cause__ is None


def test_a_result_that_opened_it_is_no_cause(make):
    heard = []
    breaker = make(fail_threshold=1, failed_result=bool, listeners=[heard.append])
    breaker.call(working)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(working)
    assert (heard[1].state, heard[1].cause, caught.value.__cause__) == ("open", None, None)


def test_a_closed_circuit_holds_no_error(half_open):
    class Mine(Broken):
        pass

    def fail():
        raise Mine

    breaker = half_open()
    with pytest.raises(Mine) as caught:
        breaker.call(fail)
    gone = weakref.ref(caught.value)
    del caught
    breaker.reset()
    gc.collect()
    assert gone() is None
    assert [change.cause for change in breaker.changes] == [None] * 5


# A probe's own calls


NESTED = pytest.mark.parametrize("permits", [1, 2])


@NESTED
def test_calls_inside_a_probe_are_part_of_it_and_do_not_refuse_each_other_for_ever(half_open, permits):
    breaker = half_open(half_open_permits=permits, half_open_successes=1)

    def page():
        with breaker:
            return breaker.call(lambda: breaker.call(working))

    assert run(breaker, page) == ["done"]
    assert breaker.state == "closed"
    assert breaker.metrics.ignored == 3


@NESTED
def test_tasks_and_threads_of_a_probe_are_part_of_it(half_open, permits):
    breaker = half_open(half_open_permits=permits, half_open_successes=1)

    async def part():
        return await asyncio.to_thread(breaker.call, working)

    async def page():
        return await asyncio.gather(*(breaker.acall(part) for _ in range(5)))

    assert asyncio.run(breaker.acall(page)) == ["done"] * 5
    assert breaker.state == "closed"


def test_what_a_probe_makes_of_its_own_failed_calls_decides(half_open, clock):
    breaker = half_open()

    def copes():
        return outcome(lambda: breaker.call(failing))

    assert run(breaker, copes) == ["broken"]
    assert breaker.state == "closed"
    trip(breaker)
    clock.advance(breaker.reset_timeout)
    assert run(breaker, lambda: breaker.call(failing)) == ["broken"]
    assert breaker.state == "open"


def test_beside_a_probe_the_others_are_refused_and_after_it_so_is_its_own_task(half_open, clock):
    breaker, other = half_open(half_open_successes=2), half_open()

    async def main():
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def probe():
            inside.set()
            await go_on.wait()

        first = asyncio.create_task(breaker.acall(probe))
        await inside.wait()
        assert run(breaker, working) == ["rejected"]
        go_on.set()
        await first

    asyncio.run(main())
    assert run(breaker, working) == ["done"]
    trip(breaker)
    clock.advance(breaker.reset_timeout)
    probe = Pending(breaker)
    with other:  # a probe of another breaker gives no way in
        assert run(breaker, working) == ["rejected"]
    probe.succeed()


def test_a_refusal_by_another_breaker_of_the_same_name_counts_like_any_error(make):
    other = make(state="forced-open")
    breaker = make(fail_threshold=1)
    assert run(breaker, lambda: other.call(working)) == ["rejected"]
    assert breaker.state == "open"
    tolerant = make(fail_threshold=1, ignore=CircuitOpenError)
    run(tolerant, lambda: other.call(working))
    assert tolerant.state == "closed"


# Half-open: permits


@pytest.mark.parametrize("permits", [1, 3])
def test_of_50_callers_at_the_moment_of_half_open_exactly_the_permitted_number_pass(half_open, permits):
    breaker = half_open(half_open_permits=permits)
    start, may_end = threading.Barrier(50), threading.Event()
    inside, outcomes = [], []

    def probe():
        inside.append(1)
        assert may_end.wait(PATIENCE)
        return "done"

    rejected = threading.Semaphore(0)

    def caller(_):
        start.wait(PATIENCE)
        outcomes.append(outcome(lambda: breaker.call(probe)))
        if outcomes[-1] == "rejected":
            rejected.release()

    with threads(50, caller):
        for _ in range(50 - permits):
            assert rejected.acquire(timeout=PATIENCE), "somebody else was let in"
        assert breaker.state == "half-open"
        may_end.set()
    assert len(inside) == permits
    assert sorted(outcomes) == ["done"] * permits + ["rejected"] * (50 - permits)
    assert breaker.state == "closed"


def test_of_50_tasks_at_the_moment_of_half_open_exactly_the_permitted_number_pass(half_open):
    breaker = half_open(half_open_permits=2)
    inside = []

    async def probe():
        inside.append(1)
        await asyncio.sleep(0)

    async def main():
        return await asyncio.gather(*(breaker.acall(probe) for _ in range(50)), return_exceptions=True)

    answers = asyncio.run(main())
    assert len(inside) == 2
    assert sum(isinstance(answer, CircuitOpenError) for answer in answers) == 48
    assert breaker.state == "closed"


def test_quick_probes_one_after_the_other_are_no_more_than_it_takes_to_close(half_open):
    """A permit comes back at once: without a limit on the whole, all would pass before the slow one ends."""
    breaker = half_open(half_open_permits=3)
    slow = Pending(breaker)
    assert run(breaker, *[working] * 6) == ["done"] * 2 + ["rejected"] * 4
    slow.succeed()
    assert breaker.state == "closed"


def test_as_many_good_probes_as_asked_for_close_it(half_open):
    breaker = half_open(half_open_permits=1, half_open_successes=3)
    run(breaker, working, working)
    assert breaker.state == "half-open"
    run(breaker, working)
    assert breaker.state == "closed"


def test_by_default_every_permitted_probe_must_succeed(half_open):
    breaker = half_open(half_open_permits=2)
    first, second = Pending(breaker), Pending(breaker)
    first.succeed()
    assert breaker.state == "half-open"
    second.fail()
    assert breaker.state == "open"


def test_the_first_good_probe_of_several_closes_it_where_one_is_enough(half_open):
    breaker = half_open(half_open_permits=3, half_open_successes=1)
    probes = [Pending(breaker) for _ in range(3)]
    probes[1].succeed()
    assert breaker.state == "closed"
    for late in (probes[0], probes[2]):
        late.fail()
    assert (breaker.metrics.discarded, breaker.metrics.failures_in_a_row) == (2, 0)


def test_a_probe_that_hangs_for_ever_does_not_wedge_it(half_open, clock):
    breaker = half_open(probe_timeout=5)
    entered, release = threading.Event(), threading.Event()

    def hang():
        entered.set()
        assert release.wait(PATIENCE)
        raise Broken

    with threads(1, lambda _: run(breaker, hang)):
        assert entered.wait(PATIENCE)
        clock.advance(4.999999999)
        assert run(breaker, working) == ["rejected"]
        clock.advance(0.000000001)
        assert run(breaker, working) == ["done"]
        assert breaker.state == "closed"
        release.set()
    metrics = breaker.metrics
    assert (breaker.state, metrics.recovered, metrics.discarded) == ("closed", 1, 1)
    assert metrics.failures_in_a_row == 0


def test_by_default_a_permit_is_taken_back_after_the_reset_timeout(half_open, clock):
    breaker = half_open(reset_timeout=10)
    hung = Pending(breaker)
    clock.advance(9)
    assert run(breaker, working) == ["rejected"]
    clock.advance(1)
    assert run(breaker, working) == ["done"]
    hung.succeed()


def test_probes_that_hang_one_after_the_other_do_not_wedge_it_either(half_open, clock):
    breaker = half_open(half_open_permits=2, probe_timeout=5)
    hanging = []
    for _ in range(5):
        hanging += [Pending(breaker), Pending(breaker)]
        assert run(breaker, working) == ["rejected"]
        clock.advance(5)
    run(breaker, working, working)
    assert breaker.state == "closed"
    assert breaker.metrics.recovered == 10
    for each in hanging:
        each.end_with(asyncio.CancelledError())


def test_a_recovered_probes_late_result_is_discarded_also_while_still_half_open(half_open, clock):
    breaker = half_open(probe_timeout=5, half_open_successes=2)
    late = Pending(breaker)
    clock.advance(5)
    heir = Pending(breaker)
    late.fail()
    assert breaker.state == "half-open"
    assert run(breaker, working) == ["rejected"], "the late one has no permit to give back"
    heir.succeed()
    assert breaker.state == "half-open"
    run(breaker, working)
    assert breaker.state == "closed"


def test_a_slow_probe_whose_permit_nobody_wanted_counts(half_open, clock):
    breaker = half_open(probe_timeout=5)
    probe = Pending(breaker)
    clock.advance(60)
    probe.succeed()
    assert breaker.state == "closed"


def test_an_ignored_exception_gives_the_permit_back_and_changes_nothing(half_open):
    breaker = half_open(ignore=Refused)
    assert run(breaker, *[refusing] * 5) == ["refused"] * 5
    assert (breaker.state, breaker.metrics.ignored) == ("half-open", 5)
    assert run(breaker, working) == ["done"]
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_an_interruption_gives_the_permit_back_and_changes_nothing(half_open, interruption):
    breaker = half_open()

    def interrupted():
        raise interruption

    with pytest.raises(interruption):
        breaker.call(interrupted)
    assert breaker.state == "half-open"
    assert run(breaker, working) == ["done"]


def test_a_predicate_is_not_even_asked_about_an_interruption(half_open):
    asked = []
    breaker = half_open(exceptions=lambda error: asked.append(error) or True)
    asked.clear()
    Pending(breaker).end_with(KeyboardInterrupt())
    assert (asked, breaker.state) == ([], "half-open")


# Late results


def test_a_result_that_began_before_the_opening_is_discarded(make):
    breaker = make(fail_threshold=2)
    early_bad, early_good = Pending(breaker), Pending(breaker)
    trip(breaker)
    opened = breaker.changes[-1]
    early_good.succeed()
    early_bad.fail()
    assert breaker.changes[-1] is opened
    assert breaker.metrics.discarded == 2


def test_a_success_that_began_before_the_opening_does_not_close_the_half_open_circuit(make, clock):
    breaker = make(fail_threshold=1, half_open_successes=2)
    early = Pending(breaker)
    trip(breaker)
    clock.advance(10)
    run(breaker, working)
    early.succeed()
    assert breaker.state == "half-open"


def test_a_failure_that_began_before_the_opening_does_not_open_the_half_open_circuit(make, clock):
    breaker = make(fail_threshold=1)
    early = Pending(breaker)
    trip(breaker)
    clock.advance(10)
    probe = Pending(breaker)
    early.fail()
    assert breaker.state == "half-open"
    probe.succeed()
    assert breaker.state == "closed"


def test_a_failure_from_an_earlier_closed_period_does_not_count_in_the_next(make, clock):
    breaker = make(fail_threshold=1)
    early = Pending(breaker)
    trip(breaker)
    clock.advance(10)
    run(breaker, working)
    early.fail()
    assert breaker.state == "closed"


def test_a_late_result_that_would_be_ignored_gives_back_nothing(make, clock):
    breaker = make(fail_threshold=1)
    early = Pending(breaker)
    trip(breaker)
    clock.advance(10)
    probe = Pending(breaker)
    early.end_with(asyncio.CancelledError())
    assert run(breaker, working) == ["rejected"]
    probe.succeed()


def test_a_reset_discards_what_is_under_way(make):
    breaker = make(fail_threshold=1)
    early = Pending(breaker)
    breaker.reset()
    early.fail()
    assert breaker.state == "closed"


def test_in_real_threads_a_late_result_is_discarded(make):
    breaker = make(fail_threshold=1)
    entered, release = threading.Event(), threading.Event()

    def late():
        entered.set()
        assert release.wait(PATIENCE)
        return "done"

    with threads(1, lambda _: run(breaker, late)):
        assert entered.wait(PATIENCE)
        trip(breaker)
        release.set()
    assert (breaker.state, breaker.metrics.discarded) == ("open", 1)


def test_a_caller_that_waited_for_the_lock_while_the_circuit_closed_is_let_in(half_open, clock):
    breaker = half_open(slow_call=5, fail_threshold=1)
    probe = Pending(breaker)
    lock = breaker._lock

    class Contended:
        def __enter__(self):
            breaker._lock = lock
            probe.succeed()
            return lock.__enter__()

        def __exit__(self, *exc_info):
            lock.__exit__(*exc_info)

    breaker._lock = Contended()
    assert run(breaker, working) == ["done"]
    assert (breaker.state, breaker.metrics.slow) == ("closed", 0)


# Which exceptions and which results count


def test_ignored_exceptions_neither_count_nor_begin_the_row_anew(make):
    breaker = make(fail_threshold=3, ignore=Refused)
    run(breaker, failing, failing, refusing, refusing, refusing, refusing)
    assert (breaker.state, breaker.metrics.failures_in_a_row) == ("closed", 2)
    run(breaker, failing)
    assert breaker.state == "open"


def test_ignored_exceptions_are_in_no_window(make):
    breaker = make(window=CountWindow(4), ignore=Refused)
    run(breaker, *[refusing] * 10)
    assert breaker.metrics.calls_in_window == 0


def test_only_the_exceptions_that_were_named_count(make):
    breaker = make(fail_threshold=1, exceptions=(ConnectionError, TimeoutError))
    run(breaker, failing)
    assert breaker.state == "closed"

    def time_out():
        raise TimeoutError

    with pytest.raises(TimeoutError):
        breaker.call(time_out)
    assert breaker.state == "open"


def test_a_predicate_decides_which_exceptions_count(make):
    def fail(code):
        raise Broken(code)

    def server_error(error):
        return isinstance(error, Broken) and error.args[0] >= 500

    for options in ({"exceptions": server_error}, {"ignore": lambda error: not server_error(error)}):
        breaker = make(fail_threshold=1, **options)
        with pytest.raises(Broken):
            breaker.call(fail, 404)
        assert breaker.state == "closed"
        with pytest.raises(Broken):
            breaker.call(fail, 503)
        assert breaker.state == "open"


def test_ignore_wins_over_exceptions(make):
    breaker = make(
        fail_threshold=1, exceptions=OSError, ignore=[FileNotFoundError, lambda error: error.errno == 5]
    )
    for error in (FileNotFoundError(), OSError(5, "…")):
        with pytest.raises(OSError):  # noqa: PT011
            breaker.call(lambda error=error: (_ for _ in ()).throw(error))
    assert breaker.state == "closed"
    with pytest.raises(PermissionError):
        breaker.call(lambda: (_ for _ in ()).throw(PermissionError()))
    assert breaker.state == "open"


def test_a_result_can_be_a_failure_and_is_returned_all_the_same(make):
    breaker = make(fail_threshold=2, failed_result=lambda status: status >= 500)
    assert run(breaker, lambda: 503, lambda: 404, lambda: 503, lambda: 500, lambda: 200) == [
        "503",
        "404",
        "503",
        "500",
        "rejected",
    ]


@pytest.mark.parametrize("option", ["failed_result", "exceptions", "ignore"])
def test_a_predicate_that_fails_costs_no_permit(half_open, option):
    def mistaken(_):
        raise ZeroDivisionError

    breaker = half_open(fail_threshold=1)
    broken = CircuitBreaker(clock=breaker._clock, state="half-open", **{option: mistaken})
    with pytest.raises(ZeroDivisionError):
        broken.call(working if option == "failed_result" else failing)
    assert broken.retry_after == 0
    assert (broken.state, broken.metrics.ignored) == ("half-open", 1)


# Windows and rates


def test_over_a_count_window_the_circuit_opens_at_its_failure_rate(make):
    breaker = make(window=CountWindow(10), failure_rate=0.5)
    run(breaker, *[failing] * 4, *[working] * 5)
    assert breaker.state == "closed"
    run(breaker, failing)
    assert (breaker.state, reasons(breaker)[-1]) == ("open", "failure-rate")


def test_no_rate_is_judged_below_the_minimum_of_calls(make):
    breaker = make(window=CountWindow(10), failure_rate=0.5, minimum_calls=4)
    run(breaker, failing, failing, failing)
    assert breaker.state == "closed"
    run(breaker, working)
    assert breaker.state == "open", "three of four, and it is the success that makes them enough"


@pytest.mark.parametrize(
    ("window", "minimum"), [(CountWindow(4), 4), (CountWindow(50), 10), (TimeWindow(60), 10)]
)
def test_the_minimum_that_nobody_gave_is_ten_or_what_the_window_holds(make, window, minimum):
    breaker = make(window=window)
    run(breaker, *[failing] * (minimum - 1))
    assert breaker.state == "closed"
    run(breaker, failing)
    assert breaker.state == "open"


def test_a_count_window_forgets_the_call_before_its_first(make):
    breaker = make(window=CountWindow(4), failure_rate=0.5)
    run(breaker, failing, working, working, working)
    run(breaker, working)  # the failure leaves
    run(breaker, failing)
    assert (breaker.state, breaker.metrics.failure_rate) == ("closed", 0.25)
    run(breaker, working, working, working)
    assert breaker.metrics.failures_in_window == 1, "the fourth last is still in"
    run(breaker, working)
    assert breaker.metrics.failures_in_window == 0
    run(breaker, failing, failing)
    assert breaker.state == "open"


@pytest.mark.parametrize(
    ("failures", "calls", "rate"), [(3, 10, 0.3), (1, 10, 0.1), (7, 100, 0.07), (2, 3, 2 / 3)]
)
def test_a_rate_is_reached_exactly_whatever_floats_make_of_it(make, failures, calls, rate):
    breaker = make(window=CountWindow(calls), minimum_calls=calls, failure_rate=rate)
    run(breaker, *[failing] * (failures - 1), *[working] * (calls - failures), failing)
    assert breaker.state == "open"
    below = make(window=CountWindow(calls), minimum_calls=calls, failure_rate=rate)
    run(below, *[failing] * (failures - 1), *[working] * (calls - failures + 1))
    assert below.state == "closed"


def test_a_time_window_forgets_what_ended_exactly_so_long_ago(make, clock):
    breaker = make(window=TimeWindow(10), failure_rate=1.0, minimum_calls=2)
    run(breaker, failing)
    clock.advance(9.999999999)
    assert breaker.metrics.calls_in_window == 1
    clock.advance(0.000000001)
    assert breaker.metrics.calls_in_window == 0
    run(breaker, failing)
    assert breaker.state == "closed"
    clock.advance(9.999999999)
    run(breaker, failing)
    assert breaker.state == "open"


def test_a_time_window_holds_a_call_from_its_end_on_and_not_from_its_beginning(make, clock):
    breaker = make(window=TimeWindow(10), minimum_calls=2)
    long = Pending(breaker)
    clock.advance(100)
    long.fail()
    clock.advance(9)
    assert breaker.metrics.failures_in_window == 1


def test_tenths_of_a_second_add_up_in_a_time_window(make, clock):
    breaker = make(window=TimeWindow(1), minimum_calls=5)
    for _ in range(30):
        run(breaker, working)
        clock.advance(0.1)
    assert breaker.metrics.calls_in_window == 9
    clock.advance(0.8)
    assert breaker.metrics.calls_in_window == 1


def test_a_window_starts_empty_after_the_circuit_closes(half_open):
    breaker = half_open(window=CountWindow(4))
    run(breaker, working)
    assert breaker.state == "closed"
    assert breaker.metrics.calls_in_window == 0
    assert breaker.metrics.failure_rate is None
    assert breaker.metrics.slow_rate is None


def slow(clock, seconds, then=working):
    def call():
        clock.advance(seconds)
        return then()

    return call


def test_slow_calls_open_it_at_their_rate(make, clock):
    breaker = make(window=CountWindow(4), slow_call=2, slow_rate=0.75, failure_rate=1)
    run(breaker, slow(clock, 2), slow(clock, 5), slow(clock, 1.999999999), working)
    assert (breaker.state, breaker.metrics.slow_rate) == ("closed", 0.5)
    run(breaker, slow(clock, 2), slow(clock, 2))
    assert breaker.state == "closed", "the two oldest have left"
    run(breaker, slow(clock, 2))
    assert (breaker.state, reasons(breaker)[-1]) == ("open", "slow-rate")


def test_slow_calls_open_it_over_a_time_window_too(make, clock):
    breaker = make(window=TimeWindow(10), slow_call=2, minimum_calls=3)
    run(breaker, slow(clock, 2), working)
    clock.advance(10)
    run(breaker, slow(clock, 2), working)
    assert breaker.state == "closed"
    run(breaker, slow(clock, 2))
    assert (breaker.state, reasons(breaker)[-1]) == ("open", "slow-rate")


def test_a_slow_failure_is_slow_and_a_failure(make, clock):
    breaker = make(window=CountWindow(4), slow_call=2)
    run(breaker, slow(clock, 2, failing))
    assert (breaker.metrics.failures, breaker.metrics.slow) == (1, 1)
    assert (breaker.metrics.failure_rate, breaker.metrics.slow_rate) == (1, 1)


def test_without_a_window_a_slow_call_is_as_bad_as_a_failure(make, clock):
    breaker = make(fail_threshold=2, slow_call=2)
    assert run(breaker, slow(clock, 2), failing, working) == ["done", "broken", "rejected"]


def test_a_slow_probe_opens_it_again(half_open, clock):
    breaker = half_open(slow_call=2)
    assert run(breaker, slow(clock, 2)) == ["done"]
    assert (breaker.state, reasons(breaker)[-1]) == ("open", "probe-slow")


def test_an_ignored_slow_call_is_not_slow(make, clock):
    breaker = make(fail_threshold=1, slow_call=2, ignore=Refused)
    run(breaker, slow(clock, 60, refusing))
    assert (breaker.state, breaker.metrics.slow) == ("closed", 0)


# Clocks


def test_a_wall_clock_set_back_an_hour_changes_nothing(make, monkeypatch):
    """It is never read: whoever asks for the date or the time fails the test."""

    def read(*_):
        raise AssertionError("the wall clock was read")

    for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime"):
        monkeypatch.setattr(time, name, read)
    forbidden = type("datetime", (datetime.datetime,), {"now": read, "utcnow": read, "today": read})
    monkeypatch.setattr(datetime, "datetime", forbidden)
    monotonic = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: monotonic[0])
    for window in (None, CountWindow(4), TimeWindow(60)):
        breaker = CircuitBreaker("pagos", window=window, slow_call=5, clock=lambda: time.monotonic())
        trip(breaker)
        assert run(breaker, working) == ["rejected"]
        monotonic[0] += 10
        assert run(breaker, working) == ["done"]
        assert [change.t for change in breaker.changes[1:]] == [monotonic[0] - 10, monotonic[0], monotonic[0]]
        assert breaker.metrics.rejected == 1


def test_by_default_the_clock_is_the_monotonic_one():
    assert CircuitBreaker()._clock is time.monotonic


# The call runs outside the lock


def test_ten_calls_at_once_through_a_closed_circuit_overlap(make):
    breaker = make()
    all_inside = threading.Barrier(10)
    outcomes = []

    def call():
        all_inside.wait(PATIENCE)  # breaks, and fails the call, unless all ten are inside at once
        return "done"

    with threads(10, lambda _: outcomes.extend(run(breaker, call))):
        pass
    assert outcomes == ["done"] * 10


def test_a_call_can_use_its_own_breaker(make):
    breaker = make()
    assert breaker.call(lambda: (breaker.call(working), breaker.state, breaker.metrics.successes)) == (
        "done",
        "closed",
        1,
    )
    breaker.call(breaker.force_open)
    assert breaker.state == "forced-open"


def test_no_result_is_lost_between_threads(make):
    breaker = make(window=CountWindow(100_000), minimum_calls=100_000)
    start = threading.Barrier(8)

    def caller(index):
        start.wait(PATIENCE)
        run(breaker, *[failing if index % 2 else working] * 500)

    with threads(8, caller):
        pass
    metrics = breaker.metrics
    assert (metrics.successes, metrics.failures, metrics.calls_in_window) == (2000, 2000, 4000)


# Async


def test_acall_gives_what_the_coroutine_gives(make):
    async def double(number, *, plus=0):
        return 2 * number + plus

    breaker = make()
    assert asyncio.run(breaker.acall(double, 4, plus=1)) == 9
    assert breaker.metrics.successes == 1


def test_acall_takes_whatever_makes_something_to_await(make):
    async def double(number):
        return 2 * number

    async def main():
        breaker = make()
        return [
            await breaker.acall(lambda: double(1)),
            await breaker.acall(functools.partial(double, 2)),
            await breaker.acall(lambda: asyncio.ensure_future(double(3))),
            await breaker.acall(AsyncMock(return_value=8)),
        ]

    assert asyncio.run(main()) == [2, 4, 6, 8]


def test_acall_counts_failures_and_refuses(make):
    async def fail():
        raise Broken

    async def main():
        breaker = make(fail_threshold=2)
        outcomes = []
        for _ in range(4):
            try:
                await breaker.acall(fail)
            except (Broken, CircuitOpenError) as error:
                outcomes.append(type(error))
        return outcomes

    assert asyncio.run(main()) == [Broken, Broken, CircuitOpenError, CircuitOpenError]


def test_a_cancelled_async_call_gives_the_permit_back_and_changes_nothing(half_open):
    breaker = half_open()

    async def main():
        entered = asyncio.Event()

        async def hang():
            entered.set()
            await asyncio.Event().wait()

        for _ in range(3):
            entered.clear()
            probe = asyncio.create_task(breaker.acall(hang))
            await entered.wait()
            with pytest.raises(CircuitOpenError):
                await breaker.acall(asyncio.sleep, 0)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert breaker.state == "half-open"
            assert breaker.retry_after == 0
        await breaker.acall(asyncio.sleep, 0)

    asyncio.run(main())
    assert breaker.state == "closed"
    assert breaker.metrics.ignored == 3


def test_a_cancelled_async_block_gives_the_permit_back(half_open):
    breaker = half_open()

    async def main():
        entered = asyncio.Event()

        async def block():
            async with breaker:
                entered.set()
                await asyncio.Event().wait()

        probe = asyncio.create_task(block())
        await entered.wait()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

    asyncio.run(main())
    assert (breaker.state, breaker.retry_after) == ("half-open", 0)


def test_a_coroutine_that_is_thrown_away_gives_the_permit_back(half_open):
    breaker = half_open()
    pending = Pending(breaker)
    assert run(breaker, working) == ["rejected"]
    pending.throw_away()
    assert run(breaker, working) == ["done"]


def test_a_call_that_was_never_awaited_takes_no_permit(half_open):
    breaker = half_open()
    breaker.acall(AsyncMock()).close()
    assert run(breaker, working) == ["done"]


def test_a_time_limit_inside_counts_and_outside_does_not(make):
    """Why the timeout belongs inside: outside, it is a cancellation, and says nothing of the service."""

    async def hang():
        await asyncio.Event().wait()

    async def inside(breaker):
        async def limited():
            async with asyncio.timeout(0):
                await hang()

        await breaker.acall(limited)

    async def outside(breaker):
        async with asyncio.timeout(0):
            await breaker.acall(hang)

    async def main(form):
        breaker = make(fail_threshold=2)
        for _ in range(5):
            with pytest.raises((TimeoutError, CircuitOpenError)):
                await form(breaker)
        return breaker.state

    assert asyncio.run(main(inside)) == "open"
    assert asyncio.run(main(outside)) == "closed"


# Decorator and blocks


def test_as_a_decorator_of_functions_methods_and_coroutine_functions(make):
    breaker = make(fail_threshold=2)

    @breaker
    def double(number):
        """Twice as much."""
        return 2 * number

    class Shop:
        @breaker
        def price(self, title):
            return len(title)

        @breaker
        async def fail(self):
            raise Broken

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Twice as much.")
    assert Shop().price("Rayuela") == 7
    for _ in range(2):
        with pytest.raises(Broken):
            asyncio.run(Shop().fail())
    with pytest.raises(CircuitOpenError):
        double(4)


def test_a_decorator_can_be_made_in_place():
    @CircuitBreaker("pagos", fail_threshold=1)
    def fail():
        raise Broken

    assert [outcome(fail), outcome(fail)] == ["broken", "rejected"]


def test_as_a_block(make):
    breaker = make(fail_threshold=2)
    for _ in range(2):
        with pytest.raises(Broken), breaker:
            raise Broken
    entered = False
    with pytest.raises(CircuitOpenError), breaker:
        entered = True
    assert not entered


def test_as_an_async_block(make):
    breaker = make(fail_threshold=1)

    async def main():
        async with breaker:
            await asyncio.sleep(0)
        with pytest.raises(Broken):
            async with breaker:
                raise Broken
        with pytest.raises(CircuitOpenError):
            async with breaker:
                pass

    asyncio.run(main())
    assert breaker.metrics.successes == 1


def test_blocks_nest_also_of_several_breakers(make):
    outer, inner = make(slow_call=5), make(slow_call=5)
    with outer, inner, outer:
        pass
    assert (outer.metrics.successes, inner.metrics.successes) == (2, 1)


def test_a_block_inside_a_block_of_the_same_breaker_has_its_own_duration(make, clock):
    breaker = make(slow_call=5)
    with breaker:
        clock.advance(5)
        with breaker:
            pass
        assert breaker.metrics.slow == 0
    assert breaker.metrics.slow == 1


def test_blocks_of_tasks_and_threads_do_not_meet(make, clock):
    breaker = make(slow_call=5)

    async def main():
        first_in, second_in = asyncio.Event(), asyncio.Event()

        async def first():
            async with breaker:
                first_in.set()
                await second_in.wait()
            assert breaker.metrics.slow == 1, "it began ten seconds ago"

        async def second():
            await first_in.wait()
            clock.advance(10)
            async with breaker:
                second_in.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert breaker.metrics.slow == 1, "it has only begun"

        await asyncio.gather(first(), second())

    asyncio.run(main())
    with breaker:
        with threads(1, lambda _: breaker.__enter__().__exit__(None, None, None)):
            pass
    assert breaker.metrics.successes == 4


def test_a_block_closed_in_another_context_is_told(make):
    breaker = make()
    said = []

    def close(_):
        try:
            breaker.__exit__(None, None, None)
        except RuntimeError as error:
            said.append(str(error))

    with breaker:
        with threads(1, close):
            pass
    assert "otro contexto" in said[0]


# By hand


def test_forced_open_refuses_until_it_is_reset_however_long_that_takes(make, clock):
    breaker = make()
    breaker.force_open()
    clock.advance(1e6)
    assert run(breaker, working) == ["rejected"]
    breaker.reset()
    assert run(breaker, working) == ["done"]
    assert reasons(breaker) == ["created", "by-hand", "by-hand"]


def test_disabled_lets_everything_through_and_never_opens(make):
    breaker = make(fail_threshold=1)
    trip(breaker)
    breaker.disable()
    assert run(breaker, *[failing] * 10, working) == ["broken"] * 10 + ["done"]
    assert (breaker.state, breaker.metrics.failures) == ("disabled", 11)
    breaker.reset()
    run(breaker, failing)
    assert breaker.state == "open"


@pytest.mark.parametrize("by_hand", ["force_open", "disable", "reset"])
def test_by_hand_twice_is_one_change(make, by_hand):
    breaker = make(state="half-open")
    getattr(breaker, by_hand)()
    getattr(breaker, by_hand)()
    assert len(breaker.changes) == 2


def test_a_reset_of_a_closed_circuit_forgets_the_row(make):
    breaker = make(fail_threshold=3)
    run(breaker, failing, failing)
    breaker.reset()
    run(breaker, failing, failing)
    assert (states(breaker), breaker.metrics.failures_in_a_row) == (["closed"], 2)


def test_a_reset_while_a_probe_runs_discards_it(half_open):
    breaker = half_open()
    probe = Pending(breaker)
    breaker.reset()
    probe.fail()
    assert (breaker.state, breaker.metrics.discarded) == ("closed", 1)


@pytest.mark.parametrize("state", STATES)
def test_it_can_begin_in_any_state(make, clock, state):
    breaker = make(state=state, reset_timeout=10)
    assert states(breaker) == [state]
    first = run(breaker, working)
    assert first == (["rejected"] if state in ("open", "forced-open") else ["done"])
    clock.advance(10)
    run(breaker, working)
    assert breaker.state == (state if state in ("forced-open", "disabled") else "closed")


# Events, listeners, metrics


def test_every_change_and_every_refusal_is_an_event(make, clock):
    events = []
    breaker = make(fail_threshold=1, reset_timeout=10, listeners=[events.append])
    clock.advance(1)
    run(breaker, failing, working)
    clock.advance(10.5)
    run(breaker, working)
    assert events == [
        StateChange(1000, "pagos", "closed", None, "created"),
        StateChange(1001, "pagos", "open", "closed", "failures-in-a-row"),
        Rejection(1001, "pagos", "open", 10),
        StateChange(1011.5, "pagos", "half-open", "open", "timeout-over"),
        StateChange(1011.5, "pagos", "closed", "half-open", "probes-succeeded"),
    ]
    assert breaker.changes == tuple(event for event in events if isinstance(event, StateChange))
    assert breaker.rejections == tuple(event for event in events if isinstance(event, Rejection))


def test_an_event_unpacks_as_time_machine_and_state(make):
    [(t, machine, state)] = make().changes
    assert (t, machine, state) == (1000, "pagos", "closed")


def test_an_event_reads_as_a_line_without_times(half_open):
    events = []
    breaker = half_open(fail_threshold=1, listeners=[events.append])
    probe = Pending(breaker)
    run(breaker, working)
    breaker.disable()
    probe.succeed()
    assert list(map(str, events)) == [
        "pagos: empieza closed",
        "pagos: closed → open (fallos seguidos)",
        "pagos: open → half-open (toca probar)",
        "pagos: rechaza una llamada (half-open)",
        "pagos: half-open → disabled (a mano)",
    ]


def test_every_reason_has_its_words():
    from typing import get_args

    from labkit.patterns.circuit_breaker.events import Reason
    from labkit.patterns.circuit_breaker.messages import REASONS

    assert set(REASONS) == set(get_args(Reason)) - {"created"}


def test_a_listener_that_fails_is_logged_and_nobody_else_notices(make, caplog):
    heard = []

    def mistaken(event):
        raise ZeroDivisionError

    breaker = make(fail_threshold=1, listeners=[mistaken, heard.append])
    with caplog.at_level(logging.ERROR, logger=circuit_breaker.__name__):
        assert run(breaker, failing, working) == ["broken", "rejected"]
    assert len(heard) == 3
    assert "«pagos»" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_listener_may_use_the_breaker_and_hears_things_in_order(make):
    heard = []

    def undo(event):
        heard.append(event.state)
        if event.state == "open":
            breaker.reset()
            assert breaker.state == "closed"
            heard.append("reset returned")

    breaker = make(fail_threshold=1)
    breaker.add_listener(undo)
    run(breaker, failing)
    assert heard == ["open", "reset returned", "closed"]


def test_a_listener_that_blocks_delays_no_other_caller(make):
    blocked, release = threading.Event(), threading.Event()
    heard = []

    def block(event):
        heard.append(event.state)
        blocked.set()
        assert release.wait(PATIENCE)

    breaker = make(fail_threshold=1)
    breaker.add_listener(block)
    with threads(1, lambda _: run(breaker, failing)):
        assert blocked.wait(PATIENCE)
        assert run(breaker, working, working) == ["rejected", "rejected"]
        release.set()
    assert heard == ["open", "open", "open"], "what happened meanwhile is delivered afterwards"


def test_listeners_come_and_go(make):
    heard = []
    breaker = make()
    breaker.add_listener(heard.append)
    breaker.force_open()
    breaker.remove_listener(heard.append)
    breaker.reset()
    assert [event.state for event in heard] == ["forced-open"]
    with pytest.raises(ValueError, match="no está entre los de «pagos»"):
        breaker.remove_listener(heard.append)


def test_events_of_many_threads_are_heard_in_the_order_in_which_they_happened(make):
    heard = []
    breaker = make(fail_threshold=1)
    breaker.add_listener(heard.append)
    start = threading.Barrier(8)

    def caller(_):
        start.wait(PATIENCE)
        for _ in range(30):
            run(breaker, failing)
            breaker.reset()

    with threads(8, caller):
        pass
    changes = [event for event in heard if isinstance(event, StateChange)]
    assert changes == list(breaker.changes[1:])
    assert all(after.previous == before.state for before, after in itertools.pairwise(changes))


def test_the_memory_of_events_is_bounded(make):
    breaker = make(state="open")
    run(breaker, *[working] * 1500)
    assert len(breaker.rejections) == 1000
    assert breaker.metrics.rejected == 1500
    for _ in range(600):
        breaker.disable()
        breaker.reset()
    assert len(breaker.changes) == 1000


def test_metrics_count_what_became_of_every_call(half_open, clock):
    breaker = half_open(fail_threshold=2, slow_call=1, ignore=Refused, probe_timeout=5)
    hung = Pending(breaker)
    clock.advance(5)
    run(breaker, working, refusing, slow(clock, 1), failing, working, working)
    hung.succeed()
    assert breaker.metrics == Metrics(
        successes=2,
        failures=3,
        slow=1,
        ignored=1,
        discarded=1,
        rejected=2,
        opened=2,
        recovered=1,
        failures_in_a_row=0,
        calls_in_window=0,
        failures_in_window=0,
        slow_in_window=0,
    )


# The package


def test_the_core_needs_the_standard_library_only():
    code = (
        "import sys, labkit.patterns.circuit_breaker as p; p.CircuitBreaker().call(int);"
        "print(*sorted({'flask', 'aiohttp', 'requests', 'werkzeug'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stdout.strip() == ""


def test_every_public_name_is_there_and_no_other():
    for name in circuit_breaker.__all__:
        assert getattr(circuit_breaker, name) is not None
    with pytest.raises(AttributeError, match="nobody"):
        circuit_breaker.nobody


def test_a_traceback_shows_the_call_and_not_the_machinery_of_the_refusal(make):
    """A learner reads it: it must be short."""
    with pytest.raises(CircuitOpenError) as caught:
        make(state="open").call(working)
    assert len(traceback.extract_tb(caught.value.__traceback__)) <= 3
    assert caught.value.__context__ is None


def test_a_breaker_holds_nothing_of_the_results(make):
    breaker = make(window=CountWindow(4))
    gone = weakref.ref(breaker.call(Broken))
    gc.collect()
    assert gone() is None
