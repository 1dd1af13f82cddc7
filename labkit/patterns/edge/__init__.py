"""An edge server."""

from labkit.patterns.edge.errors import BadPath, EdgeError, InvalidInput, InvalidToken, Overloaded
from labkit.patterns.edge.forwarded import Caller, TrustedProxies
from labkit.patterns.edge.limits import RateLimit, SlidingWindow, TokenBucket, Verdict
from labkit.patterns.edge.route_sources import RouteDatabase, RouteFile, RouteSource, follow, load
from labkit.patterns.edge.routes import Route, Routes, RouteTable
from labkit.patterns.edge.shedding import Shedder
from labkit.patterns.edge.tokens import Identity, Key, Tokens
from labkit.patterns.edge.users import Users
