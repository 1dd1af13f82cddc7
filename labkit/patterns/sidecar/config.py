"""All that a sidecar is told, in one place, refused at once when it makes no sense."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from labkit.patterns._given import valid_count, valid_seconds
from labkit.patterns.proxy import Limits, Retries, Timeouts
from labkit.patterns.proxy.upstreams import service_url
from labkit.patterns.sidecar import messages
from labkit.patterns.sidecar.balance import Outlier
from labkit.patterns.sidecar.faults import Fault
from labkit.patterns.sidecar.health import HealthCheck, Listener

_access = logging.getLogger("labkit.patterns.sidecar.access")


def log_line(line: str) -> None:
    """Write a line of the access log to the logger labkit.patterns.sidecar.access."""
    _access.info("%s", line)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """A cache's bounds, as in `Cache`: bytes in all, bytes of one body, seconds of standing in."""

    max_bytes: int = 16_000_000
    max_entry: int = 1_000_000
    stale_if_error: float = 60.0

    def __post_init__(self) -> None:
        valid_count("max_bytes", self.max_bytes)
        valid_count("max_entry", self.max_entry)
        if self.stale_if_error != 0:
            valid_seconds("stale_if_error", self.stale_if_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarConfig:
    """What a sidecar stands before, and what it does there. Raises ValueError, TypeError for nonsense.

    - `service`: the URL of an instance, or several; or else `registry`, the URL of lesson 01's registry, and
      `discover`, the service's name there
    - `name`: what it calls itself in headers; `prefix`: where it answers for itself
    - `timeout`: seconds for an answer to begin, retries included, None for no such end
    - `health`: None for no active checks; `notices`: functions that hear of each change of health
    - `cache`: None for no cache; `faults`: what fails on purpose; `seed`: for what is drawn by chance
    - `log`: gets each line of the access log
    """

    service: str | Sequence[str] = ()
    registry: str | None = None
    discover: str | None = None
    name: str = "sidecar"
    prefix: str = "/.sidecar"
    timeout: float | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    outlier: Outlier = field(default_factory=Outlier)
    health: HealthCheck | None = None
    notices: Sequence[Listener] = ()
    cache: CacheSettings | None = None
    faults: Sequence[Fault] = ()
    seed: int | None = None
    log: Callable[[str], object] = log_line

    def __post_init__(self) -> None:
        discovers = self.registry is not None and self.discover is not None
        if bool(self.service) == discovers or (self.registry is None) != (self.discover is None):
            raise ValueError(messages.BOTH_SERVICES if self.service else messages.NO_SERVICE)
        if not isinstance(self.service, str | list | tuple):
            raise TypeError(messages.BAD_SERVICE.format(given=self.service))
        urls = [self.service] if isinstance(self.service, str) else self.service
        object.__setattr__(self, "service", tuple(service_url(url) for url in urls if url != ""))
        if not isinstance(self.prefix, str) or not self.prefix.startswith("/") or self.prefix.endswith("/"):
            raise ValueError(messages.BAD_PATH.format(name="prefix", given=self.prefix))
        if self.timeout is not None:
            valid_seconds("timeout", self.timeout)
        for name, kind in _KINDS.items():
            given = getattr(self, name)
            if not isinstance(given, kind) and not (given is None and name in ("health", "cache")):
                accepted = f"{kind.__name__}(…)"
                raise TypeError(messages.BAD_TYPE.format(name=name, given=given, accepted=accepted))
        for name, members in (("faults", self.faults), ("notices", self.notices)):
            if not isinstance(members, list | tuple):
                accepted = "una lista o una tupla"
                raise TypeError(messages.BAD_TYPE.format(name=name, given=members, accepted=accepted))
            object.__setattr__(self, name, tuple(members))
        for fault in self.faults:
            if not isinstance(fault, Fault):
                raise TypeError(messages.BAD_TYPE.format(name="faults", given=fault, accepted="Fault(…)"))
        for listener in (*self.notices, self.log):
            if not callable(listener):
                raise TypeError(messages.BAD_LISTENER.format(given=listener))


_KINDS = {
    "timeouts": Timeouts,
    "limits": Limits,
    "retries": Retries,
    "outlier": Outlier,
    "health": HealthCheck,
    "cache": CacheSettings,
}
