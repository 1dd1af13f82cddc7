"""Flask and any other WSGI application, served by werkzeug in threads of this process.

Werkzeug's own `serve_forever` polls every half second, its `shutdown` does not know which requests are
in flight, and a connection opened before the shutdown is still answered by the old application. So
`make_server` is given a socket that listens already (it would call `sys.exit` when the port is taken),
the accepting loop here waits without polling, and a connections at the door of every connection knows which
ones are idle, which are being served, and which may still begin.
"""

from __future__ import annotations

import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import Context
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from werkzeug.serving import WSGIRequestHandler, make_server

from labkit import capture, sockets
from labkit.entries import Noted, Request
from labkit.faults import Drop, Error, Fault, FaultPlan, Faults
from labkit.journal import Journal
from labkit.servers import base
from labkit.servers.base import Kind, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LEAVING = 0.25  # seconds given to threads whose connection was cut


class WsgiServer(Server):
    """A thread that accepts, and a thread for each connection."""

    kind: ClassVar[Kind] = "wsgi"

    def __init__(
        self, listening: socket.socket, name: str, journal: Journal, faults: Faults, app: WSGIApplication
    ) -> None:
        super().__init__(listening, name, journal, faults)
        self._connections = ConnectionTracker()
        host, port = listening.getsockname()[:2]
        handler = type("Handler", (_Handler,), {"connections": self._connections, "journal": journal})
        self._werkzeug = make_server(
            host,
            port,
            Recorder(app, name, journal, faults, self._connections),
            threaded=True,
            request_handler=handler,
            passthrough_errors=True,  # errors are ours to record, see _Handler.run_wsgi
            fd=listening.fileno(),
        )
        listening.close()  # werkzeug duplicated it
        # A client may leave between select and accept. A timeout (not non-blocking mode, which accepted
        # sockets inherit on some systems) keeps accept from waiting for the next one.
        self._werkzeug.socket.settimeout(0.2)
        self._wake_send, self._wake_recv = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name=f"labkit-{name}", daemon=True)

    def start(self) -> None:
        capture.begin()
        self.faults.attach(self)
        try:
            Context().run(self._thread.start)  # a service is no part of what the code that starts it does
        except RuntimeError:  # no thread to be had now
            self._connections.close()  # which ends what `capture` has begun
            for each in (self._werkzeug.socket, self._wake_send, self._wake_recv):
                each.close()
            raise

    def stop(self, grace: float) -> int:
        self._close_door()
        self._connections.hang_up(idle_only=True)
        try:
            if not self._connections.paused:
                self._connections.wait_until_quiet(grace)
        finally:  # an interrupt of the cell ends the grace: what lasts is cut and does not go on unseen
            cut = self._connections.hang_up()
        self._connections.wait_until_empty(_LEAVING)
        return cut

    def cut_grace(self) -> None:
        self._connections.hang_up()

    def kill(self) -> None:
        self._close_door()
        self._connections.hang_up()
        self._connections.wait_until_empty(_LEAVING)

    def pause(self) -> None:
        self._connections.pause()

    def resume(self) -> None:
        self._connections.resume()

    def wake(self) -> None:
        self._connections.wake()

    def forget(self) -> None:
        held = [self._werkzeug.socket, self._wake_send, self._wake_recv]
        for each in [*held, *self._connections.every()]:
            sockets.let_go(each)

    def _close_door(self) -> None:
        """Accept no more connections, and let no accepted one begin a request."""
        self._connections.close()
        with suppress(OSError):  # the thread has ended by itself
            self._wake_send.send(b"!")
        self._thread.join()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._wake_send, self._wake_recv:
            selector.register(self._werkzeug.socket, selectors.EVENT_READ)
            selector.register(self._wake_recv, selectors.EVENT_READ)
            while all(key.fileobj is not self._wake_recv for key, _ in selector.select()):
                try:
                    # What socketserver's serve_forever does with a readable socket.
                    self._werkzeug._handle_request_noblock()  # type: ignore[attr-defined]
                except Exception as error:  # no thread to be had; the next connection may be luckier
                    self.journal.error(error)
        sockets.stop_listening(self._werkzeug.socket)
        self._werkzeug.server_close()


