"""BH-7a: a group of threads with a bounded queue."""

from __future__ import annotations

import time

from labkit.course.lessons.bulkhead.flood import Flood
from labkit.exercises.exercise import Exercise, wait_for
from labkit.exercises.interleaving import Race, interleavings
from labkit.exercises.wording import described, many

_AT_ONCE = "¿espera entregar a que haya sitio? Tiene que contestar al momento"
_REFUSALS, _LONG = 100, 3.0  # so many refusals take no time; if each waits a little, they take longer (seconds)


class OwnEnd(BaseException):
    """Not an Exception, and not SystemExit."""


BOUNDED = Exercise(
    "BH-7a", "GrupoAcotado", call="GrupoAcotado(hilos, cola)", methods=("entregar(funcion)", "cerrar()"), scene=Flood, deadline=10
)


@BOUNDED.case("con dos hilos y tres sitios en la cola", raised="¿qué hace entregar cuando una tarea no cabe?", late=_AT_ONCE)
def fills_and_refuses(flood: Flood) -> None:
    flood.open(2, 3).fill(5)
    began = time.monotonic()
    for _ in range(_REFUSALS):
        flood.expect(
            not flood.deliver(), "con dos tareas en marcha y tres en la cola se aceptó otra: ¿dónde está el fin de la cola?"
        )
        flood.expect(
            time.monotonic() - began < _LONG, f"con el grupo lleno, cien entregas tardaron más de {_LONG:g} s: {_AT_ONCE}"
        )
    flood.expect(flood.never(lambda: len(flood.began) > 2), "con dos hilos hay más de dos tareas en marcha: ¿cuántos hilos hay?")
    flood.expect_counts()
    flood.drain()


@BOUNDED.case("con tareas que fallan", raised="la excepción de una tarea no debe salir de entregar ni de cerrar", late=_AT_ONCE)
def failures_give_their_place_back(flood: Flood) -> None:
    for error in (ValueError("a propósito"), SystemExit(1), OwnEnd()):
        flood.open(1, 1)
        ran: list[int] = []

        def failing(error: BaseException = error, ran: list[int] = ran) -> None:
            ran.append(1)
            raise error

        name = "una excepción que hereda de BaseException" if isinstance(error, OwnEnd) else type(error).__name__
        for _ in range(6):
            accepted = flood.eventually(lambda: flood.deliver(failing))
            flood.expect(
                accepted,
                f"tras aceptar {many(flood.accepted, 'tarea')} que lanzan {name} y ejecutar {len(ran)}, ya no se acepta ninguna más: "
                "¿quién devuelve su sitio, y sigue vivo su hilo?",
            )
        done = flood.eventually(lambda ran=ran: len(ran) == 6)  # type: ignore[misc]
        flood.expect(done, f"se aceptaron 6 tareas que lanzan {name} y se ejecutaron {len(ran)}: ¿sigue vivo su hilo?")
        flood.expect_counts()
        problem = flood.start(flood.group.cerrar).exception(flood.pace.patience)
        flood.expect(
            problem is None, f"cerrar lanzó {described(problem or error)}: la excepción es de una tarea, no de quien cierra"
        )


@BOUNDED.case("al cerrar con tareas pendientes", late="¿a qué espera cerrar, y llega a ocurrir?")
def close_waits(flood: Flood) -> None:
    for count in (2, 4):  # all of them under way, or two of them in the queue
        flood.open(2, 2).fill(count)
        closing = flood.start(flood.group.cerrar)
        end = time.monotonic() + 0.4 * flood.pace.patience
        while not closing.done() and time.monotonic() < end:
            time.sleep(0.005)
        flood.expect(not closing.done(), f"cerrar volvió con {count - len(flood.ended)} tareas aceptadas sin terminar")
        flood.gate.set()
        flood.expect(
            flood.eventually(closing.done), "las tareas aceptadas ya pueden terminar, y cerrar no vuelve: ¿a qué espera?"
        )
        wait_for(closing)
        flood.equal(len(flood.ended), count, f"se aceptaron {count} tareas y, al volver cerrar, habían terminado {{found}}")


@BOUNDED.case("cuando un hilo adelanta a otro que entrega", late=_AT_ONCE)
def one_overtakes(flood: Flood) -> None:
    def race(full: bool) -> Race[Flood]:
        flood.open(1, 2).fill(3 if full else 2)
        answers: list[bool] = []

        def deliver() -> None:
            answers.append(flood.group.entregar(flood.gate.wait))

        def count() -> None:
            flood.accepted, flood.refused = flood.accepted + sum(answers), flood.refused + len(answers) - sum(answers)

        return Race(deliver, deliver, flood, count)

    for full in (False, True):
        for _ in interleavings(lambda full=full: race(full)):  # type: ignore[misc]
            flood.expect(
                flood.accepted <= 3,
                f"con una tarea en marcha y dos sitios, entregaron dos hilos a la vez y hay {flood.accepted} aceptadas: "
                "¿qué pasa si los dos miran si cabe antes de que uno ocupe el sitio?",
            )
            flood.expect_counts("entregaron dos hilos a la vez. ¿Qué pasa si los dos leen la cuenta antes de que uno la cambie?")
            flood.gate.set()
            flood.start(flood.group.cerrar)
