"""A shared HTTP cache true to RFC 9111: what may be kept, for how long, and for whom.

`rules` reads headers and judges, with no state and no clock of its own; `store` keeps answers in memory,
bounded; `cache` passes requests through both, asks once for many waiters and validates what is stale.

Sources: RFC 9111 (HTTP caching), RFC 9110 (13: conditional requests, 14: ranges), RFC 5861 (4:
stale-if-error), RFC 9211 (Cache-Status).
"""

from labkit.patterns.sidecar.cache.cache import Cache, CacheStats
from labkit.patterns.sidecar.cache.rules import Directives, Stored
from labkit.patterns.sidecar.cache.store import Store

__all__ = ["Cache", "CacheStats", "Directives", "Store", "Stored"]
