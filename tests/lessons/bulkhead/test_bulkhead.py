"""The exercises of 03_bulkhead, held against what learners write wrong and what they write right.

The function at the top is the one that the notebook gives the learner.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import traceback
from collections import Counter, OrderedDict, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, nullcontext
from functools import partial, wraps

import pytest
from answers import assert_pending, assert_right, assert_wrong

import labkit
from labkit.course.lessons.bulkhead import old as bulkhead
from labkit.exercises.check import NotChecked, UnknownExercise, check
from labkit.patterns.bulkhead import Bulkhead, BulkheadFullError, BulkheadPool
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError

NONSENSE = ["una respuesta", 3, [], {}]
# A home-made worker that dies of its task: that is what the answer is told wrong for.
DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


OVER = threading.Event()


class Queue(queue.Queue):
    """One that nobody waits at for longer than the test takes: there is None in it then."""

    def get(self):
        while not OVER.is_set():
            try:
                return super().get(timeout=0.05)
            except queue.Empty:
                pass
        return None

    def join(self):
        while self.unfinished_tasks and not OVER.is_set():
            time.sleep(0.005)


@pytest.fixture(autouse=True)
def no_thread_goes_on():
    """The threads that an answer started end with the test: a learner's may be left, a test's may not."""

    def threads():  # `labkit.run` keeps one, for everybody
        return {thread for thread in threading.enumerate() if thread.name != "labkit-run"}

    before = threads()
    yield
    OVER.set()
    try:
        labkit.eventually(lambda: not threads() - before, 10)
    finally:
        OVER.clear()


def never(*_args, **_more):
    while True:
        time.sleep(0.01)


def raises(*_args, **_more):
    raise ZeroDivisionError("a propósito")


@pytest.mark.parametrize("exercise_id", bulkhead.QUESTIONS)
def test_the_questions_are_not_checked(exercise_id):
    with pytest.raises(NotChecked):
        check(exercise_id, "una respuesta")


@pytest.mark.parametrize("exercise_id", ["BH-7", "BH-11"])
def test_what_is_no_exercise_is_unknown(exercise_id):
    with pytest.raises(UnknownExercise):
        check(exercise_id, "una respuesta")


# BH-5


def medir(hilos, cobros=24, caben=4):
    en_pagos, cola, pagos_tarda, ronda, quedan = [], [], [], 0, cobros

    def cobrar():
        cola.append(ronda)
        fin = threading.Event()
        en_pagos.append((fin, ronda))
        fin.wait()

    with ThreadPoolExecutor(max_workers=hilos) as grupo:
        for _ in range(cobros):
            grupo.submit(cobrar)
        while quedan:
            labkit.eventually(lambda: len(en_pagos) == min(hilos, quedan))  # noqa: B023
            terminan, en_pagos[:] = en_pagos[:caben], en_pagos[caben:]
            ronda, quedan = ronda + 1, quedan - len(terminan)
            for fin, entrada in terminan:
                pagos_tarda.append(ronda - entrada)
                fin.set()

    return {"rondas": ronda, "en la cola": max(cola), "en pagos": max(pagos_tarda)}


ASKED = (1, 2, 4, 8, 24)


@pytest.fixture(scope="module")
def measured():
    return {workers: medir(workers) for workers in ASKED}


class TestWorkers:
    def test_what_medir_gives_is_right(self, measured):
        assert_right("BH-5", measured, 4)
        assert_right("BH-5", OrderedDict(measured), 4.0)

    def test_more_rows_than_asked_are_welcome(self, measured):
        more = {workers: medir(workers) for workers in (3, 5, 12, 23, 40)}
        assert_right("BH-5", {**more, **measured}, 4)

    def test_half_done_is_pending(self, measured):
        assert_pending("BH-5", ..., ...)
        assert_pending("BH-5", measured, ...)

    @pytest.mark.parametrize("table", NONSENSE)
    def test_no_table(self, table):
        assert check("BH-5", table, 4).state == "falla"

    def test_a_list_of_results(self, measured):
        assert_wrong("BH-5", list(measured.values()), 4, hint_contains="tabla es una lista")

    def test_a_row_missing(self, measured):
        less = {workers: row for workers, row in measured.items() if workers != 8}
        assert_wrong("BH-5", less, 4, hint_contains="falta: 8")

    def test_keys_that_are_no_numbers(self, measured):
        words = {str(workers): row for workers, row in measured.items()}
        assert_wrong("BH-5", words, 4, hint_contains="una clave que es un texto")

    def test_functions_not_called(self, measured):
        assert_wrong("BH-5", {**measured, 8: partial(medir, 8)}, 4, hint_contains="guarda lo que devuelve")

    def test_only_the_rounds(self, measured):
        rounds = {workers: row["rondas"] for workers, row in measured.items()}
        assert_wrong("BH-5", rounds, 4, hint_contains="guarda su resultado entero")

    def test_measured_with_other_workers(self, measured):
        wrong = {**measured, 8: measured[4]}
        assert_wrong("BH-5", wrong, 4, hint_contains="Es lo que sale con 4")

    def test_measured_with_other_tasks(self, measured):
        wrong = {**measured, 2: medir(2, cobros=12)}
        assert_wrong("BH-5", wrong, 4, hint_contains="¿Con qué llamaste a medir")

    def test_too_few(self, measured):
        assert_wrong("BH-5", measured, 2, hint_contains="¿de verdad no se acaba antes")
        assert_wrong("BH-5", measured, 3, hint_contains="¿de verdad no se acaba antes")

    @pytest.mark.parametrize("enough", [5, 8, 24])
    def test_too_many(self, measured, enough):
        assert_wrong("BH-5", measured, enough, hint_contains="también con menos")

    @pytest.mark.parametrize("enough", ["4", True, [4], 0, -1, 2.5])
    def test_no_number_of_workers(self, measured, enough):
        assert_wrong("BH-5", measured, enough, hint_contains="escribe un número de hilos")


# BH-6

registro = logging.getLogger("tareas")


def by_map(tareas, hilos=3):
    def intentar(tarea):
        nombre, funcion = tarea
        try:
            return "ok", funcion()
        except BaseException as error:
            registro.error("la tarea %s ha fallado", nombre, exc_info=error)
            return "error", error

    with ThreadPoolExecutor(max_workers=hilos) as grupo:
        return list(grupo.map(intentar, tareas))


def by_futures(tareas, hilos=3):
    resultados = []
    with ThreadPoolExecutor(hilos) as grupo:
        futuros = [(nombre, grupo.submit(funcion)) for nombre, funcion in tareas]
        for nombre, futuro in futuros:
            try:
                resultados.append(["ok", futuro.result()])
            except BaseException as error:
                registro.exception(nombre)
                resultados.append(["error", error])
    return resultados


def by_completion(tareas, hilos=3):
    resultados = [None] * len(tareas)
    with ThreadPoolExecutor(hilos) as grupo:
        indices = {grupo.submit(funcion): n for n, (_, funcion) in enumerate(tareas)}
        for futuro in as_completed(indices):
            n = indices[futuro]
            error = futuro.exception()
            if error is None:
                resultados[n] = ("ok", futuro.result())
            else:
                traza = "".join(traceback.format_exception(error))
                registro.error(f"{traza}\nfue la tarea {tareas[n][0]}")
                resultados[n] = ("error", error)
    return resultados


def by_threads_and_semaphore(tareas, hilos=3):
    permisos, resultados = threading.Semaphore(hilos), {}

    def una(numero, nombre, funcion):
        with permisos:
            try:
                resultados[numero] = ("ok", funcion())
            except BaseException as error:
                logging.getLogger("tareas.fallos").exception("tarea %s: %r", nombre, error)
                resultados[numero] = ("error", error)

    en_marcha = [threading.Thread(target=una, args=(n, *tarea)) for n, tarea in enumerate(tareas)]
    for hilo in en_marcha:
        hilo.start()
    for hilo in en_marcha:
        hilo.join()
    return tuple(resultados[numero] for numero in range(len(tareas)))


def by_asyncio(tareas, hilos=3):
    async def main():
        permisos = asyncio.Semaphore(hilos)

        def intentar(nombre, funcion):
            try:
                return ("ok", funcion())
            except BaseException as error:
                registro.error(nombre, exc_info=True)
                return ("error", error)

        async def una(nombre, funcion):
            async with permisos:
                return await asyncio.to_thread(intentar, nombre, funcion)

        return await asyncio.gather(*(una(*tarea) for tarea in tareas))

    return asyncio.run(main())


def by_pool_of_labkit(tareas, hilos=3):
    with BulkheadPool(hilos, queue=len(tareas), name="tareas") as pool:
        futuros = [pool.submit(funcion) for _, funcion in tareas]
        wait(futuros)
    resultados = []
    for (nombre, _), futuro in zip(tareas, futuros, strict=True):
        if error := futuro.exception():
            registro.error("falló %s", nombre, exc_info=(type(error), error, error.__traceback__))
        resultados.append(("error", error) if error else ("ok", futuro.result()))
    return resultados


class TestRun:
    @pytest.mark.parametrize(
        "answer",
        [
            by_map,
            by_futures,
            by_completion,
            by_threads_and_semaphore,
            by_asyncio,
            by_pool_of_labkit,
        ],
    )
    def test_right(self, answer):
        assert_right("BH-6", answer)

    def test_pending(self):
        def ejecutar(tareas, hilos=3): ...

        assert_pending("BH-6", ejecutar)
        assert_pending("BH-6", ...)

    @pytest.mark.parametrize("answer", NONSENSE)
    def test_nonsense(self, answer):
        assert_wrong("BH-6", answer, hint_contains="se pide algo que se pueda llamar así")

    def test_its_result_instead_of_the_function(self):
        assert_wrong("BH-6", by_map([("suma", int)]), hint_contains="ejecutar es una lista")

    def test_without_the_parameter(self):
        assert_wrong("BH-6", lambda tareas: by_map(tareas), hint_contains="ejecutar(tareas, hilos)")
        assert_wrong("BH-6", lambda tareas, hilos: by_map(tareas, hilos), hint_contains="ejecutar(tareas)")

    def test_raises(self):
        assert_wrong("BH-6", lambda tareas, hilos=3: raises(), hint_contains="ZeroDivisionError")

    def test_never_returns(self, monkeypatch):
        monkeypatch.setattr(bulkhead.RUN, "deadline", 0.3)
        assert_wrong("BH-6", lambda tareas, hilos=3: never(), hint_contains="no terminó")

    def test_no_return(self):
        def answer(tareas, hilos=3):
            by_map(tareas, hilos)

        assert_wrong("BH-6", answer, hint_contains="¿falta el return?")

    def test_a_dictionary(self):
        def answer(tareas, hilos=3):
            return {nombre: r for (nombre, _), r in zip(tareas, by_map(tareas, hilos), strict=True)}

        assert_wrong("BH-6", answer, hint_contains="se pide una lista de parejas")

    def test_values_without_status(self):
        def answer(tareas, hilos=3):
            return [value for _, value in by_map(tareas, hilos)]

        assert_wrong("BH-6", answer, hint_contains='se pide ("ok", valor)')

    def test_one_after_the_other(self):
        def answer(tareas, hilos=3):
            return by_map(tareas, 1)

        assert_wrong("BH-6", answer, hint_contains="¿van de una en una?")

    def test_the_parameter_is_not_used(self):
        def answer(tareas, hilos=3):
            return by_map(tareas, 3)

        assert_wrong("BH-6", answer, hint_contains="¿dónde se usa hilos?")

    def test_no_limit(self):
        def answer(tareas, hilos=3):
            return by_map(tareas, 50)

        assert_wrong("BH-6", answer, hint_contains="¿dónde se usa hilos?")

    def test_in_order_of_ending(self):
        def answer(tareas, hilos=3):
            resultados = []

            def una(funcion):
                resultados.append(("ok", funcion()))

            with ThreadPoolExecutor(hilos) as grupo:
                wait([grupo.submit(una, funcion) for _, funcion in tareas])
            return resultados

        assert_wrong("BH-6", answer, hint_contains="no el de llegada")

    def test_run_twice(self):
        def answer(tareas, hilos=3):
            by_map(tareas, hilos)
            return by_map(tareas, hilos)

        assert_wrong("BH-6", answer, hint_contains="se ejecutó 2 veces")

    def test_not_run(self):
        def answer(tareas, hilos=3):
            return [("ok", funcion) for _, funcion in tareas]

        assert_wrong("BH-6", answer, hint_contains="no se llegó a ejecutar")

    def test_the_future_instead_of_its_value(self):
        def answer(tareas, hilos=3):
            with ThreadPoolExecutor(hilos) as grupo:
                return [("ok", grupo.submit(funcion)) for _, funcion in tareas]

        assert_wrong("BH-6", answer, hint_contains="¿qué guardas de cada una?")

    def test_the_error_comes_out(self):
        def answer(tareas, hilos=3):
            with ThreadPoolExecutor(hilos) as grupo:
                return [("ok", valor) for valor in grupo.map(lambda tarea: tarea[1](), tareas)]

        assert_wrong("BH-6", answer, hint_contains="¿qué debe pasar con las demás tareas")

    def test_stops_at_the_first_error(self):
        def answer(tareas, hilos=3):
            resultados = by_map(tareas, hilos)
            bien = [status for status, _ in resultados]
            return resultados[: bien.index("error") + 1] if "error" in bien else resultados

        assert_wrong("BH-6", answer, hint_contains="devolvió 2 resultados")

    def test_the_text_of_the_error(self):
        def answer(tareas, hilos=3):
            return [(s, str(v) if s == "error" else v) for s, v in by_map(tareas, hilos)]

        assert_wrong("BH-6", answer, hint_contains="se pide la excepción misma")

    def test_another_error(self):
        def answer(tareas, hilos=3):
            return [(s, RuntimeError(v) if s == "error" else v) for s, v in by_map(tareas, hilos)]

        assert_wrong("BH-6", answer, hint_contains="se pide esa misma excepción")

    def test_errors_as_ok(self):
        def answer(tareas, hilos=3):
            return [("ok", value) for _, value in by_map(tareas, hilos)]

        assert_wrong("BH-6", answer, hint_contains="¿dónde se perdió el fallo?")

    def test_results_by_name(self):
        def answer(tareas, hilos=3):
            resultados = dict(zip([nombre for nombre, _ in tareas], by_map(tareas, hilos), strict=True))
            return [resultados[nombre] for nombre, _ in tareas]

        assert_wrong("BH-6", answer, hint_contains="¿basta el nombre")

    def test_tasks_by_name(self):
        def answer(tareas, hilos=3):
            nombres = [nombre for nombre, _ in tareas]
            resultados = by_map(list(dict(tareas).items()), hilos)
            return [resultados[list(dict(tareas)).index(nombre)] for nombre in nombres]

        assert_wrong("BH-6", answer, hint_contains="no se llegó a ejecutar")

    @pytest.mark.parametrize("kind", [Exception, BaseException, ValueError])
    def test_a_returned_error_is_taken_for_a_raised_one(self, kind):
        def answer(tareas, hilos=3):
            return [
                ("error" if isinstance(valor, kind) else estado, valor)
                for estado, valor in by_map(tareas, hilos)
            ]

        assert_wrong("BH-6", answer, hint_contains="lo que se devuelve de lo que se lanza")

    def test_the_list_may_be_used_up(self):
        def answer(tareas, hilos=3):
            return by_map([tareas.pop(0) for _ in range(len(tareas))], hilos)

        assert_right("BH-6", answer)

    def test_only_exception(self):
        def answer(tareas, hilos=3):
            def intentar(tarea):
                try:
                    return "ok", tarea[1]()
                except Exception as error:
                    registro.exception(tarea[0])
                    return "error", error

            with ThreadPoolExecutor(hilos) as grupo:
                return list(grupo.map(intentar, tareas))

        assert_wrong("BH-6", answer, hint_contains="No hereda de Exception")

    def test_only_exception_and_system_exit(self):
        def answer(tareas, hilos=3):
            def intentar(tarea):
                try:
                    return "ok", tarea[1]()
                except (Exception, SystemExit) as error:
                    registro.exception(tarea[0])
                    return "error", error

            with ThreadPoolExecutor(hilos) as grupo:
                return list(grupo.map(intentar, tareas))

        assert_wrong("BH-6", answer, hint_contains="que hereda de BaseException salió de ejecutar")

    def test_true_in_place_of_the_value(self):
        def answer(tareas, hilos=3):
            return [(estado, valor or True) for estado, valor in by_map(tareas, hilos)]

        assert_wrong("BH-6", answer, hint_contains="se pide el valor que devolvió la función")

    def test_what_goes_to_the_root_logger_is_not_shown_and_leaves_no_handler(self, capfd):
        def answer(tareas, hilos=3):
            def intentar(tarea):
                try:
                    return "ok", tarea[1]()
                except BaseException as error:
                    logging.exception(tarea[0])
                    return "error", error

            with ThreadPoolExecutor(hilos) as grupo:
                return list(grupo.map(intentar, tareas))

        root, own = logging.getLogger(), logging.getLogger("tareas")
        handlers, root.handlers = root.handlers, []
        try:
            assert_wrong("BH-6", answer, hint_contains='logging.getLogger("tareas")')
            assert_right("BH-6", by_map)
            assert (root.handlers, own.handlers, own.propagate) == ([], [], True)
        finally:
            root.handlers = handlers
        assert "Traceback" not in "".join(capfd.readouterr())

    def test_an_answer_that_sets_logging_up_leaves_no_handler(self):
        def answer(tareas, hilos=3):
            logging.basicConfig()
            return by_map(tareas, hilos)

        root = logging.getLogger()
        handlers, root.handlers = root.handlers, []
        try:
            assert_right("BH-6", answer)
            assert root.handlers == []
        finally:
            root.handlers = handlers

    @DIES
    def test_workers_that_die(self, monkeypatch):
        monkeypatch.setattr(bulkhead.RUN, "deadline", 1.5)

        def answer(tareas, hilos=3):
            pendientes, resultados = Queue(), {}
            for numero, tarea in enumerate(tareas):
                pendientes.put((numero, *tarea))

            def trabajar():
                while (tarea := pendientes.get()) is not None:
                    numero, nombre, funcion = tarea
                    try:
                        resultados[numero] = ("ok", funcion())
                    except Exception as error:
                        registro.exception(nombre)
                        resultados[numero] = ("error", error)
                    pendientes.task_done()

            for _ in range(hilos):
                threading.Thread(target=trabajar, daemon=True).start()
            pendientes.join()
            return [resultados[numero] for numero in range(len(tareas))]

        assert_wrong("BH-6", answer, hint_contains="terminó por SystemExit")

    def logging_with(self, write):
        def answer(tareas, hilos=3):
            def intentar(tarea):
                nombre, funcion = tarea
                try:
                    return "ok", funcion()
                except BaseException as error:
                    write(nombre, error)
                    return "error", error

            with ThreadPoolExecutor(hilos) as grupo:
                return list(grupo.map(intentar, tareas))

        return answer

    @pytest.mark.parametrize(
        ("write", "hint"),
        [
            (lambda name, error: None, "no hay ningún mensaje de error"),
            (lambda name, error: registro.info(name, exc_info=error), "no hay ningún mensaje de error"),
            (
                lambda name, error: logging.getLogger("otro.sitio").debug(name),
                "¿a qué registro escribes",
            ),
            (lambda name, error: registro.warning(name, exc_info=error), "de nivel WARNING"),
            (lambda name, error: registro.error("ha fallado", exc_info=error), "ningún mensaje lo nombra"),
            (lambda name, error: registro.error("%s: %s", name, error), "no trae la traza"),
            (lambda name, error: registro.error("%s %s", name, "NoneType: None"), "no trae la traza"),
            (
                lambda name, error: [registro.error(name, exc_info=error) for _ in range(2)],
                "hay 4 mensajes",
            ),
            (
                lambda name, error: registro.error(name, exc_info=OSError("otra")),
                "no trae la traza|no llega a la línea",
            ),
        ],
    )
    def test_wrong_logs(self, write, hint):
        verdict = check("BH-6", self.logging_with(write))
        assert verdict.state == "falla"
        assert any(part in verdict.hint for part in hint.split("|")), verdict.hint

    def test_all_is_logged(self):
        def answer(tareas, hilos=3):
            for nombre, _ in tareas:
                registro.error("empieza %s", nombre)
            return by_map(tareas, hilos)

        assert_wrong("BH-6", answer, hint_contains="de una tarea que fue bien")

    def test_no_tasks(self):
        def answer(tareas, hilos=3):
            return by_map(tareas, min(hilos, len(tareas)))

        assert_wrong("BH-6", answer, hint_contains="¿sirve tu código para cero tareas?")


# BH-7a


class WithExecutor:
    def __init__(self, hilos, cola):
        self.grupo = ThreadPoolExecutor(max_workers=hilos)
        self.sitios = threading.Semaphore(hilos + cola)
        self.candado = threading.Lock()
        self.aceptadas = self.rechazadas = 0

    def entregar(self, funcion):
        cabe = self.sitios.acquire(blocking=False)
        with self.candado:
            self.aceptadas += cabe
            self.rechazadas += not cabe
        if cabe:
            self.grupo.submit(funcion).add_done_callback(lambda _: self.sitios.release())
        return cabe

    def cerrar(self):
        self.grupo.shutdown(wait=True)


class WithQueue:
    """Workers and a bounded queue of the standard library."""

    def __init__(self, hilos, cola):
        self.cola = Queue(maxsize=cola)
        self.candado = threading.Lock()
        self.cuentas = Counter()
        for _ in range(hilos):
            threading.Thread(target=self.trabajar, daemon=True).start()

    aceptadas = property(lambda self: self.cuentas[True])
    rechazadas = property(lambda self: self.cuentas[False])

    def trabajar(self):
        while (funcion := self.cola.get()) is not None:
            try:
                funcion()
            except BaseException:
                registro.debug("falló", exc_info=True)
            finally:
                self.cola.task_done()

    def entregar(self, funcion):
        try:
            self.cola.put_nowait(funcion)
        except queue.Full:
            cabe = False
        else:
            cabe = True
        with self.candado:
            self.cuentas[cabe] += 1
        return cabe

    def cerrar(self):
        self.cola.join()


class WithCounter:
    """One lock, one number, and a thread for each task that waits for its turn."""

    def __init__(self, hilos, cola):
        self.sitios, self.dentro = hilos + cola, 0
        self.turno = threading.Semaphore(hilos)
        self.cambio = threading.Condition()
        self.aceptadas, self.rechazadas = 0, 0

    def entregar(self, funcion):
        with self.cambio:
            if self.dentro == self.sitios:
                self.rechazadas += 1
                return False
            self.dentro += 1
            self.aceptadas += 1
        threading.Thread(target=self._una, args=(funcion,)).start()
        return True

    def _una(self, funcion):
        try:
            with self.turno:
                funcion()
        except Exception:
            pass
        finally:
            with self.cambio:
                self.dentro -= 1
                self.cambio.notify_all()

    def cerrar(self):
        with self.cambio:
            self.cambio.wait_for(lambda: self.dentro == 0)


class WithPool:
    def __init__(self, hilos, cola):
        self.pool = BulkheadPool(hilos, queue=cola)

    aceptadas = property(lambda self: self.pool.metrics().accepted)
    rechazadas = property(lambda self: self.pool.metrics().rejected)

    def entregar(self, funcion):
        try:
            self.pool.submit(funcion)
        except BulkheadFullError:
            return False
        return True

    def cerrar(self):
        self.pool.shutdown()


class WithPendingList:
    """The tasks that have not ended, under a lock that may be taken again; nothing but what it declares."""

    __slots__ = ("aceptadas", "caben", "candado", "futuros", "grupo", "rechazadas")

    def __init__(self, hilos, cola):
        self.grupo, self.caben, self.candado = ThreadPoolExecutor(hilos), hilos + cola, threading.RLock()
        self.aceptadas, self.rechazadas, self.futuros = 0, 0, []

    def entregar(self, funcion):
        with self.candado:
            self.futuros = [futuro for futuro in self.futuros if not futuro.done()]
            if len(self.futuros) >= self.caben:
                self.rechazadas += 1
                return False
            self.futuros.append(self.grupo.submit(funcion))
            self.aceptadas += 1
            return True

    def cerrar(self):
        wait(self.futuros)
        self.grupo.shutdown()


class WithAnswers:
    """No lock: what it counts are the answers, and a list's `append` is one step."""

    def __init__(self, hilos, cola):
        self.pool, self.respuestas = BulkheadPool(hilos, queue=cola), []

    aceptadas = property(lambda self: self.respuestas.count(True))
    rechazadas = property(lambda self: self.respuestas.count(False))

    def entregar(self, funcion):
        try:
            self.pool.submit(funcion)
        except BulkheadFullError:
            self.respuestas.append(False)
            return False
        self.respuestas.append(True)
        return True

    def cerrar(self):
        self.pool.shutdown()


