"""The registry itself, on a clock wound by hand."""

import threading

import pytest
from discovery_support import ManualClock, no_threads_left

from labkit.patterns.discovery import InvalidInput, NoInstances, Registry, Status, UnknownInstance


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


def test_an_expired_lease_is_handed_out_until_somebody_evicts(registry, clock):
    three(registry)
    clock.advance(1000)
    assert len(registry.instances("inventario")) == 3
    assert [registry.pick("inventario").id[-1] for _ in range(3)] == list("123")
    registry.renew("inventario", "inventario-1")
    assert "inventario-1" not in ids(registry.evict().kept)


@pytest.mark.parametrize("call", ["renew", "deregister", "get", "lease_left", "lease_age"])
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
    assert (eviction.evicted, len(eviction.kept)) == ((), 6)
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
    assert len(registry.evict().kept) == 10
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


@pytest.mark.parametrize("reported", Status)
@pytest.mark.parametrize("override", [None, *Status])
def test_an_override_hands_out_nobody_who_says_it_cannot_work(registry, reported, override):
    three(registry)
    registry.set_status("inventario", "inventario-1", reported)
    now = registry.override_status("inventario", "inventario-1", override)
    own_word_wins = override is None or reported in ("DOWN", "STARTING")
    assert now.status == (reported if own_word_wins else override)
    assert (now in registry.instances("inventario")) == (now.status == "UP")


def test_an_override_hands_out_nobody_whose_checks_fail(registry):
    three(registry)
    assert not report(registry, False, False, False)
    registry.override_status("inventario", "inventario-1", "UP")
    assert not report(registry)


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


def test_an_instance_that_moves_begins_anew_with_its_checks(registry):
    three(registry)
    assert not report(registry, False, False, False)
    registry.register("inventario", "http://127.0.0.1:6001", instance_id="inventario-1")
    assert report(registry, False, False)
    assert not report(registry, False)


def test_a_check_of_what_has_moved_or_left_counts_for_nothing(registry):
    three(registry)
    probed = registry.get("inventario", "inventario-1")
    registry.register("inventario", "http://127.0.0.1:6001", instance_id="inventario-1")
    assert [registry.report_health(probed, passed=False) for _ in range(5)] == [None] * 5
    registry.deregister("inventario", "inventario-1")
    assert registry.report_health(probed, passed=False) is None
    assert len(registry.instances("inventario")) == 2


# Watching


def test_a_watch_from_zero_answers_at_once(registry):
    assert registry.watch("inventario").instances == ()


def test_a_watch_answers_when_the_service_changes(registry):
    three(registry)
    for change in (
        lambda: registry.register("inventario", "http://127.0.0.1:5004", instance_id="d"),
        lambda: registry.set_status("inventario", "d", "DRAINING"),
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
