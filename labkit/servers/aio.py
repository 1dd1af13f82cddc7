"""aiohttp applications, each on an event loop of its own in a thread of its own.

A handler that blocks therefore freezes its own service and nothing else: no other service, and not the
kernel. aiohttp's runner does the serving; the order of a stop is written out here because `cleanup()`
takes its time limit when the runner is made, not when it is stopped, and may spend it twice.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, ClassVar

from aiohttp import web

from labkit import capture, messages, sockets
from labkit.capture import ServiceStream
from labkit.entries import Noted, Request
from labkit.errors import NotAnApp
from labkit.faults import Drop, Fault, FaultPlan, Faults
from labkit.journal import Journal
from labkit.servers import base
from labkit.servers.base import Kind, Server

_FORCE = 0.05  # seconds for a cancelled handler to notice
_TIDY = 1.0  # seconds for the application's own clean-up hooks, and for tasks left behind

_CANCELS = web.AppKey("labkit_handler_cancellation", bool)


def cancelling_handlers(app: Any) -> Any:
    """Have a handler cancelled when its client leaves, as `run_app(handler_cancellation=True)` does."""
    if inspect.iscoroutine(app):

        async def marked() -> Any:
            return cancelling_handlers(await app)

        return marked()
    if isinstance(app, web.Application):
        app[_CANCELS] = True
    return app


class AioServer(Server):
    """A thread with a loop. `app` is an application, or an awaitable that makes one on that loop."""

    kind: ClassVar[Kind] = "aiohttp"

    def __init__(
        self,
        listening: socket.socket,
        name: str,
        journal: Journal,
        faults: Faults,
        app: web.Application | Awaitable[web.Application],
    ) -> None:
        super().__init__(listening, name, journal, faults)
        self._app = app
        self._thread = threading.Thread(target=self._main, name=f"labkit-{name}", daemon=True)
        self._started = threading.Event()
        self._heard = threading.Event()  # the loop has heard that it should stop
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._server: web.Server | None = None
        # Written by other threads, read on the loop: plain flags, with an event to wake who waits for them.
        self._closing = self._crashing = self._paused = self._grace_cut = False
        self._grace = 0.0
        self._hanging = 0  # requests in a fault without an end in sight
        self._cut = 0
        self._wake: asyncio.Event  # made on the loop
        self._ending: asyncio.Event

    # from any thread

    def start(self) -> None:
        capture.begin()
        try:
            Context().run(self._thread.start)  # a service is no part of what the code that starts it does
        except RuntimeError:  # no thread to be had now
            capture.end()
            raise
        try:
            while not self._started.wait(0.1):  # an interrupt may be lost, on Windows always, without a limit
                pass
        except BaseException:  # an interrupt of the cell while on_startup runs
            self._crash_from_outside()
            raise
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self, grace: float) -> int:
        self._grace = grace
        self._closing = True
        self._tell(self._ending)
        try:
            if self._heard.wait(grace + 2 * _FORCE):
                end = time.monotonic() + grace + 2 * _TIDY + 4 * _FORCE
                while not self._grace_cut and self._join(min(0.1, end - time.monotonic())):
                    if time.monotonic() > end:
                        break
                if self._grace_cut:
                    self._join(2 * _TIDY + 4 * _FORCE)
        finally:  # an interrupt of the cell ends the grace
            self._grace_cut = True
            if self._thread.is_alive():  # a handler blocks the loop, or a clean-up hook does
                self._cut_from_outside()
        return self._cut

    def cut_grace(self) -> None:
        self._grace_cut = True
        self._heard.set()

    def kill(self) -> None:
        self._crash_from_outside()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._tell(self._wake)

    def wake(self) -> None:
        self._tell(self._wake)

    def forget(self) -> None:
        sockets.let_go(self.listening)
        for transport in self._transports():
            sockets.let_go(transport.get_extra_info("socket")._sock)

    def _tell(self, event: asyncio.Event) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(event.set)

    def _crash_from_outside(self) -> None:
        self._closing = self._crashing = True
        if self._started.is_set():
            self._tell(self._ending)
        elif self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._join(2 * _FORCE)
        if self._thread.is_alive():
            self._cut_from_outside()
            self._join(_FORCE)

    def _join(self, timeout: float) -> bool:
        """Wait for the thread, and return True where it makes sense to wait on."""
        if self._thread is threading.current_thread():  # a handler may end its own service
            return False
        self._thread.join(max(0.0, timeout))
        return self._thread.is_alive()

    def _cut_from_outside(self) -> None:
        """Close the sockets of a loop that does not react; it ends when the handler returns."""
        self._cut = max(self._cut, self._being_handled())
        with suppress(OSError):
            sockets.stop_listening(self.listening)
        for transport in self._transports():
            sockets.cut(transport.get_extra_info("socket"))

    # on the loop's thread

    def _main(self) -> None:
        capture.current.set(self.journal)
        loop: asyncio.AbstractEventLoop | None = None
        try:
            self._loop = loop = asyncio.new_event_loop()  # which needs descriptors
            asyncio.set_event_loop(loop)
            loop.set_exception_handler(self._note_stray_error)
            self._task = loop.create_task(self._serve())
            loop.run_until_complete(self._task)
        except BaseException as error:
            if self._started.is_set():
                self.journal.error(error)
            else:
                self._failure = error
        finally:
            try:
                if loop is not None:
                    self._close_loop(loop)
            finally:
                self.listening.close()
                self.ended = self._started.is_set() and not self._closing
                capture.end()
                self._started.set()

    async def _serve(self) -> None:
        self._wake, self._ending = asyncio.Event(), asyncio.Event()
        app = await self._app if inspect.isawaitable(self._app) else self._app
        if not isinstance(app, web.Application):
            raise NotAnApp(messages.NOT_FROM_FACTORY.format(factory=self.name, given=repr(app)))
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, handler_cancellation=app.get(_CANCELS, False)
        )
        try:
            await runner.setup()
        except BaseException:
            with suppress(Exception):  # the first error is the one to show
                await runner.cleanup()
            raise
        assert runner.server is not None
        self._server = server = runner.server
        server.request_handler = self._recording(server.request_handler)
        server.request_factory = partial(app._make_request, _cls=self._noting())
        self.faults.attach(self)
        site = web.SockSite(runner, self.listening)
        await site.start()
        self._started.set()
        await self._ending.wait()
        self._heard.set()
        with suppress(ValueError, NotImplementedError):
            # A connection that asyncio is accepting while its Server closes trips over an assertion there
            # and stays open, owned by nobody (python/cpython#109564). So first accept no more, and let those
            # that are coming pass.
            asyncio.get_running_loop().remove_reader(self.listening)  # Windows' loop has none
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with suppress(OSError):  # as sockets.stop_listening does
            self.listening.shutdown(socket.SHUT_RDWR)
        with suppress(ValueError):  # the listening socket was taken away, see _cut_from_outside
            await site.stop()
        if self._crashing:
            self._abort(self._transports())
        else:
            await self._wind_up(app, server)

    async def _wind_up(self, app: web.Application, server: web.Server) -> None:
        """Do what `runner.cleanup()` does, within the grace given now."""
        deadline = time.monotonic() + self._grace
        self._wake.set()
        server.pre_shutdown()  # idle keep-alive connections
        async with _at_most(max(self._grace, _TIDY)):
            await app.shutdown()  # where applications close their websockets
        while self._under_way() > self._hanging and time.monotonic() < deadline and not self._grace_cut:
            await asyncio.sleep(0.002)
        self._cut = self._under_way()
        transports = self._transports()
        if self._cut:
            self._abort(transports)
        async with _at_most(4 * _FORCE):
            # Not server.shutdown(), which forgets the connections that are made while it waits.
            await asyncio.gather(*(connection.shutdown(_FORCE) for connection in server.connections))
        self._abort(transports)
        async with _at_most(_TIDY):
            await app.cleanup()

    def _transports(self) -> list[asyncio.Transport]:
        return [each.transport for each in self._connections() if each.transport is not None]

    def _under_way(self) -> int:
        """Count the requests being handled, or answered to a reader that takes its time."""
        return max(self._being_handled(), sum(t.get_write_buffer_size() > 0 for t in self._transports()))

    def _being_handled(self) -> int:
        # aiohttp knows: counting here too would cost each request a little.
        return sum(each._request_in_progress for each in self._connections())

    def _connections(self) -> list[web.RequestHandler]:
        return self._server.connections if self._server is not None else []

    def _abort(self, transports: list[asyncio.Transport]) -> None:
        for transport in transports:
            # One that closes already may have its answer on the way, in the system's buffer.
            sockets.cut(transport.get_extra_info("socket"), reset=not transport.is_closing())
            transport.abort()

    def _recording(self, handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Wrap the application's handler: each request in the journal, the pause at its door."""
        journal, begin, done = self.journal, self.journal.begin, self.journal.done
        faults, now = self.faults, time.perf_counter

        async def record(request: Any) -> web.StreamResponse:
            if type(sys.stdout) is not ServiceStream or type(sys.stderr) is not ServiceStream:
                capture.wrap_streams()
            began = now()
            if self._closing:
                self._refuse(request)
            if self._paused:
                await self._wait_for_resume(request)
                if request.transport is None:  # who gave up meanwhile is not served
                    raise asyncio.CancelledError
            met = None
            if faults.active:
                met = faults.meet(journal, request.method, request.raw_path, request.path)
            noted = request.noted = begin(request.method, request.raw_path) if met is None else met.noted
            watcher = base.watcher
            if watcher is not None:
                headers = request.headers
                watcher(self.name, Request(noted), headers.get("traceparent"), headers.get("tracestate"))
            try:
                if met is not None:
                    return await self._apply_faults(met, request, handle)
                response: web.StreamResponse = await handle(request)
                return response
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # which would end the loop
                journal.error(error)
                if request.writer.output_size > 0:
                    raise ConnectionAbortedError from error
                return web.Response(status=500, text="500 Internal Server Error")
            finally:
                done(noted, now() - began)
                if journal.unfinished:  # a line begun by print(end="") ends with its request
                    journal.flush()

        return record

    async def _apply_faults(
        self, met: FaultPlan, request: web.Request, handle: Callable[..., Awaitable[Any]]
    ) -> web.StreamResponse:
        """Apply the faults that a request meets, and answer it unless they say otherwise."""
        for fault, seconds in met.waits():
            await self._wait_in(fault, seconds, request)
        ending = met.ending()
        if isinstance(ending, Drop):
            raise asyncio.CancelledError  # on which aiohttp closes the connection
        if ending is not None:
            if self._paused:
                await self._wait_for_resume(request)
            self.journal.answer(met.noted, ending.status)
            body = ending.body if ending.has_body else None
            return web.Response(status=ending.status, reason=ending.reason, body=body, headers=ending.headers)
        response: web.StreamResponse = await handle(request)
        return response

    async def _wait_in(self, fault: Fault, seconds: float | None, request: web.Request) -> None:
        """Wait in a fault until it is cleared, at most so many seconds."""
        self._hanging += seconds is None
        try:
            async with asyncio.timeout(seconds):
                while not fault.cleared:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            self._hanging -= seconds is None
        # Who gave up a request that hung is not served, as after a pause; one that is slow is.
        if seconds is None and request.transport is None:
            raise asyncio.CancelledError

    def _noting(self) -> type[web.Request]:
        """Make the class of requests that note the status: also of errors, and before a stream begins.

        A signal on_response_prepare would do it too, and cost a tenth of a small handler's throughput.
        """
        server, answer = self, self.journal.answer

        class NotingRequest(web.Request):
            ATTRS = web.Request.ATTRS | {"noted"}
            noted: Noted | None = None

            async def _prepare_hook(self, response: web.StreamResponse) -> None:
                if self._match_info is not None:  # as in web.Request, which costs a coroutine more
                    for app in self._match_info._apps:
                        if signal := app.on_response_prepare:
                            await signal.send(self, response)
                if server._paused:
                    await server._wait_for_resume(self)
                if self.noted is not None:
                    answer(self.noted, response.status)

            def clone(self, **changes: Any) -> Any:  # which a handler may begin a stream on
                copy: Any = super().clone(**changes)
                copy.noted = self.noted
                return copy

        return NotingRequest

    async def _wait_for_resume(self, request: web.Request) -> None:
        while self._paused and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        if self._paused:  # and closing: who waited is not answered
            self._refuse(request)

    def _refuse(self, request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError  # aiohttp's way to say that there is nobody to answer

    def _note_stray_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            self.journal.error(error, head=context.get("message", ""))
        else:
            self.journal.note(context.get("message", ""))

    def _close_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what `asyncio.run` does at its end, in limited time and without waiting for executors."""
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=_FORCE if self._crashing else _TIDY))
            if not self._crashing:
                loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), _TIDY))
            # Connections that were being accepted when the others were closed. Two rounds: one in which
            # they are made or lost, one in which their sockets close.
            for _ in range(2):
                self._abort(self._transports())
                loop.run_until_complete(asyncio.sleep(0))
        except TimeoutError:
            pass
        finally:
            executor = getattr(loop, "_default_executor", None)
            if executor is not None:  # shutdown_default_executor would wait for its threads
                executor.shutdown(wait=False, cancel_futures=True)
            asyncio.set_event_loop(None)
            loop.close()


class _at_most:
    """`asyncio.timeout` for clean-up: what takes longer is left behind."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc_info: Any) -> bool:
        try:
            await self._timeout.__aexit__(*exc_info)
        except TimeoutError:
            return True
        return False
