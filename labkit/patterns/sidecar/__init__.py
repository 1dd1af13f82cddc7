"""Sidecar: a process beside a service that takes over what every service would have to write again.

The service answers its own questions and nothing else. Beside it, one port before it, stands a proxy that
logs, measures, retries, balances, checks health, caches and, when told, fails on purpose. The service's code
does not change, and it may be written in any language.

    labkit.serve(sidecar("http://127.0.0.1:5001", cache=CacheSettings()), name="sidecar")

It answers what concerns itself under /.sidecar/: `health` (it lives), `ready` (it lives and so does the
service), `metrics` (Prometheus) and `cache` (what the cache did).

Composed of `labkit.patterns.proxy` (streaming, retries, deadlines) and `labkit.patterns.discovery` (turns,
registry): `config` says what, `sidecar` puts it together; `balance`, `health`, `faults`, `metrics` and
`cache` each do one thing.

Sources: Burns and Oppenheimer, "Design patterns for container-based distributed systems" (2016); Envoy;
RFC 9111 for the cache.
"""

from labkit.patterns.sidecar.balance import Balancer, Outlier
from labkit.patterns.sidecar.cache import Cache
from labkit.patterns.sidecar.config import CacheSettings, SidecarConfig
from labkit.patterns.sidecar.faults import Fault, Faults
from labkit.patterns.sidecar.health import HealthCheck, HealthMonitor, Notice
from labkit.patterns.sidecar.sidecar import Sidecar, sidecar

__all__ = [
    "Balancer",
    "Cache",
    "CacheSettings",
    "Fault",
    "Faults",
    "HealthCheck",
    "HealthMonitor",
    "Notice",
    "Outlier",
    "Sidecar",
    "SidecarConfig",
    "sidecar",
]
