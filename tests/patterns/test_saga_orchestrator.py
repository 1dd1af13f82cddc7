"""The orchestrator: what is called, in which order, what stands in its log, and where a saga ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.patterns.saga import (
    Call,
    Database,
    InvalidInput,
    Notice,
    Orchestrator,
    Refused,
    Retry,
    Saga,
    SagaExists,
    SagaLog,
    Step,
    TakenOver,
    UnknownSaga,
    diagram,
    nothing_to_undo,
)


class Killed(BaseException):
    pass


class Shop:
    """Steps that note their calls and do what the test's script says: return it, or raise it."""

    def __init__(self, log: SagaLog | None = None, **options: Any) -> None:
        self.called: list[str] = []
        self.calls: list[Call] = []
        self.script: dict[str, list[Any]] = {}
        self.slept: list[float] = []
        self.notices: list[Notice] = []
        self.log = log or SagaLog()
        self.options = {"retry": Retry(3), "insist": Retry(4), "seed": 1, **options}
        self.orchestrator = self.again()

    def again(self, steps: list[Step] | None = None) -> Orchestrator:
        """What a new process would make of the same log."""
        options = {"sleep": self.slept.append, "on_stuck": self.notices.append, **self.options}
        self.orchestrator = Orchestrator(self.log, [Saga("order", steps or self.steps())], **options)
        return self.orchestrator

    def steps(self) -> list[Step]:
        return [
            Step("stock", self.does("stock"), self.does("-stock")),
            Step("pay", self.does("pay"), self.does("-pay")),
            Step("ship", self.does("ship"), pivot=True),
            Step("mail", self.does("mail"), retriable=True),
        ]

    def does(self, name: str) -> Callable[[Call], Any]:
        def function(call: Call) -> Any:
            self.called.append(name)
            self.calls.append(call)
            answers = self.script.get(name)
            answer = answers.pop(0) if answers else f"{name} ok"
            if isinstance(answer, BaseException):
                raise answer
            return answer() if callable(answer) else answer

        return function

    def kinds(self, saga: str) -> list[str]:
        return [f"{entry.kind} {entry.step}".strip() for entry in self.orchestrator.history(saga)]


def test_all_steps_are_done_in_order_and_each_sees_what_those_before_returned() -> None:
    shop = Shop()
    outcome = shop.orchestrator.execute("order", {"isbn": "42"}, saga="o-1")
    assert outcome.state == "completed"
    assert outcome.results == {"stock": "stock ok", "pay": "pay ok", "ship": "ship ok", "mail": "mail ok"}
    assert shop.called == ["stock", "pay", "ship", "mail"]
    pay = shop.calls[1]
    assert (pay.saga, pay.step, pay.attempt, pay.data) == ("o-1", "pay", 1, {"isbn": "42"})
    assert pay.results == {"stock": "stock ok"}
    assert [call.key for call in shop.calls] == ["o-1/stock", "o-1/pay", "o-1/ship", "o-1/mail"]


def test_every_call_stands_in_the_log_before_it_is_made() -> None:
    shop = Shop()
    seen = []
    shop.script["pay"] = [lambda: seen.append(shop.kinds("o-1")[-1])]
    shop.orchestrator.execute("order", saga="o-1")
    assert seen == ["doing pay"]
    assert shop.kinds("o-1") == [
        "started", "doing stock", "done stock", "doing pay", "done pay", "doing ship", "done ship",
        "doing mail", "done mail", "completed",
    ]  # fmt: skip


def test_a_no_undoes_what_was_done_in_reverse_and_not_the_step_that_said_no() -> None:
    shop = Shop()
    shop.script["ship"] = [Refused("no lorry")]
    outcome = shop.orchestrator.execute("order")
    assert (outcome.state, outcome.reason) == ("compensated", "ship dijo que no: no lorry")
    assert shop.called == ["stock", "pay", "ship", "-pay", "-stock"]
    assert shop.calls[-1].key == shop.calls[0].key
    assert shop.calls[-1].result == "stock ok"


