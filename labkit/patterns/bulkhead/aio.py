"""A bulkhead around the handlers of an aiohttp application. In a module of its own: it imports aiohttp.

    app = web.Application(middlewares=[bulkhead_middleware({"/pagos": Bulkhead(3)})])

The permit is held while the handler runs, streaming included; a plain `web.Response` is written after that.
"""

import json

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from labkit.patterns.bulkhead.compartments import Compartments, Router, full_response
from labkit.patterns.bulkhead.errors import BulkheadFullError


def bulkhead_middleware(compartments: Compartments | None = None) -> Middleware:
    """Return a middleware that answers 503 with Retry-After where there is no permit.

    `compartments`: a Bulkhead for all requests, or a mapping of path prefixes to them (see `Router`); without
    it only the BulkheadFullErrors are answered that come out of handlers which enter bulkheads themselves.
    """
    router = None if compartments is None else Router(compartments)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        bulkhead = router.find(request.path) if router is not None else None
        try:
            if bulkhead is None:
                return await handler(request)
            async with bulkhead:
                return await handler(request)
        except BulkheadFullError as error:
            content, status, headers = full_response(error)
            body = json.dumps(content, ensure_ascii=False)
            return web.Response(text=body, status=status, headers=headers, content_type="application/json")

    return middleware
