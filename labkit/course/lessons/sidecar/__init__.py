"""The exercises of 04_sidecar, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("SC-1", "SC-2", "SC-3", "SC-4", "SC-5")

EXERCISES: tuple[Exercise, ...] = ()