class TestBounded:
    @DIES  # WithCounter's thread for a task may end by what the task raises: its place is free by then
    @pytest.mark.parametrize(
        "answer", [WithExecutor, WithQueue, WithCounter, WithPool, WithPendingList, WithAnswers]
    )
    def test_right(self, answer):
        assert_right("BH-7a", answer)

    def test_a_function_that_makes_one(self):
        assert_right("BH-7a", lambda hilos, cola: WithExecutor(hilos, cola))

    def test_pending(self):
        class GrupoAcotado:
            def __init__(self, hilos, cola): ...

            def entregar(self, funcion): ...

            def cerrar(self): ...

        assert_pending("BH-7a", GrupoAcotado)

    @pytest.mark.parametrize("answer", NONSENSE)
    def test_nonsense(self, answer):
        assert_wrong("BH-7a", answer, hint_contains="se pide algo que se pueda llamar así")

    def test_an_instance(self):
        assert_wrong("BH-7a", WithExecutor(1, 1), hint_contains="pasa la clase")

    def test_without_a_method(self):
        class Answer:
            def __init__(self, hilos, cola):
                pass

            def entregar(self, funcion):
                return True

        assert_wrong("BH-7a", Answer, hint_contains="le falta: cerrar")

    def test_raises(self):
        class Answer(WithExecutor):
            entregar = raises

        assert_wrong("BH-7a", Answer, hint_contains="ZeroDivisionError")

    def test_does_not_say_what_became_of_it(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                super().entregar(funcion)

        assert_wrong("BH-7a", Answer, hint_contains="entregar devolvió None")

    def test_nobody_runs_them(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.3)

        class Answer(WithExecutor):
            def entregar(self, funcion):
                self.aceptadas += 1
                return True

        assert_wrong("BH-7a", Answer, hint_contains="¿quién la ejecuta?")

    def test_in_the_callers_thread(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                funcion()
                return True

        assert_wrong("BH-7a", Answer, hint_contains="en el hilo que la entrega")

    def test_a_bare_executor(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                self.grupo.submit(funcion)
                self.aceptadas += 1
                return True

        assert_wrong("BH-7a", Answer, hint_contains="¿dónde está el fin de la cola?")

    def test_no_queue(self):
        class Answer(WithExecutor):
            def __init__(self, hilos, cola):
                super().__init__(hilos, 0)

        assert_wrong("BH-7a", Answer, hint_contains="¿cuántas caben?")

    def test_no_room_for_the_workers(self):
        class Answer(WithExecutor):
            def __init__(self, hilos, cola):
                super().__init__(hilos, cola)
                self.sitios = threading.Semaphore(cola)

        assert_wrong("BH-7a", Answer, hint_contains="¿cuántas caben?")

    def test_all_at_once(self):
        class Answer(WithExecutor):
            def __init__(self, hilos, cola):
                super().__init__(hilos, cola)
                self.grupo = ThreadPoolExecutor(hilos + cola)

        assert_wrong("BH-7a", Answer, hint_contains="¿cuántos hilos hay en total?")

    def test_waits_for_room(self, monkeypatch):
        monkeypatch.setattr(bulkhead.BOUNDED, "deadline", 1.0)

        class Answer(WithExecutor):
            def entregar(self, funcion):
                self.sitios.acquire()
                self.aceptadas += 1
                self.grupo.submit(funcion).add_done_callback(lambda _: self.sitios.release())
                return True

        assert_wrong("BH-7a", Answer, hint_contains="contestar al momento")

    @pytest.mark.parametrize("seconds", [0.05, 0.2, 1, 5])
    def test_waits_a_little_for_room(self, seconds):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = self.sitios.acquire(timeout=seconds)
                with self.candado:
                    self.aceptadas += cabe
                    self.rechazadas += not cabe
                if cabe:
                    self.grupo.submit(funcion).add_done_callback(lambda _: self.sitios.release())
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="¿espera entregar a que haya sitio?")

    def test_an_exit_loses_the_place(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = self.sitios.acquire(blocking=False)
                with self.candado:
                    self.aceptadas += cabe
                    self.rechazadas += not cabe

                def tarea():
                    try:
                        funcion()
                    except Exception:
                        pass
                    self.sitios.release()

                if cabe:
                    self.grupo.submit(tarea)
                return cabe

        assert_wrong(
            "BH-7a", Answer, hint_contains="que lanzan SystemExit, ya no se acepta ninguna más: ¿quién"
        )

    @DIES
    def test_an_exit_ends_the_worker(self):
        class Answer(WithQueue):
            def trabajar(self):
                while (funcion := self.cola.get()) is not None:
                    try:
                        funcion()
                    except Exception:
                        pass
                    finally:
                        self.cola.task_done()

        assert_wrong("BH-7a", Answer, hint_contains="¿Sigue vivo su hilo tras un SystemExit?")

    def test_the_refused_are_run_all_the_same(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = super().entregar(funcion)
                if not cabe:
                    self.grupo.submit(funcion)
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="para la que entregar devolvió False")

    def test_run_twice(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                return super().entregar(lambda: (funcion(), funcion()))

        assert_wrong("BH-7a", Answer, hint_contains="se ejecutó más de una")

    def test_raises_when_full(self):
        class Answer(WithPool):
            def entregar(self, funcion):
                self.pool.submit(funcion)
                return True

        assert_wrong("BH-7a", Answer, hint_contains="¿qué hace entregar cuando una tarea no cabe?")

    def test_no_counts(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = self.sitios.acquire(blocking=False)
                if cabe:
                    self.grupo.submit(funcion).add_done_callback(lambda _: self.sitios.release())
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="aceptadas vale 0")

    def test_counts_that_are_methods(self):
        class Answer(WithPool):
            def aceptadas(self):
                return self.pool.metrics().accepted

        assert_wrong("BH-7a", Answer, hint_contains="se lee sin paréntesis")

    def test_both_counts_without_a_lock(self):
        class Answer(WithExecutor):
            def __init__(self, hilos, cola):
                super().__init__(hilos, cola)
                self.candado = nullcontext()

        assert_wrong("BH-7a", Answer, hint_contains="los dos leen la cuenta")

    @pytest.mark.parametrize("guarded", ["aceptadas", "rechazadas"])
    def test_one_count_without_a_lock(self, guarded):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = self.sitios.acquire(blocking=False)
                cuenta = "aceptadas" if cabe else "rechazadas"
                with self.candado if cuenta == guarded else nullcontext():
                    setattr(self, cuenta, getattr(self, cuenta) + 1)
                if cabe:
                    self.grupo.submit(funcion).add_done_callback(lambda _: self.sitios.release())
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="los dos leen la cuenta")

    def test_looks_and_then_takes(self):
        class Answer(WithExecutor):
            def __init__(self, hilos, cola):
                super().__init__(hilos, cola)
                self.dentro, self.caben = 0, hilos + cola

            def entregar(self, funcion):
                if self.dentro >= self.caben:
                    with self.candado:
                        self.rechazadas += 1
                    return False
                with self.candado:
                    self.dentro += 1
                    self.aceptadas += 1
                self.grupo.submit(funcion).add_done_callback(lambda _: self.sale())
                return True

            def sale(self):
                with self.candado:
                    self.dentro -= 1

        assert_wrong("BH-7a", Answer, hint_contains="los dos miran si cabe")

    @pytest.mark.parametrize(
        ("put", "hint"),
        [
            ("put", "¿espera a que haya sitio el que llega tarde?"),
            ("put_nowait", "entre lo que mira un hilo y lo que hace después"),
        ],
    )
    def test_looks_whether_the_queue_is_full(self, monkeypatch, put, hint):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.5)

        class Answer(WithQueue):
            def entregar(self, funcion):
                cabe = not self.cola.full()
                if cabe:
                    getattr(self.cola, put)(funcion)
                with self.candado:
                    self.cuentas[cabe] += 1
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains=hint)

    def test_counts_the_refused_as_accepted(self):
        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = super().entregar(funcion)
                self.aceptadas += not cabe
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="y, por lo que devolvió entregar, son 5")

    def test_a_failure_keeps_its_place(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.5)

        class Answer(WithExecutor):
            def entregar(self, funcion):
                def trabajo():
                    funcion()
                    self.sitios.release()

                cabe = self.sitios.acquire(blocking=False)
                with self.candado:
                    self.aceptadas += cabe
                    self.rechazadas += not cabe
                if cabe:
                    self.grupo.submit(trabajo)
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="¿quién devuelve su sitio?")

    @DIES
    def test_a_worker_that_dies(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.5)

        class Answer(WithQueue):
            def trabajar(self):
                while (funcion := self.cola.get()) is not None:
                    funcion()
                    self.cola.task_done()

            def cerrar(self):
                end = time.monotonic() + 0.3
                while self.cola.unfinished_tasks and time.monotonic() < end:
                    time.sleep(0.01)

        assert_wrong("BH-7a", Answer, hint_contains="¿Sigue vivo su hilo")

    def test_places_are_never_given_back(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.5)

        class Answer(WithExecutor):
            def entregar(self, funcion):
                cabe = self.sitios.acquire(blocking=False)
                with self.candado:
                    self.aceptadas += cabe
                    self.rechazadas += not cabe
                if cabe:
                    self.grupo.submit(funcion)
                return cabe

        assert_wrong("BH-7a", Answer, hint_contains="¿quién devuelve su sitio?")

    def test_close_does_not_wait(self):
        class Answer(WithExecutor):
            def cerrar(self):
                self.grupo.shutdown(wait=False)

        assert_wrong("BH-7a", Answer, hint_contains="cerrar volvió con")

    def test_close_forgets_the_queue(self):
        class Answer(WithExecutor):
            def cerrar(self):
                self.grupo.shutdown(cancel_futures=True)

        verdict = assert_wrong("BH-7a", Answer, hint_contains="al volver cerrar")
        assert "4 tareas" in verdict.hint

    def test_close_never_returns(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.3)
        monkeypatch.setattr(bulkhead.BOUNDED, "deadline", 1.5)

        class Answer(WithExecutor):
            closing = threading.Event()

            def cerrar(self):
                self.closing.wait()
                super().cerrar()

        try:
            assert_wrong("BH-7a", Answer, hint_contains="cerrar no vuelve")
        finally:
            Answer.closing.set()


