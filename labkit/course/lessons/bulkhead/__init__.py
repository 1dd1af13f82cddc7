"""The exercises, in the order in which a learner meets them."""

from labkit.course.lessons.bulkhead import old

QUESTIONS = old.QUESTIONS
EXERCISES = old.EXERCISES
