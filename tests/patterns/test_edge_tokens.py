"""Tokens: those that are right, a table of forged ones, and secrets that show nowhere."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging

import jwt
import pytest
from werkzeug.security import generate_password_hash

from labkit.patterns.bulkhead import BulkheadFullError
from labkit.patterns.edge import InvalidToken, Key, Tokens, Users

NOW = 1_700_000_000
SECRET, OLD, STRANGER = b"s" * 64, b"o" * 64, b"x" * 64
CLAIMS = {"iss": "tienda", "aud": "libreria", "sub": "ana", "iat": NOW, "nbf": NOW, "exp": NOW + 900}


class Clock:
    def __init__(self):
        self.now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    keys = [Key("new", SECRET), Key("old", OLD, "HS512")]
    return Tokens(keys, issuer="tienda", audience="libreria", lifetime=900, leeway=5, clock=clock)


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header=None, claims=None, secret=SECRET, digest=hashlib.sha256, **changes):
    """A token written by hand: no library stands between the attacker and the bytes."""
    head = b64({"alg": "HS256", "typ": "JWT", "kid": "new"} | (header or {}))
    body = claims if isinstance(claims, str) else b64({**(claims or CLAIMS), **changes})
    signed = f"{head}.{body}".encode()
    return f"{head}.{body}.{b64(hmac.new(secret, signed, digest).digest())}"


def without(*names):
    return {name: value for name, value in CLAIMS.items() if name not in names}


def unsigned(alg):
    return f"{b64({'alg': alg, 'typ': 'JWT', 'kid': 'new'})}.{b64(CLAIMS)}."


def altered():
    head, _, signature = forge().split(".")
    return f"{head}.{b64({**CLAIMS, 'sub': 'root'})}.{signature}"


GOOD = {
    "as issued": forge(),
    "two audiences": forge(aud=["otra", "libreria"]),
    "no nbf, no iat": forge(claims=without("nbf", "iat")),
    "within leeway": forge(exp=NOW - 4),
    "begins within leeway": forge(nbf=NOW + 4),
    "of the older key": forge({"kid": "old", "alg": "HS512"}, secret=OLD, digest=hashlib.sha512),
    "times with fractions": forge(exp=NOW + 0.5),
}

OWN_KEY = {"kty": "oct", "k": b64(STRANGER)}
ELSEWHERE = {"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/"}
AFTER_HEADER = forge()[forge().index(".") :]

FORGED = {
    "alg none": (unsigned("none"), "algorithm"),
    "alg None": (unsigned("None"), "algorithm"),
    "alg nOnE, signed": (forge({"alg": "nOnE"}), "algorithm"),
    "no alg": (f"{b64({'kid': 'new'})}.{b64(CLAIMS)}.", "algorithm"),
    "alg of another key": (forge({"alg": "HS512"}, digest=hashlib.sha512), "algorithm"),
    "alg RS256 over a shared secret": (forge({"alg": "RS256"}), "algorithm"),
    "alg a list": (forge({"alg": ["HS256"]}), "algorithm"),
    "no signature": (forge().rpartition(".")[0] + ".", "signature"),
    "a signature cut": (forge()[:-8], "signature"),
    "another secret": (forge(secret=STRANGER), "signature"),
    "an empty secret": (forge(secret=b""), "signature"),
    "the old secret under the new name": (forge(secret=OLD), "signature"),
    "claims altered": (altered(), "signature"),
    "header altered": (b64({"alg": "HS256", "kid": "new", "x": 1}) + AFTER_HEADER, "signature"),
    "kid unknown": (forge({"kid": "robada"}), "unknown_key"),
    "no kid": (b64({"alg": "HS256"}) + AFTER_HEADER, "unknown_key"),
    "kid a path": (forge({"kid": "../../dev/null"}, secret=b""), "unknown_key"),
    "kid SQL": (forge({"kid": "x' UNION SELECT 'key"}), "unknown_key"),
    "kid a list": (forge({"kid": ["new"]}), "malformed"),
    "kid a number": (forge({"kid": 1}), "malformed"),
    "its own key inside": (forge({"kid": "mia", "jwk": OWN_KEY}, secret=STRANGER), "unknown_key"),
    "its own key inside, our kid": (forge({"jwk": OWN_KEY}, secret=STRANGER), "signature"),
    "a key from elsewhere": (forge(ELSEWHERE, secret=STRANGER), "signature"),
    "crit": (forge({"crit": ["exp"]}), "malformed"),
    "crit unknown": (forge({"crit": ["x"], "x": 1}), "malformed"),
    "payload not encoded": (forge({"b64": False}), "malformed"),
    "compressed": (forge({"zip": "DEF"}), "malformed"),
    "expired": (forge(exp=NOW - 5), "expired"),
    "expired long ago": (forge(exp=0), "expired"),
    "no exp": (forge(claims=without("exp")), "claims"),
    "exp null": (forge(exp=None), "claims"),
    "exp a text": (forge(exp=str(NOW + 900)), "claims"),
    "exp true": (forge(exp=True), "claims"),
    "exp infinite": (forge(claims=b64(json.dumps({**CLAIMS, "exp": float("inf")}).encode())), "claims"),
    "exp not a number": (forge(claims=b64(json.dumps({**CLAIMS, "exp": float("nan")}).encode())), "claims"),
    "exp huge": (forge(exp=10**400), "claims"),
    "not yet": (forge(nbf=NOW + 6), "not_yet"),
    "nbf a text": (forge(nbf="0"), "claims"),
    "issued in the future": (forge(iat=NOW + 6), "not_yet"),
    "another audience": (forge(aud="banco"), "audience"),
    "no audience": (forge(claims=without("aud")), "claims"),
    "audience a prefix": (forge(aud="libr"), "audience"),
    "audience an object": (forge(aud={"libreria": 1}), "audience"),
    "another issuer": (forge(iss="impostor"), "issuer"),
    "no issuer": (forge(claims=without("iss")), "claims"),
    "issuer a list": (forge(iss=["tienda"]), "issuer"),
    "no subject": (forge(claims=without("sub")), "claims"),
    "subject empty": (forge(sub=""), "claims"),
    "subject a number": (forge(sub=1), "claims"),
    "subject with a line end": (forge(sub="ana\r\nX-Admin: 1"), "claims"),
    "scope a list": (forge(scope=["admin"]), "claims"),
    "empty": ("", "malformed"),
    "dots": ("..", "malformed"),
    "one part": (b64(CLAIMS), "malformed"),
    "four parts": (forge() + ".x", "malformed"),
    "five parts, encrypted": ("a.b.c.d.e", "malformed"),
    "not base64": ("!!!.???.***", "malformed"),
    "not JSON": (forge(claims=b64(b"hola")), "claims"),
    "claims a list": (forge(claims=b64(b"[]")), "claims"),
    "header a list": (f"{b64(b'[]')}.{b64(CLAIMS)}.x", "malformed"),
    "header nested deeply": (f"{b64(b'[' * 5000)}.{b64(CLAIMS)}.x", "malformed"),
    "too long": (forge(padding="x" * 9000), "malformed"),
    "letters of another alphabet": ("ñandú.ñandú.ñandú", "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("token", GOOD.values(), ids=GOOD)
def test_a_right_token_says_who_bears_it(tokens, token):
    assert tokens.verify(token).subject == "ana"


@pytest.mark.parametrize(("token", "flaw"), FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(tokens, token, flaw):
    with pytest.raises(InvalidToken) as refused:
        tokens.verify(token)
    assert refused.value.flaw == flaw
    for part in token.split("."):
        assert len(part) < 8 or part not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_none_of_the_wrong_characters_passes_in_place_of_a_right_one(tokens):
    token = GOOD["as issued"]
    refused = 0
    for place in range(len(token) - 1):  # the last character of a signature carries bits that nobody reads
        for letter in "A_.":
            other = token[:place] + letter + token[place + 1 :]
            if other != token:
                with pytest.raises(InvalidToken):
                    tokens.verify(other)
                refused += 1
    assert refused > 2 * len(token)


def test_what_is_issued_is_verified_until_it_expires(tokens, clock):
    token = tokens.issue("ana", ["leer", "comprar"])
    assert tokens.verify(token).scopes == {"leer", "comprar"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "new"}
    clock.now += 900 + 4.9
    assert tokens.verify(token).subject == "ana"
    clock.now += 0.1
    with pytest.raises(InvalidToken, match="caducado"):
        tokens.verify(token)


def test_a_token_that_was_verified_before_expires_all_the_same(tokens, clock):
    token = tokens.issue("ana")
    assert [tokens.verify(token).subject for _ in range(3)] == ["ana"] * 3
    clock.now += 905
    for _ in range(2):
        with pytest.raises(InvalidToken, match="caducado"):
            tokens.verify(token)


def test_the_tokens_that_are_remembered_are_bounded(tokens, monkeypatch):
    monkeypatch.setattr("labkit.patterns.edge.tokens.MOST_KNOWN", 10)
    for number in range(100):
        assert tokens.verify(tokens.issue(f"ana-{number}")).subject == f"ana-{number}"
    assert len(tokens._verified) <= 10


def test_a_key_is_replaced_while_its_old_tokens_live_on(tokens, clock):
    token = tokens.issue("ana")
    both = Tokens([Key("next", OLD), Key("new", SECRET)], issuer="tienda", audience="libreria", clock=clock)
    assert both.verify(token).subject == "ana"
    assert jwt.get_unverified_header(both.issue("ana"))["kid"] == "next"
    alone = Tokens([Key("next", OLD)], issuer="tienda", audience="libreria", clock=clock)
    with pytest.raises(InvalidToken) as refused:
        alone.verify(token)
    assert refused.value.flaw == "unknown_key"


def test_a_secret_comes_from_the_environment_or_is_made_at_start(monkeypatch):
    monkeypatch.setenv("CLAVE", "k" * 40)
    assert Key.from_environment("a", "CLAVE").secret == b"k" * 40
    with pytest.raises(ValueError, match="OTRA"):
        Key.from_environment("a", "OTRA")
    assert Key.random("a").secret != Key.random("a").secret


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Key("a", b"corta"), "32"),
        (lambda: Key("a", b"x" * 63, "HS512"), "64"),
        (lambda: Key("a", "x" * 64), "0 bytes"),
        (lambda: Key("a", SECRET, "none"), "algoritmo"),
        (lambda: Key("", SECRET), "kid"),
        (lambda: Tokens([], issuer="a", audience="b"), "al menos una clave"),
        (lambda: Tokens([Key("a", SECRET)] * 2, issuer="a", audience="b"), "kid"),
        (lambda: Tokens([Key("a", SECRET)], issuer="", audience="b"), "issuer"),
        (lambda: Tokens([Key("a", SECRET)], issuer="a", audience="b", lifetime=0), "lifetime"),
        (lambda: Tokens([Key("a", SECRET)], issuer="a", audience="b", leeway=-1), "leeway"),
        (lambda: Users({"ana": "secreta"}), "generate_password_hash"),
        (lambda: Users({"": generate_password_hash("x")}), "generate_password_hash"),
        (lambda: Users(["ana"]), "generate_password_hash"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, says):
    with pytest.raises(ValueError, match=says) as refused:
        make()
    assert "secreta" not in str(refused.value)


def test_no_repr_shows_a_secret(tokens):
    key = Key("a", b"muy-secreta-" * 6)
    users = Users({"ana": generate_password_hash("clave-de-ana")})
    for thing in (key, tokens, users):
        assert "secreta" not in repr(thing)
        assert "sss" not in repr(thing)
        assert "scrypt" not in repr(thing)
    users.close()


# Passwords


@pytest.fixture
def users():
    hashes = {name: generate_password_hash(f"clave de {name}") for name in ("ana", "luis")}
    made = Users(hashes, {"ana": ["comprar"]}, workers=1, queue=1)
    yield made
    made.close()


def test_the_right_password_gives_the_scopes(users):
    async def main():
        assert await users.check("ana", "clave de ana") == {"comprar"}
        assert await users.check("luis", "clave de luis") == frozenset()
        for name, password in [("ana", "clave de luis"), ("ana", ""), ("eva", "clave de ana"), ("", "")]:
            assert await users.check(name, password) is None
        assert await users.check("ana", "ñ" * 600) is None

    asyncio.run(main())


def test_an_unknown_name_is_as_much_work_as_a_wrong_password(users, monkeypatch):
    from labkit.patterns.edge import users as module

    checked = []
    real = module.check_password_hash
    monkeypatch.setattr(module, "check_password_hash", lambda *given: checked.append(given) or real(*given))

    async def main():
        assert await users.check("nadie", "x") is None
        assert await users.check("ana", "x") is None

    asyncio.run(main())
    assert [each[0].split("$")[0] for each in checked] == ["scrypt:32768:8:1"] * 2


def test_a_flood_of_log_ins_takes_no_more_than_its_threads_and_its_queue(users):
    async def main():
        results = await asyncio.gather(
            *(users.check("ana", "clave de ana") for _ in range(10)), return_exceptions=True
        )
        assert results.count({"comprar"}) == 2
        assert sum(isinstance(each, BulkheadFullError) for each in results) == 8

    asyncio.run(main())


def test_nothing_of_a_password_is_logged(users, caplog):
    caplog.set_level(logging.DEBUG)
    asyncio.run(users.check("ana", "clave-secreta"))
    assert "clave-secreta" not in caplog.text
