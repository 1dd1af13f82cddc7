"""labkit.panel(): what its buttons do, what it shows, and that nothing stays when it is closed."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import flask
import ipywidgets
import pytest
import requests
from ipywidgets.widgets.widget import _instances
from kernels import Kernel, kernel
from requests.adapters import HTTPAdapter
from support import eventually, get, refused

import labkit
from labkit.kernel import controls, messages
from labkit.kernel.panel import Panel
from labkit.kernel.traffic import Traffic
from labkit.roster import ROSTER


def app(call: str | None = None) -> flask.Flask:
    """Answers `ok` on /, 500 on /roto; on /llama, what `call` answers."""
    made = flask.Flask("tienda")
    made.add_url_rule("/", "hola", lambda: "ok")
    made.add_url_rule("/roto", "roto", lambda: ("mal", 500))
    made.add_url_rule("/llama", "llama", lambda: requests.get(call or "", timeout=5).text)
    return made


@pytest.fixture
def pagos() -> Iterator[Any]:
    ROSTER._entries.clear()
    with labkit.serve(app(), name="pagos") as service:
        yield service
    ROSTER._entries.clear()


@pytest.fixture
def panel(pagos: Any) -> Iterator[Panel]:
    widgets = set(_instances)
    opened = labkit.panel()
    yield opened
    opened.close()
    opened._remove()
    assert set(_instances) <= widgets


def row(panel: Panel, name: str = "pagos") -> controls.Row:
    assert panel._view is not None
    return panel._view._rows[name]


def buttons(panel: Panel, name: str = "pagos") -> dict[str, Any]:
    """The buttons of a service by what is written on them."""
    mine = row(panel, name)
    return {
        each.description: each for each in (mine._stop, mine._kill, mine._pause, mine._restart, mine._inject)
    }


def press(panel: Panel, label: str, name: str = "pagos") -> None:
    """Click, and wait until that is done."""
    buttons(panel, name)[label].click()
    eventually(lambda: not panel._actions)
    panel.refresh()


def shown(panel: Panel, name: str = "pagos") -> str:
    text: str = row(panel, name)._info.value
    return text


# Buttons


def test_kill_kills(panel: Panel, pagos: Any) -> None:
    press(panel, "matar")
    assert pagos.state == "muerto"
    assert refused(pagos.port)
    assert "muerto" in shown(panel)


def test_stop_stops_and_restart_starts_again(panel: Panel, pagos: Any) -> None:
    press(panel, "detener")
    assert pagos.state == "detenido"
    assert "detenido" in shown(panel)
    press(panel, "reiniciar")
    assert get(pagos.url).text == "ok"


def test_pause_becomes_resume(panel: Panel, pagos: Any) -> None:
    press(panel, "pausar")
    assert pagos.state == "en pausa"
    assert "pausar" not in buttons(panel)
    press(panel, "seguir")
    assert get(pagos.url).text == "ok"


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        ("retraso de 1 s", "retraso de 1 s"),
        ("error 503", "error 503"),
        ("cuelgue", "cuelgue"),
        ("corte", "corte"),
    ],
)
def test_the_chosen_fault_is_injected_and_taken_away(
    panel: Panel, pagos: Any, choice: str, what: str
) -> None:
    assert panel._view is not None
    panel._view._fault.value = choice
    press(panel, "inyectar")
    assert [fault.what for fault in pagos.faults] == [what]
    assert f"fallos: {what}" in shown(panel)
    press(panel, "quitar")
    assert len(pagos.faults) == 0
    assert "fallos" not in shown(panel)


def test_only_what_is_possible_can_be_pressed(panel: Panel) -> None:
    def possible() -> set[str]:
        return {label for label, button in buttons(panel).items() if not button.disabled}

    assert possible() == {"detener", "matar", "pausar", "reiniciar", "inyectar"}
    press(panel, "matar")
    assert possible() == {"reiniciar", "inyectar"}


def test_a_click_waits_for_nothing_and_cannot_be_doubled(panel: Panel, pagos: Any) -> None:
    entered, release = threading.Event(), threading.Event()
    slow = flask.Flask("lento")

    @slow.get("/")
    def wait() -> str:
        entered.set()
        release.wait(20)
        return "ok"

    with labkit.serve(slow, name="lento", grace=20):
        panel.refresh()
        caller = threading.Thread(target=get, args=(labkit.services()["lento"].url,))
        caller.start()
        entered.wait(20)
        buttons(panel, "lento")["detener"].click()  # has its grace before it; returns all the same
        assert all(button.disabled for button in buttons(panel, "lento").values())
        press_others = buttons(panel)["pausar"]
        assert not press_others.disabled
        release.set()
        eventually(lambda: not panel._actions)
        caller.join()


def test_what_cannot_be_done_is_said(panel: Panel, pagos: Any) -> None:
    from aiohttp import web

    with labkit.serve(web.Application(), name="usada"):
        panel.refresh()
        press(panel, "reiniciar", "usada")
        assert panel._view is not None
        assert "usada: no se pudo reiniciar" in panel._view._note.value
        press(panel, "matar")
        assert panel._view._note.value == ""


def test_buttons_act_on_the_service_that_has_the_name_now(panel: Panel, pagos: Any) -> None:
    with labkit.serve(app(), name="pagos") as successor:
        panel.refresh()
        press(panel, "matar")
        assert successor.state == "muerto"


# What it shows


def test_a_row_tells_requests_errors_and_latency(panel: Panel, pagos: Any) -> None:
    assert "–" in shown(panel)
    get(pagos.url)
    get(f"{pagos.url}/roto")
    eventually(lambda: all(request.duration is not None for request in pagos.journal.requests))
    panel.refresh()
    assert ">2</span>" in shown(panel)
    assert ">1</span>" in shown(panel)
    assert "ms</span>" in shown(panel)


def test_the_latency_is_the_median_of_the_last_answers(pagos: Any) -> None:
    assert controls.recent_latency(pagos) is None
    for number in range(100):
        noted = pagos.journal.begin("GET", "/")
        pagos.journal.write("una línea\n")
        if number % 10 != 9:  # some are under way
            pagos.journal.answer(noted, 200)
            pagos.journal.done(noted, float(number))
    assert controls.recent_latency(pagos) == pytest.approx(87.5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.00004, "0,1 ms"),
        (0.0025, "2,5 ms"),
        (0.012, "12 ms"),
        (0.4, "400 ms"),
        (1.5, "1,5 s"),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert controls.duration_text(seconds) == text


def test_services_come_and_go(panel: Panel) -> None:
    assert panel._view is not None
    with labkit.serve(lambda: app(), name="inventario", replicas=2):
        panel.refresh()
        assert list(panel._view._rows) == ["pagos", "inventario-1", "inventario-2"]
        with labkit.serve(lambda: app(), name="inventario", replicas=1):
            panel.refresh()
            assert len(panel._view._list.children) == 2
            assert "2 de 2" in panel._view._title.value


def test_without_services_it_says_so() -> None:
    ROSTER._entries.clear()
    opened = labkit.panel()
    assert repr(opened) == "ningún servicio"
    assert opened._view is not None
    assert opened._view._columns.value == messages.PANEL_EMPTY
    opened.close()


def test_as_text_it_is_the_plain_table(panel: Panel, pagos: Any) -> None:
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == repr(labkit.services()) == "pagos · corriendo · 0 peticiones · 0 errores"
    assert "application/vnd.jupyter.widget-view+json" not in bundle  # no kernel, no page


def test_names_are_shown_as_text(panel: Panel) -> None:
    with labkit.serve(app(), name="<b>x</b>"):
        panel.refresh()
        assert "&lt;b&gt;x" in shown(panel, "<b>x</b>")


def test_without_ipywidgets_it_is_a_table_that_says_why() -> None:
    program = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "import labkit\n"
        "panel = labkit.panel()\n"
        "print(panel._repr_mimebundle_()['text/plain']); panel.close()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["ningún servicio", f"({messages.PANEL_NEEDS_IPYWIDGETS})"]


def test_labkit_alone_does_not_load_ipywidgets() -> None:
    program = "import sys, labkit; labkit.serve; print('ipywidgets' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


# Who calls whom


@pytest.fixture
def traffic(pagos: Any) -> Iterator[Traffic]:
    before = HTTPAdapter.send, aiohttp.ClientSession._request
    counted = Traffic()
    counted.start()
    yield counted
    counted.stop()
    assert (HTTPAdapter.send, aiohttp.ClientSession._request) == before


def test_calls_have_a_caller_and_a_callee(traffic: Traffic, pagos: Any) -> None:
    with labkit.serve(app(f"{pagos.url}/roto"), name="pedidos") as pedidos:
        get(f"{pedidos.url}/llama")
        get(f"{pedidos.url}/llama")
        assert traffic.counts() == [("cliente", "pedidos", 2, 0), ("pedidos", "pagos", 2, 2)]


def test_a_refused_call_is_a_failed_one(traffic: Traffic, pagos: Any) -> None:
    pagos.kill()
    with pytest.raises(requests.ConnectionError):
        get(pagos.url)
    assert traffic.counts() == [("cliente", "pagos", 1, 1)]


def test_calls_with_aiohttp_count(traffic: Traffic, pagos: Any) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession(pagos.url) as session:
            await asyncio.gather(*(session.get("/") for _ in range(3)), session.get("/roto"))
            with pytest.raises(aiohttp.InvalidURL):
                await session.get("http://[malo")

    labkit.run(ask())
    assert traffic.counts() == [("cliente", "pagos", 4, 1)]


def test_calls_of_a_load_count(traffic: Traffic, pagos: Any) -> None:
    labkit.load(pagos.url, requests=20, concurrency=2)
    assert traffic.counts() == [("cliente", "pagos", 20, 0)]


def test_calls_to_others_do_not_count(traffic: Traffic, pagos: Any) -> None:
    with pytest.raises(requests.ConnectionError):
        get("http://127.0.0.1:9")
    with pytest.raises(requests.exceptions.RequestException):
        get("http://[malo")
    assert traffic.counts() == []


def test_a_call_that_waits_counts_already(traffic: Traffic, pagos: Any) -> None:
    with pagos.faults.hang():
        caller = threading.Thread(target=get, args=(pagos.url,))
        caller.start()
        eventually(lambda: traffic.counts() == [("cliente", "pagos", 1, 0)])
    caller.join()


def test_the_panel_counts_inside_and_outside_of_an_observed_block(traffic: Traffic, pagos: Any) -> None:
    with labkit.observe() as viaje:
        get(pagos.url)
    get(pagos.url)
    assert len(viaje.calls) == 1
    assert traffic.counts() == [("cliente", "pagos", 2, 0)]


def test_the_calls_are_listed_when_they_are_seen(panel: Panel) -> None:
    assert panel._view is not None
    assert messages.PANEL_NO_CALLS in panel._view._calls.value
    panel._view.draw([("cliente", "b<1>", 3, 1), ("a", "a", 1, 0)])
    shown = panel._view._calls.value
    assert (
        "<div>a → a: 1 llamada, 0 errores</div><div>cliente → b&lt;1&gt;: 3 llamadas, 1 error</div>" in shown
    )


def test_what_listens_without_labkit_is_named(
    panel: Panel, pagos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert panel._view is not None
    monkeypatch.setattr("labkit.sockets.kernels", {1})
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        panel.refresh()
        assert str(stranger.getsockname()[1]) in panel._view._strangers.value
        assert str(pagos.port) not in panel._view._strangers.value
        port = str(stranger.getsockname()[1])
    panel.refresh()
    assert port not in panel._view._strangers.value


# Its end


def test_closed_it_shows_how_things_stood(pagos: Any) -> None:
    opened = labkit.panel()
    opened.close()
    opened.close()
    assert opened.closed
    assert opened._view is not None
    assert "pagos" in opened._view._note.value
    assert pagos.running
    opened.refresh()
    assert not any(isinstance(widget, ipywidgets.Button) for widget in _instances.values())


def test_a_new_panel_replaces_the_one_before(pagos: Any) -> None:
    first = labkit.panel()
    many = len(_instances)
    second = labkit.panel()
    assert (first.closed, second.closed) == (True, False)
    assert len(_instances) == many
    second.close()


# In a kernel

SERVE = """
import flask, labkit, threading, time
app = flask.Flask("pagos")
app.add_url_rule("/", view_func=lambda: "ok")
pagos = labkit.serve(app, name="pagos")
def hilos():
    return [hilo.name for hilo in threading.enumerate() if hilo.name.startswith("labkit-panel")]
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel() as running:
        running.ok(SERVE)
        yield running


