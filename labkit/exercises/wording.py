"""How hints say what was seen: a thing's kind, a value, an error, a count."""

from __future__ import annotations

import builtins
import textwrap
import types
from collections.abc import Mapping

from labkit.service import Group, Service

_KINDS: dict[type, str] = {
    str: "un texto",
    bytes: "un texto en bytes",
    list: "una lista",
    tuple: "una tupla",
    dict: "un diccionario",
    set: "un conjunto",
    bool: "un valor True o False",
    int: "un número",
    float: "un número",
    type(None): "None",
    type: "una clase",
    types.FunctionType: "una función",
    types.MethodType: "un método sin llamar",
    types.GeneratorType: "un generador",
    types.CoroutineType: "una corrutina sin esperar",
    types.AsyncGeneratorType: "un generador asíncrono",
    Service: "un servicio",
    Group: "un grupo de servicios",
}


def kind(thing: object) -> str:
    """Return what a thing is in a learner's words: `una lista`."""
    return _KINDS.get(type(thing), f"un {type(thing).__name__}")


def shown(thing: object, most: int = 80) -> str:
    """Return a value's repr, shortened; its kind where it has none."""
    try:
        text = repr(thing)
    except Exception:
        return kind(thing)
    return text if len(text) <= most else text[: most - 1] + "…"


def described(error: BaseException) -> str:
    """Return an error's name and text on one line, also when its `__str__` is broken."""
    name = type(error).__name__
    if getattr(builtins, name, type(error)) is not type(error):  # requests.ConnectionError is not Python's
        name = f"{type(error).__module__.partition('.')[0]}.{name}"
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{name} ({textwrap.shorten(text, 160, placeholder='…')})" if text else name


def many(count: int, what: str, plural: str = "") -> str:
    """Return a count and its noun: `1 hilo`, `3 hilos`."""
    return f"{count} {what if count == 1 else plural or what + 's'}"


def listed(names: list[str]) -> str:
    """Return names as a sentence lists them: `a, b y c`."""
    *first, last = names
    return f"{', '.join(first)} y {last}" if first else last


def quoted(row: Mapping[str, object], names: tuple[str, ...]) -> str:
    """Return some values of a mapping with their names: `fallos 3, rechazos 2`."""
    return ", ".join(f"{name} {row[name]}" for name in names)
