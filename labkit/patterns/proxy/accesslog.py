"""An access log that machines read: one JSON object a line, for each request.

No secret enters it: the path without its query, and no header but X-Request-ID.
"""

import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from labkit.patterns.proxy.errors import ProxyError
from labkit.patterns.proxy.proxy import Call

REQUEST_ID = "X-Request-ID"
_KEY = web.RequestKey("request_id", str)
_in_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: json.dumps would for each line
_GOOD_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class AccessLog:
    """Write a line about each exchange to `write`, a function of one text (without its line's end).

    `wall`: the clock of its timestamps, seconds since 1970.
    """

    def __init__(self, write: Callable[[str], object], *, wall: Callable[[], float] = time.time) -> None:
        self._write = write
        self._wall = wall

    def record(
        self,
        request: web.Request,
        status: int,
        seconds: float,
        *,
        call: Call | None = None,
        error: ProxyError | None = None,
        **more: Any,
    ) -> None:
        """Log one exchange; `status` 499 for a client that left, `more`: fields of the caller's own."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds"),
            "client": request.remote,
            "method": request.method,
            "path": request.raw_path.partition("?")[0],
            "status": status,
            "ms": round(1000 * seconds, 3),
            "request_id": request_id(request),
        }
        if call is not None:
            line["received"] = call.body.received if call.body is not None else 0
            line["sent"] = call.sent
            line["upstream"] = call.upstream
            line["attempts"] = len(call.attempts)
            line["broken"] = call.broken
        if error is not None:
            line["error"] = error.cause
        self._write(_in_json(line | more))


def request_id(request: web.Request, *, believe: bool = True) -> str:
    """Return the request's id, the same at each call: its X-Request-ID if `believe`d, else a new one."""
    known = request.get(_KEY)
    if known is None:
        given = request.headers.get(REQUEST_ID, "")
        known = given if believe and _GOOD_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        request[_KEY] = known
    return known
