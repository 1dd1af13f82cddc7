"""Calling a service by its name, with requests.

`DiscoveryClient` asks the registry seldom, balances by itself and goes on to the next instance when one
cannot be reached, so that neither the registry's death nor an instance's stops it. What it never does is send
again something that may have been received and must not happen twice.
"""

import threading
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery.core import IDEMPOTENT, InstanceCache
from labkit.patterns.discovery.errors import RegistryUnavailable
from labkit.patterns.discovery.instance import Instance, Snapshot, valid_service, valid_url
from labkit.patterns.discovery.wire import Call, look_up, no_answer, read_answer


class RegistryConnection:
    """The registry, spoken to over a session that calls to instances share."""

    def __init__(self, registry_url: str, timeout: float) -> None:
        self.url = valid_url(registry_url)
        self.timeout = valid_seconds("timeout", timeout)
        self.session = requests.Session()
        # Proxies of the environment are meant for the way out; cookies would be seen by every user.
        self.session.trust_env = False
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_connections=32, pool_maxsize=64))

    def ask(self, call: Call) -> Any:
        """Return what the registry answers. Raises as `read_answer`."""
        timeout = (self.timeout, self.timeout + call.wait)
        try:
            answer = self.session.request(
                call.method, self.url + call.path, json=call.json, params=call.query, timeout=timeout
            )
        except requests.RequestException as error:
            raise no_answer(self.url, type(error).__name__) from error
        try:
            payload = answer.json()
        except ValueError:
            payload = None
        return read_answer(call, self.url, answer.status_code, payload)


class DiscoveryClient:
    """Calls services by name: `DiscoveryClient(registro.url).get("inventario", "/stock/42")`.

    `cache_ttl`: seconds that a list is used before the registry is asked again; when it does not answer, the
    last good list goes on serving, for ever or until it is `max_age` seconds old. `timeout`: seconds to
    connect, and between two bytes of an answer. `ejection_time`: seconds that an unreachable instance is
    passed over while others are left (Envoy's outlier ejection). May be shared by threads; keeps no cookies,
    so that its users do not see each other's.
    Source: Nygard, "Release It!", 2nd ed., ch. 9; Eureka's client-side cache.
    """

    def __init__(
        self,
        registry_url: str,
        *,
        cache_ttl: float = 5.0,
        timeout: float = 2.0,
        ejection_time: float = 10.0,
        max_age: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = InstanceCache(cache_ttl, ejection_time, max_age, clock)
        self._connection = RegistryConnection(registry_url, timeout)
        self._asking: dict[str, threading.Lock] = {}

    def instances(self, service: str) -> list[Instance]:
        """Return the available instances, as far as this client knows.

        Raises RegistryUnavailable when there is no registry and no earlier list that is still good.
        """
        return list(self._look_up(valid_service(service)))

    def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Wait for the service to change (see `Registry.watch`) and keep what it has become."""
        service = valid_service(service)
        snapshot: Snapshot = self._connection.ask(look_up(service, index, wait))
        self.cache.store(service, snapshot.instances)
        return snapshot

    def request(self, method: str, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """Send a request to one instance, to the next if it cannot be reached.

        `kwargs`: as in requests. The next one is tried when the connection could not be made (nothing was
        sent), and when it broke and the method is idempotent. A broken POST, or an answer that is late, is
        raised as requests raises it: the instance may have done the work. Any status is an answer.
        Raises NoInstances, NoInstanceAnswered, RegistryUnavailable.
        """
        service, method = valid_service(service), method.upper()
        kwargs.setdefault("timeout", self._connection.timeout)
        # A file or a generator is used up by the first attempt.
        whole = isinstance(kwargs.get("data"), str | bytes | dict | list | tuple | None)
        repeatable = method in IDEMPOTENT and whole and not kwargs.get("files")
        turns = self.cache.attempts(service, self._look_up(service), repeatable=repeatable)
        instance = next(turns)
        while True:
            url = f"{instance.url}/{path.lstrip('/')}"
            answers: list[requests.Response] = []
            try:
                return self._connection.session.request(method, url, **_listening(kwargs, answers))
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                # An instance that answered has done its work: what failed is where it redirected to.
                if _late(error) or any(each.is_redirect for each in answers):
                    raise
                instance = turns.send((error, _never_sent(error)))

    def get(self, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """GET; see `request`."""
        return self.request("GET", service, path, **kwargs)

    def post(self, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """POST; see `request`."""
        return self.request("POST", service, path, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        self._connection.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _look_up(self, service: str) -> tuple[Instance, ...]:
        if (fresh := self.cache.fresh(service)) is not None:
            return fresh
        # One caller asks for all; who has an older list goes on with it meanwhile.
        last_good = self.cache.last_good(service)
        asking = self._asking.setdefault(service, threading.Lock())
        if not asking.acquire(blocking=last_good is None):
            return last_good or ()
        try:
            if (fresh := self.cache.fresh(service)) is not None:
                return fresh
            return self.cache.store(service, self._connection.ask(look_up(service)).instances)
        except RegistryUnavailable as error:
            return self.cache.fall_back(service, error)
        finally:
            asking.release()


def _listening(kwargs: dict[str, Any], answers: list[requests.Response]) -> dict[str, Any]:
    """Return the arguments of a request with a hook that collects the answer of every hop."""
    hooks = dict(kwargs.get("hooks") or {})
    given = hooks.get("response", [])
    given = [given] if callable(given) else given
    hooks["response"] = [*given, lambda answer, *args, **options: answers.append(answer)]
    return {**kwargs, "hooks": hooks}


def _never_sent(error: requests.RequestException) -> bool:
    """Tell whether the connection itself failed: no instance can have seen the request."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _late(error: requests.RequestException) -> bool:
    """Tell a timeout: requests raises ConnectionError for a body that is late."""
    return bool(error.args) and isinstance(error.args[0], ReadTimeoutError)
