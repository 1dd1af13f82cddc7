"""Streams and deadlines over HTTP with aiohttp; in a module of its own, as it imports aiohttp.

    async def prices(request):
        return await send_events(request, topic.subscribe(after=last_event_id(request)).map(to_event))

    app = web.Application(middlewares=[deadline_middleware()], handler_args={"handler_cancellation": True})

With `handler_cancellation` aiohttp cancels a handler whose client has left, and so everything below it.
"""

import asyncio
import json
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from labkit.patterns._given import valid_seconds
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.background import stop
from labkit.patterns.reactive.deadline import deadline, seconds_from
from labkit.patterns.reactive.errors import DeadlineExceeded
from labkit.patterns.reactive.sse import HEARTBEAT, ServerSentEvent, encode
from labkit.patterns.reactive.stream import Stream

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold the events back
}

_log = logging.getLogger(__name__)


class _ReaderGone(Exception):
    """The client has left or reads nothing: no failure of the stream, whose own errors pass."""


def last_event_id(request: web.Request) -> int | None:
    """Return the number that the browser has got to, None for its first visit (or no number at all)."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


async def send_events(
    request: web.Request,
    events: Stream[ServerSentEvent],
    *,
    heartbeat: float = 15.0,
    stuck_after: float = 30.0,
    retry: float | None = None,
) -> web.StreamResponse:
    """Answer with the events until they end or the reader leaves; then nothing of the stream runs.

    A slow reader slows the stream down: a write waits while the connection's buffer is full. One that reads
    nothing for `stuck_after` seconds is cut off. `heartbeat`: seconds without an event after which a comment
    is sent, which is also how a reader that has left is noticed. `retry`: seconds that the browser is to
    wait before it connects again; it does so, too, after the end of the stream (answer 204 to stop it).
    """
    for name, seconds in (("heartbeat", heartbeat), ("stuck_after", stuck_after), ("retry", retry or 1.0)):
        valid_seconds(name, seconds)
    response = web.StreamResponse(headers=_HEADERS)

    async def write(data: bytes) -> None:
        try:
            async with asyncio.timeout(stuck_after):
                await response.write(data)
        except TimeoutError as error:
            _log.warning(messages.STUCK.format(seconds=stuck_after))
            if request.transport is not None:
                request.transport.abort()
            raise _ReaderGone from error
        except ConnectionError as error:
            raise _ReaderGone from error

    async with events.open() as items:

        async def next_event() -> ServerSentEvent | None:
            return await anext(items, None)

        await response.prepare(request)
        coming = asyncio.create_task(next_event())
        try:
            await write(HEARTBEAT if retry is None else f"retry: {round(retry * 1000)}\n\n".encode())
            while True:
                await asyncio.wait([coming], timeout=heartbeat)
                if not coming.done():  # goes on: giving up a generator's item would end the generator
                    await write(HEARTBEAT)
                elif (event := coming.result()) is None:
                    break
                else:
                    await write(encode(event))
                    coming = asyncio.create_task(next_event())
        except _ReaderGone:
            pass
        finally:
            await stop([coming])
    return response


def deadline_middleware(longest: float = 30.0) -> Middleware:
    """Return a middleware that gives each request the caller's deadline, at most `longest` seconds.

    When it passes, the handler is cancelled and the answer is 504.
    """
    valid_seconds("longest", longest)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        allowed = seconds_from(request.headers)
        try:
            async with deadline(longest if allowed is None else min(allowed, longest)):
                return await handler(request)
        except DeadlineExceeded as error:
            body = json.dumps({"error": str(error)}, ensure_ascii=False)
            return web.Response(text=body, status=504, content_type="application/json")

    return middleware
