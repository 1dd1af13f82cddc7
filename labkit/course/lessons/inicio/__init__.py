"""The exercises, in the order in which a learner meets them."""

from labkit.course.lessons.inicio import old

EXERCISES = old.EXERCISES
