"""The part of Eureka's REST API that `py-eureka-client` uses, on the same registry.

A service that speaks Eureka and one that speaks our own API find each other: applications are services (their
names are told in capitals here), leases are leases, and OUT_OF_SERVICE, which Eureka has in place of
DRAINING, is translated both ways. What Eureka knows of an instance beyond a URL (host name, virtual address,
data centre…) is kept as it came and given back.

Registration comes as JSON and look-ups answer in XML: those are the forms that client sends and reads.
A delta holds the changes of the last three minutes, and `apps__hashcode` counts instances by status; a client
whose merged copy gives another hash reads everything anew, so a change lost from the delta costs a fetch and
no error.
Source: Netflix/eureka wiki, "Eureka REST operations"; `AbstractInstanceRegistry` for delta and hash code.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from flask import Blueprint, Response, request

from labkit.patterns._given import InvalidInput, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import UnknownInstance
from labkit.patterns.discovery.instance import METADATA_LENGTH, METADATA_LIMIT, Instance, Status
from labkit.patterns.discovery.registry import Registry

DELTA_AGE = 180.0
_DEFAULT_DURATION = 90

_OTHER_CLASS = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
# Texts kept as they came. What is missing is made from the URL when somebody asks.
_TEXTS = (
    "hostName",
    "ipAddr",
    "homePageUrl",
    "statusPageUrl",
    "healthCheckUrl",
    "secureHealthCheckUrl",
    "vipAddress",
    "secureVipAddress",
    "appGroupName",
    "asgName",
    "isCoordinatingDiscoveryServer",
)
# Its clients read these as integers.
_NUMBERS = ("countryId", "lastUpdatedTimestamp", "lastDirtyTimestamp")


def eureka_blueprint(registry: Registry) -> Blueprint:
    """Return Eureka's operations on `registry`, to be mounted under /eureka."""
    eureka = Blueprint("eureka", __name__)

    @eureka.post("/apps/<app>")
    def register(app: str) -> tuple[str, int]:
        body = request.get_json(force=True, silent=True)
        data = body.get("instance") if isinstance(body, dict) else None
        if not isinstance(data, dict):
            raise InvalidInput(messages.EUREKA_NO_INSTANCE)
        _register(registry, app, data)
        return "", 204

    @eureka.put("/apps/<app>/<instance_id>")
    def heartbeat(app: str, instance_id: str) -> str:
        registry.renew(app, instance_id)
        return ""

    @eureka.delete("/apps/<app>/<instance_id>")
    def cancel(app: str, instance_id: str) -> str:
        registry.deregister(app, instance_id)
        return ""

    @eureka.put("/apps/<app>/<instance_id>/status")
    def status_update(app: str, instance_id: str) -> str:
        registry.override_status(app, instance_id, _status_from(request.args.get("value", "")))
        return ""

    @eureka.delete("/apps/<app>/<instance_id>/status")
    def delete_status_override(app: str, instance_id: str) -> str:
        # `value`: what to take for the instance's own word until it speaks again (Eureka's newStatusValue).
        value = request.args.get("value", "UNKNOWN")
        if value != "UNKNOWN":
            registry.set_status(app, instance_id, _status_from(value))
        registry.override_status(app, instance_id, None)
        return ""

    @eureka.get("/apps", strict_slashes=False)
    @eureka.get("/apps/", strict_slashes=False)
    def applications() -> Response:
        return _xml(_applications(registry, _everyone(registry)))

    @eureka.get("/apps/delta")
    def delta() -> Response:
        latest = {
            (change.instance.service, change.instance.id): change
            for change in registry.changes(max_age=DELTA_AGE)
        }
        changed = [(change.instance, change.action) for change in latest.values()]
        return _xml(_applications(registry, changed))

    @eureka.get("/apps/<app>")
    def application(app: str) -> Response:
        instances = registry.instances(app, any_status=True)
        if not instances:
            raise UnknownInstance(messages.NO_INSTANCES.format(service=app, known=0))
        return _xml(_application(registry, app, [(instance, "ADDED") for instance in instances]))

    @eureka.get("/apps/<app>/<instance_id>")
    def app_instance(app: str, instance_id: str) -> Response:
        return _xml(_instance(registry, registry.get(app, instance_id), "ADDED"))

    @eureka.get("/instances/<instance_id>")
    def instance(instance_id: str) -> Response:
        for found, action in _everyone(registry):
            if found.id == instance_id:
                return _xml(_instance(registry, found, action))
        raise UnknownInstance(messages.UNKNOWN_INSTANCE.format(service="*", instance_id=instance_id))

    @eureka.get("/vips/<address>")
    def vip(address: str) -> Response:
        return _xml(_applications(registry, _with_address(registry, "vipAddress", address)))

    @eureka.get("/svips/<address>")
    def secure_vip(address: str) -> Response:
        return _xml(_applications(registry, _with_address(registry, "secureVipAddress", address)))

    return eureka


