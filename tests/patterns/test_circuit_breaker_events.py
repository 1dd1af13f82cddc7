"""What a breaker tells: events, listeners, metrics."""

import itertools
import logging
import threading

import pytest
from breaker_support import PATIENCE, ManualClock, Pending, Refused, run, slow, threads
from breaker_support import fail as failing
from breaker_support import refuse as refusing
from breaker_support import work as working

from labkit.patterns import circuit_breaker
from labkit.patterns.circuit_breaker import (
    Metrics,
    Rejection,
    StateChange,
)


@pytest.fixture
def clock():
    return ManualClock(1000.0)


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
