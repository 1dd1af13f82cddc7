"""labkit/roster.py: serve, and what stands under which name."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from aiohttp import web
from support import (
    KINDS,
    PATIENCE,
    Raw,
    Stage,
    build,
    can_bind,
    eventually,
    free_port,
    get,
    name_of,
    refused,
)

import labkit
from labkit.errors import BadHost, BadPort, KindMismatch, NameInUse, NotAnApp, NotRestartable, PortInUse
from labkit.roster import ROSTER

every_kind = pytest.mark.parametrize("kind", KINDS)


# What other files' tests in this worker have left for good.
OLDER: set[threading.Thread] = set()


@pytest.fixture(autouse=True, scope="module")
def older_threads() -> None:
    OLDER.update(threading.enumerate())


def labkit_threads() -> list[str]:
    # Not labkit.run's, which one test starts and all share.
    names = [thread.name for thread in threading.enumerate() if thread not in OLDER]
    return [name for name in names if name.startswith("labkit-") and name != "labkit-run"]


# what can be served


@every_kind
def test_a_factory_without_arguments_and_one_that_takes_the_name(kind: str, stage: Stage) -> None:
    with labkit.serve(lambda: build(kind, stage, "sin"), name="a") as service:
        assert get(service.url).text == "sin"
    with labkit.serve(lambda instance: build(kind, stage, instance), name="b") as service:
        assert get(service.url).text == "b"
    with labkit.serve(functools.partial(build, kind, stage), name="c") as service:
        assert get(service.url).text == "hola"


@every_kind
def test_a_factory_runs_where_no_event_loop_runs(kind: str, stage: Stage) -> None:
    """In a kernel the cell's own thread has one, and what is made there belongs to it."""

    async def cell() -> Any:
        def crear() -> Any:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return build(kind, stage)

        return labkit.serve(crear, name="a")

    with asyncio.run(cell()) as service:
        assert get(service.url).text == "hola"


def test_a_coroutine_and_a_coroutine_function(stage: Stage) -> None:
    async def crear(name: str = "corrutina") -> web.Application:
        await asyncio.sleep(0)
        return build("aiohttp", stage, name)

    with labkit.serve(crear(), name="a") as service:
        assert get(service.url).text == "corrutina"
        with pytest.raises(NotRestartable):
            service.restart()
        assert get(service.url).text == "corrutina"
    with labkit.serve(crear, name="b") as service:
        assert get(service.url).text == "b"
        service.restart()
        assert get(service.url).text == "b"


def test_a_service_without_a_name_gets_a_meaningful_one(stage: Stage) -> None:
    def pagos() -> Any:
        return build("flask", stage)

    with labkit.serve(pagos) as service:
        assert service.name == "pagos"
    with labkit.serve(flask.Flask("envios")) as service:
        assert service.name == "envios"
    for name in ("algo-mas", "mi.tienda", "Año nuevo", "2x"):
        with labkit.serve(flask.Flask(name)) as service:
            assert service.name == name
    with labkit.serve(flask.Flask("__main__")) as service:
        assert service.name.startswith("servicio-")
    with labkit.serve(flask.Flask("_")) as first, labkit.serve(flask.Flask("_")) as second:
        assert first.name != second.name
    port = free_port()
    with labkit.serve(build("aiohttp", stage), port=port) as service:
        assert service.name == f"servicio-{port}"


# bad input


NOT_APPS = [42, None, "modulo:app", [], {}, print, object(), 3.5, b"app", type(None)]


@pytest.mark.parametrize("thing", NOT_APPS, ids=name_of)
def test_what_is_no_app_is_a_type_error_that_names_it_and_what_is_accepted(thing: Any) -> None:
    with pytest.raises(TypeError) as caught:
        labkit.serve(thing, name="nada")
    assert isinstance(caught.value, NotAnApp)
    assert "Flask" in str(caught.value)
    assert "aiohttp.web.Application" in str(caught.value)
    assert ROSTER.entry("nada") is None
    assert labkit_threads() == []


