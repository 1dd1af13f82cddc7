"""What the cases of several lessons ask of an answer: its form, a table that was measured, a service it makes."""

from __future__ import annotations

import inspect
import logging
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from flask import Flask

from labkit.entries import Line
from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind, quoted
from labkit.service import Group, Service

# Seconds for the cases' own calls: a machine may be busy, and only an answer that hangs takes so long.
TIMEOUT = 6.0


# The form


def form_problem(exercise: Exercise, things: tuple[Any, ...]) -> str | None:
    """Return what is wrong with the form of what was written, as the exercise declares it; None where nothing is."""
    by_name = dict(zip(exercise.arguments, things, strict=True))
    for call in exercise.calls:
        name = _name(call)
        is_class = bool(exercise.methods) and name == exercise.written[-1]
        if problem := _call_problem(exercise, by_name[name], call, is_class):
            return problem
    return None


def _call_problem(exercise: Exercise, thing: Any, call: str, is_class: bool) -> str | None:
    name = _name(call)
    if is_class and not isinstance(thing, type):
        if any(hasattr(type(thing), _name(each)) for each in exercise.methods):
            return (
                f'pasa la clase, sin crearla: labkit.check("{exercise.id}", {", ".join(exercise.arguments)})'
            )
        if not callable(thing):
            return f"{name} es {kind(thing)}: se pide una clase que se cree así: {call}"
    if not callable(thing):
        return f"{name} es {kind(thing)}: se pide algo que se pueda llamar así: {call}"
    if not _takes(thing, call):
        own = "su __init__, además de self" if isinstance(thing, type) else "su firma"
        return f"lo que escribiste no se puede llamar así: {call}. ¿Qué parámetros tiene {own}?"
    if not is_class and inspect.iscoroutinefunction(thing) is not exercise.coroutine:
        return (
            f"{name} no es una corrutina: se pide con async def"
            if exercise.coroutine
            else f"{name} es una corrutina y aquí nadie la espera: escribe una función corriente"
        )
    if is_class:
        return next((problem for each in exercise.methods if (problem := _method_problem(thing, each))), None)
    return None


def _method_problem(cls: Any, call: str) -> str | None:
    name = _name(call)
    method = inspect.getattr_static(cls, name, None)
    if method is None:  # it may be set in __init__, or made by __getattr__: see `methods_problem`
        return None
    if isinstance(method, property):
        return f"{name} es una propiedad: se pide un método que se llame así: {call}"
    if inspect.isfunction(method) and not _takes(method, call, "self"):
        return f"el método {name} no se puede llamar así: {call}. ¿Qué parámetros lleva su firma, y cuál es el primero?"
    return None


def expect_methods(case: Case, thing: Any) -> None:
    """Fail unless an object of the learner's class has the methods that the exercise declares."""
    for call in case.exercise.methods:
        name = _name(call)
        case.expect(hasattr(thing, name), f"a tu clase le falta: {name}")
        method = getattr(thing, name)
        case.expect(callable(method), f"{name} es {kind(method)}: se pide un método que se llame así: {call}")
        case.expect(
            _takes(method, call),
            f"el método {name} no se puede llamar así: {call}. ¿Qué parámetros lleva su firma, y cuál es el primero?",
        )


def _name(call: str) -> str:
    return call.partition("(")[0]


def _takes(thing: Any, call: str, *first: str) -> bool:
    """Return True when a thing can be called as a text says, e.g. `Arriendos(ttl, reloj)`, by position."""
    given = call.partition("(")[2].rstrip(")")
    try:
        inspect.signature(thing).bind(*first, *(given.split(", ") if given else ()))
    except TypeError:
        return False
    except ValueError:
        # A method without self has no signature. Nor has what is written in C: nobody knows its parameters.
        return not inspect.ismethod(thing)
    return True


# A table that was filled by running


