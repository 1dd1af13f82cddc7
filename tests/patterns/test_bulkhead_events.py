"""What a bulkhead tells: events, records of calls, metrics."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from bulkhead_support import Inside, all_permits_are_there, held, in_threads
from discovery_support import ManualClock
from support import PATIENCE, eventually

from labkit.patterns.bulkhead import (
    Bulkhead,
    BulkheadFullError,
    Outcome,
    calls,
)


def test_events_tell_of_each_admission_and_each_end():
    events, clock = [], ManualClock(1000.0)
    bulkhead = Bulkhead(1, name="pagos", clock=clock, listener=events.append)
    bulkhead.call(clock.advance, 2)
    with pytest.raises(ZeroDivisionError):
        bulkhead.call(lambda: 1 // 0)
    with held(bulkhead), pytest.raises(BulkheadFullError):
        bulkhead.call(int)
    bulkhead.limit = 2
    assert [(event.kind, event.name, event.outcome, event.in_use) for event in events] == [
        ("admitted", "1", None, 1),
        ("released", "1", "ok", 0),
        ("admitted", "2", None, 1),
        ("released", "2", "error", 0),
        ("admitted", "3", None, 1),
        ("rejected", "4", "rechazada", 1),
        ("released", "3", "ok", 0),
        ("limit", "", None, 0),
    ]
    first = events[1]
    assert (first.arrival, first.start, first.end, first.t) == (1000, 1000, 1002, 1002)
    assert (first.bulkhead, first.worker) == ("pagos", threading.current_thread().name)
    assert isinstance(events[3].error, ZeroDivisionError)
    assert events[-1].limit == 2


def test_one_record_for_each_call_as_figures_want_them():
    events, clock = [], ManualClock(1000.0)
    bulkhead = Bulkhead(1, max_wait=PATIENCE, max_queue=1, clock=clock, listener=events.append)
    with ThreadPoolExecutor(1) as other:
        with held(bulkhead):
            waiting = other.submit(bulkhead.call, clock.advance, 3)
            eventually(lambda: bulkhead.waiting == 1)
            with pytest.raises(BulkheadFullError):
                bulkhead.call(int)
            clock.advance(1)
        waiting.result(PATIENCE)
    running = bulkhead.acquire()
    records = [(r.arrival, r.start, r.end, r.outcome) for r in calls(events)]
    assert records == [
        (1000, 1000, 1001, Outcome.OK),
        (1000, 1001, 1004, Outcome.OK),
        (1000, None, 1000, Outcome.REJECTED),
        (1004, 1004, None, None),
    ]
    running.release()


def test_events_come_in_order_and_one_at_a_time_under_many_threads():
    events, inside = [], Inside()

    def listen(event):
        with inside:
            events.append(event)

    bulkhead = Bulkhead(3, max_wait=PATIENCE, listener=listen)
    in_threads(50, lambda _: [bulkhead.call(int) for _ in range(10)])
    assert inside.most == 1
    assert len(events) == 1000
    in_use = 0
    for event in events:
        in_use += {"admitted": 1, "released": -1}[event.kind]
        assert event.in_use == in_use <= 3


def test_a_listener_may_use_the_bulkhead_and_may_fail(caplog):
    bulkhead = Bulkhead(2)
    seen = []

    def listen(event):
        seen.append(event.kind)
        if len(seen) == 1:
            bulkhead.call(int)
        raise ValueError("a propósito")

    bulkhead = Bulkhead(2, listener=listen)
    assert bulkhead.call(lambda: "hecho") == "hecho"
    assert seen == ["admitted", "admitted", "released", "released"]
    assert "a propósito" in caplog.text
    assert all_permits_are_there(bulkhead)


def test_metrics_count_what_became_of_each_call():
    clock = ManualClock(1000.0)
    bulkhead = Bulkhead(2, clock=clock)
    bulkhead.call(clock.advance, 3)
    with pytest.raises(ZeroDivisionError):
        bulkhead.call(lambda: 1 // 0)
    with held(bulkhead, 2), pytest.raises(BulkheadFullError):
        bulkhead.call(int)
    metrics = bulkhead.metrics()
    assert (metrics.limit, metrics.in_use, metrics.waiting) == (2, 0, 0)
    assert (metrics.accepted, metrics.completed, metrics.failed) == (4, 3, 1)
    assert (metrics.rejected, metrics.abandoned, metrics.max_in_use) == (1, 0, 2)
    assert metrics.busy == 3