# BH-7b


class TestFlood:
    @pytest.mark.parametrize(
        "counts",
        [
            {"aceptadas": 23, "rechazadas": 977, "terminadas": 23},
            Counter(aceptadas=61, rechazadas=939, terminadas=61),
            {"terminadas": 999, "aceptadas": 999, "rechazadas": 1, "más": "sobra"},
        ],
    )
    def test_right(self, counts):
        assert_right("BH-7b", counts)

    def test_pending(self):
        assert_pending("BH-7b", ...)

    @pytest.mark.parametrize("counts", NONSENSE)
    def test_nonsense(self, counts):
        assert check("BH-7b", counts).state == "falla"

    @pytest.mark.parametrize(
        ("accepted", "rejected", "ended", "hint"),
        [
            (23, 976, 23, "suman 999"),
            (46, 1954, 46, "suman 2000"),
            (30, 970, 12, "¿anotaste la cuenta después de cerrar?"),
            (30, 970, 60, "¿de dónde salen las demás?"),
            (4, 996, 4, "¿Qué tamaño le diste al grupo?"),
            (1000, 0, 1000, "así no es una inundación"),
            (True, 999, True, "guarda un número entero"),
            ("23", 977, 23, "guarda un número entero"),
            (-1, 1001, -1, "guarda un número entero"),
        ],
    )
    def test_wrong(self, accepted, rejected, ended, hint):
        counts = {"aceptadas": accepted, "rechazadas": rejected, "terminadas": ended}
        assert_wrong("BH-7b", counts, hint_contains=hint)


