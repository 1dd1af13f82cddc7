"""Who the client is, and what the service behind is told of it."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from labkit.patterns.edge import TrustedProxies

OURS = ["10.0.0.0/8", "2001:db8:1::/48"]


def caller(peer, *headers, host="tienda.es"):
    """The client of a request that came from `peer`, to an edge that trusts `OURS`."""
    request = make_mocked_request("GET", "/", headers=CIMultiDict([("Host", host), *headers]))
    return TrustedProxies(*OURS).caller(request.clone(remote=peer))


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
    for given in ("10.0.0.0/99", "10.0.0.1/8", "proxy", None, ["10.0.0.0/8"]):
        with pytest.raises(ValueError, match="no es una red"):
            TrustedProxies(given)
