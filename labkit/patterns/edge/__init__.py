"""An edge server: the one door to the services behind it, with everything that belongs to a door.

    llave = Key.from_environment("2025", "CLAVE_DEL_BORDE")
    borde = Edge(
        [Route("/catalogo", to="http://127.0.0.1:5001", public=True), Route("/pedidos", service="pedidos")],
        tokens=Tokens([llave], issuer="tienda", audience="libreria"),
        limit=TokenBucket(20, per=1),
        registry="http://127.0.0.1:8500",
    )
    labkit.serve(borde.app, name="borde")

Each module is one decision and can be read, and used, alone: `routes` (which service, by the path as the
services will read it) and `route_sources` (a file or a database that changes while it runs), `tokens` and
`users` (who), `forwarded` (from where), `limits` (how often), `shedding` (how many at once, who first).
`edge` puts them in order around the streaming proxy of `labkit.patterns.proxy`; instances are found and
passed over with lesson 01's parts, passwords are checked in lesson 03's bulkhead.

It stops what can be told from the request alone. It knows nothing of what a body means: injection is stopped
where the query is made, and a flood that fills the line never comes this far.

Sources: RFC 9110 and 9112 (HTTP), 7239 (Forwarded), 6750 and 8725 (tokens); Nygard, "Release It!", 2nd ed.;
Richardson, "Microservices Patterns", ch. 8 (external API patterns).
"""

from labkit.patterns.edge.edge import Edge
from labkit.patterns.edge.errors import InvalidToken, Refused
from labkit.patterns.edge.forwarded import TrustedProxies
from labkit.patterns.edge.limits import SlidingWindow, TokenBucket
from labkit.patterns.edge.route_sources import RouteDatabase, RouteFile
from labkit.patterns.edge.routes import Route, Routes, RouteTable
from labkit.patterns.edge.shedding import Shedder
from labkit.patterns.edge.tokens import Key, Tokens
from labkit.patterns.edge.users import Users

__all__ = [
    "Edge",
    "InvalidToken",
    "Key",
    "Refused",
    "Route",
    "RouteDatabase",
    "RouteFile",
    "RouteTable",
    "Routes",
    "Shedder",
    "SlidingWindow",
    "TokenBucket",
    "Tokens",
    "TrustedProxies",
    "Users",
]
