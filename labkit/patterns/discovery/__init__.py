"""Service discovery: a registry of who is alive, and clients that survive without it.

Two cores are pure, without sockets or threads, and the clock is a parameter: `registry` (who is there, who is
well, whose turn it is) and `core` (what a client remembers and decides). Around the first stands an HTTP API
(`registry_app`, Flask); around the second, two thin shells, `DiscoveryClient` on requests and
`AsyncDiscoveryClient` on aiohttp. `Registration` keeps an instance registered. What runs in the background
(`Evictor`, `HealthChecker`, the heartbeat of a registration) runs only from `start()` to `stop()`.
`eureka` is no part of the pattern: an adapter, so that a client of another make (`py-eureka-client`) can use
the same registry.

    registry = Registry(ttl=30)
    registry.register("inventario", "http://127.0.0.1:5001")
    registry.pick("inventario").url

Sources: Consul's catalog, health checks and blocking queries; Netflix Eureka's leases, self-preservation and
REST operations; Nygard, "Release It!", 2nd ed., ch. 9 (Interconnect: discovery and load balancing).
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.discovery.background import Evictor
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
    from labkit.patterns.discovery.aio import AsyncDiscoveryClient
    from labkit.patterns.discovery.health import HealthChecker

__all__ = [
    "AsyncDiscoveryClient",
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
    "registry_app",
]

# What the clients survive they log; whether that is shown is for the application to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# aiohttp costs a tenth of a second to import: only who uses it pays for it.
_LAZY = {"AsyncDiscoveryClient": "aio", "HealthChecker": "health"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
