"""The exercises of 07_edge_server, in the order in which a learner meets them."""

from labkit.course.lessons.edge_server import eg6a, eg6b, eg6c, eg7, eg8a, eg8b, eg9, eg10a, eg10b

# Those that only a reader can judge.
QUESTIONS = ("EG-1", "EG-2", "EG-3", "EG-4", "EG-5")

EXERCISES = (eg6a.TICKETS, eg6b.VERIFIER, eg6c.PASSAGE, eg7.RECORD, eg8a.ROUTES, eg8b.SAVED, eg9.SLUICE, eg10a.LIMIT, eg10b.FLOOD)
