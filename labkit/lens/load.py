"""A bounded load on services of this machine, and what came of it.

>>> antes = labkit.load(pedidos.url + "/pedidos/7", requests=200, concurrency=20)
>>> antes
200 peticiones
200: 183 · 503: 17

The generator is a thread with an event loop of its own, in the process in which the services run as well.
It shares the interpreter with them, and is therefore made to be light (see `exchange`): it gets some six
tenths of what `wrk` gets from an aiohttp service, in a thread beside the service as well as from another
process, where aiohttp's client gets three (tests/bench/load_generator.py). So a process of its own, its
start-up and its fetching of results are spared. Where the generator is the limit, the result says so.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json as json_module
import math
import random
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import quote, urlsplit

from labkit.errors import BadArgument, LabkitError, WrongType
from labkit.lens import load_messages as messages
from labkit.lens.exchange import Connection, NotHttp, Response, head, is_own_limit
from labkit.lens.result import Result
from labkit.lens.samples import Sample
from labkit.roster import ROSTER
from labkit.service import Group, Service

# What a cell can ask for at most.
MOST_REQUESTS = 100_000
LONGEST = 60.0  # seconds, whatever was asked for
MOST_AT_ONCE = 200  # a connection takes two descriptors of this process: the client's and the service's
HIGHEST_RATE = 20_000.0  # per second

_REQUESTS = 100  # where neither number nor duration is given
_AT_ONCE = 10  # in a closed loop
_LATE = 0.010  # seconds after which a send counts as late: a busy event loop is up to a few behind
_LATE_SHARE, _LATE_FEW = 0.01, 3  # no more than that is said of nobody
# The interpreter was busy all the time, and the generator was a good part of that. Not told of short runs: a
# closed loop on a quick service is always like that, and nobody takes a rate from a handful of requests.
_SATURATED, _BUSY_SHARE, _TOO_SHORT = 0.85, 0.25, 0.5
_PROGRESS_AFTER = 3.0  # seconds: longer than any cell of a lesson, whose output is compared
_PROGRESS_EVERY = 0.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_WITHOUT_BODY = {"GET", "HEAD", "OPTIONS", "TRACE"}

Target = str | Service | Group


class NotLocal(LabkitError, ValueError):
    """The address is not one of this machine: labkit loads nobody else."""


def load(
    target: Target | Sequence[Target],
    *,
    requests: int | None = None,
    duration: float | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    method: str | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
    seed: int = 0,
    instance: str = "instancia",
    progress: bool | None = None,
) -> Result:
    """Send requests to services of this machine and return what became of each.

    `target`: an address (`"http://127.0.0.1:8000/stock"`, or with its method, `"POST http://…"`), a
    service, or a group (its instances by turns); for a mix a list of them. Which request goes where is drawn
    with `seed`, the same on each run.

    `requests`: how many (default 100), or `duration`: for how many seconds.
    `concurrency`: a closed loop of so many clients (default 10), each of which sends its next request
    when it has its answer. A slow service slows them down, and so is asked less.
    `rate`: an open loop of so many requests per second, whatever the service does, as where callers do not
    know of each other. `concurrency` is then the most that may be without an answer (default 200); beyond
    it sends are late. Latency counts from the moment at which a request should have been sent, or a
    service that stops for a second would count one slow answer where a thousand callers would have
    waited: "coordinated omission" (Gil Tene, "How NOT to Measure Latency", and his wrk2).

    `method`: of the addresses that name none: GET, or POST where there is a body. `json` goes with
    each request whose method takes a body. `headers`: for each request.
    `timeout`: seconds for a request, connecting included.
    `instance`: the field of a JSON answer, or else the header of an answer, that names who gave it.
    `progress`: a line while it runs; by default for runs of more than three seconds.

    Each request ends as a status or as one of `conexión rechazada` (nobody listens), `conexión cortada` (it
    ended before the answer), `sin respuesta a tiempo`, `no es HTTP` or `límite del generador` (no more
    descriptors or ports). Nothing is tried again and no redirect followed. At most 100,000 requests, 60
    seconds and 200 at once. An interrupt of the cell ends it and leaves nothing behind.

    Raises NotLocal for any address outside 127.0.0.0/8 and ::1 (`localhost` is 127.0.0.1; names are not
    looked up), TypeError and ValueError for other arguments that make no sense; nothing is sent then.
    """
    mix = _Mix(target, _Request(method, json, headers), seed)
    plan = _plan(requests, duration, concurrency, rate, timeout)
    if not isinstance(instance, str):
        raise WrongType(messages.BAD_INSTANCE.format(given=repr(instance)))
    run = _Run(mix, plan, instance)
    run.in_a_thread(progress)
    return run.result()


# What is sent


@dataclass
class _Request:
    """The common part of all requests, checked."""

    method: str | None
    json: Any
    headers: Mapping[str, str] | None
    body: bytes | None = field(init=False, default=None)
    fields: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.json is not None:
            try:
                self.body = json_module.dumps(self.json, ensure_ascii=False).encode()
            except (TypeError, ValueError, RecursionError) as error:
                raise WrongType(messages.BAD_JSON.format(error=error)) from None
            self.fields["Content-Type"] = "application/json"
        if not isinstance(self.headers or {}, Mapping):
            raise WrongType(messages.BAD_HEADERS.format(given=repr(self.headers)))
        if not isinstance(self.method, str | None):
            raise BadArgument(messages.BAD_METHOD.format(method=self.method))
        for name, value in (self.headers or {}).items():
            self._add(name, value)
        if self.method is None:
            self.method = "GET" if self.body is None else "POST"

    def _add(self, name: str, value: str) -> None:
        framing = str(name).lower() in ("content-length", "transfer-encoding")  # these are labkit's to say
        try:
            sound = (
                bool(_TOKEN.fullmatch(name))
                and not set("\r\n\0") & set(value)
                and bool(value.encode("latin-1") or True)
            )
        except (TypeError, AttributeError, UnicodeEncodeError):
            sound = False
        if framing or not sound:
            raise BadArgument(messages.BAD_HEADER.format(name=name, value=value))
        same = [known for known in self.fields if known.lower() == name.lower()]
        for known in same:
            del self.fields[known]
        self.fields[name] = value


@dataclass
class _Shot:
    """A request to be sent, again and again."""

    host: str
    port: int
    method: str
    path: str
    fields: dict[str, str]
    body: bytes | None
    name: str | None  # of the service

    def __post_init__(self) -> None:
        self.label = " ".join(filter(None, [self.method, self.name, self.path]))
        self.authority = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.wire = self.wire_with(self.fields)

    def wire_with(self, fields: dict[str, str]) -> bytes:
        return head(self.method, self.path, self.authority, fields, self.body)


class _Mix:
    """The targets; `next()` draws the next shot."""

    def __init__(self, given: Any, request: _Request, seed: int) -> None:
        several = isinstance(given, Sequence) and not isinstance(given, str | bytes | Group)
        shots = [list(_shots(target, request)) for target in (given if several else [given])]
        if not shots:
            raise BadArgument(messages.NO_TARGETS)
        if request.body is not None and not any(shot.body is not None for each in shots for shot in each):
            raise BadArgument(messages.BODY_OF_GET.format(method=shots[0][0].method))
        self._shots = [cycle(each) for each in shots]
        if not isinstance(seed, int):
            raise WrongType(messages.BAD_SEED.format(given=repr(seed)))
        self._random = random.Random(seed)

    def next(self) -> _Shot:
        if len(self._shots) == 1:
            return next(self._shots[0])
        [shots] = self._random.choices(self._shots)
        return next(shots)


def _shots(target: Any, request: _Request) -> Iterator[_Shot]:
    """Yield the shots of one target: one for an address or a service, several for a group."""
    assert request.method is not None
    if isinstance(target, Group):
        for member in target:
            yield _shot(member.url, request.method, request, target.name)
    elif isinstance(target, Service):
        yield _shot(target.url, request.method, request, target.name)
    elif isinstance(target, str):
        before, space, after = target.strip().partition(" ")
        with_method = space and "://" not in before
        method, url = (before, after.strip()) if with_method else (request.method, target.strip())
        yield _shot(url, method, request, None)
    else:
        raise WrongType(messages.NOT_A_TARGET.format(given=repr(target)))


def _shot(url: str, method: str, request: _Request, name: str | None) -> _Shot:
    host, port, path = _address(url)
    method = method.upper()
    if not _TOKEN.fullmatch(method) or method == "CONNECT":
        raise BadArgument(messages.BAD_METHOD.format(method=method))
    body = None if method in _WITHOUT_BODY else request.body
    fields = request.fields if body is not None else _without_type(request.fields, request)
    if name is None:
        service = ROSTER.by_port(port)
        name = service.name if service is not None else None
    return _Shot(host, port, method, path, fields, body, name)


def _without_type(fields: dict[str, str], request: _Request) -> dict[str, str]:
    """Return the headers of a request without a body, in a mix with others that have one."""
    if request.body is None:
        return fields
    return {name: value for name, value in fields.items() if name.lower() != "content-type"}


def _address(url: str) -> tuple[str, int, str]:
    """Return host in digits, port and path of an address here. Raises NotLocal and ValueError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadArgument(messages.NOT_HTTP_URL.format(given=url)) from None
    if parts.scheme != "http" or not host or port == 0:
        raise BadArgument(messages.NOT_HTTP_URL.format(given=url))
    if host == "localhost":  # not looked up: what it says in /etc/hosts is nobody's business here
        host = "127.0.0.1"
    if not _is_local(host):
        raise NotLocal(messages.NOT_LOCAL.format(given=host))
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return host, port or 80, f"{path}?{query}" if query else path


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return host == "::1"
    return address.is_loopback


