"""EG-6a: a token endpoint, for a user and a password."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from unittest import mock

import jwt
import requests
from werkzeug.security import generate_password_hash

from labkit.exercises.exercise import Exercise, Scene
from labkit.exercises.expectations import flask_app, json_object, raised_in


class Office(Scene):
    """The learner's token endpoint, running, and what it answers."""

    def open(self) -> Office:
        secret, hashes, password, make = self.things
        self.secret: bytes = secret
        self.hashes: Mapping[str, str] = hashes
        self.passwords: dict[str, str] = {"ana": password, "marta": "20250301"}
        marta = generate_password_hash(self.passwords["marta"], "pbkdf2:sha256:1")
        self.enter(mock.patch.dict(hashes, {"marta": marta}))  # nobody knows the other users' passwords
        self.service = self.serve(flask_app(self, make, "taquilla"), "taquilla")
        return self

    def ask(self, **options: Any) -> requests.Response:
        try:
            return requests.post(f"{self.service.url}/token", timeout=10, **options)
        except requests.RequestException as error:
            self.fail(f"POST /token no llegó a contestar: {type(error).__name__}.")

    def token(self, user: str) -> str:
        answer = self.ask(json={"usuario": user, "clave": self.passwords[user]})
        think = {
            401: "¿de dónde sacas la clave, y qué comparas con la huella?",
            404: "¿qué ruta atiende tu aplicación?",
            405: "¿qué método atiende tu ruta?",
            500: f"tu ruta lanzó {raised_in(self.service)}",
        }
        hint = f"a la clave correcta de «{user}», en POST /token, se contestó {answer.status_code}: "
        self.expect(answer.status_code == 200, hint + think.get(answer.status_code, "se pide 200."))
        token = (json_object(answer) or {}).get("token")
        self.expect(isinstance(token, str), "la respuesta correcta no trae «token» con un texto.")
        return str(token)

    def claims(self, user: str = "ana") -> dict[str, Any]:
        try:
            token = self.token(user)
            self.expect(jwt.get_unverified_header(token).get("alg") == "HS256", "el token no está firmado con HS256.")
            return jwt.decode(
                token, self.secret, algorithms=["HS256"], options={"verify_aud": False, "verify_exp": False, "verify_sub": False}
            )
        except jwt.InvalidTokenError as error:
            self.fail(f"el token no se deja verificar con SECRETO: {type(error).__name__}.")

    def refused(self, **options: Any) -> tuple[int, bytes]:
        answer = self.ask(**options)
        return answer.status_code, answer.content


TICKETS = Exercise(
    "EG-6a",
    given=("SECRETO", "HUELLAS", "CLAVE_DE_ANA"),
    writes="crear_taquilla",
    call="crear_taquilla(name)",
    scene=Office,
    deadline=60,  # a hash is slow on purpose
)


@TICKETS.case("con la clave correcta", raised="¿qué lanza tu ruta con una clave correcta?")
def right_password(office: Office) -> None:
    claims = office.open().claims()
    office.equal(office.claims("marta").get("sub"), "marta", "en el token de «marta», sub vale {found}.")
    for name, wanted in (("sub", "ana"), ("iss", "tienda"), ("aud", "libreria")):
        office.equal(claims.get(name), wanted, f"en el token, {name} vale {{found}}.")
    exp = claims.get("exp")
    left = exp - time.time() if isinstance(exp, int | float) else None
    office.expect(left is not None, "el token no trae exp: no caducaría nunca.")
    office.expect(left and 890 <= left <= 910, f"el token caduca dentro de {left or 0:.0f} s y no de 900.")


@TICKETS.case("con el token en la mano")
def nothing_secret_inside(office: Office) -> None:
    claims = f"{office.open().claims()}"
    shown = office.passwords["ana"] in claims or office.hashes["ana"] in claims
    office.expect(not shown, "el token lleva dentro la clave o su huella, y cualquiera puede leerlo.")


@TICKETS.case("con algo que no es una clave correcta", raised="¿qué pasa con lo que no esperabas?")
def everything_else(office: Office) -> None:
    office.open()
    password = office.passwords["ana"]
    cases: dict[str, dict[str, Any]] = {
        "una clave equivocada": {"json": {"usuario": "ana", "clave": password + "x"}},
        "la clave de Ana y el usuario «luis»": {"json": {"usuario": "luis", "clave": password}},
        "un usuario que no existe": {"json": {"usuario": "eva", "clave": password}},
        "la huella en lugar de la clave": {"json": {"usuario": "ana", "clave": office.hashes["ana"]}},
        "una clave vacía": {"json": {"usuario": "ana", "clave": ""}},
        "un objeto sin «clave»": {"json": {"usuario": "ana"}},
        "un objeto sin «usuario»": {"json": {"clave": password}},
        "una clave que es un número": {"json": {"usuario": "ana", "clave": 7}},
        "la clave de «marta», pero como número": {"json": {"usuario": "marta", "clave": int(office.passwords["marta"])}},
        "un usuario que es una lista": {"json": {"usuario": ["ana"], "clave": password}},
        "una lista en lugar de un objeto": {"json": ["ana", password]},
        "un cuerpo que no es JSON": {"data": "hola", "headers": {"Content-Type": "application/json"}},
        "ningún cuerpo": {},
    }
    answers = {name: office.refused(**options) for name, options in cases.items()}
    for name, (status, _) in answers.items():
        who = "" if status == 200 else " ¿Lo contestó tu ruta, o Flask por ella?"
        office.expect(status == 401, f"con {name} se contestó {status}: se pide 401.{who}")
    first = answers["una clave equivocada"][1]
    for name, (_, body) in answers.items():
        told = f"con {name}, el cuerpo es otro que con una clave equivocada: ¿qué averigua así quien prueba?"
        office.expect(body == first, told)


@TICKETS.case("con dos tokens pedidos a distinta hora")
def each_its_own_time(office: Office) -> None:
    first = office.open().claims().get("exp")
    until = time.monotonic() + 1.1  # exp may count whole seconds
    while True:
        last = time.monotonic() > until
        if office.claims().get("exp") != first:
            break
        office.expect(not last, "los dos caducan a la vez: ¿cuándo se calcula exp?")
