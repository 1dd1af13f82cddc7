"""DT-11: the time that each service spends itself, and the bottleneck."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import word
from labkit.exercises.wording import kind, listed

BOTTLENECK = Exercise("DT-11", writes=("propias", "total", "cuello"))

# As the notebook draws them.
NAMES = ("tienda", "pedidos", "inventario", "pagos", "envios")
DELAYS = dict(zip(NAMES, random.Random(2).sample([0.005, 0.01, 0.02, 0.03, 0.05], 5), strict=True))


@BOTTLENECK.case("con la tabla")
def the_table(case: Case, own: Any, total: Any, slowest: Any) -> None:
    case.expect(isinstance(own, Mapping), f"propias es {kind(own)}: se pide un diccionario de servicio a segundos")
    missing, strange = [n for n in NAMES if n not in own], [str(n) for n in own if n not in NAMES]
    if missing or strange:
        case.fail(f"en propias {'falta' if missing else 'sobra'}: {listed(missing or strange)}")
    for name in NAMES:
        case.expect(_number(own[name]), f"propias[{name!r}] es {kind(own[name])}: se pide un número de segundos")
    case.expect(_number(total), f"total es {kind(total)}: se pide un número de segundos")


@BOTTLENECK.case("con las medidas")
def the_measures(case: Case, own: Any, total: Any, slowest: Any) -> None:
    case.expect(
        total > sum(DELAYS.values()),
        f"total es {total:.3f} s y las demoras de un pedido suman más: ¿la media de un pedido entero, en segundos?",
    )
    case.expect(total < 10 * sum(DELAYS.values()), f"total es {total:.3f} s: ¿la media de un pedido, o la suma de los diez?")
    for name, delay in DELAYS.items():
        case.expect(
            own[name] > delay, f"propias[{name!r}] es {own[name]:.4f} s y {name} duerme más en cada pedido: ¿qué tramos sumaste?"
        )
    whole = sum(own[name] for name in NAMES)
    case.expect(
        whole < 8 * total,
        f"lo propio suma {whole:.3f} s y un pedido entero dura {total:.3f} s: ¿la media por pedido, y en segundos?",
    )
    # A server's span may end after its client's: what is own is then more than the whole, by some hundredths.
    case.expect(
        whole <= 1.1 * total,
        f"lo propio suma {whole:.3f} s y un pedido entero dura {total:.3f} s: ¿contaste alguna espera dos veces?",
    )
    case.expect(
        whole >= 0.96 * total,
        f"lo propio suma {whole:.3f} s de los {total:.3f} s de un pedido: ¿qué tramos faltan (los client también), o sobran en total?",
    )


@BOTTLENECK.case("con el cuello de botella")
def the_bottleneck(case: Case, own: Any, total: Any, slowest: Any) -> None:
    wanted = max(own, key=lambda name: float(own[name]))
    case.expect(word(slowest) in NAMES, f"cuello vale {slowest!r}: se pide el nombre de uno de los cinco servicios")
    case.equal(word(slowest), wanted, f"cuello vale {{found}} y, según tu tabla, quien más tiempo propio tiene es {wanted}")


def _number(thing: object) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool)