# How much, and how fast


@dataclass
class _Plan:
    """`count` is None where only the time ends the run; `rate` is None in a closed loop."""

    count: int | None
    duration: float
    concurrency: int
    rate: float | None
    timeout: float


def _plan(
    requests: int | None, duration: float | None, concurrency: int | None, rate: float | None, timeout: float
) -> _Plan:
    if requests is not None and duration is not None:
        raise BadArgument(messages.ONE_MEASURE)
    if requests is not None:
        _whole("requests", requests, MOST_REQUESTS)
    if duration is not None:
        _amount("duration", duration, LONGEST)
    if rate is not None:
        _amount("rate", rate, HIGHEST_RATE)
    if concurrency is not None:
        _whole("concurrency", concurrency, MOST_AT_ONCE)
    _amount("timeout", timeout, LONGEST)
    count = requests if requests is not None or duration is not None else _REQUESTS
    if rate is not None and duration is not None:
        count = max(1, round(rate * duration))
        if count > MOST_REQUESTS:
            text = messages.TOO_MANY.format(rate=rate, duration=duration, count=count, limit=MOST_REQUESTS)
            raise BadArgument(text)
    longest = duration if duration is not None and rate is None else LONGEST
    at_once = concurrency or (_AT_ONCE if rate is None else MOST_AT_ONCE)
    return _Plan(count, longest, at_once, rate, timeout)