class ConnectionTracker:
    """The connections: which are idle, which are being served, and if one may still begin."""

    def __init__(self) -> None:
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._woken = threading.Condition(lock)  # apart: who waits in a fault cares for little that happens
        self._serving: dict[socket.socket, bool] = {}
        self._hanging: set[socket.socket] = set()  # in a fault, without an end in sight
        self._closed = self._over = False
        self._captured = True  # the words of a handler that outlives the server still belong to it
        self.paused = False

    def every(self) -> list[socket.socket]:
        """List the connections, without the lock."""
        return list(self._serving)

    def connect(self, connection: socket.socket) -> bool:
        """Add a connection that was accepted; False: too late."""
        with self._changed:
            self._serving[connection] = False
            return not self._closed

    def disconnect(self, connection: socket.socket) -> None:
        with self._changed:
            self._serving.pop(connection, None)
            self._release_when_empty()
            self._changed.notify_all()

    def enter(self, connection: socket.socket) -> bool:
        """Admit a request that was read, after a pause if there is one; False: it may not be served."""
        with self._changed:
            if self._closed:
                return False
            self._serving[connection] = True
            waited = self.paused
            # Who gave up during the pause is not served: nobody would read the answer.
            return self._wait_for_resume() and not (waited and sockets.hung_up(connection))

    def leave(self, connection: socket.socket) -> None:
        with self._changed:
            if connection in self._serving:
                self._serving[connection] = False
            self._changed.notify_all()

    def hold_answer(self) -> None:
        """Hold back a response that begins: a service that was paused meanwhile does not answer."""
        if self.paused:
            with self._changed:
                if not self._wait_for_resume():
                    raise NoAnswer

    def wait(self, connection: socket.socket, fault: Fault, seconds: float | None) -> None:
        """Wait in a fault until it is cleared, at most so many seconds."""
        with self._changed:
            if seconds is None:
                self._hanging.add(connection)
                self._changed.notify_all()
            try:
                self._woken.wait_for(lambda: self._over or fault.cleared, seconds)
            finally:
                self._hanging.discard(connection)
            # Who gave up a request that hung is not served, as after a pause; one that is slow is.
            if self._over or (seconds is None and sockets.hung_up(connection)):
                raise NoAnswer

    def wake(self) -> None:
        with self._changed:
            self._woken.notify_all()

    def _wait_for_resume(self) -> bool:
        waited = self.paused
        self._changed.wait_for(lambda: self._closed or not self.paused)
        return not (waited and self._closed)

    def pause(self) -> None:
        with self._changed:
            self.paused = True

    def resume(self) -> None:
        with self._changed:
            self.paused = False
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._release_when_empty()
            self._changed.notify_all()

    def _release_when_empty(self) -> None:
        if self._closed and self._captured and not self._serving:
            self._captured = False
            capture.end()

    def hang_up(self, *, idle_only: bool = False) -> int:
        """Cut connections; returns how many of them were being served."""
        with self._changed:
            if not idle_only:
                self._over = True
                self._woken.notify_all()
                self._changed.notify_all()
            chosen = [connection for connection, busy in self._serving.items() if not (busy and idle_only)]
            busy = sum(self._serving[connection] for connection in chosen)
            for connection in chosen:
                # One that is not busy may have its answer on the way, in the system's buffer.
                sockets.cut(connection, reset=self._serving[connection])
        return busy

    def wait_until_quiet(self, timeout: float) -> None:
        """Wait until nothing is being served, except what hangs in a fault without an end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._over or all(c in self._hanging for c, busy in self._serving.items() if busy),
                timeout,
            )

    def wait_until_empty(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._serving, timeout)


class _Handler(WSGIRequestHandler):
    """One connection, in a thread of its own. Werkzeug answers one request on each."""

    connections: ClassVar[ConnectionTracker]
    journal: ClassVar[Journal]

    def setup(self) -> None:
        capture.current.set(self.journal)
        if not self.connections.connect(self.request):
            sockets.cut(self.request)  # reading will find the end
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.connections.disconnect(self.request)

    def run_wsgi(self) -> None:
        if not self.connections.enter(self.request):
            sockets.cut(self.request)
            self.close_connection = True
            return
        capture.wrap_streams()
        try:
            super().run_wsgi()
        except Exception as error:
            # The application failed in the middle of its body, or gave something that is none. The headers
            # are out, so the one honest answer left is a connection that breaks off.
            if not isinstance(error, BrokenBody):
                self.journal.error(error)
            sockets.cut(self.request)
            self.close_connection = True
        finally:
            self.journal.flush()  # the thread ends here, and with it a line begun by print(end="")
            self.connections.leave(self.request)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass  # the Recorder notes requests

    def log(self, type: str, message: str, *args: Any) -> None:
        self.journal.note(message % args if args else message)


class NoAnswer(ConnectionAbortedError):
    """There is nobody to answer: the server ended while the answer was held back, or a fault dropped the
    connection. Werkzeug passes over it."""


class BrokenBody(Exception):
    """The application failed in the middle of its body; the journal knows how."""


class Recorder:
    """WSGI middleware: each request in the journal, each error with its traceback, a 500 to the client.

    It is also where injected faults apply.
    """

    def __init__(
        self,
        app: WSGIApplication,
        name: str,
        journal: Journal,
        faults: Faults,
        connections: ConnectionTracker,
    ) -> None:
        self.app = app
        self.name = name
        self.journal = journal
        self.faults = faults
        self.connections = connections

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        met = self._meet(environ) if self.faults.active else None
        method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
        noted = self.journal.begin(method, target) if met is None else met.noted
        watcher = base.watcher
        if watcher is not None:
            parent, state = environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_TRACESTATE")
            watcher(self.name, Request(noted), parent, state)
        body: Iterable[bytes] = ()

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            self.connections.hold_answer()
            self.journal.answer(noted, int(status[:3]))
            return start_response(status, headers, exc_info)

        try:
            app = self.app if met is None else self._apply_faults(met, environ)
            # The first piece is asked for here, so that a generator that fails at once becomes a 500 too.
            body = app(environ, start)
            pieces = iter(body)
            first = next(pieces, b"")
        except NoAnswer:
            self.journal.done(noted, time.perf_counter() - began)
            if met is not None:
                sockets.cut(environ["werkzeug.socket"], reset=False)
            raise
        except BaseException as error:  # in a thread of its own, where it would end nothing but this answer
            self.journal.error(error)
            text = b"500 Internal Server Error"
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
            start("500 INTERNAL SERVER ERROR", headers, sys.exc_info())
            return _Body(iter((text,)), body, self.journal, noted, began)
        pieces = chain((first,), pieces)
        return _Body(pieces, body, self.journal, noted, began)

    def _meet(self, environ: WSGIEnvironment) -> FaultPlan:
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")  # PEP 3333's strings
        return self.faults.meet(self.journal, environ["REQUEST_METHOD"], environ["RAW_URI"], path)

    def _apply_faults(self, met: FaultPlan, environ: WSGIEnvironment) -> WSGIApplication:
        """Wait as the faults want, and return who answers then. Raises NoAnswer if nobody does."""
        for fault, seconds in met.waits():
            self.connections.wait(environ["werkzeug.socket"], fault, seconds)
        ending = met.ending()
        if isinstance(ending, Drop):
            raise NoAnswer
        return self.app if ending is None else _answering(ending)


def _answering(error: Error) -> WSGIApplication:
    """Make an application that gives the fault's answer."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = list(error.headers.items())
        if error.has_body:
            headers.append(("Content-Length", str(len(error.body))))
        start_response(f"{error.status} {error.reason}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [error.body]

    return app


class _Body:
    """A response's body, which notes how it failed, or when it has been handed over."""

    def __init__(
        self,
        pieces: Iterator[bytes],
        body: Iterable[bytes],
        journal: Journal,
        noted: Noted,
        began: float,
    ) -> None:
        self._pieces, self._body = pieces, body
        self._journal, self._noted, self._began = journal, noted, began

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except (StopIteration, NoAnswer):
            raise
        except BaseException as error:
            # Told apart here: further out, a ConnectionError of the application's looks like the client's.
            self._journal.error(error)
            raise BrokenBody from error

    def close(self) -> None:
        self._journal.done(self._noted, time.perf_counter() - self._began)
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
