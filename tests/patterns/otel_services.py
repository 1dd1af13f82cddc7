"""Run as a process: a service instrumented with OpenTelemetry's own packages. Its spans are at /spans.

    python otel_services.py flask|aiohttp

`GET /ask?url=…` calls that address. The first line printed is the port.
"""

import json
import socket
import sys

from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

KIND = sys.argv[1]
memory = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": f"otel-{KIND}"}))
provider.add_span_processor(SimpleSpanProcessor(memory))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def spans():
    return [json.loads(span.to_json()) for span in memory.get_finished_spans()]


if KIND == "flask":
    import requests
    from flask import Flask, request
    from werkzeug.serving import make_server

    app = Flask("otel")
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider, excluded_urls="spans")
    RequestsInstrumentor().instrument(tracer_provider=provider)
    app.add_url_rule("/ask", "/ask", lambda: requests.get(request.args["url"], timeout=20).text)
    app.get("/spans")(spans)
    make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno()).serve_forever()
else:
    AioHttpServerInstrumentor().instrument(tracer_provider=provider)
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    import aiohttp
    from aiohttp import web

    async def ask(request):
        async with aiohttp.ClientSession() as session, session.get(request.query["url"]) as answer:
            return web.Response(text=await answer.text())

    async def told(request):
        return web.json_response([span for span in spans() if "/spans" not in str(span["attributes"])])

    application = web.Application()
    application.router.add_get("/ask", ask)
    application.router.add_get("/spans", told)
    web.run_app(application, sock=listener, print=None)
