"""Lesson 08's service that is down and comes back, on a virtual clock, how a tail of latencies is told, and a page."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

PAGE = """<meta charset="utf-8"><h1>Precios en vivo</h1><ul id="lista"></ul><script>
const fuente = new EventSource("precios");
fuente.onmessage = suceso => { lista.innerHTML += `<li>${suceso.lastEventId}: ${suceso.data}</li>`; };
</script>"""


class Outage:
    """A service that is down for two seconds, then serves `per_second` requests each second, by the loop's clock.

    `arrivals` and `served`: how many in each second.
    """

    def __init__(self, per_second: int = 20) -> None:
        self.per_second = per_second
        self.arrivals, self.served = Counter[int](), Counter[int]()

    async def charge(self) -> None:
        """Serve a request. Raises ConnectionError while down, and where too many come in a second."""
        second = int(asyncio.get_running_loop().time())
        self.arrivals[second] += 1
        if second < 2 or self.served[second] == self.per_second:
            raise ConnectionError("pagos no atiende")
        self.served[second] += 1

    def summary(self) -> dict[str, int]:
        """Return the worst second after the outage, the requests in all, and the second of the last one served."""
        worst = max(count for second, count in self.arrivals.items() if second >= 2)
        return {"peor segundo": worst, "en total": self.arrivals.total(), "último atendido": max(self.served)}

    def along(self, end: int) -> list[tuple[int, int]]:
        """Return the requests in each second."""
        return [(second, self.arrivals[second]) for second in range(end)]


def tail(times: Sequence[float]) -> list[tuple[float, float]]:
    """Return the latencies at the percentiles from 90 to 100."""
    ordered = sorted(times)
    return [(tenth / 10, ordered[(len(ordered) - 1) * tenth // 1000]) for tenth in range(900, 1001, 5)]