def expect_table(
    case: Case,
    name: str,
    table: Any,
    keys: Sequence[Any],
    measures: tuple[str, ...],
    helper: str,
) -> None:
    """Fail unless a table has a row for each key, and each row the numbers that the notebook's helper returns."""
    case.expect(
        isinstance(table, Mapping),
        f"{name} es {kind(table)}: usa un diccionario que dé, para cada clave, lo que devolvió {helper}",
    )
    missing = [str(key) for key in keys if key not in table]
    case.expect(not missing, f"en {name} falta: {', '.join(missing)}")
    for key, row in table.items():
        case.expect(
            not inspect.isroutine(row), f"{name}[{key!r}] es una función: guarda lo que devuelve al llamarla"
        )
        case.expect(
            isinstance(row, Mapping) and all(_is_number(row.get(measure)) for measure in measures),
            f"{name}[{key!r}] no es lo que devuelve {helper}: guarda su resultado entero",
        )


def expect_measured(
    case: Case,
    name: str,
    table: Mapping[Any, Any],
    measure: Callable[[Any], Mapping[str, Any]],
    measures: tuple[str, ...],
) -> None:
    """Fail unless measuring each key again gives the same row; `measure` is the check's own, not the notebook's."""
    for key, row in table.items():
        again = measure(key)
        case.expect(
            all(row[each] == again[each] for each in measures),
            f"en {name}[{key!r}] escribiste {quoted(row, measures)} y al medirlo otra vez sale "
            f"{quoted(again, measures)}: ¿qué mediste en esa fila?",
        )


def _is_number(thing: object) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool)


def word(thing: object) -> str:
    """Return what a learner wrote as a word, without regard to capitals and the spaces around it."""
    return thing.strip().lower() if isinstance(thing, str) else ""


# A service that an answer makes. A learner cannot look into its journal, so the hints quote it.


def flask_app(case: Case, make: Callable[[str], Any], name: str) -> Flask:
    """Call the answer with an instance's name and return the Flask application that it makes.

    Called here and not by the service that will run it: a factory that hangs is then stopped at the deadline.
    """
    app = make(name)
    case.expect(app is not None, "tu función no devolvió nada: ¿falta el return?")
    if isinstance(app, Service | Group):
        case.cleanup(app.stop, 0)
        case.fail(
            "tu función devolvió un servicio ya en marcha: se pide la aplicación; de servirla se ocupa quien llama"
        )
    case.expect(
        isinstance(app, Flask), f"tu función devolvió {kind(app)}: se pide la aplicación Flask entera"
    )
    return app  # type: ignore[no-any-return]


def get(case: Case, service: Service, path: str, **options: Any) -> requests.Response:
    """GET it; the case fails when no answer comes, or a 500 that an exception caused."""
    try:
        answer = requests.get(f"{service.url}{path}", timeout=TIMEOUT, **options)
    except requests.Timeout:
        case.fail(f"GET {path} no contestó en {TIMEOUT:g} s: ¿qué espera tu ruta?")
    except requests.RequestException as error:
        case.fail(f"GET {path} acabó en {type(error).__name__}: ¿sigue en marcha el servicio?")
    raised = raised_in(service)
    case.expect(
        answer.status_code != 500 or not raised,
        f"GET {path} contestó 500, porque tu ruta lanzó {raised}. ¿Qué recibe y qué devuelve?",
    )
    return answer


def raised_in(service: Service) -> str:
    """Return what a handler raised last, as a traceback ends: `KeyError: 'no-existe'`."""
    details = [entry.detail for entry in service.journal if isinstance(entry, Line) and entry.detail]
    return textwrap.shorten(details[-1].strip().splitlines()[-1], 120, placeholder="…") if details else ""


def json_object(answer: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object in an answer's body; None when there is none."""
    try:
        data = answer.json()
    except requests.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


# What an answer logs


@contextmanager
def captured_log(name: str) -> Iterator[list[logging.LogRecord]]:
    """Collect the records logged under a name. Nothing that is logged meanwhile, there or elsewhere, is shown.

    `logging.exception` adds a handler to the root, which would show in the kernel whatever is logged later.
    """
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    logger, root = logging.getLogger(name), logging.getLogger()
    before = (logger.propagate, logger.level, root.handlers)
    logger.propagate, root.handlers = False, [logging.NullHandler()]
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.propagate, root.handlers = before[0], before[2]
        logger.setLevel(before[1])
