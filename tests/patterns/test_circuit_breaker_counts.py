"""What counts as a failure, over which window, by which clock."""

import datetime
import time

import pytest
from breaker_support import Broken, Pending, Refused, reasons, run, slow, trip
from breaker_support import fail as failing
from breaker_support import refuse as refusing
from breaker_support import work as working

from labkit.patterns.circuit_breaker import (
    CircuitBreaker,
    CountWindow,
    TimeWindow,
)

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
