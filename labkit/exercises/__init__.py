"""The engine of self-checking exercises, for any course.

A learner meets `check` alone. An author declares an `Exercise` in a file of its own (`exercise`) and says
what a right answer does: by cases, by stories that a model tells (`stories`), by races (`interleaving`).
"""
