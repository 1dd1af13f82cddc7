"""What a learner reads of this package on the screen, in one place."""

# How a call ended; figures show these words in their legends.
OK = "ok"
FAILED = "error"
CANCELLED = "cancelada"
REJECTED = "rechazada"
GAVE_UP = "esperó demasiado"

FULL = "El compartimento «{name}» está lleno: {in_use} de {limit} permisos en uso, y aquí no se espera."
QUEUE_FULL = (
    "El compartimento «{name}» está lleno: {in_use} de {limit} permisos en uso y {waiting} esperando, "
    "que es el máximo."
)
WAITED = "Ningún permiso de «{name}» quedó libre en {seconds:g} s ({in_use} de {limit} en uso)."
CLOSED = "El grupo «{name}» está cerrado: ya no admite tareas."
BUSY = "Servicio saturado: inténtalo de nuevo más tarde."

BAD_COMPARTMENTS = (
    "{given!r} no vale: se acepta un Bulkhead, o un diccionario como {{'/pagos': Bulkhead(3)}}."
)
LIMIT_IS_ADAPTIVE = "El límite de «{name}» lo lleva {algorithm}: no se puede fijar a mano."

COROUTINE_FUNCTION = (
    "{given} es una función de corrutina: el permiso volvería antes de que empezara el trabajo. "
    "Usa «await bulkhead.acall({given}, …)»."
)
COROUTINE_IN_POOL = (
    "{given} es una función de corrutina y un hilo no la ejecuta: "
    "usa un Bulkhead y «await bulkhead.acall({given}, …)»."
)
GENERATOR_FUNCTION = (
    "{given} es un generador: el permiso volvería antes de recorrerlo. Recórrelo dentro de «with bulkhead:»."
)
RETURNED_COROUTINE = (
    "{given} devolvió una corrutina, que aún no ha empezado, y el permiso no puede esperarla. "
    "Pasa la función de corrutina y sus argumentos: «await bulkhead.acall(función, argumento)»."
)
RAISED_STOP_ITERATION = "{given} lanzó StopIteration, que no puede salir de un hilo."
NOT_ENTERED = "Se sale de «{name}» sin haber entrado."

LOG_ALGORITHM_FAILED = "«%s»: el límite adaptativo falló y se conserva el que había"
LOG_TASK_FAILED = "«%s»: la tarea %s, %s, falló en %s tras %.3f s y %.3f s de espera"
LOG_NO_THREAD = "«%s»: el sistema no da otro hilo; siguen los %d que hay"
