"""The exercises of 06_sagas, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("SG-1", "SG-2", "SG-8")

EXERCISES: tuple[Exercise, ...] = ()