# BH-8


class Vigilante:
    def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
        self.bulkhead, self.objetivo = bulkhead, objetivo
        self.minimo, self.maximo = minimo, maximo
        self.carga, self.reloj = carga, reloj
        self.medidas = []

    def llamar(self, funcion, *args):
        def medida():
            empieza = self.reloj()
            try:
                return funcion(*args)
            finally:
                self.medidas.append(self.reloj() - empieza)

        return self.bulkhead.call(medida)

    def decidir(self, medidas):
        if self.carga() >= 0.9 or any(segundos > self.objetivo for segundos in medidas):
            return self.bulkhead.limit // 2
        return self.bulkhead.limit + 1 if medidas else self.bulkhead.limit

    def ajustar(self):
        medidas, self.medidas = self.medidas, []
        limite = self.decidir(medidas)
        self.bulkhead.limit = max(self.minimo, min(limite, self.maximo))
        return self.bulkhead.limit


class OtherMake:
    """A `with`, a lock, the worst so far instead of a list."""

    def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
        self.cabina, self.meta, self.rango = bulkhead, objetivo, (minimo, maximo)
        self.maquina, self.hora = carga, reloj
        self.candado, self.peor = threading.Lock(), None

    def llamar(self, funcion, *args, **mas):
        with self.cabina:
            antes = self.hora()
            try:
                resultado = funcion(*args, **mas)
            except BaseException:
                self.apuntar(antes)
                raise
            self.apuntar(antes)
        return resultado

    def apuntar(self, antes):
        with self.candado:
            self.peor = max(self.peor or 0.0, self.hora() - antes)

    def ajustar(self):
        with self.candado:
            peor, self.peor = self.peor, None
        limite = self.cabina.limit
        if self.maquina() >= 0.9 or (peor is not None and peor > self.meta):
            limite = int(limite / 2)
        elif peor is not None:
            limite += 1
        bajo, alto = self.rango
        self.cabina.limit = sorted((bajo, limite, alto))[1]
        return self.cabina.limit


