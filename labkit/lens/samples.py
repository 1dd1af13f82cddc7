"""The outcome of a load: every request, and the numbers that follow from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import BadArgument, WrongType
from labkit.lens import load_messages as messages

_NEVER_WAITED = (messages.REFUSED, messages.CUT, messages.NOT_HTTP, messages.OWN_LIMIT)


@dataclass(slots=True)
class Sample:
    """One request.

    `start`: seconds from the beginning of the load to when it was sent, or should have been (open loop);
    `latency`: seconds from then to its end; `outcome`: a status (`"200"`) or how else it ended;
    `instance`: who answered, where the answer says so; `target`: what was asked (`"GET pedidos /"`).
    """

    start: float
    latency: float
    outcome: str
    instance: str | None = None
    target: str = ""

    @property
    def end(self) -> float:
        """Seconds from the beginning of the load to its end."""
        return self.start + self.latency

    @property
    def ok(self) -> bool:
        """True when it was answered by a status below 400."""
        return self.outcome.isdigit() and int(self.outcome) < 400


@dataclass(repr=False)
class Samples:
    """The requests of a load, and what follows from them.

    `samples`: every request in the order of sending; `elapsed`: seconds from the first send to the last
    end; `generator_limited`: True where the generator was the limit, or one of them; `notes`: in words, what
    is to be known about the measurement. As text it holds counts and no times.
    """

    samples: list[Sample]
    elapsed: float
    generator_limited: bool = False
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def counts(self) -> dict[str, int]:
        """The number of requests by outcome: by status, then the other ways to end."""
        return _sorted(Counter(sample.outcome for sample in self.samples))

    @property
    def instances(self) -> dict[str, int]:
        """The number of answers of each instance, where the answers name it."""
        return _sorted(Counter(sample.instance for sample in self.samples if sample.instance is not None))

    @property
    def targets(self) -> dict[str, dict[str, int]]:
        """The counts for each target of a mix."""
        by_target: dict[str, Counter[str]] = {}
        for sample in self.samples:
            by_target.setdefault(sample.target, Counter())[sample.outcome] += 1
        return {target: _sorted(by_target[target]) for target in sorted(by_target)}

    @property
    def ok(self) -> int:
        """The number that were answered by a status below 400."""
        return sum(sample.ok for sample in self.samples)

    @property
    def errors(self) -> int:
        """The number of requests that were not answered by a status below 400."""
        return len(self.samples) - self.ok

    @property
    def throughput(self) -> float:
        """Answers with a status below 400, per second."""
        return self.ok / self.elapsed if self.elapsed else 0.0

    @property
    def latencies(self) -> list[float]:
        """Seconds that each client waited for an answer, ascending.

        Who waited in vain is among them with the time waited: a service that hangs would look quick
        otherwise. Who was refused or cut off is not: that goes quickly and is no answer.
        """
        return sorted(sample.latency for sample in self.samples if sample.outcome not in _NEVER_WAITED)

    def percentile(self, percent: float) -> float:
        """Return the latency, in seconds, that so many percent do not exceed (nearest rank).

        Raises ValueError where nobody waited, or for a percentage outside 0 to 100.
        """
        latencies = self.latencies
        if not latencies or not 0 <= percent <= 100:
            raise BadArgument(messages.NO_PERCENTILE.format(percent=percent, count=len(latencies)))
        rank = -(-percent * len(latencies) // 100)
        return latencies[max(0, int(rank) - 1)]

    @property
    def percentiles(self) -> dict[int, float]:
        """Seconds: the median, what 90, 95 and 99 of a hundred do not exceed, and the longest."""
        return {p: self.percentile(p) for p in (50, 90, 95, 99, 100)} if self.latencies else {}

    def __repr__(self) -> str:
        if not self.samples:
            return messages.NO_SAMPLES
        lines = [messages.REQUESTS[len(self) != 1].format(count=len(self)), in_words(self.counts)]
        if len(self.targets) > 1:
            lines += [f"{target} → {in_words(counts)}" for target, counts in self.targets.items()]
        if self.instances:
            lines.append(messages.BY_INSTANCE.format(counts=in_words(self.instances)))
        return "\n".join(lines)


def named(results: Sequence[Any], names: Sequence[str]) -> dict[str, Samples]:
    """Return the results by name, in order. Raises TypeError and ValueError."""
    names = list(names) if isinstance(names, Sequence) else []
    for result in results:
        if not isinstance(result, Samples):
            raise WrongType(messages.NOT_A_RESULT.format(given=repr(result)))
    by_name = dict(zip(names, results, strict=False))
    if not results or not len(results) == len(names) == len(by_name):
        raise BadArgument(messages.NAMES_OF_RESULTS.format(results=len(results), names=len(names)))
    return by_name


def in_words(counts: dict[str, int]) -> str:
    """Return `200: 183 · 503: 17`."""
    return " · ".join(f"{name}: {count}" for name, count in counts.items())


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts, key=lambda name: (not name.isdigit(), name))}
