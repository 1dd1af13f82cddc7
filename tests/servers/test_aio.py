"""labkit/servers/aio.py: what is particular to aiohttp; what all kinds share is in test_service.py."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support import PATIENCE, Raw, Stage, build, can_bind, eventually, get

import labkit
from labkit import messages


def serve(stage: Stage, **options: Any) -> Any:
    return labkit.serve(lambda: build("aiohttp", stage), name="x", **options)


@pytest.mark.parametrize("ending", ["stop", "kill", "restart"])
@pytest.mark.parametrize("path", ["/ws", "/stream"])
def test_websockets_and_streams_end_when_the_service_does(ending: str, path: str, stage: Stage) -> None:
    service = serve(stage, grace=0.2)

    async def client() -> str:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
            if path == "/ws":
                async with session.ws_connect(service.url + path) as ws:
                    assert (await ws.receive_str()) == "first;"
                    return (await ws.receive(timeout=PATIENCE)).type.name
            async with session.get(service.url + path) as answer:
                try:
                    return (await answer.content.read()).decode() and "WHOLE"
                except aiohttp.ClientError:
                    return "CLOSED"

    outcome: list[str] = []
    asking = threading.Thread(target=lambda: outcome.append(asyncio.run(client())))
    asking.start()
    stage.wait_entered()
    began = time.monotonic()
    getattr(service, ending)()
    assert time.monotonic() - began < 10
    asking.join(2 * PATIENCE)
    assert outcome
    assert outcome[0] in ("CLOSE", "CLOSED", "CLOSING", "ERROR")
    service.stop()


def test_a_websocket_that_its_app_closes_at_shutdown_is_closed_politely(stage: Stage) -> None:
    sockets: list[web.WebSocketResponse] = []

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        sockets.append(ws)
        stage.entered.release()
        async for _ in ws:
            pass
        return ws

    async def close_all(app: web.Application) -> None:
        for ws in sockets:
            await ws.close(code=1001, message=b"adios")

    app = web.Application()
    app.router.add_get("/ws", websocket)
    app.on_shutdown.append(close_all)
    service = labkit.serve(app, name="x", grace=PATIENCE)

    async def client() -> Any:
        async with aiohttp.ClientSession() as session, session.ws_connect(service.url + "/ws") as ws:
            message = await ws.receive(timeout=PATIENCE)
            return message.type.name, message.data

    outcome: list[Any] = []
    asking = threading.Thread(target=lambda: outcome.append(asyncio.run(client())))
    asking.start()
    stage.wait_entered()
    service.stop()
    asking.join(2 * PATIENCE)
    assert outcome == [("CLOSE", 1001)]
    assert messages.ABANDONED.format(count=1) not in service.journal.text()


def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_the_stop(stage: Stage) -> None:
    service = serve(stage)
    with Raw(service) as raw:
        raw.ask("/stubborn")
        stage.wait_entered()
        began = time.monotonic()
        service.stop(grace=0.1)
        assert time.monotonic() - began < 15
        assert raw.read_to_end() == b""
    assert can_bind(service.port)


@pytest.mark.parametrize("hook", ["on_shutdown", "on_cleanup"])
@pytest.mark.parametrize("blocking", [False, True])
def test_a_clean_up_hook_that_hangs_does_not_hold_up_the_stop(
    hook: str, blocking: bool, stage: Stage
) -> None:
    async def hang(app: web.Application) -> None:
        if blocking:
            stage.release.wait(PATIENCE)
        await asyncio.Event().wait()

    app = build("aiohttp", stage)
    getattr(app, hook).append(hang)
    service = labkit.serve(app, name="x")
    began = time.monotonic()
    service.stop(grace=0.1)
    assert time.monotonic() - began < 15
    assert can_bind(service.port)


def test_a_clean_up_hook_that_raises_is_in_the_journal_and_the_stop_goes_on(stage: Stage) -> None:
    async def fail(app: web.Application) -> None:
        raise LookupError("al cerrar")

    app = build("aiohttp", stage)
    app.on_cleanup.append(fail)
    service = labkit.serve(app, name="x")
    service.stop()
    assert service.state == "detenido"
    assert "LookupError: al cerrar" in service.journal.text()
    assert can_bind(service.port)


def test_kill_runs_no_hook_of_the_app(stage: Stage) -> None:
    service = serve(stage)
    service.kill()
    assert stage.hooks == ["startup"]


def test_background_tasks_of_an_app_end_with_it(stage: Stage) -> None:
    ended = threading.Event()

    async def background(app: web.Application) -> Any:
        async def forever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        app["task"] = asyncio.create_task(forever())  # and nobody cancels it
        yield

    app = build("aiohttp", stage)
    app.cleanup_ctx.append(background)
    labkit.serve(app, name="x").stop()
    assert ended.wait(PATIENCE)


def test_a_task_nobody_awaits_that_fails_is_in_the_journal(stage: Stage) -> None:
    async def handler(request: web.Request) -> web.Response:
        async def fail() -> None:
            raise LookupError("sin dueño")

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        return web.Response(text="hola")

    app = web.Application()
    app.router.add_get("/", handler)
    with labkit.serve(app, name="x") as service:
        get(service.url)
        import gc

        eventually(lambda: gc.collect() >= 0 and "LookupError: sin dueño" in service.journal.text())


def test_a_background_task_that_exits_ends_the_service_and_it_says_so(stage: Stage) -> None:
    """As `web.run_app` would end: the loop is gone and nothing answers, and the state says so."""

    async def leave(request: web.Request) -> web.Response:
        async def exits() -> None:
            raise SystemExit(3)

        task = asyncio.create_task(exits())
        await asyncio.sleep(PATIENCE)
        return web.Response(text=str(task))

    app = web.Application()
    app.router.add_get("/", leave)
    service = labkit.serve(app, name="x")
    with Raw(service) as raw:
        raw.ask()
        assert raw.read_to_end() == b""
    eventually(lambda: service.state == "muerto")
    assert not service.running
    assert can_bind(service.port)
    assert "SystemExit: 3" in service.journal.text()
    service.stop()


def test_a_handler_that_returns_nothing_is_a_500(stage: Stage) -> None:
    with serve(stage) as service:
        assert get(service.url + "/nothing").status_code == 500
        assert service.journal.counts["errors"] == 1
        assert "Error" in service.journal.text()


def test_statuses_raised_as_exceptions_and_those_of_subapps_and_middlewares_are_counted(stage: Stage) -> None:
    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def unavailable(request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    @web.middleware
    async def teapot(request: web.Request, handler: Any) -> Any:
        return web.Response(status=418) if request.path == "/te" else await handler(request)

    sub = web.Application()
    sub.router.add_get("/no", unavailable)
    app = web.Application(middlewares=[teapot])
    app.router.add_get("/no", missing)
    app.add_subapp("/sub", sub)
    with labkit.serve(app, name="x") as service:
        statuses = [get(service.url + path).status_code for path in ("/no", "/sub/no", "/te", "/nada")]
        assert statuses == [404, 503, 418, 404]
        assert [request.status for request in service.journal.requests] == statuses
        assert service.journal.counts["errors"] == 1


def test_keep_alive_serves_many_requests_on_one_connection(stage: Stage) -> None:
    with serve(stage) as service, Raw(service) as raw:
        for number in range(1, 11):
            raw.ask()
            raw.read_until(b"hola")
            assert service.journal.counts["requests"] == number


def test_requests_in_one_packet_are_answered_in_order(stage: Stage) -> None:
    with serve(stage) as service, Raw(service) as raw:
        raw.send(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /nada HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        data = raw.read_to_end()
        assert data.index(b" 200 OK") < data.index(b" 404 ")
        assert service.journal.lines == ["GET / → 200", "GET /nada → 404"]


def test_bytes_that_are_no_http_harm_nobody(stage: Stage) -> None:
    with serve(stage) as service:
        for garbage in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"HOLA\r\n\r\n", b"\r\n" * 10):
            with Raw(service) as raw:
                raw.send(garbage)
                raw.socket.shutdown(1)
                raw.read_to_end()
        assert get(service.url).text == "hola"


def test_to_thread_work_that_never_returns_does_not_hold_up_the_stop(stage: Stage) -> None:
    async def handler(request: web.Request) -> web.Response:
        stage.entered.release()
        await asyncio.to_thread(stage.release.wait, PATIENCE)
        return web.Response(text="tarde")

    app = web.Application()
    app.router.add_get("/", handler)
    service = labkit.serve(app, name="x")
    with Raw(service) as raw:
        raw.ask()
        stage.wait_entered()
        began = time.monotonic()
        service.stop(grace=0.1)
        assert time.monotonic() - began < 10
        assert raw.read_to_end() == b""


def test_a_stream_that_begins_on_a_copy_of_its_request_has_its_status_noted() -> None:
    seen: list[int | None] = []

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206)
        await response.prepare(request.clone())
        seen.append(service.journal.requests[-1].status)
        return response

    app = web.Application()
    app.router.add_get("/", streams)
    with labkit.serve(app, name="x") as service:
        assert get(service.url).status_code == 206
    assert seen == [206]
    assert service.journal.lines == ["GET / → 206"]
