"""Reference implementations of the course's nine patterns, one package each.

They are plain Python that can be copied into a real service: nothing here imports the rest of labkit,
and no pattern imports another unless its docstring says so.
"""
