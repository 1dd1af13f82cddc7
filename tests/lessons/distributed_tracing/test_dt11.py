"""DT-11: the bottleneck, held against right and wrong tables."""

from answers import Master

from labkit.course.lessons.distributed_tracing.dt11 import DELAYS

DT11 = Master("DT-11")
GOOD = {name: delay + 0.002 for name, delay in DELAYS.items()}
TOTAL = sum(GOOD.values())


def table(total=TOTAL, slowest="pedidos", **changes):
    own = {**GOOD, **changes}
    return {name: value for name, value in own.items() if value is not None}, total, slowest


RIGHT = {
    "numbers": table(),
    "a busy machine": ({name: 2 * own for name, own in GOOD.items()}, 2 * TOTAL, "pedidos"),
    "on a machine where something else was slow": table(TOTAL + 0.1, "pagos", pagos=GOOD["pagos"] + 0.1),
    "servers that end after their clients": table(TOTAL / 1.03),
    "capitals": table(slowest=" Pedidos "),
}

WRONG = {
    "a list": ((list(GOOD.values()), TOTAL, "pedidos"), "propias es una lista"),
    "one missing": (table(pagos=None), "en propias falta: pagos"),
    "one too many": (table(cliente=0.1), "en propias sobra: cliente"),
    "a text": (table(pagos="0.1"), "propias['pagos'] es un texto"),
    "the delays themselves": ((dict(DELAYS), TOTAL, "pedidos"), "duerme más en cada pedido"),
    "a total of ten": (table(total=10 * TOTAL), "¿la media de un pedido, o la suma de los diez?"),
    "milliseconds": (table(total=0.01), "las demoras de un pedido suman más"),
    "whole durations": (table(tienda=TOTAL), "¿contaste alguna espera dos veces?"),
    "whole duration of pedidos": (table(pedidos=TOTAL - 0.01), "¿contaste alguna espera dos veces?"),
    "clients left out": (table(total=TOTAL / 0.92), "¿qué tramos faltan"),
    "the sum of ten": (
        ({name: 10 * own for name, own in GOOD.items()}, TOTAL, "pedidos"),
        "¿la media por pedido, y en segundos?",
    ),
    "medians of single spans": (table(pedidos=0.01), "propias['pedidos'] es 0.0100 s y pedidos duerme más"),
    "a service that is none": (table(slowest="cliente"), "cuello vale 'cliente'"),
    "the first": (table(slowest="tienda"), "quien más tiempo propio tiene es pedidos"),
    "the seconds": (table(slowest=0.05), "cuello vale 0.05"),
}


test_wrong = DT11.tests({}, WRONG)[1]


def test_right_tables():
    for name, answer in RIGHT.items():
        verdict = DT11.verdict(answer)
        assert verdict.state == "ok", (name, verdict.text)
