"""EG-6b: whose a token is, and None for every forged one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt

from labkit.exercises.exercise import Case, Exercise

VERIFIER = Exercise("EG-6b", given=("SECRETO",), writes="verificar", call="verificar(token)")

Verify = Callable[[str], Any]


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "ana", "iss": "tienda", "aud": "libreria", "exp": int(time.time()) + 900} | changes
    return {name: value for name, value in claims.items() if value is not None}


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        + "."
    )


@VERIFIER.case("con un token bueno", raised="¿qué le falta a tu verificación para aceptarlo?")
def good(case: Case, secret: bytes, verify: Verify) -> None:
    for name in ("ana", "luis"):
        found = verify(jwt.encode(_claims(sub=name), secret, "HS256"))
        case.equal(found, name, f"de un token bueno de «{name}» devolvió {{found}}.")


@VERIFIER.case("con un token falso", raised="verificar no lanza nunca: ¿qué devuelve entonces?")
def forged(case: Case, secret: bytes, verify: Verify) -> None:
    good = jwt.encode(_claims(), secret, "HS256")
    head, body, signature = good.split(".")
    _, other, _ = jwt.encode(_claims(sub="root"), secret, "HS256").split(".")
    forged = {
        "firmado con otra clave": jwt.encode(_claims(), b"x" * 32, "HS256"),
        "con los datos cambiados": f"{head}.{other}.{signature}",
        "sin firma": _unsigned(_claims()),
        "con la firma borrada": f"{head}.{body}.",
        "caducado": jwt.encode(_claims(exp=int(time.time()) - 60), secret, "HS256"),
        "sin exp": jwt.encode(_claims(exp=None), secret, "HS256"),
        "para otro destinatario": jwt.encode(_claims(aud="banco"), secret, "HS256"),
        "sin aud": jwt.encode(_claims(aud=None), secret, "HS256"),
        "de otro emisor": jwt.encode(_claims(iss="impostor"), secret, "HS256"),
        "sin iss": jwt.encode(_claims(iss=None), secret, "HS256"),
        "sin sub": jwt.encode(_claims(sub=None), secret, "HS256"),
        "firmado con HS512": jwt.encode(_claims(), secret, "HS512"),
    }
    for name, token in forged.items():
        case.doing = f"un token {name}"
        found = verify(token)
        case.expect(found is None, f"un token {name} pasó: devolvió {found!r}.")


@VERIFIER.case("con algo que no es un token", raised="verificar no lanza nunca: ¿qué devuelve entonces?")
def no_token(case: Case, secret: bytes, verify: Verify) -> None:
    for text in ("", "hola", "a.b", "a.b.c", "....", "ñ.ñ.ñ"):
        case.doing = f"el texto {text!r}"
        found = verify(text)
        case.expect(found is None, f"con el texto {text!r} devolvió {found!r}: se espera None.")
