"""The orchestrator: it does what its log says, and writes in its log before it does.

Every call stands in the log before it is made, and its outcome before the next. So whatever kills the
process, the log tells a new one where every saga stands, except for one call each that may or may not have
happened: that one is made again under the same key.

The outcome of a step and the intention of the next share a transaction: n steps cost n + 2 commits.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from labkit.patterns._given import InvalidInput, valid_text
from labkit.patterns.saga import messages
from labkit.patterns.saga.definition import INSIST, RETRY, Call, Retry, Saga, to_json
from labkit.patterns.saga.errors import Refused, SagaError, TakenOver, UnknownSaga
from labkit.patterns.saga.log import Notice, SagaLog
from labkit.patterns.saga.machine import CALLS, Entry, Progress, State, can_turn_back, decide

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Where a saga stands: its state, what its steps returned, and why it turned back or stopped."""

    saga: str
    state: State
    results: dict[str, Any]
    reason: str = ""


class Orchestrator:
    """Drive sagas to their end: all done, or what was done undone, or stuck with a notice.

    `sagas`: the definitions. `retry`: attempts of a compensable step before the saga turns back; `insist`:
    attempts of a pivot, a retriable step or a compensation before the saga is stuck. `on_stuck`: called with
    a Notice for each saga that needs a person, at least once for each, also across a crash; default: an
    error in the log of this module. `sleep`: called with the seconds between two attempts. `seed`: of the
    jitter.

    A saga runs in the thread that calls `run`; several may run at once. One orchestrator at a time should
    work on a log; where two do (one was believed dead), the participants' keys keep each effect single and
    the late one stops with TakenOver. Raises InvalidInput.
    """

    def __init__(
        self,
        log: SagaLog,
        sagas: Collection[Saga],
        *,
        retry: Retry = RETRY,
        insist: Retry = INSIST,
        on_stuck: Callable[[Notice], object] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        seed: int | None = None,
    ) -> None:
        if not isinstance(log, SagaLog):
            raise InvalidInput(messages.NOT_A_LOG.format(given=log))
        self.log = log
        self.sagas: dict[str, Saga] = {}
        for saga in sagas:
            if not isinstance(saga, Saga):
                raise InvalidInput(messages.NOT_A_SAGA.format(given=saga))
            if saga.name in self.sagas:
                raise InvalidInput(messages.SAME_SAGA.format(saga=saga.name))
            self.sagas[saga.name] = saga
        self.retry, self.insist = retry, insist
        self._on_stuck = on_stuck or _log_stuck
        self._sleep = sleep
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def start(self, name: str, data: Any = None, *, saga: str | None = None) -> str:
        """Write a saga into the log and return its id; from here on it will end, whatever happens.

        `data`: JSON for its steps. `saga`: an id of yours (an order's number), so that starting twice starts
        one; else a new one. Nothing is called before `run`. Raises InvalidInput, UnknownSaga, SagaExists.
        """
        if name not in self.sagas:
            raise UnknownSaga(messages.NO_DEFINITION.format(saga=name))
        saga = uuid.uuid4().hex if saga is None else valid_text("saga", saga)
        to_json("data", data)
        self.log.create(saga, name, Entry("started", detail={"data": data, "steps": self.sagas[name].shape}))
        return saga

    def run(self, saga: str) -> Outcome:
        """Go on with a saga from wherever it stands until it ends or is stuck.

        Raises UnknownSaga; TakenOver; StorageError. What is no Exception (KeyboardInterrupt) leaves it
        unfinished, for `run` or `recover`.
        """
        with self._alone(saga):
            definition = self._definition(saga)
            history, outcome = self.log.read(saga), list[Entry]()
            while True:
                history += self.log.advance(saga, history, outcome, lambda log: self._decide(definition, log))
                if history[-1].kind not in CALLS:
                    break
                outcome = [self._call(saga, definition, history)]
                if outcome[0].kind in ("failed", "undo-failed"):
                    # Written before the wait: a cancellation that comes during it is seen.
                    history += self.log.advance(saga, history, outcome, _nothing)
                    outcome = []
                    self._pause(definition, history)
        self._give_notices()
        return self.outcome(saga)

    def step(self, saga: str) -> Outcome:
        """Make one call at most, write its outcome, and return where the saga stands then.

        To watch a saga, or to let several take turns. Raises as `run` does.
        """
        with self._alone(saga):
            definition = self._definition(saga)
            history = self.log.read(saga)
            history += self.log.advance(saga, history, [], lambda log: self._decide(definition, log))
            if history[-1].kind in CALLS:
                outcome = self._call(saga, definition, history)
                self.log.advance(saga, history, [outcome], _nothing)
        self._give_notices()
        return self.outcome(saga)

    def execute(self, name: str, data: Any = None, *, saga: str | None = None) -> Outcome:
        """Start a saga and run it to its end."""
        return self.run(self.start(name, data, saga=saga))

    def recover(self) -> list[Outcome]:
        """Run every saga that an earlier process left unfinished, and give the notices that it owes.

        Sagas that run in this orchestrator, or that another takes over, are passed by.
        """
        outcomes = []
        for saga in self.log.unfinished():
            try:
                outcomes.append(self.run(saga))
            except (TakenOver, _Busy):
                continue
            except UnknownSaga as error:
                _log.error("%s", error)
        self._give_notices()
        return outcomes

    def cancel(self, saga: str) -> bool:
        """Ask that a saga be undone; return False where it is too late: pivot begun, or all done.

        True is a promise: written in the log before it is given. The thread that runs the saga turns back
        after its present call; where none does, the next `run` or `recover` will. Raises UnknownSaga.
        """
        definition = self._definition(saga)
        accepted = False

        def write(log: list[Entry]) -> list[Entry]:
            nonlocal accepted
            progress = Progress(log)
            accepted = progress.cancelled or progress.state in ("compensating", "compensated")
            if not accepted and can_turn_back(definition, progress):
                accepted = True
                return [Entry("cancelled")]
            return []

        while True:
            try:
                self.log.advance(saga, self.log.read(saga), [], write)
            except TakenOver:
                continue  # the saga went on between the reading and the writing
            return accepted

    def resume(self, saga: str) -> Outcome:
        """Go on with a stuck saga, its attempts counted anew, once a person has mended the cause."""
        progress = Progress(self.log.read(saga))
        if progress.state != "stuck":
            raise InvalidInput(messages.NOT_STUCK.format(saga=saga, state=progress.state))
        progress.apply(Entry("resumed"))
        self.log.resume(saga, progress.state, Entry("resumed"))
        return self.run(saga)

    def outcome(self, saga: str) -> Outcome:
        """Return where a saga stands. Raises UnknownSaga."""
        progress = Progress(self.log.read(saga))
        return Outcome(saga, progress.state, progress.results, progress.reason)

    def history(self, saga: str) -> list[Entry]:
        """Return a saga's log, oldest entry first. Raises UnknownSaga."""
        return self.log.read(saga)

    def _decide(self, definition: Saga, log: list[Entry]) -> list[Entry]:
        return decide(definition, Progress(log), self.retry, self.insist)

    def _call(self, saga: str, definition: Saga, history: list[Entry]) -> Entry:
        entry, progress = history[-1], Progress(history)
        step = definition[entry.step]
        forward = entry.kind == "doing"
        function = step.action if forward else step.compensation
        assert function is not None
        call = Call(saga, step.name, entry.attempt, progress.data, progress.results)
        try:
            result = function(call)
            if forward:
                to_json("result", result)
        except Refused as error:
            return Entry("refused" if forward else "undo-failed", step.name, entry.attempt, _told(error))
        except Exception as error:
            return Entry("failed" if forward else "undo-failed", step.name, entry.attempt, _told(error))
        if forward:
            return Entry("done", step.name, entry.attempt, result)
        return Entry("undone", step.name, entry.attempt)

    def _pause(self, definition: Saga, history: list[Entry]) -> None:
        failed = history[-1]
        following = self._decide(definition, history)[-1]
        if following.kind not in CALLS or following.step != failed.step or following.attempt == 1:
            return
        retry = (
            self.retry if following.kind == "doing" and definition[failed.step].compensation else self.insist
        )
        self._sleep(retry.delay(failed.attempt, self._random.random()))

    def _definition(self, saga: str) -> Saga:
        name = self.log.name(saga)
        if name not in self.sagas:
            raise UnknownSaga(messages.NO_DEFINITION.format(saga=name))
        return self.sagas[name]

    def _give_notices(self) -> None:
        for notice in self.log.notices():
            try:
                self._on_stuck(notice)
            except Exception:
                _log.exception("on_stuck failed for %s: it will be called again", notice.saga)
            else:
                self.log.noticed(notice)

    @contextmanager
    def _alone(self, saga: str) -> Iterator[None]:
        with self._lock:
            if saga in self._running:
                raise _Busy(messages.BUSY.format(saga=saga))
            self._running.add(saga)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(saga)


class _Busy(SagaError, RuntimeError):
    pass


def _nothing(log: list[Entry]) -> list[Entry]:
    return []


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _log_stuck(notice: Notice) -> None:
    _log.error("%s (%s): %s", notice.saga, notice.name, notice.reason)
