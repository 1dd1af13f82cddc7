"""A reader of Server-Sent Events at the level of bytes, for RX-7b: it reads when it is told to."""

from __future__ import annotations

import http.client
import re
import socket
from typing import Any

from labkit.exercises.exercise import Case
from labkit.patterns.reactive import ServerSentEvent, decode, run_virtually
from labkit.service import Service

_SMALL = 16 * 1024  # of what a slow reader's socket takes in


class Reader:
    """A client at the level of bytes: it reads when it is told to."""

    def __init__(self, case: Case, service: Service, after: str | None, slow: bool) -> None:
        self.case, self.data, self.given, self.ids = case, b"", 0, 0
        self.socket = socket.socket()
        self.response = http.client.HTTPResponse(self.socket)
        if slow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        self.socket.settimeout(case.pace.patience)
        case.cleanup(self.close)
        self.socket.connect(("127.0.0.1", service.port))
        header = "" if after is None else f"Last-Event-ID: {after}\r\n"
        self.socket.sendall(f"GET /precios HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
        try:
            self.response.begin()
        except (OSError, http.client.HTTPException) as error:
            case.fail(f"no llegaron las cabeceras de GET /precios ({type(error).__name__}). ¿Qué espera tu ruta?")
        case.equal(self.response.status, 200, "GET /precios contestó {found}")

    def close(self) -> None:
        """Leave; safe to call twice."""
        self.response.close()
        self.socket.close()

    def read(self, count: int, who: str = "", think: str = "¿Qué espera tu ruta?") -> list[ServerSentEvent]:
        """Return the next events; the case fails when they do not come in time."""
        while len(events := events_of(self.data)) < self.given + count:
            came = f"{who}de {self.given + count} sucesos llegaron completos {len(events)}; lo recibido: {self._received()}"
            in_part = self.data.count(b"id:") > len(events)
            self._receive(came, "¿Lleva cada uno su data y su línea vacía?" if in_part else think)
        self.given += count
        return events[self.given - count : self.given]

    def read_until(self, number: int) -> int:
        """Read up to the event of that number, and return how many have come; the rest is forgotten."""
        mark = re.compile(rb"^id: ?%d\r?\n" % number, re.MULTILINE)
        while not mark.search(self.data):
            self.ids += self.data.count(b"id:") - self.data[-100:].count(b"id:")
            self.data = self.data[-100:]
            self._receive(f"el suceso {number} no llegó")
        return self.ids + self.data.count(b"id:")

    def _received(self) -> str:
        return repr(self.data[-90:].decode(errors="replace"))

    def _receive(self, otherwise: str, think: str = "¿Qué espera tu ruta?") -> None:
        try:
            piece = self.response.read1(1 << 20)
        except TimeoutError:
            self.case.fail(f"{otherwise}. {think}")
        except (ConnectionError, http.client.HTTPException):
            piece = b""
        self.case.expect(piece, f"{otherwise}, y la respuesta se acabó: ¿cuándo acaba el flujo?")
        self.data += piece


def events_of(data: bytes) -> list[ServerSentEvent]:
    """Return the events in what was received."""

    async def read() -> list[ServerSentEvent]:
        async def chunks() -> Any:
            yield data

        return [event async for event in decode(chunks(), 1 << 24)]

    return run_virtually(read())
