"""SG-6: the saga as a choreography, over the events of a real store."""

from __future__ import annotations

from itertools import permutations
from sqlite3 import Connection

from labkit.exercises.exercise import Exercise, Scene
from labkit.patterns.event_sourcing import Event, EventStore
from labkit.patterns.saga import Database, Notice, Participant, Refused, Retry

DANCE = Exercise("SG-6", writes="montar", call="montar(participantes, trabajar)", scene=Scene, deadline=10)

NAMES = ("inventario", "pagos", "envios")
FORWARD = ["PedidoCreado", "LibroReservado", "PagoCobrado", "PedidoEnviado"]
OWNER = {"reservar": "inventario", "liberar": "inventario", "cobrar": "pagos", "devolver": "pagos", "despachar": "envios"}
# What the events of an order are, by the action that is refused.
STORIES = {
    "": FORWARD,
    "reservar": ["PedidoCreado", "LibroAgotado"],
    "cobrar": ["PedidoCreado", "LibroReservado", "PagoRechazado", "LibroLiberado"],
    "despachar": [*FORWARD[:3], "EnvioRechazado", "PagoDevuelto", "LibroLiberado"],
}
WORK = {
    "": ["reservar", "cobrar", "despachar"],
    "reservar": [],
    "cobrar": ["reservar", "liberar"],
    "despachar": ["reservar", "cobrar", "devolver", "liberar"],
}


class Died(BaseException):
    """The process is gone."""


class Hall(Scene):
    """A store, three services with their databases, and the learner's dance over them."""

    def open(self, refusals: dict[str, str], *, cut: str = "", dies: tuple[str, int] | None = None) -> Hall:
        """`refusals`: by order, the action that is refused. `cut`: the action that fails once. `dies`: the
        action, and whether before (0) or after (1) its work."""
        self.refusals, self.cut, self.dies = refusals, cut, dies
        self.hiccup = f", y «{cut}» falla una vez" if cut else f", y un proceso muere en «{dies[0]}»" if dies else ""
        self.store = EventStore()
        self.databases = {name: Database() for name in NAMES}
        for database in self.databases.values():
            with database.transaction() as connection:
                connection.execute("CREATE TABLE work (number TEXT, action TEXT)")
        for number in refusals:
            self.store.append(number, [Event("PedidoCreado")], 0)
        self.stuck: list[Notice] = []
        self.mount()
        return self

    def mount(self) -> None:
        """What starting the three processes does."""
        self.participants = {
            name: Participant(name, self.store, database, insist=Retry(3), sleep=lambda seconds: None, on_stuck=self.stuck.append)
            for name, database in self.databases.items()
        }

        def trabajar(conexion: Connection, accion: str, pedido: str) -> None:
            self.work(conexion, accion, pedido)

        trabajar.__qualname__ = "trabajar"  # what a wrong call's error names
        self.answer(self.participants, trabajar)

    def work(self, connection: Connection, action: str, number: str) -> None:
        self.doing = f"{action} {number}"
        if self.dies == (action, 0):
            self.dies = None
            raise Died
        if action == self.cut:
            self.cut = ""
            raise ConnectionError("no contesta")
        if self.refusals.get(number) == action:
            raise Refused("no se puede")
        connection.execute("INSERT INTO work VALUES (?, ?)", (number, action))
        if self.dies == (action, 1):
            self.dies = None
            raise Died

    def dance(self, order: tuple[str, ...] = NAMES) -> None:
        """Let them take turns until none has anything left to do, and start them anew after a death."""
        for _ in range(100):
            try:
                busy = [self.participants[name].step() for name in order]
                if not any(busy):
                    break
            except Died:
                self.mount()
        self._judge()

    def _judge(self) -> None:
        parked = sorted({event.type for one in self.participants.values() for event in one.parked()})
        told = f"la reacción a {', '.join(parked)} lanzó una excepción en cada intento. "
        self.expect(not parked, told + " ".join(notice.reason for notice in self.stuck[:1]))
        for number, refused in self.refusals.items():
            told = f"en un pedido en el que {f'«{refused}» se niega' if refused else 'nadie se niega'}{self.hiccup}"
            events = [event.type for event in self.store.read(number)]
            self.equal(events, STORIES[refused], f"{told}, los hechos fueron {{found}}. {self._think(events, STORIES[refused])}")
            rows = {name: base.query("SELECT action FROM work WHERE number = ?", number) for name, base in self.databases.items()}
            done = sorted(f"{name}: {action}" for name, each in rows.items() for (action,) in each)
            wanted = sorted(f"{OWNER[action]}: {action}" for action in WORK[refused])
            self.equal(done, wanted, f"{told}, el trabajo hecho fue {{found}}. ¿A quién le toca cada acción, y cuántas veces?")

    def _think(self, events: list[str], wanted: list[str]) -> str:
        """Return the question for events that went another way."""
        if self.hiccup:
            return "¿Es eso un «no»? ¿Y qué guarda tu código fuera de las bases?"
        if events == wanted[: len(events)]:
            return f"Ahí se paró: ¿quién oye {events[-1]}, y qué devuelve su reacción?"
        return "¿Quién oye a quién, y qué hecho devuelve cada reacción?"


DANCE.scene = Hall


@DANCE.case("con un pedido al que nadie se niega", raised="¿qué recibe y qué devuelve cada reacción?")
def nobody_refuses(hall: Hall) -> None:
    hall.open({"p-1": ""}).dance()


@DANCE.case("con alguien que se niega", raised="¿en qué se convierte un «no»?")
def somebody_refuses(hall: Hall) -> None:
    for refused in STORIES:
        hall.open({"p-1": refused}).dance()


@DANCE.case("con varios pedidos y los servicios en cualquier orden", raised="¿de qué pedido es cada hecho?")
def in_any_order(hall: Hall) -> None:
    for order in permutations(NAMES):
        hall.open({f"p-{number}": refused for number, refused in enumerate(STORIES)}).dance(order)


@DANCE.case("si un servicio falla una vez", raised="¿quién repite la reacción?")
def one_fails_once(hall: Hall) -> None:
    for refused, actions in WORK.items():
        for action in actions:
            hall.open({"p-1": refused}, cut=action).dance()


@DANCE.case("si un proceso muere y vuelve", raised="¿qué guarda tu código fuera de las bases?")
def one_dies(hall: Hall) -> None:
    for refused, actions in WORK.items():
        for action in actions:
            for after in (0, 1):
                hall.open({"p-1": refused}, dies=(action, after)).dance()
