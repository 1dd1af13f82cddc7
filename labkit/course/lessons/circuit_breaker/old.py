"""The exercises of 02_circuit_breaker."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import CoroutineType
from typing import Any
from unittest import mock

import requests

from labkit.course.lessons.old_expectations import described, expect_call, kind
from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.interleaving import Race, interleavings
from labkit.patterns.circuit_breaker import CircuitBreaker, CircuitOpenError
from labkit.patterns.circuit_breaker.events import STATES
from labkit.waiting import ManualClock

# Those that only a reader can judge.
QUESTIONS = ("CB-1", "CB-2")

_PREPARE = "ejecuta otra vez la celda que la define"

# CB-3 · how many failures

THRESHOLDS = Exercise("CB-3", given=("medir_umbral",), writes=("tabla_umbral", "al_subir"), deadline=12)
_COUNTS = ("aperturas", "fallos", "rechazos")


@THRESHOLDS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_umbral?")
def thresholds_are_measured(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    case.expect(callable(medir_umbral), f"medir_umbral es {kind(medir_umbral)}: {_PREPARE}")
    case.expect(
        isinstance(tabla_umbral, Mapping),
        f"tabla_umbral es {kind(tabla_umbral)}: usa un diccionario que dé, para cada umbral, su medida",
    )
    for threshold, row in tabla_umbral.items():
        case.expect(
            type(threshold) is int and threshold > 0,
            f"una clave de tabla_umbral es {threshold!r}: las claves son umbrales, enteros de 1 en adelante",
        )
        _expect_row(case, f"la fila del umbral {threshold}", row, _COUNTS, "medir_umbral")
    case.expect(1 in tabla_umbral, "en tabla_umbral falta el umbral 1")
    count = "1 umbral" if len(tabla_umbral) == 1 else f"{len(tabla_umbral)} umbrales"
    case.expect(len(tabla_umbral) >= 4, f"tabla_umbral tiene {count} y se piden cuatro o más")


@THRESHOLDS.case("al repetir tus medidas", raised=f"¿cambiaste medir_umbral? Si hace falta, {_PREPARE}")
def thresholds_are_true(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    for threshold, row in tabla_umbral.items():
        measured = medir_umbral(threshold)
        case.expect(
            all(row[name] == measured[name] for name in _COUNTS),
            f"para el umbral {threshold} escribiste {_quoted(row, _COUNTS)} "
            f"y al medirlo otra vez sale {_quoted(measured, _COUNTS)}: ¿qué umbral mediste en esa fila?",
        )
    most = max(tabla_umbral)
    case.expect(
        any(row["aperturas"] == 0 for row in tabla_umbral.values()),
        f"con todos tus umbrales el circuito se abre alguna vez; con el mayor, {most}, "
        f"{_times(tabla_umbral[most]['aperturas'])}: ¿cuántos fallos seguidos trae la caída más larga?",
    )


@THRESHOLDS.case("con tu conclusión", raised="¿qué claves y qué valores lleva al_subir?")
def thresholds_conclusion(case: Case, medir_umbral: Any, tabla_umbral: Any, al_subir: Any) -> None:
    case.expect(
        isinstance(al_subir, Mapping),
        f"al_subir es {kind(al_subir)}: usa un diccionario con las tres medidas",
    )
    least, most = min(tabla_umbral), max(tabla_umbral)
    for name in _COUNTS:
        case.expect(name in al_subir, f"en al_subir falta «{name}»")
        said = _word(al_subir[name])
        case.expect(
            said in ("sube", "baja"), f"en al_subir, «{name}» vale {al_subir[name]!r}: se acepta sube o baja"
        )
        before, after = tabla_umbral[least][name], tabla_umbral[most][name]
        case.expect(
            (said == "sube") == (after > before),
            f"dices que «{name}» {said} al subir el umbral, y en tu tabla pasa de {before} (umbral {least}) "
            f"a {after} (umbral {most})",
        )


def _expect_row(case: Case, where: str, row: Any, names: Iterable[str], helper: str) -> None:
    """Fail unless `row` is what the notebook's helper returns: numbers by these names."""
    case.expect(not inspect.isroutine(row), f"{where} es una función: guarda lo que devuelve al llamarla")
    case.expect(
        isinstance(row, Mapping) and all(_is_number(row.get(name)) for name in names),
        f"{where} no es lo que devuelve {helper}: guarda su resultado entero",
    )


def _is_number(thing: object) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool)


def _quoted(row: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)


def _times(count: int) -> str:
    return "una vez" if count == 1 else f"{count} veces"


