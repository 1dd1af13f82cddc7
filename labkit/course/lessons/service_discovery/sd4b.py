"""SD-4b: which instances are well."""

from __future__ import annotations

from labkit.course.lessons.service_discovery.street import DEAD, Slow, Street, asked, paths, unsorted
from labkit.exercises.exercise import Exercise
from labkit.exercises.wording import kind

HEALTHY = Exercise("SD-4b", writes="sanas", call="sanas(urls)", scene=Street, deadline=15)
_LIMIT = "¿lleva tu petición un tiempo límite, y de cuántos segundos?"


def _well(street: Street, given: list[str]) -> list[str]:
    """Call the answer with a copy of the list; the case fails for what is no list of these addresses."""
    own = list(given)
    found = street.answer(own)
    street.expect(own == given, "sanas cambió la lista que recibió: ¿de quién es esa lista?")
    street.expect(found is not None, "sanas no devolvió nada: ¿falta el return?")
    street.expect(isinstance(found, list | tuple), f"sanas devolvió {kind(found)}: se pide una lista de direcciones")
    street.expect(all(url in given for url in found), "sanas devolvió algo que no estaba en la lista: se piden sus direcciones")
    street.expect(len(set(found)) == len(found), "sanas devolvió una dirección más de una vez")
    return list(found)


@HEALTHY.case("con todas las direcciones sanas", raised="¿qué hace sanas con una instancia que contesta bien?")
def all_well(street: Street) -> None:
    instances = unsorted([street.instance(f"envios-{n}") for n in (1, 2, 3)])
    urls = [each.url for each in instances]
    found = _well(street, urls)
    reached = paths(*instances)
    street.expect(reached, "a las tres instancias no les llegó ninguna petición: ¿a qué dirección llamas?")
    street.expect(reached == {"/health"}, f"a las instancias les llegó {', '.join(sorted(reached))}: se pregunta en /health")
    street.expect(sorted(found) == sorted(urls), f"las tres contestan 200 y sanas devolvió {len(found)}: ¿cuál falta?")
    street.expect(found == urls, "están las tres, pero en otro orden: ¿qué pasaría con los turnos?")
    street.equal(asked(*instances), [1, 1, 1], "a las instancias les preguntaste {found} veces: basta una")


@HEALTHY.case("con la lista vacía", raised="¿sirve tu código para cero direcciones?")
def nobody_to_ask(street: Street) -> None:
    street.expect(not _well(street, []), "con la lista vacía no devolvió una lista vacía")


@HEALTHY.case("con una instancia muerta en la lista", raised="¿qué debe pasar con las demás?")
def one_dead(street: Street) -> None:
    first, last = (street.instance(f"envios-{n}").url for n in (1, 2))
    found = _well(street, [first, DEAD, last])
    street.expect(DEAD not in found, "sanas devolvió una dirección en la que no escucha nadie")
    street.expect(
        found == [first, last], f"con una muerta entre dos sanas devolvió {len(found)}: ¿se perdió alguna que sí contesta?"
    )


@HEALTHY.case(
    "con instancias que contestan, pero no 200", raised="un 503 también es una respuesta: ¿qué hace tu código con ella?"
)
def wrong_status(street: Street) -> None:
    others = {street.instance(status=status).url: status for status in (503, 500, 404, 204)}
    well = street.instance("sana").url
    found = _well(street, [*others, well])
    for url, status in others.items():
        street.expect(url not in found, f"una instancia contestó {status} en /health y sanas la dio por buena")
    street.expect(found == [well], "la que contestó 200 no está en el resultado")


@HEALTHY.case("con instancias que tardan en contestar", raised="¿qué lanza requests cuando se agota el tiempo?", late=_LIMIT)
def a_second_is_a_second(street: Street) -> None:
    well = street.instance("sana").url

    def attempt() -> str | None:
        quick, slow = street.slow(0.7), street.slow(1.4)
        return _problem(_well(street, [slow.url, quick.url, well]), quick, slow, well)

    street.best_of_tries(attempt)


def _problem(found: list[str], quick: Slow, slow: Slow, well: str) -> str | None:
    if slow.url in found or slow.answered:
        what = "la dio por buena" if slow.url in found else "esperó hasta el final para descartarla"
        return f"una instancia tardó {slow.seconds:g} s en contestar y sanas {what}: {_LIMIT}"
    if quick.url not in found:
        return f"una instancia contestó 200 a los {quick.seconds:g} s y sanas no la devolvió: {_LIMIT}"
    return None if found == [quick.url, well] else "por culpa de la lenta se perdió una que está bien"
