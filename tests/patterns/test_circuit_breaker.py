"""The circuit breaker, on a clock wound by hand: its cycle, its refusals, its package."""

import gc
import os
import pickle
import subprocess
import sys
import traceback
import weakref

import pytest
from breaker_support import Broken, Pending, reasons, run, states, trip
from breaker_support import fail as failing
from breaker_support import work as working

from labkit.patterns import circuit_breaker
from labkit.patterns.circuit_breaker import (
    STATES,
    CircuitOpenError,
    CountWindow,
)

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
