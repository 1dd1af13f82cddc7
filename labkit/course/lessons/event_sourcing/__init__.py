"""The exercises of 05_event_sourcing, in the order in which a learner meets them."""

from labkit.exercises.exercise import Exercise

# Those that only a reader can judge.
QUESTIONS = ("ES-1", "ES-2")

EXERCISES: tuple[Exercise, ...] = ()
