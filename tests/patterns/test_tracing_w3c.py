"""W3C Trace Context over HTTP, clause by clause, for a Flask service and for one of aiohttp.

A service under test is sent headers as they are, and calls back an echo as often as it is told; what the echo
got is looked at. Clauses are of the Recommendation of 2021-11-23, after L2 of the Level 2 candidate of
2024-03-28.
"""

import http.client
import json
import re
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests
from aiohttp import web
from flask import Flask, request

import labkit
from labkit.patterns.tracing import (
    Tracer,
    TracingAdapter,
    TracingMiddleware,
    trace_config,
    tracing_middleware,
)

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
VALID = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
SENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Callback(NamedTuple):
    """What a service sent to the echo."""

    trace_id: str
    parent_id: str
    flags: int
    state: list[str]
    names: list[str]


def callback(lines):
    parents = [value for name, value in lines if name.lower() == "traceparent"]
    assert len(parents) == 1, "one traceparent goes out"
    match = SENT.fullmatch(parents[0])
    assert match, parents
    assert set(match[1]) != {"0"}
    assert set(match[2]) != {"0"}
    states = [value for name, value in lines if name.lower() == "tracestate"]
    members = states[0].split(",") if states else []
    assert len(states) <= 1, "§3.3.1.1 as a single field"
    assert all(members), "§3.3.1.1 no empty ones are sent"
    return Callback(match[1], match[2], int(match[3], 16), members, [name for name, _ in lines])


def echo():
    async def answer(request):
        return web.json_response([[n.decode(), v.decode("latin-1")] for n, v in request.raw_headers])

    app = web.Application()
    app.router.add_get("/", answer)
    return app


def flask_service(tracer):
    app = Flask("flask")
    session = requests.Session()
    session.mount("http://", TracingAdapter(tracer))

    @app.get("/")
    def ask():
        return [session.get(request.args["url"]).json() for _ in range(int(request.args["times"]))]

    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)
    return app


def aiohttp_service(tracer):
    async def ask(request):
        async with aiohttp.ClientSession(trace_configs=[trace_config(tracer)]) as session:
            answers = []
            for _ in range(int(request.query["times"])):
                async with session.get(request.query["url"]) as answer:
                    answers.append(await answer.json())
            return web.json_response(answers)

    app = web.Application(middlewares=[tracing_middleware(tracer)])
    app.router.add_get("/", ask)
    return app


@pytest.fixture(scope="module")
def echo_url():
    with labkit.serve(echo(), name="eco") as service:
        yield service.url


@pytest.fixture(scope="module", params=["flask", "aiohttp"])
def ask(request, echo_url):
    """A function that sends headers to the service, and returns what it then sends to the echo."""
    make = flask_service if request.param == "flask" else aiohttp_service
    with labkit.serve(make(Tracer("sujeto", lambda span: None)), name="sujeto") as service:
        where = urlsplit(service.url)

        def ask(*headers, times=1):
            connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
            connection.putrequest("GET", f"/?times={times}&url={echo_url}/")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == 200
            answers = [callback(lines) for lines in json.loads(answer.read())]
            connection.close()
            return answers if times > 1 else answers[0]

        yield ask


def state_after(ask, *values):
    got = ask(("traceparent", VALID), *(("tracestate", value) for value in values))
    assert got.trace_id == TRACE, "§3.3 a bad tracestate does no harm to the traceparent"
    return got.state


# §3.2 traceparent

CONTINUED = {
    "§3.2.3 sampled": VALID,
    "§3.2.3 not sampled": UNSAMPLED,
    "§3.2.2.5 other flags do no harm": f"00-{TRACE}-{PARENT}-ff",
    "§3.2.4 a later version": f"cc-{TRACE}-{PARENT}-01",
    "§3.2.4 a later version with more fields": f"cc-{TRACE}-{PARENT}-01-what-the-future-brings",
    "§3.2.4 a later version that ends in a dash": f"01-{TRACE}-{PARENT}-01-",
    "RFC 9110 §5.5 space before": f" {VALID}",
    "RFC 9110 §5.5 tab before": f"\t{VALID}",
    "RFC 9110 §5.5 space after": f"{VALID} ",
    "RFC 9110 §5.5 both": f"\t {VALID} \t",
}

