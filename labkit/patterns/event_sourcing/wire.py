"""Events as JSON objects, for the service and its client."""

from dataclasses import asdict
from typing import Any

from labkit.patterns._given import InvalidInput
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import (
    DuplicateEvent,
    EventSourcingError,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    UnknownSchema,
)
from labkit.patterns.event_sourcing.event import Event, RecordedEvent

MAX_WAIT = 30.0  # seconds that a request may wait for something new
CONFLICT = "conflict"

# The code in the answer's body: which error it was. The status says whose turn it is: 4xx the caller's.
STATUS: dict[str, tuple[type[EventSourcingError | InvalidInput], int]] = {
    "invalid": (InvalidInput, 400),
    "duplicate": (DuplicateEvent, 409),
    "busy": (StoreBusy, 503),
    "unavailable": (StoreUnavailable, 503),
    "full": (StoreFull, 507),
    "schema": (UnknownSchema, 500),
    "damaged": (StoreDamaged, 500),
}
_EVENT_FIELDS = {"type", "data", "metadata", "schema_version", "id"}


def event_from_json(given: Any) -> Event:
    """Return an event to be appended. Raises InvalidInput."""
    if not isinstance(given, dict):
        raise InvalidInput(messages.BAD_BODY)
    refuse_unknown(given, _EVENT_FIELDS)
    if "type" not in given:
        raise InvalidInput(messages.BAD_BODY)
    return Event(**given)


def event_to_json(event: Event | RecordedEvent) -> dict[str, Any]:
    """Return an event as a JSON object."""
    return asdict(event)


def recorded_from_json(given: dict[str, Any]) -> RecordedEvent:
    """Return an event as the service sent it."""
    return RecordedEvent(**given)


def refuse_unknown(given: dict[str, Any], accepted: set[str]) -> None:
    """Raise InvalidInput for a field that is not known: a misspelt one would be lost without a word."""
    unknown = ", ".join(f"«{name}»" for name in sorted(set(given) - accepted))
    if unknown:
        raise InvalidInput(messages.UNKNOWN_FIELD.format(given=unknown, accepted=", ".join(sorted(accepted))))
