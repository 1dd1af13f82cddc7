"""What CB-8 audits with: circuits of three makers that are used alike, and the experiments that are given."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self
from unittest import mock

from labkit.patterns.circuit_breaker import CircuitBreaker

Call = Callable[[], Any]
Circuit = Callable[[Call], Call]  # circuit(function) is the function, protected
Make = Callable[..., Circuit]  # make(umbral=3, espera=60), seconds; a ValueError is no failure


def _labkit(umbral: int = 3, espera: float = 60) -> Circuit:
    return CircuitBreaker(fail_threshold=umbral, reset_timeout=espera, probe_timeout=60, ignore=ValueError)


def _pybreaker(umbral: int = 3, espera: float = 60) -> Circuit:
    import pybreaker

    return pybreaker.CircuitBreaker(fail_max=umbral, reset_timeout=espera, exclude=[ValueError])


def _circuitbreaker(umbral: int = 3, espera: float = 60) -> Circuit:
    import circuitbreaker  # type: ignore[import-untyped]

    def counts(kind: type[BaseException], error: BaseException) -> bool:
        return not issubclass(kind, ValueError)

    made: Circuit = circuitbreaker.CircuitBreaker(umbral, espera, expected_exception=counts)
    return made


CIRCUITS: dict[str, Make] = {"labkit": _labkit, "pybreaker": _pybreaker, "circuitbreaker": _circuitbreaker}


def _fails() -> None:
    raise ConnectionError("averiado")


def _ready_to_probe(make: Make) -> Circuit:
    """Return an open circuit whose wait is over; no library lets one choose its clock."""
    circuit = make(espera=0.05)
    for _ in range(3):
        with suppress(Exception):
            circuit(_fails)()
    time.sleep(0.1)
    return circuit


def _second_arrives(circuit: Circuit) -> bool:
    """Return True when, with a call inside, another one reaches the service within a second."""
    inside, arrived, leave = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        leave.wait(5)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(circuit(stay))
        inside.wait(5)
        wait([threads.submit(circuit(arrived.set))], timeout=1)
        found = arrived.is_set()
        leave.set()
    return found


class _AnHourLess(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(hours=1)


def in_parallel(make: Make) -> bool:
    """Return True when a second call can enter while one is inside."""
    return _second_arrives(make())


def one_probe(make: Make) -> bool:
    """Return True when no second call enters while a half-open circuit probes."""
    return not _second_arrives(_ready_to_probe(make))


def wall_clock(make: Make) -> bool:
    """Return True when setting the wall clock back by an hour does not make the wait longer."""
    circuit, arrived = _ready_to_probe(make), threading.Event()
    module = sys.modules[type(circuit).__module__]
    with mock.patch.object(module, "datetime", _AnHourLess, create=True), suppress(Exception):
        circuit(arrived.set)()
    return arrived.is_set()


GIVEN: dict[str, Callable[[Make], bool]] = {"en paralelo": in_parallel, "una prueba": one_probe, "reloj": wall_clock}
