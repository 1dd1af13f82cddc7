"""What a learner reads of this package on the screen, in one place."""

BAD_OVERFLOW = "overflow vale {given!r}: se acepta {accepted}."
NEEDS_MAP_ASYNC = "{given} es una función de corrutina: usa map_async({given}, concurrency=…)."
FILTER_IS_PLAIN = "{given} es una función de corrutina, y filter decide sin esperar: pasa una función normal."
BAD_SOURCE = (
    "{given!r} no es una fuente: se acepta una función sin argumentos que abre la fuente "
    "(un generador asíncrono sin llamar), o un iterable que se pueda recorrer de nuevo (una lista)."
)
ONE_SHOT = (
    "{given!r} solo se puede recorrer una vez y un Stream se abre de nuevo para cada lector: "
    "pasa la función que lo crea, sin llamarla."
)
BAD_OPENED = "La fuente devolvió {given!r} al abrirla: se acepta un iterable, asíncrono o no."
NOT_A_STREAM = "{given!r} no es un Stream."
BAD_EXCEPTIONS = "retry_on vale {given!r}: se acepta una tupla de subclases de Exception."
BAD_CAP = "cap ({cap:g} s) no puede ser menor que base ({base:g} s)."
BAD_BUDGET = "budget vale {given!r}: se acepta un RetryBudget o None."
BAD_WHEN_BEHIND = "when_behind vale {given!r}: se acepta 'skip' o 'fail'."
BAD_FIELD = "{name} vale {given!r}: se acepta un texto de una sola línea, sin el carácter nulo."
BAD_DATA = "data vale {given!r}: se acepta un texto."
NOT_AWAITABLE = "{given} no devolvió nada que esperar con «await»: pasa una función de corrutina."

FULL = "El búfer está lleno ({size}) y su política es «fail»: el lector va más lento que la fuente."
CLOSED = "El búfer ya terminó: no admite más elementos."
ONE_READER = "Ya hay quien espera un elemento de este búfer: un búfer tiene un solo lector."
TOPIC_CLOSED = "El tema ya terminó: no admite más publicaciones."
TOO_SLOW = "El lector se quedó atrás: {skipped} elementos ya no están en el historial de {history}."
TIMED_OUT = "La fuente no dio ningún elemento en {seconds:g} s."
DEADLINE = "El plazo de {seconds:g} s se agotó."
BAD_REQUEST = (
    "request({given!r}): regla 3.9 de Reactive Streams, la demanda debe ser un entero mayor que 0. "
    "La suscripción queda cancelada."
)
EVENT_TOO_LONG = "Un evento supera el máximo de {limit} caracteres: se deja de leer."
DEADLOCK = "Todos esperan y no hay nada programado que pueda despertarlos."
STUCK = "El lector no leyó nada en {seconds:g} s: se corta su conexión."
BAD_POLICY = "{given!r} no es un Retry: pasa, por ejemplo, Retry(attempts=3)."
BAD_MINIMUM = "minimum ({minimum}) no puede ser mayor que window ({window})."
