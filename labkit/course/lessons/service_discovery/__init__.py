"""The exercises, in the order in which a learner meets them."""

from labkit.course.lessons.service_discovery import old

QUESTIONS = old.QUESTIONS
EXERCISES = old.EXERCISES
