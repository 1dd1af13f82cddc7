"""Passwords: kept as hashes, checked off the event loop, a few at a time.

A hash is made to be slow: scrypt takes some 50 ms and 32 MB. On the event loop it would stop every other
request; without a bound a flood of log-ins would take all memory. So it runs in a bulkhead (lesson 03) of two
threads and a short queue, and what does not fit is refused with BulkheadFullError.

An unknown name costs as much time as a wrong password, so that the answer's time does not tell who exists.

Sources: OWASP, "Password Storage Cheat Sheet"; RFC 7914 (scrypt); werkzeug.security.
"""

import re
import secrets
from collections.abc import Collection, Mapping

from werkzeug.security import check_password_hash, generate_password_hash

from labkit.patterns.bulkhead import BulkheadPool
from labkit.patterns.edge import messages

LONGEST_PASSWORD = 1024  # bytes: a longer one costs us time and is no better

_HASH = re.compile(r"(scrypt|pbkdf2):[^$]+\$[^$]+\$[0-9a-f]+")


class Users:
    """Names, the hashes of their passwords (`generate_password_hash`), and the scopes that each may have."""

    def __init__(
        self,
        hashes: Mapping[str, str],
        scopes: Mapping[str, Collection[str]] | None = None,
        *,
        workers: int = 2,
        queue: int = 8,
    ) -> None:
        named = isinstance(hashes, Mapping) and all(isinstance(name, str) and name for name in hashes)
        if not named or not all(isinstance(each, str) and _HASH.fullmatch(each) for each in hashes.values()):
            raise ValueError(messages.BAD_USERS)  # which quotes nothing: it may be a password
        self._hashes = dict(hashes)
        self._scopes = {name: frozenset(each) for name, each in (scopes or {}).items()}
        self._nobody = generate_password_hash(secrets.token_hex())
        self._pool = BulkheadPool(workers, queue=queue, name="passwords")

    async def check(self, name: str, password: str) -> frozenset[str] | None:
        """Return the scopes of `name` when the password is right, else None. Raises BulkheadFullError."""
        if len(password.encode()) > LONGEST_PASSWORD:
            return None
        known = self._hashes.get(name)
        right = await self._pool.acall(check_password_hash, known or self._nobody, password)
        return self._scopes.get(name, frozenset()) if right and known else None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)
