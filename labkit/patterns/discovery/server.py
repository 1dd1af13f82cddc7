"""The registry over HTTP, as a Flask application.

    GET    /services                          every service and how many instances are available
    GET    /services/NAME                     its available instances and the index
    GET    /services/NAME?index=N&wait=S      the same, once the index is no longer N, or after S seconds
    POST   /services/NAME                     register; the registry makes up the id: 201 and Location
    PUT    /services/NAME/ID                  register with an id of one's own: 201, or 200 when it was there
    GET    /services/NAME/ID                  one instance
    PUT    /services/NAME/ID/lease            renew: the heartbeat; 404: register again
    PUT    /services/NAME/ID/status           {"status": "DRAINING"}
    DELETE /services/NAME/ID                  deregister
    GET    /health                            the registry itself
    /eureka/apps/…                            Eureka's REST operations

Every error is JSON, {"error": "…"}: 400 for what cannot be accepted, 404 for an instance it does not know. A
service without instances is an empty list: callers may ask, and watch, before the first one is there. No GET
takes a turn: balancing is the client's work, since GET is safe (RFC 9110, section 9.2.1) and may be repeated.
Whoever reaches the port may register: like Consul and Eureka as they come, it belongs on a private network.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, jsonify, request, url_for
from werkzeug.exceptions import HTTPException

from labkit.patterns._given import InvalidInput
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import UnknownInstance
from labkit.patterns.discovery.eureka import eureka_blueprint
from labkit.patterns.discovery.registry import Registry
from labkit.patterns.discovery.wire import UNKNOWN_INSTANCE, instance_to_json, snapshot_to_json

N = TypeVar("N", int, float)

# A thread of the server waits with each watch: none may wait for ever. Consul allows ten minutes.
MAX_WAIT = 60.0
DEFAULT_WAIT = 30.0
MAX_BODY = 64 * 1024

_REGISTRATION_FIELDS = {"url", "status", "metadata", "ttl"}


def registry_app(registry: Registry) -> Flask:
    """Return the application that serves `registry`; it starts no thread and evicts nobody."""
    app = Flask("registro")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_blueprint(eureka_blueprint(registry), url_prefix="/eureka")

    @app.get("/services")
    def services() -> dict[str, Any]:
        found = registry.services()
        return {
            "index": registry.index(),
            "self_preservation": registry.self_preservation,
            "services": {
                service: {
                    "available": sum(instance.available for instance in instances),
                    "registered": len(instances),
                }
                for service, instances in found.items()
            },
        }

    @app.get("/services/<service>")
    def look_up(service: str) -> dict[str, Any]:
        wait = _number("wait", float, DEFAULT_WAIT)
        if wait > MAX_WAIT:
            raise InvalidInput(messages.LONG_WAIT.format(given=wait, limit=int(MAX_WAIT)))
        # From 0, when none is given, a watch answers at once.
        return snapshot_to_json(registry.watch(service, _number("index", int, 0), wait))

    @app.post("/services/<service>")
    def register(service: str) -> tuple[Response, int, dict[str, str]]:
        instance = registry.register(service, **_registration())
        location = url_for("get_instance", service=instance.service, instance_id=instance.id)
        return jsonify(instance_to_json(instance)), 201, {"Location": location}

    @app.put("/services/<service>/<instance_id>")
    def register_with_id(service: str, instance_id: str) -> tuple[dict[str, Any], int]:
        fields = _registration()
        try:
            registry.get(service, instance_id)
            status = 200
        except UnknownInstance:
            status = 201
        instance = registry.register(service, instance_id=instance_id, **fields)
        return instance_to_json(instance), status

    @app.get("/services/<service>/<instance_id>")
    def get_instance(service: str, instance_id: str) -> dict[str, Any]:
        return instance_to_json(registry.get(service, instance_id))

    @app.put("/services/<service>/<instance_id>/lease")
    def renew(service: str, instance_id: str) -> dict[str, Any]:
        return instance_to_json(registry.renew(service, instance_id))

    @app.put("/services/<service>/<instance_id>/status")
    def set_status(service: str, instance_id: str) -> dict[str, Any]:
        fields = _json_object({"status"}, example='{"status": "DRAINING"}', required="status")
        return instance_to_json(registry.set_status(service, instance_id, fields["status"]))

    @app.delete("/services/<service>/<instance_id>")
    def deregister(service: str, instance_id: str) -> dict[str, Any]:
        return instance_to_json(registry.deregister(service, instance_id))

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "UP"}

    @app.errorhandler(InvalidInput)
    def refused(error: InvalidInput) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 400

    @app.errorhandler(UnknownInstance)
    def unknown(error: UnknownInstance) -> tuple[dict[str, str], int]:
        # The code tells a client that the registry lost its instance from a 404 for a wrong URL.
        return {"error": str(error), "code": UNKNOWN_INSTANCE}, 404

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error  # a redirect
        return {"error": error.description}, error.code

    return app


def _registration() -> dict[str, Any]:
    return _json_object(_REGISTRATION_FIELDS, example='{"url": "http://127.0.0.1:5001"}', required="url")


def _json_object(accepted: set[str], *, example: str, required: str) -> dict[str, Any]:
    # Asked for by its content type: a page elsewhere can post a form or text from a browser, but not this.
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise InvalidInput(messages.NOT_AN_OBJECT.format(example=example))
    unknown = sorted(set(body) - accepted)
    if unknown:
        names = ", ".join(f"«{name}»" for name in unknown)
        raise InvalidInput(messages.UNKNOWN_FIELD.format(given=names, accepted=", ".join(sorted(accepted))))
    if required not in body:
        raise InvalidInput(messages.MISSING_FIELD.format(name=required))
    return body


def _number(name: str, kind: Callable[[str], N], default: N) -> N:
    given = request.args.get(name)
    try:
        return default if given is None else kind(given)
    except ValueError:
        raise InvalidInput(messages.BAD_NUMBER.format(name=name, given=given)) from None
