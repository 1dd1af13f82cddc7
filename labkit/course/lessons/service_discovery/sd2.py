"""SD-2: a third instance, registered, and a balance that is even."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import requests

from labkit import messages
from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import TIMEOUT, get
from labkit.exercises.wording import kind, shown
from labkit.service import Group, Service

THIRD = Exercise("SD-2", given=("registro",), writes=("tercera", "reparto"), deadline=12)
_PREPARE = "ejecuta otra vez la celda que prepara los ejercicios"


@THIRD.case("con la instancia nueva")
def answers(case: Case, registry: Any, third: Any, balance: Any) -> None:
    case.expect(
        not isinstance(third, Group),
        "tercera es un grupo de servicios: hace falta una sola instancia. ¿Qué le pediste a labkit.serve?",
    )
    case.expect(isinstance(third, Service), f"tercera es {kind(third)}: guarda en ella el servicio que devuelve labkit.serve")
    case.expect(
        third.name == "envios-tercera",
        f"tercera se llama {third.name} y se pide envios-tercera. Servir con un nombre que ya existe sustituye al "
        f"anterior: si pasó, {_PREPARE}",
    )
    case.expect(third.state == messages.RUNNING, f"el estado de tercera es «{third.state}»: tiene que quedarse corriendo")
    status = get(case, third, "/stock/42").status_code
    case.equal(status, 200, "GET /stock/42 de tercera contestó {found}: ¿sirve la misma aplicación?")


@THIRD.case("al buscar en el registro")
def is_found(case: Case, registry: Any, third: Any, balance: Any) -> None:
    found = Counter(_look_up(case, registry) for _ in range(12))
    case.expect(
        third.url in found,
        f"en 12 búsquedas salieron {', '.join(sorted(found))}, y ninguna es la de tercera ({third.url}): "
        "¿la registraste como envios, con su dirección completa?",
    )
    case.expect(
        len(found) == 3,
        f"el registro reparte {len(found)} direcciones ({', '.join(sorted(found))}) y tenían que ser tres: "
        f"¿qué falta o qué registraste de más? Para empezar de cero, {_PREPARE}",
    )


def _look_up(case: Case, registry: Any) -> str:
    case.expect(isinstance(getattr(registry, "url", None), str), f"registro es {kind(registry)}: {_PREPARE}")
    try:
        answer = requests.get(f"{registry.url}/buscar/envios", timeout=TIMEOUT)
    except requests.RequestException:
        case.fail(f"el registro no contesta: {_PREPARE}")
    case.expect(answer.ok, f"el registro contestó {answer.status_code} al buscar envios: {_PREPARE}")
    return str(answer.json()["url"])


@THIRD.case("con el reparto que mediste")
def is_even(case: Case, registry: Any, third: Any, balance: Any) -> None:
    case.expect(
        isinstance(balance, Mapping),
        f"reparto es {kind(balance)}: usa un diccionario (o un Counter) que dé, para cada dirección, cuántas veces salió",
    )
    strange = [key for key in balance if not isinstance(key, str) or not key.startswith("http")]
    case.expect(
        not strange,
        f"las claves de reparto no son direcciones, como {shown(strange[:1])}: cuenta lo que devuelve buscar, no quién contestó",
    )
    case.expect(
        all(type(times) is int for times in balance.values()),
        "los valores de reparto no son números enteros: cuenta cuántas veces salió cada dirección",
    )
    case.expect(third.url in balance, "en reparto no sale la dirección de tercera: ¿mediste antes de registrarla?")
    total = "reparto suma {found} y se piden 30 búsquedas: ¿cuántas veces llamas a buscar en cada vuelta?"
    case.equal(sum(balance.values()), 30, total)
    counts = sorted(balance.values())
    case.expect(
        counts[-1] - counts[0] <= 1,
        f"las veces fueron {counts}: los turnos reparten por igual. ¿Cuentas cada búsqueda, y solo una vez?",
    )
