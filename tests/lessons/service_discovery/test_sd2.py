"""SD-2: a third instance and an even balance."""

from answers import Master

SD2 = Master("SD-2", run=("registro-ingenuo", "ejercicios"))
_SERVE = 'tercera = labkit.serve(servicio_envios, name="envios-tercera")'
_COUNT = 'Counter(buscar("envios") for _ in range(30))'
RIGHT = {
    "a loop": SD2.changed(
        f"reparto = {_COUNT}",
        "reparto = {}\nfor _ in range(30):\n    url = buscar('envios')\n    reparto[url] = reparto.get(url, 0) + 1",
    ),
    "on a port of its own": SD2.changed('name="envios-tercera")', 'name="envios-tercera", port=0)'),
}
WRONG = {
    "not registered": ('registrar("envios", tercera.url)\n', "", "ninguna es la de tercera (http"),
    "measured too early": (
        f'registrar("envios", tercera.url)\nreparto = {_COUNT}',
        f'reparto = {_COUNT}\nregistrar("envios", tercera.url)',
        "¿mediste antes de registrarla?",
    ),
    "host:port": ("tercera.url)", "tercera.url.removeprefix('http://'))", "con su dirección completa"),
    "another service": ('registrar("envios"', 'registrar("envio"', "ninguna es la de tercera"),
    "with a path": ("tercera.url)", "tercera.url + '/stock')", "con su dirección completa"),
    "the name of all": ('"envios-tercera"', '"envios"', "sustituye al anterior"),
    "a group": ('name="envios-tercera")', 'name="envios-tercera", replicas=1)[0]', "se llama envios-tercera-1"),
    "an app": (
        "registrar(",
        "registrar('x', 'y'); tercera = servicio_envios('x'); tercera.url = 'http://x'\nregistrar(",
        "tercera es un Flask",
    ),
    "stopped": ("reparto = C", "tercera.stop()\nreparto = C", "el estado de tercera es «detenido»"),
    "another app": (_SERVE, "tercera = labkit.serve(Flask('otra'), name='envios-tercera')", "¿sirve la misma aplicación?"),
    "who answered": (_COUNT, "Counter(pedir(buscar('envios')) for _ in range(30))", "no quién contestó"),
    "a list": (_COUNT, "[buscar('envios') for _ in range(30)]", "reparto es una lista"),
    "twelve": ("range(30)", "range(12)", "suma 12 y se piden 30"),
    "shares": (_COUNT, f"{{k: v / 30 for k, v in {_COUNT}.items()}}", "no son números enteros"),
    "not done": (
        f"reparto = {_COUNT}",
        "reparto = dict.fromkeys([tercera.url, 'http://a', 'http://b'], 10); reparto['http://a'] += 2; reparto['http://b'] -= 2",
        "las veces fueron [8, 10, 12]",
    ),
}
test_right, test_wrong = SD2.tests(RIGHT, WRONG)
