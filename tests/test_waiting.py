"""`eventually` and `ManualClock`. No test waits for a time to pass, except to see that it is not exceeded."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from support import PATIENCE

import labkit
from labkit.waiting import ManualClock, aeventually, eventually


def after(calls: int, value: Any = "listo") -> Callable[[], Any]:
    """A condition that holds from the so manieth call on."""
    count = 0

    def condition() -> Any:
        nonlocal count
        count += 1
        return value if count >= calls else None

    return condition


def sleeper(*body: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: [step() for step in body], daemon=True)
    thread.start()
    return thread


# eventually


def test_it_returns_the_first_true_value() -> None:
    assert eventually(after(3, "listo"), every=0.001) == "listo"


def test_a_condition_that_holds_is_called_once() -> None:
    calls: list[int] = []
    assert eventually(lambda: calls.append(1) or len(calls)) == 1
    assert calls == [1]


def test_a_condition_is_called_once_more_when_the_time_is_over() -> None:
    assert eventually(after(2), timeout=0) == "listo"


def test_the_error_says_what_a_lambda_waited_for() -> None:
    state = "corriendo"
    with pytest.raises(TimeoutError, match=r"En 0\.01 s no se cumplió .*: state == 'detenido'"):
        eventually(lambda: state == 'detenido', timeout=0.01)  # fmt: skip


def test_the_error_names_a_function() -> None:
    def registro_vacio() -> bool:
        return False

    for condition in (registro_vacio, functools.partial(registro_vacio)):
        with pytest.raises(TimeoutError, match=r"registro_vacio\(\)"):
            eventually(condition, timeout=0)


def test_of_two_lambdas_in_a_line_the_error_claims_neither() -> None:
    never, _ = (lambda: False), (lambda: True)
    with pytest.raises(TimeoutError, match="la condición"):
        eventually(never, timeout=0)


def test_a_long_lambda_is_cut_short() -> None:
    with pytest.raises(TimeoutError) as caught:
        eventually(lambda: "a" * 30 == "b" * 30 or "c" * 30 == "d" * 30 or "e" * 30 == "f" * 30, timeout=0)
    assert str(caught.value).endswith("…")


def test_an_oserror_means_not_yet() -> None:
    answers = iter([ConnectionRefusedError(), requests.ConnectionError(), "listo"])

    def condition() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(condition, every=0.001) == "listo"


def test_the_last_oserror_is_the_cause() -> None:
    def condition() -> None:
        raise ConnectionRefusedError("nadie escucha")

    with pytest.raises(TimeoutError) as caught:
        eventually(condition, timeout=0)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_any_other_exception_is_raised_at_once() -> None:
    def condition() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        eventually(condition, timeout=PATIENCE)


@pytest.mark.parametrize("given", [None, True, "servicio.state == 'detenido'"])
def test_what_cannot_be_called_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="función sin argumentos"):
        eventually(given)


def test_a_coroutine_function_is_no_condition_without_await() -> None:
    async def condition() -> bool:
        return False

    with pytest.raises(TypeError, match="aeventually"):
        eventually(condition)


@pytest.mark.parametrize("arguments", [{"timeout": -1}, {"timeout": "5"}, {"every": 0}, {"every": True}])
def test_bad_times_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="segundos"):
        eventually(lambda: True, **arguments)


def test_for_coroutines_the_loop_goes_on() -> None:
    async def main() -> str:
        ready = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, ready.set)
        assert await aeventually(ready.is_set, every=0.001)
        return await aeventually(lambda: asyncio.sleep(0, "listo"), every=0.001)

    assert asyncio.run(main()) == "listo"


def test_for_coroutines_a_condition_that_hangs_is_given_up() -> None:
    async def cuelga() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=r"cuelga\(\)"):
        asyncio.run(aeventually(cuelga, timeout=0.02))


def test_both_are_public_names() -> None:
    assert labkit.eventually is eventually
    assert labkit.aeventually is aeventually
    assert labkit.ManualClock is ManualClock


# ManualClock


def test_the_clock_stands_still_until_it_is_wound() -> None:
    clock = ManualClock(100)
    assert (clock(), clock()) == (100.0, 100.0)
    assert clock.advance(2.5) == 102.5
    assert clock() == 102.5


def test_ten_tenths_are_one_second() -> None:
    clock = ManualClock()
    for _ in range(10):
        clock.advance(0.1)
    assert clock() == 1.0


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "1", None, True])
def test_it_takes_no_bad_times(bad: Any) -> None:
    clock = ManualClock(5)
    for use in (ManualClock, clock.advance, clock.sleep):
        with pytest.raises(ValueError, match="segundos"):
            use(bad)
    with pytest.raises(ValueError, match="segundos"):
        asyncio.run(clock.asleep(bad))
    assert (clock(), clock.sleeping) == (5.0, 0)


def test_its_repr_says_the_time_and_who_waits() -> None:
    clock = ManualClock(1.5)
    assert repr(clock) == "reloj manual · 1.5 s · 0 en espera"


def test_a_sleeper_wakes_when_the_clock_is_wound_that_far() -> None:
    clock = ManualClock()
    thread = sleeper(lambda: clock.sleep(10))
    eventually(lambda: clock.sleeping == 1)
    clock.advance(9.999)
    assert thread.is_alive()
    assert clock.sleeping == 1
    clock.advance(0.001)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert clock.sleeping == 0


def test_sleepers_wake_in_the_order_of_their_deadlines_each_at_its_time() -> None:
    clock, woken = ManualClock(), []
    threads = []
    for number, duration in enumerate([3, 1, 2, 1]):

        def note(number: int = number) -> None:
            woken.append((number, clock()))

        threads.append(sleeper(functools.partial(clock.sleep, duration), note))
        eventually(lambda expected=number + 1: clock.sleeping == expected)
    clock.advance(5)
    for thread in threads:
        thread.join(PATIENCE)
    assert woken == [(1, 1.0), (3, 1.0), (2, 2.0), (0, 3.0)]
    assert clock() == 5.0


def test_a_loop_that_sleeps_one_second_is_woken_at_every_second() -> None:
    clock, beats = ManualClock(), []

    def beat() -> None:
        for _ in range(5):
            clock.sleep(1)
            beats.append(clock())

    thread = sleeper(beat)
    eventually(lambda: clock.sleeping == 1)
    clock.advance(3)
    assert beats == [1.0, 2.0, 3.0]
    clock.advance(2)
    thread.join(PATIENCE)
    assert beats == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_tasks_sleep_on_it_too() -> None:
    clock, woken = ManualClock(), []

    async def nap(duration: float) -> None:
        await clock.asleep(duration)
        woken.append((duration, clock()))

    async def main() -> None:
        tasks = [asyncio.create_task(nap(duration)) for duration in (3, 1, 2)]
        await aeventually(lambda: clock.sleeping == 3)
        await asyncio.to_thread(clock.advance, 2)
        assert woken == [(1, 1.0), (2, 2.0)]
        clock.advance(1)  # from the loop itself, which cannot wait for its own tasks
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert woken == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_a_cancelled_sleep_leaves_the_clock() -> None:
    clock = ManualClock()

    async def main() -> None:
        task = asyncio.create_task(clock.asleep(1))
        await aeventually(lambda: clock.sleeping == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert clock.sleeping == 0
    clock.advance(2)


def test_a_loop_that_was_closed_under_its_sleeper_stops_nobody() -> None:
    clock = ManualClock()
    loop = asyncio.new_event_loop()
    task = loop.create_task(clock.asleep(1))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    clock.advance(2)
    assert clock() == 2.0
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_to_sleep_no_time_needs_no_winding() -> None:
    clock = ManualClock()
    clock.sleep(0)
    asyncio.run(clock.asleep(0))


def test_who_works_on_after_waking_does_not_hold_the_clock() -> None:
    clock, finish = ManualClock(), threading.Event()
    thread = sleeper(lambda: clock.sleep(1), finish.wait)
    eventually(lambda: clock.sleeping == 1)
    assert clock.advance(5) == 5.0
    finish.set()
    thread.join(PATIENCE)


def test_a_sleeper_may_wind_the_clock() -> None:
    clock = ManualClock()
    thread = sleeper(lambda: clock.sleep(1), lambda: clock.advance(10))
    eventually(lambda: clock.sleeping == 1)
    clock.advance(1)
    thread.join(PATIENCE)
    assert clock() == 11.0


def test_many_threads_wind_it_and_nothing_is_lost() -> None:
    clock = ManualClock()
    seen: list[float] = []

    def wind() -> None:
        for _ in range(200):
            clock.advance(0.001)
            seen.append(clock())

    threads = [sleeper(wind) for _ in range(5)]
    for thread in threads:
        thread.join(PATIENCE)
    assert clock() == 1.0
    assert len(seen) == 1000
