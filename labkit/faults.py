"""Faults that are injected into a running service: what it costs its callers when it is slow, or fails.

    with inventario.faults.delay(0.5, probability=0.3, seed=7):
        ...                                             # three of ten requests wait; over at the end
    fault = pagos.faults.error(503, every=10)           # until fault.clear() or pagos.faults.clear()
    inventario.faults.hang(path="/stock")               # accepted, read, not answered until it is cleared
    grupo[1].faults.drop()                              # one instance; grupo.faults.drop() for each of them

A request meets faults when it arrives, before the application sees it. There all of them are decided,
under one lock that also writes the request into the journal: `every=10` is the tenth, twentieth…
matching request in the journal's order, whoever calls at the same time, and a seed picks the same
positions in that order on each run. Every fault counts by itself and for all requests that match it,
also those that another fault answers.

Where several hit one request they act in this order, whatever the order in which they were injected:
delays (they add up), hangs, a dropped connection, an error (of several the one injected last). A request that
is dropped does not reach the error, and one that gets an error does not reach the application.

Clearing a fault releases the requests that wait in it: each goes on at once and is answered as usual. As in
a slow service, a delayed request is served also when its client gave up; as after a pause, one that hung is
not.

Faults belong to the service: they survive a restart, with their counts, and end when its name is served
anew. `stop` gives delays its grace and cuts those that hang without waiting for them.

The names of the faults are those of toxiproxy and Envoy's fault filter where these have one.
"""

from __future__ import annotations

import json
import math
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Generic, Protocol, TypedDict, TypeVar, Unpack, overload
from weakref import WeakSet

from labkit import messages
from labkit.entries import FAULTS, Noted
from labkit.errors import BadFault
from labkit.journal import Journal

LONGEST = 86_400.0  # seconds
_NO_CONTENT = (204, 304)  # RFC 9110: answers that have no body

Made = TypeVar("Made", covariant=True)


class Conditions(TypedDict, total=False):
    """The requests that a fault hits; see Injector."""

    every: int | None
    probability: float | None
    seed: int | None
    path: str | None
    method: str | None


class Injector(ABC, Generic[Made]):
    """Injection of faults, into one service or into each member of a group.

    Which requests: all, every n-th (`every`), or each with a `probability` from 0 to 1, for which a
    `seed` makes the choice the same on each run (the seed is joined with the service's name, so that the
    instances of a group do not fail in step). `path`: only that path and what lies below it: `/stock` is
    also `/stock/7`, but not `/stockholm`. `method`: only that one. Only requests that match are counted.

    Each method raises BadFault (a ValueError) for values that make no sense, and then injects nothing.
    """

    @abstractmethod
    def _inject(self, make: Callable[[Faults], Fault]) -> Made:
        """Make a fault and put it into force."""

    @abstractmethod
    def clear(self) -> None:
        """End all faults; requests that wait in one go on."""

    def delay(self, seconds: float, *, jitter: float = 0.0, **when: Unpack[Conditions]) -> Made:
        """Let requests wait `seconds` ± `jitter` seconds before the application sees them.

        The jitter is uniform, and with a seed the same on each run.
        """
        hits = When(**when)
        return self._inject(lambda faults: Delay(faults, hits, seconds, jitter))

    def error(
        self,
        status: int = 500,
        *,
        body: str | bytes | dict[str, Any] | list[Any] | None = None,
        retry_after: int | None = None,
        **when: Unpack[Conditions],
    ) -> Made:
        """Answer with a `status` from 200 to 599 in the application's place.

        `body`: text, bytes, or a dict or list that becomes JSON; the status line if not given.
        `retry_after`: seconds, for the header Retry-After (RFC 9110, 10.2.3).
        """
        hits = When(**when)
        return self._inject(lambda faults: Error(faults, hits, status, body, retry_after))

    def hang(self, **when: Unpack[Conditions]) -> Made:
        """Accept and read requests (the head; the body where it is asked for) and do not answer them.

        Those that wait are answered when the fault is cleared, and cut when the service ends.
        """
        hits = When(**when)
        return self._inject(lambda faults: Hang(faults, hits))

    def drop(self, **when: Unpack[Conditions]) -> Made:
        """Close the connection without an answer.

        A client that keeps connections alive may ask once more by itself, on a new one: aiohttp's does
        for methods that are safe to repeat. The journal shows both requests.
        """
        hits = When(**when)
        return self._inject(lambda faults: Drop(faults, hits))


