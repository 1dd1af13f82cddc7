"""What the tests of discovery start from: a clock wound by hand, a registry over HTTP, three instances."""

import pytest
from discovery_support import Lab, ManualClock, instance_app, no_threads_left

from labkit.patterns.discovery import Registry


@pytest.fixture
def clock():
    return ManualClock()


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
