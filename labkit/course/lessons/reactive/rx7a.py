"""RX-7a: a sender that holds the last items, and nothing more."""

from __future__ import annotations

import weakref
from typing import Any

from labkit.exercises.exercise import Case, Exercise
from labkit.exercises.expectations import expect_methods


class Model:
    """The statement: the last `maximo` items, with numbers from 1 on."""

    def __init__(self, maximo: int) -> None:
        self.maximo, self.held, self.last = maximo, dict[int, Any](), 0

    def publicar(self, dato: Any) -> int:
        self.last += 1
        self.held[self.last] = dato
        self.held.pop(self.last - self.maximo, None)
        return self.last

    def desde(self, numero: int) -> list[tuple[int, Any]]:
        after = numero if numero <= self.last else 0
        return [(number, dato) for number, dato in list(self.held.items()) if number > after]


SENDER = Exercise("RX-7a", writes="Emisora", call="Emisora(maximo)", methods=("publicar(dato)", "desde(numero)"))


@SENDER.case("recién creada", raised="¿qué guarda tu clase al crearse?")
def has_its_methods(case: Case, sender: Any) -> None:
    expect_methods(case, sender(1))


SENDER.stories(
    Model,
    made_with=["1", "2"],
    steps=["publicar('a')", "desde(0)", "desde(1)", "desde(2)"],
    length=5,
    hints=[
        (lambda d: d.steps in (("desde(1)",), ("publicar('a')", "desde(2)")), "¿Se ha publicado ya ese número?"),
        (lambda d: d.steps[-1].startswith("publicar"), "¿Por qué número va?"),
    ],
    think="¿Cuáles se publicaron después, y cuáles siguen guardadas?",
    situation="al publicar y leer",
)


class _Item:
    """What is published, and can be counted while anybody holds it."""


@SENDER.case("después de mil publicaciones")
def holds_no_more(case: Case, sender: Any) -> None:
    sender, alive = sender(10), weakref.WeakSet[_Item]()
    sender.publicar(None)
    case.equal(sender.desde(0), [(1, None)], "tras publicar None, desde(0) devuelve {found}: se esperaba {wanted}")
    for _ in range(1000):
        item = _Item()
        alive.add(item)
        sender.publicar(item)
    del item
    case.expect(len(alive) <= 10, f"con maximo=10 siguen en memoria {len(alive)} publicaciones: ¿quién las guarda?")
    sender.desde(0).clear()
    case.equal(len(sender.desde(0)), 10, "quien vacía la lista que recibió deja en la emisora {found} de 10 publicaciones")
