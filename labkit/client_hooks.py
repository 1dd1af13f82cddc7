"""Hooks where calls are made and contexts branch: requests, aiohttp, threads, pools and loops.

What a call becomes is not known here. The running code stands at a `Position`, which is asked to begin each
call; in the kernel that makes a span (labkit.lens.telemetry), in a service's own process it asks the kernel
(labkit.servers.child). So nothing here needs OpenTelemetry, and requests and aiohttp are hooked into only
where they are loaded.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from labkit import capture, messages
from labkit.patching import Patch

if TYPE_CHECKING:
    import aiohttp
    import requests
    from requests.adapters import HTTPAdapter


class OutgoingCall(Protocol):
    """A call that was begun."""

    status: int | None

    def write_headers(self, headers: MutableMapping[str, str], /) -> Callable[[], None]:
        """Inject the trace context into the headers; returns what puts them back as they were."""

    def end(self) -> None:
        """End the call: the answer is there. A call that has ended stays as it is."""

    def go_on(self) -> None:
        """Reopen the call: there is a body to read."""

    def fail(self, error: BaseException, /) -> None:
        """End the call with the exception that its caller got."""


class TraceContext(Protocol):
    """The trace context of the running code."""

    @property
    def observed(self) -> bool:
        """True while anybody observes."""

    def fork(self) -> TraceContext:
        """Return the context of a thread, task or job that begins now."""

    def begin(self, method: str, url: str, path: str, /) -> OutgoingCall | None:
        """Begin a call; None where it is not to be noted."""


_here: ContextVar[TraceContext | None] = ContextVar("labkit_position", default=None)


def here() -> TraceContext | None:
    """Return the trace context of the running code; None where nobody observes it."""
    position = _here.get()
    return position if position is not None and position.observed else None


class _Sending:
    """The last call of one `Session.send`, which is over when its answer has been read."""

    call: OutgoingCall | None = None

    def put(self, call: OutgoingCall) -> None:
        self.end()
        self.call = call

    def end(self) -> None:
        if self.call is not None:
            self.call.end()


_sending: ContextVar[_Sending | None] = ContextVar("labkit_sending", default=None)


def _session_send(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Replace `requests.Session.send`: an answer to read, or a redirect and so one more call."""
    if here() is None:
        return original(*args, **kwargs)
    outer, sending = _sending.get(), _Sending()
    if outer is not None:
        outer.end()
    token = _sending.set(sending)
    try:
        response = original(*args, **kwargs)
    except BaseException as error:
        if sending.call is not None:
            sending.call.fail(error)
        raise
    finally:
        _sending.reset(token)
    sending.end()
    return response


