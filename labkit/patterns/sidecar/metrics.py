"""What a sidecar has seen, in Prometheus' text format (exposition format 0.0.4).

Labels are few and bounded: no path and no client, each of which would make a time series of its own.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Labels = Mapping[str, str]


class Metrics:
    """Requests by method and status, and how long they took."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def record(self, method: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.requests[method if method in _METHODS else "OTHER", status] += 1
        self._buckets[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def lines(self) -> Iterator[str]:
        """Yield the text, line by line."""
        yield from family(
            "sidecar_requests_total",
            "counter",
            "Requests answered, by method and status; 499: the client left.",
            (
                ({"method": method, "status": str(status)}, count)
                for (method, status), count in sorted(self.requests.items())
            ),
        )
        yield from family("sidecar_requests_in_flight", "gauge", "Requests now.", [({}, self.in_flight)])
        name = "sidecar_request_seconds"
        yield f"# HELP {name} Time of a request, its body included."
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*BUCKETS, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._seconds!r}"
        yield f"{name}_count {total}"


def family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    """Yield one metric: its help, its type and a line for each set of labels."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
