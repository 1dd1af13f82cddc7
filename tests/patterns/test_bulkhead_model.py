"""Arrivals, ends, cancellations and changes in any order, against the rules of the gate."""

import asyncio

import pytest
from discovery_support import ManualClock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import soak

from labkit.patterns.bulkhead import (
    BulkheadFullError,
)
from labkit.patterns.bulkhead.gate import Gate, State


class GateMachine(RuleBasedStateMachine):
    """Arrivals, ends, cancellations, changes of limit and time in any order, on a clock wound by hand."""

    MAX_WAIT, MAX_QUEUE = 10, 4

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(1000.0)
        self.events = []
        self.gate = Gate(
            2,
            name="pagos",
            clock=self.clock,
            listener=self.events.append,
            max_wait=self.MAX_WAIT,
            max_queue=self.MAX_QUEUE,
        )
        self.spies = []  # admissions for which nobody waits: they are noted as told
        self.told = set()
        self.largest = 2  # the limit since nobody was inside

    def spies_in(self, state):
        return [spy for spy in self.spies if spy.state is state]

    @rule()
    def arrive(self):
        spy = self.gate._new_permit()
        spy.notify = lambda: self.told.add(spy)
        full = self.gate.in_use >= self.gate.limit
        queue = len(self.gate._queue)
        try:
            at_once = self.gate._arrive(spy)
        except BulkheadFullError:
            assert full
            assert queue == self.MAX_QUEUE
            assert spy.state is State.DONE
        else:
            assert at_once == (not full)
        self.spies.append(spy)

    @precondition(lambda self: self.gate.in_use)
    @rule(data=st.data(), error=st.sampled_from([None, ValueError(), asyncio.CancelledError()]))
    def end(self, data, error):
        first = self.spies_in(State.QUEUED)[:1]
        spy = data.draw(st.sampled_from(self.spies_in(State.HELD)))
        self.gate._leave(spy, error)
        self.gate._leave(spy)  # twice does no harm
        if first and self.gate.in_use < self.gate.limit:
            assert first[0].state is not State.QUEUED

    @precondition(lambda self: self.gate._queue)
    @rule(data=st.data())
    def cancel(self, data):
        self.gate._leave(data.draw(st.sampled_from(self.spies_in(State.QUEUED))))

    @precondition(lambda self: self.gate._queue)
    @rule()
    def wake_without_a_permit(self):
        spy = self.spies_in(State.QUEUED)[0]
        with pytest.raises(BulkheadFullError):
            self.gate._settle(spy)

    @rule(limit=st.integers(1, 6))
    def change_limit(self, limit):
        self.gate.limit = limit
        self.largest = max(self.largest, limit)

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def counts_are_true(self):
        metrics = self.gate.metrics()
        held, queued = self.spies_in(State.HELD), self.spies_in(State.QUEUED)
        assert metrics.in_use == len(held)
        assert metrics.waiting == len(queued) <= self.MAX_QUEUE
        assert list(self.gate._queue) == queued
        ended = [spy for spy in self.spies if spy.start is not None and spy.state is State.DONE]
        assert metrics.accepted == len(held) + len(ended)
        assert metrics.rejected + metrics.abandoned + metrics.accepted + len(queued) == len(self.spies)

    @invariant()
    def never_more_than_the_limit(self):
        if not self.gate.in_use:
            self.largest = self.gate.limit
        assert self.gate.in_use <= self.largest

    @invariant()
    def nobody_waits_while_a_permit_is_free(self):
        assert not self.gate._queue or self.gate.in_use >= self.gate.limit

    @invariant()
    def first_come_first_served_and_none_after_its_time(self):
        admitted = [event for event in self.events if event.kind == "admitted"]
        starts = [int(event.name) for event in admitted]
        assert starts == sorted(starts)
        assert all(event.start - event.arrival <= self.MAX_WAIT for event in admitted)

    @invariant()
    def who_waited_was_told(self):
        assert all(spy in self.told for spy in self.spies_in(State.HELD) if spy.start != spy.arrival)


@pytest.mark.parametrize("examples", [10, soak(100)])
def test_the_gate_does_what_its_model_does(examples):
    run_state_machine_as_test(
        GateMachine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
