"""DT-9: from a log file, the whole chain of one id, in order."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind

CHAIN = Exercise("DT-9", writes="cadena", call="cadena(ruta, id)")


def _line(t: Any, id: Any, **more: Any) -> str:
    return json.dumps({"t": t, "id": id, **more}, ensure_ascii=False)


def _found(case: Case, answer: Any, lines: list[str], id: str = "p1") -> list[Any]:
    """Return what the answer makes of a file with these lines."""
    folder = case.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
    path = Path(folder) / "tienda.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    found = answer(path, id)
    case.expect(isinstance(found, list), f"tu función devolvió {kind(found)}: se pide una lista")
    return list(found)


def _steps(found: list[Any]) -> list[Any]:
    return [entry.get("suceso") if isinstance(entry, dict) else kind(entry) for entry in found]


@CHAIN.case("con dos peticiones mezcladas y en desorden", raised="¿qué hay en cada línea?")
def mixed(case: Case, answer: Any) -> None:
    lines = [
        _line(9.5, "p1", suceso="tercero"),
        _line(0.5, "p2", suceso="de otra"),
        _line(10.25, "p1", suceso="cuarto"),
        _line(1, "p1", suceso="primero", importe=12.5),
        _line(2.5, "p1", suceso="segundo"),
    ]
    found = _found(case, answer, lines)
    case.expect(found, "no salió ninguna línea de p1, y hay cuatro: ¿qué archivo lees, y qué id buscas?")
    wanted = ["primero", "segundo", "tercero", "cuarto"]
    case.equal(_steps(found), wanted, "los sucesos salieron así: {found}. ¿De qué id, y en qué orden?")
    case.equal(found[0], json.loads(lines[3]), "la primera entrada es {found}: se pide el diccionario entero")


@CHAIN.case("con identificadores que se parecen")
def exact(case: Case, answer: Any) -> None:
    lines = [
        _line(1, "p1", suceso="suyo"),
        _line(2, "p10", suceso="de p10"),
        _line(3, "P1", suceso="de P1"),
        _line(4, "otro", suceso="que lo nombra", detalle="p1"),
        _line(5, 1, suceso="de 1"),
        _line(6, "7", suceso="de un texto"),
        _line(7, 7, suceso="del entero 7"),
    ]
    case.equal(_steps(_found(case, answer, lines)), ["suyo"], "al pedir p1 salieron: {found}. ¿Comparas el id?")
    found = _steps(_found(case, answer, lines, "7"))
    case.equal(found, ["de un texto"], "al pedir '7', un texto, salieron: {found}. ¿Cambias de tipo el id?")


@CHAIN.case("con un identificador que no está", raised="¿qué devuelves si no hay ninguna?")
def nobody(case: Case, answer: Any) -> None:
    case.equal(_found(case, answer, [_line(1, "p2")]), [], "sin líneas de ese id devolvió {found}")
    case.equal(_found(case, answer, []), [], "con el archivo vacío devolvió {found}")


@CHAIN.case("con líneas que no son JSON", raised="¿y si la línea la escribió otro, o está a medias?")
def noise(case: Case, answer: Any) -> None:
    lines = [
        "127.0.0.1 - GET /cobrar 200 p1",
        "",
        _line(1, "p1", suceso="uno"),
        '{"t": 2, "id": "p1", "suc',
        _line(3, "p1", suceso="dos"),
    ]
    case.equal(_steps(_found(case, answer, lines)), ["uno", "dos"], "con ruido en medio salieron: {found}")


@CHAIN.case("con JSON que no es una entrada", raised="¿es un objeto, y tiene id y t?")
def other_json(case: Case, answer: Any) -> None:
    lines = [
        "7",
        '"p1"',
        "null",
        '["id", "t", "p1"]',
        '{"t": 1, "suceso": "sin id"}',
        '{"id": "p1", "suceso": "sin t"}',
        _line(2, "p1", suceso="entera"),
    ]
    case.equal(_steps(_found(case, answer, lines)), ["entera"], "salieron: {found}. ¿Qué les falta a las demás?")


@CHAIN.case("con la misma hora", raised="¿qué comparas al ordenar?")
def ties(case: Case, answer: Any) -> None:
    lines = [_line(1, "p1", suceso=name, servicio=name) for name in ("c", "a", "b", "a")] + [_line(0, "p1", suceso="antes")]
    found = _steps(_found(case, answer, lines))
    case.equal(
        found, ["antes", "c", "a", "b", "a"], "con la misma t salieron así: {found}. ¿Están todas, y en el orden del archivo?"
    )


@CHAIN.case("con acentos", raised="¿en qué codificación abres el archivo?")
def accents(case: Case, answer: Any) -> None:
    found = _found(case, answer, [_line(1, "señal", suceso="envío")], "señal")
    case.equal(_steps(found), ["envío"], "un suceso «envío» salió como {found}: ¿en qué codificación lees?")