def test_an_unknown_outcome_is_asked_again_under_the_same_key_and_in_the_end_undone_too() -> None:
    shop = Shop()
    shop.script["pay"] = [TimeoutError(), ConnectionError("reset"), TimeoutError("slow")]
    outcome = shop.orchestrator.execute("order")
    assert (outcome.state, outcome.reason) == ("compensated", "pay no contestó en 3 intentos: slow")
    assert shop.called == ["stock", "pay", "pay", "pay", "-pay", "-stock"]
    assert len({call.key for call in shop.calls if call.step == "pay"}) == 1
    assert [call.attempt for call in shop.calls[1:4]] == [1, 2, 3]
    assert shop.calls[4].result is None  # nobody knows what it would have returned


def test_a_no_after_an_unanswered_attempt_is_undone_as_well() -> None:
    shop = Shop()
    shop.script["pay"] = [TimeoutError(), Refused("no funds")]  # the first may still be under way
    assert shop.orchestrator.execute("order").state == "compensated"
    assert shop.called == ["stock", "pay", "pay", "-pay", "-stock"]


def test_a_pivot_of_unknown_outcome_is_never_undone_but_insisted_on() -> None:
    shop = Shop()
    shop.script["ship"] = [TimeoutError(), TimeoutError(), TimeoutError()]
    assert shop.orchestrator.execute("order").state == "completed"
    assert shop.called == ["stock", "pay", "ship", "ship", "ship", "ship", "mail"]


@pytest.mark.parametrize(
    ("step", "answers", "reason"),
    [
        (
            "ship",
            [TimeoutError("slow")] * 4,
            "ship no termina tras 4 intentos, y ya no se puede volver atrás: slow",
        ),
        (
            "mail",
            [OSError("down")] * 4,
            "mail no termina tras 4 intentos, y ya no se puede volver atrás: down",
        ),
        ("mail", [Refused("bounced")], "mail dijo que no, y ya no se puede volver atrás: bounced"),
    ],
)
def test_what_cannot_go_on_behind_the_pivot_is_stuck_with_one_notice_and_can_be_resumed(
    step: str, answers: list[Any], reason: str
) -> None:
    shop = Shop()
    shop.script[step] = list(answers)
    outcome = shop.orchestrator.execute("order", saga="o-1")
    assert (outcome.state, outcome.reason) == ("stuck", reason)
    assert shop.notices == [Notice("o-1", "order", reason)]
    assert shop.log.stuck() == ["o-1"]
    assert shop.orchestrator.recover() == []  # it waits for a person
    assert shop.orchestrator.run("o-1").state == "stuck"
    assert len(shop.notices) == 1
    outcome = shop.orchestrator.resume("o-1")
    assert (outcome.state, outcome.reason) == ("completed", "")


def test_a_compensation_is_retried_then_stuck_and_resumed_where_it_stopped() -> None:
    shop = Shop()
    shop.script["ship"] = [Refused("no lorry")]
    shop.script["-pay"] = [OSError("down")] * 3 + [Refused("a compensation cannot say no")]
    outcome = shop.orchestrator.execute("order", saga="o-1")
    assert outcome.state == "stuck"
    assert "-stock" not in shop.called
    assert [notice.saga for notice in shop.notices] == ["o-1"]
    outcome = shop.orchestrator.resume("o-1")
    assert (outcome.state, outcome.reason) == ("compensated", "ship dijo que no: no lorry")
    assert shop.called[-6:] == ["-pay", "-pay", "-pay", "-pay", "-pay", "-stock"]


def test_a_notice_is_given_again_until_it_has_been_taken() -> None:
    taken: list[str] = []

    def on_stuck(notice: Notice) -> None:
        taken.append(notice.saga)
        if len(taken) == 1:
            raise ConnectionError("the pager is down")

    shop = Shop(on_stuck=on_stuck)
    shop.script["mail"] = [Refused("bounced")]
    shop.orchestrator.execute("order", saga="o-1")
    shop.again().recover()  # another process, after a crash in between
    shop.orchestrator.recover()
    assert taken == ["o-1", "o-1"]


def test_a_stuck_saga_that_nobody_listens_for_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(on_stuck=None)
    shop.script["mail"] = [Refused("bounced")]
    shop.orchestrator.execute("order", saga="o-1")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "o-1" in caplog.text


