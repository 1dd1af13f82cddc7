"""Calling a service by its name, with requests.

`DiscoveryClient` asks the registry seldom, balances by itself and goes on to the next instance when one
cannot be reached, so that neither the registry's death nor an instance's stops it. What it never does is send
again something that may have been received and must not happen twice.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from labkit.patterns._given import valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.cache import InstanceCache
from labkit.patterns.discovery.errors import NoInstanceAnswered, NoInstances, RegistryUnavailable
from labkit.patterns.discovery.instance import Instance, Snapshot, valid_id, valid_service, valid_url
from labkit.patterns.discovery.wire import instance_from_json, read_answer, snapshot_from_json

_log = logging.getLogger(__name__)

# RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class RegistryAPI:
    """The registry's HTTP API, one method for each operation. `timeout`: seconds to connect and to answer.

    Each raises RegistryUnavailable, and InvalidInput or UnknownInstance as `Registry` would.
    """

    def __init__(self, registry_url: str, timeout: float = 2.0) -> None:
        self.url = valid_url(registry_url)
        self.timeout = valid_seconds("timeout", timeout)
        self._session = shared_session()

    def register(self, service: str, instance_id: str, fields: Mapping[str, Any]) -> Instance:
        """Register under an id of one's own. `fields`: url, and perhaps status, metadata, ttl."""
        return instance_from_json(self._call("PUT", _path(service, instance_id), json=dict(fields)))

    def renew(self, service: str, instance_id: str) -> Instance:
        """Renew the lease."""
        return instance_from_json(self._call("PUT", _path(service, instance_id, "lease")))

    def set_status(self, service: str, instance_id: str, status: str) -> Instance:
        """Report a status."""
        return instance_from_json(
            self._call("PUT", _path(service, instance_id, "status"), json={"status": status})
        )

    def deregister(self, service: str, instance_id: str) -> None:
        """Leave."""
        self._call("DELETE", _path(service, instance_id))

    def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Return the available instances, once the index is no longer `index` or after `wait` seconds."""
        query = {"index": index, "wait": wait}
        # The answer may rightly take all of `wait`.
        data = self._call("GET", _path(service), params=query, timeout=self.timeout + wait)
        return snapshot_from_json(self.url, data)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, path: str, *, timeout: float | None = None, **kwargs: Any) -> Any:
        try:
            answer = self._session.request(
                method, self.url + path, timeout=(self.timeout, timeout or self.timeout), **kwargs
            )
        except requests.RequestException as error:
            reason = type(error).__name__
            raise RegistryUnavailable(
                messages.REGISTRY_UNAVAILABLE.format(url=self.url, reason=reason)
            ) from error
        try:
            payload = answer.json()
        except ValueError:
            payload = None
        return read_answer(self.url, answer.status_code, payload)


class DiscoveryClient:
    """Calls services by name: `DiscoveryClient(registro.url).get("inventario", "/stock/42")`.

    `cache_ttl`: seconds that a list is used before the registry is asked again; when it does not answer, the
    last good list goes on serving. `timeout`: seconds to connect, and between two bytes of an answer.
    `ejection_time`: seconds that an unreachable instance is passed over while others are left (Envoy's
    outlier ejection). May be shared by threads; keeps no cookies, so that its users do not see each other's.
    Source: Nygard, "Release It!", 2nd ed., ch. 9; Eureka's client-side cache.
    """

    def __init__(
        self,
        registry_url: str,
        *,
        cache_ttl: float = 5.0,
        timeout: float = 2.0,
        ejection_time: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = RegistryAPI(registry_url, timeout)
        self.timeout = self.registry.timeout
        self.cache = InstanceCache(cache_ttl, ejection_time, clock)
        self._session = shared_session()
        self._refreshing: dict[str, threading.Lock] = {}

    def instances(self, service: str) -> list[Instance]:
        """Return the available instances, as far as this client knows.

        Raises RegistryUnavailable when there is no registry and no earlier list.
        """
        return list(self._look_up(valid_service(service)))

    def pick(self, service: str) -> Instance:
        """Return the instance whose turn it is. Raises NoInstances, RegistryUnavailable."""
        service = valid_service(service)
        chosen = self.cache.choose(service, self._look_up(service))
        if chosen is None:
            raise NoInstances(messages.NO_INSTANCES.format(service=service, known=0))
        return chosen

    def watch(self, service: str, index: int = 0, wait: float = 30.0) -> Snapshot:
        """Wait for the service to change (see `Registry.watch`) and keep what it has become."""
        service = valid_service(service)
        snapshot = self.registry.watch(service, index, wait)
        self.cache.store(service, snapshot.instances)
        return snapshot

    def request(self, method: str, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """Send a request to one instance, to the next one if it cannot be reached; `kwargs` as in requests.

        The next one is tried when the connection could not be made (nothing was sent), and when it broke and
        the method is idempotent. A broken POST, or an answer that is late, is raised as requests raises it:
        the instance may have done the work. An answer of any status is an answer.
        Raises NoInstances, NoInstanceAnswered, RegistryUnavailable.
        """
        service, method = valid_service(service), method.upper()
        kwargs.setdefault("timeout", self.timeout)
        repeatable = method in IDEMPOTENT and _replayable(kwargs.get("data")) and not kwargs.get("files")
        instances = self._look_up(service)
        tried: list[str] = []
        failure: requests.RequestException | None = None
        while (instance := self.cache.choose(service, instances, tried)) is not None:
            tried.append(instance.id)
            answers: list[requests.Response] = []
            try:
                return self._session.request(
                    method, f"{instance.url}/{path.lstrip('/')}", **_listening(kwargs, answers)
                )
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                # An instance that answered has done its work: what failed is where it redirected to.
                if _late(error) or any(each.is_redirect for each in answers):
                    raise
                self.cache.eject(instance)
                if not (repeatable or _never_sent(error)):
                    raise
                _log.warning(messages.LOG_NEXT, service, instance.url, type(error).__name__)
                failure = error
        if failure is None:
            raise NoInstances(messages.NO_INSTANCES.format(service=service, known=0))
        raise NoInstanceAnswered(
            messages.NO_INSTANCE_ANSWERED.format(service=service, tried=len(tried))
        ) from failure

    def get(self, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """GET; see `request`."""
        return self.request("GET", service, path, **kwargs)

    def post(self, service: str, path: str = "/", **kwargs: Any) -> requests.Response:
        """POST; see `request`."""
        return self.request("POST", service, path, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self.registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _look_up(self, service: str) -> tuple[Instance, ...]:
        fresh = self.cache.fresh(service)
        if fresh is not None:
            return fresh
        refreshing = self._refreshing.setdefault(service, threading.Lock())
        # One caller asks for all; who has an older list goes on with it meanwhile.
        last_good = self.cache.last_good(service)
        if not refreshing.acquire(blocking=last_good is None):
            return last_good or ()
        try:
            fresh = self.cache.fresh(service)
            return self._refresh(service) if fresh is None else fresh
        finally:
            refreshing.release()

    def _refresh(self, service: str) -> tuple[Instance, ...]:
        try:
            return self.cache.store(service, self.registry.watch(service, wait=0).instances)
        except RegistryUnavailable as error:
            last_good = self.cache.prolong(service)
            if last_good is None:
                raise
            _log.warning(messages.LOG_STALE, self.registry.url, error, service)
            return last_good


def shared_session() -> requests.Session:
    """Return a session for many threads and for calls between services.

    No cookies are kept; proxies of the environment, meant for the way out, are not used.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=32, pool_maxsize=64))
    return session


def _path(service: str, *rest: str) -> str:
    ids = [valid_id(part) for part in rest]
    return "/".join(["/services", valid_service(service), *ids])


def _listening(kwargs: dict[str, Any], answers: list[requests.Response]) -> dict[str, Any]:
    """Return the arguments of a request with a hook that collects the answer of every hop."""
    hooks = dict(kwargs.get("hooks") or {})
    given = hooks.get("response", [])
    own = [lambda response, *args, **options: answers.append(response)]
    return {**kwargs, "hooks": {**hooks, "response": [*([given] if callable(given) else given), *own]}}


def _never_sent(error: requests.RequestException) -> bool:
    """Whether the connection itself failed, so that no instance can have seen the request."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _late(error: requests.RequestException) -> bool:
    """Whether it is a timeout after all: requests tells a late body as a ConnectionError."""
    return bool(error.args) and isinstance(error.args[0], ReadTimeoutError)


def _replayable(data: object) -> bool:
    """Whether a body can be sent a second time: a file or a generator is used up by the first."""
    return data is None or isinstance(data, str | bytes | dict | list | tuple)
