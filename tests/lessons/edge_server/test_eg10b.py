"""EG-10b: a bounded flood, held against right and wrong answers."""

from answers import FULL, Master

EG10B = Master(
    "EG-10b",
    same={
        'respuestas = clientes.map(lambda _: requests.get(url, timeout=5).status_code, range(total)) → respuestas = clientes.map(lambda _: requests.get(url).status_code, range(total))': 'how long one waits for the service is not asked for',
        'respuestas = clientes.map(lambda _: requests.get(url, timeout=5).status_code, range(total)) → respuestas = clientes.map(lambda _: requests.get(url, timeout=6).status_code, range(total))': 'how long one waits for the service is not asked for',
    },
)  # fmt: skip

RIGHT = {
    "threads by hand": """
        def inundar(url, total, hilos):
            if not url.startswith("http://127.0.0.1:"):
                raise ValueError(url)
            if total > 200:
                raise ValueError(total)
            pendientes, cuenta, candado = iter(range(total)), Counter(), threading.Lock()

            def trabajar():
                with requests.Session() as sesion:
                    while True:
                        with candado:
                            if next(pendientes, None) is None:
                                return
                        estado = sesion.get(url).status_code
                        with candado:
                            cuenta[estado] += 1

            trabajadores = [threading.Thread(target=trabajar) for _ in range(hilos)]
            for hilo in trabajadores:
                hilo.start()
            for hilo in trabajadores:
                hilo.join()
            return cuenta
        """
}

WRONG = {
    "one after the other": ("ThreadPoolExecutor(hilos)", "ThreadPoolExecutor(1)", "con hilos=3 hubo, como mucho, 1 "),
    "too many threads": ("ThreadPoolExecutor(hilos)", "ThreadPoolExecutor(hilos + 3)", "con hilos=3 hubo, como mucho"),
    "as many threads as the machine likes": ("ThreadPoolExecutor(hilos)", "ThreadPoolExecutor()", "¿cuántos hilos piden?"),
    "HEAD": ("requests.get(url", "requests.head(url", "llegaron peticiones HEAD: se piden GET"),
    "POST": ("requests.get(url", "requests.post(url", "llegaron peticiones POST: se piden GET"),
    "another error": ("raise ValueError", "raise RuntimeError", "lanzó RuntimeError"),
    "any machine": ("not url.startswith(\"http://127.0.0.1:\") or ", "", "con el destino"),
    "https too": ("\"http://127.0.0.1:\"", "(\"http://127.0.0.1:\", \"https://127.0.0.1:\")", "¿se debía enviar algo?"),
    "a 429 is an error": ("requests.get(url, timeout=5).status_code", "(r := requests.get(url, timeout=5)).raise_for_status() or r.status_code", "una respuesta que no es 200"),
    "a name": ("\"http://127.0.0.1:\"", "(\"http://127.0.0.1:\", \"http://localhost:\")", "localhost"),
    "without the colon": ("127.0.0.1:\"", "127.0.0.1\"", "127.0.0.1.example"),
    "no bound": (" or total > 200", "", "con total=201"),
    "199": ("total > 200", "total >= 200", "¿desde qué número son demasiadas?"),
    "one less": ("range(total)", "range(total - 1)", "con total=30 e hilos=3 llegaron 29"),
    "a remainder dropped": ("range(total)", "range(total // hilos * hilos)", "llegaron 18 peticiones: ¿qué pasa si el reparto"),
    "sends first": ("    if not", "    requests.get(url)\n    if not", "llegaron 31"),
    "a list": ("dict(Counter(respuestas))", "list(respuestas)", "y no un diccionario"),
    "whether it went well": ("timeout=5).status_code", "timeout=5).ok", "¿qué se cuenta?"),
    "no return": ("return dict(", "dict(", "y no un diccionario"),
}  # fmt: skip


def test_a_single_thread_is_told_at_a_learners_pace_and_not_late() -> None:
    hint = EG10B.verdict(EG10B.changed("ThreadPoolExecutor(hilos)", "ThreadPoolExecutor(1)"), FULL).hint
    assert "con hilos=3 hubo, como mucho, 1 a la vez" in hint, hint


test_right, test_wrong = EG10B.tests(RIGHT, WRONG)
