"""SC-7b: notices to the console and to a file, and a watch that can be ended."""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.exercises.exercise import Case, Exercise, wait_for
from labkit.exercises.wording import many, shown

NOTICES = Exercise("SC-7b", writes=("crear_avisos", "vigilar"), call=("crear_avisos(ruta)", "vigilar(comprobar, cada, parar)"))


@NOTICES.case("con dos avisos", raised="¿qué devuelve crear_avisos, y qué hace con cada texto?")
def console_and_file(case: Case, crear_avisos: Callable[..., Any], vigilar: Any) -> None:
    path = Path(case.enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))) / "avisos.log"
    path.write_text("lo de ayer\n", encoding="utf-8")
    avisar, console = crear_avisos(path), io.StringIO()
    for number, text in enumerate(("caído", "sano"), start=2):
        with contextlib.redirect_stdout(console):
            avisar(text)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        case.expect(lines[:1] == ["lo de ayer"], "el archivo tenía una línea de ayer y ya no está: ¿cómo lo abres?")
        case.expect(
            len(lines) == number and text in lines[-1],
            f"tras avisar «{text}» el archivo tiene {many(len(lines), 'línea')} y la última es "
            f"{shown(lines[-1])}: ¿una línea por aviso, en UTF-8, y escrita ya?",
        )
    said = console.getvalue().splitlines()
    case.expect(
        len(said) == 2 and "caído" in said[0] and "sano" in said[1],
        f"con dos avisos, en la consola se leyó {shown(console.getvalue())}: ¿una línea por aviso?",
    )


@NOTICES.case(
    "al vigilar", raised="¿qué pasa si comprobar lanza una excepción?", late="¿cómo se entera vigilar de que hay que parar?"
)
def goes_on_until_told(case: Case, crear_avisos: Any, vigilar: Callable[..., Any]) -> None:
    asked, stop = threading.Semaphore(0), threading.Event()

    def comprobar() -> None:
        asked.release()
        raise RuntimeError("una comprobación que falla")

    running = case.start(vigilar, comprobar, 0.01, stop)
    case.cleanup(stop.set)
    for number in range(1, 4):
        if not asked.acquire(timeout=case.pace.patience):
            if running.done():
                wait_for(running)
            case.fail(f"la comprobación {number} no llegó: comprobar lanza una excepción, ¿se sigue vigilando?")
    case.expect(not running.done(), "vigilar terminó sin que nadie pidiera parar")
    stop.set()
    wait_for(running)


@NOTICES.case("al parar", late="¿qué espera vigilar entre dos comprobaciones: un tiempo, o que le digan basta?")
def stops_at_once(case: Case, crear_avisos: Any, vigilar: Callable[..., Any]) -> None:
    asked, stop = threading.Event(), threading.Event()
    case.cleanup(stop.set)
    running = case.start(vigilar, asked.set, 3600, stop)
    case.expect(case.eventually(asked.is_set), "con una hora entre comprobaciones no hubo ninguna al empezar")
    began = time.monotonic()
    stop.set()
    case.expect(
        case.eventually(running.done),
        f"{time.monotonic() - began:.0f} s después de pedir que pare, sigue: ¿qué espera entre dos comprobaciones?",
    )
