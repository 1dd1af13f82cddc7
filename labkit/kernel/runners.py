"""Replacements in a cell for Flask.run, run_simple and aiohttp.web.run_app.

Each takes the arguments of the original, serves in the background through labkit and returns the
Service. What has no meaning there (reloader, debugger, threads, signals, access log) is accepted and
ignored; what would change how requests are answered is ignored with a line that says so; what would change
what the service is (TLS, another kind of socket) is refused, and so is a misspelt option.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from labkit import display, sockets
from labkit import messages as words
from labkit.errors import LabkitError, NotRestartable, PortInUse
from labkit.kernel import messages
from labkit.roster import ROSTER, serve
from labkit.servers import recognise

if TYPE_CHECKING:
    import aiohttp.web
    import flask

    from labkit.service import Service

FLASK_PORT = 5000
AIOHTTP_PORT = 8080


class OnlyPlainHttp(LabkitError, ValueError):
    """The request is for something else than plain HTTP on one address: TLS, a Unix socket, several hosts."""


def flask_run(
    app: flask.Flask,
    host: str | None = None,
    port: int | None = None,
    debug: bool | None = None,
    load_dotenv: bool = True,
    **options: Any,
) -> Service:
    """Serve a Flask app in the background, on the address that `Flask.run` would choose.

    As there, `port` wins over SERVER_NAME, which wins over 5000. `debug=True` sets `app.debug` and starts
    neither the reloader nor the debugger's console.
    """
    from flask import cli, helpers

    if helpers.get_load_dotenv(load_dotenv):
        cli.load_dotenv()
        if "FLASK_DEBUG" in os.environ:
            app.debug = helpers.get_debug_flag()
    if debug is not None:
        app.debug = bool(debug)
    server_host, _, server_port = (app.config.get("SERVER_NAME") or "").partition(":")
    if port is None:
        port = int(server_port or FLASK_PORT)
    return run_simple(host or server_host or "127.0.0.1", port, app, **options)


def run_simple(
    hostname: str,
    port: int,
    application: Any,
    use_reloader: bool = False,
    use_debugger: bool = False,
    use_evalex: bool = True,
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    reloader_interval: int = 1,
    reloader_type: str = "auto",
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[Any] | None = None,
    static_files: dict[str, str | tuple[str, str]] | None = None,
    passthrough_errors: bool = False,
    ssl_context: Any = None,
) -> Service:
    """Serve any WSGI application in the background, in the place of `werkzeug.run_simple`."""
    import flask
    from werkzeug.middleware.shared_data import SharedDataMiddleware

    if ssl_context is not None:
        _refuse("ssl_context", messages.INSTEAD_OF_TLS)
    _say_ignored(request_handler=request_handler, processes=None if processes == 1 else processes)
    kind = "flask" if isinstance(application, flask.Flask) else "wsgi"
    if static_files:
        application = SharedDataMiddleware(application, static_files)
    return _serve(application, kind, hostname, port)


def run_app(
    app: aiohttp.web.Application | Coroutine[Any, Any, aiohttp.web.Application],
    *,
    host: str | Iterable[str] | None = None,
    port: int | None = None,
    path: Any = None,
    sock: Any = None,
    ssl_context: Any = None,
    handler_cancellation: bool = False,
    **ignored: Any,
) -> Service:
    """Serve an aiohttp application, or what the coroutine makes, in the background.

    Unlike the original, it listens on 127.0.0.1 where no `host` is given, not on every address.
    """
    import aiohttp.web

    try:
        refuse_unknown(aiohttp.web.run_app, ignored)
        if ssl_context is not None:
            _refuse("ssl_context", messages.INSTEAD_OF_TLS)
        if path is not None:
            _refuse("path", messages.INSTEAD_OF_SOCKETS)
        if sock is not None:
            _refuse("sock", messages.INSTEAD_OF_SOCKETS)
        _say_ignored(**{name: ignored.get(name) for name in ("shutdown_timeout", "keepalive_timeout")})
        if handler_cancellation:
            from labkit.servers.aio import cancelling_handlers

            app = cancelling_handlers(app)
        return _serve(app, "aiohttp", _one_host(host), AIOHTTP_PORT if port is None else port)
    except BaseException:
        if asyncio.iscoroutine(app):
            app.close()  # else Python warns, later and elsewhere, that it was never awaited
        raise


def stop_services() -> list[str]:
    """Stop every service of the kernel and return the names of those that were running."""
    running = [service.name for service in ROSTER.services() if service.running]
    ROSTER.stop_all()
    return running


def _serve(app: Any, kind: str, host: str, port: Any) -> Service:
    """Serve `app` on that port, in the place of the labkit service that holds it, and say so."""
    # PORT=8000 in the environment is text, and Flask takes it.
    port = int(port) if isinstance(port, str) and port.isdecimal() else port
    host = _address(host)
    name = f"{kind}-{port}" if port else kind
    earlier = ROSTER.by_port(port) if port else None
    # What cannot be served must not cost the service that is there.
    recipe = recognise(app)
    if not recipe.can_repeat:
        if earlier is not None and earlier._recipe.given is app and earlier.host == host:
            print(messages.ALREADY_ANSWERS.format(name=earlier.name, url=earlier.url))
            return earlier
        raise NotRestartable(messages.APP_USED)
    if earlier is not None and earlier.name != name:
        earlier.stop()
    taken = _taken_by(host, port) if earlier is None and port else None
    service: Service = serve(app, name=name, port=0 if taken else port, host=host)
    link = display.link(service)
    line = messages.ANSWERS.format(name=name, url=service.url)
    if not link.startswith(service.url):  # JupyterHub, Binder: the browser is on another machine
        line = messages.ANSWERS_BEHIND_PROXY.format(name=name, link=link, url=service.url)
    if taken:
        line = messages.PORT_TAKEN.format(port=port, owner=taken, line=line)
    if earlier is not None:
        line += messages.REPLACES.format(earlier=earlier.name)
    if host in ("0.0.0.0", "::"):
        line += messages.ALL_ADDRESSES.format(host=host)
    print(line)
    return service


def _taken_by(host: str, port: int) -> str | None:
    """Return who holds the port, in words; on a machine that many use, that is everyday and no error."""
    try:
        sockets.listen(host, port).close()
    except PortInUse as error:
        return error.owner or words.UNKNOWN_OWNER
    return None


def refuse_unknown(original: Any, options: dict[str, Any]) -> None:
    """Raise TypeError for an option that the original does not have, as the original would."""
    known = inspect.signature(original).parameters
    for name in options:
        if name not in known:
            raise TypeError(f"{original.__name__}() got an unexpected keyword argument {name!r}")


def _say_ignored(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        print(messages.IGNORED.format(options=", ".join(given)))


def _address(host: str) -> str:
    if host.startswith("unix://"):
        _refuse("host", messages.INSTEAD_OF_SOCKETS)
    # On some systems `localhost` is ::1 first; the course's services stay on one address.
    return "127.0.0.1" if host == "localhost" else host


def _one_host(host: str | Iterable[str] | None) -> str:
    if host is None:
        return "127.0.0.1"
    if isinstance(host, str):
        return _address(host)
    addresses = {_address(each) for each in host}
    if len(addresses) != 1:
        raise OnlyPlainHttp(messages.ONE_HOST.format(hosts=sorted(addresses)))
    return addresses.pop()


def _refuse(option: str, instead: str) -> None:
    raise OnlyPlainHttp(messages.ONLY_HTTP.format(option=option, instead=instead))
