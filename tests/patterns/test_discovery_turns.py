"""Whose turn it is: even, whoever comes, goes or asks, and at the same price for any number of instances."""

import sys
import threading
from collections import Counter

import pytest

from labkit.patterns.discovery import Registry, RoundRobin


@pytest.fixture
def registry():
    return Registry()


def three(registry):
    for number in (1, 2, 3):
        registry.register("inventario", f"http://127.0.0.1:500{number}", instance_id=f"inventario-{number}")


def many(registry, count):
    for number in range(count):
        registry.register("inventario", f"http://127.0.0.1:{5000 + number}", instance_id=f"i{number:02}")


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


def run_all(callers):
    threads = [threading.Thread(target=caller) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
