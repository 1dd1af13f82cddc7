"""A clock wound by hand, and what the tests of the breaker and of discovery start from."""

import functools

import pytest
from breaker_support import trip
from discovery_support import Lab, ManualClock, instance_app, no_threads_left

from labkit.patterns.circuit_breaker import CircuitBreaker
from labkit.patterns.discovery import Registry


@pytest.fixture
def clock():
    return ManualClock()


# The breaker's


@pytest.fixture
def make(clock):
    return functools.partial(CircuitBreaker, "pagos", clock=clock)


@pytest.fixture
def half_open(make, clock):
    """Make a breaker whose next call finds it half-open."""

    def make_it(**options):
        breaker = make(**options)
        trip(breaker)
        clock.advance(breaker.reset_timeout)
        return breaker

    return make_it


# Discovery's: a registry over HTTP, three instances


@pytest.fixture
def lab():
    with no_threads_left():
        lab = Lab()
        yield lab
        lab.close()


@pytest.fixture
def registro(lab, clock):
    return lab.registry(Registry(ttl=30, clock=clock))


@pytest.fixture
def inventario(lab, registro):
    """Three instances, registered, each with `.asked`: what it was asked."""
    servers = []
    for number in (1, 2, 3):
        app = instance_app(f"inventario-{number}")
        server = lab.serve(app)
        server.asked = app.config["ASKED"]
        registro.registry.register("inventario", server.url, instance_id=f"inventario-{number}")
        servers.append(server)
    return servers
