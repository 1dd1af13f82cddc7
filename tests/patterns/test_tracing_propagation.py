"""Headers without HTTP: what a tracer writes and reads, its own entry, and baggage."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from requests.structures import CaseInsensitiveDict

from labkit.patterns.tracing import (
    SpanContext,
    Tracer,
    always_off,
    current_span,
    extract,
    extract_baggage,
    get_baggage,
    inject,
    set_baggage,
)
from labkit.patterns.tracing.baggage import LIMIT, MEMBERS, Entry, format_baggage, parse_baggage
from labkit.patterns.tracing.w3c import (
    TRACESTATE_LIMIT,
    format_tracestate,
    parse_traceparent,
    parse_tracestate,
    with_entry,
)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
keys = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-*/@", min_size=1, max_size=20).filter(
    lambda key: key[0] in string.ascii_lowercase + string.digits
)
octets = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in ",=")


def tracer(**kwargs):
    return Tracer("pedidos", lambda span: None, **kwargs)


@given(st.text())
def test_no_text_whatever_makes_the_parser_raise(text):
    assert parse_traceparent(text) is None
    assert isinstance(parse_tracestate(text), dict)
    assert isinstance(parse_baggage(text), dict)


@given(st.dictionaries(keys, st.text(octets, min_size=1, max_size=50), max_size=32))
def test_a_tracestate_survives_writing_and_reading(members):
    written = format_tracestate(members)
    assert list(parse_tracestate(written).items()) == list(members.items())


@given(st.dictionaries(keys, st.text(octets, min_size=1, max_size=256), max_size=40))
def test_3_3_1_5_whatever_is_written_is_within_the_limits_and_of_whole_members(members):
    written = format_tracestate(members)
    assert len(written) <= TRACESTATE_LIMIT
    kept = parse_tracestate(written)
    assert len(kept) <= 32
    assert kept.items() <= members.items()
    assert [key for key in members if key in kept] == list(kept)


def test_3_5_a_modified_key_moves_to_the_front_and_the_others_keep_their_order():
    assert with_entry("rojo=1,congo=2,baz=3", "congo", "9") == "congo=9,rojo=1,baz=3"
    assert with_entry("rojo=1", "congo", "9") == "congo=9,rojo=1"
    assert with_entry("", "congo", "9") == "congo=9"


def test_3_3_1_1_where_there_are_32_the_last_one_makes_room():
    full = ",".join(f"k{n}=1" for n in range(32))
    after = parse_tracestate(with_entry(full, "nuestra", "1"))
    assert list(after) == ["nuestra", *(f"k{n}" for n in range(31))]


def test_3_3_1_4_a_tracer_with_a_vendor_puts_its_entry_in_front_and_overwrites_it_on_reentry():
    incoming = SpanContext(TRACE, PARENT, 1, "rojo=1,tienda=0000000000000000,congo=2")
    with tracer(vendor="tienda").span("atender", parent=incoming) as span:
        inject(headers := {})
    assert headers["tracestate"] == f"tienda={span.context.span_id},rojo=1,congo=2"


def test_what_was_written_is_read_back():
    with tracer().span("atender") as span:
        inject(headers := {})
    assert extract(headers) == span.context


@pytest.mark.parametrize("make", [dict, CIMultiDict, CaseInsensitiveDict])
def test_headers_of_an_earlier_hop_are_replaced_whatever_their_case(make):
    headers = make(
        {"TraceParent": f"00-{TRACE}-{PARENT}-01", "TRACESTATE": "a=1", "Baggage": "x=1", "Host": "h"}
    )
    if make is CIMultiDict:
        headers.add("traceparent", "another")
    with tracer().span("atender") as span:
        inject(headers)
    assert [(name.lower(), value) for name, value in headers.items()] == [
        ("host", "h"),
        ("traceparent", span.context.traceparent),
    ]


def test_without_a_span_nothing_is_written_but_baggage():
    assert current_span() is None
    inject(headers := {})
    assert headers == {}
    with set_baggage(cliente="oro"):
        inject(headers)
    assert headers == {"baggage": "cliente=oro"}


def test_L2_3_4_a_trace_that_is_not_sampled_travels_all_the_same():
    with tracer(sampler=always_off).span("atender"):
        inject(headers := {})
    assert extract(headers).sampled is False


# Baggage


def test_baggage_is_of_the_block_and_of_those_inside_it():
    with set_baggage(cliente="oro", prueba="sí"):
        with set_baggage(cliente="plata"):
            assert get_baggage() == {"cliente": "plata", "prueba": "sí"}
        assert get_baggage() == {"cliente": "oro", "prueba": "sí"}
    assert get_baggage() == {}


READ = {
    "the specification's example": (
        "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue",
        {
            "key1": Entry("value1", ";property1;property2"),
            "key2": Entry("value2"),
            "key3": Entry("value3", ";propertyKey=propertyValue"),
        },
    ),
    "§3.3.1.3 values are percent-encoded UTF-8": (
        "serverNode=DF%2028,n=%C3%B1",
        {"serverNode": "DF 28", "n": "ñ"},
    ),
    "§3.3.1.3 a value may hold =": ("k=a=b==", {"k": "a=b=="}),
    "§3.3.1.3 a value may be empty": ("k=", {"k": ""}),
    "§3.3.1.1 of a key that comes twice the last counts": ("k=1,k=2", {"k": "2"}),
    "what is invalid is left out, the rest stays": ('a=1,sin igual,b c=2,d="x",e=3', {"a": "1", "e": "3"}),
    "nothing": ("", {}),
}


@pytest.mark.parametrize(("header", "entries"), READ.values(), ids=READ)
def test_a_baggage_header_is_read(header, entries):
    expected = {key: Entry(value) if isinstance(value, str) else value for key, value in entries.items()}
    assert parse_baggage(header) == expected


@given(
    st.dictionaries(
        st.text(string.ascii_letters + "_-!#", min_size=1, max_size=9), st.text(max_size=20), max_size=9
    )
)
def test_any_text_survives_as_a_value(values):
    written = {key: value.encode("utf-8", "replace").decode() for key, value in values.items()}
    read = parse_baggage(format_baggage({key: Entry(value) for key, value in values.items()}))
    assert {key: entry.value for key, entry in read.items()} == written


def test_3_3_2_64_members_and_8192_bytes_go_on_whole():
    header = ",".join(f"k{n:02}={'x' * 124}" for n in range(64))
    assert len(header) == 64 * 129 - 1 > LIMIT
    header = header[: LIMIT - 129] + ",z=" + "y" * 126
    assert len(header) <= LIMIT
    assert format_baggage(parse_baggage(header)) == header


def test_what_is_too_much_is_left_out_whole():
    many = {f"k{n}": Entry("1") for n in range(MEMBERS + 20)}
    assert len(parse_baggage(format_baggage(many))) == MEMBERS
    large = {"a": Entry("x" * 5000), "b": Entry("x" * 5000), "c": Entry("1")}
    assert list(parse_baggage(format_baggage(large))) == ["a", "c"]


def test_several_baggage_headers_are_one():
    assert list(extract_baggage([("baggage", "a=1"), ("Baggage", "b=2")])) == ["a", "b"]


def test_a_key_that_is_no_token_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="token de RFC 7230"), set_baggage(**{"mi clave": "1"}):
        pass
