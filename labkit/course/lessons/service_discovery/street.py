"""The actors of this lesson's cases: instances that are well, ill, slow, mute or dead, and what reached them."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, jsonify, request

from labkit import sockets
from labkit.exercises.exercise import Scene
from labkit.service import Service

DEAD = "http://127.0.0.1:9"  # the discard port, on which nothing listens


class Street(Scene):
    """Instances of `envios`, each with a name, and a registry that lists them."""

    def instance(self, name: str = "envios-1", status: int = 200, before: Callable[[], object] = lambda: None) -> Service:
        """Start an instance that answers `status` on every path, after calling `before`."""

        def answer(path: str) -> Any:
            before()
            return {"instancia": name}, status

        return self._serve(answer, name)

    def slow(self, seconds: float, name: str = "lenta") -> Slow:
        """Start an instance that answers after so many seconds, if its caller is still there."""
        slow = Slow(seconds, name)
        slow.service = self._serve(slow.answer, name)
        return slow

    def mute(self, name: str = "muda") -> Service:
        """Start an instance that takes each request, which its journal counts, and hangs up without a word."""

        def answer(path: str) -> str:
            sockets.cut(request.environ["werkzeug.socket"])
            return ""

        return self._serve(answer, name)

    def registry(self, urls: Callable[[], list[str] | None]) -> Service:
        """Start a registry: `GET /instancias/envios` is {"urls": …}, or a 500 when there is no list."""

        def answer(path: str) -> Any:
            if path != "instancias/envios":
                return jsonify(error="ruta desconocida"), 404
            found = urls()
            return (jsonify(error="avería"), 500) if found is None else jsonify(urls=found)

        return self._serve(answer, "registro")

    def _serve(self, answer: Callable[[str], Any], name: str) -> Service:
        app = Flask(name)
        app.add_url_rule("/<path:path>", "all", answer)
        return self.serve(app, name)


class Slow:
    """An instance that takes its time, and notices when its caller hangs up."""

    service: Service

    def __init__(self, seconds: float, name: str) -> None:
        self.seconds, self.name = seconds, name
        self.answered = 0  # callers who stayed to the end

    def answer(self, path: str) -> Any:
        connection: socket.socket = request.environ["werkzeug.socket"]
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0:
            readable, _, _ = select.select([connection], [], [], min(left, 0.02))
            if readable and not connection.recv(1, socket.MSG_PEEK):
                return "", 499
        self.answered += 1
        return {"instancia": self.name}

    @property
    def url(self) -> str:
        return self.service.url


def asked(*instances: Service) -> list[int]:
    """Return how many requests reached each instance."""
    return [len(each.journal.requests) for each in instances]


def paths(*instances: Service) -> set[str]:
    """Return the paths that were asked of them."""
    return {each.path for instance in instances for each in instance.journal.requests}


def unsorted(instances: list[Service]) -> list[Service]:
    """Return them in an order that is neither that of their addresses nor the opposite."""
    first, *rest = sorted(instances, key=lambda each: each.url)
    return [*rest, first]
