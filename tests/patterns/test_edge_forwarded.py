"""Who the client is, and what the service behind is told of it."""

import pytest
from multidict import CIMultiDict

from labkit.patterns.edge import InvalidInput, TrustedProxies

OURS = ["10.0.0.0/8", "2001:db8:1::/48"]


def caller(peer, *headers, trusted=OURS, header="X-Forwarded-For", host="tienda.es"):
    return TrustedProxies(trusted, header).caller(peer, CIMultiDict(headers), scheme="http", host=host)


@pytest.mark.parametrize(
    ("peer", "claims", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),  # a stranger's word
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the client wrote the first
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),  # in two lines
        ("10.0.0.1", ["1.2.3.4, 10.0.0.2, 10.0.0.3"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 10.0.0.9, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["nadie"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, nadie, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::7]:5678"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("2001:db8:1::5", ["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], "1.2.3.4"),  # one address in another dress
        ("10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4\u00e9"], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["10.0.0.2"] * 1000)], "10.0.0.2"),
    ],
)
def test_the_client_is_the_first_that_is_no_proxy_of_ours_from_the_end(peer, claims, address):
    assert caller(peer, *(("X-Forwarded-For", each) for each in claims)).address == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=1.2.3.4", "1.2.3.4"),
        ('For="[2001:db8::7]:4711"', "2001:db8::7"),
        ("for=6.6.6.6, for=1.2.3.4;proto=https;by=10.0.0.1", "1.2.3.4"),
        ('for=6.6.6.6;host="a, for=7.7.7.7", for=1.2.3.4', "1.2.3.4"),
        ("for=1.2.3.4, for=10.0.0.2", "1.2.3.4"),
        ("for=unknown", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("basura;;;===", "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_where_our_proxies_set_that_one(value, address):
    found = caller("10.0.0.1", ("Forwarded", value), ("X-Forwarded-For", "9.9.9.9"), header="Forwarded")
    assert found.address == address


def test_the_other_header_is_not_read():
    assert caller("10.0.0.1", ("Forwarded", "for=9.9.9.9")).address == "10.0.0.1"


def test_scheme_and_host_are_those_that_our_outermost_proxy_was_asked():
    said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "tienda.com:8443")]
    found = caller("10.0.0.1", ("X-Forwarded-For", "1.2.3.4"), *said)
    assert (found.scheme, found.host) == ("https", "tienda.com:8443")
    found = caller("203.0.113.9", ("X-Forwarded-For", "1.2.3.4"), *said)
    assert (found.scheme, found.host) == ("http", "tienda.es")
    found = caller(
        "10.0.0.1", ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", 'a";x="b'),
    )  # fmt: skip
    assert (found.scheme, found.host) == ("http", "tienda.es")
    found = caller("10.0.0.1", ("Forwarded", 'for=1.2.3.4;proto=https;host="a.es:1"'), header="Forwarded")
    assert (found.scheme, found.host) == ("https", "a.es:1")


def test_the_chain_is_written_anew():
    headers = caller("10.0.0.1", ("X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.2")).headers()
    assert headers == {
        "X-Forwarded-For": "1.2.3.4, 10.0.0.2, 10.0.0.1",
        "X-Forwarded-Host": "tienda.es",
        "X-Forwarded-Proto": "http",
        "Forwarded": 'for=1.2.3.4;host="tienda.es";proto=http, for=10.0.0.2, for=10.0.0.1',
    }
    assert caller("2001:db8::7").headers()["Forwarded"] == 'for="[2001:db8::7]";host="tienda.es";proto=http'


def test_a_host_that_is_none_is_not_handed_on():
    assert caller("203.0.113.9", host='x";by="y').headers()["X-Forwarded-Host"] == ""


def test_what_one_client_has_many_of_is_counted_as_one():
    assert caller("2001:db8:7:8:9::1").group == caller("2001:db8:7:8::2").group == "2001:db8:7:8::/64"
    assert caller("203.0.113.9").group == "203.0.113.9"
    assert caller("no es una dirección").group == "unknown"


def test_a_network_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="no es una red"):
        TrustedProxies(["10.0.0.0/99"])
    with pytest.raises(InvalidInput, match="header"):
        TrustedProxies([], "X-Real-IP")
