"""Sagas a second against `dbos`, both on SQLite, each commit on the disk before the next call is made.

A saga is three steps that do nothing, so what is told is the time of keeping it safe. Both get the same disk
and the same `synchronous = FULL`, which is SQLite's default and dbos' choice; ours also keeps a write-ahead
log, which dbos could be given too. The log that already holds many ended sagas tells how cost grows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.patterns.saga import Call, Orchestrator, Saga, SagaLog, Step, nothing_to_undo

LABKIT, DBOS_ = "labkit", "dbos"
STEPS = ("inventario", "pagos", "envios")

Measures = dict[str, Callable[[], float]]


def work(call: Call) -> str:
    return "ok"


def orchestrator(path: Path) -> Orchestrator:
    saga = Saga("order", [Step(name, work, nothing_to_undo) for name in STEPS])
    return Orchestrator(SagaLog(path), [saga])


@contextmanager
def contestants(sagas: int) -> Iterator[Measures]:
    """Yield the engines, ready: each runs so many sagas and returns the milliseconds of one."""
    from dbos import DBOS, DBOSConfig

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ours = orchestrator(Path(folder) / "sagas.db")
        config: DBOSConfig = {
            "name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db", "log_level": "CRITICAL",
            "run_admin_server": False,
        }  # fmt: skip
        DBOS(config=config)

        @DBOS.step()
        def step(name: str) -> str:
            return "ok"

        @DBOS.workflow()
        def order(data: dict[str, Any]) -> str:
            for name in STEPS:
                step(name)
            return "completed"

        DBOS.launch()
        data = {"isbn": "42"}
        try:
            yield {
                LABKIT: lambda: milliseconds(lambda: ours.execute("order", data), sagas),
                DBOS_: lambda: milliseconds(lambda: order(data), sagas),
            }
        finally:
            DBOS.destroy()
            ours.log.close()


@contextmanager
def grown(few: int, many: int, sagas: int) -> Iterator[Measures]:
    """Yield two logs of ours, with few and with many sagas ended: a saga more, and what recovery asks."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        logs = {ended: orchestrator(Path(folder) / f"{ended}.db") for ended in (few, many)}
        made: Measures = {}  # a saga in either log, then what recovery takes there
        for ended, one in logs.items():
            fill(one, ended)
            made[f"{ended:,} ended"] = lambda one=one: milliseconds(lambda: one.execute("order"), sagas)
        for ended, one in logs.items():
            made[f"recovery, {ended:,} ended"] = lambda one=one: milliseconds(one.recover, sagas)
        yield made
        for one in logs.values():
            one.log.close()


def fill(one: Orchestrator, ended: int) -> None:
    """Write ended sagas into the log, in large transactions."""
    before = 0
    while before < ended:
        with one.log.database.transaction():
            for _ in range(min(1000, ended - before)):
                one.execute("order")
                before += 1


def milliseconds(once: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        once()
    return 1e3 * (time.perf_counter() - began) / times
