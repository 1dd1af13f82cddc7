"""The registry's HTTP API as data: what is asked, and what an answer means.

No input or output here: the server writes these answers, and each client sends a `Call` its own way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.patterns._given import InvalidInput, valid_count, valid_seconds
from labkit.patterns.discovery import messages
from labkit.patterns.discovery.errors import RegistryUnavailable, UnknownInstance
from labkit.patterns.discovery.instance import (
    Instance,
    Snapshot,
    valid_id,
    valid_metadata,
    valid_service,
    valid_url,
)

UNKNOWN_INSTANCE = "unknown_instance"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the registry.

    `wait`: seconds that the answer may rightly take, beside the client's own patience. `read`: makes of the
    JSON object that was answered what the call returns; raises KeyError, TypeError or ValueError.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    read: Callable[[Mapping[str, Any]], Any] = dict


def look_up(service: str, index: int = 0, wait: float = 0.0) -> Call:
    """Return the call for a Snapshot: see `Registry.watch`. Raises InvalidInput."""
    wait = valid_seconds("wait", wait, zero=True)
    query = {"index": str(valid_count("index", index, minimum=0)), "wait": str(wait)}
    return Call("GET", f"/services/{service}", query=query, wait=wait, read=snapshot_from_json)


def read_answer(call: Call, registry_url: str, status: int, payload: object) -> Any:
    """Return what the registry answered to `call`, or raise what its status stands for.

    400 and the like: InvalidInput; 404 for an instance: UnknownInstance; whatever else is no success, and a
    success that does not read as one (some other server has that port): RegistryUnavailable.
    """
    reason = messages.REGISTRY_STATUS.format(status=status)
    said = payload if isinstance(payload, dict) else {}
    if 200 <= status < 300 and isinstance(payload, dict):
        try:
            return call.read(payload)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
    elif status == 404:
        if said.get("code") == UNKNOWN_INSTANCE:
            raise UnknownInstance(said.get("error"))
    elif 400 <= status < 500 and "error" in said:
        raise InvalidInput(said["error"])
    raise no_answer(registry_url, reason)


def no_answer(registry_url: str, reason: str) -> RegistryUnavailable:
    """Return the error of a registry that gave no answer, or none that makes sense."""
    return RegistryUnavailable(messages.REGISTRY_UNAVAILABLE.format(url=registry_url, reason=reason))


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
    """Return an available instance. Raises KeyError, TypeError, InvalidInput."""
    return Instance(
        valid_service(data["service"]),
        valid_id(data["id"]),
        valid_url(data["url"]),
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


def snapshot_from_json(data: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `snapshot_to_json` wrote. Raises KeyError, TypeError, ValueError."""
    instances = tuple(instance_from_json(each) for each in data["instances"])
    return Snapshot(data["service"], int(data["index"]), instances)
