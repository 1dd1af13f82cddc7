"""EG-6b: whose a token is, with two keys, and None for every forged one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from labkit.exercises.exercise import Case, Exercise

VERIFIER = Exercise("EG-6b", given=("CLAVES",), writes="verificar", call="verificar(token)")

Keys = Mapping[str, tuple[bytes, str]]
Verify = Callable[[str], Any]


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "ana", "iss": "tienda", "aud": "libreria", "exp": int(time.time()) + 900} | changes
    return {name: value for name, value in claims.items() if value is not None}


def _signed(keys: Keys, kid: str, *, says: str | None = None, **changes: Any) -> str:
    """A token signed with one of the keys; `says`: the kid that it names instead."""
    secret, algorithm = keys[kid]
    return jwt.encode(_claims(**changes), secret, algorithm, headers={"kid": says or kid})


def _unsigned(kid: str) -> str:
    parts = ({"alg": "none", "typ": "JWT", "kid": kid}, _claims())
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(coded) + "."


@VERIFIER.case("con un token bueno", raised="¿qué le falta a tu verificación para aceptarlo?")
def good(case: Case, keys: Keys, verify: Verify) -> None:
    for kid in keys:
        for name in ("ana", "luis"):
            found = verify(_signed(keys, kid, sub=name))
            case.equal(found, name, f"de un token bueno de «{name}», firmado con la clave {kid}, devolvió {{found}}.")


@VERIFIER.case("con un token falso", raised="verificar no lanza nunca: ¿qué devuelve entonces?")
def forged(case: Case, keys: Keys, verify: Verify) -> None:
    for kid, other in (("2025", "2024"), ("2024", "2025")):
        secret, algorithm = keys[kid]
        wrong = keys[other][1]
        head, body, signature = _signed(keys, kid).split(".")
        cheat = _signed(keys, kid, sub="root").split(".")[1]
        table = {
            "firmado con una clave que no es nuestra": jwt.encode(_claims(), b"x" * 64, algorithm, headers={"kid": kid}),
            "con los datos cambiados": f"{head}.{cheat}.{signature}",
            "sin firma": _unsigned(kid),
            "con la firma borrada": f"{head}.{body}.",
            "caducado": _signed(keys, kid, exp=int(time.time()) - 60),
            "sin exp": _signed(keys, kid, exp=None),
            "para otro destinatario": _signed(keys, kid, aud="banco"),
            "sin aud": _signed(keys, kid, aud=None),
            "de otro emisor": _signed(keys, kid, iss="impostor"),
            "sin iss": _signed(keys, kid, iss=None),
            "sin sub": _signed(keys, kid, sub=None),
            "sin kid": jwt.encode(_claims(), secret, algorithm),
            "con un kid desconocido": _signed(keys, kid, says="1999"),
            "con el kid de la otra clave": _signed(keys, kid, says=other),
            f"firmado por {wrong}, que no es el algoritmo de su clave,": jwt.encode(
                _claims(), secret, wrong, headers={"kid": kid}
            ),
        }
        for name, token in table.items():
            case.doing = f"con un token {name}"
            found = verify(token)
            case.expect(found is None, f"un token {name} pasó (clave {kid}): devolvió {found!r}.")


@VERIFIER.case("con algo que no es un token", raised="verificar no lanza nunca: ¿qué devuelve entonces?")
def no_token(case: Case, keys: Keys, verify: Verify) -> None:
    for text in ("", "hola", "a.b", "a.b.c", "....", "ñ.ñ.ñ"):
        case.doing = f"con el texto {text!r}"
        found = verify(text)
        case.expect(found is None, f"con el texto {text!r} devolvió {found!r}: se espera None.")
