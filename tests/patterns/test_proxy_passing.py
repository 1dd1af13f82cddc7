"""What a proxy passes on, byte for byte, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest
from aiohttp import web
from proxy_support import Client, Exchange, Origin, ask, on_a_loop, proxied, running

TARGETS = [
    "/",
    "//doble//barra",
    "/a/../b/./c",
    "/a%2Fb%20c%25",
    "/caf%C3%A9?q=%C3%B1",
    "/x?",
    "/x??",
    "/x?a=1&a=2&b",
    "/x?u=http://otro/y%26z",
    "/x;v=1,2:3@4!$'()*+=~",
    "/%zz",
    "/a|b^c`d{e}[f]",
]


@on_a_loop
async def test_the_target_arrives_as_the_client_wrote_it() -> None:
    async with Origin() as origin, proxied(origin.url) as port:
        for target in TARGETS:
            assert (await ask(port, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200, target
    assert origin.lines == [f"GET {target} HTTP/1.1" for target in TARGETS]


@on_a_loop
async def test_a_base_path_goes_before_the_target() -> None:
    async with Origin() as origin, proxied(origin.url + "/base/") as port:
        await ask(port, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert origin.lines == ["GET /base/a HTTP/1.1"]


@on_a_loop
async def test_the_absolute_form_never_chooses_the_service() -> None:
    async with Origin() as origin, proxied(origin.url) as port:
        await ask(port, "GET http://otro.example/a?b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert origin.lines == ["GET /a?b HTTP/1.1"]
    assert dict(origin.headers())["host"] == "otro.example"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_is_passed_on(method: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin() as origin, proxied(origin.url) as port:
            status, _, body = await ask(port, f"{method} /m HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (status, body) == (200, b"" if method == "HEAD" else b"hola")
        assert origin.lines == [f"{method} /m HTTP/1.1"]

    run()


@on_a_loop
async def test_headers_of_the_hop_stay_on_their_hop_in_both_directions() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, X-Interno\r\nX-Interno: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Fuera: 2\r\n\r\n"
    )
    async with Origin(answer) as origin, proxied(origin.url) as port:
        _, head, _ = await ask(
            port,
            "GET / HTTP/1.1\r\nHost: tienda\r\nConnection: X-Secreto, Host\r\nX-Secreto: 1\r\n"
            "TE: trailers\r\nProxy-Authorization: Basic eA==\r\n"
            "Keep-Alive: 5\r\nUpgrade: h2c\r\nTrailer: X\r\nX-Otro: 2\r\n\r\n",
        )
    assert origin.headers() == [("host", "tienda"), ("x-otro", "2"), ("via", "1.1 prueba")]
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert names == {b"content-length", b"x-fuera", b"date", b"connection"}


@on_a_loop
async def test_repeated_headers_and_every_set_cookie_are_kept_in_order() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n"
        b'Set-Cookie: b="x, y"; Expires=Wed, 09 Jun 2027 10:18:14 GMT\r\nSet-Cookie: a=2\r\n\r\n'
    )
    async with Origin(answer) as origin, proxied(origin.url) as port:
        _, head, _ = await ask(
            port, "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nCookie: k=v; z=\r\nX-A: 2\r\n\r\n"
        )
    assert [value for name, value in origin.headers() if name == "x-a"] == ["1", "2"]
    assert dict(origin.headers())["cookie"] == "k=v; z="
    cookies = [line for line in head.split(b"\r\n") if line.startswith(b"Set-Cookie")]
    assert cookies == [
        b"Set-Cookie: a=1; Path=/",
        b'Set-Cookie: b="x, y"; Expires=Wed, 09 Jun 2027 10:18:14 GMT',
        b"Set-Cookie: a=2",
    ]


@on_a_loop
async def test_nothing_is_invented_but_the_date() -> None:
    async with Origin() as origin, proxied(origin.url) as port:
        _, head, _ = await ask(port)
    assert origin.headers() == [("host", "x"), ("via", "1.1 prueba")]
    assert sorted(line.split(b":")[0] for line in head.split(b"\r\n")[1:]) == [
        b"Connection",
        b"Content-Length",
        b"Date",
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_passed_on_and_never_followed(status: int) -> None:
    @on_a_loop
    async def run() -> None:
        answer = f"HTTP/1.1 {status} Otro\r\nLocation: /otra?x=%20\r\nContent-Length: 0\r\n\r\n".encode()
        async with Origin(answer) as origin, proxied(origin.url) as port:
            got, head, _ = await ask(port)
            assert got == status
            assert b"Location: /otra?x=%20" in head
        assert len(origin.heads) == 1

    run()


@on_a_loop
async def test_a_coded_body_is_passed_as_it_is_with_its_header_both_ways() -> None:
    packed = gzip.compress(b"hola" * 100)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with Origin(answer) as origin, proxied(origin.url) as port:
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        _, head, body = await ask(port, request % len(packed) + packed)
    assert body == packed
    assert b"Content-Encoding: gzip" in head
    assert origin.bodies == [packed]
    assert dict(origin.headers())["content-encoding"] == "gzip"


@on_a_loop
async def test_a_body_of_chunks_goes_up_and_comes_down_in_chunks() -> None:
    async def reply(exchange: Exchange) -> None:
        exchange.origin.bodies.append(await exchange.body())
        await exchange.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n2\r\nla\r\n0\r\n\r\n"
        )

    async with Origin(reply) as origin, proxied(origin.url) as port:
        _, head, body = await ask(
            port,
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
        )
    assert origin.bodies == [b"abcd"]
    assert b"Transfer-Encoding: chunked" in head
    assert body.endswith(b"0\r\n\r\n")


@on_a_loop
async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\n\r\nsin longitud")
        exchange.writer.close()

    async with Origin(reply) as origin, proxied(origin.url) as port:
        assert (await ask(port))[2] == b"c\r\nsin longitud\r\n0\r\n\r\n"
        status, head, body = await ask(port, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (status, body) == (200, b"sin longitud")
    assert b"chunked" not in head


@pytest.mark.parametrize(("status", "headers"), [(204, ""), (304, 'ETag: "x"\r\n')])
def test_an_answer_without_a_body_stays_without(status: int, headers: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with (
            Origin(f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode()) as origin,
            proxied(origin.url) as port,
        ):
            got, head, body = await ask(port)
        assert (got, body) == (status, b"")
        assert b"transfer-encoding" not in head.lower()

    run()


@on_a_loop
async def test_a_head_answer_keeps_its_length_and_the_connection_goes_on() -> None:
    async with (
        Origin(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") as origin,
        proxied(origin.url) as port,
    ):
        async with Client(port) as client:
            for _ in range(2):
                await client.say("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"Content-Length: 99" in await client.head()
    assert len(origin.heads) == 2


@on_a_loop
async def test_the_answer_streams_while_the_service_still_writes_it() -> None:
    go_on = asyncio.Event()

    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: uno\n\n")
        await go_on.wait()
        await exchange.say(b"data: dos\n\n")
        exchange.writer.close()

    async with Origin(reply) as origin, proxied(origin.url) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as answer:
            assert await answer.content.readuntil(b"\n\n") == b"data: uno\n\n"
            go_on.set()  # the first event was there before the second was written
            assert await answer.content.readuntil(b"\n\n") == b"data: dos\n\n"


@on_a_loop
async def test_the_head_of_an_answer_does_not_wait_for_its_body() -> None:
    go_on = asyncio.Event()

    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await go_on.wait()
        await exchange.say(b"hola")

    async with Origin(reply) as origin, proxied(origin.url) as port, Client(port) as client:
        await client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await client.head()
        go_on.set()
        assert await client.reader.readexactly(4) == b"hola"


@on_a_loop
async def test_the_request_streams_while_the_client_still_sends_it() -> None:
    arrived = asyncio.Event()

    async def reply(exchange: Exchange) -> None:
        assert await exchange.reader.readexactly(5) == b"prime"
        arrived.set()
        exchange.origin.bodies.append(await exchange.reader.readexactly(5))
        await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhola")

    async with Origin(reply) as origin, proxied(origin.url) as port, Client(port) as client:
        await client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nprime")
        await arrived.wait()
        await client.say("segun")
        assert b"200 OK" in await client.head()
    assert origin.bodies == [b"segun"]


@on_a_loop
async def test_a_client_that_expects_is_told_to_continue_and_the_service_sees_no_expectation() -> None:
    async with Origin() as origin, proxied(origin.url) as port, Client(port) as client:
        await client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.say("abcd")
        assert b"200 OK" in await client.head()
    assert origin.bodies == [b"abcd"]
    assert "expect" not in dict(origin.headers())


@on_a_loop
async def test_an_unknown_expectation_is_refused() -> None:
    async with Origin() as origin, proxied(origin.url) as port:
        assert (await ask(port, "GET / HTTP/1.1\r\nHost: x\r\nExpect: magia\r\n\r\n"))[0] == 417
    assert origin.heads == []


@pytest.mark.parametrize("target", ["/a#b", "/ñ", "a", "*", "/a\x7f"])
def test_a_target_that_is_none_is_refused_before_any_service_sees_it(target: str) -> None:
    @on_a_loop
    async def run() -> None:
        async with Origin() as origin, proxied(origin.url) as port:
            status, _, _ = await ask(port, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status in (400, 404)
        assert origin.heads == []

    run()


@on_a_loop
async def test_connect_opens_no_tunnel() -> None:
    async with Origin() as origin, proxied(origin.url) as port:
        assert (await ask(port, f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: x\r\n\r\n"))[0] in (
            400,
            404,
            501,
        )
    assert origin.heads == []


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("charla",))
    await socket.prepare(request)
    async for message in socket:
        if message.data == "adiós":
            await socket.close(code=4001, message=b"hasta luego")
        elif message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


@on_a_loop
async def test_a_websocket_passes_with_its_protocol_messages_and_closing_code() -> None:
    app = web.Application()
    app.router.add_get("/ws", echo)
    calls: list = []
    async with running(app) as service, proxied(f"http://127.0.0.1:{service}", calls=calls) as port:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/ws"
            async with session.ws_connect(url, protocols=("charla",), max_msg_size=0) as socket:
                assert socket.protocol == "charla"
                await socket.send_str("hola")
                assert (await socket.receive()).data == "hola"
                await socket.send_bytes(b"x" * 3_000_000)
                assert len((await socket.receive()).data) == 3_000_000
                await socket.send_str("adiós")
                assert (await socket.receive()).extra == "hasta luego"
                assert socket.close_code == 4001
    assert calls[0].sent > 3_000_000


@on_a_loop
async def test_a_websocket_that_the_service_refuses_is_an_answer_like_any_other() -> None:
    async with (
        Origin(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno") as origin,
        proxied(origin.url) as port,
    ):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"http://127.0.0.1:{port}/ws")
    assert refused.value.status == 403


@on_a_loop
async def test_a_websocket_client_that_leaves_is_noticed_by_the_service() -> None:
    gone = asyncio.Event()

    async def reply(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nprimero")
        await exchange.gone()
        gone.set()
        exchange.writer.close()

    async with Origin(reply) as origin, proxied(origin.url) as port, Client(port) as client:
        await client.say(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in await client.head()
        assert await client.reader.readexactly(7) == b"primero"
        client.leave()
        await asyncio.wait_for(gone.wait(), 1)
