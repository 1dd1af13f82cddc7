"""Single calls: retries with full jitter, their budget, deadlines, and hedged requests."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.patterns.reactive import (
    DEADLINE_HEADER,
    DeadlineExceeded,
    Hedge,
    InvalidInput,
    Retry,
    RetryBudget,
    deadline,
    headers_with_deadline,
    remaining,
    run_virtually,
    seconds_from,
)


def now() -> float:
    return asyncio.get_running_loop().time()


class Remote:
    """A service that fails so many times, then answers; it knows when it was called."""

    def __init__(self, failures: float, error: Exception | None = None, takes: float = 0.0) -> None:
        self.failures, self.error, self.takes = failures, error or ConnectionError("down"), takes
        self.calls: list[float] = []

    async def __call__(self, answer: str = "ok") -> str:
        self.calls.append(now())
        await asyncio.sleep(self.takes)
        if len(self.calls) <= self.failures:
            raise self.error
        return answer


def pauses(remote: Remote) -> list[float]:
    return [later - earlier for earlier, later in zip(remote.calls, remote.calls[1:], strict=False)]


# Retry


def test_what_is_idempotent_is_repeated_and_what_is_not_is_called_once() -> None:
    async def main() -> None:
        remote = Remote(failures=2)
        assert await Retry(attempts=3).call(remote, "yes", idempotent=True) == "yes"
        assert len(remote.calls) == 3
        remote = Remote(failures=1)
        with pytest.raises(ConnectionError):
            await Retry(attempts=3).call(remote, idempotent=False)
        assert len(remote.calls) == 1

    run_virtually(main())


def test_whether_it_may_be_repeated_has_to_be_said() -> None:
    with pytest.raises(TypeError, match="idempotent"):
        run_virtually(Retry().call(Remote(0)))  # type: ignore[call-arg]


def test_after_the_last_attempt_the_last_failure_is_raised() -> None:
    remote = Remote(failures=math.inf)
    with pytest.raises(ConnectionError):
        run_virtually(Retry(attempts=5).call(remote, idempotent=True))
    assert len(remote.calls) == 5


def test_only_what_is_worth_it_is_tried_again() -> None:
    for error, calls in ((ConnectionError(), 4), (TimeoutError(), 4), (LookupError(), 1), (ValueError(), 1)):
        remote = Remote(failures=math.inf, error=error)
        with pytest.raises(type(error)):
            run_virtually(Retry().call(remote, idempotent=True))
        assert len(remote.calls) == calls
    remote = Remote(failures=2, error=LookupError())
    assert run_virtually(Retry(retry_on=(LookupError,)).call(remote, idempotent=True)) == "ok"


def test_full_jitter_draws_evenly_from_zero_to_a_bound_that_doubles_up_to_the_cap() -> None:
    policy = Retry(attempts=8, base=1, cap=10, rng=random.Random(4))
    drawn: list[list[float]] = [[] for _ in range(7)]
    for _ in range(2000):
        for failures in range(1, 8):
            pause = policy.pause(failures, ConnectionError())
            assert pause is not None
            drawn[failures - 1].append(pause)
    for bound, sample in zip((1, 2, 4, 8, 10, 10, 10), drawn, strict=True):
        assert 0 <= min(sample) < bound / 100
        assert bound * 0.99 < max(sample) <= bound
        # Ten bins: with even chances each holds 200 ± 13 (one standard deviation); chi² stays below 27.9 in
        # 999 of 1000 cases (9 degrees of freedom). The seed makes it the same every time.
        bins = [sum(int(pause / bound * 10) == number for pause in sample) for number in range(10)]
        assert sum((count - 200) ** 2 / 200 for count in bins) < 27.9
    assert statistics.correlation(drawn[0], drawn[1]) == pytest.approx(0, abs=0.1)


def test_the_pauses_that_are_slept_are_those_that_were_drawn() -> None:
    remote, rng = Remote(failures=4), random.Random(7)
    run_virtually(Retry(attempts=5, base=1, cap=5, rng=random.Random(7)).call(remote, idempotent=True))
    assert pauses(remote) == pytest.approx([rng.uniform(0, bound) for bound in (1, 2, 4, 5)])


def test_callers_that_fail_together_do_not_come_back_together() -> None:
    async def main() -> None:
        remote = Remote(failures=1000)
        policy = Retry(attempts=2, base=10, cap=10, rng=random.Random(1))
        calls = [policy.call(remote, idempotent=True) for _ in range(1000)]
        await asyncio.gather(*calls, return_exceptions=True)
        second = [moment for moment in remote.calls if moment > 0]
        busiest = max(sum(int(moment) == second_ for moment in second) for second_ in range(10))
        assert remote.calls.count(0) == 1000
        assert busiest < 150, "ten seconds, a hundred a second, give or take"

    run_virtually(main())


def test_a_huge_number_of_attempts_does_not_overflow() -> None:
    assert Retry(attempts=10**6).pause(10**5, ConnectionError()) is not None


def test_retry_after_is_a_lower_bound() -> None:
    error = ConnectionError()
    error.retry_after = 7  # type: ignore[attr-defined]
    remote = Remote(failures=3, error=error)
    run_virtually(Retry(base=0.1, cap=0.1).call(remote, idempotent=True))
    assert pauses(remote) == [7, 7, 7]


def test_a_cancelled_call_is_not_repeated() -> None:
    async def main() -> None:
        remote = Remote(failures=math.inf, takes=1)
        call = asyncio.create_task(Retry().call(remote, idempotent=True))
        await asyncio.sleep(0.5)
        call.cancel()
        await asyncio.wait([call])
        await asyncio.sleep(100)
        assert call.cancelled()
        assert len(remote.calls) == 1

    run_virtually(main())


# The budget


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.sampled_from([0.1, 0.25, 1.0]),
    reserve=st.integers(1, 5),
    failures=st.lists(st.integers(0, 4), max_size=40),
)
def test_retries_never_exceed_reserve_plus_ratio_times_calls(
    ratio: float, reserve: int, failures: list[int]
) -> None:
    async def main() -> None:
        policy = Retry(attempts=4, base=0.01, budget=RetryBudget(ratio, reserve), rng=random.Random(0))
        retries = 0
        for calls, count in enumerate(failures, 1):
            remote = Remote(failures=count)
            await asyncio.gather(policy.call(remote, idempotent=True), return_exceptions=True)
            retries += len(remote.calls) - 1
            assert retries <= reserve + ratio * calls + 1e-9

    run_virtually(main())


def test_an_outage_multiplies_the_load_by_the_budget_and_not_by_the_attempts() -> None:
    def load(budget: RetryBudget | None) -> int:
        async def main() -> int:
            remote = Remote(failures=math.inf)
            policy = Retry(attempts=4, budget=budget, rng=random.Random(0))
            for _ in range(1000):
                await asyncio.gather(policy.call(remote, idempotent=True), return_exceptions=True)
            return len(remote.calls)

        return run_virtually(main())

    assert load(None) == 4000
    assert load(RetryBudget(ratio=0.1, reserve=10)) == 1000 + 10 + 99  # the reserve is full at the first call


def test_a_healthy_time_saves_up_no_more_than_the_reserve() -> None:
    budget = RetryBudget(ratio=1.0, reserve=3)
    for _ in range(1000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(5)] == [True, True, True, False, False]


def test_a_budget_is_exact_under_threads() -> None:
    budget = RetryBudget(ratio=0.1, reserve=50)
    taken: list[bool] = []

    def work() -> None:
        for _ in range(200):
            taken.append(budget.withdraw())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 50


# Deadlines


@settings(max_examples=80, deadline=None)
@given(limit=st.floats(0.1, 5), takes=st.floats(0, 2), failures=st.integers(0, 6), seed=st.integers(0, 10**6))
def test_a_call_with_a_deadline_never_outlasts_it(
    limit: float, takes: float, failures: int, seed: int
) -> None:
    async def main() -> None:
        remote = Remote(failures=failures, takes=takes)
        policy = Retry(attempts=5, base=1, cap=3, deadline=limit, rng=random.Random(seed))
        await asyncio.gather(policy.call(remote, idempotent=True), return_exceptions=True)
        assert now() <= limit + 1e-6
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


def test_no_pause_is_begun_that_would_outlast_the_deadline() -> None:
    error = ConnectionError("busy")
    error.retry_after = 10  # type: ignore[attr-defined]

    async def main() -> None:
        budget = RetryBudget(reserve=1)
        with pytest.raises(ConnectionError, match="busy"):
            await Retry(deadline=5, budget=budget).call(Remote(9, error), idempotent=True)
        assert now() == 0, "the failure is known at once: why wait to tell it?"
        assert budget.withdraw(), "and nothing was taken from the budget"

    run_virtually(main())


def test_an_attempt_under_way_is_cancelled_at_the_deadline() -> None:
    async def main() -> None:
        with pytest.raises(DeadlineExceeded, match="2 s"):
            await Retry(deadline=2).call(Remote(0, takes=100), idempotent=True)
        assert now() == 2

    run_virtually(main())


def test_a_deadline_reaches_every_call_below_and_ends_it() -> None:
    ended: list[str] = []

    async def leaf(name: str) -> None:
        try:
            assert remaining() == pytest.approx(3)
            await asyncio.sleep(100)
        finally:
            ended.append(name)

    async def service() -> None:
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                group.create_task(leaf(name))

    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            async with deadline(3):
                await asyncio.gather(service(), service())
        assert now() == 3
        assert sorted(ended) == ["a", "a", "b", "b"]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert remaining() == math.inf

    run_virtually(main())


def test_the_earlier_of_two_deadlines_counts() -> None:
    async def main() -> None:
        async with deadline(10):
            async with deadline(50):
                assert remaining() == 10
            async with deadline(2):
                assert remaining() == 2
            assert remaining() == 10
            with pytest.raises(DeadlineExceeded):
                async with deadline(50):
                    await asyncio.sleep(20)
            assert now() == 10

    with pytest.raises(DeadlineExceeded):
        run_virtually(main())


def test_a_timeout_inside_is_not_the_deadline() -> None:
    async def main() -> None:
        async def impatient() -> None:
            async with deadline(10), asyncio.timeout(1):
                await asyncio.sleep(5)

        with pytest.raises(TimeoutError) as caught:
            await impatient()
        assert type(caught.value) is TimeoutError

    run_virtually(main())


def test_the_time_left_is_handed_on() -> None:
    async def main() -> None:
        assert headers_with_deadline() == {}
        async with deadline(2):
            await asyncio.sleep(0.5)
            assert headers_with_deadline() == {DEADLINE_HEADER: "1500"}
            assert seconds_from(headers_with_deadline()) == 1.5

    run_virtually(main())


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "1e3", "٣", "9" * 9, "0", " 5"])
def test_a_header_that_cannot_be_read_is_ignored(text: str) -> None:
    assert seconds_from({DEADLINE_HEADER: text}) is None


# Hedging


class Replica:
    """Answer after the next of its latencies; knows who was cancelled."""

    def __init__(self, *latencies: float | Exception) -> None:
        self.latencies = list(latencies)
        self.calls: list[float] = []
        self.cancelled = 0

    async def __call__(self) -> int:
        self.calls.append(now())
        number = len(self.calls)
        latency = self.latencies.pop(0)
        try:
            if isinstance(latency, Exception):
                raise latency
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.cancelled += 1
            raise
        return number


async def warm(hedge: Hedge, latencies: list[float]) -> None:
    for latency in latencies:
        await hedge.call(Replica(latency), idempotent=True)


ORDINARY = [number / 100 for number in range(1, 101)]  # 0.01 … 1.00 s: the 95th percentile is 0.95 s


def test_a_second_request_is_sent_after_the_95th_percentile_and_not_before() -> None:
    async def main() -> None:
        hedge = Hedge(window=100, minimum=100)
        await warm(hedge, random.Random(0).sample(ORDINARY, 100))
        assert hedge.after == pytest.approx(0.95)
        began, fast = now(), Replica(0.94)
        await hedge.call(fast, idempotent=True)
        assert len(fast.calls) == 1
        began, slow = now(), Replica(60, 0.1)
        assert await hedge.call(slow, idempotent=True) == 2
        assert [call - began for call in slow.calls] == pytest.approx([0, 0.95])
        assert now() - began == pytest.approx(1.05)
        assert (slow.cancelled, hedge.sent, hedge.won) == (1, 1, 1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


def test_the_loser_is_cancelled_also_when_it_is_the_second() -> None:
    async def main() -> None:
        hedge = Hedge(minimum=1)
        await warm(hedge, [1])
        replica = Replica(1.5, 60)
        assert await hedge.call(replica, idempotent=True) == 1
        assert (replica.cancelled, hedge.sent, hedge.won) == (1, 1, 0)

    run_virtually(main())


def test_while_little_is_known_or_it_is_not_idempotent_one_request_is_sent() -> None:
    async def main() -> None:
        hedge = Hedge(minimum=5)
        await warm(hedge, [1, 1, 1, 1])
        replica = Replica(60)
        assert await hedge.call(replica, idempotent=True) == 1
        assert hedge.after is not None
        replica = Replica(1000)
        assert await hedge.call(replica, idempotent=False) == 1
        assert hedge.sent == 0

    run_virtually(main())


def test_one_in_twenty_is_hedged_and_the_tail_is_cut() -> None:
    async def main() -> None:
        rng = random.Random(3)

        async def service() -> None:
            await asyncio.sleep(5 if rng.random() < 0.04 else rng.uniform(0.05, 0.15))

        hedge = Hedge()
        times = []
        for _ in range(3000):
            began = now()
            await hedge.call(service, idempotent=True)
            times.append(now() - began)
        settled = sorted(times[200:])
        assert hedge.sent / 3000 < 0.07
        assert settled[int(len(settled) * 0.99)] < 0.4, "without: 5 s"

    run_virtually(main())


def test_a_budget_bounds_the_second_requests() -> None:
    async def main() -> None:
        hedge = Hedge(minimum=1, budget=RetryBudget(ratio=0.1, reserve=2))
        await warm(hedge, [0.1])
        for _ in range(5):
            await hedge.call(Replica(0.5, 0.5), idempotent=True)
        assert hedge.sent == 2

    run_virtually(main())


def test_a_failure_before_the_second_request_is_raised_at_once() -> None:
    async def main() -> None:
        hedge = Hedge(minimum=1)
        await warm(hedge, [1])
        replica = Replica(ConnectionError("first"))
        with pytest.raises(ConnectionError, match="first"):
            await hedge.call(replica, idempotent=True)
        assert len(replica.calls) == 1

    run_virtually(main())


@pytest.mark.parametrize("second", [0.5, ConnectionError("second")])
def test_with_two_requests_a_failure_waits_for_the_other(second: float | Exception) -> None:
    async def fails_late() -> None:
        await asyncio.sleep(1.2)
        raise ConnectionError("first")

    async def main() -> None:
        hedge = Hedge(minimum=1)
        await warm(hedge, [1])
        calls = iter([fails_late, Replica(second)])

        async def request() -> Any:
            return await next(calls)()

        if isinstance(second, float):
            assert await hedge.call(request, idempotent=True) == 1
        else:
            with pytest.raises(ConnectionError, match="first"):
                await hedge.call(request, idempotent=True)
        assert hedge.sent == 1

    run_virtually(main())


def test_cancelling_a_hedged_call_cancels_both_requests() -> None:
    async def main() -> None:
        hedge = Hedge(minimum=1)
        await warm(hedge, [1])
        replica = Replica(60, 60)
        call = asyncio.create_task(hedge.call(replica, idempotent=True))
        await asyncio.sleep(2)
        call.cancel()
        await asyncio.wait([call])
        assert replica.cancelled == 2
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(main())


# Refusals


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Retry(attempts=0), "attempts"),
        (lambda: Retry(base=0), "base"),
        (lambda: Retry(base=math.inf), "base"),
        (lambda: Retry(base=5, cap=1), "cap"),
        (lambda: Retry(deadline=-1), "deadline"),
        (lambda: Retry(budget=3), "RetryBudget"),  # type: ignore[arg-type]
        (lambda: Retry(retry_on=OSError), "tupla"),  # type: ignore[arg-type]
        (lambda: Retry(retry_on=(BaseException,)), "tupla"),  # type: ignore[arg-type]
        (lambda: Retry(rng=7), "rng"),  # type: ignore[arg-type]
        (lambda: RetryBudget(ratio=0), "ratio"),
        (lambda: RetryBudget(ratio=1.5), "ratio"),
        (lambda: RetryBudget(reserve=0), "reserve"),
        (lambda: Hedge(percentile=95), "percentile"),
        (lambda: Hedge(window=0), "window"),
        (lambda: Hedge(minimum=0), "minimum"),
        (lambda: Hedge(window=5, minimum=6), "minimum"),
        (lambda: Hedge(budget=1), "RetryBudget"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused_at_once_in_a_sentence(make: Callable[[], object], word: str) -> None:
    with pytest.raises((InvalidInput, TypeError), match=word) as caught:
        make()
    assert str(caught.value).endswith(".")


def test_a_deadline_of_nothing_is_refused() -> None:
    async def main() -> None:
        async with deadline(0):
            pass

    with pytest.raises(InvalidInput, match="seconds"):
        run_virtually(main())
