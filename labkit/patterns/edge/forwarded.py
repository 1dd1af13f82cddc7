"""Who the client is, when proxies stand between: X-Forwarded-* and Forwarded, believed from known hops only.

Anybody can write these headers. The list is read from its end, where the hop nearest to us wrote: as long as
an address belongs to a proxy of ours, the one before it is what that proxy saw, and may be believed. The
first that does not is the client; whatever stands before it, the client wrote. All that came from outside is
removed, and the chain is written anew for the service behind.

One of the two headers is read, the one that our proxies set: if both were, a client could write the other.

Sources: RFC 7239; MDN, "X-Forwarded-For" (selecting an IP address); OWASP, "IP spoofing via HTTP headers".
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from multidict import CIMultiDict, CIMultiDictProxy

from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Headers = CIMultiDict[str] | CIMultiDictProxy[str]

FROM_OUTSIDE = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
     "x-forwarded-server", "x-forwarded-prefix", "x-forwarded", "x-real-ip", "x-client-ip", "true-client-ip",
     "x-cluster-client-ip", "x-original-url", "x-original-host", "x-rewrite-url"}
)  # fmt: skip

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PAIR = re.compile(r'\s*([A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^;,"\s]*)\s*(?:;|$)')
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_LONGEST_CHAIN = 32  # hops that are looked at


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
    """The networks whose word about their own peers is believed (none: nobody's).

    `header`: the one that they set. Raises InvalidInput.
    """

    def __init__(
        self,
        networks: Iterable[str] = (),
        header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For",
    ) -> None:
        if header not in ("X-Forwarded-For", "Forwarded"):
            raise InvalidInput(messages.BAD_FORWARDED.format(given=header))
        self.header = header
        self._networks = [_network(each) for each in ([networks] if isinstance(networks, str) else networks)]

    def caller(self, peer: str, headers: Headers, *, scheme: str, host: str) -> Caller:
        """Return the client of a request that `peer` sent. `scheme` and `host`: as asked of us."""
        address, host = _plain(peer), host if _HOST.fullmatch(host) else ""
        if not self._trusted(address):
            return Caller(address, scheme, host)
        said = self._read(headers)
        hops: list[str] = []
        for claim in reversed(said[-_LONGEST_CHAIN:]):
            parsed = _parse(claim.get("for", ""))
            if parsed is None:
                break
            hops.insert(0, address)
            address = str(parsed)
            if claim.get("proto") in ("http", "https"):
                scheme = claim["proto"]
            if _HOST.fullmatch(claim.get("host", "")):
                host = claim["host"]
            if not self._trusted(address):
                break
        return Caller(address, scheme, host, tuple(hops))

    def _trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def _read(self, headers: Headers) -> Sequence[dict[str, str]]:
        values = ",".join(headers.getall(self.header, ()))
        if self.header == "Forwarded":
            return [_pairs(element) for element in _ELEMENT.findall(values)]
        claims = [{"for": each.strip()} for each in values.split(",")]
        # These two are one value for the whole request: the word of our nearest proxy.
        for name, header in (("proto", "X-Forwarded-Proto"), ("host", "X-Forwarded-Host")):
            claims[-1][name] = headers.get(header, "").rpartition(",")[2].strip()
        return claims


def _pairs(element: str) -> dict[str, str]:
    return {name.lower(): value.strip('"') for name, value in _PAIR.findall(element)}


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


def _plain(peer: str) -> str:
    return str(_parse(peer.partition("%")[0]) or "unknown")


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _network(given: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(given)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise InvalidInput(messages.BAD_NETWORK.format(given=given)) from None
