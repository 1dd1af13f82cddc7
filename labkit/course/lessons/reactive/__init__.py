"""The exercises of 08_reactive, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("RX-1", "RX-2")

EXERCISES: tuple[Exercise, ...] = ()
