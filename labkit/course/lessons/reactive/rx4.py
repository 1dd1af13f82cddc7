"""RX-4: retries with full jitter, on a virtual clock; chance is judged by four hundred calls."""

from __future__ import annotations

import asyncio
from typing import Any

from labkit.course.lessons.reactive.clock import cancelled_after, now, virtually
from labkit.exercises.exercise import Exercise, Scene

RUNS = 400
BASE, CAP = 1.0, 10.0
BOUNDS = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]  # seconds, after each failure


class Remote(Scene):
    """A service that fails so many times, and when it was called."""

    def begin(self, failures: int, error: Any = None, answer: Any = "cobrado", takes: int = 0) -> None:
        self.failures, self.error, self.good = failures, error or ConnectionError("pagos no atiende"), answer
        self.calls, self.takes = list[float](), takes
        self.raised: Exception | None = None
        self.ended = 0.0

    async def call(self) -> Any:
        self.calls.append(now())
        await asyncio.sleep(self.takes)
        if len(self.calls) > 100:
            self.fail("lleva cien llamadas seguidas: ¿cuándo se rinde?")
        if len(self.calls) <= self.failures:
            raise type(self.error)(f"fallo {len(self.calls)}")
        return self.good

    def retry(self, attempts: int, base: float = BASE, cap: float = CAP) -> Any:
        async def main() -> Any:
            try:
                return await self.answer(self.call, attempts, base, cap)
            except Exception as error:
                self.raised = error
            finally:
                self.ended = now()

        return virtually(self, main())


RETRY = Exercise("RX-4", writes="reintentar", call="reintentar(llamar, intentos, base, tope)", coroutine=True, scene=Remote)


@RETRY.case("cuando sale bien a la primera")
def well(remote: Remote) -> None:
    for good in ("cobrado", 0, None, ""):
        remote.begin(0, answer=good)
        remote.equal(remote.retry(3), good, "devolvió {found} y la llamada devolvió {wanted}")
        remote.equal(len(remote.calls), 1, "hizo {found} llamadas: salió bien a la primera")
        remote.equal(remote.ended, 0, "esperó {found} s aunque salió bien a la primera")


@RETRY.case("entre intento e intento", late="¿con qué esperas?")
def sleeps(remote: Remote) -> None:
    remote.begin(1000)
    remote.retry(6, 0.01, 0.02)
    remote.expect(
        remote.ended > 0, "con base=0.01 y tope=0.02 no pasó tiempo en el bucle entre intentos: ¿con qué esperas? ¿Y cuánto?"
    )


@RETRY.case("cuando falla al principio", raised="¿quedaban intentos?")
def recovers(remote: Remote) -> None:
    for failures, attempts in ((1, 2), (2, 3), (2, 5)):
        remote.begin(failures)
        found, situation = remote.retry(attempts), f"con intentos={attempts} y {failures} de fallo al principio"
        remote.equal(remote.raised, None, f"{situation} salió {{found}}: ¿quedaban intentos?")
        remote.equal(found, "cobrado", f"{situation} devolvió {{found}}: se esperaba {{wanted}}")
        remote.equal(len(remote.calls), failures + 1, f"{situation} hizo {{found}} llamadas")


@RETRY.case("cuando no deja de fallar")
def gives_up(remote: Remote) -> None:
    for attempts in (1, 2, 4):
        remote.begin(1000)
        found, made = remote.retry(attempts), f"con intentos={attempts}"
        remote.expect(remote.raised is not None, f"{made} devolvió {found!r}: ¿qué sale cuando falla el último?")
        remote.equal(len(remote.calls), attempts, f"{made} hizo {{found}} llamadas")
        wanted = (f"fallo {attempts}",)
        remote.expect(
            type(remote.raised) is ConnectionError and remote.raised.args == wanted,
            f"{made} salió {remote.raised!r}: se pide la excepción del último intento",
        )
        remote.expect(remote.ended == remote.calls[-1], f"{made} esperó después del último fallo: ¿a qué?")


@RETRY.case("según la clase de error")
def kinds(remote: Remote) -> None:
    for error in (ConnectionError(), TimeoutError(), OSError()):
        remote.begin(1, error)
        remote.retry(3)
        name = type(error).__name__
        remote.expect(len(remote.calls) == 2, f"tras un {name} no volvió a llamar: ¿no es un OSError?")
    for other in (ValueError(), KeyError(), RuntimeError()):
        remote.begin(1, other)
        remote.retry(3)
        name, calls = type(other).__name__, len(remote.calls)
        remote.expect(
            type(remote.raised) is type(other) and len(remote.calls) == 1,
            f"con un {name} hizo {calls} llamadas: ¿qué errores merecen otro intento?",
        )


@RETRY.case("si la cancelan")
def cancelled(remote: Remote) -> None:
    for takes, doing in ((0, "mientras espera"), (5, "a mitad de una llamada")):
        remote.begin(1000, takes=takes)

        async def main() -> None:
            await cancelled_after(remote, 0.001, remote.answer(remote.call, 5, 1e6, 1e6))

        virtually(remote, main())
        remote.equal(len(remote.calls), 1, f"la cancelaron {doing}, tras la primera llamada, y hizo {{found}}")


@RETRY.case("en cuatrocientas llamadas que fallan")
def jitter(remote: Remote) -> None:
    pauses: list[list[float]] = []
    for _ in range(RUNS):
        remote.begin(1000)
        remote.retry(len(BOUNDS) + 1)
        pauses.append([after - before for before, after in zip(remote.calls, remote.calls[1:], strict=False)])
    shares: list[list[float]] = []
    for number, (bound, sample) in enumerate(zip(BOUNDS, zip(*pauses, strict=True), strict=True), start=1):
        after = f"tras el fallo {number}, con base={BASE:g} y tope={CAP:g},"
        longest = max(sample)
        remote.expect(longest <= bound + 1e-6, f"{after} llegó a esperar {longest:.1f} s: ¿cuál es el máximo ahí?")
        quarters = [sum(int(min(pause / bound, 0.999) * 4) == q for pause in sample) for q in range(4)]
        # 100 each are expected, give or take 9: outside of 45 off is once in ten million.
        remote.expect(
            all(55 <= quarter <= 145 for quarter in quarters),
            f"{after} de {RUNS} esperas cayeron {quarters} en cada cuarto de 0 a {bound:g} s: ¿son todas igual de probables?",
        )
        shares.append([pause / bound for pause in sample])
    both = sum(first < 0.25 and second < 0.25 for first, second in zip(*shares[:2], strict=True))
    remote.expect(both < 60, "quien espera poco una vez espera poco siempre: ¿cuándo sacas el número al azar?")
