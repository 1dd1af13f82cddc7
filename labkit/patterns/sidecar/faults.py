"""Faults on purpose, where every request passes anyway: the service need not know how to fail."""

import asyncio
import random
from dataclasses import dataclass

from aiohttp import web

from labkit.patterns._given import valid_count, valid_fraction, valid_seconds
from labkit.patterns.proxy import ProxyError
from labkit.patterns.sidecar import messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to some requests before the service sees them. Raises ValueError for nonsense.

    `every`: to each so-many-th request, or `probability`: to each with this chance, 0 to 1. `status`: answer
    this; `drop`: cut the connection; `delay`: seconds to wait, before either or before the service.
    `path`: only where the path begins so.
    """

    every: int | None = None
    probability: float | None = None
    status: int | None = None
    drop: bool = False
    delay: float | None = None
    path: str = "/"

    def __post_init__(self) -> None:
        if (self.every is None) == (self.probability is None):
            raise ValueError(messages.BAD_WHEN)
        if self.every is not None:
            valid_count("every", self.every)
        if self.probability is not None:
            valid_fraction("probability", self.probability, zero=True)
        if self.delay is not None:
            valid_seconds("delay", self.delay)
        if (self.status is not None and self.drop) or not (self.status or self.drop or self.delay):
            raise ValueError(messages.BAD_FAULT)
        if self.status is not None and (not isinstance(self.status, int) or not 400 <= self.status <= 599):
            raise ValueError(messages.BAD_FAULT_STATUS.format(given=self.status))
        if not isinstance(self.path, str) or not self.path.startswith("/"):
            raise ValueError(messages.BAD_PATH.format(name="path", given=self.path))


class Faults:
    """Count requests against the faults of the moment; `active` may be changed while running."""

    def __init__(self, active: tuple[Fault, ...] = (), seed: int | None = None) -> None:
        self.active = active
        self.injected = 0
        self._seen: dict[Fault, int] = {}
        self._random = random.Random(seed)

    async def apply(self, request: web.Request) -> None:
        """Wait, raise a ProxyError, or cut the connection, as the faults say; most often do nothing."""
        for fault in self.active:
            if not request.raw_path.startswith(fault.path) or not self._strikes(fault):
                continue
            self.injected += 1
            if fault.delay is not None:
                await asyncio.sleep(fault.delay)
            if fault.drop:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError(messages.INJECTED)
            if fault.status is not None:
                raise ProxyError(fault.status, "proxy_configuration_error", messages.INJECTED)

    def _strikes(self, fault: Fault) -> bool:
        if fault.probability is not None:
            return self._random.random() < fault.probability
        assert fault.every is not None
        self._seen[fault] = self._seen.get(fault, 0) + 1
        return self._seen[fault] % fault.every == 0
