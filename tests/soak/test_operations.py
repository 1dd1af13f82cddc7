"""Operations at random on ten services: a model says what each must be, and it is.

The model knows of each service its state, which application answers, what its journal counts, which faults
are in force, and who is connected and waits for an answer: in a pause, or in a fault that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flask
import psutil
import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support import PATIENCE, Raw, eventually, get, open_files, refused, soak

import labkit
from labkit.errors import WrongState
from labkit.servers.base import Program

SERVICES = 10
STEPS = 125  # of these in one life of the ten services


def serve_flask(name: str, answer: str) -> Any:
    def make() -> flask.Flask:
        app = flask.Flask(name)
        app.add_url_rule("/", "index", lambda: answer)
        return app

    return labkit.serve(make, name=name)


def serve_aiohttp(name: str, answer: str) -> Any:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=answer)

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/", handler)
        return app

    return labkit.serve(make, name=name)


def serve_flask_process(name: str, answer: str) -> Any:
    text = f"import flask\napp = flask.Flask('app')\napp.add_url_rule('/', 'index', lambda: {answer!r})\n"
    return labkit.serve(Program(text=text), name=name, isolation="process")


def serve_aiohttp_process(name: str, answer: str) -> Any:
    text = (
        "from aiohttp import web\n"
        "async def handler(request):\n"
        f"    return web.Response(text={answer!r})\n"
        "app = web.Application()\n"
        "app.router.add_get('/', handler)\n"
    )
    return labkit.serve(Program(text=text), name=name, isolation="process")


# How each of the ten is served: `serve(name, answer)` serves or replaces `name`, which answers with `answer`
# from then on, also after a restart. The first two are met more often than the others, and a process takes a
# hundred times as long to start as a thread.
MIX: list[Callable[[str, str], Any]] = [
    *[serve_flask, serve_aiohttp] * 4,
    serve_flask_process,
    serve_aiohttp_process,
]


@dataclass
class Caller:
    """Somebody who asked and has no answer yet."""

    raw: Raw
    hangs: bool  # in a fault; otherwise at the door of a service in pause


@dataclass
class Model:
    """What a service must be."""

    name: str
    answer: str = ""
    state: str = "corriendo"
    requests: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.state in ("corriendo", "en pausa")

    def arrive(self) -> str:
        """What a request gets that arrives now: `hang`, `drop`, `error` or `answer`."""
        self.requests += 1
        outcome = next((fault for fault in ("hang", "drop", "error") if fault in self.faults), "answer")
        self.errors += outcome == "error"
        return outcome


class Operations(RuleBasedStateMachine):
    """The ten services and their models, in step."""

    operations = 0

    def __init__(self) -> None:
        super().__init__()
        self.generation = 0
        self.before = threading.active_count(), open_files(), set(psutil.Process().children(recursive=True))
        self.models = [Model(f"op-{number}") for number in range(SERVICES)]
        self.services: list[Any] = [None] * SERVICES

    @initialize()
    def begin(self) -> None:
        for number in range(SERVICES):
            self._serve(number)

    def _serve(self, number: int) -> None:
        self.generation += 1
        model = self.models[number]
        old = self.services[number]
        answer = f"{model.name} {self.generation}"
        service = MIX[number](model.name, answer)
        self._all_are_cut(model)
        self.services[number] = service
        self.models[number] = Model(model.name, answer)
        if old is not None:
            assert service.port == old.port
            assert old.state == ("detenido" if model.running else model.state)

    # operations

    # The first two more often: what one operation leaves behind is met by the next.
    number = st.one_of(st.integers(0, 1), st.integers(0, SERVICES - 1))

    @rule(number=number)
    def start(self, number: int) -> None:
        service, model = self._take(number)
        service.start()
        if not model.running:
            model.state = "corriendo"

    @rule(number=number)
    def stop(self, number: int) -> None:
        service, model = self._take(number)
        service.stop()
        if model.running:
            model.state = "detenido"
        self._all_are_cut(model)

    @rule(number=number)
    def kill(self, number: int) -> None:
        service, model = self._take(number)
        service.kill()
        if model.running:
            model.state = "muerto"
        self._all_are_cut(model)

    @rule(number=number)
    def restart(self, number: int) -> None:
        service, model = self._take(number)
        service.restart()
        model.state = "corriendo"
        self._all_are_cut(model)

    @rule(number=number)
    def replace(self, number: int) -> None:
        self._take(number)
        self._serve(number)

    @rule(number=number, callers=st.integers(0, 2))
    def pause(self, number: int, callers: int) -> None:
        service, model = self._take(number)
        if not model.running:
            with pytest.raises(WrongState, match="no se puede pausar"):
                service.pause()
            return
        service.pause()
        model.state = "en pausa"
        for _ in range(callers):
            self.call(number)

    @rule(number=number)
    def resume(self, number: int) -> None:
        service, model = self._take(number)
        if not model.running:
            with pytest.raises(WrongState, match="no se puede reanudar"):
                service.resume()
            return
        service.resume()
        model.state = "corriendo"
        self._answer_who_can_be(model)

    @rule(number=number, fault=st.sampled_from(["delay", "error", "drop", "hang"]), callers=st.integers(0, 2))
    def inject(self, number: int, fault: str, callers: int) -> None:
        service, model = self._take(number)
        inject = {
            "delay": lambda: service.faults.delay(0.001),
            "error": lambda: service.faults.error(503),
            "drop": service.faults.drop,
            "hang": service.faults.hang,
        }
        inject[fault]()
        model.faults.append(fault)
        for _ in range(callers):
            self.call(number)

    @rule(number=number)
    def clear(self, number: int) -> None:
        service, model = self._take(number)
        service.faults.clear()
        model.faults.clear()
        self._answer_who_can_be(model)

    @rule(number=number)
    def call(self, number: int) -> None:
        service, model = self._take(number)
        if not model.running:
            assert refused(service.port)
            return
        raw = Raw(service)
        raw.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if model.state == "en pausa":
            model.callers.append(Caller(raw, hangs=False))
            self._hears_nothing(raw)
            return
        outcome = model.arrive()
        if outcome == "hang":
            model.callers.append(Caller(raw, hangs=True))
            eventually(lambda: service.journal.counts["requests"] == model.requests)
            self._hears_nothing(raw)
        else:
            self._check(raw, outcome, model)

    # what holds

    @invariant()
    def model_and_services_agree(self) -> None:
        for service, model in zip(self.services, self.models, strict=True):
            if service is None:  # before the first
                return
            assert (service.state, service.running) == (model.state, model.running), model.name
            assert service.journal.counts["requests"] == model.requests, model.name
            assert service.journal.counts["errors"] == model.errors, model.name
            assert len(service.faults) == len(model.faults)
            assert labkit.services()[model.name] is service

    def _take(self, number: int) -> tuple[Any, Model]:
        type(self).operations += 1
        return self.services[number], self.models[number]

    def _hears_nothing(self, raw: Raw) -> None:
        raw.socket.settimeout(0.005)
        with pytest.raises(TimeoutError):
            raw.socket.recv(1)
        raw.socket.settimeout(PATIENCE)

    def _check(self, raw: Raw, outcome: str, model: Model) -> None:
        """The answer, to the last byte."""
        with raw:
            head, _, body = raw.read_to_end().decode().partition("\r\n\r\n")
        got = (head.split(" ")[1], body) if head else ("nothing", "")
        expected = {
            "drop": ("nothing", ""),
            "error": ("503", "503 Service Unavailable"),
            "answer": ("200", model.answer),
        }
        assert got == expected[outcome], model.name

    def _answer_who_can_be(self, model: Model) -> None:
        """After a resume, or when faults were cleared: who hung is answered, who waited arrives."""
        if model.state != "corriendo":
            return
        waiting, model.callers = model.callers, []
        for caller in waiting:
            outcome = ("hang" if "hang" in model.faults else "answer") if caller.hangs else model.arrive()
            if outcome == "hang":
                model.callers.append(Caller(caller.raw, hangs=True))
            else:
                self._check(caller.raw, outcome, model)
        service = self.services[self.models.index(model)]
        eventually(lambda: service.journal.counts["requests"] == model.requests)

    def _all_are_cut(self, model: Model) -> None:
        for caller in model.callers:
            with caller.raw:
                assert caller.raw.read_to_end() == b"", model.name
        model.callers.clear()

    def teardown(self) -> None:
        labkit.stop_all()
        for service, model in zip(self.services, self.models, strict=True):
            if service is not None:
                self._all_are_cut(model)
                assert refused(service.port)
                service.faults.clear()
        threads, files, processes = self.before
        eventually(lambda: threading.active_count() <= threads)
        eventually(lambda: open_files() <= files)
        eventually(lambda: set(psutil.Process().children(recursive=True)) <= processes)


@pytest.mark.parametrize(
    ("operations", "number"), [(100, 0), *(soak(1_000, number) for number in range(1, 6))]
)
def test_operations_at_random_and_model_and_services_agree(operations: int, number: int) -> None:
    machine = type("Machine", (Operations,), {})  # with a count of its own
    for serve in dict.fromkeys(MIX):  # what is imported and cached with the first
        with serve("op-first", "hola") as service:
            assert get(service.url).text == "hola"
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=operations // STEPS + 2,
            stateful_step_count=STEPS,
            phases=[Phase.generate],  # a failure is told as it was met: shrinking it would take minutes
            suppress_health_check=list(HealthCheck),
            deadline=None,
            database=None,
        ),
    )
    assert machine.operations >= operations
