"""SD-7: who is still there, thought out in the middle of the lesson."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.wording import kind, shown

STILL = Exercise("SD-7", writes="siguen")
TTL, BEATS, EVICTIONS = 30, {"a": (0, 10, 35), "b": (0, 25), "c": (0,)}, (29, 40, 56)


def still_there(second: int) -> list[str]:
    """Return who is left after an eviction: who has renewed a lease that had not expired yet."""
    ends: dict[str, float] = {}
    for name, beats in BEATS.items():
        for beat in beats:
            if beat <= second and (name not in ends or beat < ends[name]):
                ends[name] = beat + TTL
    return [name for name, end in ends.items() if second < end]


@STILL.case("con tu tabla")
def table(case: Case, siguen: Any) -> None:
    case.expect(isinstance(siguen, Mapping), f"siguen es {kind(siguen)}: usa un diccionario que dé, para cada segundo, una lista")
    missing = [str(second) for second in EVICTIONS if second not in siguen]
    case.expect(not missing, f"en siguen falta: {', '.join(missing)}. Las claves son los segundos, en números")
    for second in EVICTIONS:
        said = siguen[second]
        names = isinstance(said, list | tuple | set) and all(name in BEATS for name in said)
        case.expect(names, f"siguen[{second}] es {shown(said)}: usa una lista de nombres, como ['a']")
        stay = still_there(second)
        case.expect(
            set(said) != set(BEATS) - set(stay),
            f"en el segundo {second} anotaste justo lo contrario: siguen dice quién queda, no a quién se expulsa",
        )
        for name, beats in BEATS.items():
            last = max(beat for beat in beats if beat <= second)
            here = name in stay
            what = f"latió por última vez en el {last}" if last else "no late desde que se registró, en el 0"
            case.expect(
                (name in said) is here,
                f"en el segundo {second} {'falta' if here else 'sobra'} {name}: {what}. ¿Hasta cuándo dura su arriendo?",
            )
