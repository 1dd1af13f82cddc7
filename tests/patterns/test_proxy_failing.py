"""What goes wrong on either side: each with its status, and what is repeated within its budget."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from proxy_support import OK, Client, Exchange, Origin, ask, on_a_loop, proxied, until

from labkit.patterns.proxy import Limits, OneOf, Proxy, Retries, RetryBudget, Timeouts

BUSY = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
ONCE = Retries(attempts=1)
GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def dead_url() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


async def hang(exchange: Exchange) -> None:
    await exchange.gone()
    exchange.writer.close()


async def hang_up(exchange: Exchange) -> None:
    await exchange.body()
    exchange.writer.close()


async def mumble(exchange: Exchange) -> None:
    await exchange.say(b"esto no es HTTP\r\n\r\n")
    exchange.writer.close()


# The service's side


@pytest.mark.parametrize(
    ("reply", "status", "cause"),
    [
        (None, 502, "connection_refused"),
        (hang_up, 502, "connection_terminated"),
        (mumble, 502, "http_protocol_error"),
        (hang, 504, "http_response_timeout"),
    ],
)
def test_each_cause_has_its_status_and_its_name(reply: Any, status: int, cause: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin(reply or OK) as origin:
            url = origin.url if reply else dead_url()
            async with proxied(url, retries=ONCE, timeouts=Timeouts(answer=0.1)) as port:
                got, head, body = await ask(port)
        assert got == status
        assert f"Proxy-Status: prueba; error={cause}".encode() in head
        assert json.loads(body)["status"] == status
        assert b"127.0.0.1" not in body, "an address behind the proxy is nobody's business"

    run()


@on_a_loop
async def test_nobody_to_ask_is_503_with_a_time_to_come_back() -> None:
    class Nobody(OneOf):
        def pick(self, tried: Any) -> None:
            return None

    from aiohttp import web
    from proxy_support import running

    from labkit.patterns.proxy import application

    proxy = Proxy()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await proxy.forward(proxy.call(request, Nobody("http://x")))

    async with running(application(handle, proxy)) as port:
        status, head, _ = await ask(port)
    assert status == 503
    assert b"Retry-After: 1" in head
    assert b"destination_unavailable" in head


@on_a_loop
async def test_an_answer_cut_in_the_middle_does_not_look_whole() -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhola\r\n")
        exchange.writer.close()

    calls: list[Any] = []
    async with Origin(reply) as origin, proxied(origin.url, calls=calls) as port:
        async with Client(port) as client:
            await client.say(GET)
            answer = await client.rest()
    assert b"0\r\n\r\n" not in answer
    assert calls[0].broken


@on_a_loop
async def test_a_service_that_falls_silent_in_its_answer_is_given_up() -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhola")
        await hang(exchange)

    async with Origin(reply) as origin, proxied(origin.url, timeouts=Timeouts(idle=0.1)) as port:
        async with Client(port) as client:
            await client.say(GET)
            assert len((await client.rest()).partition(b"\r\n\r\n")[2]) < 9


@on_a_loop
async def test_an_answer_before_the_request_has_ended_is_passed_on() -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.writer.close()

    async with Origin(reply) as origin, proxied(origin.url) as port, Client(port) as client:
        await client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nempiezo")
        assert b"413" in await client.head()


# Retries


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_what_is_idempotent_is_tried_again(method: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin(BUSY) as busy, Origin() as origin, proxied(busy.url, origin.url) as port:
            request = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            assert (await ask(port, request))[0] == 200
        assert (busy.bodies, origin.bodies) == ([b"abc"], [b"abc"])

    run()


@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("reply", [BUSY, hang_up])
def test_what_is_not_idempotent_is_never_sent_twice(method: str, reply: Any) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin(reply) as bad, Origin() as origin, proxied(bad.url, origin.url) as port:
            assert (await ask(port, f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] in (502, 503)
        assert (len(bad.heads), len(origin.heads)) == (1, 0)

    run()


@on_a_loop
async def test_a_kept_connection_that_breaks_repeats_no_post_behind_our_back() -> None:
    async def once(exchange: Exchange) -> None:
        await exchange.body()
        if len(exchange.origin.heads) == 1:
            await exchange.say(OK)
        else:
            exchange.writer.close()

    async with Origin(once) as origin, proxied(origin.url, retries=ONCE) as port:
        for method, status in [("GET", 200), ("POST", 502), ("GET", 502)]:
            assert (await ask(port, f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == status
    assert len(origin.heads) == 3


@on_a_loop
async def test_what_was_never_sent_may_go_elsewhere_whatever_its_method() -> None:
    async with Origin() as origin, proxied(dead_url(), origin.url) as port:
        request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
        assert (await ask(port, request))[0] == 200
    assert origin.bodies == [b"abcd"]


@on_a_loop
async def test_a_body_too_large_to_keep_is_not_sent_again() -> None:
    async with Origin(BUSY) as busy, Origin() as origin:
        async with proxied(busy.url, origin.url, limits=Limits(replay=3)) as port:
            assert (await ask(port, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"))[0] == 503
            assert (await ask(port, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))[0] == 200
    assert busy.bodies == [b"abcd"]
    assert origin.bodies == [b"abc"]


@on_a_loop
async def test_a_retry_that_takes_over_an_upload_sends_it_from_its_beginning() -> None:
    begun = asyncio.Event()

    async def drop(exchange: Exchange) -> None:
        assert await exchange.reader.readexactly(4) == b"prim"
        exchange.writer.close()
        begun.set()

    async with Origin(drop) as bad, Origin() as origin, proxied(bad.url, origin.url) as port:
        async with Client(port) as client:
            await client.say("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nprim")
            await begun.wait()
            await until(lambda: origin.heads)
            await client.say("eros")
            assert b"200" in await client.head()
    assert origin.bodies == [b"primeros"]


@on_a_loop
async def test_the_last_answer_is_the_clients_when_all_attempts_fail() -> None:
    calls: list[Any] = []
    async with Origin(BUSY) as busy, proxied(busy.url, calls=calls) as port:
        assert (await ask(port))[0] == 503
    assert [attempt.status for attempt in calls[0].attempts] == [503, 503, 503]
    assert calls[0].retries == 2


@on_a_loop
async def test_the_budget_holds_while_everything_fails() -> None:
    retries = Retries(ratio=0.2, reserve=5, backoff=0.001, max_backoff=0.001)
    async with Origin(BUSY) as busy, proxied(busy.url, retries=retries) as port:
        answers = await asyncio.gather(*(ask(port) for _ in range(100)))
    assert {status for status, _, _ in answers} == {503}
    # 100 requests, 5 at hand, 0.2 paid in by each; at full reserve nothing more is paid in.
    assert 105 <= len(busy.heads) <= 125


def test_retries_are_bounded_by_the_budget_over_any_stretch() -> None:
    budget = RetryBudget(ratio=0.2, reserve=3)
    retries = 0
    for requests in range(1, 1001):
        budget.deposit()
        while budget.withdraw():
            retries += 1
        assert retries <= 3 + 0.2 * requests
    assert retries == 202  # 3 at hand; the deposit of the first, when it was full, was lost
    assert budget.denied == 1000


@on_a_loop
async def test_between_attempts_the_waits_are_drawn_below_a_bound_that_doubles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds: list[float] = []
    retries = Retries(attempts=5, backoff=0.001, max_backoff=0.003)
    async with Origin(BUSY) as busy, proxied(busy.url, retries=retries) as port:
        monkeypatch.setattr("random.Random.uniform", lambda self, low, high: bounds.append(high) or low)
        await ask(port)
    assert bounds == [0.001, 0.002, 0.003, 0.003]


# Deadlines


@on_a_loop
async def test_the_deadline_that_is_left_is_handed_on_and_can_only_shrink() -> None:
    async with Origin() as origin, proxied(origin.url, timeout=5) as port:
        await ask(port)
        await ask(port, "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 2\r\n\r\n")
        await ask(port, "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 60\r\n\r\n")
    left = [float(dict(origin.headers(number))["x-request-timeout"]) for number in range(3)]
    assert 4 < left[0] <= 5
    assert 1 < left[1] <= 2
    assert 4 < left[2] <= 5


@on_a_loop
async def test_a_deadline_ends_all_attempts_together() -> None:
    calls: list[Any] = []
    async with Origin(hang) as origin, proxied(origin.url, calls=calls) as port:
        status, _, body = await ask(port, "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 0.1\r\n\r\n")
    assert status == 504
    assert "plazo" in json.loads(body)["detail"]
    assert len(calls[0].attempts) == 1


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "pronto", ""])
def test_a_deadline_that_is_none_is_refused(given: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin() as origin, proxied(origin.url) as port:
            request = f"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: {given}\r\n\r\n"
            assert (await ask(port, request))[0] == 400
        assert origin.heads == []

    run()


# The client's side


@pytest.mark.parametrize("headers", ["Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"])
def test_a_client_that_leaves_is_noticed_by_the_service_within_a_second(headers: str) -> None:
    @on_a_loop
    async def run() -> None:
        gone = asyncio.Event()

        async def reply(exchange: Exchange) -> None:
            await exchange.gone()
            gone.set()
            exchange.writer.close()

        calls: list[Any] = []
        async with Origin(reply) as origin, proxied(origin.url, calls=calls) as port:
            async with Client(port) as client:
                await client.say(f"POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n5\r\nempie\r\n")
                await until(lambda: origin.heads)
            await asyncio.wait_for(gone.wait(), 1)
            await until(lambda: calls[0].attempts)
        assert calls[0].attempts[0].status is None

    run()


@on_a_loop
async def test_a_client_that_leaves_in_the_middle_of_the_answer_is_noticed_within_a_second() -> None:
    gone = asyncio.Event()

    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                await exchange.say(b"x" * 100_000)
                await asyncio.sleep(0)
        except ConnectionError:
            gone.set()
            raise

    async with Origin(reply) as origin, proxied(origin.url) as port:
        async with Client(port) as client:
            await client.say(GET)
            await client.reader.readexactly(1_000_000)
        await asyncio.wait_for(gone.wait(), 1)


@on_a_loop
async def test_a_slow_head_is_408_and_an_idle_connection_is_closed() -> None:
    timeouts = Timeouts(head=0.1, keep=0.3)
    async with Origin() as origin, proxied(origin.url, timeouts=timeouts) as port:
        async with Client(port) as client:
            await client.say("GET / HTTP/1.1\r\nHo")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        async with Client(port) as client:
            await client.say(GET)
            await client.head()
            await client.reader.readexactly(4)
            await client.say("GET /otra")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        async with Client(port) as client:
            assert await client.rest() == b""
    assert len(origin.heads) == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /" + "a" * 9_000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: " + "a" * 1_000_000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "X: 1\r\n" * 10_000 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "a" * 9_000 + ": 1\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
        ("esto no es HTTP\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901", 413),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n",
            413,
        ),
    ],
)
def test_what_is_too_large_or_malformed_gets_its_4xx(request_: str, status: int) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin() as origin, proxied(origin.url, limits=Limits(body=10)) as port:
            async with Client(port) as client:
                await client.say(request_)
                answer = await client.rest()
        # The connection has ended: nothing behind a refused head is read as another request.
        assert answer.split()[1] == str(status).encode()
        assert b"application/problem+json" in answer
        assert origin.bodies == []

    run()


@pytest.mark.parametrize(
    "start",
    [
        "Content-Length: 100\r\n\r\nsolo esto",
        "Transfer-Encoding: chunked\r\n\r\nffffff\r\nun trozo sin fin",
        "Transfer-Encoding: chunked\r\n\r\nfff",
    ],
)
def test_a_body_that_does_not_go_on_is_408(start: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin() as origin, proxied(origin.url, timeouts=Timeouts(body=0.1)) as port:
            async with Client(port) as client:
                await client.say("POST / HTTP/1.1\r\nHost: x\r\n" + start)
                assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        assert origin.bodies == []

    run()


@on_a_loop
async def test_a_client_that_drips_its_body_runs_out_of_patience() -> None:
    async with Origin() as origin, proxied(origin.url, timeouts=Timeouts(body=0.2)) as port:
        async with Client(port) as client:
            await client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            answer = asyncio.ensure_future(client.rest())
            for _ in range(1000):
                if answer.done():
                    break
                await client.say("x")
                await asyncio.sleep(0.02)
            assert (await answer).startswith(b"HTTP/1.1 408 ")
    assert origin.bodies == []


@on_a_loop
async def test_the_clients_own_slowness_is_not_the_services() -> None:
    timeouts = Timeouts(answer=0.2, body=5)
    async with Origin() as origin, proxied(origin.url, timeouts=timeouts) as port, Client(port) as client:
        await client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.4)  # longer than the service may take
        await client.say("cd")
        assert b"200" in await client.head()
    assert origin.bodies == [b"abcd"]


# Configuration


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeouts(head=0),
        lambda: Timeouts(body=-1),
        lambda: Timeouts(connect=None),  # type: ignore[arg-type]
        lambda: Timeouts(answer=float("nan")),
        lambda: Timeouts(idle="1"),  # type: ignore[arg-type]
        lambda: Limits(line=0),
        lambda: Limits(fields=1.5),  # type: ignore[arg-type]
        lambda: Limits(body=-1),
        lambda: Limits(replay=True),
        lambda: Retries(attempts=0),
        lambda: Retries(ratio=2),
        lambda: Retries(statuses={200}),  # type: ignore[arg-type]
        lambda: Retries(statuses=503),  # type: ignore[arg-type]
        lambda: RetryBudget(ratio=-0.1),
        lambda: RetryBudget(reserve=-1),
        lambda: Proxy("con espacio"),
        lambda: Proxy(""),
        lambda: OneOf(),
        lambda: OneOf("127.0.0.1:80"),
        lambda: OneOf("http://u:c@x"),
        lambda: OneOf("http://x?y"),
        lambda: OneOf("http://x:0"),
        lambda: OneOf(3),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused_in_a_sentence_when_it_is_given(make: Any) -> None:
    with pytest.raises(ValueError, match=r"se acepta|necesita"):
        make()
