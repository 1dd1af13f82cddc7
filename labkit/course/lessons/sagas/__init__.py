"""The exercises of 06_sagas, in the order in which a learner meets them."""

from labkit.course.lessons.sagas import sg3, sg4, sg5, sg6, sg7

# Those that only a reader can judge.
QUESTIONS = ("SG-1", "SG-2", "SG-8")

EXERCISES = (sg4.ONCE, sg3.IN_REVERSE, sg5.SURVIVES, sg6.DANCE, sg7.OUTBOX)
