"""Server-Sent Events: the format, both ways (HTML standard, 9.2; no aiohttp here)."""

import codecs
import io
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.reactive import messages
from labkit.patterns.reactive.errors import EventTooLong

HEARTBEAT = b":\n\n"  # a comment: the browser ignores it, proxies see life


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event. `retry`: milliseconds that the browser is told to wait before it connects again."""

    data: str
    id: str | None = None
    event: str | None = None
    retry: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise InvalidInput(messages.BAD_DATA.format(given=self.data))
        for name, value in (("id", self.id), ("event", self.event)):
            # A line break would begin a new field: whoever chooses the text would forge events.
            if value is not None and (not isinstance(value, str) or set(value) & set("\r\n\0")):
                raise InvalidInput(messages.BAD_FIELD.format(name=name, given=value))
        if self.retry is not None:
            valid_count("retry", self.retry, minimum=0)


def encode(event: ServerSentEvent) -> bytes:
    """Return the event as it goes over the wire."""
    lines = [
        f"{name}: {value}"
        for name, value in (("id", event.id), ("event", event.event), ("retry", event.retry))
        if value is not None
    ]
    data = event.data.replace("\r\n", "\n").replace("\r", "\n")
    lines += [f"data: {line}" for line in data.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


async def decode(chunks: AsyncIterable[bytes], limit: int = 1 << 20) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield the events of a byte stream, however it was cut up, as a browser would.

    `id` stays from event to event, as the browser's Last-Event-ID does. An event without its empty line at
    the end is dropped. Raises EventTooLong beyond `limit` characters.
    """
    valid_count("limit", limit)
    # A lone CR that ends a chunk is held back until the next byte says whether an LF belongs to it.
    newlines = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), True)
    text, fields = "", _Fields()
    async for chunk in chunks:
        *lines, text = (text + newlines.decode(chunk)).split("\n")
        for line in lines:
            if line:
                fields.take(line)
            elif (event := fields.dispatch()) is not None:
                yield event
            if fields.size > limit:
                raise EventTooLong(messages.EVENT_TOO_LONG.format(limit=limit))
        if len(text) > limit:
            raise EventTooLong(messages.EVENT_TOO_LONG.format(limit=limit))


class _Fields:
    """The event that is being read."""

    def __init__(self) -> None:
        self.id: str | None = None
        self._begin()

    def _begin(self) -> None:
        self.data: list[str] = []
        self.event: str | None = None
        self.retry: int | None = None
        self.size = 0

    def take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        self.size += len(line)
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.event = value or None
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def dispatch(self) -> ServerSentEvent | None:
        event = None
        if self.data:
            event = ServerSentEvent("\n".join(self.data), self.id, self.event, self.retry)
        self._begin()
        return event
