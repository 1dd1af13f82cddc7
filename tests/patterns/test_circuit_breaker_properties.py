"""Any sequence of calls, results, delays and interruptions: a breaker does what a plain model of it does.

The model keeps every result of the closed state in a list and counts anew each time; it shares no code with
the breaker. Calls overlap as they like: each is a coroutine that the test drives by hand. Time goes in tenths
of a second, whole numbers in the model, so that results fall on the very edges of windows and timeouts.
"""

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from breaker_support import PATIENCE, ManualClock, Pending, Refused, outcome, run, threads
from breaker_support import fail as failing
from breaker_support import work as working
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import soak

from labkit.patterns.circuit_breaker import (
    CircuitBreaker,
    CircuitOpenError,
    CountWindow,
    StateChange,
    TimeWindow,
)

RESET, PROBE, SLOW = 50, 30, 20  # tenths of a second
MINIMUM, FAILURE_RATE, SLOW_RATE = 3, 0.5, 0.75

NEXT_STATES = {
    "closed": {"open"},
    "open": {"half-open"},
    "half-open": {"open", "closed"},
    "forced-open": set(),
    "disabled": set(),
}
BY_HAND = {"closed", "forced-open", "disabled"}


@dataclass
class Call:
    pending: Pending
    began: int
    era: int
    has_permit: bool = False


@dataclass
class Result:
    t: int
    failed: bool
    slow: bool

    @property
    def bad(self) -> bool:
        return self.failed or self.slow


@dataclass
class Model:
    window: CountWindow | TimeWindow | None
    permits: int
    successes: int
    now: int = 0
    state: str = "closed"
    era: int = 0
    entered: int = 0
    good_probes: int = 0
    results: list[Result] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ["successes", "failures", "slow", "ignored", "discarded", "rejected", "recovered", "opened"], 0
        )
    )

    def enter(self, state: str) -> None:
        self.state, self.entered, self.era = state, self.now, self.era + 1
        self.good_probes, self.results = 0, []
        for call in self.calls:
            call.has_permit = False
        self.counts["opened"] += state == "open"

    @property
    def probes(self) -> list[Call]:
        return [call for call in self.calls if call.has_permit]

    @property
    def hung(self) -> list[Call]:
        return [call for call in self.probes if self.now - call.began >= PROBE]

    def room(self) -> bool:
        """In half-open, before hung probes are looked at."""
        whole = len(self.probes) + self.good_probes < max(self.permits, self.successes)
        return whole and len(self.probes) < self.permits

    def lets_in(self) -> bool:
        if self.state == "open":
            return self.now - self.entered >= RESET
        if self.state == "half-open":
            return self.room() or bool(self.hung)
        return self.state != "forced-open"

    def admit(self) -> bool:
        """Do what happens when a call comes; whether it is let in."""
        if not self.lets_in():
            self.counts["rejected"] += 1
            return False
        if self.state == "open":
            self.enter("half-open")
        if self.state == "half-open" and not self.room():
            for call in self.hung:
                call.has_permit = False
                self.counts["recovered"] += 1
        return True

    def end(self, call: Call, failed: bool | None) -> None:
        self.calls.remove(call)
        if call.era != self.era or (self.state == "half-open" and not call.has_permit):
            self.counts["discarded"] += 1
            return
        if failed is None:
            self.counts["ignored"] += 1
            return
        result = Result(self.now, failed, self.now - call.began >= SLOW)
        self.counts["failures" if failed else "successes"] += 1
        self.counts["slow"] += result.slow
        if self.state == "closed":
            self.results.append(result)
            if self.must_open():
                self.enter("open")
        elif self.state == "half-open":
            self.good_probes += 1
            if result.bad:
                self.enter("open")
            elif self.good_probes == self.successes:
                self.enter("closed")

    def in_window(self) -> list[Result]:
        if isinstance(self.window, CountWindow):
            return self.results[-self.window.calls :]
        assert isinstance(self.window, TimeWindow)
        return [result for result in self.results if self.now - result.t < 10 * self.window.seconds]

    def row(self) -> int:
        length = 0
        for result in reversed(self.results):
            if not result.bad:
                break
            length += 1
        return length

    def must_open(self) -> bool:
        if self.window is None:
            return self.row() >= MINIMUM
        held = self.in_window()
        if len(held) < MINIMUM:
            return False
        failures, slow = sum(result.failed for result in held), sum(result.slow for result in held)
        return failures / len(held) >= FAILURE_RATE or slow / len(held) >= SLOW_RATE


