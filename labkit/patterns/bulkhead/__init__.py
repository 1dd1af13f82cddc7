"""Bulkheads: compartments that bound how much of the whole one dependency can take.

`Bulkhead` lets so many calls in, from threads and from asyncio alike, and refuses the others at once or after
a bounded wait. `BulkheadPool` has threads of its own and a bounded queue. Both are for one dependency each:

    BULKHEADS = {"pagos": Bulkhead(3, name="pagos"), "envios": Bulkhead(10, max_wait=0.2, name="envios")}
    BULKHEADS["pagos"].call(charge, order)

The limit may be changed while calls run, by hand (`pagos.limit = 5`) or by an algorithm, `AIMD` or `Vegas`.
Over HTTP a full bulkhead is 503 with Retry-After: `BulkheadMiddleware` for Flask and any WSGI application,
`bulkhead_middleware` for aiohttp, `full_response` for a Flask view that enters a bulkhead itself.

With other patterns, from the outside in: retry → circuit breaker → bulkhead → timeout → the call.

    retry(lambda: breaker.call(pagos.call, charge, order, timeout=1))

- The breaker outside: while it is open nothing takes a permit. It must ignore BulkheadFullError
  (`ignore=BulkheadFullError`): a full bulkhead is our own decision and says nothing about the dependency;
  counted as a failure, a burst of traffic would open the circuit of a healthy service.
- The timeout inside, and such that it ends the work (a socket's, `asyncio.timeout` around a coroutine). A
  timeout outside only ends the waiting for it: the permit stays with the work, as it should, and a dependency
  that hangs keeps all of them.
- The retry outside all: inside the bulkhead it would sleep between attempts with a permit in its hand. A
  refused call is worth another attempt only after `retry_after` seconds, and some chance added.

A limit is no rate limit: it bounds how many at a time, whatever the number per second. Little's law joins the
two: in use = calls per second × seconds per call.

Sources: Nygard, "Release It!", 2nd ed., ch. 5 (Bulkheads); Resilience4j's SemaphoreBulkhead and
ThreadPoolBulkhead; Netflix's Hystrix (isolation by thread and by semaphore) and concurrency-limits.
"""

import logging
from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead.bulkhead import Bulkhead, Permit
from labkit.patterns.bulkhead.compartments import full_response
from labkit.patterns.bulkhead.errors import BulkheadClosedError, BulkheadError, BulkheadFullError
from labkit.patterns.bulkhead.events import BulkheadEvent, Metrics, Outcome, calls
from labkit.patterns.bulkhead.limits import AIMD, LimitAlgorithm, Sample, Vegas
from labkit.patterns.bulkhead.pool import BulkheadPool

if TYPE_CHECKING:
    from labkit.patterns.bulkhead.aio import bulkhead_middleware
    from labkit.patterns.bulkhead.wsgi import BulkheadMiddleware

__all__ = [
    "AIMD",
    "Bulkhead",
    "BulkheadClosedError",
    "BulkheadError",
    "BulkheadEvent",
    "BulkheadFullError",
    "BulkheadMiddleware",
    "BulkheadPool",
    "InvalidInput",
    "LimitAlgorithm",
    "Metrics",
    "Outcome",
    "Permit",
    "Sample",
    "Vegas",
    "bulkhead_middleware",
    "calls",
    "full_response",
]

# Failed tasks and listeners are logged; whether that is shown is for the application to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # Who serves no HTTP imports nothing of it, and a Flask service no aiohttp.
    if name == "bulkhead_middleware":
        from labkit.patterns.bulkhead.aio import bulkhead_middleware

        return bulkhead_middleware
    if name == "BulkheadMiddleware":
        from labkit.patterns.bulkhead.wsgi import BulkheadMiddleware

        return BulkheadMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