def _word(thing: object) -> str:
    """What a learner wrote as a word, without regard to capitals and spaces around it."""
    return thing.strip().lower() if isinstance(thing, str) else ""


# CB-6 · how long to wait

WAITS = Exercise(
    "CB-6", given=("medir_espera",), writes=("tabla_espera", "le_da_igual", "mejora"), deadline=20
)
_LOADS = ("alta", "baja")
_SEEN = ("bien", "le llegaron")
_WAITS = (1, 10, 60)


@WAITS.case("con la tabla", raised="¿guardas en la tabla lo que devuelve medir_espera?")
def waits_are_measured(
    case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any
) -> None:
    case.expect(callable(medir_espera), f"medir_espera es {kind(medir_espera)}: {_PREPARE}")
    case.expect(
        isinstance(tabla_espera, Mapping),
        f"tabla_espera es {kind(tabla_espera)}: usa un diccionario con las dos cargas",
    )
    for load in _LOADS:
        case.expect(load in tabla_espera, f"en tabla_espera falta la carga «{load}»")
        rows = tabla_espera[load]
        case.expect(
            isinstance(rows, Mapping),
            f"tabla_espera de «{load}» es {kind(rows)}: usa un diccionario que dé, para cada espera, su medida",
        )
        missing = [str(wait) for wait in _WAITS if wait not in rows]
        case.expect(not missing, f"con carga {load} falta la espera de {', '.join(missing)} segundos")
        for wait, row in rows.items():
            case.expect(
                _is_number(wait) and wait > 0,
                f"con carga {load}, una clave es {wait!r}: las claves son esperas, en segundos",
            )
            _expect_row(case, f"con carga {load}, la espera de {wait} s", row, _SEEN, "medir_espera")


@WAITS.case("al repetir tus medidas", raised=f"¿cambiaste medir_espera? Si hace falta, {_PREPARE}")
def waits_are_true(case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any) -> None:
    for load in _LOADS:
        for wait, row in tabla_espera[load].items():
            measured = medir_espera(wait, load)
            case.expect(
                all(row[name] == measured[name] for name in _SEEN),
                f"con carga {load} y {wait} s escribiste {_quoted(row, _SEEN)} "
                f"y al medirlo otra vez sale {_quoted(measured, _SEEN)}: ¿qué carga y qué espera mediste ahí?",
            )


@WAITS.case("con tus conclusiones")
def waits_conclusion(case: Case, medir_espera: Any, tabla_espera: Any, le_da_igual: Any, mejora: Any) -> None:
    load = _word(le_da_igual)
    case.expect(load in _LOADS, f"le_da_igual vale {le_da_igual!r}: se acepta alta o baja")
    short, longer = tabla_espera[load][1], tabla_espera[load][10]
    case.expect(
        all(short[name] == longer[name] for name in _SEEN),
        f"dices que a la carga {load} le da igual, y en tu tabla pasa de {_quoted(short, _SEEN)} (1 s) "
        f"a {_quoted(longer, _SEEN)} (10 s)",
    )
    better = _word(mejora)
    case.expect(better in _SEEN, f"mejora vale {mejora!r}: se acepta bien o le llegaron")
    before, after = tabla_espera["alta"][1][better], tabla_espera["alta"][60][better]
    case.expect(
        after > before if better == "bien" else after < before,
        f"dices que mejora «{better}», y con carga alta pasa de {before} (1 s) a {after} (60 s): "
        "¿es mejor más, o menos?",
    )


# CB-4 · a file that tells of it

RECORD = Exercise("CB-4", writes="registrar_cambios", deadline=10)
_WHAT_IT_DOES = "¿qué hace registrar_cambios con el breaker y la ruta que recibe?"
# As the circuit writes them, and as somebody else might.
_STATES = re.compile(r"(?:half|forced)-open|closed|open|disabled")
_STATES_SOMEHOW = re.compile(r"(?:half|forced)[-_ ]open|closed|open|disabled", re.IGNORECASE)


@RECORD.case("cuando un circuito se abre", raised=_WHAT_IT_DOES)
def opening_is_recorded(case: Case, registrar_cambios: Any) -> None:
    expect_call(case, registrar_cambios, "registrar_cambios(breaker, ruta)")
    file = _File(case)
    circuit = _Circuit("pagos")
    file.follow(registrar_cambios, circuit)
    file.expect_nothing("antes de que cambiara ningún estado")
    circuit.fail(2)
    file.expect_no_error()
    case.expect(
        file.path.exists(),
        "el circuito se abrió y el archivo no existe: ¿quién avisa a tu función? ¿Y dónde escribe, y cuándo?",
    )
    case.expect(
        file.lines(),
        "el circuito se abrió y el archivo está vacío: ¿cuándo llega al disco lo que escribes? "
        "Si usas logging, ¿qué nivel deja pasar?",
    )
    file.expect([("pagos", "closed", "open")])


