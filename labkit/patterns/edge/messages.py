"""What a learner reads of this package on the screen, in one place."""

BAD_TEXT = "{name} vale {given!r}: se acepta un texto que no esté vacío."
BAD_FLAG = "{name} vale {given!r}: se acepta True o False."
BAD_PREFIX = "El prefijo {given!r} no vale: se acepta una ruta como '/catalogo', sin «%», «?» ni «..»."
BAD_URL = "El destino {given!r} no vale: se acepta una dirección como 'http://127.0.0.1:5001', sin ruta."
BAD_TARGETS = "La ruta {prefix!r} necesita un destino: «to» con direcciones, o «service» con un nombre."
BAD_METHODS = "Los métodos {given!r} de {prefix!r} no valen: se acepta una lista como ['GET', 'POST']."
BAD_PRIORITY = "La prioridad {given!r} no vale: se acepta 'high', 'normal' o 'low'."
PUBLIC_SCOPE = "La ruta {prefix!r} es pública y a la vez pide el alcance {scope!r}: quita uno de los dos."
UNKNOWN_FIELDS = "La ruta {prefix!r} tiene campos que no existen: {fields}. Se aceptan {known}."
TWICE = "El prefijo {prefix!r} está dos veces."
NOT_A_TABLE = "Las rutas no valen: se acepta una lista de Route, o de objetos JSON con «prefix»."
NOT_JSON = "Las rutas no están en JSON válido (línea {line})."
LOG_ROUTES_REFUSED = "Las rutas nuevas no valen y la tabla %d sigue en uso: %s"

SHORT_SECRET = "El secreto de la clave {kid!r} tiene {given} bytes: {algorithm} pide al menos {least}."
NO_SECRET = "La variable de entorno {variable} no tiene un secreto para la clave {kid!r}."
BAD_ALGORITHM = "El algoritmo {given!r} no vale: se acepta {known}."
NO_KEYS = "Hace falta al menos una clave, y cada una con su kid: {given}."
BAD_LEEWAY = "leeway vale {given!r}: se acepta un número de segundos de 0 en adelante."
BAD_USERS = "Los usuarios no valen: se acepta un diccionario de nombre a hash de generate_password_hash."
BAD_NETWORK = "{given!r} no es una red: se acepta una dirección o una red como '10.0.0.0/8'."
BAD_SHARES = "Las cuotas {given!r} no valen: se acepta high ≥ normal ≥ low, fracciones mayores que 0, high 1."
BAD_LIMIT = "limit vale {given!r}: se acepta un entero de 1 en adelante, o AIMD(…) o Vegas(…)."
BAD_KIND = "{name} vale {given!r}: se acepta {accepted}."
BAD_RATE_LIMIT = "{name} vale {given!r}: se acepta TokenBucket(…) o SlidingWindow(…)."
USERS_WITHOUT_TOKENS = "Hay usuarios pero no «tokens»: no se podría emitir ninguno."
NO_TOKENS = "La ruta {prefix!r} pide un token y el borde no tiene «tokens»: añádelos, o hazla pública."
NO_REGISTRY = "La ruta {prefix!r} lleva a un servicio por su nombre y el borde no tiene «registry»."

# In answers.
DOTS = "La ruta de la petición no vale: contiene segmentos «.» o «..»."
CONTROL = "La ruta de la petición no vale: contiene caracteres de control, o una barra invertida."
NO_ROUTE = "Ninguna ruta lleva a esa dirección."
METHOD = "El método {method} no se admite aquí."
NO_TOKEN = "Hace falta un token: «Authorization: Bearer …»."
NO_SCOPE = "El token no tiene el alcance {scope!r}."
TOO_MANY = "Demasiadas peticiones: espera antes de repetir."
OVERLOADED = "El borde está saturado: no hay sitio para una petición de prioridad {priority!r}."
NO_REGISTRY_NOW = "Ninguna instancia del servicio está disponible."
LOGIN_FORM = 'Se acepta un objeto JSON: {"username": "…", "password": "…"}.'
LOGIN_BUSY = "Demasiada gente está entrando: inténtalo de nuevo enseguida."
WRONG_LOGIN = "El usuario o la contraseña no son correctos."
TOKEN = {
    "malformed": "El token no tiene la forma de un JWT.",
    "unknown_key": "El token está firmado con una clave desconocida.",
    "algorithm": "El token usa un algoritmo que no es el de su clave.",
    "signature": "La firma del token no es válida.",
    "claims": "Al token le falta un dato obligatorio, o lo trae con otra forma.",
    "expired": "El token ha caducado.",
    "not_yet": "El token todavía no es válido.",
    "audience": "El token es para otro destinatario.",
    "issuer": "El token es de otro emisor.",
}
