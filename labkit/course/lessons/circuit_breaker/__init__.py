"""The exercises of 02_circuit_breaker, in the order in which a learner meets them."""

from labkit.course.lessons.circuit_breaker import cb3, cb4, cb5a, cb5b, cb6, cb7, cb8, cb9

# Those that only a reader can judge.
QUESTIONS = ("CB-1", "CB-2")

EXERCISES = (cb9.OPENS, cb3.THRESHOLDS, cb4.RECORD, cb5a.RECOVERS, cb5b.STORY, cb6.WAITS, cb7.HALF_OPEN, cb8.AUDIT)