@RECORD.case("con un recorrido entero", raised=_WHAT_IT_DOES)
def whole_way_is_recorded(case: Case, registrar_cambios: Any) -> None:
    file = _File(case)
    circuit = _Circuit("pagos")
    file.follow(registrar_cambios, circuit)
    wanted = [("pagos", "closed", "open")]
    circuit.fail(2)
    file.expect(wanted)
    for _ in range(3):
        circuit.succeed()
    file.expect_no_error()
    case.expect(
        len(file.lines()) == 1,
        f"el circuito cambió una vez y rechazó tres llamadas, y el archivo tiene {_lines(len(file.lines()))}: "
        "¿qué sucesos anotas?",
    )
    circuit.wait()
    circuit.fail(1)
    wanted += [("pagos", "open", "half-open"), ("pagos", "half-open", "open")]
    file.expect(wanted)
    circuit.wait()
    circuit.succeed()
    wanted += [("pagos", "open", "half-open"), ("pagos", "half-open", "closed")]
    file.expect(wanted)
    circuit.breaker.force_open()
    circuit.breaker.reset()
    file.expect([*wanted, ("pagos", "closed", "forced-open"), ("pagos", "forced-open", "closed")])


@RECORD.case("si el archivo ya tenía algo", raised=_WHAT_IT_DOES)
def what_was_there_stays(case: Case, registrar_cambios: Any) -> None:
    file = _File(case)
    file.path.write_text("lo de ayer\n", encoding="utf-8")
    circuit = _Circuit("pagos")
    file.follow(registrar_cambios, circuit)
    circuit.fail(2)
    lines = file.lines()
    case.expect(
        lines[:1] == ["lo de ayer"], "el archivo tenía una línea de ayer y ya no está: ¿cómo lo abres?"
    )
    file.expect([("pagos", "closed", "open")], skip=1)


@RECORD.case("con dos circuitos, cada uno en su archivo", raised=_WHAT_IT_DOES)
def two_files(case: Case, registrar_cambios: Any) -> None:
    first, second = _File(case), _File(case)
    payments, shipping = _Circuit("pagos"), _Circuit("envíos")
    first.follow(registrar_cambios, payments)
    second.follow(registrar_cambios, shipping)
    payments.fail(2)
    second.expect_nothing("de otro circuito, que escribe en otro archivo")
    first.expect([("pagos", "closed", "open")])
    shipping.fail(2)
    second.expect([("envíos", "closed", "open")])
    first.expect([("pagos", "closed", "open")])


@RECORD.case("con dos circuitos en el mismo archivo", raised=_WHAT_IT_DOES)
def one_file(case: Case, registrar_cambios: Any) -> None:
    file = _File(case)
    payments, shipping = _Circuit("pagos"), _Circuit("envíos")
    file.follow(registrar_cambios, payments)
    file.follow(registrar_cambios, shipping)
    payments.fail(2)
    shipping.fail(2)
    payments.wait()
    payments.succeed()
    file.expect(
        [
            ("pagos", "closed", "open"),
            ("envíos", "closed", "open"),
            ("pagos", "open", "half-open"),
            ("pagos", "half-open", "closed"),
        ]
    )


@RECORD.case("con ocho hilos a la vez", raised=_WHAT_IT_DOES)
def threads_write(case: Case, registrar_cambios: Any) -> None:
    file = _File(case)
    circuits = [_Circuit(f"circuito-{letter}") for letter in "abcdefgh"]
    for circuit in circuits:
        file.follow(registrar_cambios, circuit)
    start = threading.Barrier(len(circuits))

    def drive(circuit: _Circuit) -> None:
        start.wait()
        for _ in range(5):
            circuit.fail(2)
            circuit.wait()
            circuit.succeed()

    _in_threads([functools.partial(drive, circuit) for circuit in circuits])
    file.expect_no_error()
    lines = file.lines()
    case.expect(
        len(lines) == 8 * 15,
        f"ocho circuitos cambiaron 15 veces cada uno y el archivo tiene {_lines(len(lines))}: "
        "¿se pisan los que escriben a la vez?",
    )
    one_way = [("closed", "open"), ("open", "half-open"), ("half-open", "closed")] * 5
    for circuit in circuits:
        own = [line for line in lines if circuit.breaker.name in line]
        right = len(own) == 15 and all(
            _tells(line, (circuit.breaker.name, *change)) for line, change in zip(own, one_way, strict=True)
        )
        case.expect(
            right,
            f"con ocho circuitos a la vez, las líneas de «{circuit.breaker.name}» no son sus 15 cambios en orden: "
            "¿se mezclan dos líneas, o lo que guardas de cada suceso?",
        )


