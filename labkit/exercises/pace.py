"""The one place for a check's patience: how long it waits, and for what.

A test that holds wrong answers against a check hands it a quicker pace; what a learner runs has the full one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds that a check waits, and how often it tries again what a busy machine may spoil.

    `patience`: for what has to happen; only a wrong answer takes so long.
    `grace`: in which what must not happen would; a right answer never needs it.
    `deadlines`: factor on the deadline of every exercise.
    `tries`: of an attempt that measures time, the best of which counts.
    """

    patience: float = 3.0
    grace: float = 0.1
    deadlines: float = 1.0
    tries: int = 3


FULL = Pace()
QUICK = Pace(patience=0.5, grace=0.05, deadlines=0.4, tries=1)