RESTARTED = {
    "§3.2.2 empty": "",
    "§3.2.2 upper case": f"00-{'A' * 32}-{PARENT}-01",
    "§3.2.2 upper case in the parent": f"00-{TRACE}-{'A' * 16}-01",
    "§3.2.2 no dashes": VALID.replace("-", "_"),
    "§3.2.2 digits that are no ASCII": f"00-{TRACE}-{PARENT}-0²",
    "§3.2.2.1 version ff": f"ff-{TRACE}-{PARENT}-01",
    "§3.2.2.1 version with a dot first": f".0-{TRACE}-{PARENT}-01",
    "§3.2.2.1 version with a dot last": f"0.-{TRACE}-{PARENT}-01",
    "§3.2.2.2 version 00 with a character more": f"{VALID}.",
    "§3.2.2.2 version 00 with a dash more": f"{VALID}-",
    "§3.2.2.2 version 00 with a field more": f"{VALID}-what-the-future-brings",
    "§3.2.2.3 trace id of zeroes": f"00-{'0' * 32}-{PARENT}-01",
    "§3.2.2.3 trace id with a dot first": f"00-.{TRACE[1:]}-{PARENT}-01",
    "§3.2.2.3 trace id with a dot last": f"00-{TRACE[:-1]}.-{PARENT}-01",
    "§3.2.2.3 trace id too long": f"00-{TRACE}3-{PARENT}-01",
    "§3.2.2.3 trace id too short": f"00-{TRACE[:-1]}-{PARENT}-01",
    "§3.2.2.4 parent id of zeroes": f"00-{TRACE}-{'0' * 16}-01",
    "§3.2.2.4 parent id with a dot first": f"00-{TRACE}-.{PARENT[1:]}-01",
    "§3.2.2.4 parent id with a dot last": f"00-{TRACE}-{PARENT[:-1]}.-01",
    "§3.2.2.4 parent id too long": f"00-{TRACE}-{PARENT}7-01",
    "§3.2.2.4 parent id too short": f"00-{TRACE}-{PARENT[:-1]}-01",
    "§3.2.2.5 flags with a dot": f"00-{TRACE}-{PARENT}-0.",
    "§3.2.2.5 flags too long": f"00-{TRACE}-{PARENT}-001",
    "§3.2.2.5 flags too short": f"00-{TRACE}-{PARENT}-1",
    "§3.2.4 version too long": f"000-{TRACE}-{PARENT}-01",
    "§3.2.4 version too short": f"0-{TRACE}-{PARENT}-01",
    "§3.2.4 a later version shorter than 55": f"cc-{TRACE}-{PARENT}-0",
    "§3.2.4 a later version without a dash after the flags": f"cc-{TRACE}-{PARENT}-01.future",
    "§3.2.4 a later version with a trace id of zeroes": f"cc-{'0' * 32}-{PARENT}-01",
}


@pytest.mark.parametrize("value", CONTINUED.values(), ids=CONTINUED)
def test_a_valid_traceparent_is_continued_under_a_new_parent_id(ask, value):
    got = ask(("traceparent", value))
    assert got.trace_id == TRACE
    assert got.parent_id != PARENT


@pytest.mark.parametrize("value", RESTARTED.values(), ids=RESTARTED)
def test_an_invalid_traceparent_starts_a_new_trace_and_drops_the_tracestate(ask, value):
    got = ask(("traceparent", value), ("tracestate", "congo=1"))  # §3.3 not even read
    assert got.trace_id not in value
    assert TRACE not in got.trace_id
    assert got.state == []


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_3_2_1_the_name_comes_in_any_case(ask, name):
    assert ask((name, VALID)).trace_id == TRACE


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "trace_parent"])
def test_3_2_1_the_name_has_no_delimiters(ask, name):
    assert ask((name, VALID)).trace_id != TRACE


def test_3_2_1_and_3_3_1_names_go_out_in_lower_case(ask):
    names = ask(("TRACEPARENT", VALID), ("TRACESTATE", "congo=1")).names
    assert "traceparent" in names
    assert "tracestate" in names