class _Circuit:
    """A breaker of two failures and ten seconds, and a clock wound by hand."""

    def __init__(self, name: str) -> None:
        self.clock = ManualClock()
        self.breaker = CircuitBreaker(name, fail_threshold=2, reset_timeout=10, clock=self.clock)

    def fail(self, times: int) -> None:
        for _ in range(times):
            with suppress(ConnectionError, CircuitOpenError):
                self.breaker.call(_broken)

    def succeed(self) -> None:
        with suppress(CircuitOpenError):
            self.breaker.call(lambda: "bien")

    def wait(self) -> None:
        self.clock.advance(10)


def _broken() -> None:
    raise ConnectionError("pagos no contesta")


class _File:
    """A file in a folder of its own, and what was written to it."""

    def __init__(self, case: Case) -> None:
        self._case = case
        folder = case.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        self.path = Path(folder) / "cambios.log"
        self._errors: list[BaseException] = []
        self._seen: list[str] = []

    def follow(self, registrar_cambios: Callable[..., Any], circuit: _Circuit) -> None:
        given = registrar_cambios(circuit.breaker, self.path)
        if isinstance(given, CoroutineType):
            given.close()
            self._case.fail(
                "registrar_cambios es una corrutina y aquí nadie la espera: escribe una función corriente"
            )
        # A breaker only logs what its listeners raise: hear it through them.
        for listener in circuit.breaker._listeners:
            circuit.breaker.remove_listener(listener)
            circuit.breaker.add_listener(functools.partial(self._hear, listener))

    def _hear(self, listener: Callable[..., Any], event: Any) -> None:
        try:
            listener(event)
        except Exception as error:
            self._errors.append(error)

    def lines(self) -> list[str]:
        return [line for line in self._text().splitlines() if line.strip()]

    def _text(self) -> str:
        if not self.path.exists():
            return ""
        data = self.path.read_bytes()
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:  # Windows, when nobody said an encoding
            return data.decode("cp1252", errors="replace")

    def expect_no_error(self) -> None:
        if self._errors:
            self._case.fail(
                f"tu oyente lanzó {described(self._errors[0])}: ¿qué sucesos recibe, y qué lleva cada uno?"
            )

    def expect_nothing(self, when: str) -> None:
        self.expect_no_error()
        if lines := self.lines():
            self._case.fail(f"{when}, el archivo ya decía «{_short(lines[0])}»: ¿qué se anota, y de quién?")

    def expect(self, changes: list[tuple[str, str, str]], skip: int = 0) -> None:
        """Fail unless the lines tell of these changes (circuit, previous, new), each once and in this order."""
        self.expect_no_error()
        lines = self.lines()[skip:]
        kept = lines[: len(self._seen)] == self._seen
        if not kept and (
            gone := next((line for line in self._seen if not any(line in each for each in lines)), None)
        ):
            self._case.fail(
                f"al anotar otro cambio se perdió la línea «{_short(gone)}»: ¿cómo abres el archivo?"
            )
        self._seen = lines
        for line, change in zip(lines, changes, strict=False):
            if not _tells(line, change):
                name, previous, state = change
                told = f"«{name}» pasó de {previous} a {state} y la línea dice «{_short(line)}»"
                if _tells(line, change, _STATES_SOMEHOW):
                    self._case.fail(f"{told}: los estados se piden escritos como los escribe el circuito")
                self._case.fail(f"{told}: se piden el nombre, el estado anterior y el nuevo")
        if len(lines) < len(changes):
            told = ", ".join(f"{previous} → {state}" for _, previous, state in changes)
            self._case.fail(
                f"los cambios fueron {told}; la última llamada ya volvió y el archivo tiene "
                f"{_lines(len(lines))} de {len(changes)}: "
                + (
                    "¿termina cada línea en un salto de línea?"
                    if lines and not self._text().endswith(("\n", "\r"))
                    else "¿cuál falta, y cuándo llega al disco?"
                )
            )
        if len(lines) > len(changes):
            happened = "un cambio" if len(changes) == 1 else f"{len(changes)} cambios"
            self._case.fail(
                f"hubo {happened} y el archivo tiene {_lines(len(lines))}; "
                f"sobra «{_short(lines[len(changes)])}»: ¿se anota algo dos veces?"
            )


