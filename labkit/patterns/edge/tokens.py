"""JSON Web Tokens: issued by this edge, and verified on the way in.

Everything that an attacker would choose is fixed here: a key has one algorithm, whatever the token's header
says; a key is found by its `kid` among our own and never fetched from where the token points (`jku`, `jwk`,
`x5u`); `exp`, `sub`, `aud` and `iss` must be there and be right. Several keys may be valid at once, so that
one can be replaced by the next while old tokens live on: the first signs, all verify.

A token, or a secret, is in no text, repr or error of this module.

Sources: RFC 7519; RFC 8725, "JSON Web Token Best Current Practices"; RFC 6750 (bearer tokens).
"""

import math
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt

from labkit.patterns._given import valid_seconds
from labkit.patterns.edge import messages
from labkit.patterns.edge.errors import InvalidToken

LONGEST_TOKEN = 8192  # characters
MOST_KNOWN = 4096  # tokens that were found valid and are remembered

_LEAST_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}  # RFC 7518, section 3.2


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, its name, and the one algorithm that it is for. Raises ValueError for a short secret."""

    kid: str
    secret: bytes = field(repr=False)
    algorithm: str = "HS256"

    def __post_init__(self) -> None:
        _text("kid", self.kid)
        if self.algorithm not in _LEAST_BYTES:
            raise ValueError(
                messages.BAD_ALGORITHM.format(given=self.algorithm, known=", ".join(_LEAST_BYTES))
            )
        least = _LEAST_BYTES[self.algorithm]
        given = len(self.secret) if isinstance(self.secret, bytes) else 0
        if given < least:
            raise ValueError(
                messages.SHORT_SECRET.format(kid=self.kid, given=given, algorithm=self.algorithm, least=least)
            )

    @classmethod
    def random(cls, kid: str, algorithm: str = "HS256") -> "Key":
        """Make a new secret, which lives as long as this process."""
        return cls(kid, secrets.token_bytes(64), algorithm)

    @classmethod
    def from_environment(cls, kid: str, variable: str, algorithm: str = "HS256") -> "Key":
        """Take the secret from an environment variable. Raises ValueError when there is none."""
        secret = os.environ.get(variable, "")
        if not secret:
            raise ValueError(messages.NO_SECRET.format(variable=variable, kid=kid))
        return cls(kid, secret.encode(), algorithm)


@dataclass(frozen=True, slots=True)
class Identity:
    """The bearer of a token that was found valid."""

    subject: str
    scopes: frozenset[str] = frozenset()


class Tokens:
    """Issues tokens and verifies them.

    `keys`: the first signs, all verify. `issuer`, `audience`: what must stand in a token. `lifetime`: seconds
    until an issued one expires. `leeway`: seconds that two machines' clocks may differ. `clock`: the time of
    day in seconds, as tokens travel between machines.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        issuer: str,
        audience: str,
        lifetime: float = 900.0,
        leeway: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = tuple(keys)
        self._keys = {key.kid: key for key in given}
        if not given or len(self._keys) < len(given):
            raise ValueError(messages.NO_KEYS.format(given=[key.kid for key in given]))
        self._signer = given[0]
        # A client sends the same token with each request: until it expires it is what it was.
        self._verified: dict[str, tuple[Identity, float]] = {}
        valid_seconds("lifetime", lifetime)
        if not 0 <= leeway < math.inf:
            raise ValueError(messages.BAD_LEEWAY.format(given=leeway))
        self.issuer, self.audience = _text("issuer", issuer), _text("audience", audience)
        self.lifetime, self.leeway = lifetime, leeway
        self._clock = clock

    def issue(self, subject: str, scopes: Collection[str] = ()) -> str:
        """Return a signed token for `subject`, valid from now on for `lifetime` seconds."""
        now = math.floor(self._clock())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": _text("subject", subject),
            "iat": now,
            "nbf": now,
            "exp": now + math.ceil(self.lifetime),
            "jti": uuid4().hex,
            "scope": " ".join(sorted(scopes)),
        }
        key = self._signer
        return jwt.encode(claims, key.secret, key.algorithm, headers={"kid": key.kid})

    def verify(self, token: str) -> Identity:
        """Return the token's bearer. Raises InvalidToken, which says what is wrong with it."""
        known = self._verified.get(token)
        if known is not None and self._clock() < known[1]:
            return known[0]
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken("malformed")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise InvalidToken("malformed") from None  # PyJWT's own error may quote the token
        key = self._keys.get(header.get("kid", ""))
        if key is None:
            raise InvalidToken("unknown_key")
        if header.get("alg") != key.algorithm:
            raise InvalidToken("algorithm")
        if header.keys() & {"crit", "b64", "zip", "enc"}:  # extensions, of which we understand none
            raise InvalidToken("malformed")
        claims = self._decode(token, key)
        self._check_times(claims)
        scope = claims.get("scope", "")
        if not claims["sub"] or not claims["sub"].isprintable() or not isinstance(scope, str):
            raise InvalidToken("claims")
        identity = Identity(claims["sub"], frozenset(scope.split()))
        if len(self._verified) >= MOST_KNOWN:
            self._verified.clear()
        self._verified[token] = (identity, claims["exp"] + self.leeway)
        return identity

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.secret,
                algorithms=[key.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                options={
                    "require": ["exp", "sub", "aud", "iss"],
                    # By our own clock, below.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            flaw = "signature"
        except jwt.InvalidAudienceError:
            flaw = "audience"
        except jwt.InvalidIssuerError:
            flaw = "issuer"
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            flaw = "claims"
        raise InvalidToken(flaw)

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        for name in claims.keys() & {"exp", "nbf", "iat"}:
            given = claims[name]
            if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < 2**53:
                raise InvalidToken("claims")
        if now >= claims["exp"] + self.leeway:
            raise InvalidToken("expired")
        if any(now < claims.get(name, now) - self.leeway for name in ("nbf", "iat")):
            raise InvalidToken("not_yet")


def _text(name: str, given: str) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError(messages.BAD_TEXT.format(name=name, given=given))
    return given
