"""Service discovery: a registry that knows who is alive, and clients that survive when it does not.

The core (`Registry`) is pure: no sockets, no threads, the clock is a parameter. Around it stand an HTTP API
(`registry_app`, Flask), which also speaks the part of Eureka's REST API that `py-eureka-client` uses, and
the clients: `DiscoveryClient` and `Registration` on requests, `AsyncDiscoveryClient` and
`AsyncRegistration` on aiohttp. What runs in the background (`Evictor`, `HealthChecker`, the heartbeat of a
registration) runs only after `start()` and until `stop()`.

    registry = Registry(ttl=30)
    registry.register("inventario", "http://127.0.0.1:5001")
    registry.pick("inventario").url

Sources: Consul's catalog, health checks and blocking queries; Netflix Eureka's leases, self-preservation and
REST operations; Nygard, "Release It!", 2nd ed., ch. 9 (Interconnect: discovery and load balancing).
"""

import logging
from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.discovery.background import Evictor, HealthChecker
from labkit.patterns.discovery.client import DiscoveryClient
from labkit.patterns.discovery.errors import (
    DiscoveryError,
    NoInstanceAnswered,
    NoInstances,
    RegistryUnavailable,
    UnknownInstance,
)
from labkit.patterns.discovery.instance import Change, Eviction, Instance, Snapshot, Status
from labkit.patterns.discovery.registration import Registration
from labkit.patterns.discovery.registry import Registry
from labkit.patterns.discovery.round_robin import RoundRobin
from labkit.patterns.discovery.server import registry_app

if TYPE_CHECKING:
    from labkit.patterns.discovery.aio import AsyncDiscoveryClient, AsyncRegistration, registration_ctx

__all__ = [
    "AsyncDiscoveryClient",
    "AsyncRegistration",
    "Change",
    "DiscoveryClient",
    "DiscoveryError",
    "Eviction",
    "Evictor",
    "HealthChecker",
    "Instance",
    "InvalidInput",
    "NoInstanceAnswered",
    "NoInstances",
    "Registration",
    "Registry",
    "RegistryUnavailable",
    "RoundRobin",
    "Snapshot",
    "Status",
    "UnknownInstance",
    "registration_ctx",
    "registry_app",
]

# What the clients survive they log; whether that is shown is for the application to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_ASYNC = {"AsyncDiscoveryClient", "AsyncRegistration", "registration_ctx"}


def __getattr__(name: str) -> Any:
    # aiohttp costs a tenth of a second to import: only who uses the asynchronous side pays for it.
    if name in _ASYNC:
        from labkit.patterns.discovery import aio

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
