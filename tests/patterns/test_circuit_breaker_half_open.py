"""Half-open: who may probe, what becomes of a probe, and of results that come late."""

import asyncio
import threading

import pytest
from breaker_support import (
    PATIENCE,
    Broken,
    Pending,
    Refused,
    outcome,
    run,
    threads,
    trip,
)
from breaker_support import fail as failing
from breaker_support import refuse as refusing
from breaker_support import work as working

from labkit.patterns.circuit_breaker import (
    CircuitOpenError,
)

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