@pytest.fixture
def alive(shared: Kernel) -> Iterator[Kernel]:
    shared.ok("if not pagos.running: pagos.restart()\npagos.faults.clear()")
    yield shared
    shared.ok("panel.close()")


def click(running: Kernel, button: str, subshell: str | None = None) -> None:
    """What a page sends for a click."""
    comm_id = running.comm_id  # type: ignore[attr-defined]
    content = {"comm_id": comm_id[button], "data": {"method": "custom", "content": {"event": "click"}}}
    message = running.client.session.msg("comm_msg", content)
    message["header"]["subshell_id"] = subshell
    running.client.shell_channel.send(message)


def open_panel(running: Kernel) -> str | None:
    """Open one and return its text."""
    text = running.ok("panel = labkit.panel()\npanel").result
    ids = running.ok(
        "fila = panel._view._rows['pagos']\n"
        "import json; print(json.dumps({b.description: b.comm.comm_id for b in (fila._stop, fila._kill)}))"
    )
    running.comm_id = json.loads(ids.stdout)  # type: ignore[attr-defined]
    return text


def test_its_text_holds_no_port_and_no_time(alive: Kernel) -> None:
    assert open_panel(alive) == "pagos · corriendo · 0 peticiones · 0 errores"
    assert alive.ok("panel._repr_mimebundle_().keys()").result is not None
    assert "widget-view" in str(alive.ok("list(panel._repr_mimebundle_())").result)


