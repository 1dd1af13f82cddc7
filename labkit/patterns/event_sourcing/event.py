"""Events: what happened, before and after the store has given it a place.

The data is JSON and nothing else, checked by reading back what would be written: a tuple that would return as
a list, or a key 1 that would return as "1", is refused while whoever wrote it still looks on.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages

MAX_TEXT = 200
# What needs no quoting in a URL but by its accents, and cannot be taken for a step up in a path.
_STREAM = re.compile(rf"[\w@:+=~-][\w.@:+=~-]{{0,{MAX_TEXT - 1}}}")
_to_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def new_id() -> str:
    """Return a UUID version 7: unique, and later ones sort later (RFC 9562, section 5.7).

    Random ids would touch a random page of the index at every append; these touch the last one.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to be recorded.

    `type`: its name, in the past tense. `data`, `metadata`: JSON objects, what happened and about whom or by
    which cause. `schema_version`: the shape of `data`, for upcasting. `id`: made up when not given; an append
    repeated with the same ids is done once, so derive it from the cause where a cause must have one effect.
    """

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = 1
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        valid_text("type", self.type)
        valid_text("id", self.id)
        valid_count("schema_version", self.schema_version)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A fact in its place: `version` in its stream from 1 on, `position` in the one global order from 1 on.

    `recorded_at`: Unix time in seconds. Clocks go back at times: order is told by `position` alone.
    """

    stream: str
    version: int
    position: int
    type: str
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    schema_version: int
    id: str
    recorded_at: float

    def __str__(self) -> str:
        return f"{self.position:>3}  {self.stream} v{self.version}  {self.type} {dict(self.data)}"


def encode(event: Event) -> tuple[str, str, int, str, str]:
    """Return id, type, schema version, data and metadata as they are stored. Raises InvalidInput."""
    if not isinstance(event, Event):
        raise InvalidInput(messages.BAD_EVENT.format(given=event))
    data, metadata = _json("data", event.type, event.data), _json("metadata", event.type, event.metadata)
    return event.id, event.type, event.schema_version, data, metadata


def _json(name: str, type: str, given: Mapping[str, Any]) -> str:
    if not isinstance(given, dict):
        raise InvalidInput(messages.NOT_AN_OBJECT.format(name=name, type=type, given=given))
    if not given:
        return "{}"
    try:
        text = _to_json(given)
        text.encode()  # a lone surrogate is no text that a database takes
        same = json.loads(text) == given
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(messages.NOT_JSON.format(name=name, type=type, reason=error)) from error
    if not same:
        raise InvalidInput(messages.NOT_JSON.format(name=name, type=type, reason=messages.CHANGES_IN_JSON))
    return text


def valid_stream(given: object) -> str:
    """Return a stream's name. Raises InvalidInput."""
    if not isinstance(given, str) or not _STREAM.fullmatch(given):
        raise InvalidInput(messages.BAD_STREAM.format(given=given, limit=MAX_TEXT))
    return given


def valid_text(name: str, given: object) -> str:
    """Return a printable text of 1 to 200 characters. Raises InvalidInput."""
    if not isinstance(given, str) or not 0 < len(given) <= MAX_TEXT or not given.isprintable():
        raise InvalidInput(messages.BAD_TEXT.format(name=name, given=given, limit=MAX_TEXT))
    return given
