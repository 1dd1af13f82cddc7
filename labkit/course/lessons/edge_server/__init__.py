"""The exercises of 07_edge_server, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("EG-1", "EG-2", "EG-3", "EG-4", "EG-5")

EXERCISES: tuple[Exercise, ...] = ()