@pytest.mark.parametrize("thing", [42, "modulo:app"])
def test_the_error_names_what_was_given(thing: Any) -> None:
    with pytest.raises(NotAnApp, match=repr(thing)):
        labkit.serve(thing, name="nada")


def test_an_asgi_app_is_told_that_it_is_one() -> None:
    async def fast(scope: Any, receive: Any, send: Any) -> None: ...

    class Fast:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    for app in (fast, Fast()):
        with pytest.raises(NotAnApp, match="ASGI"):
            labkit.serve(app, name="nada")


@pytest.mark.parametrize("made", [42, None, "texto", [], print])
def test_a_factory_that_returns_nonsense_is_named_with_what_it_returned(made: Any) -> None:
    def crear_mal() -> Any:
        return made

    with pytest.raises(NotAnApp, match="crear_mal"):
        labkit.serve(crear_mal, name="nada")
    assert ROSTER.entry("nada") is None


def test_a_function_that_takes_one_argument_and_makes_no_app_is_no_app() -> None:
    with pytest.raises(NotAnApp, match="len"):
        labkit.serve(len, name="nada")


def test_a_coroutine_that_makes_no_app_is_refused_and_leaves_nothing() -> None:
    async def crear() -> Any:
        return flask.Flask("x")

    port = free_port()
    for app in (crear, crear()):
        with pytest.raises(NotAnApp):
            labkit.serve(app, name="nada", port=port)
        assert can_bind(port)
    assert labkit_threads() == []