def _whole(name: str, value: Any, limit: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise BadArgument(messages.BAD_NUMBER.format(name=name, value=value, limit=limit))


def _amount(name: str, value: Any, limit: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= limit:
        raise BadArgument(messages.BAD_AMOUNT.format(name=name, value=value, limit=limit))


# The run


class _Run:
    """One load: a thread, its loop, and what it has measured so far."""

    def __init__(self, mix: _Mix, plan: _Plan, instance: str) -> None:
        self.mix, self.plan = mix, plan
        self.samples: list[Sample] = []
        self.sent = 0
        self.late = self.crowded = 0
        self._instance = _InstanceOf(instance)
        self._observed = _Observed()
        self._idle: dict[tuple[str, int], list[Connection]] = {}
        self._open: set[Connection] = set()
        self._failure: BaseException | None = None
        self._done = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.began = self.ended = 0.0
        self.busy = self.interpreter = 0.0  # seconds of the processor: the generator's, the whole process's

    # in the caller's thread

    def in_a_thread(self, progress: bool | None) -> None:
        thread = threading.Thread(target=self._main, name="labkit-load", daemon=True)
        thread.start()
        line = _ProgressLine(self, progress)
        try:
            while not self._done.wait(_PROGRESS_EVERY):
                line.draw()
        except BaseException:
            self._stop()
            raise
        finally:
            line.erase()
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        self._stopped = True
        if self._loop is not None and self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # it has just ended by itself
                pass

    def result(self) -> Result:
        notes = list(self._notes())
        limited = any(is_generators for is_generators, _ in notes)
        samples = sorted(self.samples, key=lambda sample: sample.start)
        elapsed = self.ended - self.began
        return Result(samples, elapsed, limited, [text for _, text in notes])

    def _notes(self) -> Iterator[tuple[bool, str]]:
        """Yield what is to be known of the measurement, with True where it is the generator's fault."""
        plan, elapsed = self.plan, max(self.ended - self.began, 1e-9)
        own = sum(sample.outcome == messages.OWN_LIMIT for sample in self.samples)
        if own:
            yield True, messages.OWN_LIMITS.format(count=own)
        if self.late > max(_LATE_FEW, _LATE_SHARE * self.sent):
            text = messages.CROWDED if self.crowded * 2 > self.late else messages.LATE_SENDS
            yield (
                True,
                text.format(late=self.late, total=self.sent, concurrency=plan.concurrency, rate=plan.rate),
            )
        elif (
            elapsed > _TOO_SHORT
            and self.interpreter > _SATURATED * elapsed
            and self.busy > _BUSY_SHARE * elapsed
        ):
            yield True, messages.GENERATOR_BUSY.format(share=100 * self.busy / elapsed)
        if plan.count is not None and self.sent < plan.count:
            yield False, messages.LONGEST_RUN.format(seconds=plan.duration, sent=self.sent, wanted=plan.count)

    # in the thread

    def _main(self) -> None:
        try:
            loop = self._loop = _new_loop()  # which needs descriptors
        except BaseException as error:
            self._failure = error
            self._done.set()
            return
        try:
            self._task = loop.create_task(self._everything())
            if self._stopped:  # an interrupt that came first
                self._task.cancel()
            loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._failure = error
        finally:
            loop.close()
            self._done.set()

    async def _everything(self) -> None:
        used, used_by_all = time.thread_time(), time.process_time()
        self.began = time.perf_counter()
        try:
            # A group: whatever ends it, no request is left under way.
            async with asyncio.TaskGroup() as group:
                if self.plan.rate is None:
                    for _ in range(min(self.plan.concurrency, self.plan.count or self.plan.concurrency)):
                        group.create_task(self._client())
                else:
                    await self._open_loop(group, self.plan.rate)
        finally:
            self.ended = time.perf_counter()
            self.busy = time.thread_time() - used
            self.interpreter = time.process_time() - used_by_all
            for connection in list(self._open):
                connection.close()
            for _ in range(2):  # the loop closes their sockets in its next rounds
                await asyncio.sleep(0)

    def _may_send(self) -> bool:
        if self.plan.count is not None and self.sent >= self.plan.count:
            return False
        return time.perf_counter() - self.began < self.plan.duration and self.sent < MOST_REQUESTS

    async def _client(self) -> None:
        """Run a client of the closed loop."""
        while self._may_send():
            self.sent += 1
            await self._request(self.mix.next(), time.perf_counter())

    async def _open_loop(self, group: asyncio.TaskGroup, rate: float) -> None:
        places = asyncio.Semaphore(self.plan.concurrency)

        async def send(shot: _Shot, due: float) -> None:
            try:
                await self._request(shot, due)
            finally:
                places.release()

        while self._may_send():
            due = self.began + self.sent / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif self.sent % 16 == 0:  # behind: answers must be read all the same
                await asyncio.sleep(0)
            full = places.locked()
            await places.acquire()
            self.sent += 1
            if time.perf_counter() - due > _LATE:
                self.late += 1
                self.crowded += full
            group.create_task(send(self.mix.next(), due))

    async def _request(self, shot: _Shot, due: float) -> None:
        """Make one request, from beginning to end, whatever that is."""
        outcome, who = "", None
        connection: Connection | None = None
        wire, call = self._observed.begin(shot)
        try:
            timeout = self.plan.timeout
            connection = self._idle_connection(shot)
            if connection is None:
                async with asyncio.timeout(timeout):
                    began = time.perf_counter()
                    connection = await self._new_connection(shot)
                timeout = max(0.0, timeout - (time.perf_counter() - began))
            response = await connection.exchange(wire, timeout, head_only=shot.method == "HEAD")
            call.answered(response.status)
            outcome, who = str(response.status), self._instance.in_response(response)
            if connection.reusable:
                self._idle[shot.host, shot.port].append(connection)
                connection = None
        except (OSError, NotHttp) as error:
            outcome = _outcome_of(error)
            call.failed(error)
        finally:
            if connection is not None:
                connection.close()
                self._open.discard(connection)
        latency = time.perf_counter() - due
        self.samples.append(Sample(due - self.began, latency, outcome, who, shot.label))

    def _idle_connection(self, shot: _Shot) -> Connection | None:
        idle = self._idle.setdefault((shot.host, shot.port), [])
        while idle:
            connection = idle.pop()
            if connection.reusable:
                return connection
            connection.close()
            self._open.discard(connection)
        return None

    async def _new_connection(self, shot: _Shot) -> Connection:
        connection = await Connection.open(shot.host, shot.port)
        self._open.add(connection)
        return connection


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of asyncio's own, whatever policy is set: `exchange` is written for its transports."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


def _outcome_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return messages.TIMED_OUT
    if isinstance(error, ConnectionRefusedError):
        return messages.REFUSED
    if isinstance(error, NotHttp):
        return messages.NOT_HTTP
    own = isinstance(error, OSError) and is_own_limit(error)
    return messages.OWN_LIMIT if own else messages.CUT


class _Call:
    """The observer of one request; this one does nothing."""

    def answered(self, status: int) -> None:
        pass

    def failed(self, error: Exception) -> None:
        pass


class _Observed:
    """The calls of a load inside `labkit.observe()`: each is one of the block's.

    What is observed is asked once, where `load` is called. Only a program that observes has loaded the
    telemetry.
    """

    def __init__(self) -> None:
        self._telemetry = sys.modules.get("labkit.lens.telemetry")
        self._position = self._telemetry.here() if self._telemetry is not None else None

    def begin(self, shot: _Shot) -> tuple[bytes, _Call]:
        """Return the bytes to send, and whom to tell what came of it."""
        if self._telemetry is None or self._position is None:
            return shot.wire, _NOBODY
        url = f"http://{shot.authority}{shot.path}"
        span = self._telemetry._begin(self._position, shot.method, url, shot.path)
        if span is None:  # more calls than the block remembers
            return shot.wire, _NOBODY
        fields = {_canonical(name): value for name, value in shot.fields.items()}
        self._telemetry._write_headers(span, fields)
        return shot.wire_with(fields), _ObservedCall(span)


class _ObservedCall(_Call):
    def __init__(self, span: Any) -> None:
        self._span = span

    def answered(self, status: int) -> None:
        self._span.status = status
        self._span.end()

    def failed(self, error: Exception) -> None:
        self._span.fail(error)


_NOBODY = _Call()


def _canonical(name: str) -> str:
    """Return the name of a header as the telemetry writes it."""
    return name.lower() if name.lower() in ("traceparent", "tracestate") else name


class _InstanceOf:
    """The instance that answered, from a field of a JSON object or from a header."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mark = json_module.dumps(name).encode()  # most bodies are seen not to hold it without parsing
        self._header = name.lower().encode("latin-1", "replace")

    def in_response(self, response: Response) -> str | None:
        if self._mark in response.body:
            try:
                answer = json_module.loads(response.body)
            except (ValueError, RecursionError):
                answer = None
            if isinstance(answer, dict) and self._name in answer:
                return str(answer[self._name])
        value = response.header(self._header)
        return None if value is None else value.decode("latin-1")


class _ProgressLine:
    """A line of text, overwritten in place and erased at the end."""

    def __init__(self, run: _Run, wanted: bool | None) -> None:
        self._run = run
        self._after = math.inf if wanted is False else 0.0 if wanted else _PROGRESS_AFTER
        self._began = time.monotonic()
        self._width = 0

    def draw(self) -> None:
        elapsed = time.monotonic() - self._began
        if elapsed < self._after:
            return
        plan, width = self._run.plan, 24
        if plan.count is None:
            done, total, text = min(elapsed, plan.duration), plan.duration, messages.PROGRESS_SECONDS
        else:
            done, total, text = len(self._run.samples), plan.count, messages.PROGRESS
        full = int(width * done / total)
        line = text.format(bar="█" * full + "░" * (width - full), done=done, total=total)
        sys.stdout.write("\r" + line.ljust(self._width))
        sys.stdout.flush()
        self._width = max(self._width, len(line))

    def erase(self) -> None:
        if self._width:
            sys.stdout.write("\r" + " " * self._width + "\r")
            sys.stdout.flush()
