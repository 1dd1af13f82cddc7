"""Texts about a load and in figures, in Spanish and in one place."""

from __future__ import annotations

# The words for a call without an answer are those of an observed call.
from labkit.messages import CUT as CUT
from labkit.messages import LATE as TIMED_OUT
from labkit.messages import REFUSED as REFUSED

__all__ = ["CUT", "REFUSED", "TIMED_OUT"]

# labkit.load: how else a request ended that has no status
NOT_HTTP = "no es HTTP"
OWN_LIMIT = "límite del generador"

# labkit.load: what is refused at the door
NOT_LOCAL = (
    "labkit.load solo carga servicios de esta misma máquina, y «{given}» no lo es. "
    "Usa la dirección de un servicio tuyo, por ejemplo servicio.url (http://127.0.0.1:…)."
)
NOT_A_TARGET = (
    "No sé cargar {given}. Se acepta: una dirección («http://127.0.0.1:…», con un método delante si hace "
    "falta: «POST http://…»), un servicio o un grupo de labkit, y una lista de ellos."
)
NOT_HTTP_URL = "«{given}» no se puede cargar: usa una dirección como http://127.0.0.1:5000/ruta."
NO_TARGETS = "No hay nada que cargar: la lista de destinos está vacía."
ONE_MEASURE = "Pasa requests (cuántas peticiones) o duration (cuántos segundos), no los dos."
BAD_NUMBER = "{name}={value!r}: usa un número entero desde 1 hasta {limit}."
BAD_AMOUNT = "{name}={value!r}: usa un número mayor que 0 y como mucho {limit:g}."
TOO_MANY = "{rate:g} por segundo durante {duration:g} s serían {count} peticiones: como mucho {limit}."
BAD_METHOD = "«{method}» no es un método HTTP."
BAD_HEADER = (
    "La cabecera {name!r}: {value!r} no es válida: son textos de una sola línea "
    "(y de Content-Length y Transfer-Encoding se ocupa labkit)."
)
BODY_OF_GET = "{method} no lleva cuerpo: usa method='POST', o quita json y body."

# labkit.load: what the result says of the measurement itself
GENERATOR_BUSY = (
    "El generador fue parte del límite: ocupó el {share:.0f} % del tiempo del intérprete, "
    "que comparte con los servicios de este cuaderno."
)
LATE_SENDS = (
    "El generador fue el límite: {late} de {total} peticiones salieron tarde, "
    "porque no alcanzó el ritmo de {rate:g} por segundo."
)
CROWDED = (
    "{late} de {total} peticiones salieron tarde: ya había {concurrency} sin respuesta, "
    "que es el máximo (concurrency)."
)
OWN_LIMITS = "{count} peticiones no llegaron a salir: esta máquina no dio más conexiones."
LONGEST_RUN = "La carga se detuvo a los {seconds:g} s, que es el máximo: {sent} peticiones de {wanted}."

# labkit.load: while it runs, and how its result shows
PROGRESS = "{bar} {done}/{total} peticiones"
PROGRESS_SECONDS = "{bar} {done:.0f}/{total:.0f} s"
REQUESTS = ("{count} petición", "{count} peticiones")
BY_INSTANCE = "por instancia: {counts}"
NO_SAMPLES = "ninguna petición"
NO_PERCENTILE = "No hay percentil {percent!r} de {count} latencias: usa un número de 0 a 100."
NOT_A_RESULT = "labkit.compare espera resultados de labkit.load; recibió {given}."
NAMES_OF_RESULTS = "{results} resultados y {names} nombres: pasa un nombre distinto para cada resultado."
BEFORE_AND_AFTER = ("antes", "después")

# Figures
TIME_AXIS = "tiempo (s)"
LATENCY_AXIS = "latencia (ms)"
SHARE_AXIS = "peticiones que ya\ntienen respuesta (%)"
RATE_AXIS = "peticiones por segundo"
RATE_AXIS_SHORT = "peticiones\npor segundo"
OF_SO_MANY = "{label} ({answered} de {total})"
ANSWERED = "{label}: {answered} de {total} con respuesta"
BAD_WINDOW = "window={window!r}: usa una cantidad de segundos mayor que 0."
NO_EVENTS = "No hay nada que dibujar: pasa al menos un cambio de estado, como (0.0, 'pagos', 'closed')."
END_TOO_EARLY = "end={end:g} es anterior al último cambio de estado ({last:g} s)."
NO_TIME = "{value!r} no es un tiempo: usa un número de segundos."
NO_POINTS = "No hay nada que dibujar: pasa para cada línea al menos un punto, como (0.0, 4)."
POINTS_BACKWARDS = "Los puntos de «{label}» no están en orden: la primera coordenada no puede disminuir."
NOT_A_POINT = "{given} no es un número: cada punto es un par de números, como (0.0, 4)."
POINTS = ("{label}: {count} punto", "{label}: {count} puntos")
LEVELS = "{label}: empieza en {first:g}, va de {least:g} a {most:g} y acaba en {last:g}"
NO_TASKS = "No hay nada que dibujar: pasa al menos una tarea con arrival, start y end."
WRONG_ORDER = "La tarea {name!r} no puede llegar, empezar y acabar en este orden: {times}."
WAITS = "espera"
RUNS = "en marcha"
STILL_RUNS = "sin acabar"
TASKS = ("{count} tarea", "{count} tareas")
TASK_TIMES = ("llega {t:g} s", "empieza {t:g} s", "acaba {t:g} s")
NO_CALLS_TO_DRAW = "No hay llamadas que dibujar."
BAD_COUNTS = "{caller} → {callee}: {errors!r} errores de {count!r} llamadas no puede ser."
CALLS = ("{count} llamada", "{count} llamadas")
FAILED_CALLS = ("{count} error", "{count} errores")

# plots.history
VERSION_AXIS = "versión"
NO_SUCH_VERSION = "until={given}: usa una versión, un entero de 0 a {last}."
NOT_A_QUANTITY = "Cada paso es un nombre y un número finito, como ('Vendido', 4)."
HISTORY_STEP = "{version} · {label}: {value:g}"
HISTORY_HERE = "{ylabel} en la versión {version}: {value:g} (quedan {later} hechos por delante)"
CANNOT_DRAW = (
    "plots.{figure}: no se puede dibujar lo recibido ({reason}). help(labkit.plots.{figure}) dice qué recibe."
)
BAD_HEADERS = "headers={given}: usa un diccionario de textos."
BAD_JSON = "json=…: no se puede escribir como JSON ({error})."
BAD_SEED = "seed={given}: usa un número entero."
BAD_INSTANCE = "instance={given}: usa el nombre de un campo o de una cabecera."
