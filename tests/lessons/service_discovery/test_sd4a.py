"""SD-4a and SD-4b: instances that tell how they are, and which are well."""

from answers import Master

SD4A = Master("SD-4a")
RIGHT_A = {
    "abort": SD4A.changed('return "averiada", 503', "from flask import abort\n            abort(503)"),
    "current_app": SD4A.changed("app.config.get", "__import__('flask').current_app.config.get"),
    "whole": """
        def envios_con_salud(name):
            app = Flask(name)
            app.config["AVERIADA"] = False
            @app.route("/stock/<isbn>")
            def stock(isbn):
                return {"instancia": name}
            @app.route("/health")
            def health():
                return ({"estado": "mal"}, 503) if app.config["AVERIADA"] else {"estado": "bien"}
            return app
        """,
}
WRONG_A = {
    "no return": ("return app\n", "pass\n", "¿falta el return?"),
    "another path": ('"/health"', '"/salud"', "GET /health contestó 404"),
    "no default": ('app.config.get("AVERIADA")', 'app.config["AVERIADA"]', "KeyError"),
    "the other way round": ("if app.config.get", "if not app.config.get", "nadie la ha averiado"),
    "another name": ("servicio_envios(name)", "servicio_envios('x')", "¿con qué nombre creas la aplicación?"),
    "always well": ('if app.config.get("AVERIADA")', "if False", "¿cuándo miras app.config"),
    "is True": ('app.config.get("AVERIADA")', 'app.config.get("AVERIADA") is True', "con AVERIADA='sí'"),
    "503 in the text": ('return "averiada", 503', 'return {"estado": 503}', "¿dónde va el código"),
    "500": ("503", "500", "contestó 500"),
    "all instances": (
        'if app.config.get("AVERIADA")',
        'globals().setdefault("todas", set()).add(bool(app.config.get("AVERIADA")))\n        if True in todas',
        "",
    ),
    "the view": ("return app\n", "return salud\n", "devolvió una función"),
    "served": ("return app\n", "return labkit.serve(app, name='mal-servida')\n", "un servicio ya en marcha"),
}
test_right_a, test_wrong_a = SD4A.tests(RIGHT_A, WRONG_A)

SD4B = Master("SD-4b", same={"return False → return None": "as false"})
RIGHT_B = {
    "threads": """
        def sanas(urls):
            def sana(url):
                try:
                    return requests.get(url + "/health", timeout=1).status_code == 200
                except requests.RequestException:
                    return False
            with ThreadPoolExecutor(8) as hilos:
                return [url for url, bien in zip(urls, hilos.map(sana, urls)) if bien]
        """,
    "a session": """
        def sanas(urls):
            buenas = []
            with requests.Session() as sesion:
                for url in urls:
                    try:
                        respuesta = sesion.get(f"{url}/health", timeout=(1, 1))
                    except requests.RequestException:
                        continue
                    if respuesta.status_code == 200:
                        buenas.append(url)
            return buenas
        """,
    "urllib": """
        def sanas(urls):
            import urllib.request
            def sana(url):
                try:
                    with urllib.request.urlopen(f"{url}/health", timeout=1) as r:
                        return r.status == 200
                except OSError:
                    return False
            return [url for url in urls if sana(url)]
        """,
}
_TEST = 'requests.get(f"{url}/health", timeout=1).status_code == 200'
WRONG_B = {
    "another path": ("/health", "/stock/42", "se pregunta en /health"),
    "Python's own": ("except requests.RequestException", "except ConnectionError", "lanzó requests.ConnectionError"),
    "gives up": (
        "return [url for url in urls if sana(url)]",
        "return list(urls) if all(map(sana, urls)) else []",
        "¿se perdió alguna",
    ),
    "any answer": (_TEST, _TEST.replace(".status_code == 200", " is not None"), "contestó 503"),
    "ok": (_TEST, _TEST.replace(".status_code == 200", ".ok"), "contestó 204"),
    "under 500": (_TEST, _TEST.replace("== 200", "< 500"), "contestó 404"),
    "no limit": (", timeout=1", "", "¿lleva tu petición un tiempo límite"),
    "2.5 s": ("timeout=1", "timeout=2.5", "¿lleva tu petición un tiempo límite"),
    "half a second": ("timeout=1", "timeout=0.5", "contestó 200 a los 0.7 s"),
    "only connections": (
        "except requests.RequestException",
        "except requests.ConnectionError",
        "¿qué lanza requests cuando se agota",
    ),
    "sorted": ("[url for url in urls if sana(url)]", "sorted(url for url in urls if sana(url))", "en otro orden"),
    "a set": ("[url for url in urls if sana(url)]", "{url for url in urls if sana(url)}", "sanas devolvió un conjunto"),
    "booleans": ("[url for url in urls if sana(url)]", "[sana(url) for url in urls]", "algo que no estaba en la lista"),
    "removes": (
        "return [url for url in urls if sana(url)]",
        "[urls.remove(url) for url in list(urls) if not sana(url)]\n    return urls",
        "¿de quién es esa lista?",
    ),
    "no return": ("return [url for", "[url for", "sanas no devolvió nada"),
    "twice": ("if sana(url)]", "if sana(url) and sana(url)]", "basta una"),
}
test_right_b, test_wrong_b = SD4B.tests(RIGHT_B, WRONG_B)