class Machine(RuleBasedStateMachine):
    window: CountWindow | TimeWindow | None = None

    @initialize(permits=st.integers(1, 3), successes=st.integers(1, 4))
    def begin(self, permits: int, successes: int) -> None:
        self.clock = ManualClock(0)
        self.events: list = []
        options = {
            "half_open_permits": permits,
            "half_open_successes": successes,
            "reset_timeout": RESET / 10,
            "probe_timeout": PROBE / 10,
            "slow_call": SLOW / 10,
        }
        if self.window is None:
            options |= {"fail_threshold": MINIMUM}
        else:
            options |= {
                "window": self.window,
                "minimum_calls": MINIMUM,
                "failure_rate": FAILURE_RATE,
                "slow_rate": SLOW_RATE,
            }
        self.breaker = CircuitBreaker(
            "pagos", ignore=Refused, clock=self.clock, listeners=[self.events.append], **options
        )
        self.model = Model(self.window, permits, successes)

    @rule(times=st.integers(1, 4))
    def calls_come(self, times: int) -> None:
        for _ in range(times):
            if self.model.admit():
                pending = Pending(self.breaker)
                permit = self.model.state == "half-open"
                self.model.calls.append(Call(pending, self.model.now, self.model.era, permit))
            else:
                with pytest.raises(CircuitOpenError) as caught:
                    Pending(self.breaker)
                assert caught.value.state == self.model.state

    def take(self, data: st.DataObject) -> Call:
        return self.model.calls[data.draw(st.integers(0, len(self.model.calls) - 1), label="call")]

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data())
    def a_call_succeeds(self, data: st.DataObject) -> None:
        call = self.take(data)
        call.pending.succeed()
        self.model.end(call, False)

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data())
    def a_call_fails(self, data: st.DataObject) -> None:
        call = self.take(data)
        call.pending.fail()
        self.model.end(call, True)

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data(), error=st.sampled_from([Refused, asyncio.CancelledError, KeyboardInterrupt]))
    def a_call_is_ignored(self, data: st.DataObject, error: type[BaseException]) -> None:
        call = self.take(data)
        call.pending.end_with(error())
        self.model.end(call, None)

    @rule(failed=st.lists(st.booleans(), min_size=1, max_size=6))
    def quick_calls(self, failed: list[bool]) -> None:
        for each in failed:
            let_in = self.model.admit()
            assert run(self.breaker, failing if each else working) == [
                ("broken" if each else "done") if let_in else "rejected"
            ]
            if let_in:
                permit = self.model.state == "half-open"
                call = Call(None, self.model.now, self.model.era, permit)  # type: ignore[arg-type]
                self.model.calls.append(call)
                self.model.end(call, each)

    @rule(tenths=st.sampled_from([1, 2, 5, 9, 10, SLOW - 1, SLOW, PROBE, RESET - 1, RESET, 99, 100]))
    def time_passes(self, tenths: int) -> None:
        self.clock.advance(tenths / 10)
        self.model.now += tenths

    @precondition(lambda self: self.model.state == "open")
    @rule()
    def the_timeout_ends(self) -> None:
        left = self.model.entered + RESET - self.model.now
        if left > 0:
            self.time_passes(left)

    @rule(state=st.sampled_from(["forced-open", "disabled", "closed", "closed"]))
    def by_hand(self, state: str) -> None:
        {"forced-open": self.breaker.force_open, "disabled": self.breaker.disable}.get(
            state, self.breaker.reset
        )()
        if state != self.model.state or state == "closed":
            self.model.enter(state)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        metrics = self.breaker.metrics
        assert self.breaker.state == self.model.state
        assert {name: getattr(metrics, name) for name in self.model.counts} == self.model.counts
        if self.model.window is None:
            assert metrics.failures_in_a_row == self.model.row()
        else:
            held = self.model.in_window()
            assert metrics.calls_in_window == len(held)
            assert metrics.failures_in_window == sum(result.failed for result in held)
            assert metrics.slow_in_window == sum(result.slow for result in held)

    @invariant()
    def retry_after_is_zero_exactly_when_a_call_would_be_let_in(self) -> None:
        wait = self.breaker.retry_after
        assert (wait == 0) == self.model.lets_in()
        assert (wait is None) == (self.model.state == "forced-open")
        assert wait is None or 0 <= wait <= max(RESET, PROBE) / 10

    @invariant()
    def the_promise_of_retry_after_holds(self) -> None:
        """A call that waits so long is let in, if nothing else happens meanwhile."""
        wait = self.breaker.retry_after
        if wait:
            self.model.now += round(10 * wait)
            assert self.model.lets_in()
            self.model.now -= round(10 * wait)

    @invariant()
    def no_more_than_the_permitted_hold_a_permit(self) -> None:
        assert len(self.model.probes) <= self.model.permits
        assert len(self.breaker._probes) == len(self.model.probes)

    @invariant()
    def the_changes_form_a_chain_of_allowed_steps(self) -> None:
        changes = self.breaker.changes
        for before, after in pairwise(changes):
            assert after.previous == before.state
            assert before.t <= after.t
            assert after.state in (BY_HAND if after.reason == "by-hand" else NEXT_STATES[before.state])
            if after.reason == "timeout-over":
                assert round(after.t - before.t, 9) >= RESET / 10  # 19.9 - 14.9 is a little less than 5
        assert changes[-1].state == self.breaker.state
        assert [event for event in self.events if isinstance(event, StateChange)] == list(changes)
        assert len(self.events) - len(changes) == self.breaker.metrics.rejected

    def teardown(self) -> None:
        for call in getattr(self, "model", Model(None, 1, 1)).calls:
            call.pending.throw_away()


