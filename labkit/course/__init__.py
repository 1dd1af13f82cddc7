"""This course alone: its lessons' exercises, and the learner edition made from a master.

nbformat and nbclient are imported only by `build` and `edition`, when they are used.
"""
