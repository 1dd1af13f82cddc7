"""Spans: whose children they are, their times, what they keep, what is sampled, and what is refused."""

import asyncio
import logging
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.patterns.tracing import (
    Link,
    SpanContext,
    Tracer,
    activate,
    add_trace_ids,
    always_off,
    always_on,
    current_span,
    parent_based,
    ratio,
)
from labkit.patterns.tracing.tracer import LIMIT

CALLER = SpanContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 0x01, "rojo=1")


class Clock:
    """Seconds by hand."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def spans():
    return []


@pytest.fixture
def tracer(spans):
    return Tracer("pedidos", spans.append)


# Whose child


def test_a_span_inside_a_span_is_its_child(tracer):
    with tracer.span("fuera") as outer:
        with tracer.span("dentro") as inner:
            assert current_span() is inner
        assert current_span() is outer
    assert current_span() is None
    assert outer.parent_id is None
    assert inner.parent_id == outer.context.span_id
    assert inner.context.trace_id == outer.context.trace_id
    assert inner.context.span_id != outer.context.span_id


def test_a_span_without_a_parent_begins_a_trace(tracer):
    with tracer.span("fuera") as outer, tracer.span("aparte", parent=None) as apart:
        pass
    assert apart.parent_id is None
    assert apart.context.trace_id != outer.context.trace_id


def test_a_parent_from_elsewhere_is_taken(tracer):
    span = tracer.span("atender", parent=CALLER)
    assert span.parent_id == CALLER.span_id
    assert span.context.trace_id == CALLER.trace_id
    assert span.context.tracestate == "rojo=1"


def test_a_span_may_be_the_parent_of_another_service_of_the_same_process(tracer, spans):
    with tracer.span("pedir") as outer, Tracer("pagos", spans.append).span("cobrar") as inner:
        pass
    assert inner.parent_id == outer.context.span_id
    assert [span.service for span in spans] == ["pagos", "pedidos"]


def test_activate_makes_a_span_current_without_ending_it(tracer, spans):
    span = tracer.span("largo")
    with activate(span):
        assert current_span() is span
    assert current_span() is None
    assert spans == []
    span.end()
    assert spans == [span]


def test_a_generator_that_another_task_closes_disturbs_no_current_span(tracer, spans):
    async def stream():
        with tracer.span("flujo"):
            yield 1

    async def main():
        generator = stream()
        await asyncio.create_task(anext(generator))
        with tracer.span("otra") as other:
            await generator.aclose()
            assert current_span() is other

    asyncio.run(main())
    assert [span.name for span in spans] == ["flujo", "otra"]


def test_links_say_what_else_a_span_has_to_do_with(tracer):
    with tracer.span("enviar", kind="producer") as sent:
        pass
    span = tracer.span(
        "recibir", kind="consumer", parent=None, links=[sent, CALLER, Link(CALLER, {"lote": 3})]
    )
    assert [link.context for link in span.links] == [sent.context, CALLER, CALLER]
    assert span.links[2].attributes == {"lote": 3}
    assert span.context.trace_id != sent.context.trace_id


def test_ids_are_drawn_again_where_they_are_all_zeroes():
    drawn = iter([bytes(16), b"\1" * 16, bytes(8), b"\2" * 8])
    span = Tracer("pedidos", print, randbytes=lambda size: next(drawn)).span("x")
    assert (span.context.trace_id, span.context.span_id) == ("01" * 16, "02" * 8)


def test_the_same_random_bytes_give_the_same_ids_and_nobody_elses_dice_are_touched():
    def ids(seed):
        tracer = Tracer("pedidos", print, randbytes=random.Random(seed).randbytes)
        return [tracer.span("x").context.traceparent for _ in range(3)]

    before = random.getstate()
    assert ids(9) == ids(9) != ids(10)
    Tracer("pedidos", print).span("x")
    assert random.getstate() == before


# Times


def test_durations_are_of_the_clock_whatever_the_wall_clock_does(spans):
    clock, wall = Clock(100.0), Clock(1_700_000_000.0)
    tracer = Tracer("pedidos", spans.append, clock=clock, wall=wall)
    with tracer.span("fuera") as outer:
        clock.now += 1
        wall.now -= 3600  # somebody sets the clock back an hour
        with tracer.span("dentro") as inner:
            clock.now += 0.25
            inner.event("a medias")
            clock.now += 0.25
    assert outer.duration == 1.5
    assert inner.duration == 0.5
    assert inner.start - outer.start == 1_000_000_000
    assert outer.end_time == inner.end_time
    assert inner.events[0].time - inner.start == 250_000_000
    assert outer.start == 1_700_000_000_000_000_000


def test_a_trace_that_enters_again_reads_the_wall_clock_again(spans):
    clock, wall = Clock(0.0), Clock(1000.0)
    tracer = Tracer("pedidos", spans.append, clock=clock, wall=wall)
    tracer.span("una").end()
    wall.now = 2000.0
    assert tracer.span("otra").start == 2000 * 10**9


@given(
    st.lists(st.floats(0, 1e4), max_size=20), st.floats(0, 1e7), st.lists(st.floats(-1e6, 1e6), min_size=20)
)
def test_no_child_begins_before_its_parent_or_ends_after_it(steps, began, jumps):
    clock, wall, spans = Clock(began), Clock(1.7e9), []
    tracer = Tracer("pedidos", spans.append, clock=clock, wall=wall)
    with tracer.span("fuera") as outer:
        for step, jump in zip(steps, jumps, strict=False):
            wall.now += jump
            with tracer.span("dentro"):
                clock.now += step
    for span in spans:
        assert outer.start <= span.start <= span.end_time <= outer.end_time


def test_a_running_span_has_no_duration(tracer):
    assert tracer.span("x").duration is None


# What a span keeps


def test_attributes_are_kept_as_they_were_and_unknown_things_as_text(tracer):
    span = tracer.span("x", attributes={"n": 1})
    numbers = [1, 2]
    span.set("lista", numbers)
    span.set("cosa", {"a": 1})
    numbers.append(3)
    assert span.attributes == {"n": 1, "lista": (1, 2), "cosa": "{'a': 1}"}


def test_what_exceeds_the_limit_is_counted(tracer):
    span = tracer.span("x", links=[CALLER] * (LIMIT + 1))
    for n in range(LIMIT + 2):
        span.set(f"a{n}", n)
    span.set("a0", "again")
    for _ in range(LIMIT + 3):
        span.event("e")
    assert (len(span.attributes), len(span.events), len(span.links)) == (LIMIT, LIMIT, LIMIT)
    assert span.dropped == {"attributes": 2, "events": 3, "links": 1}
    assert span.attributes["a0"] == "again"


def test_an_exception_that_leaves_the_block_fails_the_span(tracer, spans):
    with pytest.raises(ZeroDivisionError), tracer.span("dividir"):
        _ = 1 / 0
    [span] = spans
    assert span.status == "error"
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert span.message == "division by zero"
    assert [event.name for event in span.events] == ["exception"]


def test_a_cancelled_task_ends_its_span_and_says_so(tracer, spans):
    async def main():
        async def wait():
            with tracer.span("esperar"):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert [span.attributes["error.type"] for span in spans] == ["CancelledError"]


def test_a_span_ends_once_whoever_ends_it(spans):
    tracer = Tracer("pedidos", spans.append)
    span = tracer.span("x")
    start = threading.Barrier(8)

    def end():
        start.wait()
        span.end()

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spans == [span]


def test_what_is_said_of_a_span_after_its_end_is_not_kept(tracer):
    span = tracer.span("x")
    span.end()
    span.set("tarde", 1)
    span.event("tarde")
    span.fail("tarde")
    assert (span.attributes, span.events, span.status) == ({}, [], "unset")


def test_an_exporter_that_raises_is_logged_and_no_concern_of_the_request(caplog):
    def broken(span):
        raise OSError("disco lleno")

    with Tracer("pedidos", broken).span("x"):
        pass
    assert "disco lleno" in caplog.text


def test_log_records_say_in_which_span_they_were_written(tracer, caplog):
    caplog.handler.addFilter(add_trace_ids)
    log = logging.getLogger("pedidos")
    with tracer.span("x") as span:
        log.warning("dentro")
    log.warning("fuera")
    inside, outside = caplog.records
    assert (inside.trace_id, inside.span_id) == (span.context.trace_id, span.context.span_id)
    assert (inside.service, outside.service, outside.trace_id) == ("pedidos", "-", "-")


# Sampling


def test_what_is_not_sampled_has_a_context_and_is_neither_kept_nor_exported(spans):
    tracer = Tracer("pedidos", spans.append, sampler=always_off)
    with tracer.span("fuera", attributes={"a": 1}) as outer, tracer.span("dentro") as inner:
        inner.event("e")
        inner.fail("x")
    assert spans == []
    assert (outer.recording, outer.attributes, inner.events, inner.status) == (False, {}, [], "unset")
    assert inner.context.trace_id == outer.context.trace_id
    assert not inner.context.sampled


def test_parent_based_does_as_the_parent_did_and_asks_the_root_where_a_trace_begins():
    for root in (always_on, always_off):
        sampler = parent_based(root)
        assert sampler("0" * 32, CALLER) is True
        assert sampler("0" * 32, CALLER._replace(flags=0)) is False
        assert sampler("0" * 32, None) is root("", None)


def test_a_trace_is_recorded_whole_or_not_at_all():
    recorded = []
    edge = Tracer(
        "borde", recorded.append, sampler=parent_based(ratio(0.3)), randbytes=random.Random(1).randbytes
    )
    others = [
        Tracer(name, recorded.append, sampler=parent_based(ratio(0.3))) for name in ("pedidos", "pagos")
    ]
    for _ in range(300):
        with edge.span("r"), others[0].span("a"), others[1].span("b"):
            pass
    sizes = {}
    for span in recorded:
        sizes[span.context.trace_id] = sizes.get(span.context.trace_id, 0) + 1
    assert set(sizes.values()) == {3}
    assert 60 < len(sizes) < 120


def test_ratio_chooses_its_part_and_a_smaller_rate_chooses_among_those_of_a_larger():
    ids = [random.Random(n).randbytes(16).hex() for n in range(4000)]
    few, many = ratio(0.1), ratio(0.5)
    chosen = {each for each in ids if few(each, None)}
    assert 320 < len(chosen) < 480  # 400 ± 4 standard deviations
    assert all(many(each, None) for each in chosen)
    assert not any(ratio(0)(each, None) for each in ids)
    assert all(ratio(1)(each, None) for each in ids)


def test_ratio_chooses_as_opentelemetry_does():
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    ours, theirs = ratio(0.25), TraceIdRatioBased(0.25)
    for n in range(500):
        trace_id = random.Random(n).randbytes(16).hex()
        decision = theirs.should_sample(None, int(trace_id, 16), "x").decision
        assert ours(trace_id, None) is (decision is Decision.RECORD_AND_SAMPLE)


# What is refused


REFUSED = {
    "no service": (lambda: Tracer("", print), "service vale ''"),
    "a service that is no text": (lambda: Tracer(7, print), "service vale 7"),
    "no exporter": (lambda: Tracer("a", None), "export vale None"),
    "a sampler that is none": (lambda: Tracer("a", print, sampler=0.5), "sampler vale 0.5"),
    "a vendor that is no key": (lambda: Tracer("a", print, vendor="Tienda"), "vendor vale 'Tienda'"),
    "a clock that is none": (lambda: Tracer("a", print, clock=3), "clock vale 3"),
    "a span without a name": (lambda: Tracer("a", print).span(" "), "name vale ' '"),
    "an unknown kind": (lambda: Tracer("a", print).span("x", kind="cliente"), "kind vale 'cliente'"),
    "a header as a parent": (lambda: Tracer("a", print).span("x", parent="00-…"), "parent vale '00-…'"),
    "a text as a link": (lambda: Tracer("a", print).span("x", links=["00"]), "links contiene '00'"),
    "a rate above 1": (lambda: ratio(10), "rate vale 10"),
    "a rate that is no number": (lambda: ratio(True), "rate vale True"),
    "a root that is no sampler": (lambda: parent_based(0.1), "root vale 0.1"),
}


@pytest.mark.parametrize(("wrong", "sentence"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_at_once_in_a_sentence(wrong, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    assert str(caught.value).startswith(sentence)
    assert "se acepta" in str(caught.value)
