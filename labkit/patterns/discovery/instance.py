"""The data of discovery, and the door where it is checked.

Everything that enters the registry, from Python or over HTTP, passes the same checks, so that nothing kept
inside can break what is made of it later (a URL, a JSON body, an XML element).
"""

import re
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

    `reported` is its own word, `healthy` that of the active checks, `override` an operator's, which wins.
    `ttl`: seconds its lease lasts without a renewal. `extra`: fields of another protocol, carried and not
    interpreted.
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
        """The status that counts: the override, else DOWN when unhealthy, else what was reported."""
        if self.override is not None:
            return self.override
        if self.reported is Status.UP and not self.healthy:
            return Status.DOWN
        return self.reported

    @property
    def available(self) -> bool:
        """Whether it is handed out to callers."""
        return self.status is Status.UP

    def __repr__(self) -> str:
        # No url: a list of instances reads the same whatever the ports are.
        return f"Instance({self.id}, {self.status})"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The instances of a service and the index at which they were read, for the next `watch`."""

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
    """What one call of `evict` did: who went, who was kept though expired, and whether that was why."""

    evicted: tuple[Instance, ...] = ()
    kept: tuple[Instance, ...] = ()

    @property
    def self_preservation(self) -> bool:
        """Too many leases were missing at once, so nobody was evicted."""
        return bool(self.kept)


def valid_service(name: object) -> str:
    """Return the name in lower case: names are compared as DNS does (RFC 4343). Raises InvalidInput."""
    if not isinstance(name, str) or not _SERVICE.fullmatch(name):
        raise InvalidInput(messages.BAD_SERVICE.format(given=name))
    return name.lower()


def valid_id(instance_id: object) -> str:
    """Return the id as given. Raises InvalidInput."""
    if not isinstance(instance_id, str) or not _INSTANCE_ID.fullmatch(instance_id):
        raise InvalidInput(messages.BAD_ID.format(given=instance_id))
    return instance_id


def valid_url(url: object) -> str:
    """Return the URL without its last slash: scheme, host, port, perhaps a path. Raises InvalidInput."""
    refused = InvalidInput(messages.BAD_URL.format(given=url))
    if (
        not isinstance(url, str)
        or len(url) > 2048
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise refused
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refused from None
    # Credentials would be handed out to everyone who asks the registry.
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or "@" in parts.netloc:
        raise refused
    if parts.query or parts.fragment:
        raise refused
    return url.rstrip("/")


def valid_status(status: object) -> Status:
    """Return the Status of that name. Raises InvalidInput."""
    try:
        return Status(str(status))
    except ValueError:
        accepted = ", ".join(Status)
        raise InvalidInput(messages.BAD_STATUS.format(given=status, accepted=accepted)) from None


def valid_metadata(metadata: object) -> Mapping[str, str]:
    """Return a read-only copy: a few short texts by name. Raises InvalidInput."""
    refused = InvalidInput(
        messages.BAD_METADATA.format(given=metadata, limit=METADATA_LIMIT, length=METADATA_LENGTH)
    )
    if metadata is None:
        return MappingProxyType({})
    if not isinstance(metadata, Mapping) or len(metadata) > METADATA_LIMIT:
        raise refused
    for key, value in metadata.items():
        if not isinstance(key, str) or not _METADATA_KEY.fullmatch(key):
            raise refused
        if not isinstance(value, str) or len(value) > METADATA_LENGTH or not value.isprintable():
            raise refused
    return MappingProxyType(dict(metadata))
