"""Texts for learners of %load_ext labkit, in Spanish and in one place."""

from __future__ import annotations

ANSWERS = "{name} responde en {url}"
ANSWERS_BEHIND_PROXY = "{name} responde en tu navegador en {link} · desde el cuaderno: {url}"
PORT_TAKEN = "el puerto {port} ya está ocupado por {owner} · {line}"
IGNORED = "labkit sirve a su manera y no tiene en cuenta: {options}"
REPLACES = " · sustituye a {earlier}"
ALREADY_ANSWERS = "{name} ya respondía en {url}: es la misma aplicación"
APP_USED = (
    "Esta aplicación aiohttp ya se sirvió una vez, y aiohttp no permite servir la misma dos veces. "
    "Ejecuta de nuevo la celda que la crea y después esta."
)
ALL_ADDRESSES = " · atención: escucha en todas las direcciones de esta máquina ({host}), no solo en 127.0.0.1"

ONLY_HTTP = (
    "{option}=…: labkit sirve HTTP sin cifrar en un puerto TCP. Quita {option} y usa host= y port=; {instead}"
)
INSTEAD_OF_TLS = "para HTTPS, pon un proxy delante o ejecuta la aplicación fuera del cuaderno."
INSTEAD_OF_SOCKETS = "para otro tipo de socket, ejecuta la aplicación fuera del cuaderno."
ONE_HOST = (
    "host={hosts!r}: un servicio de labkit escucha en una sola dirección. Pasa una, por ejemplo 127.0.0.1."
)

SERVICE_USAGE = "Se escribe así: %%service NOMBRE [--port N] [--replicas N] [argumentos del programa…]"
SERVICE_NEEDS_NAME = "Falta el nombre del servicio. " + SERVICE_USAGE
SERVICE_BAD_NUMBER = "{option} {given}: {option} pide un número entero. " + SERVICE_USAGE
SERVICE_NEEDS_NUMBER = "A {option} le falta su número. " + SERVICE_USAGE
SERVICE_BAD_QUOTES = "Hay unas comillas que no se cierran: {line}"
SERVICE_EMPTY = "La celda está vacía: debajo de %%service va el programa que sirve la aplicación."

UNLOADED = "labkit ya no está cargado · servicios detenidos: {names}"

# labkit.panel
PANEL_COLUMNS = ("servicio", "estado", "peticiones", "errores", "latencia")
PANEL_TITLE = "Panel · {running} de {total} en marcha"
PANEL_EMPTY = "Todavía no hay ningún servicio: aparecerá aquí cuando una celda lo sirva."
PANEL_LATENCY = "latencia: mediana de las últimas {count} respuestas"
PANEL_STRANGERS = (
    "este kernel escucha además, sin labkit, en: {ports} "
    "(¿quedó de una celda interrumpida? Reiniciar el kernel lo cierra.)"
)
PANEL_CLOSED = "Panel cerrado: así estaban los servicios. labkit.panel() abre otro."
PANEL_NEEDS_IPYWIDGETS = "sin botones: falta ipywidgets (pip install ipywidgets)"
PANEL_WHO_CALLS = "Quién llama a quién"
PANEL_NO_CALLS = "Aún no se ha visto ninguna llamada a un servicio desde que se abrió el panel."
PANEL_CALLS_SEEN = (
    "llamadas con requests, aiohttp y labkit.load desde que se abrió el panel; "
    "raya discontinua: alguna falló (error de conexión o estado desde 500)"
)
STOP, KILL, PAUSE, RESUME, RESTART = "detener", "matar", "pausar", "seguir", "reiniciar"
INJECT, CLEAR_FAULTS, CLOSE_PANEL = "inyectar", "quitar", "cerrar"
STOP_TIP = "{name}: deja terminar lo que está en curso y cierra"
KILL_TIP = "{name}: corta todo, como si se cayera"
PAUSE_TIP = "{name}: acepta conexiones y no contesta"
RESUME_TIP = "{name}: vuelve a contestar"
RESTART_TIP = "{name}: para y arranca en el mismo puerto"
INJECT_TIP = "{name}: inyecta el fallo elegido arriba"
CLEAR_FAULTS_TIP = "{name}: quita los fallos inyectados"
CLOSE_PANEL_TIP = "cierra el panel; los servicios siguen"
FAULT_CHOICE = "fallo:"
FAULT_DELAY, FAULT_ERROR, FAULT_HANG, FAULT_DROP = "retraso de 1 s", "error 503", "cuelgue", "corte"
ACTION_FAILED = "{name}: no se pudo {action}: {error}"

EXIT_IN_TASK = "una tarea llamó a sys.exit(): termina la tarea, y no el kernel"