@pytest.mark.parametrize("step", ["stock", "pay", "ship", "mail"])
def test_a_saga_that_was_killed_in_a_step_asks_again_and_goes_on(step: str) -> None:
    shop = Shop()
    shop.script[step] = [Killed()]
    with pytest.raises(Killed):
        shop.orchestrator.execute("order", saga="o-1")
    assert shop.kinds("o-1")[-1] == f"doing {step}"
    outcomes = shop.again().recover()
    assert [(outcome.saga, outcome.state) for outcome in outcomes] == [("o-1", "completed")]
    assert shop.called.count(step) == 2
    assert shop.again().recover() == []


def test_a_saga_that_was_killed_in_a_compensation_undoes_it_again() -> None:
    shop = Shop()
    shop.script["ship"], shop.script["-pay"] = [Refused("no lorry")], [Killed()]
    with pytest.raises(Killed):
        shop.orchestrator.execute("order", saga="o-1")
    assert shop.again().recover()[0].state == "compensated"
    assert shop.called[3:] == ["-pay", "-pay", "-stock"]


def test_one_that_is_killed_in_every_attempt_ends_all_the_same() -> None:
    shop = Shop()
    shop.script["pay"] = [Killed(), Killed(), Killed()]
    shop.orchestrator.start("order", saga="o-1")
    for _ in range(3):
        with pytest.raises(Killed):
            shop.again().recover()
    assert shop.again().recover()[0].state == "compensated"


def test_starting_twice_under_one_id_starts_one_saga() -> None:
    shop = Shop()
    first = shop.orchestrator.execute("order", {"isbn": "42"}, saga="o-1")
    assert shop.orchestrator.execute("order", {"isbn": "42"}, saga="o-1") == first
    assert shop.called == ["stock", "pay", "ship", "mail"]
    with pytest.raises(SagaExists, match="o-1"):
        shop.orchestrator.start("order", {"isbn": "43"}, saga="o-1")


def test_a_saga_starts_in_the_transaction_of_the_order_or_not_at_all() -> None:
    database = Database()
    shop = Shop(SagaLog(database))

    def order(then: Callable[[], object]) -> None:
        with database.transaction():
            shop.orchestrator.start("order", saga="o-1")
            then()

    with pytest.raises(ZeroDivisionError):
        order(lambda: 1 / 0)
    assert shop.log.unfinished() == []
    order(lambda: None)
    assert shop.log.unfinished() == ["o-1"]


@pytest.mark.parametrize(("step", "undone"), [("stock", ["-stock"]), ("pay", ["-pay", "-stock"])])
def test_a_cancellation_before_the_pivot_undoes_what_was_done(step: str, undone: list[str]) -> None:
    shop = Shop()
    shop.script[step] = [lambda: shop.orchestrator.cancel("o-1")]
    outcome = shop.orchestrator.execute("order", saga="o-1")
    assert (outcome.state, outcome.reason) == ("compensated", "cancelada")
    assert [name for name in shop.called if name.startswith("-")] == undone
    assert shop.orchestrator.cancel("o-1") is True


@pytest.mark.parametrize("step", ["ship", "mail"])
def test_a_cancellation_from_the_pivot_on_comes_too_late(step: str) -> None:
    shop = Shop()
    accepted: list[bool] = []
    shop.script[step] = [lambda: accepted.append(shop.orchestrator.cancel("o-1"))]
    assert shop.orchestrator.execute("order", saga="o-1").state == "completed"
    assert accepted == [False]
    assert shop.orchestrator.cancel("o-1") is False


def test_a_cancellation_during_the_wait_between_two_attempts_is_seen_before_the_next() -> None:
    shop = Shop()
    shop.options["sleep"] = lambda seconds: shop.orchestrator.cancel("o-1")
    shop.again()
    shop.script["pay"] = [TimeoutError()]
    assert shop.orchestrator.execute("order", saga="o-1").state == "compensated"
    assert shop.called == ["stock", "pay", "-pay", "-stock"]


def test_a_cancellation_survives_the_process_that_took_it() -> None:
    shop = Shop()

    def cancel_and_die() -> None:
        shop.orchestrator.cancel("o-1")
        raise Killed

    shop.script["pay"] = [cancel_and_die]
    with pytest.raises(Killed):
        shop.orchestrator.execute("order", saga="o-1")
    assert shop.again().recover()[0].state == "compensated"
    assert shop.called == ["stock", "pay", "-pay", "-stock"]


