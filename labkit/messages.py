"""Texts for learners, in Spanish and in one place."""

from __future__ import annotations

import signal

# Ports and hosts
PORT_IN_USE = (
    "El puerto {port} ya está ocupado por {owner}. "
    "Elige otro puerto, deja port=0 para que labkit tome uno libre, o detén a quien lo ocupa."
)
UNKNOWN_OWNER = "otro programa (el sistema no dice cuál)"
OWNED_BY_SERVICE = "el servicio «{name}» de este cuaderno (detenlo con labkit.services()[{name!r}].stop())"
OWNED_BY_PROCESS = "el proceso {process} (pid {pid})"
OWNED_BY_KERNEL = "otro cuaderno abierto (su kernel es el proceso con pid {pid}: detén allí el servicio)"
OWNED_BY_PERSON = "otra persona que usa esta máquina (pid {pid})"
OWNED_BY_THIS_KERNEL = "este mismo kernel, pero no por un servicio de labkit (pid {pid})"
PORT_FORBIDDEN = (
    "El sistema no permite usar el puerto {port}: los puertos menores que 1024 piden permisos de "
    "administrador. Usa uno a partir de 1024, o port=0 para que labkit tome uno libre."
)
BAD_PORT = "{port!r} no es un puerto: usa un número entero de 0 a 65535 (0: el que esté libre)."
BAD_HOST = (
    "{host!r} no es una dirección de esta máquina: usa 127.0.0.1, "
    "o 0.0.0.0 si hay que llegar desde otras máquinas."
)

# What can be served
ACCEPTED_APPS = (
    "Se acepta: una aplicación Flask u otra WSGI, una aiohttp.web.Application, "
    "o una función que cree una de ellas (sin argumentos, o con el nombre de la instancia)."
)
NOT_AN_APP = "No sé servir {given}. " + ACCEPTED_APPS
NOT_FROM_FACTORY = "La función {factory} devolvió {given}, que no es una aplicación. " + ACCEPTED_APPS
ASGI_APP = (
    "{given} parece una aplicación ASGI (recibe scope, receive y send), y labkit sirve WSGI y aiohttp. "
    + ACCEPTED_APPS
)
REPLICAS_NEED_FACTORY = (
    "Con replicas={replicas} cada instancia necesita su propia aplicación: "
    "pasa una función que la cree, no la aplicación ya hecha."
)
BAD_REPLICAS = "replicas={replicas!r}: usa un número entero de 1 a 100."
BAD_GRACE = "grace={grace!r}: usa una cantidad de segundos, de 0 a 86400."
BAD_NAME = "name={name!r}: usa un texto que no esté vacío."
KIND_MISMATCH = (
    "«{name}» ya es un servicio {old} y lo nuevo es {new}. "
    "Usa otro nombre, o detén antes el que hay: labkit.services()[{name!r}].stop()"
)
NAME_IN_GROUP = "«{name}» es una instancia del grupo «{group}»: usa otro nombre, o sirve de nuevo el grupo."
NAME_ALONE = (
    "«{name}» ya es un servicio, y así se llamaría una instancia del grupo: "
    "detenlo antes con labkit.services()[{name!r}].stop(), o usa otro nombre para el grupo."
)
NOT_RESTARTABLE = (
    "Esta aplicación aiohttp ya se usó, y aiohttp no permite servir la misma dos veces. "
    "Pasa una función que la cree: labkit.serve(crear_app, name={name!r})"
)
KINDS = {"wsgi": "WSGI (Flask)", "aiohttp": "aiohttp", "process": "en un proceso propio"}

