"""An aiohttp application that says of an open circuit what it is (see `http`)."""

from aiohttp import web
from aiohttp.typedefs import Handler

from labkit.patterns.circuit_breaker.errors import CircuitOpenError
from labkit.patterns.circuit_breaker.http import STATUS, open_circuit_answer


@web.middleware
async def open_circuit_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a CircuitOpenError that leaves a handler with 503, Retry-After and the circuit's name.

    `web.Application(middlewares=[open_circuit_middleware])`
    """
    try:
        return await handler(request)
    except CircuitOpenError as error:
        body, headers = open_circuit_answer(error)
        return web.json_response(body, status=STATUS, headers=headers)
