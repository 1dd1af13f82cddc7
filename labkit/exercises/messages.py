"""What learners read of a check's verdict, in Spanish."""

# check: a verdict's line
OK = "{id} ok · {cases}"
FAILS = "{id} falla · {hint}"
PENDING = "{id} pendiente · escribe {names} y vuelve a ejecutar"
TOO_FEW = 'faltan argumentos: labkit.check("{id}", {names})'
TOO_MANY = 'sobran argumentos: labkit.check("{id}", {names})'
ONE_CASE = "1 caso"
MANY_CASES = "{count} casos"

# check: what a case saw when the answer did not come back with a value
RAISED = "{situation}, tu código lanzó {error}"
RAISED_BY_USE = "{situation}, lo que devolvió tu código no se pudo usar: {error}"
LATE = "{situation}, tu código no terminó en {seconds} s"
LATE_DEFAULT = "¿qué espera, y quién pone el límite?"
EXITED = "{situation}, tu código quiso cerrar el programa ({error}): una función devuelve o lanza"
CLEANUP_FAILED = (
    "{situation}, la comprobación no pudo recoger lo suyo ({error}). Es un error del curso, no tuyo"
)

# check: misuse
UNKNOWN_EXERCISE = "No hay ningún ejercicio {given}. {known}"
NEAREST = "¿Querías decir {ids}?"
ALL_KNOWN = "Los ejercicios son: {ids}."
NO_EXERCISES = "No hay ejercicios instalados."
NOT_AN_ID = "{given} no es el nombre de un ejercicio. Escribe primero el nombre: check({example!r}, …)."
QUESTION = "{id} es una pregunta: contéstala en su celda. No tiene comprobación automática."
