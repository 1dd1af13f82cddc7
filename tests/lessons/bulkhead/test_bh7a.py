"""BH-7a: a bounded group of threads."""

from answers import Master

BH7A = Master("BH-7a", same={"self.grupo.shutdown(wait=True) → self.grupo.shutdown()": "wait is True by default"})
RIGHT_A = {
    "a bounded queue": """
        import queue
        class GrupoAcotado:
            def __init__(self, hilos, cola):
                self.cola, self.candado = queue.Queue(maxsize=cola), threading.Lock()
                self.aceptadas = self.rechazadas = 0
                for _ in range(hilos):
                    threading.Thread(target=self._trabajar, daemon=True).start()
            def _trabajar(self):
                while True:
                    funcion = self.cola.get()
                    try:
                        funcion()
                    except BaseException:
                        pass
                    finally:
                        self.cola.task_done()
            def entregar(self, funcion):
                with self.candado:
                    try:
                        self.cola.put_nowait(funcion)
                    except queue.Full:
                        self.rechazadas += 1
                        return False
                    self.aceptadas += 1
                    return True
            def cerrar(self):
                self.cola.join()
        """,
    "a count of those inside": """
        class GrupoAcotado:
            def __init__(self, hilos, cola):
                self.grupo, self.caben = ThreadPoolExecutor(hilos), hilos + cola
                self.candado, self.dentro = threading.Condition(), 0
                self.aceptadas = self.rechazadas = 0
            def entregar(self, funcion):
                with self.candado:
                    if self.dentro == self.caben:
                        self.rechazadas += 1
                        return False
                    self.dentro += 1
                    self.aceptadas += 1
                self.grupo.submit(self._hacer, funcion)
                return True
            def _hacer(self, funcion):
                try:
                    funcion()
                finally:
                    with self.candado:
                        self.dentro -= 1
                        self.candado.notify_all()
            def cerrar(self):
                with self.candado:
                    self.candado.wait_for(lambda: self.dentro == 0)
                self.grupo.shutdown()
        """,
}
WRONG_A = {
    "waits for room": ("blocking=False", "timeout=0.1", "¿espera entregar a que haya sitio?"),
    "waits for ever": ("blocking=False", "blocking=True", "¿espera entregar a que haya sitio?"),
    "only the queue": ("hilos + cola", "cola", "¿cuántas caben?"),
    "no bound": ("hilos + cola", "hilos + cola + 500", "¿dónde está el fin de la cola?"),
    "one thread": ("max_workers=hilos", "max_workers=1", "no empezó: ¿quién la ejecuta?"),
    "more threads": ("max_workers=hilos", "max_workers=hilos + 3", "¿cuántos hilos hay?"),
    "in the caller": (
        "futuro = self.grupo.submit(funcion)\n            futuro.add_done_callback(lambda _: self.sitios.release())",
        "funcion(); self.sitios.release()",
        "en el hilo que la entrega",
    ),
    "no place back": ("futuro.add_done_callback(lambda _: self.sitios.release())", "pass", "¿quién devuelve su sitio"),
    "place back at once": (
        "futuro.add_done_callback(lambda _: self.sitios.release())",
        "self.sitios.release()",
        "¿dónde está el fin de la cola?",
    ),
    "no lock": ("with self.candado:", "if True:", "¿Qué pasa si los dos leen la cuenta"),
    "counts in a dict": (
        "with self.candado:\n            self.aceptadas += cabe\n            self.rechazadas += not cabe",
        "self.__dict__['aceptadas'] += cabe\n        self.__dict__['rechazadas'] += not cabe",
        "¿Qué pasa si los dos leen la cuenta",
    ),
    "counts nothing": ("self.rechazadas += not cabe", "pass", "rechazadas vale 0"),
    "close does not wait": ("wait=True", "wait=False", "cerrar volvió con"),
    "close only sleeps": ("self.grupo.shutdown(wait=True)", "time.sleep(0.1)", "cerrar volvió con"),
    "close looks at the queue alone": (
        "self.grupo.shutdown(wait=True)",
        "while not self.grupo._work_queue.empty(): time.sleep(0.01)",
        "cerrar volvió con 2 tareas",
    ),
    "a number": ("return cabe", "return int(cabe)", "se pide True si la tarea se acepta"),
    "no return": ("return cabe", "pass", "entregar devolvió None"),
}
WRONG_A["an end kills the worker"] = (
    RIGHT_A["a bounded queue"].replace("except BaseException", "except (Exception, SystemExit)"),
    "¿quién devuelve su sitio",
)
WRONG_A["close raises a task's error"] = (
    RIGHT_A["a count of those inside"]
    .replace("                self.grupo.submit(", "                self.futuro = self.grupo.submit(")
    .replace("self.grupo.shutdown()", "self.futuro.result()"),
    "la excepción es de una tarea",
)
test_right_a, test_wrong_a = BH7A.tests(RIGHT_A, WRONG_A)
