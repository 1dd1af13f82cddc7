"""The data of discovery, and the door where it is checked.

Everything that enters the registry, from Python or over HTTP, passes the same checks, so that nothing kept
inside can break what is made of it later (a URL, a JSON body, an XML element).
"""

import contextlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from labkit.patterns._given import InvalidInput
from labkit.patterns.discovery import messages

METADATA_LIMIT = 64
METADATA_LENGTH = 1024

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_INSTANCE_ID = re.compile(r"[\w.:@-]{1,128}", re.ASCII)
_URL = re.compile(r"https?://[!-~]{1,2040}", re.IGNORECASE)  # visible ASCII
# What is legal as the name of an XML element too: Eureka sends metadata as elements.
_METADATA_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")


class Status(StrEnum):
    """What an instance says of itself. Only `UP` is handed out."""

    STARTING = "STARTING"
    UP = "UP"
    DRAINING = "DRAINING"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True, repr=False)
class Instance:
    """One running copy of a service, as it was when somebody looked.

    `reported` is its own word, `healthy` that of the active checks, `override` an operator's. `ttl`: seconds
    its lease lasts without a renewal. `extra`: fields of another protocol, carried and not interpreted.
    """

    service: str
    id: str
    url: str
    reported: Status = Status.UP
    healthy: bool = True
    override: Status | None = None
    ttl: float = 30.0
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def status(self) -> Status:
        """The status that counts: the override, unless the instance cannot work at all.

        An operator takes an instance out, or puts one back that drains; nobody else can say UP for one that
        says DOWN or STARTING, or whose checks fail (Eureka's DownOrStartingRule comes first too).
        """
        if self.reported in (Status.DOWN, Status.STARTING):
            return self.reported
        if not self.healthy:
            return Status.DOWN
        return self.override or self.reported

    @property
    def available(self) -> bool:
        """True when it is handed out to callers."""
        return self.status is Status.UP

    def __repr__(self) -> str:
        # No url: a list of instances reads the same whatever the ports are.
        return f"Instance({self.id}, {self.status})"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The available instances of a service, and the index for the next `watch`."""

    service: str
    index: int
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the registry. `at`: the registry's clock, in seconds."""

    index: int
    action: Literal["ADDED", "MODIFIED", "DELETED"]
    instance: Instance
    at: float


@dataclass(frozen=True, slots=True)
class Eviction:
    """What one `evict` did: who went, or who was kept though expired."""

    evicted: tuple[Instance, ...] = ()
    kept: tuple[Instance, ...] = ()


def valid_service(name: object) -> str:
    """Return the name in lower case, as DNS compares names (RFC 4343). Raises InvalidInput."""
    if not isinstance(name, str) or not _SERVICE.fullmatch(name):
        raise InvalidInput(messages.BAD_SERVICE.format(given=name))
    return name.lower()


def valid_id(instance_id: object) -> str:
    """Return the id as given. Raises InvalidInput."""
    if not isinstance(instance_id, str) or not _INSTANCE_ID.fullmatch(instance_id):
        raise InvalidInput(messages.BAD_ID.format(given=instance_id))
    return instance_id


def new_id(service: str) -> str:
    """Return an id that no other instance has had."""
    return f"{service}-{uuid.uuid4().hex[:12]}"


def valid_url(url: object) -> str:
    """Return the URL (scheme, host, port, path) without its last slash. Raises InvalidInput."""
    if isinstance(url, str) and _URL.fullmatch(url):
        with contextlib.suppress(ValueError):  # a port that is no number, half an IPv6 address
            parts = urlsplit(url)
            # Credentials would be handed out to everyone who asks the registry.
            refused = "@" in parts.netloc or parts.query or parts.fragment
            if parts.hostname and parts.port != 0 and not refused:
                return url.rstrip("/")
    raise InvalidInput(messages.BAD_URL.format(given=url))


def valid_status(status: object) -> Status:
    """Return the Status of that name. Raises InvalidInput."""
    try:
        return Status(str(status))
    except ValueError:
        accepted = ", ".join(Status)
        raise InvalidInput(messages.BAD_STATUS.format(given=status, accepted=accepted)) from None


def valid_metadata(metadata: object) -> Mapping[str, str]:
    """Return a read-only copy: a few short texts by name. Raises InvalidInput."""
    if metadata is None:
        return MappingProxyType({})
    if not (
        isinstance(metadata, Mapping)
        and len(metadata) <= METADATA_LIMIT
        and all(isinstance(key, str) and _METADATA_KEY.fullmatch(key) for key in metadata)
        and all(isinstance(value, str) and value.isprintable() for value in metadata.values())
        and all(len(value) <= METADATA_LENGTH for value in metadata.values())
    ):
        raise InvalidInput(
            messages.BAD_METADATA.format(given=metadata, limit=METADATA_LIMIT, length=METADATA_LENGTH)
        )
    return MappingProxyType(dict(metadata))