@every_kind
def test_a_factory_that_raises_raises_that_in_the_cell_and_leaves_nothing(
    kind: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def crear() -> Any:
        print("empiezo")
        raise LookupError("base de datos")

    port = free_port()
    with pytest.raises(LookupError, match="base de datos"):
        labkit.serve(crear, name="nada", port=port)
    assert can_bind(port)
    assert ROSTER.entry("nada") is None
    assert labkit_threads() == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("port", [70000, -1, True, "80", 8000.0, None])
@every_kind
def test_a_port_that_is_none_is_refused_and_what_runs_goes_on(kind: str, port: Any, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        with pytest.raises(BadPort):
            labkit.serve(build(kind, stage), name="tienda", port=port)
        assert get(service.url).text == "hola"


def test_a_host_that_is_none_of_this_machine(stage: Stage) -> None:
    for host in ("192.0.2.1", None, ""):
        with pytest.raises(BadHost):
            labkit.serve(build("flask", stage), name="tienda", host=host)  # type: ignore[arg-type]
    assert ROSTER.entry("tienda") is None or not ROSTER.entry("tienda").running  # type: ignore[union-attr]


def test_host_in_the_environment_is_ignored(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOST", "FLASK_RUN_HOST", "PORT"):
        monkeypatch.setenv(variable, "0.0.0.0")
    for kind in KINDS:
        with labkit.serve(build(kind, stage), name="tienda") as service:
            assert service.host == "127.0.0.1"
            with pytest.raises(OSError):  # noqa: PT011  127.0.0.2 is this machine too, on Linux
                socket.create_connection(("127.0.0.2", service.port), timeout=2)


@pytest.mark.parametrize("name", ["", "  ", 5, b"x"])
def test_a_name_that_is_none(name: Any, stage: Stage) -> None:
    with pytest.raises(ValueError, match="name="):
        labkit.serve(build("flask", stage), name=name)


@pytest.mark.parametrize("replicas", [0, -1, True, 2.0, "3"])
def test_replicas_that_are_no_number(replicas: Any, stage: Stage) -> None:
    with pytest.raises(ValueError, match="replicas="):
        labkit.serve(lambda: build("flask", stage), name="grupo", replicas=replicas)


@every_kind
def test_replicas_need_a_factory(kind: str, stage: Stage) -> None:
    with pytest.raises(TypeError, match="función"):
        labkit.serve(build(kind, stage), name="grupo", replicas=2)


# running the cell again


@every_kind
def test_the_same_name_again_replaces_it_on_its_port_and_the_old_one_is_joined(
    kind: str, stage: Stage
) -> None:
    first = labkit.serve(build(kind, stage, "uno"), name="tienda")
    with Raw(first) as silent, Raw(first) as half, Raw(first) as kept:
        half.send(b"GET / HTTP/1.1\r\nHost:")
        kept.ask()
        kept.read_until(b"uno")
        second = labkit.serve(build(kind, stage, "dos"), name="tienda")
        assert second.port == first.port
        assert not first.running
        assert first.state == "detenido"
        assert len(labkit_threads()) == 1
        for raw in (silent, half, kept):
            raw.ask()
            assert raw.read_to_end() == b""  # closed, never answered by the old one
    assert get(second.url).text == "dos"
    assert ROSTER["tienda"] is second
    second.stop()


@every_kind
def test_a_cell_run_thirty_times_never_finds_its_address_in_use(kind: str, stage: Stage) -> None:
    port = free_port()
    for number in range(30):
        service = labkit.serve(build(kind, stage, str(number)), name="tienda", port=port, grace=0)
        assert get(service.url).text == str(number)
    service.stop()


@every_kind
def test_a_name_whose_service_was_stopped_or_killed_keeps_its_port(kind: str, stage: Stage) -> None:
    first = labkit.serve(build(kind, stage), name="tienda")
    first.kill()
    with labkit.serve(build(kind, stage), name="tienda") as second:
        assert second.port == first.port


@every_kind
def test_another_port_for_the_same_name_moves_it(kind: str, stage: Stage) -> None:
    first = labkit.serve(build(kind, stage), name="tienda")
    port = free_port()
    with labkit.serve(build(kind, stage), name="tienda", port=port):
        assert refused(first.port)
        assert get(f"http://127.0.0.1:{port}/").text == "hola"


def test_an_aiohttp_app_that_was_used_is_refused_before_the_running_one_is_stopped(stage: Stage) -> None:
    app = build("aiohttp", stage)
    with labkit.serve(app, name="tienda") as service:
        with pytest.raises(NotRestartable):
            labkit.serve(app, name="tienda")
        assert get(service.url).text == "hola"


def test_a_flask_app_is_served_again_and_under_two_names(stage: Stage) -> None:
    app = build("flask", stage)
    with labkit.serve(app, name="a") as a, labkit.serve(app, name="b") as b:
        assert get(a.url).text == get(b.url).text == "hola"
        with labkit.serve(app, name="a") as again:
            assert get(again.url).text == "hola"


@pytest.mark.parametrize(("old", "new"), [("flask", "aiohttp"), ("aiohttp", "wsgi")])
def test_two_services_of_one_name_with_different_kinds(old: str, new: str, stage: Stage) -> None:
    service = labkit.serve(build(old, stage), name="tienda")
    with pytest.raises(KindMismatch, match="«tienda» ya es un servicio") as caught:
        labkit.serve(build(new, stage), name="tienda")
    assert isinstance(caught.value, ValueError)
    assert get(service.url).text == "hola"
    service.stop()
    with labkit.serve(build(new, stage), name="tienda") as other:  # the other was stopped, so it may change
        assert get(other.url).text == "hola"


@pytest.mark.parametrize(("old", "new"), [("flask", "aiohttp"), ("aiohttp", "flask")])
def test_two_services_of_one_name_with_different_kinds_made_by_factories(
    old: str, new: str, stage: Stage
) -> None:
    service = labkit.serve(lambda: build(old, stage), name="tienda")
    with pytest.raises(KindMismatch, match="«tienda» ya es un servicio"):
        labkit.serve(lambda: build(new, stage), name="tienda")
    assert not service.running  # what a factory makes shows only when it is called
    assert can_bind(service.port)
    service.start()
    assert get(service.url).text == "hola"
    service.stop()


def test_a_factory_that_changes_its_kind_is_refused_at_the_restart(stage: Stage) -> None:
    kinds = iter(["flask", "aiohttp"])
    service = labkit.serve(lambda: build(next(kinds), stage), name="tienda")
    with pytest.raises(KindMismatch):
        service.restart()
    assert service.state == "detenido"
    assert can_bind(service.port)


# ports in use


@every_kind
def test_a_port_held_by_another_service_names_it_and_both_go_on(kind: str, stage: Stage) -> None:
    with labkit.serve(build(kind, stage), name="tienda") as service:
        with pytest.raises(PortInUse, match="«tienda»") as caught:
            labkit.serve(build(kind, stage), name="otra", port=service.port)
        assert caught.value.port == service.port
        assert ROSTER.entry("otra") is None or not ROSTER.entry("otra").running  # type: ignore[union-attr]
        assert get(service.url).text == "hola"
        assert len(labkit_threads()) == 1


@every_kind
def test_a_port_held_by_another_program_is_an_error_in_the_cell_and_never_system_exit(
    kind: str, stage: Stage
) -> None:
    source = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source + "; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(PortInUse, match=str(port)):
            labkit.serve(build(kind, stage), name="nueva", port=port)
        child.stdin.close()
    assert labkit_threads() == []
    with labkit.serve(build(kind, stage), name="nueva", port=port) as service:
        assert get(service.url).text == "hola"


@every_kind
def test_a_group_whose_port_is_taken_in_the_middle_leaves_nothing_running(kind: str, stage: Stage) -> None:
    obstacle = labkit.serve(build("flask", stage), name="estorbo")
    while not can_bind(obstacle.port - 1):
        obstacle = labkit.serve(build("flask", stage), name="estorbo", port=free_port())
    with obstacle:
        with pytest.raises(PortInUse, match="«estorbo»"):
            labkit.serve(lambda: build(kind, stage), name="grupo", replicas=3, port=obstacle.port - 1)
        assert [service.name for service in labkit.services() if service.running] == ["estorbo"]


# names and groups


@every_kind
def test_a_group_again_takes_the_ports_it_had_one_by_one(kind: str, stage: Stage) -> None:
    first = labkit.serve(lambda name: build(kind, stage, name + " v1"), name="inventario", replicas=3)
    ports = [service.port for service in first]
    with labkit.serve(lambda name: build(kind, stage, name + " v2"), name="inventario", replicas=4) as second:
        assert [service.port for service in second][:3] == ports
        assert [get(url).text for url in second.urls] == [f"inventario-{n} v2" for n in range(1, 5)]
        assert not first.running
    with labkit.serve(lambda name: build(kind, stage, name), name="inventario", replicas=1) as third:
        assert third[0].port == ports[0]


def test_an_instance_of_a_group_is_not_served_alone(stage: Stage) -> None:
    with labkit.serve(lambda: build("flask", stage), name="verduras", replicas=2) as group:
        with pytest.raises(NameInUse, match="«verduras-1»"):
            labkit.serve(build("flask", stage), name="verduras-1")
        assert ROSTER["verduras-1"] is group[0]
        assert ROSTER["verduras"] is group


def test_a_group_does_not_take_the_name_of_a_service_that_runs(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="hortalizas-2") as alone:
        with pytest.raises(NameInUse, match="«hortalizas-2»"):
            labkit.serve(lambda: build("flask", stage), name="hortalizas", replicas=2)
        assert [service.name for service in labkit.services() if service.running] == ["hortalizas-2"]
        assert get(alone.url).text == "hola"


def test_services_by_name_and_a_name_that_nobody_has(stage: Stage) -> None:
    with labkit.serve(build("flask", stage), name="tienda") as service:
        assert labkit.services()["tienda"] is service
        assert ROSTER.by_port(service.port) is service
        assert service in list(labkit.services())
        assert "tienda · corriendo · 0 peticiones · 0 errores" in repr(labkit.services())
        with pytest.raises(KeyError, match="tienda"):
            labkit.services()["tiendo"]
    assert ROSTER.by_port(service.port) is None


def test_stop_all_stops_all(stage: Stage) -> None:
    services = [labkit.serve(build(kind, stage), name=kind) for kind in KINDS]
    group = labkit.serve(lambda: build("flask", stage), name="grupo", replicas=2)
    labkit.stop_all()
    assert not group.running
    assert [service.state for service in services] == ["detenido"] * 3
    labkit.stop_all(grace=0)
    with pytest.raises(ValueError, match="grace="):
        labkit.stop_all(grace=-1)


# start-up


@pytest.mark.parametrize("hook", ["on_startup", "cleanup_ctx"])
def test_a_start_up_that_raises_raises_that_in_the_cell_and_leaves_nothing(hook: str, stage: Stage) -> None:
    app = build("aiohttp", stage)
    closed = []

    async def resource(app: web.Application) -> Any:
        yield
        closed.append("resource")

    async def fail(app: web.Application) -> Any:
        raise LookupError("base de datos")
        yield

    app.cleanup_ctx.append(resource)
    if hook == "cleanup_ctx":
        app.cleanup_ctx.append(fail)
    else:

        async def startup(app: web.Application) -> None:
            raise LookupError("base de datos")

        app.on_startup.append(startup)
    port = free_port()
    with pytest.raises(LookupError, match="base de datos"):
        labkit.serve(app, name="nada", port=port)
    assert can_bind(port)
    assert labkit_threads() == []
    assert ROSTER.entry("nada") is None
    assert closed == ["resource"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself a signal")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("blocking", [False, True])
def test_an_interrupt_while_on_startup_hangs_leaves_nothing(blocking: bool, stage: Stage) -> None:
    app = web.Application()

    async def startup(app: web.Application) -> None:
        stage.entered.release()
        if blocking:
            stage.release.wait(PATIENCE)
        else:
            await asyncio.Event().wait()

    app.on_startup.append(startup)
    port = free_port()

    def interrupt() -> None:
        stage.wait_entered()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        labkit.serve(app, name="nada", port=port)
    assert can_bind(port)
    assert ROSTER.entry("nada") is None
    stage.release.set()
    eventually(lambda: labkit_threads() == [])


def test_hooks_of_an_aiohttp_app_run_once_each_in_order(stage: Stage) -> None:
    with labkit.serve(build("aiohttp", stage), name="tienda"):
        assert stage.hooks == ["startup"]
    assert stage.hooks == ["startup", "shutdown", "cleanup"]
    stage.hooks.clear()
    service = labkit.serve(build("aiohttp", stage), name="tienda")
    service.kill()
    assert stage.hooks == ["startup"]


@every_kind
def test_eight_threads_that_serve_one_name_leave_one_service(kind: str, stage: Stage) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(labkit.serve, build(kind, stage, str(number)), name="tienda") for number in range(8)
        ]
        services = [call.result(PATIENCE) for call in calls]
    running = [service for service in services if service.running]
    assert len(running) == 1
    assert ROSTER["tienda"] is running[0]
    assert get(running[0].url).status_code == 200
    eventually(lambda: len(labkit_threads()) == 1)
    running[0].stop()


def test_a_process_whose_handlers_never_return_ends_all_the_same() -> None:
    source = """
import asyncio, threading, flask, labkit, requests
from aiohttp import web
entered = threading.Semaphore(0)
def block():
    entered.release()
    threading.Event().wait()
app = flask.Flask("f"); app.add_url_rule("/", "i", block)
async def freeze(request):
    block()
aio = web.Application(); aio.router.add_get("/", freeze)
for service in (labkit.serve(app, name="f"), labkit.serve(aio, name="a")):
    threading.Thread(target=lambda url=service.url: requests.get(url), daemon=True).start()
    entered.acquire()
print("end", flush=True)
"""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=40)
        assert done.stdout == "end\n", done.stderr
        assert done.returncode == 0
        return
    pytest.fail("the process does not end")


def test_a_coroutine_that_is_refused_is_closed_and_not_warned_about(recwarn):
    async def make():
        raise AssertionError("never runs")

    with labkit.serve(flask.Flask("vecino"), name="vecino") as holder, pytest.raises(labkit.PortInUse):
        labkit.serve(make(), name="pagos", port=holder.port)
    gc.collect()
    assert not [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)]
