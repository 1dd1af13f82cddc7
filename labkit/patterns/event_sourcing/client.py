"""The client of a store behind HTTP: the same verbs, the same errors.

An answer that never comes leaves an unknown outcome: was the event recorded? The client asks again with the
same ids, and the store, which knows them, does it once.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import requests

from labkit.patterns._given import InvalidInput, valid_count
from labkit.patterns.event_sourcing import messages
from labkit.patterns.event_sourcing.errors import StoreUnavailable, VersionConflict
from labkit.patterns.event_sourcing.event import Event, RecordedEvent, encode, valid_stream
from labkit.patterns.event_sourcing.wire import CONFLICT, STATUS, event_to_json, recorded_from_json


class RemoteStore:
    """An event store that is served elsewhere by `store_app`; safe for threads."""

    def __init__(self, url: str, *, timeout: float = 5.0, attempts: int = 3) -> None:
        """`timeout`: seconds to wait for an answer. `attempts`: how often a lost request is made."""
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.attempts = valid_count("attempts", attempts)

    def append(
        self, stream: str, events: Sequence[Event], expected_version: int | None
    ) -> list[RecordedEvent]:
        """Append events to a stream, all or none; as `EventStore.append`, and StoreUnavailable."""
        for event in events:
            encode(event)  # what is no JSON is refused here, before any of it travels
        body = {"events": [event_to_json(event) for event in events], "expected_version": expected_version}
        answer = self._ask("POST", f"/streams/{self._quoted(stream)}", json=body)
        return [recorded_from_json(event) for event in answer["events"]]

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> list[RecordedEvent]:
        """Return a stream's events with `after` < version ≤ `until`; of an unknown stream, none."""
        found: list[RecordedEvent] = []
        while True:
            answer = self._ask("GET", f"/streams/{self._quoted(stream)}", params={"after": after})
            page = [recorded_from_json(event) for event in answer["events"]]
            found += [event for event in page if until is None or event.version <= until]
            end = answer["version"] if until is None else min(until, answer["version"])
            if not page or page[-1].version >= end:
                return found
            after = page[-1].version

    def read_all(self, after: int = 0, limit: int | None = None) -> Iterator[RecordedEvent]:
        """Yield the events of every stream with position > `after`, in the global order."""
        while limit is None or limit > 0:
            params = {"after": after} if limit is None else {"after": after, "limit": min(limit, 1000)}
            answer = self._ask("GET", "/events", params=params)
            for event in answer["events"]:
                yield recorded_from_json(event)
                after = event["position"]
            if not answer["events"] or after >= answer["head"]:
                return
            limit = None if limit is None else limit - len(answer["events"])

    def subscribe(
        self, after: int = 0, *, wait: float = 2.0, stop: threading.Event | None = None
    ) -> Iterator[RecordedEvent]:
        """Yield every event after a position, then the new ones as they come, until `stop` is set.

        `wait`: seconds that the service may hold a request for something new; `timeout` comes on top.
        """
        stop = stop or threading.Event()
        while not stop.is_set():
            answer = self._ask("GET", "/events", params={"after": after, "wait": wait}, patience=wait)
            for event in answer["events"]:
                yield recorded_from_json(event)
                after = event["position"]
                if stop.is_set():
                    return

    def version(self, stream: str) -> int:
        """Return the number of a stream's events; 0 when there is no such stream."""
        params = {"limit": 1}
        return int(self._ask("GET", f"/streams/{self._quoted(stream)}", params=params)["version"])

    def head(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        return int(self._ask("GET", "/health")["head"])

    def _quoted(self, stream: str) -> str:
        return quote(valid_stream(stream), safe="")

    def _ask(self, method: str, path: str, *, patience: float = 0.0, **how: Any) -> Any:
        for attempt in range(1, self.attempts + 1):
            try:
                answer = requests.request(method, self.url + path, timeout=self.timeout + patience, **how)
                break
            except (requests.ConnectionError, requests.Timeout) as error:
                if attempt == self.attempts:
                    raise StoreUnavailable(
                        messages.UNAVAILABLE.format(name=self.url, reason=type(error).__name__)
                    ) from error
        if answer.ok:
            return answer.json()
        raise self._refusal(answer)

    def _refusal(self, answer: requests.Response) -> Exception:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "error" not in body:
            reason = messages.REMOTE_STATUS.format(status=answer.status_code)
            return StoreUnavailable(messages.UNAVAILABLE.format(name=self.url, reason=reason))
        if body.get("code") == CONFLICT:
            stream = unquote(answer.request.path_url.split("/")[2])
            return VersionConflict(stream, body["expected"], body["actual"])
        kind = STATUS.get(body.get("code", ""), (InvalidInput, 400))[0]
        return kind(body["error"])
