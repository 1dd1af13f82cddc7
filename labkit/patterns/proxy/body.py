"""A request's body on its way: streamed, counted, timed, and its beginning kept for a retry."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from labkit.patterns.proxy import messages
from labkit.patterns.proxy.errors import ClientFault
from labkit.patterns.proxy.settings import Limits, Timeouts


class RequestBody:
    """The body that a client sends, readable anew while it fits into `Limits.replay`.

    `received`: bytes so far. `fault`: why it cannot be read on; raised, and kept too, because aiohttp's
    client wraps what its upload raises.
    """

    def __init__(self, request: web.Request, limits: Limits, timeouts: Timeouts) -> None:
        """Look at the head: raises ClientFault 413 when the length that the client names passes the limit."""
        self.received = 0
        self.fault: ClientFault | None = None
        self._request = request
        self._limits = limits
        self._patience = timeouts.body
        self._waited = 0.0
        self._kept: list[bytes] | None = []
        self._ended = False
        self._reading = asyncio.Lock()
        self._continue = "Expect" in request.headers
        length = request.content_length
        if limits.body is not None and length is not None and length > limits.body:
            raise self._too_large()

    @property
    def repeatable(self) -> bool:
        """True while all that was read is still at hand."""
        return self._kept is not None

    async def chunks(self, waiting: Callable[[bool], None] = lambda waits: None) -> AsyncIterator[bytes]:
        """Yield the body from its beginning; `waiting` hears whether the client is waited for, or the reader.

        Raises ClientFault (400, 408, 413), RuntimeError for a second time when it is not repeatable.
        """
        if self._kept is None:
            raise RuntimeError("the body's beginning is gone")
        place = 0
        while True:
            # An attempt that failed may still wait here for the client: the next one takes over after it.
            async with self._reading:
                if self._kept is not None and place < len(self._kept):
                    chunk = self._kept[place]
                elif self._ended:
                    break
                else:
                    waiting(True)
                    chunk = await self._read()
                    waiting(False)
                    if not chunk:
                        break
            place += 1
            yield chunk

    async def _read(self) -> bytes:
        content = self._request.content
        if self._continue:
            # Only now, so that who is refused by the head alone never sends its body (RFC 9110, 10.1.1).
            self._continue = False
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        try:
            chunk = content.read_nowait() or await self._wait()
        except TimeoutError:
            raise self._is(ClientFault(408, messages.SLOW_BODY)) from None
        except (web.RequestPayloadError, ValueError) as error:
            raise self._is(ClientFault(400, messages.BAD_BODY)) from error
        self._ended = not chunk
        self.received += len(chunk)
        if self._limits.body is not None and self.received > self._limits.body:
            raise self._is(self._too_large())
        if self._kept is not None:
            self._kept.append(chunk)
            if self.received > self._limits.replay:
                self._kept = None
        return chunk

    async def _wait(self) -> bytes:
        loop = asyncio.get_running_loop()
        earned = self.received / self._limits.min_rate if self._limits.min_rate else self._waited
        began = loop.time()
        async with asyncio.timeout(self._patience + earned - self._waited):
            chunk = await self._request.content.readany()
        self._waited += loop.time() - began
        return chunk

    def _is(self, fault: ClientFault) -> ClientFault:
        self.fault = fault
        return fault

    def _too_large(self) -> ClientFault:
        return ClientFault(413, messages.LARGE_BODY.format(limit=self._limits.body))
