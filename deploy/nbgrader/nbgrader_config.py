"""nbgrader for this course: copy it into the folder of a class (see docs/profesores.md)."""

c = get_config()  # noqa: F821 - nbgrader's

c.CourseDirectory.course_id = "microservicios"

# What a learner reads in place of an answer, as in the edition that comes with the course.
c.ClearSolutions.code_stub = {"python": "# TU CÓDIGO AQUÍ\n..."}
c.ClearSolutions.text_stub = "*Escribe aquí tu respuesta.*"

# Seconds for a cell: a check that waits for an answer in vain has its own deadline, well below.
c.Execute.timeout = 120