def test_two_traceparent_are_none(ask):
    other = VALID.replace("2-1", "3-1")
    assert ask(("traceparent", VALID), ("traceparent", other)).trace_id not in (TRACE, other[3:35])
    assert ask(("traceparent", VALID), ("traceparent", VALID)).trace_id != TRACE


@pytest.mark.parametrize(
    ("flags", "sent"), [("00", 0), ("01", 1), ("09", 1), ("08", 0), ("fd", 1), ("fc", 0)]
)
def test_3_2_2_5_1_and_2_the_sampled_flag_is_a_bit_and_unknown_ones_go_out_as_zero(ask, flags, sent):
    assert ask(("traceparent", f"00-{TRACE}-{PARENT}-{flags}")).flags == sent


@pytest.mark.parametrize("version", ["00", "cc"])
@pytest.mark.parametrize(("flags", "sent"), [("02", 2), ("03", 3), ("01", 1), ("ff", 3)])
def test_L2_3_2_2_5_2_the_random_flag_goes_on_as_it_came(ask, version, flags, sent):
    assert ask(("traceparent", f"{version}-{TRACE}-{PARENT}-{flags}")).flags == sent


def test_L2_3_2_2_5_2_and_3_4_a_trace_that_begins_here_is_random_and_says_so(ask):
    first, second, third = ask(times=1), ask(times=1), ask(times=1)
    assert {got.flags for got in (first, second, third)} == {3}
    assert len({got.trace_id[-14:] for got in (first, second, third)}) == 3


def test_3_4_each_outgoing_call_has_a_parent_id_of_its_own(ask):
    calls = ask(("traceparent", VALID), times=3)
    assert {call.trace_id for call in calls} == {TRACE}
    assert len({call.parent_id for call in calls} | {PARENT}) == 4


def test_3_4_without_a_traceparent_the_calls_of_one_request_are_one_new_trace(ask):
    calls = ask(times=3)
    assert len({call.trace_id for call in calls}) == 1
    assert len({call.parent_id for call in calls}) == 3


def test_4_3_with_an_invalid_one_they_are_one_new_trace_too(ask):
    calls = ask(("traceparent", f"00-{'0' * 32}-{PARENT}-01"), times=3)
    assert len({call.trace_id for call in calls}) == 1
    assert len({call.parent_id for call in calls}) == 3


# §3.3 tracestate

MANY = [f"bar{n:02}={n:02}" for n in range(1, 34)]
ALL_OF_A_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
ALL_OF_A_VALUE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")

KEPT = {
    "§3.3 the order is kept": (["foo=1,bar=2"], ["foo=1", "bar=2"]),
    "§3.3.1.1 several fields are one, in order": (
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
        ["foo=1", "bar=2", "rojo=1", "congo=2", "baz=3"],
    ),
    "§3.3.1.1 empty": ([""], []),
    "§3.3.1.1 an empty field after": (["foo=1", ""], ["foo=1"]),
    "§3.3.1.1 an empty field before": (["", "foo=1"], ["foo=1"]),
    "§3.3.1.1 empty members": (["foo=1,, ,\t,bar=2"], ["foo=1", "bar=2"]),
    "§3.3.1.1 space around members": (["foo=1 \t , \t bar=2, \t baz=3"], ["foo=1", "bar=2", "baz=3"]),
    "§3.3.1.1 space around them all": (["\t foo=1 \t"], ["foo=1"]),
    "§3.3.1.2 as many as may be": ([",".join(MANY[:20]), ",".join(MANY[20:32])], MANY[:32]),
    "§3.3.1.3.1 all letters of a key": ([f"{ALL_OF_A_KEY}=1"], [f"{ALL_OF_A_KEY}=1"]),
    "§3.3.1.3.1 tenant and system": ([f"{'t' * 241}@{'v' * 14}=1"], [f"{'t' * 241}@{'v' * 14}=1"]),
    "§3.3.1.3.1 the longest key": ([f"{'z' * 256}=1"], [f"{'z' * 256}=1"]),
    "L2 §3.3.1.3.1 a key may begin with a digit": (["0foo=1"], ["0foo=1"]),
    "L2 §3.3.1.3.1 and hold several @": (["foo@bar@baz=1"], ["foo@bar@baz=1"]),
    "§3.3.1.3.2 all letters of a value": ([f"foo={ALL_OF_A_VALUE}"], [f"foo={ALL_OF_A_VALUE}"]),
    "§3.3.1.3.2 leading spaces are of the value": (["foo=  1"], ["foo=  1"]),
    "§3.3.1.3.2 the longest value": ([f"foo={'x' * 256}"], [f"foo={'x' * 256}"]),
    "§3.3.1.5 512 characters": (
        [f"foo={'x' * 250},bar={'y' * 253}"],
        [f"foo={'x' * 250}", f"bar={'y' * 253}"],
    ),
}

