"""Who the client is, when proxies stand between: X-Forwarded-*, believed from known hops only.

Anybody can write these headers. X-Forwarded-For is read from its end, where the hop nearest to us wrote: as
long as an address belongs to a proxy of ours, the one before it is what that proxy saw, and may be believed.
The first that does not is the client; whatever stands before it, the client wrote. All that came from outside
is removed, `Forwarded` too, and the chain is written anew for the service behind, in both.

Sources: RFC 7239; MDN, "X-Forwarded-For" (selecting an IP address).
"""

import functools
import ipaddress
import re
from dataclasses import dataclass

from aiohttp import web

from labkit.patterns.edge import messages

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FROM_OUTSIDE = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
     "x-forwarded-server", "x-forwarded-prefix", "x-forwarded", "x-real-ip", "x-client-ip", "true-client-ip",
     "x-cluster-client-ip", "x-original-url", "x-original-host", "x-rewrite-url"}
)  # fmt: skip

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_MOST_HOPS = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """The client as it is believed to be: its address, and the scheme and host that it asked.

    `hops`: the proxies of ours between it and us, the client's neighbour first.
    """

    address: str
    scheme: str
    host: str
    hops: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The address for counting: of IPv6 the first 64 bits, all of which one client commonly has."""
        parsed = _parse(self.address)
        if isinstance(parsed, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        return self.address

    def headers(self) -> dict[str, str]:
        """Return what the service behind is told of the client."""
        chain = [self.address, *self.hops]
        first = f'for={_node(self.address)};host="{self.host}";proto={self.scheme}'
        return {
            "X-Forwarded-For": ", ".join(chain),
            "X-Forwarded-Host": self.host,
            "X-Forwarded-Proto": self.scheme,
            "Forwarded": ", ".join([first, *(f"for={_node(hop)}" for hop in self.hops)]),
        }


class TrustedProxies:
    """The networks whose word about their own peers is believed (none: nobody's). Raises ValueError."""

    def __init__(self, *networks: str) -> None:
        self._networks = [_network(each) for each in networks]

    def caller(self, request: web.BaseRequest) -> Caller:
        """Return the client of a request."""
        address = str(_parse(request.remote or "") or "unknown")
        scheme, host = request.scheme, _valid_host(request.host)
        if not self._trusted(address):
            return Caller(address, scheme, host)
        # These two are one value for the whole way: the word of our nearest proxy.
        said = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip()
        scheme = said if said in ("http", "https") else scheme
        host = _valid_host(request.headers.get("X-Forwarded-Host", "").rpartition(",")[2].strip()) or host
        hops: list[str] = []
        said = ",".join(request.headers.getall("X-Forwarded-For", ()))
        for claim in reversed(said.split(",")[-_MOST_HOPS:]):
            parsed = _parse(claim)
            if parsed is None:
                break
            hops.insert(0, address)
            address = str(parsed)
            if not self._trusted(address):
                break
        return Caller(address, scheme, host, tuple(hops))

    def _trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


@functools.lru_cache(4096)
def _parse(text: str) -> Address | None:
    """Return an address, without the port that may stand behind it; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def _valid_host(given: str) -> str:
    return given if _HOST.fullmatch(given) else ""


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _network(given: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(given)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise ValueError(messages.BAD_NETWORK.format(given=given)) from None
