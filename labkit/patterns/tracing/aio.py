"""Both sides of aiohttp: a server span for each request, a client span for each call.

app = web.Application(middlewares=[tracing_middleware(tracer)])
session = aiohttp.ClientSession(trace_configs=[trace_config(tracer)])
"""

from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from labkit.patterns.tracing import http_attributes as http
from labkit.patterns.tracing.baggage import carried
from labkit.patterns.tracing.propagation import inject
from labkit.patterns.tracing.tracer import Span, Tracer, activate


def tracing_middleware(tracer: Tracer, *, trusted: bool = True) -> Middleware:
    """Return a middleware that begins a server span for each request, child of the caller's.

    The first of all middlewares, or what those before it do is not seen. The span ends with the handler: what
    streams is in it, the body of a plain `web.Response` is written after. `trusted`: see `TracingMiddleware`.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = list(request.headers.items())
        span, entries = http.begin(tracer, headers, request.method, request.path, trusted)
        resource = request.match_info.route.resource
        if resource is not None:
            http.knew_route(span, request.method, resource.canonical)
        with activate(span), carried(entries):
            try:
                response = await handler(request)
            except web.HTTPException as answer:  # a 404 that is raised is an answer and no failure
                http.answered(span, answer.status)
                raise
            except BaseException as error:
                span.fail(error)
                raise
            else:
                http.answered(span, response.status)
                return response
            finally:
                span.end()

    return middleware


def trace_config(tracer: Tracer, *, baggage: bool = True) -> aiohttp.TraceConfig:
    """Return a TraceConfig that begins a client span for each call, redirects included.

    The span ends when the head of the answer is there; the body is read later. `baggage=False` for hosts that
    are none of ours.
    """
    config = aiohttp.TraceConfig()

    def begin(context: SimpleNamespace, method: str, url: Any, headers: Any) -> None:
        context.span = tracer.span(
            http.name_of(method), kind="client", attributes=http.of_call(method, str(url))
        )
        with activate(context.span):
            inject(headers, baggage=baggage)

    def end(context: SimpleNamespace, status: int) -> None:
        span: Span = context.span
        http.answered(span, status)
        span.end()

    async def on_start(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        begin(context, params.method, params.url, params.headers)

    async def on_redirect(
        _: Any, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
    ) -> None:
        location = params.response.headers.get("Location") or params.response.headers.get("URI")
        if location is None:  # then aiohttp takes it for the answer
            return
        end(context, params.response.status)
        see_other = params.response.status == 303 and params.method != "HEAD"
        as_get = see_other or (params.response.status in (301, 302) and params.method == "POST")
        target = params.response.url.join(type(params.url)(location))
        begin(context, "GET" if as_get else params.method, target, params.headers)

    async def on_end(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        end(context, params.response.status)

    async def on_exception(
        _: Any, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        context.span.fail(params.exception)
        context.span.end()

    config.on_request_start.append(on_start)
    config.on_request_redirect.append(on_redirect)
    config.on_request_end.append(on_end)
    config.on_request_exception.append(on_exception)
    return config
