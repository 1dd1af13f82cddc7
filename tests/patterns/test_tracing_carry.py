"""The context across threads, executors and tasks: who keeps it, who loses it, a hundred requests at once."""

import asyncio
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import aiohttp
import pytest
import requests
from aiohttp import web
from flask import Flask, request

import labkit
from labkit.patterns.tracing import (
    Tracer,
    TracingAdapter,
    TracingExecutor,
    TracingMiddleware,
    carry,
    current_span,
    get_baggage,
    orphans,
    set_baggage,
    trace_config,
    tracing_middleware,
)

RUNS = 100
LANES = 8  # requests at a time


def seen():
    """The current span, as the code that is asked sees it."""
    return current_span()


async def aseen():
    return current_span()


def in_thread(target):
    found = []
    thread = threading.Thread(target=lambda: found.append(target()))
    thread.start()
    thread.join()
    return found[0]


def in_pool(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


async def in_executor(function):
    return await asyncio.get_running_loop().run_in_executor(None, function)


async def threadsafe():
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(aseen(), loop).result())


async def called_soon():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: future.set_result(current_span()))
    return await future


async def gathered():
    return (await asyncio.gather(aseen(), aseen()))[1]


KEEPS = {
    "await": aseen,
    "create_task": lambda: asyncio.create_task(aseen()),
    "gather": gathered,
    "to_thread": lambda: asyncio.to_thread(seen),
    "call_soon": called_soon,
    "run_coroutine_threadsafe": threadsafe,
    "run_in_executor, carried": lambda: in_executor(carry(seen)),
}
LOSES = {"run_in_executor": lambda: in_executor(seen)}


@pytest.mark.parametrize("way", KEEPS.values(), ids=KEEPS)
def test_what_keeps_the_span(way):
    async def main():
        with Tracer("a", print, sampler=lambda *_: False).span("x") as span:
            assert await way() is span

    asyncio.run(main())


@pytest.mark.parametrize("way", LOSES.values(), ids=LOSES)
def test_what_loses_it(way):
    async def main():
        with Tracer("a", print, sampler=lambda *_: False).span("x"):
            assert await way() is None

    asyncio.run(main())


def test_threads_and_pools_lose_it_and_carry_keeps_it():
    with Tracer("a", lambda span: None).span("x") as span:
        inherits = getattr(sys.flags, "thread_inherit_context", False)  # free-threaded Python 3.14
        assert in_thread(seen) is (span if inherits else None)
        assert in_pool(seen) is None or inherits
        assert in_thread(carry(seen)) is span
        assert in_pool(carry(seen)) is span


def test_carry_takes_the_context_of_the_moment_and_brings_baggage_and_other_variables_along():
    colour = contextvars.ContextVar("colour", default="none")
    tracer = Tracer("a", lambda span: None)
    with tracer.span("x") as span, set_baggage(cliente="oro"):
        colour.set("azul")
        carried = carry(lambda: (current_span(), get_baggage(), colour.get()))
    with tracer.span("otra"):
        assert in_thread(carried) == (span, {"cliente": "oro"}, "azul")


def test_one_carried_function_runs_in_many_threads_at_a_time():
    together = threading.Barrier(4)

    def work(_):
        together.wait(20)  # `Context.run` refuses a second thread: each call needs a copy
        return current_span()

    with Tracer("a", lambda span: None).span("x") as span, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(carry(work), range(4))) == [span] * 4


def test_carry_leaves_name_result_and_exception_as_they_are():
    def divide(a, *, by):
        """Divide."""
        return a / by

    assert carry(divide)(6, by=3) == 2
    assert (carry(divide).__name__, carry(divide).__doc__) == ("divide", "Divide.")
    with pytest.raises(ZeroDivisionError):
        carry(divide)(1, by=0)
    with pytest.raises(TypeError, match="function vale 7"):
        carry(7)


def test_a_tracing_executor_runs_each_task_in_the_context_of_who_submitted_it():
    tracer = Tracer("a", lambda span: None)
    with TracingExecutor(2) as pool:
        with tracer.span("x") as one:
            first = pool.submit(seen)
            mapped = pool.map(lambda _: current_span(), range(3))
        with tracer.span("y") as other:
            second = pool.submit(seen)
        outside = pool.submit(seen)
        assert (first.result(), second.result(), outside.result()) == (one, other, None)
        assert list(mapped) == [one] * 3


def test_a_thread_of_the_pool_keeps_nothing_of_the_task_before():
    with TracingExecutor(1) as pool:
        with Tracer("a", lambda span: None).span("x") as span:
            assert pool.submit(seen).result() is span
        assert pool.submit(seen).result() is None


# A hundred requests, eight at a time, each across threads, executors, tasks and three services


