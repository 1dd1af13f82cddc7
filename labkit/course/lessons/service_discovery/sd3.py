"""SD-3: does the registry notice that an instance has stopped?"""

from __future__ import annotations

import math
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_table
from labkit.exercises.wording import kind

NOTICES = Exercise("SD-3", writes=("tabla", "sigue_repartida"))
_MOMENTS = ("todas vivas", "una detenida", "otra vez viva")
_MEASURES = ("direcciones", "sin respuesta")
_PURCHASES = 12


@NOTICES.case("con la tabla")
def is_complete(case: Case, table: Any, still: Any) -> None:
    expect_table(case, "tabla", table, _MOMENTS, _MEASURES, "medir()")


@NOTICES.case("en los tres momentos")
def shows_the_stop(case: Case, table: Any, still: Any) -> None:
    alive, stopped, again = (table[moment] for moment in _MOMENTS)
    known, lost = alive["direcciones"], stopped["sin respuesta"]
    case.equal(alive["sin respuesta"], 0, "con todas vivas quedaron {found} compras sin respuesta: ¿estaba ya alguna detenida?")
    case.expect(
        known >= 2,
        f"con todas vivas se repartió {known} dirección: tienen que ser dos o tres; ejecuta otra vez la celda que "
        "prepara los ejercicios",
    )
    case.expect(lost > 0, "con una detenida no falló ninguna compra: ¿mediste después de detenerla, y estaba registrada?")
    least, most = math.ceil(_PURCHASES / known - 1), math.floor(_PURCHASES / known + 1)
    case.expect(
        least <= lost <= most,
        f"con una detenida de {known} direcciones se esperaban entre {least} y {most} compras sin respuesta "
        f"de {_PURCHASES}, y fueron {lost}: ¿cuántas detuviste?",
    )
    case.expect(
        stopped["direcciones"] == known,
        f"antes se repartían {known} direcciones y con una detenida {stopped['direcciones']}: "
        "aquí el registro no debía cambiar. ¿Qué más tocaste?",
    )
    case.equal(
        again["sin respuesta"],
        0,
        "al final quedaron {found} compras sin respuesta: ¿arrancaste la instancia en su puerto, y antes de medir?",
    )


@NOTICES.case("con tu conclusión")
def follows(case: Case, table: Any, still: Any) -> None:
    case.expect(isinstance(still, bool), f"sigue_repartida es {kind(still)}: escribe True o False")
    case.expect(still, "dices que no se repartía, pero en tu tabla fallaron compras: ¿de dónde salió esa dirección?")
