"""What can go wrong with discovery, each with a name of its own.

Each also derives from the built-in exception that a caller who has never heard of this package would catch.
"""


class DiscoveryError(Exception):
    """Whatever this package raises."""


class UnknownInstance(DiscoveryError, LookupError):
    """The registry holds no such instance (it never did, or its lease ran out); over HTTP, 404."""


class NoInstances(DiscoveryError, LookupError):
    """No instance of that service is available now."""


class NoInstanceAnswered(DiscoveryError, ConnectionError):
    """No instance could be reached, though all were tried; `__cause__`: the last failure."""


class RegistryUnavailable(DiscoveryError, ConnectionError):
    """The registry does not answer and there is no earlier list to fall back on."""