def _adapter_send(
    original: Any, adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any
) -> Any:
    """Replace `HTTPAdapter.send`: one call, after everything else has set its headers."""
    position = here()
    call = position and position.begin(request.method or "", request.url or "", request.path_url)
    if not call:
        return original(adapter, request, *args, **kwargs)
    restore = call.write_headers(request.headers)  # they are the learner's to look at, and to send again
    try:
        response = original(adapter, request, *args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        restore()
    call.status = response.status_code
    sending = _sending.get()
    if sending is None:
        call.end()
    else:
        sending.put(call)
    return response


_sessions: WeakSet[aiohttp.ClientSession] = WeakSet()  # that were given our TraceConfig
_unread: WeakKeyDictionary[aiohttp.ClientResponse, OutgoingCall] = WeakKeyDictionary()
_trace_config: Any = None  # made when aiohttp is there


def _client_request(original: Any, session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> Any:
    """Replace `ClientSession._request`, so that sessions made before are traced as well."""
    if here() is not None and _trace_config not in session._trace_configs:
        # Ours comes last, after all others have had their say. A new list: the old one may be the learner's.
        session._trace_configs = [*session._trace_configs, _trace_config]
        _sessions.add(session)
    return original(session, *args, **kwargs)


async def _on_start(_: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
    context.call = None
    _begin_aiohttp(context, params.method, params.url, params.headers)


async def _on_redirect(_: Any, context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
    if context.call is None:
        return
    location = params.response.headers.get("Location") or params.response.headers.get("URI")
    if location is None:  # aiohttp takes it for the answer
        return
    context.call.status = params.response.status
    context.call.end()
    is_get = params.response.status == 303 or (
        params.response.status in (301, 302) and params.method == "POST"
    )
    method = "GET" if is_get and params.method != "HEAD" else params.method
    target = params.response.url.join(type(params.url)(location))
    _begin_aiohttp(context, method, target, params.headers)


def _begin_aiohttp(context: Any, method: str, url: Any, headers: Any) -> None:
    position = here()
    context.call = None
    if position is not None and url.scheme in ("http", "https", "ws", "wss"):
        context.call = position.begin(method, str(url), url.raw_path_qs)
    if context.call is not None:
        context.call.write_headers(headers)  # aiohttp's own copy


async def _on_end(_: Any, context: Any, params: aiohttp.TraceRequestEndParams) -> None:
    if context.call is not None:
        context.call.status = params.response.status
        context.call.end()
        _unread[params.response] = context.call


async def _read(original: Any, response: aiohttp.ClientResponse, *args: Any, **kwargs: Any) -> Any:
    """Replace `ClientResponse.read`: a call is over when its body is, as with requests."""
    call = _unread.pop(response, None)
    if call is None:
        return await original(response, *args, **kwargs)
    call.go_on()
    try:
        body = await original(response, *args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    call.end()
    return body


async def _on_exception(_: Any, context: Any, params: aiohttp.TraceRequestExceptionParams) -> None:
    from aiohttp import ClientResponseError

    if context.call is not None:
        if isinstance(params.exception, ClientResponseError):  # raise_for_status
            context.call.status = params.exception.status or None
        context.call.fail(params.exception)


def _make_trace_config() -> Any:
    import aiohttp

    config = aiohttp.TraceConfig()
    config.on_request_start.append(_on_start)
    config.on_request_redirect.append(_on_redirect)
    config.on_request_end.append(_on_end)
    config.on_request_exception.append(_on_exception)
    config.freeze()
    return config


ENTRY = "labkit="  # ours in a tracestate: labkit=<trace id>-<span id>


def inject(ours: dict[str, str], headers: MutableMapping[str, str]) -> Callable[[], None]:
    """Put `traceparent` and `tracestate` into the headers; returns what puts them back as they were."""
    before = {name: headers.get(name) for name in ours}
    for name, value in ours.items():
        theirs = before[name]
        if name == "tracestate":
            members = [part.strip() for part in (theirs or "").split(",")]
            others = [part for part in members if part and not part.startswith(ENTRY)]
            headers[name] = ",".join([value, *others])
        elif theirs is None or theirs.split("-")[1:2] == value.split("-")[1:2]:
            headers[name] = value  # one of another trace is the learner's

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                headers.pop(name, None)
            else:
                headers[name] = value

    return restore


def failure_of(error: BaseException, status: int | None) -> str | None:
    """Return why a call failed; None for the caller's own opinion of an answer that is there."""
    what = what_failed(error)
    return None if status is not None and what == type(error).__name__ else what


def what_failed(error: BaseException) -> str:
    """Return why there was no answer, in words; the exception's name for any other failure."""
    causes = [error]
    for each in causes:  # and what it was made from; not __context__, which may be another call's failure
        links = [each.__cause__, getattr(each, "reason", None), getattr(each, "os_error", None), *each.args]
        causes += [link for link in links if isinstance(link, BaseException) and link not in causes]
    for kinds, text in _failures():
        if any(isinstance(each, kinds) for each in causes):
            return text
    return type(error).__name__


def _failures() -> list[tuple[tuple[type[BaseException], ...], str]]:
    """List kinds of errors, those of loaded libraries included, with their names."""
    unknown: tuple[type[BaseException], ...] = ()
    late: tuple[type[BaseException], ...] = (TimeoutError,)
    cut: tuple[type[BaseException], ...] = (ConnectionError,)
    if "requests" in sys.modules:
        import requests
        import urllib3

        unknown += (urllib3.exceptions.NameResolutionError,)
        late += (requests.Timeout, urllib3.exceptions.TimeoutError)
        cut += (
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.ProtocolError,
        )
    if "aiohttp" in sys.modules:
        import aiohttp

        unknown += (aiohttp.ClientConnectorDNSError,)
        cut += (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    return [
        ((ConnectionRefusedError,), messages.REFUSED),
        (unknown, messages.UNKNOWN_HOST),
        (late, messages.LATE),
        ((asyncio.CancelledError,), messages.CANCELLED),
        (cut, messages.CUT),
    ]


# Threads, pools and tasks


def _start_thread(original: Any, thread: threading.Thread, *args: Any, **kwargs: Any) -> None:
    position = here()
    if position is None:
        original(thread, *args, **kwargs)
        return
    run, forked = thread.run, position.fork()

    def run_here() -> None:
        thread.__dict__.pop("run", None)  # the instance's own: it and its thread would hold each other
        _here.set(forked)
        run()

    thread.run = run_here  # type: ignore[method-assign]
    try:
        original(thread, *args, **kwargs)
    except BaseException:
        thread.__dict__.pop("run", None)
        raise


def _submit(
    original: Any, pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    position = here()
    if position is None:
        return original(pool, function, *args, **kwargs)
    # A thread that the pool starts now serves whoever comes later too: it belongs to nobody.
    with standing(None):
        return original(pool, _call_at, position.fork(), function, *args, **kwargs)


def _call_at(position: TraceContext, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with standing(position):
        return function(*args, **kwargs)


def _fork_into(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Replace `create_task` and `call_soon_threadsafe`: a copied context gets its own number."""
    position = here()
    if position is None or kwargs.get("context") is not None:
        return original(*args, **kwargs)
    with standing(position.fork()):
        return original(*args, **kwargs)


def stand_at(position: TraceContext | None) -> None:
    """Set the trace context of the running code from now on."""
    _here.set(position)


@contextmanager
def standing(position: TraceContext | None) -> Iterator[None]:
    """Set the trace context of the code inside."""
    token = _here.set(position)
    try:
        yield
    finally:
        _here.reset(token)


# What is in place while anybody observes, and only then

_always = [
    Patch(threading.Thread, "start", _start_thread),
    Patch(ThreadPoolExecutor, "submit", _submit),
    Patch(asyncio.BaseEventLoop, "create_task", _fork_into),
    Patch(asyncio.BaseEventLoop, "call_soon_threadsafe", _fork_into),
]
_libraries: dict[str, list[Patch]] = {}  # by module, made when it is there
_installed: list[Patch] = []


def install() -> None:
    """Install the hooks, into those libraries that are loaded."""
    capture.begin()  # it patches Thread.start too: held, it neither comes nor goes while we are on top of it
    _put(_always)
    for module in ("requests", "aiohttp"):
        if module in sys.modules:
            install_into(module)


def install_into(module: str) -> None:
    """Install the hooks into requests or aiohttp as well, loaded meanwhile."""
    if module not in _libraries:
        _libraries[module] = _patches_of(module)
    _put(_libraries[module])


def remove() -> None:
    """Leave everything as it was."""
    while _installed:
        _installed.pop().remove()
    for session in list(_sessions):
        session._trace_configs = [each for each in session._trace_configs if each is not _trace_config]
    _sessions.clear()
    _unread.clear()
    capture.end()


def _patches_of(module: str) -> list[Patch]:
    global _trace_config
    if module == "requests":
        import requests
        from requests.adapters import HTTPAdapter

        return [Patch(HTTPAdapter, "send", _adapter_send), Patch(requests.Session, "send", _session_send)]
    import aiohttp

    _trace_config = _make_trace_config()
    return [
        Patch(aiohttp.ClientSession, "_request", _client_request),
        Patch(aiohttp.ClientResponse, "read", _read),
    ]


def _put(patches: list[Patch]) -> None:
    for patch in patches:
        if patch not in _installed:
            patch.install()
            _installed.append(patch)