# From Eureka


def _register(registry: Registry, app: str, data: Mapping[str, Any]) -> None:
    name = data.get("app", app)
    if not isinstance(name, str) or name.lower() != app.lower():
        raise InvalidInput(messages.EUREKA_OTHER_APP.format(path=app, body=name))
    extra: dict[str, Any] = {key: str(data[key]) for key in _TEXTS if _is_text(data.get(key))}
    extra |= {key: str(data[key]) for key in _NUMBERS if str(data.get(key, "")).isdecimal()}
    port, secure_port = _port(data.get("port")), _port(data.get("securePort"))
    extra["port"], extra["securePort"] = port, secure_port
    center = data.get("dataCenterInfo")
    if isinstance(center, dict) and isinstance(center.get("name"), str):
        extra["dataCenterInfo"] = (str(center.get("@class", _OTHER_CLASS)), center["name"])
    # The address rather than the name: it needs nobody to resolve it.
    host = extra.get("ipAddr") or extra.get("hostName") or ""
    secure = not port[1] and secure_port[1]
    url = f"https://{host}:{secure_port[0]}" if secure else f"http://{host}:{port[0]}"
    lease = data.get("leaseInfo") or {}
    duration = lease.get("durationInSecs", _DEFAULT_DURATION) if isinstance(lease, dict) else None
    metadata = data.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidInput(
            messages.BAD_METADATA.format(given=metadata, limit=METADATA_LIMIT, length=METADATA_LENGTH)
        )
    # Java's clients say what kind of map it is.
    texts = {key: str(value) for key, value in metadata.items() if not str(key).startswith("@")}
    registry.register(
        app,
        url,
        instance_id=data.get("instanceId") or extra.get("hostName"),
        status=_status_from(data.get("status") or "UP"),
        metadata=texts,
        ttl=valid_seconds("durationInSecs", _number(duration)),
        extra=extra,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= 2048


def _number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _port(given: object) -> tuple[int, bool]:
    """Return number and whether it is enabled, out of {"$": 9090, "@enabled": "true"}."""
    if given is None:
        return 0, False
    number = _number(given.get("$", 0)) if isinstance(given, dict) else None
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= 65535:
        raise InvalidInput(messages.EUREKA_BAD_PORT.format(given=given))
    enabled = given.get("@enabled", False) if isinstance(given, dict) else False
    return int(number), str(enabled).lower() == "true"


def _status_from(eureka: object) -> Status:
    if eureka == "OUT_OF_SERVICE":
        return Status.DRAINING
    if eureka == "UNKNOWN":
        return Status.DOWN
    try:
        return Status(str(eureka))
    except ValueError:
        accepted = "UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN"
        raise InvalidInput(messages.BAD_STATUS.format(given=eureka, accepted=accepted)) from None


# To Eureka


def _status_to(status: Status) -> str:
    return "OUT_OF_SERVICE" if status is Status.DRAINING else str(status)


def _everyone(registry: Registry) -> list[tuple[Instance, str]]:
    return [(each, "ADDED") for instances in registry.services().values() for each in instances]


def _with_address(registry: Registry, kind: str, address: str) -> list[tuple[Instance, str]]:
    def addresses(instance: Instance) -> list[str]:
        return [each.strip().lower() for each in instance.extra.get(kind, instance.service).split(",")]

    return [pair for pair in _everyone(registry) if address.lower() in addresses(pair[0])]


def _xml(element: Element) -> Response:
    text = ElementTree.tostring(element, encoding="utf-8", xml_declaration=True)
    return Response(text, mimetype="application/xml")


def _applications(registry: Registry, instances: Iterable[tuple[Instance, str]]) -> Element:
    root = Element("applications")
    counts = Counter(_status_to(instance.status) for instance, _ in _everyone(registry))
    _text(root, "versions__delta", registry.index())
    _text(root, "apps__hashcode", "".join(f"{status}_{counts[status]}_" for status in sorted(counts)))
    by_service: dict[str, list[tuple[Instance, str]]] = {}
    for instance, action in instances:
        by_service.setdefault(instance.service, []).append((instance, action))
    root.extend(_application(registry, service, found) for service, found in by_service.items())
    return root


def _application(registry: Registry, service: str, instances: Iterable[tuple[Instance, str]]) -> Element:
    root = Element("application")
    _text(root, "name", service.upper())
    root.extend(_instance(registry, instance, action) for instance, action in instances)
    return root


def _instance(registry: Registry, instance: Instance, action: str) -> Element:
    root = Element("instance")
    url = urlsplit(instance.url)
    secure = url.scheme == "https"
    number = url.port or (443 if secure else 80)
    texts = {
        "hostName": url.hostname,
        "ipAddr": url.hostname,
        "homePageUrl": f"{instance.url}/",
        "statusPageUrl": f"{instance.url}/info",
        "healthCheckUrl": f"{instance.url}/health",
        "vipAddress": instance.service,
        "secureVipAddress": instance.service,
        "countryId": "1",
        "isCoordinatingDiscoveryServer": "false",
    }
    texts |= {key: instance.extra[key] for key in (*_TEXTS, *_NUMBERS) if key in instance.extra}
    _text(root, "instanceId", instance.id)
    _text(root, "app", instance.service.upper())
    _text(root, "status", _status_to(instance.status))
    _text(root, "overriddenstatus", _status_to(instance.override) if instance.override else "UNKNOWN")
    for key, value in texts.items():
        _text(root, key, value)
    default_ports = ((0, False), (number, True)) if secure else ((number, True), (0, False))
    for key, default in zip(("port", "securePort"), default_ports, strict=True):
        port, enabled = instance.extra.get(key, default)
        _text(root, key, port).set("enabled", str(enabled).lower())
    class_name, center = instance.extra.get("dataCenterInfo", (_OTHER_CLASS, "MyOwn"))
    info = SubElement(root, "dataCenterInfo", {"class": class_name})
    _text(info, "name", center)
    _lease_info(registry, instance, SubElement(root, "leaseInfo"))
    metadata = SubElement(root, "metadata")
    for key, value in instance.metadata.items():
        _text(metadata, key, value)
    _text(root, "actionType", action)
    return root


def _lease_info(registry: Registry, instance: Instance, root: Element) -> None:
    # Whole seconds: that is what the clients' integers read.
    _text(root, "renewalIntervalInSecs", max(1, round(instance.ttl / 3)))
    _text(root, "durationInSecs", math.ceil(instance.ttl))
    try:
        ages = registry.lease_age(instance.service, instance.id)
    except UnknownInstance:
        return  # it has left: only a delta still speaks of it
    # The registry's clock has no date: count back from the wall clock, for display only.
    registered, renewed = (int((time.time() - age) * 1000) for age in ages)
    _text(root, "registrationTimestamp", registered)
    _text(root, "lastRenewalTimestamp", renewed)
    _text(root, "evictionTimestamp", 0)
    _text(root, "serviceUpTimestamp", registered)


def _text(parent: Element, tag: str, value: object) -> Element:
    element = SubElement(parent, tag)
    element.text = str(value)
    return element
