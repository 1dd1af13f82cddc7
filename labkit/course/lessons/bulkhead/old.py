"""The exercises of 03_bulkhead."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from labkit.course.lessons.old_expectations import described, expect_call, expect_class, expect_methods, kind
from labkit.exercises.eventually import eventually
from labkit.exercises.exercise import Case, Exercise
from labkit.patterns.bulkhead import Bulkhead, BulkheadFullError
from labkit.patterns.circuit_breaker import CircuitOpenError
from labkit.waiting import ManualClock

_T = TypeVar("_T")

# Those that only a reader can judge.
QUESTIONS = ("BH-1", "BH-2", "BH-3", "BH-4", "BH-10")

# Seconds that a case waits for what has to happen: only a wrong answer takes so long.
_PATIENCE = 3.0
# Seconds in which something that must not happen would happen; a right answer never needs them.
_GRACE = 0.1


# BH-5 · how many threads

WORKERS = Exercise("BH-5", writes=("tabla", "bastan"))
_ROWS = (1, 2, 4, 8, 24)
_MEASURES = ("rondas", "en la cola", "en pagos")
_TASKS, _FIT = 24, 4


def _measured(workers: int) -> dict[str, int]:
    """What the notebook's `medir` gives: rounds until all are done, the longest in the queue and in pagos."""
    round_, left, queued = 0, _TASKS, _TASKS
    inside: deque[int] = deque()  # the round in which each came in
    in_queue = in_pagos = 0
    while left:
        while queued and len(inside) < workers:
            inside.append(round_)
            in_queue, queued = max(in_queue, round_), queued - 1
        round_ += 1
        for _ in range(min(_FIT, len(inside))):
            in_pagos, left = max(in_pagos, round_ - inside.popleft()), left - 1
    return dict(zip(_MEASURES, (round_, in_queue, in_pagos), strict=True))


@WORKERS.case("con la tabla")
def table_is_complete(case: Case, tabla: Any, bastan: Any) -> None:
    case.expect(
        isinstance(tabla, Mapping),
        f"tabla es {kind(tabla)}: usa un diccionario que dé, para cada número de hilos, lo que midió medir",
    )
    strange = next((key for key in tabla if not _is_count(key)), None)
    case.expect(
        strange is None, f"en tabla hay una clave que es {kind(strange)}: usa el número de hilos, como 4"
    )
    missing = [str(workers) for workers in _ROWS if workers not in tabla]
    case.expect(not missing, f"en tabla falta: {', '.join(missing)}")
    for workers, row in tabla.items():
        case.expect(not callable(row), f"tabla[{workers}] es una función: guarda lo que devuelve al llamarla")
        case.expect(
            isinstance(row, Mapping) and all(type(row.get(measure)) is int for measure in _MEASURES),
            f"tabla[{workers}] no es lo que devuelve medir: guarda su resultado entero",
        )


@WORKERS.case("en cada fila de la tabla")
def table_was_measured(case: Case, tabla: Any, bastan: Any) -> None:
    for workers, row in tabla.items():
        right = _measured(int(workers))
        if all(row[measure] == right[measure] for measure in _MEASURES):
            continue
        owner = next(
            (other for other in _ROWS if all(row[m] == _measured(other)[m] for m in _MEASURES)), None
        )
        where = f" Es lo que sale con {owner}." if owner is not None else ""
        case.fail(
            f"tabla[{workers}] dice {dict(row)}, y con {_workers(workers)} y {_TASKS} cobros no sale eso.{where} "
            "¿Con qué llamaste a medir, y la cambiaste?"
        )


@WORKERS.case("con tu conclusión")
def conclusion_follows(case: Case, tabla: Any, bastan: Any) -> None:
    case.expect(
        _is_count(bastan) and bastan >= 1,
        f"bastan es {kind(bastan)}: escribe un número de hilos"
        if not _is_count(bastan)
        else f"bastan vale {bastan}: escribe un número de hilos, de 1 en adelante",
    )
    workers = int(bastan)
    rounds, best = _measured(workers)["rondas"], min(row["rondas"] for row in tabla.values())
    case.expect(
        rounds <= best,
        f"con {_workers(workers)} hicieron falta {rounds} rondas, y en tu tabla hay {best}: "
        "¿de verdad no se acaba antes con más?",
    )
    case.expect(
        workers == 1 or _measured(workers - 1)["rondas"] > rounds,
        f"con {_workers(workers)} se acaba en {rounds} rondas, pero también con menos: busca el menor. "
        "¿Qué columna mide cuándo se acaba?",
    )


def _is_count(thing: Any) -> bool:
    return (
        isinstance(thing, int | float)
        and not isinstance(thing, bool)
        and thing == thing // 1
        and abs(thing) < 10_000
    )


# BH-6 · no task brings the others down

RUN = Exercise("BH-6", writes="ejecutar", deadline=12)
_STAYS_IN = "¿qué debe pasar con las demás tareas, y quién recibe esa excepción?"


class _OwnEnd(BaseException):
    """Not an Exception, as SystemExit is not."""


@RUN.case("con tres tareas que van bien", raised="¿qué hace ejecutar con una tarea que va bien?")
def three_well(case: Case, ejecutar: Any) -> None:
    expect_call(case, ejecutar, "ejecutar(tareas)")
    expect_call(case, ejecutar, "ejecutar(tareas, hilos)")
    case.enter(_log())
    together, others_ended, called = threading.Barrier(3), threading.Semaphore(0), Counter[str]()
    alone: list[str] = []

    def task(name: str) -> Callable[[], str]:
        def run() -> str:
            called[name] += 1
            try:
                together.wait(2)
            except threading.BrokenBarrierError:
                alone.append(name)
            else:
                # The first ends last: an order of ending is not the one asked for.
                for _ in range(2 if name == "a" else 0):
                    others_ended.acquire(timeout=1)
            others_ended.release()
            return name.upper()

        return run

    results = _results(case, ejecutar([(name, task(name)) for name in "abc"]), 3)
    _expect_called_once(case, called, "abc")
    case.expect(
        not alone,
        "con tres hilos, las tres tareas no llegaron a estar en marcha a la vez: ¿van de una en una?",
    )
    for status, value in results:
        case.expect(
            status == "ok",
            f'una tarea que va bien acabó como {_shown((status, value))}: se pide ("ok", valor)',
        )
    values = [value for _, value in results]
    case.expect(
        sorted(values, key=str) == ["A", "B", "C"],
        f"las tareas devolvieron A, B y C, y los resultados traen {_shown(values)}: ¿qué guardas de cada una?",
    )
    case.expect(
        values == ["A", "B", "C"],
        f"los resultados salieron en el orden {', '.join(values)}: se pide el de las tareas, no el de llegada",
    )


