"""The scene of SD-4c: a `vigilar` in a thread, and the registry that it shares with others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from labkit.course.lessons.service_discovery.street import Street
from labkit.exercises.wording import described


class Registro:
    """The registry of the statement, `candado` and `urls` included, and a record of what went in and out."""

    def __init__(self, urls: list[str], over: threading.Event) -> None:
        self.candado, self._urls, self._over = threading.Lock(), list(urls), over
        self.reads = 0
        self.gone: set[str] = set()

    @property
    def urls(self) -> list[str]:
        return self._urls

    @urls.setter
    def urls(self, urls: list[str]) -> None:
        self.gone |= set(self._urls) - set(urls)
        self._urls = urls

    def held(self, seconds: float) -> bool:
        """Return True when the lock is not to be had for so long."""
        if free := self.candado.acquire(timeout=seconds):
            self.candado.release()
        return not free

    def todas(self) -> list[str]:
        self.reads += 1
        if self._over.is_set():
            raise SystemExit  # a vigilar that goes on when its case is over
        with self.candado:
            return list(self._urls)

    def registrar(self, url: str) -> None:
        with self.candado:
            if url not in self._urls:
                self._urls.append(url)

    def quitar(self, url: str) -> None:
        with self.candado:
            if url in self._urls:
                self._urls.remove(url)
                self.gone.add(url)


class Event(threading.Event):
    """An event whose waits are short, so that no learner waits for them, and which knows the longest asked for."""

    longest = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        self.longest = max(self.longest, timeout)
        return super().wait(min(timeout, 0.2))


class Watch(Street):
    """A `vigilar` of the learner's that runs in a thread beside other users of its registry."""

    def over(self, *urls: str) -> Registro:
        self.finish, over = Event(), threading.Event()
        self.registro = Registro(list(urls), over)
        self.cleanup(over.set)
        self.cleanup(self.finish.set)
        self.future = self.start(self.answer, self.registro, self.finish)
        return self.registro

    def until(self, condition: Callable[[], object], hint: str, seconds: float = 6) -> None:
        """Wait until it holds; fail when the answer has raised or ended before, or time passes."""
        end = time.monotonic() + seconds * self.pace.deadlines
        while not condition():
            if self.future.done():
                self.expect_running()
            if time.monotonic() > end:
                self.expect(
                    not self.registro.held(0.5), "vigilar no suelta el candado del registro: ¿lo piden también sus métodos?"
                )
                self.fail(hint)
            time.sleep(0.005)

    def expect_running(self) -> None:
        if not self.future.done():
            return
        error = self.future.exception()
        if isinstance(error, AttributeError) and error.obj in (self.registro, self.finish):
            self.fail(f"vigilar lanzó {described(error)}: recibe el registro y después fin. ¿En qué orden los usas?")
        self.expect(error is None, f"vigilar lanzó {described(error)}" if error else "")
        self.fail(
            "vigilar volvió sin que nadie activara fin: ¿quién revisa a partir de entonces? Si arrancaste un hilo, "
            "del hilo se ocupa quien llama"
        )
