"""SD-3: does the registry notice?"""

from answers import Master

SD3 = Master("SD-3", run=("registro-ingenuo", "ejercicios"))
RIGHT = {"killed": SD3.changed("envios[0].stop()", "envios[0].kill()"), "the other one": SD3.changed("envios[0]", "envios[1]")}
_STOP, _START = "envios[0].stop()\n", "envios[0].restart()\n"
WRONG = {
    "never stopped": (_STOP, "", "no falló ninguna compra"),
    "stopped first": (
        'tabla = {"todas vivas": medir()}\n' + _STOP,
        _STOP + 'tabla = {"todas vivas": medir()}\n',
        "con todas vivas quedaron 6",
    ),
    "not started again": (_START, "", "al final quedaron 6 compras"),
    "all stopped": ("envios[0].stop()", "envios.stop()", "y fueron 12"),
    "on another port": (_START, 'labkit.serve(servicio_envios, name="otra")\n', "¿arrancaste la instancia en su puerto"),
    "removed too": (_STOP, _STOP + "direcciones['envios'].remove(envios[0].url)\n", ""),
    "numbers": ("medir()}", 'medir()["direcciones"]}', "guarda su resultado entero"),
    "uncalled": ("medir()}", "medir}", "es una función"),
    "capitals": ('"todas vivas"', '"Todas vivas"', "en tabla falta: todas vivas"),
    "a list": ("sigue_repartida = True", "tabla = list(tabla.values())\nsigue_repartida = True", "tabla es una lista"),
    "concludes no": ("sigue_repartida = True", "sigue_repartida = False", "¿de dónde salió esa dirección?"),
    "concludes in text": ("sigue_repartida = True", "sigue_repartida = 'sí'", "sigue_repartida es un texto"),
}
test_right, test_wrong = SD3.tests(RIGHT, WRONG)
