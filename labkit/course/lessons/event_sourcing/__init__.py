"""The exercises of 05_event_sourcing, in the order in which a learner meets them."""

from labkit.course.lessons.event_sourcing import es3, es4, es5, es6, es7, es8

# Those that only a reader can judge.
QUESTIONS = ("ES-1", "ES-2")

EXERCISES = (es3.STORE, es4.MOMENT, es5.VIEW, es6.SNAPSHOTS, es7.UPCASTING, es8.PARALLEL)