@RUN.case("con seis tareas y dos hilos", raised="¿qué haces con el parámetro hilos?")
def never_more_than_asked(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    inside = _Inside(limit=2)
    called: Counter[str] = Counter()

    def task(name: str) -> Callable[[], None]:
        def run() -> None:
            called[name] += 1
            with inside:
                inside.over.wait(_GRACE)  # the time that one too many has to come in

        return run

    names = [f"t{n}" for n in range(6)]
    _results(case, ejecutar([(name, task(name)) for name in names], 2), 6)
    _expect_called_once(case, called, names)
    case.expect(
        inside.most <= 2,
        f"con hilos=2 llegó a haber {inside.most} tareas en marcha a la vez: ¿dónde se usa hilos?",
    )


@RUN.case("con una tarea que falla entre dos que van bien", raised=_STAYS_IN)
def one_fails(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    error = ValueError("pedido sin dirección")
    called: Counter[str] = Counter()
    tasks = [
        ("antes", _counting(called, "antes", 1)),
        ("falla", _counting(called, "falla", error)),
        ("después", _counting(called, "después", None)),
    ]
    results = _results(case, ejecutar(tasks), 3)
    _expect_called_once(case, called, ("antes", "falla", "después"))
    case.expect(
        not all(results[n][0] == "ok" for n in (0, 2)) or (results[0][1], results[2][1]) == (1, None),
        f"las dos que van bien devolvieron 1 y None, y sus resultados traen {_shown(results[0][1])} y "
        f"{_shown(results[2][1])}: se pide el valor que devolvió la función",
    )
    case.expect(
        results[0] == ("ok", 1) and results[2] == ("ok", None),
        f"las dos que van bien acabaron como {_shown(results[0])} y {_shown(results[2])}: {_STAYS_IN}",
    )
    _expect_error(case, results[1], error)


@RUN.case("con dos tareas del mismo nombre", raised="¿cómo sabes cuál es cuál?")
def twins(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    called: Counter[str] = Counter()
    tasks = [("gemela", _counting(called, f"gemela-{n}", n)) for n in range(2)]
    tasks.append(("otra", _counting(called, "otra", 2)))
    results = _results(case, ejecutar(tasks), 3)
    _expect_called_once(case, called, ("gemela-0", "gemela-1", "otra"))
    values = [value for _, value in results]
    case.expect(
        values == [0, 1, 2],
        f"dos tareas se llaman «gemela» y devuelven 0 y 1, otra devuelve 2, y los resultados traen {_shown(values)}: "
        "¿basta el nombre para saber de qué tarea es cada resultado?",
    )


@RUN.case("con una tarea que devuelve una excepción sin lanzarla", raised=_STAYS_IN)
def a_returned_error_is_a_value(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    value = ValueError("soy un valor")
    status, found = _results(case, ejecutar([("revisar", lambda: value)]), 1)[0]
    case.expect(
        status == "ok" and found is value,
        f"una tarea devolvió un ValueError con return, y acabó como {_shown((status, found))}: "
        "¿cómo distingues lo que se devuelve de lo que se lanza?",
    )


@RUN.case(
    "con tareas que lanzan SystemExit",
    raised=_STAYS_IN,
    late="¿quién espera a una tarea cuyo hilo terminó por SystemExit?",
)
def system_exit(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    exit_, own = SystemExit(1), _OwnEnd("fin")
    called: Counter[str] = Counter()
    errors: list[BaseException] = [exit_, own, *(KeyError(n) for n in range(6))]
    tasks = [(f"falla-{n}", _counting(called, f"falla-{n}", error)) for n, error in enumerate(errors)]
    tasks.append(("última", _counting(called, "última", 7)))
    count, names = len(tasks), [name for name, _ in tasks]
    try:
        returned = ejecutar(tasks, 2)
    except (SystemExit, _OwnEnd) as left:
        if left not in errors:
            raise
        case.fail(
            f"{_name(left)} salió de ejecutar. No hereda de Exception, "
            "así que «except Exception» no la atrapa: ¿qué clase es la madre de todas?"
        )
    results = _results(case, returned, count)
    for result, error in zip(results, errors, strict=False):
        _expect_error(case, result, error)
    case.expect(
        results[-1] == ("ok", 7),
        f"tras ocho fallos, una tarea que va bien acabó como {_shown(results[-1])}: {_STAYS_IN}",
    )
    _expect_called_once(case, called, names)


@RUN.case("con lo que queda escrito en el registro de «tareas»", raised=_STAYS_IN)
def failures_are_logged(case: Case, ejecutar: Any) -> None:
    log = case.enter(_log())

    def cobrar_sin_tarjeta() -> None:
        raise LookupError("tarjeta desconocida")

    tasks: list[tuple[str, Callable[[], object]]] = [
        ("cobro-17", cobrar_sin_tarjeta),
        ("aviso-23", lambda: "enviado"),
        ("cierre-31", lambda: sys.exit(3)),
    ]
    _results(case, ejecutar(tasks), 3)
    records = [record for record in log.records if record.levelno >= logging.WARNING]
    case.expect(
        records,
        'fallaron dos tareas y en logging.getLogger("tareas") no hay ningún mensaje de error: '
        "¿a qué registro escribes, y con qué nivel?",
    )
    levels = sorted({record.levelname for record in records if record.levelno != logging.ERROR})
    case.expect(not levels, f"hay mensajes de nivel {', '.join(levels)}: se pide ERROR")
    texts = [logging.Formatter("%(message)s").format(record) for record in records]
    named = {
        name: [text for text in texts if name in text.partition("Traceback")[0] or name in _last(text)]
        for name in ("cobro-17", "aviso-23", "cierre-31")
    }
    case.expect(not named["aviso-23"], "hay un mensaje de error de una tarea que fue bien")
    for name in ("cobro-17", "cierre-31"):
        case.expect(
            named[name],
            f"falló {name} y ningún mensaje lo nombra: quien lo lea, ¿cómo sabrá qué tarea fue?",
        )
    case.expect(
        len(records) == 2,
        f"fallaron dos tareas y hay {_many(len(records), 'mensaje')} de error: se pide uno por tarea que falla",
    )
    case.expect(
        all("Traceback (most recent call last)" in text for text in texts),
        "un mensaje dice qué tarea falló y no trae la traza: ¿en qué línea fue?",
    )
    case.expect(
        "in cobrar_sin_tarjeta" in named["cobro-17"][0] and "tarjeta desconocida" in named["cobro-17"][0],
        "el mensaje de cobro-17 trae una traza que no llega a la línea que falló, o sin su error: "
        "¿de qué excepción es?",
    )


@RUN.case("sin ninguna tarea", raised="¿sirve tu código para cero tareas?")
def no_tasks(case: Case, ejecutar: Any) -> None:
    case.enter(_log())
    _results(case, ejecutar([]), 0)


def _last(text: str) -> str:
    """The last line, where a text that was made by hand may name the task after its traceback."""
    return text.rstrip().rpartition("\n")[2]


def _counting(called: Counter[str], name: str, outcome: object) -> Callable[[], object]:
    def run() -> object:
        called[name] += 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return run


def _results(case: Case, found: Any, count: int) -> list[tuple[Any, Any]]:
    """What `ejecutar` returned, if it has the form that is asked for."""
    case.expect(found is not None, "ejecutar no devolvió nada: ¿falta el return?")
    case.expect(
        isinstance(found, list | tuple), f"ejecutar devolvió {kind(found)}: se pide una lista de parejas"
    )
    case.expect(
        len(found) == count,
        f"de {_many(count, 'tarea')}, ejecutar devolvió {_many(len(found), 'resultado')}: se pide uno por tarea, en su orden",
    )
    for result in found:
        case.expect(
            isinstance(result, list | tuple) and len(result) == 2 and result[0] in ("ok", "error"),
            f'un resultado es {_shown(result)}: se pide ("ok", valor) o ("error", excepción)',
        )
    return [(status, value) for status, value in found]


def _expect_error(case: Case, result: tuple[Any, Any], error: BaseException) -> None:
    status, value = result
    case.expect(
        status == "error", f'una tarea lanzó {_name(error)} y acabó como "ok": ¿dónde se perdió el fallo?'
    )
    case.expect(
        isinstance(value, BaseException),
        f"el resultado de la tarea que falla trae {kind(value)}: se pide la excepción misma",
    )
    case.expect(
        value is error,
        f"una tarea lanzó {_name(error)} y su resultado trae {described(value)}: se pide esa misma excepción",
    )


def _expect_called_once(case: Case, called: Counter[str], names: Any) -> None:
    for name in names:
        times = called[name]
        case.expect(times > 0, f"la tarea «{name}» no se llegó a ejecutar: {_STAYS_IN}")
        case.expect(times == 1, f"la tarea «{name}» se ejecutó {times} veces: se pide una")


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _log() -> Iterator[_Log]:
    """What is logged under "tareas" meanwhile. Nothing that the answer logs, there or elsewhere, is shown.

    `logging.exception` adds a handler to the root, which would show in the kernel whatever is logged later.
    """
    handler, logger, root, silence = (
        _Log(),
        logging.getLogger("tareas"),
        logging.getLogger(),
        logging.NullHandler(),
    )
    propagates, logger.propagate = logger.propagate, False
    handlers, root.handlers = root.handlers, [silence]
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate, root.handlers = propagates, handlers


class _Inside:
    """Counts who is in the block, and the most there ever were; `over` is set when that is above the limit."""

    def __init__(self, limit: int) -> None:
        self._lock, self._limit, self._now = threading.Lock(), limit, 0
        self.most = 0
        self.over = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now > self._limit:
                self.over.set()

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._now -= 1


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _workers(count: int) -> str:
    return _many(count, "hilo")


def _shown(thing: object) -> str:
    try:
        text = repr(thing)
    except Exception:
        return kind(thing)
    return text if len(text) <= 80 else text[:79] + "…"


def _name(error: BaseException) -> str:
    return "una excepción que hereda de BaseException" if isinstance(error, _OwnEnd) else described(error)


# BH-7a · a bounded group of threads

BOUNDED = Exercise("BH-7a", writes="GrupoAcotado", deadline=10)
_BOUNDED_METHODS = ("entregar(funcion)", "cerrar()")
# So many that are refused at once take no time; if each waits a little, they take longer than a busy machine does.
_REFUSALS, _LONG = 100, 3.0  # seconds
_NEVER_WAITS = "¿espera entregar a que haya sitio? Tiene que contestar al momento"


def _refused_at_once(case: Case, ask: Callable[[int], _T], what: str, think: str) -> list[_T]:
    """What is answered to so many, one after the other, while there is no room; none of them may wait."""
    began, answers = time.monotonic(), []
    for number in range(_REFUSALS):
        answers.append(ask(number))
        case.expect(time.monotonic() - began < _LONG, f"{what} tardaron más de {_LONG:g} s: {think}")
    return answers


class _Flood:
    """A group of the learner's with tasks that stay inside until the gate opens."""

    def __init__(self, case: Case, group_class: Any, workers: int, queue: int) -> None:
        self.case = case
        self.gate = threading.Event()
        self.began: list[str] = []
        self.ended: list[str] = []
        self.in_caller = False
        self.group = group_class(workers, queue)
        case.cleanup(self._close)

    def _close(self) -> None:
        self.gate.set()
        closing = threading.Thread(target=self._close_group, daemon=True)
        closing.start()
        closing.join(0.5)  # what closing does wrong is for the cases that ask for it

    def _close_group(self) -> None:
        try:
            self.group.cerrar()
        except Exception:
            return

    def deliver(self, name: str) -> bool:
        caller = threading.get_ident()

        def task() -> None:
            self.began.append(name)
            if threading.get_ident() == caller:
                self.in_caller = True
            else:
                self.gate.wait(_PATIENCE * 2)
            self.ended.append(name)

        accepted = self.submit(task)
        self.case.expect(
            not self.in_caller, "la tarea se ejecutó en el hilo que la entrega: ¿en qué hilos tienen que ir?"
        )
        return accepted

    def submit(self, task: Callable[[], object]) -> bool:
        answer = self.group.entregar(task)
        self.case.expect(
            isinstance(answer, bool),
            f"entregar devolvió {kind(answer)}: se pide True si la tarea se acepta y False si no cabe",
        )
        return bool(answer)

    def wait_for(self, count: int) -> bool:
        """Whether so many tasks begin."""
        return eventually(lambda: len(self.began) >= count, _PATIENCE)

    def expect_counts(
        self,
        accepted: int,
        rejected: int,
        think: str = "¿cuándo se cuenta, y con qué protección si entregan varios hilos?",
    ) -> None:
        for name, right in (("aceptadas", accepted), ("rechazadas", rejected)):
            self.case.expect(hasattr(self.group, name), f"a tu objeto le falta {name}")
            value = getattr(self.group, name)
            self.case.expect(
                not callable(value), f"{name} es un método: se lee sin paréntesis, como grupo.{name}"
            )
            self.case.expect(
                _is_count(value) and value == right,
                f"{name} vale {_shown(value)} y, por lo que devolvió entregar, son {right}: {think}",
            )


@BOUNDED.case(
    "con dos hilos y tres sitios en la cola",
    raised="¿qué hace entregar cuando una tarea no cabe?",
    late=_NEVER_WAITS,
)
def fills_and_refuses(case: Case, group_class: Any) -> None:
    expect_class(
        case,
        group_class,
        "GrupoAcotado(hilos, cola)",
        _BOUNDED_METHODS,
        'labkit.check("BH-7a", GrupoAcotado)',
    )
    flood = _Flood(case, group_class, 2, 3)
    expect_methods(case, flood.group, _BOUNDED_METHODS)
    for number in range(2):
        case.expect(flood.deliver(f"{number}"), "con los dos hilos libres se rechazó una tarea")
        case.expect(
            flood.wait_for(number + 1),
            "se aceptó una tarea, había un hilo libre y no empezó: ¿quién la ejecuta?",
        )
    for number in range(2, 5):
        case.expect(
            flood.deliver(f"{number}"),
            f"con dos tareas en marcha y {number - 2} en la cola de tres, la siguiente se rechazó: ¿cuántas caben?",
        )
    refused = _refused_at_once(
        case,
        lambda number: flood.deliver(f"{5 + number}"),
        f"con el grupo lleno, {_REFUSALS} entregas",
        _NEVER_WAITS,
    )
    case.expect(
        not eventually(lambda: len(flood.began) > 2, _GRACE),
        f"con dos hilos hay {len(flood.began)} tareas en marcha: ¿cuántos hilos hay en total?",
    )
    case.expect(
        not any(refused),
        "con dos tareas en marcha y tres en la cola se aceptó otra: ¿dónde está el fin de la cola?",
    )
    flood.expect_counts(5, _REFUSALS)
    flood.gate.set()
    case.expect(
        eventually(lambda: len(flood.ended) >= 5, _PATIENCE),
        f"se aceptaron cinco tareas y terminaron {len(flood.ended)}: ¿se perdió alguna?",
    )
    eventually(lambda: len(flood.began) > 5, _GRACE)
    case.expect(
        all(int(name) < 5 for name in flood.began), "se ejecutó una tarea para la que entregar devolvió False"
    )
    twice = [name for name, times in Counter(flood.began).items() if times > 1]
    case.expect(not twice, "una tarea que se entregó una vez se ejecutó más de una")


@BOUNDED.case(
    "con tareas que fallan",
    raised="la excepción de una tarea no debe salir de entregar ni de cerrar",
    late=_NEVER_WAITS,
)
def failures_give_their_place_back(case: Case, group_class: Any) -> None:
    _deliver_failing(case, group_class, ValueError("a propósito"), "fallan", "fallo")
    _deliver_failing(
        case,
        group_class,
        SystemExit(1),
        "lanzan SystemExit",
        "SystemExit",
        " SystemExit no hereda de Exception: ¿se ejecuta igual lo que viene después?",
    )


def _deliver_failing(
    case: Case, group_class: Any, error: BaseException, do: str, failure: str, more: str = ""
) -> None:
    """Deliver six tasks that raise that error, each as soon as there is room."""
    flood = _Flood(case, group_class, 1, 1)
    accepted = rejected = 0
    ran: list[int] = []

    def failing() -> None:
        ran.append(1)
        _raising(error)

    for number in range(6):
        end = time.monotonic() + _PATIENCE
        while not flood.submit(failing):
            rejected += 1
            case.expect(
                time.monotonic() < end,
                f"tras aceptar {_many(number, 'tarea')} que {do}, ya no se acepta ninguna más: "
                + (
                    "¿quién devuelve su sitio?"
                    if len(ran) == accepted
                    else f"ejecutadas, solo {len(ran)}. ¿Sigue vivo su hilo tras un {failure}?"
                )
                + more,
            )
            time.sleep(0.002)
        accepted += 1
    case.expect(
        eventually(lambda: len(ran) == accepted, _PATIENCE),
        f"se aceptaron {accepted} tareas que {do} y se ejecutaron {len(ran)}: "
        f"¿sigue vivo su hilo tras un {failure}?{more}",
    )
    flood.expect_counts(accepted, rejected)


@BOUNDED.case("cuando entregan ocho hilos a la vez", late=_NEVER_WAITS)
def many_threads(case: Case, group_class: Any) -> None:
    flood = _Flood(case, group_class, 3, 5)
    inside = _Inside(limit=3)
    ran: list[int] = []
    ready = threading.Barrier(8)

    def task() -> None:
        with inside:
            time.sleep(0.001)
        ran.append(1)

    def client() -> list[bool]:
        ready.wait(_PATIENCE)
        return [flood.submit(task) for _ in range(25)]

    with _threads(case, 8) as clients:
        futures = [clients.submit(client) for _ in range(8)]
        answers = [answer for future in futures for answer in future.result()]
    accepted = sum(answers)
    case.expect(
        eventually(lambda: len(ran) >= accepted, _PATIENCE),
        f"entregar aceptó {accepted} tareas y se ejecutaron {len(ran)}: ¿se perdió alguna?",
    )
    case.expect(inside.most <= 3, f"con tres hilos llegó a haber {inside.most} tareas en marcha a la vez")
    case.expect(
        len(ran) == accepted,
        f"entregar aceptó {accepted} tareas y se ejecutaron {len(ran)}: ¿de dónde salen?",
    )
    flood.expect_counts(accepted, len(answers) - accepted)


@BOUNDED.case("al cerrar con tareas pendientes", late="¿a qué espera cerrar, y llega a ocurrir?")
def close_waits(case: Case, group_class: Any) -> None:
    flood = _Flood(case, group_class, 2, 2)
    for number in range(2):
        flood.deliver(f"{number}")
        flood.wait_for(number + 1)
    accepted = 2 + sum(flood.deliver(f"{number}") for number in range(2, 4))
    closed: Future[Any] = case.enter(_threads(case, 1)).submit(flood.group.cerrar)
    too_early = eventually(closed.done, _GRACE)
    flood.gate.set()
    if too_early and closed.exception() is not None:
        closed.result()
    case.expect(
        not too_early, f"cerrar volvió con {accepted - len(flood.ended)} tareas aceptadas sin terminar"
    )
    case.expect(
        eventually(closed.done, _PATIENCE * 2),
        f"las {accepted} tareas aceptadas ya pueden terminar, y cerrar no vuelve: ¿a qué espera, y llega a ocurrir?",
    )
    closed.result()
    case.expect(
        len(flood.ended) == accepted,
        f"se aceptaron {accepted} tareas y, al volver cerrar, habían terminado {len(flood.ended)}",
    )


# Steps of a delivery, at most; a right answer takes about ten.
_MOST_STEPS = 30
# Seconds after which a delivery that does not come back is taken to wait for a lock. A right answer takes them at
# every step that it makes in its lock.
_BLOCKED = 0.05

# A count that is read in one thread while another changes it, or a place that two see free, hardly ever happens
# by itself in CPython. So one delivery is held at each of its steps in turn while others go all their way.


@BOUNDED.case(
    "cuando un hilo entrega en mitad de la entrega de otro",
    raised="entre lo que mira un hilo y lo que hace después, otro puede entregar. ¿Y entonces?",
    late=_NEVER_WAITS,
)
def one_in_the_middle(case: Case, group_class: Any) -> None:
    for full in (False, True):
        for step in range(1, _MOST_STEPS):
            if not _deliver_in_the_middle(case, group_class, full, step):
                break


def _deliver_in_the_middle(case: Case, group_class: Any, full: bool, step: int) -> bool:
    """Hold one delivery at that step while others are made, and look at what they did; False: it ended before.

    With room for two, three others are made; with none, one.
    """
    flood = _Flood(case, group_class, 1, 2)
    flood.deliver("dentro")
    flood.wait_for(1)
    accepted = 1 + sum(flood.deliver(f"cola {number}") for number in range(2 if full else 0))
    hold = _Hold(step)
    case.cleanup(hold.go_on.set)
    watched = _watch_attributes(flood.group, hold.step)

    with _threads(case, 2) as threads:
        slow = threads.submit(hold.watch, lambda: flood.deliver("despacio"))
        eventually(lambda: hold.held.is_set() or slow.done(), _PATIENCE)
        others = threads.submit(
            lambda: [flood.deliver(f"otra {number}") for number in range(1 if full else 3)]
        )
        # Those that must wait for a lock of the one that is held cannot end before it.
        eventually(others.done, _BLOCKED)
        hold.go_on.set()
        case.expect(
            eventually(lambda: slow.done() and others.done(), _PATIENCE),
            "dos hilos entregaron a la vez cuando quedaba poco sitio, y entregar no volvió: "
            "¿espera a que haya sitio el que llega tarde?",
        )
        answers = [slow.result(), *others.result()]
    accepted += sum(answers)
    case.expect(
        accepted <= 3,
        f"con una tarea en marcha y dos sitios en la cola, entregaron dos hilos a la vez y se aceptaron {accepted} "
        "en total: ¿qué pasa si los dos miran si cabe antes de que uno ocupe el sitio?",
    )
    flood.expect_counts(
        accepted,
        1 + len(answers) + (2 if full else 0) - accepted,
        "entregaron dos hilos a la vez. ¿Qué pasa si los dos leen la cuenta antes de que uno la cambie?",
    )
    flood.gate.set()
    return watched and hold.held.is_set()


class _Hold:
    """Holds one thread at one of its steps until it may go on."""

    def __init__(self, number: int) -> None:
        self.held, self.go_on = threading.Event(), threading.Event()
        self._left = number
        self._thread: int | None = None

    def watch(self, function: Callable[[], _T]) -> _T:
        """Call the function; only the steps of its thread count, and only meanwhile."""
        self._thread = threading.get_ident()
        try:
            return function()
        finally:
            self._thread = None

    def step(self) -> None:
        if threading.get_ident() != self._thread:
            return
        self._left -= 1
        if self._left == 0:
            self.held.set()
            self.go_on.wait(_PATIENCE)


def _watch_attributes(thing: Any, step: Callable[[], None]) -> bool:
    """Have `step` called after each reading and before each change of its attributes; False if it cannot be."""
    made: Any = type(thing)

    class Watched(made):  # type: ignore[misc]
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            step()
            return value

        def __setattr__(self, name: str, value: Any) -> None:
            step()
            super().__setattr__(name, value)

    Watched.__name__ = made.__name__  # which an error's text may say
    try:
        thing.__class__ = Watched
    except TypeError:
        return False  # not a class written in Python
    return True


@contextmanager
def _threads(case: Case, count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of a case's own; leaving does not wait for what an answer holds."""
    executor = ThreadPoolExecutor(count, thread_name_prefix="comprobacion")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


# BH-7b · the flood itself

FLOOD = Exercise("BH-7b", writes="inundacion")
_COUNTS = ("aceptadas", "rechazadas", "terminadas")


@FLOOD.case("con las cuentas de la inundación")
def counts_add_up(case: Case, inundacion: Any) -> None:
    case.expect(
        isinstance(inundacion, Mapping),
        f"inundacion es {kind(inundacion)}: usa un diccionario con aceptadas, rechazadas y terminadas",
    )
    missing = [name for name in _COUNTS if name not in inundacion]
    case.expect(not missing, f"en inundacion falta: {', '.join(missing)}")
    for name in _COUNTS:
        value = inundacion[name]
        case.expect(
            _is_count(value) and value >= 0,
            f"inundacion[{name!r}] es {_shown(value)}: guarda un número entero de tareas",
        )
    accepted, rejected, ended = (int(inundacion[name]) for name in _COUNTS)
    case.expect(
        accepted + rejected == 1000,
        f"{accepted} aceptadas y {rejected} rechazadas suman {accepted + rejected}, y se entregan 1000: "
        "¿el grupo es nuevo, y se cuentan todas?",
    )
    case.expect(
        ended <= accepted,
        f"terminaron {ended} y se aceptaron {accepted}: ¿de dónde salen las demás? ¿La lista o el contador es nuevo?",
    )
    case.expect(
        ended == accepted,
        f"se aceptaron {accepted} y terminaron {ended}: ¿anotaste la cuenta después de cerrar?",
    )
    case.expect(
        accepted >= 23,
        f"se aceptaron {accepted}: en 3 hilos y 20 sitios de cola caben más. ¿Qué tamaño le diste al grupo?",
    )
    case.expect(
        rejected > 0,
        "no se rechazó ninguna: así no es una inundación. ¿Tarda algo cada tarea, y las entregas de golpe?",
    )


# BH-8 · measure and adjust

WATCH = Exercise("BH-8", writes="Vigilante", deadline=10)
_WATCH_CALL = "Vigilante(bulkhead, objetivo, minimo, maximo, carga, reloj)"
_WATCH_METHODS = ("llamar(funcion)", "ajustar()")


_FAILURES = (
    ConnectionError("pagos ha cortado"),
    LookupError("no queda papel"),
    ValueError("sin dirección"),
    RuntimeError("otra cosa"),
)


class _Shift:
    """A `Vigilante` of the learner's with a clock, a machine and a bulkhead that the case moves."""

    def __init__(
        self, case: Case, watch_class: Any, *, limit: int = 4, low: int = 1, high: int = 20, wait: float = 0
    ) -> None:
        self.case = case
        self.clock = ManualClock(100)
        self.bulkhead = Bulkhead(limit, max_wait=wait, name="pagos")
        self.load = 0.2
        self.watch = watch_class(self.bulkhead, 0.5, low, high, lambda: self.load, self.clock)

    def call(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            self.watch.llamar(self.clock.advance, seconds)

    def adjust(self) -> int:
        answer = self.watch.ajustar()
        limit = self.bulkhead.limit
        self.case.expect(
            answer is not None, "ajustar no devolvió nada: se pide el límite con el que se queda"
        )
        self.case.expect(
            _is_count(answer) and answer == limit,
            f"ajustar devolvió {_shown(answer)} y bulkhead.limit vale {limit}: ¿lo cambiaste, y devuelves el nuevo?",
        )
        return limit

    def expect(self, right: int, what: str, think: str) -> None:
        limit = self.adjust()
        self.case.expect(limit == right, f"{what}, el límite quedó en {limit}: {think}")


@WATCH.case("al llamar a una función", raised="¿qué hace llamar con una función que va bien?")
def calls_through_the_bulkhead(case: Case, watch_class: Any) -> None:
    expect_class(case, watch_class, _WATCH_CALL, _WATCH_METHODS, 'labkit.check("BH-8", Vigilante)')
    shift = _Shift(case, watch_class, limit=8)
    expect_methods(case, shift.watch, _WATCH_METHODS)
    seen: list[int] = []

    def charge(*order: object) -> str:
        seen.append(shift.bulkhead.in_use)
        return f"cobrado {order}"

    answer = shift.watch.llamar(charge, 7, "libro")
    case.expect(len(seen) == 1, f"llamar ejecutó la función {len(seen)} veces: se pide una")
    case.expect(answer is not None, "llamar no devolvió nada: ¿devuelves el resultado?")
    case.expect(
        answer == "cobrado (7, 'libro')",
        f"la función devolvió «cobrado (7, 'libro')» y llamar devolvió {_shown(answer)}: ¿y sus argumentos?",
    )
    case.expect(
        seen[0] > 0, "mientras la función trabajaba no había ningún permiso en uso: ¿pasa por bulkhead?"
    )
    case.expect(seen[0] == 1, f"una llamada ocupó {seen[0]} permisos: ¿entras más de una vez en bulkhead?")
    for error in _FAILURES:
        _expect_comes_out(case, error, shift.watch.llamar, _raising, error)
    case.expect(
        shift.bulkhead.in_use == 0, f"al acabar quedaron {shift.bulkhead.in_use} permisos sin devolver"
    )


@WATCH.case("cuando todo va bien", raised="¿qué hace ajustar con llamadas rápidas?")
def raises_slowly(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class)
    shift.call(0.1, times=5)
    shift.expect(
        5, "con límite 4, cinco llamadas rápidas y la máquina tranquila", "¿cuánto se sube cada vez?"
    )
    shift.call(0.5)
    shift.expect(
        6,
        "con límite 5 y una llamada de 0.5 s justos, el objetivo",
        "«más de» el objetivo, ¿incluye el objetivo?",
    )


@WATCH.case("cuando una llamada se alarga", raised="¿qué hace ajustar con una llamada lenta?")
def lowers_at_once(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=10)
    shift.call(0.6)
    shift.expect(
        5, "con límite 10 y una llamada de 0.6 s", "¿con qué reloj la mides? ¿Hace falta también la carga?"
    )
    shift = _Shift(case, watch_class, limit=10)
    shift.call(0.1, times=3)
    shift.call(0.6)
    shift.call(0.1, times=3)
    shift.expect(
        5,
        "con límite 10 y siete llamadas, una de ellas de más de 0.5 s",
        "¿miras todas, o solo la última o la media?",
    )
    shift.call(3)
    shift.expect(2, "con límite 5 y una llamada lenta", "la mitad, ¿redondeada hacia dónde?")
    # To the even one of both is not downwards either.
    shift = _Shift(case, watch_class, limit=7)
    shift.call(3)
    shift.expect(3, "con límite 7 y una llamada lenta", "la mitad, ¿redondeada hacia dónde?")


@WATCH.case("con las medidas de otro momento", raised="¿qué hace ajustar sin medidas?")
def forgets_what_was_used(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=12)
    shift.expect(
        12, "con límite 12 y sin ninguna llamada", "sin medidas no se sabe nada. ¿Qué se hace entonces?"
    )
    shift.call(2)
    shift.adjust()
    shift.expect(
        6,
        "con límite 12, una llamada lenta y dos ajustes seguidos",
        "¿desde cuándo cuentan las medidas del segundo?",
    )
    shift.call(0.1)
    shift.expect(
        7,
        "después, con límite 6 y una llamada rápida",
        "la lenta es de antes del ajuste anterior. ¿Sigue contando?",
    )


@WATCH.case("con la máquina cargada", raised="¿cómo miras la carga?")
def looks_at_the_machine(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=16)
    shift.load = 0.95
    shift.call(0.1)
    case.expect(
        shift.adjust() != 9,
        "con límite 16, llamadas rápidas y una carga de 0.95, el límite quedó en 9: "
        "¿se aplica más de una regla en el mismo ajuste?",
    )
    shift = _Shift(case, watch_class, limit=16)
    shift.load = 0.95
    shift.call(0.1)
    shift.expect(
        8,
        "con límite 16, llamadas rápidas y una carga de 0.95",
        "¿miras la carga, y cuándo: al crear o al ajustar?",
    )
    shift.load = 0.9
    shift.call(0.1)
    shift.expect(4, "con límite 8 y una carga de 0.9 justos", "«0.9 o más», ¿incluye 0.9?")
    shift.expect(2, "con límite 4, sin llamadas y una carga de 0.9", "¿hacen falta medidas para verla?")
    shift.load = 0.89
    shift.call(0.1)
    shift.expect(3, "con límite 2, una llamada rápida y una carga de 0.89", "¿dónde pones la frontera?")


@WATCH.case("cuando hay varios motivos para bajar", raised="¿qué hace ajustar con varias llamadas lentas?")
def lowers_once(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=16)
    shift.call(2, times=3)
    shift.expect(8, "con límite 16 y tres llamadas lentas", "un ajuste, ¿cuántas veces baja?")
    shift.load = 0.95
    shift.call(2)
    shift.expect(
        4,
        "con límite 8, una llamada lenta y una carga de 0.95",
        "se cumplen las dos condiciones a la vez. ¿Cuántas veces baja un ajuste?",
    )


@WATCH.case("al llegar al mínimo y al máximo", raised="¿qué límites acepta bulkhead?")
def stays_within_bounds(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=5, low=3, high=6)
    shift.call(2)
    shift.expect(3, "con mínimo 3, límite 5 y una llamada lenta", "¿y el mínimo?")
    shift.call(2)
    shift.expect(3, "con mínimo 3, límite 3 y una llamada lenta", "¿y el mínimo?")
    for right in (4, 5, 6, 6):
        shift.call(0.1)
        shift.expect(
            right, f"con máximo 6 y límite {shift.bulkhead.limit}, una llamada rápida", "¿y el máximo?"
        )
    lowest = _Shift(case, watch_class, limit=1)
    lowest.call(2)
    lowest.expect(1, "con mínimo 1, límite 1 y una llamada lenta", "¿cuánto es la mitad de uno?")


@WATCH.case("con una función que falla", raised="una excepción de la función no debe impedir que se mida")
def measures_failures(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=8)

    error = TimeoutError("pagos no contesta")

    def fails_after(seconds: float) -> None:
        shift.clock.advance(seconds)
        _raising(error)

    def call(seconds: float) -> None:
        _expect_comes_out(case, error, shift.watch.llamar, fails_after, seconds)

    call(2)
    shift.expect(
        4,
        "con límite 8 y una llamada que falló a los 2 s",
        "las que fallan por lentas son las que más importan. ¿Se miden?",
    )
    call(0.1)
    shift.expect(5, "con límite 4 y una llamada que falló enseguida", "¿también es una medida?")


@WATCH.case(
    "con una llamada que espera su permiso",
    raised="¿qué pasa cuando no hay permiso?",
    late="¿qué espera llamar, aparte del permiso?",
)
def waiting_is_not_work(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=1, wait=_PATIENCE * 2)
    permit = shift.bulkhead.acquire()
    case.cleanup(permit.release)
    waiting = case.enter(_threads(case, 1)).submit(shift.call, 0.1)
    case.expect(
        eventually(lambda: shift.bulkhead.waiting == 1 or waiting.done(), _PATIENCE) and not waiting.done(),
        "con el único permiso en uso, llamar no esperó el suyo: ¿entra en bulkhead?",
    )
    shift.clock.advance(10)
    permit.release()
    waiting.result(_PATIENCE)
    shift.expect(
        2,
        "con límite 1 y una llamada que esperó 10 s su permiso y trabajó 0.1 s",
        "¿desde cuándo cuenta tu reloj? Si la espera cuenta, cuanto más bajas el límite más hay que bajarlo",
    )


@WATCH.case("con una llamada rechazada", raised="¿qué hace ajustar si todas se rechazaron?")
def a_refusal_is_no_measure(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=2)
    permits = [shift.bulkhead.acquire() for _ in range(2)]
    called: list[int] = []
    for _ in range(3):
        try:
            shift.watch.llamar(called.append, 1)
        except BulkheadFullError:
            continue
        case.fail("con todos los permisos en uso, llamar no lanzó BulkheadFullError")
    case.expect(not called, "con todos los permisos en uso, la función se ejecutó")
    for permit in permits:
        permit.release()
    shift.expect(
        2, "con límite 2 y tres llamadas rechazadas", "una llamada que no llegó a trabajar, ¿es una medida?"
    )


@WATCH.case(
    "con dos llamadas a la vez",
    raised="¿qué comparten dos llamadas que están dentro a la vez?",
    late="¿qué espera llamar, aparte del permiso?",
)
def measures_each_call(case: Case, watch_class: Any) -> None:
    shift = _Shift(case, watch_class, limit=4)
    threads = case.enter(_threads(case, 2))
    first, second = _Stay(case), _Stay(case)
    calls = []
    for which, stay, takes in (("primera", first, 2), ("segunda", second, 0)):
        call = threads.submit(shift.watch.llamar, stay)
        calls.append(call)
        eventually(lambda stay=stay, call=call: stay.inside.is_set() or call.done(), _PATIENCE)  # type: ignore[misc]
        if call.done():
            call.result()
        case.expect(
            stay.inside.is_set(),
            f"con límite 4, la {which} de dos llamadas a la vez no llegó a la función: "
            "¿quién decide cuántas están dentro, bulkhead o tu código?",
        )
        shift.clock.advance(takes)
    for which, stay, call, right in zip(("primera", "segunda"), (first, second), calls, (2, 3), strict=True):
        stay.leave.set()
        call.result(_PATIENCE)
        before = shift.bulkhead.limit
        shift.expect(
            right,
            f"dos llamadas estuvieron dentro a la vez, una 2 s y otra 0 s; con límite {before} y al acabar la "
            f"{which}",
            "¿dónde guardas cuándo empieza cada una?",
        )


class _Stay:
    """Work that stays inside until it may leave."""

    def __init__(self, case: Case) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        case.cleanup(self.leave.set)

    def __call__(self) -> None:
        self.inside.set()
        self.leave.wait(_PATIENCE * 2)


def _raising(error: BaseException) -> None:
    raise error.with_traceback(
        None
    )  # the same again and again: it would keep the frames of all that came before


def _expect_comes_out(
    case: Case, error: BaseException, call: Callable[..., object], *arguments: object
) -> None:
    """What the function raises must come out of `llamar` as it is."""
    try:
        call(*arguments)
    except Exception as found:
        case.expect(
            found is error,
            f"la función lanzó {described(error)} y de llamar salió otra, {described(found)}: sale tal cual",
        )
    else:
        case.fail(f"la función lanzó {described(error)} y de llamar no salió nada: sale tal cual")


# BH-9 · with a circuit breaker

PROTECTED = Exercise("BH-9", writes="crear_proteccion", deadline=10)
_MAKES = "¿qué devuelve crear_proteccion?"
_AT_ONCE = "¿espera alguien un permiso? Si no hay, se rechaza al momento"
_FAILURE = ConnectionError("pagos ha cortado")


class _Shop:
    """What the learner's function makes, and how the calls through it end."""

    def __init__(
        self,
        case: Case,
        make: Any,
        permits: int = 2,
        failures: int = 3,
        clock: Callable[[], float] | None = None,
        wait: float = 25,
    ) -> None:
        self.case = case
        self.clock = ManualClock(100)
        self.gate = threading.Event()
        case.cleanup(self.gate.set)
        self.protected = make(permits, failures, wait, clock or self.clock)
        case.expect(self.protected is not None, "crear_proteccion no devolvió nada: ¿falta el return?")
        expect_call(case, self.protected, "llamar(nombre, funcion)")
        self.reached: Counter[str] = Counter()
        self._threads = case.enter(_threads(case, 8))

    def call(self, name: str = "pagos", work: Callable[[], object] = lambda: "bien") -> str:
        """How one call ends: "bien", "fallo", "lleno" or "cortado"."""

        def counted() -> object:
            self.reached[name] += 1
            return work()

        try:
            self.protected(name, counted)
        except BulkheadFullError:
            return "lleno"
        except CircuitOpenError:
            return "cortado"
        except Exception as error:
            if any(error is known for known in (_FAILURE, *_FAILURES)):
                return "fallo"
            if not isinstance(error, ConnectionError):
                raise
            self.case.fail(
                "la función lanzó una excepción y de llamar salió otra del mismo tipo: sale tal cual"
            )
        return "bien"

    def fail(self, name: str = "pagos", error: BaseException = _FAILURE) -> str:
        return self.call(name, lambda: _raising(error))

    def occupy(self, name: str = "pagos") -> Future[str]:
        """A call that is inside until the gate opens."""
        before = self.reached[name]
        future = self._threads.submit(self.call, name, lambda: self.gate.wait(_PATIENCE * 2))
        self.case.expect(
            eventually(lambda: self.reached[name] > before or future.done(), _PATIENCE)
            and self.reached[name] > before,
            f"con sitio de sobra, una llamada a {name} no llegó a la función"
            + (f": acabó en {self._ended(future)}" if future.done() else ""),
        )
        return future

    def _ended(self, future: Future[str]) -> str:
        error = future.exception()
        return described(error) if error is not None else f"«{future.result()}»"

    def release(self, *futures: Future[str]) -> None:
        self.gate.set()
        for future in futures:
            future.result(_PATIENCE)
        self.gate.clear()


@PROTECTED.case("con un servicio sano", raised=_MAKES)
def healthy(case: Case, crear_proteccion: Any) -> None:
    expect_call(case, crear_proteccion, "crear_proteccion(permisos, fallos, espera, reloj)")
    shop = _Shop(case, crear_proteccion, failures=9)
    answer = shop.protected("pagos", lambda: "cobrado")
    case.expect(
        answer == "cobrado",
        f"la función devolvió «cobrado» y llamar devolvió {_shown(answer)}: ¿falta un return?",
    )
    for _ in range(5):
        case.expect(shop.call() == "bien", "una llamada tras otra, con todo bien, dejó de pasar")
    for name, error in zip(("pagos", "envios", "almacen", "avisos"), _FAILURES, strict=True):
        _expect_comes_out(case, error, shop.protected, name, partial(_raising, error))


@PROTECTED.case("con dos protecciones", raised=_MAKES)
def each_protection_is_its_own(case: Case, crear_proteccion: Any) -> None:
    used, new = (_Shop(case, crear_proteccion, permits=1, failures=1) for _ in range(2))
    # Of a name that no other case uses: what is shared by all would be as the first one asked for.
    used.fail("cartero")
    ended = new.call("cartero")
    case.expect(
        ended == "bien",
        f"cartero falló en una protección, y en otra recién creada su primera llamada acabó en «{ended}»: "
        "¿qué comparten dos protecciones creadas por separado?",
    )


@PROTECTED.case("con el compartimento lleno", raised=_MAKES, late=_AT_ONCE)
def full_compartment(case: Case, crear_proteccion: Any) -> None:
    shop = _Shop(case, crear_proteccion, permits=2, failures=2)
    inside = [shop.occupy(), shop.occupy()]
    before = shop.reached["pagos"]
    ended = [shop.call()]
    case.expect(
        not any(future.done() for future in inside),
        f"con el compartimento lleno, la llamada no volvió hasta que salió alguien: {_AT_ONCE}",
    )
    ended += _refused_at_once(
        case,
        lambda _: shop.call(),
        f"con el compartimento lleno, {_REFUSALS} llamadas",
        _AT_ONCE,
    )
    case.expect(
        shop.reached["pagos"] == before,
        "con dos permisos y dos llamadas dentro, entró otra: ¿es el mismo compartimento en cada llamada?",
    )
    case.expect(ended[0] == "lleno", f"con el compartimento lleno, la llamada acabó en «{ended[0]}»")
    case.expect(
        "cortado" not in ended,
        "tras varios rechazos por estar lleno se abrió el circuito, y pagos no había fallado: "
        "¿qué excepciones cuentan como fallo?",
    )
    case.expect(
        shop.call("envios") == "bien", "con pagos lleno, una llamada a envios no pasó: ¿qué comparten?"
    )
    shop.release(*inside)
    case.expect(shop.call() == "bien", "al salir los que estaban dentro, la siguiente llamada no pasó")


@PROTECTED.case("cuando un servicio falla seguido", raised=_MAKES)
def opens(case: Case, crear_proteccion: Any) -> None:
    shop = _Shop(case, crear_proteccion, permits=1, failures=4)
    for step in (shop.fail, shop.fail, shop.fail, shop.call, shop.fail, shop.fail, shop.fail):
        ended = step()
        case.expect(
            ended != "lleno",
            "tras un fallo, con el compartimento vacío, sale «lleno»: ¿quién devuelve el permiso?",
        )
        case.expect(
            ended != "cortado",
            "con fallos=4, se cortó antes de cuatro fallos seguidos: ¿cuántos se piden, y qué hace un acierto?",
        )
    shop.fail()
    before = shop.reached["pagos"]
    ended = shop.call()
    case.expect(
        shop.reached["pagos"] == before,
        "con fallos=4, tras cuatro fallos seguidos la función se volvió a llamar: "
        "¿es el mismo cortacircuitos en cada llamada, y con cuántos fallos se abre?",
    )
    case.expect(
        ended == "cortado",
        f"tras cuatro fallos seguidos la llamada acabó en «{ended}»: se pide CircuitOpenError",
    )
    case.expect(
        shop.call("envios") == "bien",
        "pagos falló cuatro veces y una llamada a envios no pasó: lo que le pasa a un nombre no afecta a los demás",
    )


@PROTECTED.case("cuando falla de varias maneras", raised=_MAKES)
def any_failure_counts(case: Case, crear_proteccion: Any) -> None:
    for error in _FAILURES:
        shop = _Shop(case, crear_proteccion, permits=1, failures=2)
        for _ in range(2):
            shop.fail(error=error)
        case.expect(
            shop.call() == "cortado",
            f"con fallos=2, pagos falló dos veces seguidas con {type(error).__name__} y no se cortó: "
            "¿con cuántos fallos se abre el circuito, y qué excepciones cuentan?",
        )


@PROTECTED.case("pasada la espera", raised=_MAKES, late=_AT_ONCE)
def tries_again(case: Case, crear_proteccion: Any) -> None:
    for wait in (7, 25):
        shop = _Shop(case, crear_proteccion, permits=2, failures=2, wait=wait)
        for _ in range(2):
            shop.fail()
        shop.clock.advance(wait - 1)
        case.expect(
            shop.call() == "cortado",
            f"con espera={wait}, a los {wait - 1} s ya se volvió a llamar: ¿cuánto dura la espera?",
        )
        shop.clock.advance(1.5)
        case.expect(
            shop.fail() != "cortado",
            f"con espera={wait}, pasaron más de {wait} s en el reloj y sigue cortado: "
            "¿qué reloj mira el cortacircuitos, y qué espera?",
        )
        case.expect(
            shop.call() == "cortado", "la prueba falló y la siguiente llamada pasó: se pide volver a esperar"
        )
        shop.clock.advance(wait + 0.5)
        case.expect(
            [shop.call() for _ in range(3)] == ["bien"] * 3,
            "pasada la espera, la prueba fue bien y las siguientes llamadas no pasaron todas",
        )


@PROTECTED.case("con una prueba en marcha", raised=_MAKES, late=_AT_ONCE)
def one_probe(case: Case, crear_proteccion: Any) -> None:
    shop = _Shop(case, crear_proteccion, permits=5, failures=1)
    shop.fail()
    shop.clock.advance(26)
    probe = shop.occupy()
    ended = [shop.call() for _ in range(3)]
    case.expect(
        ended == ["cortado"] * 3,
        f"con cinco permisos y una prueba en marcha, las demás llamadas acabaron en {', '.join(ended)}: "
        "se pide una sola prueba",
    )
    shop.release(probe)
    case.expect(shop.call() == "bien", "la prueba fue bien y la siguiente llamada no pasó")


@PROTECTED.case("con una prueba en marcha y un solo permiso", raised=_MAKES, late=_AT_ONCE)
def the_breaker_is_outside(case: Case, crear_proteccion: Any) -> None:
    shop = _Shop(case, crear_proteccion, permits=1, failures=1)
    shop.fail()
    shop.clock.advance(26)
    probe = shop.occupy()
    ended = shop.call()
    case.expect(
        ended != "lleno",
        "con una prueba dentro, que ocupa el único permiso, la segunda llamada llegó hasta el compartimento y lo "
        "encontró lleno, y el circuito no dejaba pasar a nadie: ¿cuál de los dos va por fuera?",
    )
    case.expect(ended == "cortado", f"con una prueba en marcha, otra llamada acabó en «{ended}»")
    shop.release(probe)


@PROTECTED.case(
    "cuando dos hilos estrenan un nombre a la vez",
    raised="¿qué encuentra un hilo cuando otro está a medio crear lo de ese nombre?",
    late=_AT_ONCE,
)
def made_once_for_all_threads(case: Case, crear_proteccion: Any) -> None:
    # The new breaker looks at its clock. There, in the middle of what it makes, the first thread is held.
    hold = _Hold(1)
    case.cleanup(hold.go_on.set)
    clock = ManualClock(100)

    def held_clock() -> float:
        hold.step()
        return clock()

    shop = _Shop(case, crear_proteccion, permits=1, failures=2, clock=held_clock)
    threads = case.enter(_threads(case, 2))
    leave = threading.Event()
    case.cleanup(leave.set)

    def stay_and_fail() -> None:
        leave.wait(_PATIENCE * 2)
        _raising(_FAILURE)

    slow = threads.submit(hold.watch, lambda: shop.call(work=lambda: leave.wait(_PATIENCE * 2)))
    eventually(lambda: hold.held.is_set() or slow.done() or shop.reached["pagos"], _PATIENCE)
    other = threads.submit(shop.call, "pagos", stay_and_fail)
    # One that must wait for a lock of the one that is held cannot get there before it.
    eventually(lambda: shop.reached["pagos"] or other.done(), 3 * _GRACE)
    hold.go_on.set()
    eventually(lambda: slow.done() or other.done() or shop.reached["pagos"] > 1, _PATIENCE)
    case.expect(
        shop.reached["pagos"] < 2,
        "con permisos=1, dos hilos usaron un nombre nuevo a la vez y los dos entraron: "
        "¿cuántos compartimentos se crearon para ese nombre?",
    )
    leave.set()
    ended = sorted((slow.result(_PATIENCE), other.result(_PATIENCE)))
    case.expect(
        "lleno" in ended,
        f"con permisos=1, dos hilos usaron un nombre nuevo a la vez, y sus llamadas acabaron en {ended[0]} y {ended[1]}",
    )
    if "fallo" not in ended:
        shop.fail()  # the one that was let in was not the one that fails
    shop.fail()
    case.expect(
        shop.call() == "cortado",
        "dos hilos usaron un nombre nuevo a la vez; después, con fallos=2, hubo dos fallos seguidos y el circuito "
        "no se abrió: ¿cuántos cortacircuitos se crearon para ese nombre?",
    )


EXERCISES = (WORKERS, RUN, BOUNDED, FLOOD, WATCH, PROTECTED)
