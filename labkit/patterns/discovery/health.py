"""Active health checks: ask every instance, all at once, and tell the registry.

Only rounds ask. A look-up never does, so one slow instance slows down nobody's look-up.
Source: Consul's HTTP checks (2xx passes); Envoy's active health checking.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import aiohttp

from labkit.patterns._given import InvalidInput, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.background import Periodic
from labkit.patterns.discovery.instance import Instance, Status
from labkit.patterns.discovery.registry import Registry

AT_ONCE = 32


class HealthChecker(Periodic):
    """Check the health of every instance each `interval` seconds.

    `path`: where an instance answers 2xx when it can serve. `timeout`: seconds for its answer to begin.
    """

    def __init__(
        self, registry: Registry, *, path: str = "/health", timeout: float = 1.0, interval: float = 5.0
    ) -> None:
        super().__init__(interval)
        if not path.startswith("/"):
            raise InvalidInput(messages.BAD_PATH.format(given=path))
        self.registry = registry
        self.path = path
        self.timeout = valid_seconds("timeout", timeout)

    def check(self) -> dict[str, bool]:
        """Check every instance that says it is up; return who passed, by instance id."""
        found = [each for instances in self.registry.services().values() for each in instances]
        asked = [instance for instance in found if instance.reported is Status.UP]
        # In a thread of its own for the round, since a notebook's thread runs a loop already.
        with ThreadPoolExecutor(1, "HealthChecker") as thread:
            passed = thread.submit(asyncio.run, self._ask(asked)).result()
        for instance, good in zip(asked, passed, strict=True):
            self.registry.report_health(instance, passed=good)
        return {instance.id: good for instance, good in zip(asked, passed, strict=True)}

    step = check

    async def _ask(self, instances: list[Instance]) -> list[bool]:
        gate = asyncio.Semaphore(AT_ONCE)
        # In total: a timeout that begins anew with each byte would let one that drips hold up the round.
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def passes(instance: Instance) -> bool:
                try:
                    url = instance.url + self.path
                    async with gate, session.get(url, allow_redirects=False) as answer:
                        return 200 <= answer.status < 300
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    return False

            return await asyncio.gather(*map(passes, instances))
