"""What a circuit breaker refuses, at the door and with a clear word."""

import asyncio
import functools
import inspect
from unittest.mock import AsyncMock

import pytest
from breaker_support import ManualClock, run, trip
from breaker_support import work as working

from labkit.patterns.circuit_breaker import CircuitBreaker, CountWindow, TimeWindow


@pytest.fixture
def make():
    return functools.partial(CircuitBreaker, "pagos", clock=ManualClock())


@pytest.fixture
def half_open(make):
    """Make a breaker whose next call finds it half-open."""

    def make_it():
        breaker = make()
        trip(breaker)
        breaker._clock.advance(breaker.reset_timeout)
        return breaker

    return make_it


async def a_coroutine():
    pass


def a_generator():
    yield


async def an_async_generator():
    yield


class WithAsyncCall:
    async def __call__(self):
        pass


class WithAsyncMethod:
    async def method(self):
        pass


NUMBERS = [0, -1, "3", None, True, float("nan"), float("inf"), [1]]


@pytest.mark.parametrize("given", [*(n for n in NUMBERS if n is not None), 2.5])
@pytest.mark.parametrize("name", ["fail_threshold", "half_open_permits", "half_open_successes"])
def test_a_count_that_is_none_is_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} vale .*entero de 1 en adelante"):
        CircuitBreaker(**{name: given})


@pytest.mark.parametrize("given", [*(n for n in NUMBERS if n is not None), -0.5])
@pytest.mark.parametrize("name", ["reset_timeout", "max_reset_timeout", "probe_timeout", "slow_call"])
def test_seconds_that_are_none_are_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} vale .*segundos mayor que 0"):
        CircuitBreaker(**{name: given})


@pytest.mark.parametrize("given", [0, -0.5, 1.1, 50, "0.5", True, float("nan")])
@pytest.mark.parametrize("name", ["failure_rate", "slow_rate"])
def test_a_fraction_that_is_none_is_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} vale .*fracción"):
        CircuitBreaker(window=CountWindow(10), slow_call=1, **{name: given})


@pytest.mark.parametrize("given", [*NUMBERS, 2.5])
def test_windows_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="calls vale"):
        CountWindow(given)
    if given != 2.5:
        with pytest.raises(ValueError, match="seconds vale"):
            TimeWindow(given)


@pytest.mark.parametrize("given", [10, 10.0, "10", "count", CountWindow])
def test_what_is_no_window_is_refused(given):
    with pytest.raises(TypeError, match="CountWindow"):
        CircuitBreaker(window=given)


@pytest.mark.parametrize("given", [0, -3, 2.5, "5"])
def test_a_minimum_of_calls_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match="minimum_calls vale"):
        CircuitBreaker(window=TimeWindow(10), minimum_calls=given)


def test_a_minimum_that_the_window_never_holds_is_refused():
    with pytest.raises(ValueError, match="no se abriría nunca"):
        CircuitBreaker(window=CountWindow(5), minimum_calls=6)


@pytest.mark.parametrize(
    "options", [{"failure_rate": 0.5}, {"minimum_calls": 5}, {"slow_call": 1, "slow_rate": 0.5}]
)
def test_rates_without_a_window_are_refused(options):
    with pytest.raises(ValueError, match=r"necesita|sentido con una ventana"):
        CircuitBreaker(**options)


def test_a_threshold_in_a_row_with_a_window_is_refused():
    with pytest.raises(ValueError, match="fail_threshold cuenta fallos seguidos"):
        CircuitBreaker(fail_threshold=3, window=CountWindow(10))


def test_a_slow_rate_without_knowing_what_is_slow_is_refused():
    with pytest.raises(ValueError, match="slow_call"):
        CircuitBreaker(window=CountWindow(10), slow_rate=0.5)


@pytest.mark.parametrize("given", ["abierto", "OPEN", "half_open", "", None, 1])
def test_an_unknown_state_is_refused_and_the_known_ones_are_named(given):
    with pytest.raises(ValueError, match="«closed», «open», «half-open», «forced-open», «disabled»"):
        CircuitBreaker(state=given)


