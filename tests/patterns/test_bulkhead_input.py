"""What is given to a bulkhead is accepted, or refused in a sentence."""

import asyncio
import functools

import pytest
from bulkhead_support import Inside, all_permits_are_there

from labkit.patterns.bulkhead import (
    AIMD,
    Bulkhead,
    BulkheadPool,
    InvalidInput,
    Vegas,
)


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, "3", None, AIMD])
def test_a_limit_is_a_whole_number_above_zero_or_an_algorithm(limit):
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        Bulkhead(limit)
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        BulkheadPool(limit, queue=1)
    bulkhead = Bulkhead(2)
    with pytest.raises(InvalidInput, match="de 1 en adelante"):
        bulkhead.limit = limit
    assert bulkhead.limit == 2


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), True, "1", None])
def test_a_wait_is_a_number_of_seconds(seconds):
    with pytest.raises(InvalidInput, match=r"max_wait vale .*segundos"):
        Bulkhead(1, max_wait=seconds)
    bulkhead = Bulkhead(1, max_wait=2)
    with pytest.raises(InvalidInput, match=r"max_wait vale .*segundos"):
        bulkhead.max_wait = seconds
    assert bulkhead.max_wait == 2


@pytest.mark.parametrize("queue", [-1, 1.5, True, "1"])
def test_a_queue_is_a_whole_number(queue):
    with pytest.raises(InvalidInput, match="max_queue"):
        Bulkhead(1, max_queue=queue)
    with pytest.raises(InvalidInput, match="queue"):
        BulkheadPool(1, queue=queue)


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_is_a_text(name):
    with pytest.raises(InvalidInput, match="name"):
        Bulkhead(1, name=name)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: AIMD(0, timeout=1), "initial"),
        (lambda: AIMD(5, timeout=0), "timeout"),
        (lambda: AIMD(5, timeout=1, backoff=1), "backoff"),
        (lambda: AIMD(5, timeout=1, min_limit=6), "min_limit"),
        (lambda: AIMD(5, timeout=1, max_limit=4), "max_limit"),
        (lambda: Vegas(0), "initial"),
        (lambda: Vegas(5, smoothing=0), "smoothing"),
        (lambda: Vegas(5, smoothing=1.5), "smoothing"),
        (lambda: Vegas(5, probe_multiplier=0), "probe_multiplier"),
    ],
)
def test_an_algorithm_refuses_what_makes_no_sense(make, word):
    with pytest.raises(InvalidInput, match=word):
        make()


async def coroutine_function():
    pytest.fail("called")


class CalledAsync:
    async def __call__(self):
        pytest.fail("called")


def generator_function():
    yield pytest.fail("called")


async def async_generator_function():
    yield pytest.fail("called")


@pytest.mark.parametrize(
    "func",
    [coroutine_function, functools.partial(coroutine_function), CalledAsync(), CalledAsync().__call__],
)
def test_a_coroutine_function_given_to_call_is_refused_at_once(func):
    bulkhead = Bulkhead(1)
    with pytest.raises(TypeError, match="acall"):
        bulkhead.call(func)
    with BulkheadPool(1, queue=1) as pool, pytest.raises(TypeError, match="acall"):
        pool.submit(func)
    assert bulkhead.metrics().accepted == 0


@pytest.mark.parametrize("func", [generator_function, async_generator_function])
def test_a_generator_would_run_after_the_permit_came_back_and_is_refused(func):
    bulkhead = Bulkhead(1)
    for attempt in (bulkhead.call, bulkhead, lambda func: asyncio.run(bulkhead.acall(func))):
        with pytest.raises(TypeError, match="generador"):
            attempt(func)


@pytest.mark.parametrize("func", [None, 3, "función"])
def test_what_cannot_be_called_is_refused(func):
    bulkhead = Bulkhead(1)
    for attempt in (bulkhead.call, bulkhead, lambda func: asyncio.run(bulkhead.acall(func))):
        with pytest.raises(TypeError, match="no se puede llamar"):
            attempt(func)


@pytest.mark.filterwarnings("error")
def test_a_function_that_returns_a_coroutine_is_told_so_and_the_coroutine_closed():
    bulkhead = Bulkhead(1)
    with pytest.raises(TypeError, match="devolvió una corrutina"):
        bulkhead.call(lambda: coroutine_function())
    with pytest.raises(TypeError, match="devolvió una corrutina"):
        asyncio.run(bulkhead.acall(lambda: coroutine_function()))
    assert all_permits_are_there(bulkhead)


@pytest.mark.parametrize("func", [print, functools.partial(int, "3"), int, len, "".join, Inside])
def test_whatever_can_be_called_plainly_may_be_given(func):
    args = {len: [[]], "".join: [["a"]]}.get(func, [])
    Bulkhead(1).call(func, *args)
