"""The machinery of the course: exercises that check themselves, and the learner edition made from a master.

A learner meets `check` alone. An author of lessons writes cases (`exercise`, `cases/`) and masters
(`edition`, `build`). nbformat and nbclient are imported only by the last two, when they are used.
"""