# Services in processes of their own
BAD_ISOLATION = 'isolation={isolation!r}: usa "thread" (dentro del kernel) o "process" (un proceso propio).'
STRING_NEEDS_PROCESS = (
    "{given!r} es un texto. Para servir lo que hay en un módulo, en un proceso propio, "
    'escribe labkit.serve({given!r}, isolation="process"). ' + ACCEPTED_APPS
)
PROCESS_NEEDS_STRING = (
    '{given} vive en este kernel, y otro proceso no puede servirlo: con isolation="process" '
    'pasa "módulo:aplicación", o escribe el servicio en una celda que empiece por %%service NOMBRE.'
)
BAD_TARGET = (
    '{given!r} no dice qué servir: usa "módulo:aplicación", por ejemplo "tienda:app" '
    "para la app de tienda.py."
)
SCRIPT_FILE = "celda de {name}"
STARTUP_FAILED = "«{name}» no arrancó.\n{text}"
STARTUP_ENDED = "«{name}» {how} antes de servir nada."
PROCESS_ENDED = "el proceso {how}"
ENDED_WITH_CODE = "terminó con código {code}"
ENDED_BY_SIGNAL = "terminó por la señal {code} ({signal})"
NOTHING_TO_SERVE = (
    "La celda terminó y no hay nada que servir: acábala con app.run() o web.run_app(app), "
    "o deja la aplicación, o la función que la crea, en una variable llamada app o create_app."
)
SEVERAL_TO_SERVE = (
    "La celda terminó y hay varias aplicaciones ({names}): acábala con app.run() de la que quieras servir, "
    "o llámala app."
)
ALREADY_SERVED = "Este proceso ya sirve una aplicación: en cada celda %%service cabe una."
ONLY_PLAIN_HTTP = "{option}=…: un servicio de labkit sirve HTTP sin cifrar en un puerto TCP. Quita {option}."
STILL_STARTING = (
    "«{name}» aún no responde: su programa sigue en marcha. Se le espera hasta {limit:g} s; "
    "interrumpe la celda para dejarlo."
)
NEVER_STARTED = "«{name}» no sirvió nada en {limit:g} s, y se detuvo."
SERVES_BY_ITSELF = "el programa sirve por sí mismo: labkit no ve sus peticiones ni le inyecta fallos"
NO_SUCH_ATTRIBUTE = "El módulo «{module}» no tiene «{name}»."

# A service's life
RUNNING, PAUSED, STOPPED, KILLED = "corriendo", "en pausa", "detenido", "muerto"
WRONG_STATE = "«{name}» está {state}: no se puede {action}."
ACTIONS = {"pause": "pausar", "resume": "reanudar"}
NO_SUCH_SERVICE = "No hay ningún servicio «{name}». Los que hay: {known}."
NO_SERVICES = "ningún servicio"
ABANDONED = "peticiones cortadas por no terminar en el plazo: {count}"

# How a service is shown
COUNTS = "{requests} {request_word} · {errors} {error_word}"
REQUEST_WORDS = ("petición", "peticiones")
ERROR_WORDS = ("error", "errores")
COLUMNS = ("servicio", "estado", "enlace", "peticiones", "errores")
OPEN_LINK = "abrir"
IN_FLIGHT = "…"
JOURNAL_EMPTY = "(diario vacío)"
JOURNAL_DROPPED = "(… {count} entradas más antiguas)"
JOURNAL_FILE = "el diario se escribe en {path}"
JOURNAL_FILE_FAILS = (
    "no se puede escribir el diario en {path}: {reason}. "
    "El servicio sigue; lo que no se pueda escribir se pierde."
)
JOURNAL_FILE_AGAIN = "el diario vuelve a escribirse en {path} (entradas perdidas: {count})"
JOURNAL_FILE_LOST = "entradas perdidas mientras no se podía escribir: {count}"
NO_TEXT = "(su __str__ falla)"
NOT_A_JOURNAL_FILE = (
    "«{path}» ya existe y no es un diario de labkit, que lo iría llenando y reemplazando: elige otro archivo."
)
BAD_LAST = "text({last!r}): usa un número entero de entradas, o None para todas."
BAD_PATH_OF_JOURNAL = "write_to({path!r}): usa la ruta de un archivo, o None para dejar de escribir."
LINE_CUT = "… (cortada: faltan {count} caracteres)"
CANNOT_WRITE = "No se puede escribir el diario en «{path}»: {reason}. Elige otro archivo."
FILE_REASONS = {  # by errno's name; the system's own words for the others
    "ENOSPC": "no queda espacio en el disco",
    "EDQUOT": "se agotó tu cuota de disco",
    "EFBIG": "el archivo llegó al tamaño máximo",
    "ENOENT": "la carpeta no existe",
    "ENOTDIR": "la carpeta no existe",
    "EISDIR": "es una carpeta",
    "EACCES": "no tienes permiso",
    "EPERM": "no tienes permiso",
    "EROFS": "el disco es de solo lectura",
    "EIO": "el disco falla",
}
TRACE_FRAME = "  en {function}, línea {line}: {source}"

