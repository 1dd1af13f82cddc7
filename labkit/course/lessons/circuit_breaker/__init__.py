"""The exercises of 02_circuit_breaker, in the order in which a learner meets them."""

from labkit.course.lessons.circuit_breaker import cb7, old

# Those that only a reader can judge.
QUESTIONS = ("CB-1", "CB-2")

EXERCISES = (*old.EXERCISES, cb7.HALF_OPEN)