@pytest.mark.parametrize("given", ["", "  ", 5, b"pagos"])
def test_a_name_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match="name vale"):
        CircuitBreaker(given)


def test_a_state_is_not_set_from_outside(make):
    with pytest.raises(AttributeError):
        make().state = "abierto"


@pytest.mark.parametrize("given", ["ValueError", 5, None, int, a_coroutine, (ValueError, "TimeoutError")])
@pytest.mark.parametrize("name", ["exceptions", "ignore"])
def test_what_is_neither_exception_class_nor_predicate_is_refused(name, given):
    with pytest.raises(TypeError, match=f"{name} contiene"):
        CircuitBreaker(**{name: given})


@pytest.mark.parametrize("given", [BaseException, KeyboardInterrupt, (ValueError, asyncio.CancelledError)])
def test_interruptions_never_count_and_to_ask_for_it_is_refused(given):
    with pytest.raises(TypeError, match="nunca cuenta"):
        CircuitBreaker(exceptions=given)


@pytest.mark.parametrize("given", [5, "x", a_coroutine])
def test_other_functions_that_are_none_are_refused(given):
    with pytest.raises(TypeError, match="failed_result"):
        CircuitBreaker(failed_result=given)
    with pytest.raises(TypeError, match="clock"):
        CircuitBreaker(clock=given)
    with pytest.raises(TypeError, match="oyente"):
        CircuitBreaker(listeners=[given])
    with pytest.raises(TypeError, match="oyente"):
        CircuitBreaker().add_listener(given)


def test_a_listener_instead_of_a_list_of_them_is_told():
    with pytest.raises(TypeError, match="una lista de funciones"):
        CircuitBreaker(listeners=print)


@pytest.mark.parametrize(
    "given",
    [
        a_coroutine,
        functools.partial(a_coroutine),
        functools.partial(functools.partial(a_coroutine)),
        WithAsyncMethod().method,
        WithAsyncCall(),
        AsyncMock(),
    ],
    ids=["function", "partial", "partial of partial", "method", "object", "AsyncMock"],
)
def test_a_coroutine_function_given_to_call_is_refused_before_anything_happens(half_open, given):
    breaker = half_open()
    with pytest.raises(TypeError, match="acall"):
        breaker.call(given)
    assert breaker.state == "open", "it was not even asked for a permit"


def test_a_function_that_returns_a_coroutine_is_told_and_costs_no_permit(half_open):
    breaker = half_open()
    coroutine = a_coroutine()
    with pytest.raises(TypeError, match="acall"):
        breaker.call(lambda: coroutine)
    assert inspect.getcoroutinestate(coroutine) == "CORO_CLOSED", "Python would warn of it much later"
    assert run(breaker, working) == ["done"]


@pytest.mark.parametrize("given", [a_generator, an_async_generator, functools.partial(a_generator)])
def test_a_generator_is_refused(make, given):
    with pytest.raises(TypeError, match="generador"):
        make().call(given)
    with pytest.raises(TypeError, match="generador"):
        make()(given)


@pytest.mark.parametrize("given", [None, 5, "f"])
def test_what_cannot_be_called_is_refused(make, given):
    for form in (make().call, make()):
        with pytest.raises(TypeError, match="no se puede llamar"):
            form(given)
    with pytest.raises(TypeError, match="no se puede llamar"):
        asyncio.run(make().acall(given))


def test_acall_with_nothing_to_await_is_told_and_costs_no_permit(half_open):
    breaker = half_open()
    with pytest.raises(TypeError, match="acall es para corrutinas"):
        asyncio.run(breaker.acall(working))
    assert run(breaker, working) == ["done"]


def test_the_wait_does_not_shrink():
    with pytest.raises(ValueError, match="max_reset_timeout vale 5"):
        CircuitBreaker(reset_timeout=10, max_reset_timeout=5)
    assert CircuitBreaker(reset_timeout=10, max_reset_timeout=10).max_reset_timeout == 10