class WithPermit(Vigilante):
    def llamar(self, funcion, *args):
        permiso = self.bulkhead.acquire()
        empieza = self.reloj()
        try:
            return funcion(*args)
        finally:
            self.medidas.append(self.reloj() - empieza)
            permiso.release()


class WithDecorator(Vigilante):
    def llamar(self, funcion, *args):
        @self.bulkhead
        @wraps(funcion)
        def dentro(*args):
            with self.cronometro():
                return funcion(*args)

        return dentro(*args)

    @contextmanager
    def cronometro(self):
        empieza = self.reloj()
        try:
            yield
        finally:
            self.medidas.append(self.reloj() - empieza)


class TestWatch:
    @pytest.mark.parametrize("answer", [Vigilante, OtherMake, WithPermit, WithDecorator])
    def test_right(self, answer):
        assert_right("BH-8", answer)

    def test_pending(self):
        class Stub(Vigilante):
            def llamar(self, funcion, *args): ...

            def ajustar(self): ...

        assert_pending("BH-8", Stub)

    @pytest.mark.parametrize("answer", NONSENSE)
    def test_nonsense(self, answer):
        assert_wrong("BH-8", answer, hint_contains="se pide algo que se pueda llamar así")

    def test_an_instance(self):
        made = Vigilante(Bulkhead(2), 1, 1, 2, float, float)
        assert_wrong("BH-8", made, hint_contains="pasa la clase")

    def test_other_parameters(self):
        class Answer(Vigilante):
            def __init__(self, bulkhead, objetivo):
                super().__init__(bulkhead, objetivo, 1, 10, float, time.monotonic)

        assert_wrong("BH-8", Answer, hint_contains="¿Qué parámetros tiene su __init__")

    def test_raises(self):
        class Answer(Vigilante):
            llamar = raises

        assert_wrong("BH-8", Answer, hint_contains="ZeroDivisionError")

    def test_never_returns(self, monkeypatch):
        monkeypatch.setattr(bulkhead.WATCH, "deadline", 0.3)

        class Answer(Vigilante):
            llamar = never

        assert_wrong("BH-8", Answer, hint_contains="no terminó")

    @pytest.mark.parametrize(
        ("call", "hint"),
        [
            (lambda self, funcion, *args: funcion(*args), "¿pasa por bulkhead?"),
            (lambda self, funcion, *args: self.bulkhead.call(funcion), "¿y sus argumentos?"),
            (
                lambda self, funcion, *args: (self.bulkhead.call(funcion, *args), None)[1],
                "¿devuelves el resultado?",
            ),
            (
                lambda self, funcion, *args: (self.bulkhead.call(funcion, *args), funcion(*args))[0],
                "ejecutó la función 2 veces",
            ),
            (
                lambda self, funcion, *args: self.bulkhead.call(self.bulkhead.call, funcion, *args),
                "ocupó 2 permisos",
            ),
            (lambda self, funcion, *args: self.bulkhead.acquire() and funcion(*args), "sin devolver"),
        ],
    )
    def test_wrong_calls(self, call, hint):
        class Answer(Vigilante):
            llamar = call

        assert_wrong("BH-8", Answer, hint_contains=hint)

    def test_swallows_the_error(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                try:
                    return super().llamar(funcion, *args)
                except ConnectionError:
                    return None

        assert_wrong("BH-8", Answer, hint_contains="sale tal cual")

    @pytest.mark.parametrize("kind", [LookupError, ValueError, RuntimeError, TimeoutError])
    def test_raises_another_error(self, kind):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                try:
                    return super().llamar(funcion, *args)
                except BulkheadFullError:
                    raise
                except kind as error:
                    raise OSError("no salió") from error

        assert_wrong("BH-8", Answer, hint_contains="salió otra, OSError")

    def test_one_beginning_for_all(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                def medida():
                    self.empieza = self.reloj()
                    try:
                        return funcion(*args)
                    finally:
                        self.medidas.append(self.reloj() - self.empieza)

                return self.bulkhead.call(medida)

        assert_wrong("BH-8", Answer, hint_contains="¿dónde guardas cuándo empieza cada una?")

    def test_one_call_at_a_time(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.5)

        class Answer(Vigilante):
            def __init__(self, *args):
                super().__init__(*args)
                self.candado = threading.Lock()

            def llamar(self, funcion, *args):
                with self.candado:
                    return super().llamar(funcion, *args)

        assert_wrong("BH-8", Answer, hint_contains="¿quién decide cuántas están dentro")

    def test_nothing_returned(self):
        class Answer(Vigilante):
            def ajustar(self):
                super().ajustar()

        assert_wrong("BH-8", Answer, hint_contains="ajustar no devolvió nada")

    def test_the_limit_is_not_set(self):
        class Answer(Vigilante):
            def ajustar(self):
                return self.bulkhead.limit + 1

        assert_wrong("BH-8", Answer, hint_contains="¿lo cambiaste")

    @pytest.mark.parametrize(
        ("decide", "hint"),
        [
            (lambda self, m: self.bulkhead.limit * 2, "¿cuánto se sube cada vez?"),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if max(m, default=0) >= self.objetivo
                    else self.bulkhead.limit + 1
                ),
                "¿incluye el objetivo?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2 if m and m[-1] > self.objetivo else self.bulkhead.limit + 1
                ),
                "o solo la última o la media",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if m and sum(m) / len(m) > self.objetivo
                    else self.bulkhead.limit + 1
                ),
                "o solo la última o la media",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit - 1 if max(m, default=0) > self.objetivo else self.bulkhead.limit + 1
                ),
                "el límite quedó en 9",
            ),
            (
                lambda self, m: (
                    round(self.bulkhead.limit / 2)
                    if max(m, default=0) > self.objetivo or self.carga() >= 0.9
                    else self.bulkhead.limit + bool(m)
                ),
                "con límite 7 y una llamada lenta, el límite quedó en 4",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if max(m, default=0) > self.objetivo and self.carga() >= 0.9
                    else self.bulkhead.limit + bool(m)
                ),
                "¿Hace falta también la carga?",
            ),
            (
                lambda self, m: (
                    (self.bulkhead.limit // 2 if self.carga() >= 0.9 else self.bulkhead.limit) + bool(m)
                    if max(m, default=0) <= self.objetivo
                    else self.bulkhead.limit // 2
                ),
                "¿se aplica más de una regla",
            ),
            (
                lambda self, m: (
                    -(-self.bulkhead.limit // 2)
                    if max(m, default=0) > self.objetivo
                    else self.bulkhead.limit + 1
                ),
                "¿redondeada hacia dónde?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2 if max(m, default=0) > self.objetivo else self.bulkhead.limit + 1
                ),
                "sin medidas no se sabe nada",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if max(m, default=0) > self.objetivo
                    else self.bulkhead.limit + bool(m)
                ),
                "¿miras la carga",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if max(m, default=0) > self.objetivo or self.carga() > 0.9
                    else self.bulkhead.limit + bool(m)
                ),
                "¿incluye 0.9?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit
                    if not m
                    else self.bulkhead.limit // 2
                    if max(m) > self.objetivo or self.carga() >= 0.9
                    else self.bulkhead.limit + 1
                ),
                "¿hacen falta medidas para verla?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2
                    if max(m, default=0) > self.objetivo or self.carga() >= 0.8
                    else self.bulkhead.limit + bool(m)
                ),
                "¿dónde pones la frontera?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2 ** sum(each > self.objetivo for each in m)
                    if max(m, default=0) > self.objetivo
                    else self.bulkhead.limit // 2
                    if self.carga() >= 0.9
                    else self.bulkhead.limit + bool(m)
                ),
                "un ajuste, ¿cuántas veces baja?",
            ),
            (
                lambda self, m: (
                    self.bulkhead.limit // 2 ** ((max(m, default=0) > self.objetivo) + (self.carga() >= 0.9))
                    if max(m, default=0) > self.objetivo or self.carga() >= 0.9
                    else self.bulkhead.limit + bool(m)
                ),
                "¿Cuántas veces baja un ajuste?",
            ),
        ],
    )
    def test_wrong_decisions(self, decide, hint):
        class Answer(Vigilante):
            decidir = decide

        assert_wrong("BH-8", Answer, hint_contains=hint)

    def test_all_measures_ever(self):
        class Answer(Vigilante):
            def ajustar(self):
                self.bulkhead.limit = max(self.minimo, min(self.decidir(self.medidas), self.maximo))
                return self.bulkhead.limit

        assert_wrong("BH-8", Answer, hint_contains="¿desde cuándo cuentan las medidas")

    def test_the_last_measures_only(self):
        class Answer(Vigilante):
            def __init__(self, *args):
                super().__init__(*args)
                self.medidas = deque(maxlen=3)

            def ajustar(self):
                self.bulkhead.limit = max(self.minimo, min(self.decidir(self.medidas), self.maximo))
                self.medidas.clear()
                return self.bulkhead.limit

        assert_wrong("BH-8", Answer, hint_contains="¿miras todas")

    def test_the_load_of_the_beginning(self):
        class Answer(Vigilante):
            def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
                ahora = carga()
                super().__init__(bulkhead, objetivo, minimo, maximo, lambda: ahora, reloj)

        assert_wrong("BH-8", Answer, hint_contains="al crear o al ajustar")

    @pytest.mark.parametrize(
        ("low", "high", "hint"), [(1, None, "¿y el mínimo?"), (None, 99, "¿y el máximo?")]
    )
    def test_no_bounds(self, low, high, hint):
        class Answer(Vigilante):
            def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
                super().__init__(bulkhead, objetivo, low or minimo, high or maximo, carga, reloj)

        assert_wrong("BH-8", Answer, hint_contains=hint)

    def test_down_to_zero(self):
        class Answer(Vigilante):
            def ajustar(self):
                medidas, self.medidas = self.medidas, []
                self.bulkhead.limit = min(self.decidir(medidas), self.maximo)
                return self.bulkhead.limit

        assert check("BH-8", Answer).state == "falla"

    def test_failures_are_not_measured(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                def medida():
                    empieza = self.reloj()
                    resultado = funcion(*args)
                    self.medidas.append(self.reloj() - empieza)
                    return resultado

                return self.bulkhead.call(medida)

        assert_wrong("BH-8", Answer, hint_contains="son las que más importan")

    def test_the_wait_is_measured_too(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                empieza = self.reloj()
                try:
                    return self.bulkhead.call(funcion, *args)
                except BulkheadFullError:
                    empieza = None
                    raise
                finally:
                    if empieza is not None:
                        self.medidas.append(self.reloj() - empieza)

        assert_wrong("BH-8", Answer, hint_contains="esperó 10 s su permiso")

    def test_refusals_are_measures(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                try:
                    return super().llamar(funcion, *args)
                except BulkheadFullError:
                    self.medidas.append(0)
                    raise

        assert_wrong("BH-8", Answer, hint_contains="¿es una medida?")

    def test_a_refusal_is_swallowed(self):
        class Answer(Vigilante):
            def llamar(self, funcion, *args):
                try:
                    return super().llamar(funcion, *args)
                except BulkheadFullError:
                    return None

        assert_wrong("BH-8", Answer, hint_contains="no lanzó BulkheadFullError")

    def test_another_clock(self):
        class Answer(Vigilante):
            def __init__(self, bulkhead, objetivo, minimo, maximo, carga, reloj):
                super().__init__(bulkhead, objetivo, minimo, maximo, carga, time.monotonic)

        assert check("BH-8", Answer).state == "falla"


# BH-9


def crear_proteccion(permisos, fallos, espera, reloj):
    protecciones = {}

    def nueva(nombre):
        breaker = CircuitBreaker(
            nombre, fail_threshold=fallos, reset_timeout=espera, ignore=BulkheadFullError, clock=reloj
        )
        return breaker, Bulkhead(permisos, name=nombre)

    def llamar(nombre, funcion):
        if nombre not in protecciones:
            protecciones.setdefault(nombre, nueva(nombre))
        breaker, compartimento = protecciones[nombre]
        return breaker.call(compartimento.call, funcion)

    return llamar


def with_blocks(permisos, fallos, espera, reloj):
    cabinas = defaultdict(lambda: Bulkhead(permisos))
    circuitos = {}
    candado = threading.Lock()

    def llamar(nombre, funcion):
        with candado:
            cabina = cabinas[nombre]
            if nombre not in circuitos:
                circuitos[nombre] = CircuitBreaker(
                    nombre,
                    fail_threshold=fallos,
                    reset_timeout=espera,
                    clock=reloj,
                    ignore=(BulkheadFullError,),
                )
        with circuitos[nombre], cabina:
            return funcion()

    return llamar


class Protection:
    """An object that can be called, and decorators."""

    def __init__(self, permisos, fallos, espera, reloj):
        self.permisos = permisos
        self.options = {"fail_threshold": fallos, "reset_timeout": espera, "clock": reloj}
        self.shields, self.lock = {}, threading.Lock()

    def __call__(self, nombre, funcion):
        with self.lock:
            if nombre not in self.shields:
                breaker = CircuitBreaker(nombre, ignore=BulkheadFullError, **self.options)
                bulkhead = Bulkhead(self.permisos)
                self.shields[nombre] = lambda call: breaker(bulkhead(call))
        return self.shields[nombre](funcion)()


def with_permits(permisos, fallos, espera, reloj):
    partes = {}

    def llamar(nombre, funcion):
        breaker = CircuitBreaker(
            nombre, fail_threshold=fallos, reset_timeout=espera, clock=reloj, ignore=BulkheadFullError
        )
        breaker, cabina = partes.setdefault(nombre, (breaker, Bulkhead(permisos)))

        def dentro():
            permiso = cabina.acquire()
            try:
                return funcion()
            finally:
                permiso.release()

        return breaker.call(dentro)

    return llamar


def variant(
    *,
    per_call=False,
    shared=False,
    wrong_order=False,
    counts_full=False,
    waits=0.0,
    lock=threading.Lock,
    **options,
):
    """`crear_proteccion` with one thing wrong."""

    def make(permisos, fallos, espera, reloj):
        partes, candado = {}, lock()

        def llamar(nombre, funcion):
            key = "todas" if shared else nombre
            with candado:
                if per_call or key not in partes:
                    partes[key] = (
                        CircuitBreaker(
                            key,
                            **{
                                "fail_threshold": fallos,
                                "reset_timeout": espera,
                                "clock": reloj,
                                "ignore": () if counts_full else BulkheadFullError,
                                **options,
                            },
                        ),
                        Bulkhead(permisos, max_wait=waits),
                    )
            breaker, cabina = partes[key]
            if wrong_order:
                return cabina.call(breaker.call, funcion)
            return breaker.call(cabina.call, funcion)

        return llamar

    return make


class TestProtected:
    @pytest.mark.parametrize("answer", [crear_proteccion, with_blocks, Protection, with_permits, variant()])
    def test_right(self, answer):
        assert_right("BH-9", answer)

    def test_pending(self):
        def stub(permisos, fallos, espera, reloj): ...

        assert_pending("BH-9", stub)

    @pytest.mark.parametrize("answer", NONSENSE)
    def test_nonsense(self, answer):
        assert_wrong("BH-9", answer, hint_contains="se pide algo que se pueda llamar así")

    def test_what_it_makes_instead_of_the_function(self):
        made = crear_proteccion(1, 1, 1, time.monotonic)
        assert_wrong("BH-9", made, hint_contains="crear_proteccion(permisos, fallos, espera, reloj)")

    def test_raises(self):
        assert_wrong("BH-9", lambda a, b, c, d: raises(), hint_contains="ZeroDivisionError")

    def test_never_returns(self, monkeypatch):
        monkeypatch.setattr(bulkhead.PROTECTED, "deadline", 0.3)
        assert_wrong("BH-9", lambda a, b, c, d: never(), hint_contains="no terminó")

    def test_no_return(self):
        def answer(permisos, fallos, espera, reloj):
            crear_proteccion(permisos, fallos, espera, reloj)

        assert_wrong("BH-9", answer, hint_contains="¿falta el return?")

    def test_the_call_returns_nothing(self):
        def answer(*given):
            llamar = crear_proteccion(*given)
            return lambda nombre, funcion: (llamar(nombre, funcion), None)[1]

        assert_wrong("BH-9", lambda a, b, c, d: answer(a, b, c, d), hint_contains="llamar devolvió None")

    def test_other_parameters_of_the_call(self):
        assert_wrong(
            "BH-9", lambda a, b, c, d: lambda funcion: funcion(), hint_contains="llamar(nombre, funcion)"
        )

    def test_no_protection(self):
        def answer(permisos, fallos, espera, reloj):
            return lambda nombre, funcion: funcion()

        assert_wrong("BH-9", answer, hint_contains="entró otra")

    def test_swallows_errors(self):
        def answer(permisos, fallos, espera, reloj):
            llamar = crear_proteccion(permisos, fallos, espera, reloj)

            def sin_error(nombre, funcion):
                try:
                    return llamar(nombre, funcion)
                except ValueError:
                    return None

            return sin_error

        assert_wrong("BH-9", answer, hint_contains="sale tal cual")

    def test_only_the_breaker(self):
        def answer(permisos, fallos, espera, reloj):
            return crear_proteccion(1000, fallos, espera, reloj)

        assert_wrong("BH-9", answer, hint_contains="entró otra")

    def test_only_the_bulkhead(self):
        def answer(permisos, fallos, espera, reloj):
            return crear_proteccion(permisos, 1000, espera, reloj)

        assert_wrong("BH-9", answer, hint_contains="la función se volvió a llamar")

    @pytest.mark.parametrize(
        ("options", "hint"),
        [
            ({"per_call": True}, "¿es el mismo compartimento en cada llamada?"),
            ({"counts_full": True}, "¿qué excepciones cuentan como fallo?"),
            ({"shared": True}, "¿qué comparten?"),
            ({"wrong_order": True}, "¿cuál de los dos va por fuera?"),
            ({"clock": time.monotonic}, "¿qué reloj mira el cortacircuitos"),
            ({"reset_timeout": 5}, "¿cuánto dura la espera?"),
            ({"reset_timeout": 10}, "y qué espera?"),  # the default of the library, whatever is asked
            ({"reset_timeout": 60}, "y qué espera?"),
            ({"fail_threshold": 1}, "¿cuántos se piden"),
            ({"fail_threshold": 3}, "¿cuántos se piden"),  # likewise
            ({"fail_threshold": 4}, "¿con cuántos fallos se abre el circuito"),
            ({"fail_threshold": 5}, "y con cuántos fallos se abre?"),
            ({"exceptions": ConnectionError}, "y qué excepciones cuentan?"),
            ({"waits": 0.05}, "¿espera alguien un permiso?"),
            ({"waits": 1}, "¿espera alguien un permiso?"),
            ({"half_open_permits": 3}, "se pide una sola prueba"),
        ],
    )
    def test_wrong(self, options, hint):
        verdict = check("BH-9", variant(**options))
        assert verdict.state == "falla"
        assert any(part in verdict.hint for part in hint.split("|")), verdict.hint

    def test_waits_for_a_permit(self, monkeypatch):
        monkeypatch.setattr(bulkhead, "_PATIENCE", 0.3)
        verdict = check("BH-9", variant(waits=30.0))
        assert verdict.state == "falla"
        assert "se rechaza al momento" in verdict.hint

    def test_a_permit_is_lost_on_failure(self):
        def answer(permisos, fallos, espera, reloj):
            partes = {}

            def llamar(nombre, funcion):
                if nombre not in partes:
                    partes[nombre] = (
                        CircuitBreaker(
                            nombre,
                            fail_threshold=fallos,
                            reset_timeout=espera,
                            ignore=BulkheadFullError,
                            clock=reloj,
                        ),
                        Bulkhead(permisos),
                    )
                breaker, cabina = partes[nombre]

                def dentro():
                    permiso = cabina.acquire()
                    resultado = funcion()
                    permiso.release()
                    return resultado

                return breaker.call(dentro)

            return llamar

        assert_wrong("BH-9", answer, hint_contains="¿quién devuelve el permiso?")

    def test_one_circuit_for_all(self):
        def answer(permisos, fallos, espera, reloj):
            breaker = CircuitBreaker(
                "todas", fail_threshold=fallos, reset_timeout=espera, ignore=BulkheadFullError, clock=reloj
            )
            cabinas = {}
            return lambda nombre, funcion: breaker.call(
                cabinas.setdefault(nombre, Bulkhead(permisos)).call, funcion
            )

        assert_wrong("BH-9", answer, hint_contains="no afecta a los demás")

    def test_one_for_each_thread_that_comes_first(self):
        assert_wrong("BH-9", variant(lock=nullcontext), hint_contains="¿cuántos compartimentos se crearon")

    def test_a_lock_that_nobody_looks_behind(self):
        def answer(permisos, fallos, espera, reloj):
            partes, candado = {}, threading.Lock()

            def llamar(nombre, funcion):
                if nombre not in partes:
                    with candado:
                        partes[nombre] = (
                            CircuitBreaker(
                                nombre,
                                fail_threshold=fallos,
                                reset_timeout=espera,
                                ignore=BulkheadFullError,
                                clock=reloj,
                            ),
                            Bulkhead(permisos),
                        )
                breaker, cabina = partes[nombre]
                return breaker.call(cabina.call, funcion)

            return llamar

        assert_wrong("BH-9", answer, hint_contains="¿cuántos compartimentos se crearon")

    @pytest.mark.parametrize("order", ["bulkhead first", "breaker first"])
    def test_a_breaker_for_each_thread_that_comes_first(self, order):
        def answer(permisos, fallos, espera, reloj):
            breakers, cabinas = {}, {}

            def llamar(nombre, funcion):
                if order == "bulkhead first":
                    cabinas.setdefault(nombre, Bulkhead(permisos))
                if nombre not in breakers:
                    breakers[nombre] = CircuitBreaker(
                        nombre,
                        fail_threshold=fallos,
                        reset_timeout=espera,
                        ignore=BulkheadFullError,
                        clock=reloj,
                    )
                cabina = cabinas.setdefault(nombre, Bulkhead(permisos))
                return breakers[nombre].call(cabina.call, funcion)

            return llamar

        assert_wrong("BH-9", answer, hint_contains="¿cuántos cortacircuitos se crearon")

    def test_one_for_all_protections(self):
        partes = {}

        def answer(permisos, fallos, espera, reloj):
            propia = crear_proteccion(permisos, fallos, espera, reloj)
            return lambda nombre, funcion: partes.setdefault((nombre, permisos, fallos), propia)(
                nombre, funcion
            )

        assert_wrong("BH-9", answer, hint_contains="¿qué comparten dos protecciones")

    def test_one_dictionary_for_all_protections(self):
        todas = {}

        def answer(permisos, fallos, espera, reloj):
            def llamar(nombre, funcion):
                if nombre not in todas:
                    breaker = CircuitBreaker(
                        nombre,
                        fail_threshold=fallos,
                        reset_timeout=espera,
                        ignore=BulkheadFullError,
                        clock=reloj,
                    )
                    todas.setdefault(nombre, (breaker, Bulkhead(permisos)))
                breaker, cabina = todas[nombre]
                return breaker.call(cabina.call, funcion)

            return llamar

        for _ in range(2):  # the second check finds what the first one left
            assert_wrong("BH-9", answer, hint_contains="¿qué comparten dos protecciones")

    def test_half_of_a_new_name_is_seen_by_another_thread(self):
        def answer(permisos, fallos, espera, reloj):
            cabinas, circuitos = {}, {}

            def llamar(nombre, funcion):
                if nombre not in cabinas:
                    cabinas[nombre] = Bulkhead(permisos)
                    circuitos[nombre] = CircuitBreaker(
                        nombre,
                        fail_threshold=fallos,
                        reset_timeout=espera,
                        ignore=BulkheadFullError,
                        clock=reloj,
                    )
                return circuitos[nombre].call(cabinas[nombre].call, funcion)

            return llamar

        assert_wrong("BH-9", answer, hint_contains="a medio crear lo de ese nombre")

    @pytest.mark.parametrize("kind", [ConnectionError, LookupError, ValueError, RuntimeError])
    def test_another_error(self, kind):
        def answer(permisos, fallos, espera, reloj):
            llamar = crear_proteccion(permisos, fallos, espera, reloj)

            def con_otro(nombre, funcion):
                try:
                    return llamar(nombre, funcion)
                except (BulkheadFullError, CircuitOpenError):
                    raise
                except kind as error:
                    raise kind(*error.args) from error

            return con_otro

        assert_wrong("BH-9", answer, hint_contains="salió otra")

    def test_a_home_made_error(self):
        def answer(permisos, fallos, espera, reloj):
            llamar = crear_proteccion(permisos, fallos, espera, reloj)

            def con_otro_error(nombre, funcion):
                try:
                    return llamar(nombre, funcion)
                except CircuitOpenError:
                    raise RuntimeError("cortado") from None

            return con_otro_error

        assert_wrong("BH-9", answer, hint_contains="RuntimeError")


def test_the_cases_leave_no_thread_behind():
    """What a case starts ends with it, so that a class of learners can check all day."""
    before = threading.active_count()
    for exercise_id, answer in (
        ("BH-6", by_map),
        ("BH-7a", WithExecutor),
        ("BH-8", Vigilante),
        ("BH-9", crear_proteccion),
    ):
        assert_right(exercise_id, answer)
    labkit.eventually(lambda: threading.active_count() <= before, timeout=5)