class Faults(Injector["Fault"]):
    """The faults of one service: inject them here, see them, clear them.

    `active`: those in force, in the order in which they were injected; also by iteration and `len`.
    `injected`: how many times a fault met a request, those that were cleared included.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.active: tuple[Fault, ...] = ()  # replaced, never changed: servers read it without the lock
        self.injected = 0
        self._lock = threading.Lock()
        self._servers: WeakSet[Waker] = WeakSet()

    def clear(self) -> None:
        self._clear(self.active)

    def __len__(self) -> int:
        return len(self.active)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.active)

    def __repr__(self) -> str:
        return _lines(self.active) or f"{self.name} · {messages.NO_FAULTS}"

    # for servers

    def attach(self, server: Waker) -> None:
        """Register a server to be woken when a fault is injected or cleared, as long as it is in use."""
        with self._lock:
            self._servers.add(server)

    def meet(self, journal: Journal, method: str, target: str, path: str) -> FaultPlan:
        """Note a request in the journal and decide which faults it meets: its fault plan.

        `target` is what the request line says, `path` the decoded path without a query.
        """
        with self._lock:
            noted = journal.begin(method, target)
            hits = [(fault, fault.draw()) for fault in self.active if fault.hits(method, path)]
        return FaultPlan(noted, hits)

    def forget_threads(self) -> None:
        """Reset what threads may hold, in a copy of the kernel made by `fork`."""
        self._lock, self._servers = threading.Lock(), WeakSet()

    # for faults

    def _inject(self, make: Callable[[Faults], Fault]) -> Fault:
        return self._enforce(make(self))

    def _enforce(self, fault: Fault) -> Fault:
        with self._lock:
            self.active = (*self.active, fault)
            servers = list(self._servers)
        for server in servers:
            server.wake()
        return fault

    def _clear(self, faults: Sequence[Fault]) -> None:
        with self._lock:
            for fault in faults:
                fault.cleared = True
            self.active = tuple(fault for fault in self.active if not fault.cleared)
            servers = list(self._servers)
        for server in servers:
            server.wake()

    def _count(self, fault: Fault) -> None:
        with self._lock:
            fault.injected += 1
            self.injected += 1


class GroupFaults(Injector["FaultGroup"]):
    """The faults of a group: what is injected here goes to every member, with a count of its own for each."""

    def __init__(self, members: Sequence[Faults]) -> None:
        self.members = list(members)

    @property
    def injected(self) -> int:
        """The number of requests that a fault met, over all members."""
        return sum(faults.injected for faults in self.members)

    def clear(self) -> None:
        for faults in self.members:
            faults.clear()

    def _inject(self, make: Callable[[Faults], Fault]) -> FaultGroup:
        made = [(faults, make(faults)) for faults in self.members]  # all, before any is in force
        return FaultGroup([faults._enforce(fault) for faults, fault in made])

    def __len__(self) -> int:
        return sum(len(faults) for faults in self.members)

    def __iter__(self) -> Iterator[Fault]:
        return (fault for faults in self.members for fault in faults)

    def __repr__(self) -> str:
        return "\n".join(repr(faults) for faults in self.members)


class Fault:
    """One fault of one service, in force until `clear()` or the end of its `with` block.

    `seen`: how many requests matched; `injected`: how many of them it met.
    """

    name: ClassVar[str]
    random_besides = False  # True where it throws dice for more than which requests it hits

    def __init__(self, faults: Faults, when: When) -> None:
        self.when = when
        self.cleared = False
        self.seen = self.injected = 0
        self._faults = faults
        # Two, so that the same requests are hit with jitter and without.
        self._choice, self._jitter = self._dice(), self._dice()
        if when.seed is not None and when.probability is None and not self.random_besides:
            raise BadFault(messages.SEED_FOR_NOTHING.format(seed=when.seed))

    def _dice(self) -> random.Random:
        seed = self.when.seed
        return random.Random() if seed is None else random.Random(f"{seed}/{self._faults.name}")

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._faults.name

    @property
    def what(self) -> str:
        """The effect in a few words: `error 503`."""
        return self.name

    def clear(self) -> None:
        """End the fault; requests that wait in it go on. A fault that is cleared stays so."""
        self._faults._clear([self])

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        times = messages.FAULT_TIMES[self.injected != 1].format(count=self.injected)
        parts = [self.what, *self.when.words(), times]
        return " · ".join([*parts, messages.FAULT_CLEARED] if self.cleared else parts)

    # for Faults.meet, under its lock

    def hits(self, method: str, path: str) -> bool:
        """Count an arrival and decide about it."""
        if not self.when.matches(method, path):
            return False
        self.seen += 1
        if self.when.every is not None:
            return self.seen % self.when.every == 0
        return self.when.probability is None or self._choice.random() < self.when.probability

    def draw(self) -> float | None:
        """Return the seconds that a request that was hit waits; None: no such number."""
        return None


class FaultGroup(Sequence[Fault]):
    """One fault in each member of a group, cleared together."""

    def __init__(self, members: Sequence[Fault]) -> None:
        self.members = list(members)

    @property
    def injected(self) -> int:
        """The number of requests that they met together."""
        return sum(fault.injected for fault in self.members)

    @property
    def cleared(self) -> bool:
        """True when all are cleared."""
        return all(fault.cleared for fault in self.members)

    def clear(self) -> None:
        """End all of them."""
        for fault in self.members:
            fault.clear()

    @overload
    def __getitem__(self, index: int) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> list[Fault]: ...
    def __getitem__(self, index: int | slice) -> Fault | list[Fault]:
        return self.members[index]

    def __len__(self) -> int:
        return len(self.members)

    def __enter__(self) -> FaultGroup:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        return _lines(self.members)


class Delay(Fault):
    """Requests wait."""

    name = messages.DELAY

    def __init__(self, faults: Faults, when: When, seconds: float, jitter: float) -> None:
        self.seconds = _seconds("seconds", seconds)
        if not _is_number(jitter) or not 0 <= jitter <= seconds:
            raise BadFault(messages.BAD_JITTER.format(jitter=jitter, seconds=seconds))
        self.jitter = float(jitter)
        self.random_besides = jitter > 0
        super().__init__(faults, when)

    @property
    def what(self) -> str:
        spread = f" ± {self.jitter:g}" if self.jitter else ""
        return messages.DELAY_OF.format(seconds=f"{self.seconds:g}{spread}")

    def draw(self) -> float:
        return self.seconds + self.jitter * self._jitter.uniform(-1, 1)


class Error(Fault):
    """An answer in the application's place."""

    name = messages.ERROR

    def __init__(
        self, faults: Faults, when: When, status: int, body: object, retry_after: int | None
    ) -> None:
        if not _is_whole(status) or not 200 <= status <= 599:
            raise BadFault(messages.BAD_STATUS.format(status=status))
        if retry_after is not None and (not _is_whole(retry_after) or retry_after < 0):
            raise BadFault(messages.BAD_RETRY_AFTER.format(retry_after=retry_after))
        self.status = status
        self.reason = HTTPStatus(status).phrase if status in list(HTTPStatus) else messages.UNKNOWN_STATUS
        self.body, kind = _encode(f"{status} {self.reason}" if body is None else body)
        self.headers = {"Content-Type": kind}
        self.has_body = status not in _NO_CONTENT
        if not self.has_body:
            self.body, self.headers = b"", {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        super().__init__(faults, when)

    @property
    def what(self) -> str:
        return f"{self.name} {self.status}"


class Hang(Fault):
    """Requests are read and not answered."""

    name = messages.HANG


class Drop(Fault):
    """Connections are closed without an answer."""

    name = messages.DROP


@dataclass(frozen=True)
class When:
    """Which requests a fault hits; see Injector. Raises BadFault for what makes no sense."""

    every: int | None = None
    probability: float | None = None
    seed: int | None = None
    path: str | None = None
    method: str | None = None

    def __post_init__(self) -> None:
        every, probability, seed, path, method = (
            self.every,
            self.probability,
            self.seed,
            self.path,
            self.method,
        )
        if every is not None and (not _is_whole(every) or every < 1):
            raise BadFault(messages.BAD_EVERY.format(every=every))
        if probability is not None and (not _is_number(probability) or not 0 <= probability <= 1):
            raise BadFault(messages.BAD_PROBABILITY.format(probability=probability))
        if every is not None and probability is not None:
            raise BadFault(messages.EVERY_OR_PROBABILITY.format(every=every, probability=probability))
        if seed is not None and not _is_whole(seed):
            raise BadFault(messages.BAD_SEED.format(seed=seed))
        if path is not None and not (isinstance(path, str) and path.startswith("/") and "?" not in path):
            raise BadFault(messages.BAD_PATH.format(path=path))
        if method is not None and not (isinstance(method, str) and method.isalpha()):
            raise BadFault(messages.BAD_METHOD.format(method=method))

    def matches(self, method: str, path: str) -> bool:
        """Return True for a request that counts."""
        if self.method is not None and method != self.method.upper():
            return False
        if self.path is None:
            return True
        folder = self.path.rstrip("/")
        return path == folder or path.startswith(f"{folder}/")

    def words(self) -> list[str]:
        """Return the conditions in words; nothing for all requests."""
        words = []
        if self.every is not None:
            words.append(messages.FAULT_EVERY.format(every=self.every))
        if self.probability is not None:
            words.append(messages.FAULT_PROBABILITY.format(probability=self.probability))
        if self.method is not None:
            words.append(messages.FAULT_METHOD.format(method=self.method.upper()))
        if self.path is not None:
            words.append(messages.FAULT_PATH.format(path=self.path))
        return words


class FaultPlan:
    """A request and the faults that hit it, as decided on its arrival, to be lived through by a server.

    In this order: wait for each of `waits()`, and end as `ending()` says. A fault counts, and shows in the
    journal, when it does something: one that was cleared meanwhile no longer does.
    """

    def __init__(self, noted: Noted, hits: list[tuple[Fault, float | None]]) -> None:
        self.noted = noted
        self.hits = hits

    def waits(self) -> Iterator[tuple[Fault, float | None]]:
        """Yield the faults to wait in until they are cleared, and at most how many seconds."""
        for kind in (Delay, Hang):
            for fault, seconds in self.hits:
                if isinstance(fault, kind) and self.apply(fault):
                    yield fault, seconds

    def ending(self) -> Drop | Error | None:
        """Return what happens in the application's place, if anything does."""
        return self._last(Drop) or self._last(Error)

    def _last(self, kind: type[_Kind]) -> _Kind | None:
        for fault, _ in reversed(self.hits):
            if isinstance(fault, kind) and self.apply(fault):
                return fault
        return None

    def apply(self, fault: Fault) -> bool:
        """Count a fault that is about to act; False when it is not in force any more."""
        if fault.cleared:
            return False
        self.noted[FAULTS] = (*self.noted[FAULTS], fault.name)
        fault._faults._count(fault)
        return True


_Kind = TypeVar("_Kind", bound=Fault)


class Waker(Protocol):
    """A server, as seen from here."""

    def wake(self) -> None:
        """Wake the requests that wait in a fault: one was injected or cleared."""


def _lines(faults: Sequence[Fault]) -> str:
    return "\n".join(f"{fault.service} · {fault!r}" for fault in faults)


def _encode(body: object) -> tuple[bytes, str]:
    """Return the body's bytes and media type."""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    try:
        if isinstance(body, str):
            return body.encode(), "text/plain; charset=utf-8"
        if isinstance(body, dict | list):
            return json.dumps(body, ensure_ascii=False).encode(), "application/json"
    except (TypeError, ValueError):
        pass
    raise BadFault(messages.BAD_BODY.format(body=body))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _seconds(name: str, value: float) -> float:
    if not _is_number(value) or not 0 <= value <= LONGEST:
        raise BadFault(messages.BAD_FAULT_SECONDS.format(name=name, value=value, longest=LONGEST))
    return float(value)