def test_without_a_pivot_the_last_compensable_step_decides() -> None:
    shop = Shop()
    shop.again(shop.steps()[:2])
    shop.script["pay"] = [lambda: shop.orchestrator.cancel("o-1")]
    assert shop.orchestrator.execute("order", saga="o-1").state == "compensated"
    assert shop.orchestrator.execute("order", saga="o-2").state == "completed"
    assert shop.orchestrator.cancel("o-2") is False


def test_an_orchestrator_believed_dead_writes_nothing_more_when_it_wakes() -> None:
    shop = Shop()
    other = Shop(shop.log)
    shop.script["pay"] = [lambda: other.orchestrator.recover() and "late"]
    with pytest.raises(TakenOver, match="o-1"):
        shop.orchestrator.execute("order", saga="o-1")
    assert other.called == ["pay", "ship", "mail"]
    assert shop.called == ["stock", "pay"]
    assert shop.kinds("o-1").count("completed") == 1


def test_one_saga_does_not_run_twice_in_one_orchestrator() -> None:
    shop = Shop()
    met: list[Any] = []
    shop.script["pay"] = [lambda: met.append(shop.orchestrator.recover())]
    assert shop.orchestrator.execute("order").state == "completed"
    assert met == [[]]


def test_many_threads_run_many_sagas_over_one_log(tmp_path: Path) -> None:
    shop = Shop(SagaLog(tmp_path / "sagas.db"))
    together = threading.Barrier(8)
    states: list[str] = []

    def run(number: int) -> None:
        together.wait()
        states.extend(shop.orchestrator.execute("order", number).state for _ in range(5))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["completed"] * 40
    assert len(shop.called) == 160


