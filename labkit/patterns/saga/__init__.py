"""Sagas: a business transaction over several services, done to its end or undone, whatever dies meanwhile.

    pedido = Saga("pedido", [
        Step("inventario", reservar, liberar),          # compensable
        Step("pagos", cobrar, devolver),
        Step("envios", despachar, pivot=True),          # from here on there is no way back
        Step("correo", avisar, retriable=True),
    ])
    orchestrator = Orchestrator(SagaLog("sagas.db"), [pedido])
    orchestrator.recover()                              # what a killed process left unfinished
    orchestrator.execute("pedido", {"isbn": "42"}, saga="pedido-17").state

No isolation: others see what a running saga has done so far. What it needs of the participants is in `inbox`:
a key has its effect once, and a compensated key never again.

Read in this order: `definition` (steps), `machine` (the protocol, pure), `log` and `orchestrator` (the same,
durable), `inbox` and `outbox` (the participants' side, on one `database` each), `choreography` (the other
form, over the store of `labkit.patterns.event_sourcing`), `diagram`.

Sources: Garcia-Molina and Salem, "Sagas", SIGMOD 1987; Richardson, "Microservices Patterns", ch. 3 and 4;
Helland, "Life beyond Distributed Transactions", CIDR 2007.
"""

import logging

from labkit.patterns._given import InvalidInput
from labkit.patterns.saga.choreography import Participant, Reaction, unfinished
from labkit.patterns.saga.database import Database
from labkit.patterns.saga.definition import Action, Call, Retry, Saga, Step, nothing_to_undo
from labkit.patterns.saga.diagram import diagram
from labkit.patterns.saga.errors import (
    KeyReused,
    Refused,
    SagaError,
    SagaExists,
    StorageError,
    TakenOver,
    UnknownSaga,
)
from labkit.patterns.saga.inbox import Inbox
from labkit.patterns.saga.log import Notice, SagaLog
from labkit.patterns.saga.machine import Entry, Progress, State, decide
from labkit.patterns.saga.orchestrator import Orchestrator, Outcome
from labkit.patterns.saga.outbox import Message, Outbox

__all__ = [
    "Action",
    "Call",
    "Database",
    "Entry",
    "Inbox",
    "InvalidInput",
    "KeyReused",
    "Message",
    "Notice",
    "Orchestrator",
    "Outbox",
    "Outcome",
    "Participant",
    "Progress",
    "Reaction",
    "Refused",
    "Retry",
    "Saga",
    "SagaError",
    "SagaExists",
    "SagaLog",
    "State",
    "Step",
    "StorageError",
    "TakenOver",
    "UnknownSaga",
    "decide",
    "diagram",
    "nothing_to_undo",
    "unfinished",
]

# What is stuck is logged; whether that is shown is for the application to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())
