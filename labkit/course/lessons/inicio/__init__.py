"""The exercise of 00_inicio."""

from labkit.course.lessons.inicio import in1

EXERCISES = (in1.CATALOGO,)
