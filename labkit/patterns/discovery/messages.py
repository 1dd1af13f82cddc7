"""What a learner reads of this package on the screen, in one place."""

BAD_SERVICE = (
    "El nombre de servicio {given!r} no vale: se aceptan de 1 a 63 letras sin tilde, cifras, "
    "«.», «_» o «-», y debe empezar por letra o cifra."
)
BAD_ID = (
    "El identificador de instancia {given!r} no vale: se aceptan de 1 a 128 letras, cifras, "
    "«.», «_», «:», «@» o «-»."
)
BAD_URL = (
    "La dirección {given!r} no vale: se acepta http:// o https:// con host y puerto, "
    "por ejemplo http://127.0.0.1:5001."
)
BAD_STATUS = "El estado {given!r} no vale: se acepta uno de {accepted}."
BAD_METADATA = (
    "Los metadatos {given!r} no valen: se aceptan hasta {limit} pares de textos, con claves como «zona» "
    "o «version» y valores de hasta {length} caracteres imprimibles."
)
BAD_PATH = "La ruta {given!r} no vale: se acepta una que empiece por «/», como /health."
BAD_NUMBER = "{name} vale {given!r}: se acepta un número."
LONG_WAIT = "wait vale {given!r}: se aceptan hasta {limit} segundos."
NOT_AN_OBJECT = "El cuerpo debe ser un objeto JSON, por ejemplo {example}."
UNKNOWN_FIELD = "No conozco el campo {given}: se aceptan {accepted}."
MISSING_FIELD = "Falta el campo «{name}»."
EUREKA_NO_INSTANCE = 'El cuerpo debe ser un objeto JSON de la forma {"instance": {…}}.'
EUREKA_OTHER_APP = "La ruta dice {path!r} y el cuerpo dice {body!r}: deben nombrar la misma aplicación."
EUREKA_BAD_PORT = "El puerto {given!r} no vale: se acepta un entero entre 1 y 65535."

UNKNOWN_INSTANCE = (
    "El registro no conoce la instancia «{instance_id}» de «{service}»: nunca se registró "
    "o su arriendo caducó. Regístrala de nuevo."
)
NO_INSTANCES = "No hay ninguna instancia disponible de «{service}» (registradas: {known})."
NO_INSTANCE_ANSWERED = "Ninguna de las instancias disponibles de «{service}» respondió (probadas: {tried})."
REGISTRY_UNAVAILABLE = "El registro {url} no está disponible: {reason}."
REGISTRY_STATUS = "contestó {status}"
OTHER_LOOP = (
    "Este cliente se abrió en otro bucle de eventos: ábrelo y úsalo en el mismo, "
    "con «async with AsyncDiscoveryClient(…) as client»."
)
ALREADY_STARTED = "{name} ya está en marcha: llama antes a stop()."

LOG_STALE = "%s Sigo con la última lista buena de «%s»."
LOG_NEXT = "«%s» no responde en %s (%s): pruebo con la siguiente"
LOG_UNREACHABLE = "%s «%s» lo intentará de nuevo."
LOG_FORGOTTEN = "el registro ha olvidado a «%s»: se registra de nuevo"
LOG_UNHEALTHY = "«%s» no está sana: no renueva su arriendo"
LOG_PRESERVING = "autoconservación: faltan los latidos de %d de %d instancias, no se expulsa a nadie"
LOG_STEP_FAILED = "%s: un paso falló y se sigue adelante"