def _lines(count: int) -> str:
    return "1 línea" if count == 1 else f"{count} líneas"


def _tells(line: str, change: tuple[str, str, str], states: re.Pattern[str] = _STATES) -> bool:
    """Whether a line, of text or JSON, holds the circuit's name and both states, written in one of those ways."""
    name, previous, state = change
    text = line
    with suppress(ValueError):
        text = json.dumps(json.loads(line), ensure_ascii=False)
    found = Counter(re.sub("[_ ]", "-", word.lower()) for word in states.findall(text.replace(name, "")))
    return name in text and found[previous] > 0 and found[state] > 0


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 90 else f"{text[:89]}…"


def _in_threads(functions: Iterable[Callable[[], Any]]) -> list[BaseException | None]:
    """Run them at once, each in a thread; return what each raised."""
    raised: list[BaseException | None] = []

    def run(index: int, function: Callable[[], Any]) -> None:
        try:
            function()
        except BaseException as error:
            raised[index] = error

    threads = []
    for index, function in enumerate(functions):
        raised.append(None)
        threads.append(threading.Thread(target=run, args=(index, function), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # in slices: a wait without end could not be stopped at the deadline
            thread.join(0.1)
    return raised


# CB-5a · a service that recovers

RECOVERS = Exercise("CB-5a", writes="servicio_que_se_recupera", deadline=10)
_HANGS = "¿espera tu función algo que no llega? Si usas un candado, ¿se suelta siempre?"


@RECOVERS.case("con tres fallos", raised="¿qué hace tu función con el número que recibe?", late=_HANGS)
def fails_and_recovers(case: Case, servicio_que_se_recupera: Any) -> None:
    expect_call(case, servicio_que_se_recupera, "servicio_que_se_recupera(fallos)")
    service = _service(case, servicio_que_se_recupera, 3)
    seen = [_payment(case, service) for _ in range(6)]
    wanted = ["fallo"] * 3 + ["cobrado"] * 3
    case.expect(
        "fallo" in seen,
        f"con fallos=3, seis llamadas dieron {', '.join(seen)}: "
        "¿cuáles tienen que fallar, y empieza cada servicio su cuenta desde cero?",
    )
    case.expect(
        seen == wanted,
        f"con fallos=3, seis llamadas dieron {', '.join(seen)}: ¿cuándo deja de fallar, y vuelve a hacerlo?",
    )


@RECOVERS.case("con otros números de fallos", raised="¿sirve para cero?", late=_HANGS)
def other_counts(case: Case, servicio_que_se_recupera: Any) -> None:
    for failures in (0, 1, 7):
        service = _service(case, servicio_que_se_recupera, failures)
        seen = [_payment(case, service) for _ in range(9)]
        if seen == ["fallo"] * failures + ["cobrado"] * (9 - failures):
            continue
        told = f"con fallos={failures}, de nueve llamadas fallaron {seen.count('fallo')}"
        again = _service(case, servicio_que_se_recupera, 3)
        case.expect(
            [_payment(case, again) for _ in range(6)] == ["fallo"] * 3 + ["cobrado"] * 3,
            f"{told}, y un servicio con fallos=3 ya no falla como el primero: ¿lleva cada servicio su propia cuenta?",
        )
        case.fail(f"{told}: ¿usas el número que te dieron?")


@RECOVERS.case("con dos servicios", raised="¿qué comparten dos servicios?", late=_HANGS)
def services_are_apart(case: Case, servicio_que_se_recupera: Any) -> None:
    first = _service(case, servicio_que_se_recupera, 2)
    second = _service(case, servicio_que_se_recupera, 2)
    seen = [_payment(case, each) for each in (first, second, first, second, first, second)]
    case.expect(
        seen == ["fallo"] * 4 + ["cobrado"] * 2,
        "dos servicios con fallos=2, llamados por turnos, no fallan dos veces cada uno: ¿quién lleva la cuenta?",
    )


@RECOVERS.case("si una llamada adelanta a otra", raised="¿qué comparten los hilos?", late=_HANGS)
def one_call_overtakes(case: Case, servicio_que_se_recupera: Any) -> None:
    def race() -> Race[list[str]]:
        service = _service(case, servicio_que_se_recupera, 1)
        seen: list[str] = []

        def call() -> None:
            seen.append(_payment(case, service))

        return Race(call, call, seen, afterwards=call)

    for seen in interleavings(race):
        case.expect(
            seen.count("fallo") == 1,
            f"con fallos=1, un hilo se paró a medio camino, otro llamó entretanto, y de tres llamadas fallaron "
            f"{seen.count('fallo')}: ¿qué leyó una, o iba a leer, que la otra cambió?",
        )


def _service(case: Case, make: Any, failures: int) -> Any:
    service = make(failures)
    case.expect(service is not None, "servicio_que_se_recupera no devolvió nada: ¿falta el return?")
    case.expect(
        callable(service),
        f"servicio_que_se_recupera devolvió {kind(service)}: se pide una función sin argumentos",
    )
    return service


def _payment(case: Case, service: Any) -> str:
    try:
        result = service()
    except ConnectionError:
        return "fallo"
    except requests.ConnectionError:
        case.fail(
            "el servicio lanzó el ConnectionError de requests, que es otra clase: se pide el de Python, "
            "que no hay que importar"
        )
    except TypeError as error:
        case.fail(f"el servicio, llamado sin argumentos, lanzó {described(error)}")
    except Exception as error:
        case.fail(f"el servicio lanzó {described(error)}: se pide ConnectionError")
    if isinstance(result, CoroutineType):
        result.close()
        case.fail("el servicio es una corrutina: se pide una función corriente")
    case.expect(result == "cobrado", f"el servicio devolvió {result!r}: se pide «cobrado»")
    return "cobrado"


def _raise_first(raised: Iterable[BaseException | None]) -> None:
    for error in raised:
        if error is not None:
            raise error


# CB-5b · and the breaker notices

STORY = Exercise("CB-5b", writes="historia", deadline=6)
_ENDLESS = "¿adelantas el reloj después de cada llamada, y acabas cuando una va bien? No hace falta esperar de verdad"


@STORY.case(
    "con un servicio que falla tres veces", raised="¿qué haces con lo que lanza la llamada?", late=_ENDLESS
)
def story_of_three(case: Case, historia: Any) -> None:
    expect_call(case, historia, "historia(fallos)")
    _expect_story(case, historia, 3)


@STORY.case("con menos fallos de los que abren", raised="¿qué haces si nada falla?", late=_ENDLESS)
def story_of_few(case: Case, historia: Any) -> None:
    for failures in (2, 0):
        _expect_story(case, historia, failures)


@STORY.case("si también fallan las pruebas", raised="¿qué haces con lo que lanza una prueba?", late=_ENDLESS)
def story_of_many(case: Case, historia: Any) -> None:
    for failures in (4, 6, 3):
        _expect_story(case, historia, failures)


def _expect_story(case: Case, historia: Any, failures: int) -> None:
    told = historia(failures)
    call = f"historia({failures})"
    case.expect(told is not None, f"{call} no devolvió nada: ¿falta el return?")
    case.expect(isinstance(told, list | tuple), f"{call} devolvió {kind(told)}: se pide una lista de estados")
    states = list(told)
    case.expect(
        all(isinstance(state, str) for state in states),
        f"en lo que devolvió {call} hay {kind(next((s for s in states if not isinstance(s, str)), ''))}: "
        "se piden los estados, en texto",
    )
    case.expect(
        all(state in STATES for state in states),
        f"{call} devolvió {states}: se piden los nombres de los estados, y nada más",
    )
    wanted = _story(failures)
    case.expect(
        states[:1] == ["closed"], f"{call} devolvió {states}: falta el estado con el que empieza el circuito"
    )
    case.expect(
        states != ["closed", "open"],
        f"{call} devolvió {states}: el circuito se quedó abierto. ¿Adelantas el reloj después de cada llamada, y "
        "sigues llamando?",
    )
    case.expect(
        "half-open" in states or "half-open" not in wanted,
        f"{call} devolvió {states}: el circuito se abrió y volvió a probar. Semiabierto dura lo que dura "
        "la prueba: ¿quién lo recuerda después?",
    )
    case.expect(
        states == wanted,
        f"{call} devolvió {states}: ¿cuántas llamadas fallan ahí, y qué hace el circuito con cada una?",
    )


def _story(failures: int) -> list[str]:
    circuit = CircuitBreaker(fail_threshold=3, reset_timeout=10, clock=(clock := ManualClock()))
    for index in range(failures + 1):
        with suppress(ConnectionError):
            circuit.call(_broken if index < failures else str)
        clock.advance(10)
    return [change.state for change in circuit.changes]


# CB-8 · an audit

AUDIT = Exercise("CB-8", writes=("tabla_auditoria", "ninguna_cumple"), deadline=20)
_LIBRARIES = ("pybreaker", "circuitbreaker")
_INVARIANTS = ("en paralelo", "una prueba", "reloj", "tardío", "ignorada", "entrada")
_SEEN_HERE = {
    "en paralelo": (
        "con una llamada dentro del servicio, otra entró",
        "con una llamada dentro del servicio, otra se quedó esperando a que saliera",
    ),
    "una prueba": (
        "en semiabierto, con una prueba dentro del servicio, no entró otra llamada",
        "en semiabierto, con una prueba dentro del servicio, entró otra llamada",
    ),
    "reloj": (
        "con la hora atrasada, al acabar la espera la llamada pasó",
        "con la hora atrasada, al acabar la espera la llamada se rechazó",
    ),
    "tardío": (
        "un éxito que empezó antes de abrirse no cerró el circuito",
        "un éxito que empezó antes de abrirse cerró el circuito",
    ),
    "ignorada": (
        "con dos fallos, un ValueError que no cuenta y otro fallo, el circuito se abrió",
        "con dos fallos, un ValueError que no cuenta y otro fallo, el circuito siguió cerrado",
    ),
    "entrada": (
        "un umbral de -3 se rechazó al crear el circuito",
        "un umbral de -3 se aceptó al crear el circuito",
    ),
}


@AUDIT.case("con la tabla")
def audit_is_complete(case: Case, tabla_auditoria: Any, ninguna_cumple: Any) -> None:
    case.expect(
        isinstance(tabla_auditoria, Mapping),
        f"tabla_auditoria es {kind(tabla_auditoria)}: usa un diccionario que dé, para cada invariante, su fila",
    )
    rows = _by_plain_name(tabla_auditoria)
    missing = [name for name in _INVARIANTS if _plain(name) not in rows]
    case.expect(not missing, f"en tabla_auditoria falta: {', '.join(missing)}")
    for name in _INVARIANTS:
        row = rows[_plain(name)]
        case.expect(
            isinstance(row, Mapping) and all(each in row for each in _LIBRARIES),
            f"la fila «{name}» no es un diccionario con pybreaker y circuitbreaker",
        )
        for library in _LIBRARIES:
            case.expect(
                isinstance(row[library], bool),
                f"«{name}», {library}: hay {kind(row[library])} y se pide True o False. "
                "¿Ejecutaste el experimento, y qué devuelve?",
            )


@AUDIT.case("al repetir los experimentos con las bibliotecas instaladas")
def audit_is_true(case: Case, tabla_auditoria: Any, ninguna_cumple: Any) -> None:
    rows = _by_plain_name(tabla_auditoria)
    try:
        measured = audit()
    except ImportError as error:
        case.fail(f"falta una biblioteca por instalar: {error.name}")
    for name in _INVARIANTS:
        for library in _LIBRARIES:
            holds = measured[library][name]
            case.expect(
                rows[_plain(name)][library] is holds,
                f"«{name}», {library}: escribiste {rows[_plain(name)][library]} y al probarlo aquí "
                f"{_SEEN_HERE[name][not holds]}. ¿Qué mide tu experimento, y qué devuelve?",
            )


@AUDIT.case("con tu conclusión")
def audit_conclusion(case: Case, tabla_auditoria: Any, ninguna_cumple: Any) -> None:
    case.expect(
        isinstance(ninguna_cumple, list | tuple | set | frozenset)
        and all(isinstance(each, str) for each in ninguna_cumple),
        f"ninguna_cumple es {kind(ninguna_cumple)}: usa una lista con nombres de invariantes",
    )
    rows = _by_plain_name(tabla_auditoria)
    said = {_plain(each) for each in ninguna_cumple}
    for each in ninguna_cumple:
        case.expect(
            _plain(each) in map(_plain, _INVARIANTS), f"en ninguna_cumple, {each!r} no es uno de los seis"
        )
    for name in _INVARIANTS:
        none = not any(rows[_plain(name)][library] for library in _LIBRARIES)
        case.expect(
            none or _plain(name) not in said,
            f"«{name}» está en ninguna_cumple, y en tu tabla alguna lo cumple",
        )
        case.expect(
            not none or _plain(name) in said,
            f"según tu tabla, «{name}» no lo cumple ninguna: ¿falta en tu lista?",
        )


def _plain(name: object) -> str:
    """A name without regard to accents, capitals and underscores."""
    return str(name).strip().lower().replace("_", " ").replace("í", "i")


def _by_plain_name(table: Mapping[Any, Any]) -> dict[str, Any]:
    return {_plain(name): row for name, row in table.items()}


# Seconds in which a call that can get in is in, and what a circuit of these experiments waits.
_ENTERS = 1.0
_SHORT = 0.05


@functools.cache
def audit() -> dict[str, dict[str, bool]]:
    """What the installed libraries do: {library: {invariant: whether it holds}}. Raises ImportError."""
    made = _makers()
    found: dict[str, dict[str, bool]] = {library: {} for library in made}

    def experiment(library: str, name: str) -> None:
        found[library][name] = _EXPERIMENTS[name](made[library])

    # `reloj` changes what a library takes for the time of day: by itself.
    at_once = [name for name in _EXPERIMENTS if name != "reloj"]
    _raise_first(
        _in_threads([functools.partial(experiment, library, name) for library in made for name in at_once])
    )
    for library in made:
        experiment(library, "reloj")
    return {library: {name: found[library][name] for name in _EXPERIMENTS} for library in made}


def _makers() -> dict[str, Callable[..., Any]]:
    import circuitbreaker  # type: ignore[import-untyped]
    import pybreaker

    def of_pybreaker(threshold: int = 3, wait: float = 60) -> Any:
        return pybreaker.CircuitBreaker(fail_max=threshold, reset_timeout=wait, exclude=[ValueError])

    def of_circuitbreaker(threshold: int = 3, wait: float = 60) -> Any:
        return circuitbreaker.CircuitBreaker(
            threshold, wait, expected_exception=lambda kind, error: not issubclass(kind, ValueError)
        )

    def of_labkit(threshold: int = 3, wait: float = 60) -> Any:
        return CircuitBreaker(
            fail_threshold=threshold, reset_timeout=wait, probe_timeout=60, ignore=ValueError
        )

    return {"pybreaker": of_pybreaker, "circuitbreaker": of_circuitbreaker, "labkit": of_labkit}


def _runs_in_parallel(make: Callable[..., Any]) -> bool:
    return _second_enters(make())


def _one_probe(make: Callable[..., Any]) -> bool:
    return not _second_enters(_due(make))


def _steady_clock(make: Callable[..., Any]) -> bool:
    guard = _due(make)
    module = sys.modules[type(guard).__module__]
    with mock.patch.object(module, "datetime", _HourBack, create=True):
        return _passes(guard)


def _late_success_is_discarded(make: Callable[..., Any]) -> bool:
    guard = make()
    guard(lambda: _break(guard, 3))()
    return not _passes(guard)


def _ignored_is_no_success(make: Callable[..., Any]) -> bool:
    guard = make()
    _break(guard, 2)
    _break(guard, 1, ValueError)
    _break(guard, 1)
    return not _passes(guard)


def _bad_threshold_is_refused(make: Callable[..., Any]) -> bool:
    try:
        make(threshold=-3)
    except (ValueError, TypeError):
        return True
    return False


_EXPERIMENTS: dict[str, Callable[[Callable[..., Any]], bool]] = {
    "en paralelo": _runs_in_parallel,
    "una prueba": _one_probe,
    "reloj": _steady_clock,
    "tardío": _late_success_is_discarded,
    "ignorada": _ignored_is_no_success,
    "entrada": _bad_threshold_is_refused,
}


class _HourBack(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) - timedelta(hours=1)


def _due(make: Callable[..., Any]) -> Any:
    """Return a breaker that has opened, and whose next call is a probe."""
    guard = make(wait=_SHORT)
    _break(guard, 3)
    time.sleep(2 * _SHORT)
    return guard


def _break(guard: Any, times: int, error: type[Exception] = ConnectionError) -> None:
    def service() -> None:
        raise error("prueba")

    for _ in range(times):
        with suppress(Exception):
            guard(service)()


def _passes(guard: Any) -> bool:
    arrived: list[int] = []
    with suppress(Exception):
        guard(lambda: arrived.append(1))()
    return bool(arrived)


def _second_enters(guard: Any) -> bool:
    """Whether, with a call inside the service, another enters."""
    inside, leave, entered, refused = (threading.Event() for _ in range(4))

    def stay() -> None:
        inside.set()
        leave.wait(10)

    def second() -> None:
        with suppress(Exception):
            guard(entered.set)()
        refused.set()

    first, other = (
        threading.Thread(target=guard(stay), daemon=True),
        threading.Thread(target=second, daemon=True),
    )
    first.start()
    inside.wait(10)
    other.start()
    refused.wait(_ENTERS)
    found = entered.is_set()
    leave.set()
    first.join(10)
    other.join(10)
    return found


EXERCISES = (THRESHOLDS, WAITS, RECORD, RECOVERS, STORY, AUDIT)
