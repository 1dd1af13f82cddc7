"""ES-5: a view whose checkpoint is saved together with it, cut at every point."""

from __future__ import annotations

from contextlib import suppress

from labkit.course.lessons.event_sourcing.es4 import facts
from labkit.course.lessons.event_sourcing.sales import FACTS, Base, Unreadable, sold
from labkit.exercises.exercise import Exercise

VIEW = Exercise("ES-5", writes="poner_al_dia", call="poner_al_dia(conexion, hechos)", scene=Base, deadline=15)
_NEW = "¿Cuáles son nuevos?"


@VIEW.case("con cinco hechos", raised="¿qué sentencia de SQL falló, o qué dio la anterior?")
def counts(base: Base) -> None:
    base.open()
    base.equal(base.run(FACTS), 5, "con cinco hechos nuevos devolvió {found}: ¿cuántos eran?")
    base.expect_stored(5, "después de los cinco hechos", "¿Qué cuenta cada hecho, y se guardó (commit)?")


@VIEW.case("sin hechos nuevos o sin ventas", raised="¿qué pasa cuando no hay nada nuevo?")
def no_sales(base: Base) -> None:
    base.open()
    base.equal(base.run([]), 0, "sin hechos devolvió {found}")
    base.expect_stored(0, "sin hechos", "")
    base.equal(base.run(FACTS[:1]), 1, "con un hecho que no es una venta devolvió {found}: también es nuevo")
    base.expect_stored(1, "tras un hecho que no es una venta", "¿Hasta dónde se ha leído?")


@VIEW.case("si se llama dos veces", raised="¿qué pasa si ya no hay nada nuevo?")
def twice(base: Base) -> None:
    base.open()
    base.run(FACTS[:2])
    base.equal(base.run(FACTS[:2]), 0, f"con los mismos hechos otra vez devolvió {{found}}. {_NEW}")
    base.expect_stored(2, "con los mismos hechos otra vez", _NEW)
    base.equal(base.run(FACTS[1:]), 3, f"con dos hechos de los que uno ya contó y tres nuevos dio {{found}}. {_NEW}")
    base.expect_stored(5, "con algunos hechos repetidos", _NEW)
    base.equal(base.run(FACTS[:3]), 0, f"con hechos viejos devolvió {{found}}. {_NEW}")
    base.expect_stored(5, "con hechos viejos", "Nada era nuevo: ¿qué cambió?")


@VIEW.case("si la luz se va en cualquier punto", raised="¿qué queda a medias?", late="¿termina tu bucle?")
def cut_anywhere(base: Base) -> None:
    after, cuts = 0, 0
    base.open()
    while True:
        base.empty()
        if not base.cut(FACTS, after):
            break
        cuts += 1
        rows, sales = base.stored()
        base.expect(
            len(rows) == 1 and rows[0] in range(6) and sales == sold(rows[0]),
            f"tras un corte, marcador dice {rows} y ventas {sales}: ¿qué se guardó sin lo otro?",
        )
        base.run(FACTS)
        base.expect_stored(5, "tras un corte y otra llamada", "¿Qué se guardó sin lo otro?")
        after += 1 + after // 25  # denser at first, where it is decided what is read and begun
    base.expect(cuts, "no se leyó ni escribió nada en la base de datos")


@VIEW.case("si la función falla con un hecho", raised=None)
def bad_fact(base: Base) -> None:
    base.open()
    broken = facts(("libro-1", "Vendido", 2, 1), ("libro-1", "Vendido", 1, 2))
    object.__setattr__(broken[1], "data", Unreadable())
    with suppress(OSError):
        base.run(broken)
    rows, sales = base.stored()
    base.expect(
        (rows, sales) in (([0], {}), ([1], {"libro-1": 2})),
        f"si falla leer el segundo hecho, marcador dice {rows} y ventas {sales}: ¿qué se guardó sin lo otro?",
    )
