"""BH-5: how many threads are enough."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Mapping
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_measured, expect_table
from labkit.exercises.wording import kind, many

WORKERS = Exercise("BH-5", writes=("tabla", "bastan"))
ASKED = (1, 2, 4, 8, 24)
MEASURES = ("rondas", "en la cola", "en pagos")
TASKS, FIT = 24, 4


@functools.cache
def measure(workers: int) -> Mapping[str, int]:
    """Return what the notebook's `medir` gives: rounds until all are done, the longest in the queue and in pagos."""
    round_, left, queued, in_queue, in_pagos = 0, TASKS, TASKS, 0, 0
    inside: deque[int] = deque()  # the round in which each came in
    while left:
        while queued and len(inside) < workers:
            inside.append(round_)
            in_queue, queued = max(in_queue, round_), queued - 1
        round_ += 1
        for _ in range(min(FIT, len(inside))):
            in_pagos, left = max(in_pagos, round_ - inside.popleft()), left - 1
    return dict(zip(MEASURES, (round_, in_queue, in_pagos), strict=True))


@WORKERS.case("con la tabla")
def is_complete(case: Case, table: Any, enough: Any) -> None:
    expect_table(case, "tabla", table, ASKED, MEASURES, "medir")
    strange = [key for key in table if type(key) is not int or not 0 < key < 1000]
    case.expect(not strange, f"en tabla hay una clave que es {strange[:1]}: usa el número de hilos, como 4")


@WORKERS.case("al repetir tus medidas")
def was_measured(case: Case, table: Any, enough: Any) -> None:
    expect_measured(case, "tabla", table, measure, MEASURES)


@WORKERS.case("con tu conclusión")
def follows(case: Case, table: Any, enough: Any) -> None:
    case.expect(
        type(enough) is int and enough >= 1, f"bastan es {kind(enough)}, {enough!r}: escribe un número de hilos, de 1 en adelante"
    )
    rounds, best = measure(enough)["rondas"], min(row["rondas"] for row in table.values())
    case.expect(
        rounds <= best,
        f"con {many(enough, 'hilo')} hicieron falta {rounds} rondas, y en tu tabla hay {best}: "
        "¿de verdad no se acaba antes con más?",
    )
    case.expect(
        enough == 1 or measure(enough - 1)["rondas"] > rounds,
        f"con {many(enough, 'hilo')} se acaba en {rounds} rondas, pero también con menos: busca el menor. "
        "¿Qué columna mide cuándo se acaba?",
    )
