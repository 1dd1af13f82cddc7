"""Which bulkhead a request belongs to, and what is answered when it is full: shared by both middlewares."""

import math
from collections.abc import Mapping
from typing import Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.bulkhead import messages
from labkit.patterns.bulkhead.bulkhead import Bulkhead
from labkit.patterns.bulkhead.errors import BulkheadFullError

Compartments = Bulkhead | Mapping[str, Bulkhead]


class Router:
    """One bulkhead for every request, or one for each prefix of the path.

    "/pagos" is for /pagos and /pagos/7, not for /pagosfalsos; the longest prefix that fits is taken, and what
    fits none passes unbounded.
    """

    def __init__(self, compartments: Compartments) -> None:
        if isinstance(compartments, Bulkhead):
            compartments = {"/": compartments}
        if not isinstance(compartments, Mapping) or not compartments:
            raise InvalidInput(messages.BAD_COMPARTMENTS.format(given=compartments))
        for prefix, bulkhead in compartments.items():
            if not isinstance(prefix, str) or not prefix.startswith("/"):
                raise InvalidInput(messages.BAD_PREFIX.format(given=prefix))
            if not isinstance(bulkhead, Bulkhead):
                raise InvalidInput(messages.BAD_COMPARTMENTS.format(given=bulkhead))
        self._prefixes = sorted(
            ((prefix.rstrip("/") + "/", bulkhead) for prefix, bulkhead in compartments.items()),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )

    def find(self, path: str) -> Bulkhead | None:
        """Return the bulkhead for the path, if it has one."""
        whole = path.rstrip("/") + "/"
        return next((bulkhead for prefix, bulkhead in self._prefixes if whole.startswith(prefix)), None)


def full_response(error: BulkheadFullError) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return body, status and headers: 503 with Retry-After (RFC 9110, sections 15.6.4 and 10.2.3).

    As Flask takes them, for the views that enter a bulkhead themselves:
    `app.register_error_handler(BulkheadFullError, full_response)`. What the body says is not what the error
    says: how full a service is concerns nobody outside.
    """
    # Whole seconds, as the header wants them, and never 0: that would mean "now".
    seconds = max(1, math.ceil(error.retry_after))
    return {"error": messages.BUSY, "retry_after": seconds}, 503, {"Retry-After": str(seconds)}