class InARowMachine(Machine):
    pass


class CountMachine(Machine):
    window = CountWindow(5)


class TimeMachine(Machine):
    window = TimeWindow(10.0)


@pytest.mark.parametrize("examples", [10, soak(100)])
@pytest.mark.parametrize("machine", [InARowMachine, CountMachine, TimeMachine])
def test_the_breaker_does_what_its_model_does(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


class YieldingClock(ManualClock):
    """Lets another thread run at every look, so in the middle of whatever the breaker does."""

    def __call__(self) -> float:
        time.sleep(0)
        return super().__call__()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("window", [None, CountWindow(20), TimeWindow(5.0)], ids=["row", "count", "time"])
def test_eight_threads_in_any_order_lose_nothing(window, seed):
    """What the machine above cannot show: the same under real threads, whose order nobody chooses."""
    clock = YieldingClock()
    tick = threading.Lock()
    breaker = CircuitBreaker(
        "pagos",
        window=window,
        reset_timeout=1,
        half_open_permits=2,
        slow_call=60,
        ignore=Refused,
        clock=clock,
    )
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def caller(index: int) -> None:
        choices = random.Random(f"{seed} {index}")
        start.wait(PATIENCE)
        for _ in range(150):
            what = choices.choices([working, failing, refusing], [6, 3, 1])[0]
            outcomes.append(outcome(lambda what=what: breaker.call(what)))
            if choices.random() < 0.2:
                with tick:
                    clock.advance(0.3)

    def refusing() -> None:
        raise Refused

    with threads(8, caller):
        pass
    metrics = breaker.metrics
    ended = metrics.successes + metrics.failures + metrics.ignored + metrics.discarded
    assert len(outcomes) == 8 * 150
    assert outcomes.count("rejected") == metrics.rejected
    assert ended + metrics.rejected == len(outcomes)
    assert metrics.opened == sum(change.state == "open" for change in breaker.changes)
    assert breaker._probes == []
    for before, after in pairwise(breaker.changes):
        assert after.previous == before.state
        assert after.state in NEXT_STATES[before.state]
