"""How instances and errors travel as JSON: the one place that both ends of the HTTP API share."""

from collections.abc import Mapping
from typing import Any

from labkit.patterns._given import InvalidInput, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import RegistryUnavailable, UnknownInstance
from labkit.patterns.discovery.instance import (
    Instance,
    Snapshot,
    valid_id,
    valid_metadata,
    valid_service,
    valid_status,
    valid_url,
)

UNKNOWN_INSTANCE = "unknown_instance"


def instance_to_json(instance: Instance) -> dict[str, Any]:
    """Return what the API says of an instance."""
    return {
        "service": instance.service,
        "id": instance.id,
        "url": instance.url,
        "status": instance.status,
        "reported": instance.reported,
        "healthy": instance.healthy,
        "override": instance.override,
        "ttl": instance.ttl,
        "metadata": dict(instance.metadata),
    }


def instance_from_json(data: Mapping[str, Any]) -> Instance:
    """Return the instance that `instance_to_json` wrote. Raises KeyError, TypeError, InvalidInput."""
    override = data["override"]
    return Instance(
        valid_service(data["service"]),
        valid_id(data["id"]),
        valid_url(data["url"]),
        valid_status(data["reported"]),
        healthy=bool(data["healthy"]),
        override=None if override is None else valid_status(override),
        ttl=valid_seconds("ttl", data["ttl"]),
        metadata=valid_metadata(data["metadata"]),
    )


def snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the API says of a service."""
    return {
        "service": snapshot.service,
        "index": snapshot.index,
        "instances": [instance_to_json(instance) for instance in snapshot.instances],
    }


def read_answer(registry_url: str, status: int, payload: Any) -> Any:
    """Return the JSON of a registry's answer, or raise the error that its status stands for.

    400 and the like: InvalidInput; 404 for an instance: UnknownInstance; whatever else is no success, and a
    success without an object in it (some other server has that port): RegistryUnavailable.
    """
    if 200 <= status < 300 and isinstance(payload, dict):
        return payload
    message = payload.get("error") if isinstance(payload, dict) else None
    if status == 404:
        if message is not None and payload.get("code") == UNKNOWN_INSTANCE:
            raise UnknownInstance(message)
    elif message is not None and 400 <= status < 500:
        raise InvalidInput(message)
    reason = messages.REGISTRY_STATUS.format(status=status)
    raise RegistryUnavailable(messages.REGISTRY_UNAVAILABLE.format(url=registry_url, reason=reason))


def snapshot_from_json(registry_url: str, data: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `snapshot_to_json` wrote. Raises RegistryUnavailable when it is not one."""
    try:
        instances = tuple(instance_from_json(each) for each in data["instances"])
        return Snapshot(data["service"], int(data["index"]), instances)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RegistryUnavailable(
            messages.REGISTRY_UNAVAILABLE.format(url=registry_url, reason=reason)
        ) from error
