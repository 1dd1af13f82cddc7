"""Our services and services instrumented with OpenTelemetry call each other: one trace, no orphan.

OpenTelemetry's run in a process of their own, with the instrumentations that anybody would install.
"""

import asyncio
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
import requests
from aiohttp import web
from flask import Flask, request

import labkit
from labkit.patterns.tracing import (
    Tracer,
    TracingAdapter,
    TracingMiddleware,
    always_off,
    set_baggage,
    trace_config,
    tracing_middleware,
)

SCRIPT = Path(__file__).with_name("otel_services.py")


@contextmanager
def process(kind):
    child = subprocess.Popen([sys.executable, SCRIPT, kind], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.terminate()
        child.wait(20)
        child.stdout.close()


@pytest.fixture(scope="module", params=["flask", "aiohttp"])
def theirs(request):
    with process(request.param) as url:
        yield url


def our_flask(tracer):
    app = Flask("nuestra")
    session = requests.Session()
    session.mount("http://", TracingAdapter(tracer))
    app.add_url_rule("/ask", "/ask", lambda: session.get(request.args["url"], timeout=20).text)
    app.add_url_rule("/end", "/end", lambda: dict(request.headers))
    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)
    return app


def our_aiohttp(tracer):
    async def ask(request):
        config = trace_config(tracer)
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            async with session.get(request.query["url"]) as answer:
                return web.Response(text=await answer.text())

    async def end(request):
        return web.json_response(dict(request.headers))

    app = web.Application(middlewares=[tracing_middleware(tracer)])
    app.add_routes([web.get("/ask", ask), web.get("/end", end)])
    return app


class Mixed:
    """ours → theirs → ours → theirs → ours: each direction twice."""

    def __init__(self, ours, theirs, stack, **kwargs):
        self.spans = []
        make = our_flask if ours == "flask" else our_aiohttp
        self.theirs = theirs
        self.tracer = Tracer("cliente", self.spans.append, **kwargs)
        self.urls = [
            stack.enter_context(labkit.serve(make(Tracer(name, self.spans.append)), name=name)).url
            for name in ("uno", "dos")
        ]

    def chain(self):
        one, two = self.urls
        url = f"{two}/end"
        for through in (self.theirs, two, self.theirs, one):
            url = f"{through}/ask?url={quote(url, safe='')}"
        return url

    def traced(self, trace_id):
        """Pairs (span id, parent id) of one trace, of ours and of theirs."""
        ours = [(s.context.span_id, s.parent_id) for s in self.spans if s.context.trace_id == trace_id]
        told = requests.get(f"{self.theirs}/spans", timeout=20).json()
        theirs = [
            (s["context"]["span_id"][2:], s["parent_id"] and s["parent_id"][2:])
            for s in told
            if s["context"]["trace_id"][2:] == trace_id
        ]
        return ours, theirs


@pytest.fixture(params=["flask", "aiohttp"])
def ours(request):
    return request.param


def test_a_chain_through_both_is_one_trace_without_an_orphan(ours, theirs, request):
    with ExitStack() as stack:
        mixed = Mixed(ours, theirs, stack)
        with mixed.tracer.span("comprar") as root, set_baggage(cliente="oro"):
            session = requests.Session()
            session.mount("http://", TracingAdapter(mixed.tracer))
            last = session.get(mixed.chain(), timeout=20).json()
        # comprar, the call; one: server, client; theirs: the same; two: the same; theirs; two: server
        labkit.eventually(lambda: [len(each) for each in mixed.traced(root.context.trace_id)] == [7, 4], 20)
        found_ours, found_theirs = mixed.traced(root.context.trace_id)
    everything = dict(found_ours + found_theirs)
    assert len(everything) == 11
    assert [span for span, parent in everything.items() if parent is None] == [root.context.span_id]
    assert all(parent in everything for parent in everything.values() if parent is not None)
    # A chain: each is the parent of one other, alternating as the requests went.
    assert sorted(parent for parent in everything.values() if parent) == sorted(
        everything.keys() - leaf(everything)
    )
    headers = {name.lower(): value for name, value in last.items()}
    if request.node.callspec.params["theirs"] == "flask":
        assert headers["baggage"] == "cliente=oro"  # OpenTelemetry's aiohttp server (0.66) lets it fall
    assert headers["traceparent"].split("-")[1] == root.context.trace_id


def leaf(parents):
    return parents.keys() - set(parents.values())


def test_a_trace_that_begins_with_them_goes_on_with_ours(ours, theirs):
    with ExitStack() as stack:
        mixed = Mixed(ours, theirs, stack)
        url = f"{theirs}/ask?url={quote(mixed.urls[0] + '/end', safe='')}"
        sent = requests.get(url, timeout=20).json()
        trace_id = {name.lower(): value for name, value in sent.items()}["traceparent"].split("-")[1]
        labkit.eventually(lambda: [len(each) for each in mixed.traced(trace_id)] == [1, 2], 20)
        [(_, parent)], found = mixed.traced(trace_id)
    assert parent in dict(found)
    assert list(dict(found).values()).count(None) == 1


def test_what_ours_does_not_sample_theirs_does_not_either(ours, theirs):
    with ExitStack() as stack:
        mixed = Mixed(ours, theirs, stack, sampler=always_off)
        with mixed.tracer.span("comprar") as root:
            session = requests.Session()
            session.mount("http://", TracingAdapter(mixed.tracer))
            last = session.get(mixed.chain(), timeout=20).json()
    headers = {name.lower(): value for name, value in last.items()}
    assert headers["traceparent"].split("-")[1] == root.context.trace_id
    assert int(headers["traceparent"][-2:], 16) & 1 == 0
    assert mixed.traced(root.context.trace_id) == ([], [])


def test_a_tracestate_of_ours_survives_their_services(theirs):
    spans = []
    tracer = Tracer("cliente", spans.append, vendor="tienda")
    with ExitStack() as stack:
        mixed = Mixed("aiohttp", theirs, stack)

        async def main():
            config = trace_config(tracer)
            async with (
                aiohttp.ClientSession(trace_configs=[config]) as session,
                session.get(mixed.chain()) as a,
            ):
                return await a.json(content_type=None)

        headers = {name.lower(): value for name, value in asyncio.run(main()).items()}
    assert headers["tracestate"] == f"tienda={spans[0].context.span_id}"
