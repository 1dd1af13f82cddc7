"""A streaming HTTP/1.1 proxy: the core that the sidecar and the edge server share.

It passes a request on and its answer back: the target byte for byte, bodies as they stream and as they are
coded, every header but those of the hop. What goes wrong becomes a status of its own, and what may be
repeated is repeated within a budget. Where a request goes, and what is added to it, is for the proxy that
is built on it to say:

    proxy = Proxy("borde")

    async def handle(request):
        call = proxy.call(request, OneOf("http://127.0.0.1:5001", "http://127.0.0.1:5002"))
        call.headers["X-Request-ID"] = "…"          # what goes upstream, free to change
        return await proxy.forward(call)            # or: ask(call), look at the answer, send(call, answer)

    app = application(handle, proxy)                # an aiohttp.web.Application

Modules, in the order of a request's way: `door` (the server's side: limits, 4xx), `body`, `headers`, `proxy`
(attempts, retries, deadlines), `upstreams`, `budget`, `tunnel` (WebSocket), `accesslog`, `errors`,
`settings`.

Not passed on, because aiohttp's client and server keep them: trailers and 1xx answers other than 101.

Sources: RFC 9110 (7.6 message forwarding, 9.2.2 idempotency), RFC 9112 (HTTP/1.1), RFC 9209 (Proxy-Status),
RFC 9457 (problem details); Finagle's and gRPC's retry budgets.
"""

from labkit.patterns.proxy.accesslog import AccessLog
from labkit.patterns.proxy.body import RequestBody
from labkit.patterns.proxy.budget import RetryBudget
from labkit.patterns.proxy.door import application, problem
from labkit.patterns.proxy.errors import ClientFault, ProxyError, UpstreamFault
from labkit.patterns.proxy.headers import HOP_BY_HOP, end_to_end
from labkit.patterns.proxy.proxy import Answer, Attempt, Call, Proxy, passed
from labkit.patterns.proxy.settings import Limits, Retries, Timeouts
from labkit.patterns.proxy.upstreams import OneOf, Upstreams

__all__ = [
    "HOP_BY_HOP",
    "AccessLog",
    "Answer",
    "Attempt",
    "Call",
    "ClientFault",
    "Limits",
    "OneOf",
    "Proxy",
    "ProxyError",
    "RequestBody",
    "Retries",
    "RetryBudget",
    "Timeouts",
    "UpstreamFault",
    "Upstreams",
    "application",
    "end_to_end",
    "passed",
    "problem",
]
