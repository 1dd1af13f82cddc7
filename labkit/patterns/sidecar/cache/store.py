"""Answers in memory: variants by their key, bounded in bytes, the least recently used go first."""

from collections import OrderedDict

from multidict import MultiMapping

from labkit.patterns.sidecar.cache.rules import Stored, http_date, selecting_values

Key = tuple[str, str]  # the host that was asked, the target


class Store:
    """Keep answers by key and by what their Vary selects; not for threads."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: of bodies and headers together."""
        self.max_bytes = max_bytes
        self.bytes = 0
        self.evicted = 0
        self._entries: OrderedDict[Key, list[Stored]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(variants) for variants in self._entries.values())

    def find(self, key: Key, request: MultiMapping[str]) -> Stored | None:
        """Return the variant that fits this request, the newest of several (RFC 9111, 4.1)."""
        variants = self._entries.get(key)
        if variants is None:
            return None
        self._entries.move_to_end(key)
        fitting = [one for one in variants if selecting_values(request, set(one.selecting)) == one.selecting]
        return max(fitting, key=lambda one: http_date(one.headers.get("Date")) or 0.0, default=None)

    def put(self, key: Key, stored: Stored) -> None:
        """Keep an answer in the place of the variant that selects the same; evict what no longer fits."""
        variants = self._entries.setdefault(key, [])
        for old in [one for one in variants if one.selecting == stored.selecting]:
            variants.remove(old)
            self.bytes -= old.size
        variants.append(stored)
        self.bytes += stored.size
        self._entries.move_to_end(key)
        while self.bytes > self.max_bytes:
            oldest = next(iter(self._entries))
            self.evicted += len(self._entries[oldest])
            self.remove(oldest)

    def remove(self, key: Key) -> int:
        """Forget every variant of a key; return how many there were."""
        variants = self._entries.pop(key, [])
        self.bytes -= sum(one.size for one in variants)
        return len(variants)

    def variants(self, key: Key) -> list[Stored]:
        """Return all that is kept under a key."""
        return list(self._entries.get(key, []))
