"""What a learner reads of this package on the screen, in one place."""

ONLY_IF_CACHED = "No hay una respuesta guardada que sirva, y la petición no admite otra."
BAD_SERVICE = (
    "service vale {given!r}: se acepta la dirección de una instancia o una lista de ellas, "
    "por ejemplo 'http://127.0.0.1:5001'."
)
NO_SERVICE = (
    "Falta a quién acompañar: se acepta service='http://…', o registry='http://…' y discover='nombre'."
)
BOTH_SERVICES = "service y registry van por separado: se acepta uno de los dos, el segundo con discover."
BAD_PATH = "{name} vale {given!r}: se acepta una ruta que empieza por «/», por ejemplo '/health'."
BAD_TYPE = "{name} vale {given!r}: se acepta {accepted}."
BAD_FAULT = "Un fallo hace una sola cosa: se acepta status, drop=True o delay (que puede acompañar a status)."
BAD_WHEN = (
    "Un fallo ocurre cada tantas peticiones o al azar: se acepta every=10 o probability=0.1, no los dos."
)
BAD_FAULT_STATUS = "status vale {given!r}: se acepta un código de 400 a 599."
BAD_LISTENER = "{given!r} no se puede llamar: se acepta una función que reciba un Notice."

INJECTED = "Fallo provocado por el sidecar."
NOT_READY = "El servicio aún no está listo."
UP = "«{url}» vuelve a estar sana"
DOWN = "«{url}» ha dejado de estar sana: {reason}"
LOG_LISTENER_FAILED = "El oyente de avisos falló y se sigue adelante"
