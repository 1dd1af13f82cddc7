"""ES-6: what replay costs with and without snapshots, measured."""

from __future__ import annotations

from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_measured, expect_table
from labkit.patterns.event_sourcing import Event, EventStore, RecordedEvent, Snapshots, rebuild

SNAPSHOTS = Exercise("ES-6", writes=("tabla", "elegido"), deadline=10)
EVERY = (None, 10, 50, 100, 200, 500)
MEASURES = ("releídos", "la peor", "fotos")


def measure(every: int | None) -> dict[str, int]:
    """Sell six hundred, ten at a time, and count what is read again; as the notebook's `medir`."""
    read, kept = [], set()
    with EventStore() as store:
        snapshots = Snapshots(store, "unidades", every=every) if every else None

        def evolve(units: int, _: RecordedEvent) -> int:
            return units - 1

        for _ in range(60):
            state = rebuild(store, "libro-42", evolve, 0, snapshots=snapshots)
            read.append(state.replayed)
            if snapshots and (snapshot := snapshots.load("libro-42")):
                kept.add(snapshot.version)
            store.append("libro-42", [Event("Vendido", {"unidades": 1}) for _ in range(10)], state.version)
    return {"releídos": sum(read), "la peor": max(read), "fotos": len(kept)}


@SNAPSHOTS.case("con la tabla")
def the_table(case: Case, table: Any, chosen: Any) -> None:
    expect_table(case, "tabla", table, EVERY, MEASURES, "medir(cada)")
    expect_measured(case, "tabla", {every: table[every] for every in EVERY}, measure, MEASURES)


@SNAPSHOTS.case("con la elección")
def the_choice(case: Case, table: Any, chosen: Any) -> None:
    case.expect(
        isinstance(chosen, int) and not isinstance(chosen, bool) and chosen in EVERY,
        f"elegido es {chosen!r}: usa uno de los números de la tabla",
    )
    row = table[chosen]
    case.expect(
        row["la peor"] <= 100, f"con una foto cada {chosen} hay una tanda que relee {row['la peor']} hechos: ¿cuál es el máximo?"
    )
    better = [each for each in EVERY if each and table[each]["la peor"] <= 100 and table[each]["fotos"] < row["fotos"]]
    case.expect(not better, f"con una foto cada {chosen} se guardan {row['fotos']} fotos: ¿hay otro que cumpla con menos?")