DISCARDED = {
    "§3.3.1.2 one too many": [",".join(MANY)],
    "§3.3.1.2 one too many in several fields": [",".join(MANY[:20]), ",".join(MANY[20:])],
    "§3.3.1.3 no sign of equality": ["foo=1,bar"],
    "§3.3.1.3.1 space in a key": ["foo =1"],
    "§3.3.1.3.1 upper case": ["FOO=1"],
    "§3.3.1.3.1 a dot": ["foo.bar=1"],
    "§3.3.1.3.1 begins with @": ["@foo=1,bar=2"],
    "§3.3.1.3.1 begins with a dash": ["-foo=1,bar=2"],
    "§3.3.1.3.1 no key": ["=1,bar=2"],
    "§3.3.1.3.1 a key too long": [f"foo=1,{'z' * 257}=1"],
    "§3.3.1.3.2 a value with =": ["foo=bar=baz"],
    "§3.3.1.3.2 no value": ["foo=,bar=3"],
    "§3.3.1.3.2 a value too long": [f"bar=1,foo={'x' * 257}"],
    "§3.3.1.3.2 a letter that is no ASCII": ["foo=ñ,bar=1"],
    "§3.3.1.4 a key twice": ["foo=1,foo=2"],
    "§3.3.1.4 a key twice, the same value": ["foo=1,foo=1"],
    "§3.3.1.4 a key twice in two fields": ["foo=1", "foo=2"],
}


@pytest.mark.parametrize(("values", "members"), KEPT.values(), ids=KEPT)
def test_a_valid_tracestate_goes_on_as_it_came(ask, values, members):
    assert state_after(ask, *values) == members


@pytest.mark.parametrize("values", DISCARDED.values(), ids=DISCARDED)
def test_an_invalid_tracestate_is_discarded_whole(ask, values):
    assert state_after(ask, *values) == []


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_3_3_1_the_name_of_the_state_comes_in_any_case(ask, name):
    assert ask(("traceparent", VALID), (name, "foo=1")).state == ["foo=1"]


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_3_3_1_and_has_no_delimiters(ask, name):
    assert ask(("traceparent", VALID), (name, "foo=1")).state == []


def test_3_3_a_tracestate_without_a_traceparent_is_not_read(ask):
    assert ask(("tracestate", "foo=1")).state == []


def test_3_3_3_the_state_of_a_later_version_is_read_as_far_as_it_can_be(ask):
    assert ask(("traceparent", f"cc-{TRACE}-{PARENT}-01-x"), ("tracestate", "foo=1")).state == ["foo=1"]


def test_3_5_each_call_hands_on_the_whole_state(ask):
    calls = ask(("traceparent", VALID), ("tracestate", "foo=1,bar=2"), times=2)
    assert [call.state for call in calls] == [["foo=1", "bar=2"]] * 2


def test_3_3_1_5_a_state_that_is_too_long_loses_whole_members_the_long_ones_first(ask):
    short, long = [f"s{n}={'x' * 100}" for n in range(12)], [f"l{n}={'y' * 250}" for n in range(20)]
    mixed = [member for pair in zip(short, long[:12], strict=True) for member in pair] + long[12:]
    assert state_after(ask, ",".join(mixed[:16]), ",".join(mixed[16:])) == short