def test_the_waits_grow_are_jittered_and_bounded() -> None:
    retry = Retry(attempts=9, first=0.1, factor=2, longest=1.0)
    assert [retry.delay(attempt, 1.0) for attempt in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert retry.delay(3, 0.5) == pytest.approx(0.2)
    assert Retry(first=1.0).delay(5000, 1.0) == 30.0
    shop = Shop(retry=Retry(3, first=100, longest=1000), insist=Retry(2, first=7))
    shop.script["pay"] = [TimeoutError()] * 3
    shop.script["-pay"] = [TimeoutError()]
    shop.orchestrator.execute("order")
    assert len(shop.slept) == 3  # two between three attempts, none before turning back, one for the undoing
    assert shop.slept[1] <= 200
    assert shop.slept[2] <= 7


def test_a_result_that_is_no_json_is_an_unknown_outcome() -> None:
    shop = Shop()
    shop.script["pay"] = [{1, 2}, float("nan"), object()]
    assert shop.orchestrator.execute("order").state == "compensated"
    assert shop.called[-2:] == ["-pay", "-stock"]


def test_a_step_at_a_time_ends_as_a_run_does() -> None:
    shop = Shop()
    saga = shop.orchestrator.start("order")
    states = [shop.orchestrator.step(saga).state for _ in range(6)]
    assert states == ["running"] * 4 + ["completed"] * 2
    assert shop.called == ["stock", "pay", "ship", "mail"]


def test_a_definition_changed_under_a_running_saga_is_noticed_and_nothing_is_called() -> None:
    shop = Shop()
    shop.script["pay"] = [Killed()]
    with pytest.raises(Killed):
        shop.orchestrator.execute("order", saga="o-1")
    steps = shop.steps()
    outcome = shop.again([steps[1], steps[0], *steps[2:]]).recover()[0]
    assert outcome.state == "stuck"
    assert "han cambiado" in outcome.reason
    assert shop.called == ["stock", "pay"]
    shop.again()
    assert shop.orchestrator.resume("o-1").state == "completed"


def test_recovery_goes_on_past_a_saga_whose_definition_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    shop.orchestrator.start("order", saga="o-1")
    options: Any = {"sleep": shop.slept.append}
    other = Orchestrator(
        shop.log, [Saga("refund", [Step("pay", shop.does("pay"), nothing_to_undo)])], **options
    )
    other.start("refund", saga="r-1")
    assert [outcome.saga for outcome in other.recover()] == ["r-1"]
    assert "order" in caplog.text
    assert shop.orchestrator.recover()[0].state == "completed"


def nop(call: Call) -> None:
    pass


async def later(call: Call) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Saga("", [Step("a", nop, nop)]), "name"),
        (lambda: Saga("s", []), "no tiene pasos"),
        (lambda: Saga("s", [nop]), "Step"),  # type: ignore[list-item]
        (lambda: Saga("s", [Step("a", nop, nop)] * 2), "dos pasos"),
        (lambda: Saga("s", [Step("a", nop, pivot=True), Step("b", nop, nop)]), "va detrás"),
        (lambda: Saga("s", [Step("a", nop, pivot=True), Step("b", nop, pivot=True)]), "va detrás"),
        (lambda: Saga("s", [Step("a", nop, retriable=True), Step("b", nop, pivot=True)]), "va detrás"),
        (lambda: Step(" ", nop, nop), "name"),
        (lambda: Step("a", nop), "nothing_to_undo"),
        (lambda: Step("a", nop, nop, pivot=True), "dos clases"),
        (lambda: Step("a", "nop", nop), "función"),  # type: ignore[arg-type]
        (lambda: Step("a", nop, 3), "función"),  # type: ignore[arg-type]
        (lambda: Step("a", later, nop), "async def"),
        (lambda: Retry(0), "attempts"),
        (lambda: Retry(True), "attempts"),
        (lambda: Retry(first=-1), "first"),
        (lambda: Retry(longest=float("inf")), "longest"),
        (lambda: Retry(factor=0.5), "factor"),
        (lambda: Orchestrator("sagas.db", []), "SagaLog"),  # type: ignore[arg-type]
        (lambda: Orchestrator(SagaLog(), [nop]), "Saga"),  # type: ignore[list-item]
        (lambda: Orchestrator(SagaLog(), [Saga("s", [Step("a", nop, nop)])] * 2), "Hay dos sagas"),
        (lambda: Shop().orchestrator.start("order", {1, 2}), "JSON"),
        (lambda: Shop().orchestrator.start("order", saga=""), "saga"),
        (lambda: (one := Shop().orchestrator).resume(one.start("order")), "reanuda"),
    ],
)
def test_nonsense_is_refused_at_once_in_a_sentence(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        make()


def test_an_unknown_saga_is_told_by_name() -> None:
    orchestrator = Shop().orchestrator
    for ask in (
        orchestrator.run,
        orchestrator.step,
        orchestrator.cancel,
        orchestrator.resume,
        orchestrator.outcome,
    ):
        with pytest.raises(UnknownSaga, match="o-9"):
            ask("o-9")
    with pytest.raises(UnknownSaga, match="refund"):
        orchestrator.start("refund")


def test_the_diagram_shows_what_really_ran() -> None:
    shop = Shop()
    shop.script["pay"] = [TimeoutError(), Killed()]
    with pytest.raises(Killed):
        shop.orchestrator.execute("order", saga="o-1")
    shop.script["ship"] = [Refused("no lorry; sorry")]
    shop.again().recover()
    assert diagram(shop.orchestrator.history("o-1"), name="pedidos").splitlines() == [
        "sequenceDiagram",
        "    participant o as pedidos",
        "    participant p0 as stock",
        "    participant p1 as pay",
        "    participant p2 as ship",
        "    participant p3 as mail",
        "    o->>p0: haz",
        "    p0-->>o: hecho",
        "    o->>p1: haz",
        "    p1--xo: sin respuesta",
        "    o->>p1: haz (2)",
        "    p1--xo: sin respuesta",
        "    o->>p1: haz (3)",
        "    p1-->>o: hecho",
        "    o->>p2: haz",
        "    p2-->>o: no",
        "    Note over o: ship dijo que no: no lorry, sorry",
        "    o->>p1: deshaz",
        "    p1-->>o: deshecho",
        "    o->>p0: deshaz",
        "    p0-->>o: deshecho",
        "    Note over o: compensada",
    ]