def test_it_follows_while_a_cell_runs(alive: Kernel) -> None:
    open_panel(alive)
    seen = alive.ok(
        "pagos.kill()\n"
        "while 'muerto' not in fila._info.value: time.sleep(0.01)\n"
        "pagos.restart()\n"
        "while 'corriendo' not in fila._info.value: time.sleep(0.01)\n"
        "print('visto')"
    )
    assert seen.stdout == "visto\n"


def test_a_click_acts_between_cells(alive: Kernel) -> None:
    open_panel(alive)
    click(alive, "matar")
    assert alive.ok("labkit.eventually(lambda: pagos.state == 'muerto')\npagos.state").result == "'muerto'"


def test_a_click_acts_while_a_cell_awaits(alive: Kernel) -> None:
    open_panel(alive)
    cell = alive.start(
        "import asyncio\nprint('va')\nwhile pagos.state != 'muerto': await asyncio.sleep(0.01)\npagos.state"
    )
    eventually(lambda: (alive.settle(0.05), alive.cells[cell].stdout)[1])
    click(alive, "matar")
    assert alive.wait(cell).result == "'muerto'"


def test_a_click_from_a_subshell_acts_while_a_cell_blocks(alive: Kernel) -> None:
    """As JupyterLab sends it."""
    open_panel(alive)
    control = alive.client.control_channel
    control.send(alive.client.session.msg("create_subshell_request"))
    subshell = alive.client.get_control_msg(timeout=20)["content"]["subshell_id"]
    cell = alive.start("print('va')\nwhile pagos.state != 'muerto': time.sleep(0.01)\npagos.state")
    eventually(lambda: (alive.settle(0.05), alive.cells[cell].stdout)[1])
    click(alive, "matar", subshell)
    assert alive.wait(cell).result == "'muerto'"
    control.send(alive.client.session.msg("delete_subshell_request", {"subshell_id": subshell}))
    alive.client.get_control_msg(timeout=20)


