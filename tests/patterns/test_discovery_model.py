"""The registry held against a plain dictionary, at random; and the package as a whole."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from discovery_support import ManualClock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import soak

import labkit.patterns.discovery as discovery
from labkit.patterns.discovery import NoInstances, Registry, Status, UnknownInstance


def ids(instances):
    return [instance.id for instance in instances]


class RegistryMachine(RuleBasedStateMachine):
    """Any sequence of calls keeps the registry consistent with a plain dictionary."""

    numbers = st.integers(0, 5)
    services = st.sampled_from(["inventario", "pagos"])

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.registry = Registry(ttl=10, clock=self.clock)
        self.model = {}
        self.last_index = 0

    @rule(service=services, number=numbers, port=numbers, status=st.sampled_from(Status))
    def register(self, service, number, port, status):
        url = f"http://127.0.0.1:{5000 + port}"
        self.registry.register(service, url, instance_id=f"i{number}", status=status)
        for key in [key for key, known in self.model.items() if key[0] == service and known["url"] == url]:
            if key[1] != f"i{number}":
                del self.model[key]
        self.model[service, f"i{number}"] = {"url": url, "renewed": self.clock()}

    @rule(service=services, number=numbers)
    def renew(self, service, number):
        key = (service, f"i{number}")
        if key in self.model:
            self.registry.renew(*key)
            self.model[key]["renewed"] = self.clock()
        else:
            with pytest.raises(UnknownInstance):
                self.registry.renew(*key)

    @rule(service=services, number=numbers)
    def deregister(self, service, number):
        key = (service, f"i{number}")
        if key in self.model:
            self.registry.deregister(*key)
            del self.model[key]
        else:
            with pytest.raises(UnknownInstance):
                self.registry.deregister(*key)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), passed=st.booleans())
    def check(self, data, passed):
        key = data.draw(st.sampled_from(sorted(self.model)))
        self.registry.report_health(self.registry.get(*key), passed=passed)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), status=st.one_of(st.none(), st.sampled_from(Status)))
    def override(self, data, status):
        self.registry.override_status(*data.draw(st.sampled_from(sorted(self.model))), status)

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def evict(self):
        known = len(self.model)
        expired = {key for key, lease in self.model.items() if self.clock() - lease["renewed"] >= 10}
        eviction = self.registry.evict()
        evicted = {(each.service, each.id) for each in eviction.evicted}
        assert not (eviction.evicted and eviction.kept)
        assert evicted | {(each.service, each.id) for each in eviction.kept} == expired
        # Those who left within the last lease time count too, so the bound is by whom it has known.
        assert len(evicted) <= max(1, (known + 12) // 2)
        for key in evicted:
            del self.model[key]

    @rule(service=services)
    def pick(self, service):
        available = ids(self.registry.instances(service))
        if available:
            picks = [self.registry.pick(service).id for _ in available]
            assert sorted(picks) == sorted(available)
        else:
            with pytest.raises(NoInstances):
                self.registry.pick(service)

    @invariant()
    def agrees_with_the_model(self):
        found = {
            (each.service, each.id): each.url
            for instances in self.registry.services().values()
            for each in instances
        }
        assert found == {key: lease["url"] for key, lease in self.model.items()}

    @invariant()
    def one_owner_for_each_address(self):
        for instances in self.registry.services().values():
            urls = [each.url for each in instances]
            assert len(urls) == len(set(urls))

    @invariant()
    def the_index_never_runs_backwards(self):
        index = self.registry.index()
        assert index >= self.last_index
        assert max(self.registry.index(each) for each in ("inventario", "pagos", "nadie")) <= index
        self.last_index = index


@pytest.mark.parametrize("examples", [10, soak(100)])
def test_the_registry_does_what_its_model_does(examples):
    run_state_machine_as_test(
        RegistryMachine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None)
    )


# The package


def test_it_imports_nothing_else_of_labkit():
    for path in Path(discovery.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                own = ("labkit.patterns.discovery", "labkit.patterns._given")
                assert not name.startswith("labkit") or name.startswith(own), path


def test_who_does_not_use_the_asynchronous_side_does_not_import_aiohttp():
    script = (
        "import sys, labkit.patterns.discovery as d; print('aiohttp' in sys.modules, d.AsyncDiscoveryClient)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.startswith("False <class")


def test_every_public_name_is_there():
    assert all(getattr(discovery, name) for name in discovery.__all__)
    with pytest.raises(AttributeError):
        discovery.nothing
