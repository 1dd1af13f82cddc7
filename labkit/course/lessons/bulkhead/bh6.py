"""BH-6: no task brings the others down, and each failure is logged."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from labkit.course.lessons.bulkhead.desk import STAYS_IN, Desk, OwnEnd, Task
from labkit.exercises.exercise import Exercise
from labkit.exercises.wording import described, many, shown

RUN = Exercise("BH-6", writes="ejecutar", call="ejecutar(tareas, hilos)", scene=Desk, deadline=12)


@RUN.case("con tres tareas que van bien", raised="¿qué hace ejecutar con una tarea que va bien?")
def three_well(desk: Desk) -> None:
    def task(name: str, together: threading.Barrier, last: threading.Barrier) -> Task:
        def run() -> str:
            together.wait(2)
            if name != "b":
                last.wait(2)  # a and c end after b: an order of ending is not the one asked for
            return name.upper()

        return name, run

    for _ in range(4):  # an order that is nobody's may be the right one once
        barriers = threading.Barrier(3), threading.Barrier(2)
        found = desk.run([task(name, *barriers) for name in "abc"])
        desk.expect(
            not any(isinstance(value, threading.BrokenBarrierError) for _, value in found),
            "con tres hilos, las tres tareas no llegaron a estar en marcha a la vez: ¿van de una en una?",
        )
        wanted = [("ok", name) for name in "ABC"]
        desk.equal(
            found, wanted, "tres tareas devolvieron A, B y C, en ese orden, y ejecutar devolvió {found}: ¿en qué orden se piden?"
        )
    desk.equal(desk.run([]), [], "sin ninguna tarea, ejecutar devolvió {found}")


@RUN.case("con seis tareas y dos hilos", raised="¿qué haces con el parámetro hilos?")
def never_more_than_asked(desk: Desk) -> None:
    for threads in (2, 3):
        lock, inside, most, over = threading.Lock(), [0], [0], threading.Event()

        def run(threads: int = threads, lock: Any = lock, inside: Any = inside, most: Any = most, over: Any = over) -> None:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                if inside[0] > threads:
                    over.set()
            over.wait(desk.pace.grace)  # the time that one too many has to come in
            with lock:
                inside[0] -= 1

        desk.run([(f"t{n}", run) for n in range(6)], threads if threads == 2 else None)
        said = f"hilos={threads}" if threads == 2 else "hilos sin decir, que son tres,"
        desk.expect(most[0] <= threads, f"con {said} llegó a haber {most[0]} tareas a la vez: ¿dónde se usa hilos?")


@RUN.case(
    "con tareas que fallan entre otras que van bien",
    raised=STAYS_IN,
    late="¿quién espera a una tarea cuyo hilo terminó por SystemExit?",
)
def failures_stay_in(desk: Desk) -> None:
    value, errors = (ValueError("soy un valor"), [ValueError("sin dirección"), SystemExit(1), OwnEnd("fin"), KeyError(3)])
    tasks = [desk.task("antes", 1), *(desk.task(f"falla-{n}", [each]) for n, each in enumerate(errors))]
    tasks += [desk.task("gemela", 0), ("gemela", lambda: 5), desk.task("revisar", value), desk.task("después")]
    found = desk.run(tasks, 2)
    for (status, got), error in zip(found[1:5], errors, strict=True):
        name = described(error)
        desk.expect(status == "error", f'una tarea lanzó {name} y acabó como "ok": ¿dónde se perdió el fallo?')
        desk.expect(got is error, f"una tarea lanzó {name} y su resultado trae {shown(got)}: se pide esa excepción")
    desk.equal(found[0], ("ok", 1), f"la que va antes de las que fallan acabó como {{found}}: {STAYS_IN}")
    twins = "dos tareas «gemela» devuelven 0 y 5, y los resultados traen {found}: ¿basta el nombre?"
    desk.equal([got for _, got in found[5:7]], [0, 5], twins)
    returned = f"una tarea devolvió un ValueError con return, y acabó como {shown(found[7])}: ¿lo lanzó alguien?"
    desk.expect(found[7] == ("ok", value), returned)
    desk.equal(found[8], ("ok", None), f"la que va después de las que fallan acabó como {{found}}: {STAYS_IN}")


@RUN.case("con una tarea que tarda", late="¿cuánto esperas a una tarea?")
def a_slow_one_is_no_failure(desk: Desk) -> None:
    found = desk.run([("lenta", lambda: threading.Event().wait(desk.pace.patience * 0.5)), desk.task("otra", 1)])
    desk.equal(found, [("ok", False), ("ok", 1)], "una tarea tardó en volver y los resultados son {found}: ¿qué limitas?")


@RUN.case("con lo que queda escrito en el registro de «tareas»", raised=STAYS_IN)
def failures_are_logged(desk: Desk) -> None:
    def cobrar_sin_tarjeta() -> None:
        raise LookupError("tarjeta desconocida")

    odd = "cierre 31 %s %d"
    desk.run([("cobro-17", cobrar_sin_tarjeta), desk.task("aviso-23"), (odd, lambda: sys.exit(3))])
    records = [record for record in desk.records if record.levelno >= logging.WARNING]
    levels = sorted({record.levelname for record in records} - {"ERROR"})
    desk.expect(not levels, f"hay mensajes de nivel {', '.join(levels)}: se pide ERROR")
    desk.expect(
        len(records) == 2,
        f"fallaron dos tareas y hay {many(len(records), 'mensaje')} de error en el registro «tareas»: se pide uno por "
        "tarea que falla. ¿A qué registro escribes, y cuándo?",
    )
    try:
        texts = [logging.Formatter("%(message)s").format(record) for record in records]
    except (TypeError, ValueError) as error:
        desk.fail(f"el mensaje de la tarea «{odd}» no se pudo escribir, {described(error)}: ¿el nombre es el formato?")
    for name in ("cobro-17", odd):
        own = [text for text in texts if name in text]
        desk.expect(own, f"falló «{name}» y ningún mensaje la nombra: quien lo lea, ¿cómo sabrá qué tarea fue?")
    traced = all("Traceback (most recent call last)" in text for text in texts)
    desk.expect(traced, "un mensaje dice qué tarea falló y no trae la traza: ¿en qué línea fue?")
    text = next(text for text in texts if "cobro-17" in text)
    desk.expect("in cobrar_sin_tarjeta" in text, "la traza de cobro-17 no llega a la línea que falló: ¿de qué excepción es?")