def test_closed_it_leaves_no_thread_and_no_patch(alive: Kernel) -> None:
    alive.ok("from requests.adapters import HTTPAdapter\nantes = HTTPAdapter.send")
    open_panel(alive)
    assert alive.ok("hilos()").result == "['labkit-panel']"
    assert alive.ok("HTTPAdapter.send is antes").result == "False"
    alive.ok("panel.close()")
    assert alive.ok("hilos(), HTTPAdapter.send is antes").result == "([], True)"


def test_run_again_there_is_one(alive: Kernel) -> None:
    for _ in range(3):
        open_panel(alive)
    assert alive.ok("hilos()").result == "['labkit-panel']"


def test_when_nothing_runs_nobody_looks_until_something_does(alive: Kernel) -> None:
    """Also what remains after `labkit.stop_all()`."""
    open_panel(alive)
    alive.ok(
        "vistos = []\n"
        "def mirar():\n"
        "    while hilos(): time.sleep(0.02)\n"
        "    vistos.append('nadie')\n"
        "vigia = threading.Thread(target=mirar, name='vigia')\n"
        "vigia.start()\n"
        "labkit.stop_all()"
    )
    alive.settle(3)
    assert alive.ok("vigia.join(10); vistos").result == "['nadie']"
    alive.ok("pagos.restart()")
    assert alive.ok("hilos()").result == "['labkit-panel']"
    assert "corriendo" in str(alive.ok("panel.refresh(); fila._info.value").result)


def test_it_says_nothing_in_any_cell(alive: Kernel) -> None:
    open_panel(alive)
    alive.ok("pagos.pause(); time.sleep(0.4); pagos.resume()")
    click(alive, "detener")
    alive.settle(0.6)
    assert all(cell.stderr == "" for cell in alive.cells.values())


def test_unloading_closes_it(alive: Kernel) -> None:
    open_panel(alive)
    alive.ok("%unload_ext labkit")
    assert alive.ok("panel.closed, hilos()").result == "(True, [])"
    alive.ok("%load_ext labkit")
