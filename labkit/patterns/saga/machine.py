"""The protocol, without a clock, a database or a network: what a saga's log means, and what follows from it.

`Progress` folds the log into where the saga stands; `decide` says what to write next. Whatever the
orchestrator does, it has first written that it will (an entry "doing" or "undoing"), so an entry without an
answer behind it tells whoever reads the log after a crash: this may have happened.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from labkit.patterns.saga import messages
from labkit.patterns.saga.definition import Retry, Saga, Step

State = Literal["running", "compensating", "completed", "compensated", "stuck"]
EntryKind = Literal[
    "started",
    "doing",
    "done",
    "refused",
    "failed",
    "cancelled",
    "compensating",
    "undoing",
    "undone",
    "undo-failed",
    "stuck",
    "resumed",
    "completed",
    "compensated",
]

CALLS = ("doing", "undoing")
UNFINISHED = ("running", "compensating")


@dataclass(frozen=True)
class Entry:
    """One line of a saga's log, written once and never changed.

    `attempt`: of a call, from 1. `detail`: JSON; the data, a result, an error's text or a reason.
    """

    kind: EntryKind
    step: str = ""
    attempt: int = 0
    detail: Any = None


class Progress:
    """Fold a saga's log into where it stands.

    `state`; `data`; `results` by step, in order; `pending`: the steps that may have left something and are
    not undone, in the order in which they were begun; `begun`: the steps ever begun; `reason`: why it turned
    back or stopped.
    """

    def __init__(self, history: Iterable[Entry] = ()) -> None:
        self.state: State = "running"
        self.data: Any = None
        self.shape: list[list[str]] = []
        self.results: dict[str, Any] = {}
        self.pending: list[str] = []
        self.begun: set[str] = set()
        self.cancelled = False
        self.reason = ""
        self._why_back = ""
        self.error = messages.NO_ANSWER  # of the last call
        self.refused = False  # the last call forward was
        self._attempts: Counter[tuple[str, str]] = Counter()  # since the saga was last resumed
        self._unanswered: Counter[str] = Counter()
        for entry in history:
            self.apply(entry)

    def attempts(self, kind: str, step: str) -> int:
        """Return how often that call ("doing" or "undoing") was begun, since the saga was last resumed."""
        return self._attempts[kind, step]

    def apply(self, entry: Entry) -> None:
        """Take one more entry into account."""
        step = entry.step
        match entry.kind:
            case "started":
                self.data, self.shape = entry.detail["data"], entry.detail["steps"]
            case "doing":
                self._begin(entry)
                self.begun.add(step)
                self._unanswered[step] += 1
                if step not in self.pending:
                    self.pending.append(step)
            case "done":
                self.results[step] = entry.detail
            case "refused":
                self.refused, self.error = True, entry.detail
                self._unanswered[step] -= 1
                if not self._unanswered[step]:
                    self.pending.remove(step)
                # else an earlier attempt is still unanswered, and may arrive after this no
            case "failed" | "undo-failed":
                self.error = entry.detail
            case "cancelled":
                self.cancelled = True
            case "compensating":
                self.state, self.reason = "compensating", entry.detail
                self._why_back = entry.detail
            case "undoing":
                self._begin(entry)
            case "undone":
                self.pending.remove(step)
            case "stuck":
                self.state, self.reason = "stuck", entry.detail
            case "resumed":
                self.state, self.refused = "compensating" if self._why_back else "running", False
                self.reason = self._why_back
                self._attempts.clear()
            case "completed" | "compensated":
                self.state = entry.kind

    def _begin(self, entry: Entry) -> None:
        self._attempts[entry.kind, entry.step] += 1
        self.error, self.refused = messages.NO_ANSWER, False


def decide(saga: Saga, progress: Progress, retry: Retry, insist: Retry) -> list[Entry]:
    """Return the entries that follow: the last is the next call, or the saga's end; none where it has ended.

    `retry` limits a compensable step, `insist` whatever has to be done: pivot, retriable, compensation.
    """
    if progress.state not in UNFINISHED:
        return []
    if progress.shape != saga.shape:
        return [Entry("stuck", detail=messages.STUCK_DEFINITION.format(saga=saga.name))]
    if progress.state == "compensating":
        return [_backward(saga, progress, insist)]
    if progress.cancelled and can_turn_back(saga, progress):
        return _turn_back(saga, progress, insist, messages.WHY_CANCELLED)
    if len(progress.results) == len(saga.steps):
        return [Entry("completed")]
    step = saga.steps[len(progress.results)]
    attempts = progress.attempts("doing", step.name)
    told = {"step": step.name, "attempts": attempts, "error": progress.error}
    if progress.refused:
        if step.retriable:
            return [Entry("stuck", step.name, detail=messages.STUCK_REFUSED.format(**told))]
        return _turn_back(saga, progress, insist, messages.WHY_REFUSED.format(**told))
    if attempts < (retry if step.kind == "compensable" else insist).attempts:
        return [Entry("doing", step.name, attempts + 1)]
    if step.kind == "compensable":
        return _turn_back(saga, progress, insist, messages.WHY_UNKNOWN.format(**told))
    return [Entry("stuck", step.name, detail=messages.STUCK_FORWARD.format(**told))]


def can_turn_back(saga: Saga, progress: Progress) -> bool:
    """Return True while no pivot and no retriable step has been begun, and the saga has not ended."""
    if progress.state == "completed":
        return False
    return not any(_commits(step) and step.name in progress.begun for step in saga.steps)


def _commits(step: Step) -> bool:
    return step.pivot or step.retriable


def _turn_back(saga: Saga, progress: Progress, insist: Retry, reason: str) -> list[Entry]:
    return [Entry("compensating", detail=reason), _backward(saga, progress, insist)]


def _backward(saga: Saga, progress: Progress, insist: Retry) -> Entry:
    # A pivot's no is taken for final, though an earlier attempt went unanswered: nothing could undo it.
    left = [name for name in progress.pending if saga[name].compensation]
    if not left:
        return Entry("compensated")
    name = left[-1]
    attempts = progress.attempts("undoing", name)
    if attempts < insist.attempts:
        return Entry("undoing", name, attempts + 1)
    told = {"step": name, "attempts": attempts, "error": progress.error}
    return Entry("stuck", name, detail=messages.STUCK_BACK.format(**told))
