"""The exercises of 04_sidecar, in the order in which a learner meets them."""

from labkit.course.lessons.sidecar import sc6, sc7a, sc7b, sc8a, sc8b, sc9, sc10

# Those that only a reader can judge.
QUESTIONS = ("SC-1", "SC-2", "SC-3", "SC-4", "SC-5")

EXERCISES = (sc8a.FAULT, sc6.LOGGED, sc7a.WATCH, sc7b.NOTICES, sc8b.RECOVER, sc9.ENTRANCE, sc10.CACHE)
