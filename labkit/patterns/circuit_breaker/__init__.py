"""Circuit breaker: stop calling what keeps failing, and find out with few calls when it is well again.

    breaker = CircuitBreaker("pagos", fail_threshold=3, reset_timeout=10)
    breaker.call(requests.post, url, json=cobro, timeout=2)   # or `await breaker.acall(…)`
    breaker.state                                             # "closed" "open" "half-open"

The same as a decorator, `@breaker`, and as a block, `with breaker:` or `async with breaker:`. The core is
plain Python with a clock as a parameter; what speaks HTTP loads its library only when it is used:
`answer_open_circuits` for Flask, `open_circuit_middleware` for aiohttp, `BreakerAdapter` for requests.

Together with the other protections the order is, from the outside in:

    retry( breaker( bulkhead( timeout( call ) ) ) )

- The retry outside: each attempt is counted and may be refused. It must not repeat a CircuitOpenError before
  its `retry_after`. Inside the breaker, a whole series of attempts would count as one failure, and would go
  on against a circuit that has opened meanwhile.
- The bulkhead inside: an open circuit takes no place in it. Its BulkheadFullError is a lack of room here and
  no failure there, so the breaker gets `ignore=BulkheadFullError`.
- The timeout innermost: a late answer is then a failure that the breaker counts and a place that the bulkhead
  gets back. Around the breaker, `asyncio.timeout` cancels the call; a cancelled call does not count, and the
  circuit to a service that hangs never opens.

Sources: Nygard, "Release It!", 2nd ed., ch. 5; Fowler, "CircuitBreaker", 2014; Resilience4j, "CircuitBreaker"
(windows, slow calls, half-open permits) and its order of aspects.
"""

import logging
from typing import TYPE_CHECKING, Any

from labkit.patterns.circuit_breaker.breaker import CircuitBreaker
from labkit.patterns.circuit_breaker.errors import CircuitOpenError
from labkit.patterns.circuit_breaker.events import STATES, Event, Metrics, Rejection, State, StateChange
from labkit.patterns.circuit_breaker.http import open_circuit_answer, open_circuit_of, service_failed
from labkit.patterns.circuit_breaker.windows import CountWindow, TimeWindow

if TYPE_CHECKING:
    from labkit.patterns.circuit_breaker.aiohttp_side import open_circuit_middleware
    from labkit.patterns.circuit_breaker.flask_side import answer_open_circuits
    from labkit.patterns.circuit_breaker.requests_side import BreakerAdapter

__all__ = [
    "STATES",
    "BreakerAdapter",
    "CircuitBreaker",
    "CircuitOpenError",
    "CountWindow",
    "Event",
    "Metrics",
    "Rejection",
    "State",
    "StateChange",
    "TimeWindow",
    "answer_open_circuits",
    "open_circuit_answer",
    "open_circuit_middleware",
    "open_circuit_of",
    "service_failed",
]

# A listener that fails is logged; whether that is shown is for the application to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # Flask, aiohttp and requests cost a tenth of a second each: only who uses one pays for it.
    if name == "answer_open_circuits":
        from labkit.patterns.circuit_breaker.flask_side import answer_open_circuits

        return answer_open_circuits
    if name == "open_circuit_middleware":
        from labkit.patterns.circuit_breaker.aiohttp_side import open_circuit_middleware

        return open_circuit_middleware
    if name == "BreakerAdapter":
        from labkit.patterns.circuit_breaker.requests_side import BreakerAdapter

        return BreakerAdapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
