"""Counts of calls between services, taken where the calls are made, while a panel is open.

Not `labkit.observe`: that sees only what one block causes, and makes spans of it, while a panel watches
everything all the time and must cost next to nothing. Who calls is known without any header: the context
variable of `labkit.capture` says in which service the running code is. Whom it calls is known by the port.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from requests.adapters import HTTPAdapter

from labkit import capture
from labkit.lens import load, messages
from labkit.patching import Patch
from labkit.roster import ROSTER
from labkit.service import Service

_HERE = ("127.0.0.1", "localhost", "::1")


class Edge:
    """The calls of one caller to one service: how many began, how many of them failed.

    Failed are those without an answer, and those answered with a status from 500 on.
    """

    def __init__(self) -> None:
        self.count = self.errors = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Count one more call; also one that hangs."""
        with self._lock:
            self.count += 1

    def fail(self) -> None:
        """Count a failed call."""
        with self._lock:
            self.errors += 1

    def end(self, status: int) -> None:
        """Count the answer of a call."""
        if status >= 500:
            self.fail()


class Traffic:
    """Counts calls to services of the roster, made with requests, aiohttp and `labkit.load`.

    Between `start` and `stop`; what was counted before stays.
    """

    def __init__(self) -> None:
        self._edges: dict[tuple[str, str], Edge] = {}
        self._lock = threading.Lock()
        self._patches = [
            Patch(HTTPAdapter, "send", self._requests_call),
            Patch(aiohttp.ClientSession, "_request", self._aiohttp_call),
            Patch(load._Observed, "begin", self._load_call),
        ]

    def start(self) -> None:
        """Count from now on."""
        for patch in self._patches:
            patch.install()

    def stop(self) -> None:
        """Leave everything as it was."""
        for patch in reversed(self._patches):
            patch.remove()

    def counts(self) -> list[tuple[str, str, int, int]]:
        """List (caller, callee, calls, errors) of each pair, in the order in which they were seen."""
        with self._lock:
            edges = list(self._edges.items())
        return [(caller, callee, edge.count, edge.errors) for (caller, callee), edge in edges]

    def _begin(self, host: str | None, port: int | None) -> Edge | None:
        """Count a call to that address; None where caller or callee is none of the services."""
        services = ROSTER.services()
        callee = _listens_at(services, host, port)
        caller = _running_code(services)
        if callee is None or caller is None:
            return None
        pair = caller, callee
        edge = self._edges.get(pair)
        if edge is None:
            with self._lock:
                edge = self._edges.setdefault(pair, Edge())
        edge.begin()
        return edge

    # the calls

    def _requests_call(self, original: Any, adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        address = urlsplit(request.url or "")
        edge = self._begin(address.hostname, address.port)
        if edge is None:
            return original(adapter, request, *args, **kwargs)
        try:
            response = original(adapter, request, *args, **kwargs)
        except BaseException:
            edge.fail()
            raise
        edge.end(response.status_code)
        return response

    async def _aiohttp_call(
        self, original: Any, session: Any, method: Any, url: Any, *args: Any, **kwargs: Any
    ) -> Any:
        coroutine: Coroutine[Any, Any, Any] = original(session, method, url, *args, **kwargs)
        try:
            address = session._build_url(url)  # a path, where the session has a base_url
            edge = self._begin(address.host, address.port)
        except (TypeError, ValueError):  # no address: aiohttp says it better
            edge = None
        if edge is None:
            return await coroutine
        try:
            response = await coroutine
        except BaseException:
            edge.fail()
            raise
        edge.end(response.status)
        return response

    def _load_call(self, original: Any, observed: Any, shot: Any) -> Any:
        wire, call = original(observed, shot)
        edge = self._begin(shot.host, shot.port)
        return (wire, call) if edge is None else (wire, _LoadCall(call, edge))


class _LoadCall(load._Call):
    """Tells what came of a request of a load to the panel, and to who observes it."""

    def __init__(self, call: load._Call, edge: Edge) -> None:
        self._call, self._edge = call, edge

    def answered(self, status: int) -> None:
        self._edge.end(status)
        self._call.answered(status)

    def failed(self, error: Exception) -> None:
        self._edge.fail()
        self._call.failed(error)


def _listens_at(services: list[Service], host: str | None, port: int | None) -> str | None:
    """Return the service that listens there, or did; of several, the one that runs."""
    found = None
    for service in services:
        if service.port == port and (host in _HERE or host == service.host):
            if service.running:
                return service.name
            found = found or service.name
    return found


def _running_code(services: list[Service]) -> str | None:
    """Return the service, or the cell, whose code runs; None for a service that was replaced."""
    journal = capture.current.get()
    if journal is None:
        return messages.CLIENT
    return next((service.name for service in services if service.journal is journal), None)
