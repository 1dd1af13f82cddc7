"""What is accepted, refused at the door."""

import math
from typing import cast

from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import InvalidInput


def count(name: str, given: object, *, minimum: int = 1) -> int:
    """Return a whole number from `minimum` on. Raises InvalidInput."""
    if not isinstance(given, int) or isinstance(given, bool) or given < minimum:
        raise InvalidInput(messages.BAD_COUNT.format(name=name, given=given, minimum=minimum))
    return given


def seconds(name: str, given: object, *, zero: bool = False) -> float:
    """Return a finite number of seconds above 0, or from 0 on. Raises InvalidInput."""
    number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not number or cast("float", given) < 0 or (given == 0 and not zero):
        text = messages.BAD_LEEWAY if zero else messages.BAD_SECONDS
        raise InvalidInput(text.format(name=name, given=given))
    return float(cast("float", given))


def text(name: str, given: object) -> str:
    """Return a text that is not empty. Raises InvalidInput."""
    if not isinstance(given, str) or not given.strip():
        raise InvalidInput(messages.BAD_TEXT.format(name=name, given=given))
    return given
