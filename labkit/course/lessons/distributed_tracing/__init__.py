"""The exercises of 09_distributed_tracing, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("DT-1", "DT-2", "DT-3", "DT-4", "DT-5")

EXERCISES: tuple[Exercise, ...] = ()
