"""What a learner reads of this package on the screen, in one place."""

CONFLICT = (
    "«{stream}» va por la versión {actual} y se esperaba la {expected}: alguien escribió antes. "
    "Vuelve a leer y decide de nuevo."
)
AHEAD = (
    "Se espera la versión {expected} de «{stream}», que solo va por la {actual}: "
    "se acepta la versión que se leyó de este almacén."
)
BAD_EXPECTED = (
    "expected_version vale {given!r}: se acepta un entero de 0 en adelante "
    "(0: el flujo aún no existe), o None si da igual."
)
BAD_STREAM = (
    "El flujo {given!r} no vale: se aceptan de 1 a {limit} letras, cifras, «.», «_», «-», «@», «:», «+», «=» "
    "o «~», por ejemplo libro-42, y no empieza por «.»."
)
BAD_TEXT = "{name} vale {given!r}: se acepta un texto imprimible de 1 a {limit} caracteres."
BAD_EVENT = "{given!r} no es un hecho: se acepta Event(tipo, datos)."
NOT_A_LIST = "events vale {given!r}: se acepta una lista de Event."
NOT_AN_OBJECT = "{name} de «{type}» vale {given!r}: se acepta un diccionario con claves de texto."
NOT_JSON = (
    "{name} de «{type}» no se puede guardar como JSON ({reason}): se aceptan diccionarios con claves "
    "de texto, listas, textos, números finitos, True, False y None."
)
CHANGES_IN_JSON = "no volvería a leerse igual; ¿hay tuplas o claves que no son texto?"
REPEATED_ID = "El id {given!r} está dos veces en la misma lista de hechos."
DUPLICATE = "El id {given!r} ya está en «{stream}», con otro contenido o en otro lugar."

BAD_UPCASTER = "Ya hay una función que lleva «{type}» de la versión {version} a la siguiente."
UPCASTER_GAP = "Falta la función que lleva «{type}» de la versión {version} a la siguiente."
UNKNOWN_SCHEMA = (
    "Un hecho «{type}» es de la versión {version} y este código conoce hasta la {known}: "
    "actualiza el código antes de leerlo."
)
BAD_UPCAST = "La función que lleva «{type}» de la versión {version} a la siguiente devolvió {given!r}."

UNAVAILABLE = "El almacén {name} no se puede abrir o no contesta: {reason}."
BUSY = "El almacén {name} está ocupado por otro escritor desde hace {seconds:g} s: inténtalo más tarde."
FULL = "No queda sitio en el disco de {name}: no se ha escrito nada."
DAMAGED = "El archivo {name} no es un almacén o está dañado ({reason}): recupera una copia."
CLOSED = "El almacén {name} está cerrado."
PSYCOPG_MISSING = "PostgreSQL necesita psycopg: pip install 'psycopg[binary]'."
BACKWARDS = "El marcador «{name}» va por {actual} y no puede ir a {given}: solo avanza."
ALWAYS_BEATEN = "«{stream}» cambió {attempts} veces mientras se decidía."
STOPPED_AT = "«{name}» se detiene en la posición {position} ({type} de «{stream}»): su función falló."

LOG_BAD_SNAPSHOT = "la foto de «%s» en la versión %d no se puede leer: se reconstruye desde el principio"
LOG_NO_SNAPSHOT = "no se pudo guardar la foto de «%s» en la versión %d: se sigue sin ella"

BAD_BODY = 'El cuerpo debe ser un objeto JSON de la forma {"events": […], "expected_version": 0}.'
BAD_NUMBER = "{name} vale {given!r}: se acepta un entero de {minimum} a {maximum}."
BAD_WAIT = "wait vale {given!r}: se acepta un número de segundos entre 0 y {limit}."
UNKNOWN_FIELD = "No conozco el campo {given}: se aceptan {accepted}."
BAD_TABLE = "La tabla {given!r} no vale: se aceptan letras minúsculas sin tilde, cifras y «_»."
REMOTE_STATUS = "contestó {status}"
