"""EG-6c: the headers that pass an edge which demands a token."""

from __future__ import annotations

from collections.abc import Callable

from labkit.exercises.exercise import Exercise

PASSAGE = Exercise("EG-6c", writes="abrir_paso", call="abrir_paso(cabeceras, verificar)")

Pairs = list[tuple[str, str]]


def model(cabeceras: Pairs, verificar: Callable[[str], str | None]) -> Pairs | None:
    """The statement: one bearer token, its owner's name as the only X-User, the rest as it came."""
    given = [value for name, value in cabeceras if name.lower() == "authorization"]
    if len(given) != 1 or given[0][:7].lower() != "bearer ":
        return None
    user = verificar(given[0][7:])
    if user is None:
        return None
    dropped = {"authorization", "x-user", "x_user"}
    return [pair for pair in cabeceras if pair[0].lower() not in dropped] + [("X-User", user)]


_GOOD = ("Authorization", "Bearer abc")
_HEADERS: dict[str, Pairs] = {
    "con_token": [("Accept", "*/*"), _GOOD],
    "sin_nada": [("Accept", "*/*")],
    "vacias": [],
    "otro_token": [("Authorization", "Bearer ABC")],
    "basica": [("Authorization", "Basic abc")],
    "sin_esquema": [("Authorization", "abc")],
    "solo_bearer": [("Authorization", "Bearer")],
    "nombre_en_minusculas": [("authorization", "Bearer abc"), ("Accept", "*/*")],
    "bearer_en_minusculas": [("Authorization", "bearer abc")],
    "bearer_en_mayusculas": [("Authorization", "BEARER abc")],
    "dos_tokens": [_GOOD, ("authorization", "Bearer xyz")],
    "dos_iguales": [_GOOD, _GOOD],
    "dice_ser_root": [("X-User", "root"), _GOOD],
    "lo_dice_en_minusculas": [_GOOD, ("x-user", "root")],
    "lo_dice_con_guion_bajo": [("X_User", "root"), _GOOD],
    "lo_dice_tres_veces": [("X-USER", "root"), _GOOD, ("x_user", "root"), ("X-User", "ana")],
    "repetidas": [("Cookie", "a=1"), _GOOD, ("Cookie", "b=2"), ("Cookie", "a=1"), ("Accept", "*/*")],
    "repetidas_y_parecidas": [("X-Usuario", "si"), ("X-User-Id", "7"), _GOOD, ("X_Traza", "9")],
}
_NAMES = {f'abrir_paso({pairs!r}, {{"abc": "ana"}}.get)': name for name, pairs in _HEADERS.items()}


PASSAGE.stories(
    model,
    steps=list(_NAMES),  # each can be pasted into a cell
    hints=[
        (lambda d: "dice" in _NAMES[d.last], "¿Quién ha escrito ese X-User, el borde o el cliente?"),
        (lambda d: "dos_" in _NAMES[d.last], "¿Cuál de los dos tokens vale?"),
        (lambda d: "nombre_en" in _NAMES[d.last], "¿Distinguen mayúsculas los nombres de las cabeceras?"),
        (lambda d: "bearer_en" in _NAMES[d.last], "¿Distingue mayúsculas la palabra Bearer?"),
        (lambda d: "repetidas" in _NAMES[d.last], "¿Qué debe quedar igual, y en qué orden?"),
        (lambda d: d.wanted.value is None, "¿Con qué permiso pasa?"),
    ],
    situation="con unas cabeceras",
)
