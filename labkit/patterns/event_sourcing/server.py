"""The store over HTTP, as a Flask application.

    POST /streams/STREAM    {"events": [{"type": …, "data": …}], "expected_version": 3}: 201 and the events
    GET  /streams/STREAM?after=0&limit=1000         a stream's events and its version
    GET  /events?after=0&limit=1000                 the global order, and the position of its end
    GET  /events?after=7&wait=10                    the same, once there is something new, or after so long
    GET  /health                                    the store itself

An error is JSON, {"error": "…", "code": "conflict"}: 409 for a version conflict (with `expected` and
`actual`) or a taken id, 400 for what cannot be accepted, 503 with Retry-After for a store that is busy or out
of reach, 507 for a full disk. A POST may be repeated when its answer was lost: the events' ids make it once.
"""

import time
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from labkit.patterns._given import InvalidInput
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import EventSourcingError, VersionConflict
from labkit.patterns.event_sourcing.store import PAGE, EventStore
from labkit.patterns.event_sourcing.wire import (
    CONFLICT,
    MAX_WAIT,
    STATUS,
    event_from_json,
    event_to_json,
    refuse_unknown,
)

MAX_BODY = 4 * 1024 * 1024
_LOOK = 0.02  # seconds between two looks while a request waits


def store_app(store: EventStore) -> Flask:
    """Return the application that serves a store."""
    app = Flask("hechos")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.post("/streams/<stream>")
    def append(stream: str) -> tuple[dict[str, Any], int]:
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or not isinstance(body.get("events"), list):
            raise InvalidInput(messages.BAD_BODY)
        refuse_unknown(body, {"events", "expected_version"})
        if "expected_version" not in body:
            raise InvalidInput(messages.BAD_BODY)
        events = [event_from_json(event) for event in body["events"]]
        recorded = store.append(stream, events, body["expected_version"])
        return {"events": [event_to_json(event) for event in recorded]}, 201

    @app.get("/streams/<stream>")
    def read(stream: str) -> dict[str, Any]:
        after, limit = _number("after", 0), _number("limit", PAGE, minimum=1, maximum=PAGE)
        events = store.read(stream, after=after, until=after + limit)
        return {"events": [event_to_json(event) for event in events], "version": store.version(stream)}

    @app.get("/events")
    def read_all() -> dict[str, Any]:
        after, limit = _number("after", 0), _number("limit", PAGE, minimum=1, maximum=PAGE)
        patience = time.monotonic() + _wait()
        while store.head() <= after and time.monotonic() < patience:
            time.sleep(_LOOK)
        events = [event_to_json(event) for event in store.read_all(after, limit)]
        return {"events": events, "head": store.head()}

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "UP", "head": store.head()}

    @app.errorhandler(VersionConflict)
    def conflict(error: VersionConflict) -> tuple[dict[str, Any], int]:
        return {
            "error": str(error),
            "code": CONFLICT,
            "expected": error.expected,
            "actual": error.actual,
        }, 409

    @app.errorhandler(InvalidInput)
    @app.errorhandler(EventSourcingError)
    def refused(error: EventSourcingError | InvalidInput) -> Response:
        code, status = next(
            (code, status) for code, (kind, status) in STATUS.items() if isinstance(error, kind)
        )
        answer = jsonify(error=str(error), code=code)
        answer.status_code = status
        if status == 503:
            answer.headers["Retry-After"] = "1"
        return answer

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error  # a redirect
        return {"error": error.description}, error.code

    return app


def _number(name: str, default: int, *, minimum: int = 0, maximum: int = 2**62) -> int:
    given = request.args.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 20 and minimum <= int(given) <= maximum):
        raise InvalidInput(
            messages.BAD_NUMBER.format(name=name, given=given, minimum=minimum, maximum=maximum)
        )
    return int(given)


def _wait() -> float:
    given = request.args.get("wait", "0")
    try:
        wait = float(given)
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= MAX_WAIT:  # NaN fails this too
        raise InvalidInput(messages.BAD_WAIT.format(given=given, limit=int(MAX_WAIT)))
    return wait