# Injected faults
DELAY, ERROR, HANG, DROP = "retraso", "error", "cuelgue", "corte"
DELAY_OF = "retraso de {seconds} s"
FAULT_EVERY = "1 de cada {every}"
FAULT_PROBABILITY = "con probabilidad {probability:g}"
FAULT_METHOD = "solo {method}"
FAULT_PATH = "en {path}"
FAULT_TIMES = ("inyectado {count} vez", "inyectado {count} veces")
FAULT_CLEARED = "retirado"
NO_FAULTS = "ningún fallo"
INJECTED = "(fallo inyectado: {faults})"
FAULTS_ACTIVE = "fallos: {faults}"
FAULTS_COLUMN = "fallos"
UNKNOWN_STATUS = "Estado desconocido"
BAD_EVERY = "every={every!r}: usa un número entero desde 1 (10: la décima petición, la vigésima…)."
BAD_PROBABILITY = "probability={probability!r}: usa un número de 0 a 1 (0.3: tres de cada diez peticiones)."
EVERY_OR_PROBABILITY = (
    "every={every!r} y probability={probability!r} a la vez no: "
    "o se cuenta (every) o se sortea (probability)."
)
BAD_SEED = "seed={seed!r}: usa un número entero."
SEED_FOR_NOTHING = "seed={seed!r} no cambiaría nada aquí: la semilla acompaña a probability o a jitter."
BAD_PATH = (
    "path={path!r}: usa una ruta que empiece por «/» y no lleve «?»; "
    "cuenta para esa ruta y para todo lo que hay debajo."
)
BAD_METHOD = 'method={method!r}: usa un método HTTP, por ejemplo method="POST".'
BAD_FAULT_SECONDS = "{name}={value!r}: usa una cantidad de segundos, de 0 a {longest:g}."
BAD_JITTER = "jitter={jitter!r}: usa una cantidad de segundos, de 0 a lo que dura el retraso ({seconds:g})."
BAD_STATUS = (
    "status={status!r}: usa un número entero de 200 a 599 (un 1xx solo anuncia la respuesta, no la termina)."
)
BAD_RETRY_AFTER = "retry_after={retry_after!r}: usa un número entero de segundos, 0 o más."
BAD_BODY = (
    "body={body!r}: usa un texto, bytes, o un diccionario o una lista que se puedan escribir como JSON."
)

# labkit.run
RUN_NEEDS_COROUTINE = "labkit.run espera una corrutina, por ejemplo labkit.run(main()); recibió {given}."
RUN_INSIDE_RUN = "labkit.run ya está ejecutando esta corrutina: dentro de ella usa await."

# A service that was given no name
UNNAMED = "servicio-{number}"

# Figures
NO_ANSWER = "sin respuesta"
REQUEST_NUMBER = "número de petición"
NOTHING_TO_DRAW = "No hay nada que dibujar: pasa al menos una fila con resultados."
TOO_MANY_NAMES = "{count} nombres distintos son demasiados para distinguirlos: como mucho {limit}."

# labkit.eventually and labkit.ManualClock
NOT_IN_TIME = "En {timeout:g} s no se cumplió lo que se esperaba: {condition}"
THE_CONDITION = "la condición"
EVENTUALLY_NEEDS_FUNCTION = (
    "labkit.eventually espera una función sin argumentos, por ejemplo "
    "labkit.eventually(lambda: servicio.state == 'detenido'); recibió {given}."
)
EVENTUALLY_NEEDS_AWAIT = (
    "La condición es una corrutina, y sin await siempre parece cierta: usa await labkit.aeventually(…)."
)
BAD_SECONDS = "{name}={value!r}: usa una cantidad de segundos, de 0 a 86400."
BAD_POSITIVE_SECONDS = "{name}={value!r}: usa una cantidad de segundos mayor que 0."
MANUAL_CLOCK = "reloj manual · {now:g} s · {sleeping} en espera"


def how_it_ended(code: int | None) -> str:
    """Return how a process ended, from its exit code: negative for a signal."""
    if code is None or code >= 0:
        return ENDED_WITH_CODE.format(code=code)
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return ENDED_BY_SIGNAL.format(code=-code, signal=name)


# Why a call has no answer
REFUSED = "conexión rechazada"
LATE = "sin respuesta a tiempo"
CUT = "conexión cortada"
UNKNOWN_HOST = "nombre desconocido"
CANCELLED = "cancelada"

# journal: bad input
JOURNAL_LIMIT = "limit: un número entero de apuntes, de 0 a {most}, no {given!r}"
JOURNAL_NAME = "name: un texto, no {given!r}"
