"""What a learner reads of this package on the screen, in one place."""

BAD_NAME = "name vale {given!r}: se acepta un texto que no esté vacío, por ejemplo «pagos»."
BAD_STATE = "El estado {given!r} no existe: se acepta uno de {accepted}."
BAD_WINDOW = (
    "window vale {given!r}: se acepta CountWindow(llamadas), TimeWindow(segundos) o None, "
    "que cuenta los fallos seguidos."
)
BAD_CLOCK = "clock vale {given!r}: se acepta una función sin argumentos que devuelve segundos."
BAD_PREDICATE = "{name} vale {given!r}: se acepta una función corriente (no una corrutina) o None."
BAD_FILTER = (
    "{name} contiene {given!r}: se acepta una clase de excepción, una función corriente que recibe "
    "la excepción y contesta sí o no, o una tupla de ellas."
)
NEVER_COUNTED = (
    "{name} contiene {given!r}, que no es una subclase de Exception: cancelar o interrumpir una llamada "
    "no dice nada del servicio y nunca cuenta como fallo."
)
BAD_LISTENER = (
    "El oyente {given!r} no vale: se acepta una función corriente (no una corrutina) de un argumento."
)
BAD_LISTENERS = "listeners vale {given!r}: se acepta una lista de funciones, por ejemplo [print]."
UNKNOWN_LISTENER = "El oyente {given!r} no está entre los de «{name}»."
NEEDS_WINDOW = (
    "{name} solo tiene sentido con una ventana: añade window=CountWindow(llamadas) o "
    "window=TimeWindow(segundos)."
)
NEEDS_NO_WINDOW = (
    "fail_threshold cuenta fallos seguidos y no se usa con una ventana: quita uno de los dos, "
    "o da failure_rate y minimum_calls."
)
NEEDS_SLOW_CALL = "slow_rate necesita slow_call: los segundos a partir de los que una llamada es lenta."
MINIMUM_TOO_HIGH = (
    "minimum_calls vale {minimum} y en la ventana solo caben {calls} llamadas: "
    "el circuito no se abriría nunca."
)
MAXIMUM_TOO_LOW = "max_reset_timeout vale {given} y reset_timeout, {least}: la espera solo puede crecer."
COROUTINE_TO_CALL = (
    "«{given}» es una corrutina: con call contaría como éxito antes de haber empezado. "
    "Usa «await breaker.acall(…)»."
)
COROUTINE_RETURNED = (
    "«{given}» ha devuelto una corrutina: con call contaría como éxito antes de haber empezado. "
    "Usa «await breaker.acall(…)»."
)
GENERATOR = (
    "«{given}» es un generador: contaría como éxito antes de haber empezado. "
    "Recórrelo dentro de «with breaker:» o de «async with breaker:»."
)
NOT_AWAITABLE = (
    "«{given}» no ha devuelto nada que esperar: acall es para corrutinas. "
    "Una función corriente va con call, fuera del bucle de eventos si bloquea."
)
EXIT_WITHOUT_ENTER = (
    "Este bloque «with» de «{name}» se cierra en otro contexto que aquel en el que se abrió: "
    "ábrelo y ciérralo en la misma tarea."
)

OPEN = "El circuito «{name}» está abierto: no se ha hecho la llamada. Prueba de nuevo en {seconds:.3g} s."
HALF_OPEN = (
    "El circuito «{name}» está semiabierto y ya prueba otra llamada: esta no se ha hecho. "
    "Prueba de nuevo en {seconds:.3g} s a más tardar."
)
FORCED_OPEN = "El circuito «{name}» está abierto a mano hasta nueva orden: no se ha hecho la llamada."

CREATED = "{machine}: empieza {state}"
CHANGE = "{machine}: {previous} → {state} ({reason})"
REJECTION = "{machine}: rechaza una llamada ({state})"
REASONS = {
    "failures-in-a-row": "fallos seguidos",
    "failure-rate": "demasiados fallos",
    "slow-rate": "demasiadas llamadas lentas",
    "timeout-over": "toca probar",
    "probe-failed": "falla la prueba",
    "probe-slow": "la prueba va lenta",
    "probes-succeeded": "las pruebas van bien",
    "by-hand": "a mano",
}
