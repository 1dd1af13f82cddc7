"""What other projects' suites found in the first three references."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
from collections.abc import Iterator
from typing import Any
from unittest import mock

import flask
import pytest
import requests

from labkit.exercises.exercise import Case, Exercise
from labkit.patterns.bulkhead import Bulkhead, BulkheadFullError, BulkheadPool
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.patterns.discovery import AsyncDiscoveryClient, DiscoveryClient, Registry, registry_app
from labkit.waiting import ManualClock


@pytest.fixture
def street() -> Iterator[Any]:
    """Two instances in a registry: each does the work of a POST and redirects to where nobody listens."""
    case = Case(Exercise("ZZ-1", writes="x"), ())
    registry = Registry()
    worked: list[str] = []
    for name in ("a", "b"):
        app = flask.Flask(name)

        def work(code: int, name: str = name) -> Any:
            worked.append(name)
            return flask.redirect("http://127.0.0.1:9/gone", code)

        app.add_url_rule("/task/<int:code>", "work", work, methods=["GET", "POST"])
        registry.register("shop", case.serve(app, name).url, instance_id=name)
    yield case.serve(registry_app(registry), "registry").url, worked, registry
    case.close()


@pytest.mark.parametrize("code", [302, 303, 307])
@pytest.mark.parametrize("kind", ["requests", "aiohttp"])
def test_a_post_that_was_received_is_not_repeated_for_where_it_was_redirected_to(
    street: Any, code: int, kind: str
) -> None:
    url, worked, _ = street

    def with_requests() -> None:
        with DiscoveryClient(url) as client:
            client.post("shop", f"/task/{code}")

    async def with_aiohttp() -> None:
        async with AsyncDiscoveryClient(url) as client:
            await client.post("shop", f"/task/{code}")

    ask = with_requests if kind == "requests" else lambda: asyncio.run(with_aiohttp())
    with pytest.raises(OSError, match=r":9|port=9"):
        ask()
    assert len(worked) == 1


@pytest.mark.parametrize("kind", ["bulkhead", "pool"])
def test_a_mock_and_a_callable_that_has_a_func_are_called(kind: str) -> None:
    pool = BulkheadPool(1, queue=1)
    protect = Bulkhead(1).call if kind == "bulkhead" else lambda func: pool.submit(func).result(5)
    assert protect(mock.Mock(return_value="done")) == "done"

    class Task:
        func = "a name, not a function"

        def __call__(self) -> str:
            return "done"

    assert protect(Task()) == "done"
    pool.shutdown()


def test_the_refusal_of_a_full_bulkhead_can_be_pickled_and_copied() -> None:
    bulkhead = Bulkhead(1, name="pagos")
    with bulkhead, pytest.raises(BulkheadFullError) as caught:
        bulkhead.call(print)
    for other in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (str(other), other.name, other.waited) == (str(caught.value), "pagos", False)


def test_a_failed_call_leaves_nothing_for_the_garbage_collector() -> None:
    bulkhead = Bulkhead(1)

    def fail() -> None:
        raise ConnectionError

    def calls(count: int) -> int:
        for _ in range(count):
            with pytest.raises(ConnectionError):
                bulkhead.call(fail)
            with bulkhead, pytest.raises(BulkheadFullError):
                bulkhead.call(fail)
        return gc.collect()

    calls(10)
    gc.disable()
    try:
        assert calls(200) < 100
    finally:
        gc.enable()


def test_a_coroutine_that_is_dropped_while_the_lock_is_held_gives_its_permit_back() -> None:
    """The clock closes it, as the garbage collector would: it is asked for the time under the lock."""
    dropped: list[Any] = []
    clock = ManualClock()

    def closing_clock() -> float:
        while dropped:
            dropped.pop().close()
        return clock()

    breaker = CircuitBreaker(fail_threshold=1, reset_timeout=10, probe_timeout=1000, clock=closing_clock)
    with pytest.raises(ConnectionError), breaker:
        raise ConnectionError
    clock.advance(10)

    class Never:
        def __await__(self) -> Iterator[None]:
            yield

    async def for_ever() -> None:
        await Never()

    probe = breaker.acall(for_ever)
    contextvars.copy_context().run(probe.send, None)  # as a task of its own would
    dropped.append(probe)
    with pytest.raises(CircuitOpenError):
        breaker.call(lambda: "refused: the probe ends only during this call")
    assert breaker.call(lambda: "the permit is back") == "the permit is back"


def test_a_block_that_is_left_in_another_context_keeps_its_error_and_gives_the_permit_back() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker(fail_threshold=1, reset_timeout=10, probe_timeout=1000, clock=clock)
    with pytest.raises(ConnectionError), breaker:
        raise ConnectionError
    clock.advance(10)

    async def guarded() -> Any:
        with breaker:
            yield 1

    async def elsewhere() -> None:
        generator = guarded()
        await asyncio.create_task(generator.__anext__())
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_task(generator.athrow(ZeroDivisionError()))

    asyncio.run(elsewhere())
    assert breaker.state == "open"
    clock.advance(10)
    assert breaker.call(lambda: "probe") == "probe"


@pytest.mark.parametrize("now", [0.0, 1e6, 1.7e9])
def test_waiting_exactly_retry_after_is_enough(now: float) -> None:
    for tenth in range(1, 200):
        clock = ManualClock(now + tenth / 7)
        breaker = CircuitBreaker(fail_threshold=1, reset_timeout=tenth / 10, clock=clock)
        with pytest.raises(ConnectionError), breaker:
            raise ConnectionError
        clock.advance(tenth / 30)
        with pytest.raises(CircuitOpenError) as refused:
            breaker.call(print)
        clock.advance(refused.value.retry_after)  # type: ignore[arg-type]
        breaker.call(str)


@pytest.mark.parametrize("given", [1e300, float("inf"), "10"])
def test_a_time_that_no_breaker_can_wait_is_refused_in_a_sentence(given: Any) -> None:
    with pytest.raises(ValueError, match="reset_timeout"):
        CircuitBreaker(reset_timeout=given)


@pytest.mark.parametrize("given", ["0.5", None, 0, 2])
def test_an_eviction_cap_that_is_none_is_refused_in_a_sentence(given: Any) -> None:
    with pytest.raises(ValueError, match="eviction_cap"):
        Registry(eviction_cap=given)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_registration_that_a_page_elsewhere_could_send_is_refused(street: Any, kind: str | None) -> None:
    url, _, registry = street
    headers = {"Content-Type": kind} if kind else {}
    for method, path in (("POST", "/services/shop"), ("PUT", "/services/shop/c")):
        body = b'{"url": "http://127.0.0.1:5001"}'
        assert requests.request(method, url + path, data=body, headers=headers, timeout=10).status_code == 400
    assert len(registry.instances("shop")) == 2
