"""The registry itself, on a clock wound by hand."""

import ast
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from discovery_support import ManualClock, no_threads_left
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
from labkit.patterns.discovery import (
    InvalidInput,
    NoInstances,
    Registry,
    RoundRobin,
    Status,
    UnknownInstance,
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def registry(clock):
    return Registry(ttl=30, clock=clock)


def three(registry):
    for number in (1, 2, 3):
        registry.register("inventario", f"http://127.0.0.1:500{number}", instance_id=f"inventario-{number}")


def ids(instances):
    return [instance.id for instance in instances]


# Looking up


def test_a_registered_instance_is_found(registry):
    registry.register("inventario", url="http://127.0.0.1:5001", metadata={"zona": "norte"})
    [found] = registry.instances("inventario")
    assert (found.url, found.status, found.metadata["zona"]) == ("http://127.0.0.1:5001", "UP", "norte")


def test_a_service_nobody_registered_has_no_instances_and_none_to_pick(registry):
    assert registry.instances("inventario") == []
    with pytest.raises(NoInstances, match="inventario"):
        registry.pick("inventario")


def test_the_name_of_a_service_is_the_same_in_capitals(registry):
    registry.register("Inventario", "http://127.0.0.1:5001")
    assert len(registry.instances("INVENTARIO")) == 1


def test_a_list_of_instances_reads_the_same_whatever_the_ports_are(registry):
    three(registry)
    registry.set_status("inventario", "inventario-3", "DRAINING")
    assert (
        repr(registry.instances("inventario")) == "[Instance(inventario-1, UP), Instance(inventario-2, UP)]"
    )
    assert repr(registry) == "Registry(inventario=3)"


def test_reading_changes_nothing(registry):
    three(registry)
    registry.pick("inventario")

    def read():
        registry.instances("inventario")
        registry.instances("nadie")
        registry.services()
        registry.get("inventario", "inventario-1")
        registry.lease_left("inventario", "inventario-1")
        registry.watch("inventario")
        registry.watch("nadie")
        return registry.services(), registry.index(), registry.changes(), repr(registry)

    before = read()
    assert [read() for _ in range(10)] == [before] * 10
    assert registry.pick("inventario").id == "inventario-2"


def test_what_was_read_cannot_be_used_to_change_the_registry(registry):
    found = registry.register("inventario", "http://127.0.0.1:5001", metadata={"zona": "norte"})
    with pytest.raises(TypeError):
        found.metadata["zona"] = "sur"
    registry.instances("inventario").clear()
    assert len(registry.instances("inventario")) == 1


# Identity


def test_registering_an_id_again_updates_the_instance(registry):
    registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
    registry.register("inventario", "http://127.0.0.1:5002", instance_id="a", status="STARTING")
    [found] = registry.instances("inventario", any_status=True)
    assert (found.url, found.status) == ("http://127.0.0.1:5002", Status.STARTING)


def test_registering_the_same_again_is_a_renewal_and_no_change(registry, clock):
    three(registry)
    index = registry.index()
    clock.advance(20)
    three(registry)
    assert registry.index() == index
    assert registry.lease_left("inventario", "inventario-1") == 30


def test_a_newcomer_on_an_old_address_is_another_instance_and_takes_its_place(registry):
    old = registry.register("inventario", "http://127.0.0.1:5001")
    new = registry.register("inventario", "http://127.0.0.1:5001/")
    assert old.id != new.id
    assert ids(registry.instances("inventario")) == [new.id]
    with pytest.raises(UnknownInstance, match="Regístrala de nuevo"):
        registry.renew("inventario", old.id)


# Leases


def test_an_instance_that_renews_stays_and_one_that_does_not_goes(registry, clock):
    three(registry)
    clock.advance(20)
    for number in (1, 2):
        registry.renew("inventario", f"inventario-{number}")
    clock.advance(10)
    assert ids(registry.evict().evicted) == ["inventario-3"]
    assert ids(registry.instances("inventario")) == ["inventario-1", "inventario-2"]


def test_a_lease_lasts_exactly_its_ttl(registry, clock):
    registry.register("inventario", "http://127.0.0.1:5001", instance_id="a", ttl=10)
    clock.advance(9.5)
    assert registry.evict().evicted == ()
    clock.advance(0.5)
    assert ids(registry.evict().evicted) == ["a"]


def test_nobody_leaves_before_somebody_evicts(registry, clock):
    three(registry)
    clock.advance(1000)
    assert len(registry.instances("inventario")) == 3
    registry.renew("inventario", "inventario-1")
    assert "inventario-1" not in ids(registry.evict().kept)


@pytest.mark.parametrize("call", ["renew", "deregister", "drain", "get", "lease_left"])
def test_an_unknown_instance_is_an_error(registry, call):
    three(registry)
    with pytest.raises(UnknownInstance, match="inventario-9"):
        getattr(registry, call)("inventario", "inventario-9")


def test_who_deregisters_is_gone_at_once(registry):
    three(registry)
    registry.deregister("inventario", "inventario-2")
    assert ids(registry.instances("inventario")) == ["inventario-1", "inventario-3"]


# Self-preservation


def many(registry, count):
    for number in range(count):
        registry.register("inventario", f"http://127.0.0.1:{5000 + number}", instance_id=f"i{number:02}")


def renew(registry, numbers):
    for number in numbers:
        registry.renew("inventario", f"i{number:02}")


def test_as_many_as_the_cap_allows_are_evicted(registry, clock):
    many(registry, 10)
    clock.advance(29)
    renew(registry, range(5))
    clock.advance(1)
    assert len(registry.evict().evicted) == 5
    assert not registry.self_preservation


def test_when_too_many_leases_are_missing_all_are_kept_and_it_says_so(registry, clock):
    many(registry, 10)
    clock.advance(29)
    renew(registry, range(4))
    clock.advance(1)
    eviction = registry.evict()
    assert (eviction.evicted, len(eviction.kept), eviction.self_preservation) == ((), 6, True)
    assert registry.self_preservation
    assert len(registry.instances("inventario")) == 10


def test_the_cap_holds_when_leases_run_out_one_after_another(registry, clock):
    for number in range(10):
        registry.register("inventario", f"http://127.0.0.1:{5000 + number}", instance_id=f"i{number:02}")
        clock.advance(1)
    clock.advance(19)
    evicted = 0
    for _ in range(60):
        clock.advance(1)
        evicted += len(registry.evict().evicted)
    assert evicted == 5
    assert registry.self_preservation


def test_self_preservation_ends_when_the_heartbeats_come_back(registry, clock):
    many(registry, 10)
    clock.advance(30)
    assert registry.evict().self_preservation
    renew(registry, range(9))
    assert ids(registry.evict().evicted) == ["i09"]
    assert not registry.self_preservation


def test_the_last_instance_may_always_go(registry, clock):
    registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
    clock.advance(30)
    assert ids(registry.evict().evicted) == ["a"]


def test_a_cap_of_one_evicts_everybody(clock):
    registry = Registry(ttl=30, eviction_cap=1, clock=clock)
    many(registry, 10)
    clock.advance(30)
    assert len(registry.evict().evicted) == 10


# Status and health


@pytest.mark.parametrize("status", ["STARTING", "DRAINING", "DOWN"])
def test_only_who_is_up_is_handed_out(registry, status):
    three(registry)
    registry.set_status("inventario", "inventario-2", status)
    assert {registry.pick("inventario").id for _ in range(10)} == {"inventario-1", "inventario-3"}
    assert len(registry.instances("inventario", any_status=True)) == 3


def test_an_operators_status_outlives_what_the_instance_says(registry):
    three(registry)
    registry.override_status("inventario", "inventario-1", "DRAINING")
    three(registry)
    assert registry.get("inventario", "inventario-1").status is Status.DRAINING
    registry.override_status("inventario", "inventario-1", None)
    assert registry.get("inventario", "inventario-1").status is Status.UP


def report(registry, *results):
    for passed in results:
        registry.report_health(registry.get("inventario", "inventario-1"), passed=passed)
    return registry.get("inventario", "inventario-1").available


def test_it_takes_three_failures_in_a_row_to_go_out_and_two_passes_to_come_back(registry):
    three(registry)
    assert report(registry, False, False, True, False, False)
    assert not report(registry, False)
    assert not report(registry, True, False, True)
    assert report(registry, True)


def test_a_check_of_what_has_moved_or_left_counts_for_nothing(registry):
    three(registry)
    probed = registry.get("inventario", "inventario-1")
    registry.register("inventario", "http://127.0.0.1:6001", instance_id="inventario-1")
    assert [registry.report_health(probed, passed=False) for _ in range(5)] == [None] * 5
    registry.deregister("inventario", "inventario-1")
    assert registry.report_health(probed, passed=False) is None
    assert len(registry.instances("inventario")) == 2


# Turns


def test_turns_are_even_under_fifty_threads(registry):
    many(registry, 7)
    picked: Counter[str] = Counter()
    lock, start = threading.Lock(), threading.Barrier(50)

    def caller():
        start.wait()
        mine = Counter(registry.pick("inventario").id for _ in range(41))
        with lock:
            picked.update(mine)

    run_all([caller] * 50)
    assert sum(picked.values()) == 50 * 41
    assert max(picked.values()) - min(picked.values()) <= 1


def test_turns_stay_even_for_those_who_stay_while_others_come_and_go(registry):
    many(registry, 4)
    stays = {"i00", "i01", "i02", "i03"}
    picked: Counter[str] = Counter()
    lock, start = threading.Lock(), threading.Barrier(21)

    def caller():
        start.wait()
        mine = Counter(registry.pick("inventario").id for _ in range(50))
        with lock:
            picked.update(mine)

    def comes_and_goes():
        start.wait()
        for _ in range(100):
            registry.register("inventario", "http://127.0.0.1:6000", instance_id="visita")
            registry.deregister("inventario", "visita")

    run_all([caller] * 20 + [comes_and_goes])
    counts = [picked[each] for each in stays]
    assert sum(picked.values()) == 1000
    assert max(counts) - min(counts) <= 1


def test_a_newcomer_neither_skips_nor_repeats_anybodys_turn(registry):
    three(registry)
    assert [registry.pick("inventario").id[-1] for _ in range(2)] == ["1", "2"]
    registry.register("inventario", "http://127.0.0.1:5004", instance_id="inventario-4")
    assert [registry.pick("inventario").id[-1] for _ in range(8)] == list("31243124")


def test_a_departure_neither_skips_nor_repeats_anybodys_turn(registry):
    three(registry)
    registry.register("inventario", "http://127.0.0.1:5004", instance_id="inventario-4")
    assert [registry.pick("inventario").id[-1] for _ in range(2)] == ["1", "2"]
    registry.deregister("inventario", "inventario-1")
    assert [registry.pick("inventario").id[-1] for _ in range(6)] == list("342342")


def test_who_leaves_and_registers_again_goes_to_the_end(registry):
    three(registry)
    registry.deregister("inventario", "inventario-1")
    three(registry)
    assert [registry.pick("inventario").id[-1] for _ in range(6)] == list("231231")


def test_who_was_away_gets_one_turn_and_not_all_it_missed():
    turns = RoundRobin()
    assert "".join(turns.pick("abc") for _ in range(3)) == "abc"
    assert "".join(turns.pick("bc") for _ in range(6)) == "bcbcbc"
    assert "".join(turns.pick("abc") for _ in range(6)) == "abcabc"
    assert turns.pick([]) is None


def test_picking_does_the_same_work_however_many_instances_there_are():
    def calls(count):
        registry = Registry()
        many(registry, count)
        counted = Counter()
        sys.setprofile(lambda frame, event, argument: counted.update([event]))
        try:
            registry.pick("inventario")
        finally:
            sys.setprofile(None)
        return counted

    assert calls(1000) == calls(10)


def test_who_was_out_comes_back_to_the_end(registry):
    three(registry)
    registry.set_status("inventario", "inventario-1", "DRAINING")
    assert [registry.pick("inventario").id[-1] for _ in range(3)] == list("232")
    registry.set_status("inventario", "inventario-1", "UP")
    assert [registry.pick("inventario").id[-1] for _ in range(6)] == list("321321")


# Watching


def test_a_watch_from_zero_answers_at_once(registry):
    assert registry.watch("inventario").instances == ()


def test_a_watch_answers_when_the_service_changes(registry):
    three(registry)
    for change in (
        lambda: registry.register("inventario", "http://127.0.0.1:5004", instance_id="d"),
        lambda: registry.drain("inventario", "d"),
        lambda: registry.deregister("inventario", "d"),
    ):
        index = registry.index("inventario")
        answers = []
        watcher = threading.Thread(
            target=lambda index=index, answers=answers: answers.append(
                registry.watch("inventario", index, 10)
            )
        )
        watcher.start()
        change()
        watcher.join(5)
        assert answers[0].index > index


def test_a_watch_answers_unchanged_when_its_time_is_up(registry):
    three(registry)
    index = registry.index("inventario")
    registry.renew("inventario", "inventario-1")
    registry.register("pagos", "http://127.0.0.1:6001")
    snapshot = registry.watch("inventario", index, wait=0.05)
    assert (snapshot.index, len(snapshot.instances)) == (index, 3)


def test_a_watch_sees_the_last_instance_leave(registry):
    one = registry.register("inventario", "http://127.0.0.1:5001")
    index = registry.index("inventario")
    registry.deregister("inventario", one.id)
    assert registry.watch("inventario", index, wait=0).index > index
    assert registry.watch("inventario", index, wait=10).instances == ()


def test_an_index_from_before_a_restart_counts_as_a_change(registry):
    three(registry)
    assert len(registry.watch("inventario", index=10_000, wait=10).instances) == 3


def test_closing_answers_everyone_who_waits(registry):
    with no_threads_left():
        watchers = [threading.Thread(target=registry.watch, args=("inventario", 1, 60)) for _ in range(5)]
        for watcher in watchers:
            watcher.start()
        registry.close()
        assert registry.watch("inventario", 1, 60).instances == ()


def test_the_changes_can_be_read_in_order(registry, clock):
    three(registry)
    clock.advance(200)
    registry.set_status("inventario", "inventario-1", "DRAINING")
    registry.deregister("inventario", "inventario-1")
    assert [change.action for change in registry.changes()] == ["ADDED"] * 3 + ["MODIFIED", "DELETED"]
    assert [change.action for change in registry.changes(max_age=180)] == ["MODIFIED", "DELETED"]


# Bad input


@pytest.mark.parametrize("service", ["", "a b", "../x", "-x", "é", "x" * 64, None, 7, "a/b"])
def test_a_bad_service_name_is_refused(registry, service):
    with pytest.raises(InvalidInput, match="nombre de servicio"):
        registry.register(service, "http://127.0.0.1:5001")
    assert registry.services() == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:5001",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1:x",
        "http://ana:clave@127.0.0.1",
        "http://127.0.0.1/?a=1",
        "http://127.0.0.1/#a",
        "http://127.0.0.1:5001/\r\nX: y",
        "http://[::1",
        None,
        5001,
    ],
)
def test_a_bad_url_is_refused(registry, url):
    with pytest.raises(InvalidInput, match="dirección"):
        registry.register("inventario", url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instance_id", "a/b"),
        ("instance_id", ""),
        ("instance_id", 7),
        ("status", "ARRIBA"),
        ("status", 7),
        ("ttl", 0),
        ("ttl", -1),
        ("ttl", float("nan")),
        ("ttl", float("inf")),
        ("ttl", True),
        ("ttl", "30"),
        ("metadata", {"zona norte": "x"}),
        ("metadata", {"zona": 1}),
        ("metadata", {"zona": "a\x00b"}),
        ("metadata", {"zona": "x" * 2000}),
        ("metadata", [("zona", "norte")]),
        ("metadata", {f"k{number}": "v" for number in range(65)}),
    ],
)
def test_a_bad_field_is_refused_and_nothing_changes(registry, field, value):
    registry.register("inventario", "http://127.0.0.1:5001", instance_id="a")
    before = registry.services()
    with pytest.raises(InvalidInput):
        registry.register("inventario", "http://127.0.0.1:5002", **{"instance_id": "a", field: value})
    assert registry.services() == before


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"eviction_cap": 0},
        {"eviction_cap": 1.5},
        {"eviction_cap": float("nan")},
        {"unhealthy_threshold": 0},
        {"healthy_threshold": 1.5},
    ],
)
def test_a_registry_refuses_options_out_of_range(options):
    with pytest.raises(InvalidInput):
        Registry(**options)


def test_a_watch_refuses_a_negative_index_or_wait(registry):
    for bad in ({"index": -1}, {"wait": -1}, {"index": "3"}):
        with pytest.raises(InvalidInput):
            registry.watch("inventario", **bad)


# The whole, at random


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


def run_all(callers):
    threads = [threading.Thread(target=caller) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
