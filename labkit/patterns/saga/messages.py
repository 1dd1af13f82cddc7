"""What a learner reads of this package on the screen, in one place."""

BAD_KEY = "La clave vale {given!r}: se acepta un texto que no esté vacío, el mismo en cada intento."
BAD_FUNCTION = "{what} del paso «{step}» vale {given!r}: se acepta una función que reciba la llamada."
COROUTINE = (
    "{what} del paso «{step}» es `async def`: el orquestador llama desde un hilo; usa una función normal."
)
NO_STEPS = "La saga «{saga}» no tiene pasos."
NOT_A_STEP = "La saga «{saga}» recibió {given!r} como paso: se acepta un Step."
SAME_STEP = "La saga «{saga}» tiene dos pasos llamados «{step}»."
NO_COMPENSATION = (
    "Al paso «{step}» le falta una compensación. Si no hay nada que deshacer, escribe "
    "compensation=nothing_to_undo; si es el punto sin retorno, pivot=True; si va después, retriable=True."
)
TWO_KINDS = "El paso «{step}» es de dos clases a la vez: compensation, pivot o retriable, solo una."
BAD_ORDER = (
    "En la saga «{saga}», el paso «{step}» ({kind}) va detrás de uno {before}: primero los que se compensan, "
    "luego un pivote como mucho, al final los que se reintentan."
)
BAD_FACTOR = "factor vale {given!r}: se acepta un número de 1 en adelante."
NOT_JSON = "{what} no se puede guardar como JSON: {error}."
NOT_A_SAGA = "{given!r} no es la definición de una saga: se acepta un Saga."
SAME_SAGA = "Hay dos sagas llamadas «{saga}»."
NO_DEFINITION = "Ninguna definición se llama «{saga}»."
NO_SAGA = "No hay ninguna saga «{saga}»."
EXISTS = "La saga «{saga}» ya empezó con otros datos: usa otro identificador."
TAKEN_OVER = "Otro orquestador sigue con la saga «{saga}»: este la deja."
BUSY = "La saga «{saga}» ya avanza en otro hilo."
NOT_STUCK = "La saga «{saga}» está «{state}»: solo se reanuda una que esté «stuck»."
NOT_A_LOG = "{given!r} no es la bitácora de un orquestador: se acepta un SagaLog."

# Why a saga turned back, or stopped.
WHY_REFUSED = "{step} dijo que no: {error}"
WHY_UNKNOWN = "{step} no contestó en {attempts} intentos: {error}"
WHY_CANCELLED = "cancelada"
STUCK_FORWARD = "{step} no termina tras {attempts} intentos, y ya no se puede volver atrás: {error}"
STUCK_REFUSED = "{step} dijo que no, y ya no se puede volver atrás: {error}"
STUCK_BACK = "la compensación de {step} no termina tras {attempts} intentos: {error}"
STUCK_DEFINITION = "los pasos de la saga «{saga}» han cambiado desde que empezó"
NO_ANSWER = "sin respuesta"

UNDONE_KEY = "La operación «{key}» ya fue compensada: llega tarde."
KEY_REUSED = "La clave «{key}» ya se usó con otra petición."

STORAGE = "La base de datos {path} no se puede usar: {error}. Nada quedó escrito a medias."

BAD_REACTION = (
    "La reacción a «{type}» vale {given!r}: se acepta una función (conexión, hecho), una por tipo de hecho."
)
BEHIND_PARKED = "espera a un hecho anterior de su flujo"

# The diagram.
DIAGRAM_OK = "hecho"
DIAGRAM_REFUSED = "no"
DIAGRAM_DO = "haz"
DIAGRAM_UNDO = "deshaz"
DIAGRAM_UNDONE = "deshecho"
DIAGRAM_END = {
    "completed": "completada",
    "compensated": "compensada",
    "stuck": "atascada: {reason}",
    "running": "en curso",
    "compensating": "compensando",
}