def leaf(tracer):
    app = Flask("hoja")
    app.get("/<name>")(lambda name: name)
    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)
    return app


def threads_service(tracer, leaf_url, stack):
    """Asks the leaf by a thread, by an executor's `submit`, and by its `map`."""
    session = requests.Session()
    session.mount("http://", TracingAdapter(tracer, pool_maxsize=LANES * 6))
    pool = stack.enter_context(TracingExecutor(3))
    app = Flask("hilos")

    def ask(name):
        with tracer.span(f"trabajo {name}"):
            return session.get(f"{leaf_url}/{name}").text

    @app.get("/<run>")
    def handle(run):
        thread = threading.Thread(target=carry(ask), args=(f"{run}-hilo",))
        thread.start()
        submitted = pool.submit(ask, f"{run}-submit")
        mapped = list(pool.map(ask, [f"{run}-map"]))
        thread.join()
        return [submitted.result(), *mapped, request.path]

    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)
    return app


def tasks_service(tracer, next_url):
    """Asks the service of threads by tasks, by `to_thread` and by an executor."""
    app = web.Application(middlewares=[tracing_middleware(tracer)])
    key = web.AppKey("session", aiohttp.ClientSession)

    async def session_of(app):
        async with aiohttp.ClientSession(trace_configs=[trace_config(tracer)]) as app[key]:
            yield

    async def handle(request):
        run = request.match_info["run"]

        async def ask(name):
            with tracer.span(f"trabajo {name}"):
                async with app[key].get(f"{next_url}/{name}") as answer:
                    assert answer.status == 200

        def note(name):
            with tracer.span(f"trabajo {name}"):
                pass

        loop = asyncio.get_running_loop()
        await asyncio.gather(
            ask(f"{run}-gather"),
            asyncio.create_task(ask(f"{run}-task")),
            asyncio.to_thread(note, f"{run}-to_thread"),
            loop.run_in_executor(None, carry(note), f"{run}-executor"),
        )
        return web.Response(text="ok")

    app.router.add_get("/{run}", handle)
    app.cleanup_ctx.append(session_of)
    return app


def test_a_hundred_requests_at_once_and_every_span_is_under_its_own_parent():
    spans = []
    tracers = {name: Tracer(name, spans.append) for name in ("cliente", "tareas", "hilos", "hoja")}
    with ExitStack() as stack:
        bottom = stack.enter_context(labkit.serve(leaf(tracers["hoja"]), name="hoja"))
        middle = stack.enter_context(
            labkit.serve(threads_service(tracers["hilos"], bottom.url, stack), name="hilos")
        )
        top = stack.enter_context(labkit.serve(tasks_service(tracers["tareas"], middle.url), name="tareas"))
        session = requests.Session()
        session.mount("http://", TracingAdapter(tracers["cliente"]))

        def ask(run):
            with tracers["cliente"].span(f"petición {run}"):
                assert session.get(f"{top.url}/{run}").status_code == 200

        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(ask, range(RUNS)))
    # The services have stopped: what a server does after its client has the answer is done.
    assert orphans(spans) == []
    traces = {}
    for span in spans:
        traces.setdefault(span.context.trace_id, []).append(span)
    assert len(traces) == RUNS
    for trace in traces.values():
        check(trace)


def check(trace):
    """Each span of one request is below the one that asked for it, by name."""
    by_id = {span.context.span_id: span for span in trace}
    [root] = [span for span in trace if span.parent_id is None]
    run = root.name.removeprefix("petición ")

    def path(span):
        label = span.attributes.get("url.path") or span.attributes.get("url.full", "/").rsplit("/", 1)[-1]
        label = label.strip("/") or span.name
        above = by_id.get(span.parent_id or "")
        return [*(path(above) if above else []), f"{span.service}:{span.kind[0]}:{label}"]

    found = sorted(" ".join(path(span)) for span in trace)
    expected = [
        base := f"cliente:i:petición {run}",
        called := f"{base} cliente:c:{run}",
        served := f"{called} tareas:s:{run}",
        f"{served} tareas:i:trabajo {run}-to_thread",
        f"{served} tareas:i:trabajo {run}-executor",
    ]
    for task in (f"{run}-gather", f"{run}-task"):
        expected += [
            work := f"{served} tareas:i:trabajo {task}",
            call := f"{work} tareas:c:{task}",
            answer := f"{call} hilos:s:{task}",
        ]
        for thread in (f"{task}-hilo", f"{task}-submit", f"{task}-map"):
            expected += [
                own := f"{answer} hilos:i:trabajo {thread}",
                out := f"{own} hilos:c:{thread}",
                f"{out} hoja:s:{thread}",
            ]
    assert found == sorted(expected)
