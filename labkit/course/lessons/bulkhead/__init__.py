"""The exercises of 03_bulkhead, in the order in which a learner meets them."""

from labkit.course.lessons.bulkhead import bh5, bh6, bh7a, bh7b, bh8, bh9, bh11

# Those that only a reader can judge.
QUESTIONS = ("BH-1", "BH-2", "BH-3", "BH-4", "BH-10")

EXERCISES = (bh11.LITTLE, bh5.WORKERS, bh6.RUN, bh7a.BOUNDED, bh7b.FLOOD, bh8.WATCH, bh9.PROTECTED)
