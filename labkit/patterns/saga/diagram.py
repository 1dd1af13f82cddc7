"""A saga drawn as it really ran: a Mermaid sequence diagram made of its log."""

from collections.abc import Sequence

from labkit.patterns.saga import messages
from labkit.patterns.saga.machine import Entry, Progress


def diagram(history: Sequence[Entry], *, name: str = "orquestador") -> str:
    """Return the Mermaid text of a saga's log: each call that was made, and what came back.

    A call without an answer (the process died, or it timed out) ends in a cross. `name`: the orchestrator's,
    on the drawing.
    """
    progress = Progress(history)
    steps = [step for step, _ in progress.shape]
    alias = {step: f"p{number}" for number, step in enumerate(steps)}
    lines = ["sequenceDiagram", f"    participant o as {_plain(name)}"]
    lines += [f"    participant {alias[step]} as {_plain(step)}" for step in steps]
    asked: Entry | None = None
    for entry in history:
        if entry.kind in ("doing", "undoing"):
            if asked is not None:
                lines.append(_lost(alias[asked.step]))
            verb = messages.DIAGRAM_DO if entry.kind == "doing" else messages.DIAGRAM_UNDO
            attempt = f" ({entry.attempt})" if entry.attempt > 1 else ""
            lines.append(f"    o->>{alias[entry.step]}: {verb}{attempt}")
            asked = entry
        elif asked is not None and entry.step == asked.step and entry.kind in _ANSWERS:
            lines.append(
                _lost(alias[entry.step])
                if entry.kind in ("failed", "undo-failed")
                else f"    {alias[entry.step]}-->>o: {_ANSWERS[entry.kind]}"
            )
            asked = None
        elif entry.kind == "cancelled":
            lines.append(f"    Note over o: {messages.WHY_CANCELLED}")
        elif entry.kind == "compensating":
            lines.append(f"    Note over o: {_plain(str(entry.detail))}")
    if asked is not None:
        lines.append(_lost(alias[asked.step]))
    end = messages.DIAGRAM_END[progress.state].format(reason=_plain(progress.reason))
    return "\n".join([*lines, f"    Note over o: {end}"])


_ANSWERS = {
    "done": messages.DIAGRAM_OK,
    "undone": messages.DIAGRAM_UNDONE,
    "refused": messages.DIAGRAM_REFUSED,
    "failed": "",
    "undo-failed": "",
}


def _lost(participant: str) -> str:
    return f"    {participant}--xo: {messages.NO_ANSWER}"


def _plain(text: str) -> str:
    # Mermaid ends a statement at a semicolon or a line's end, and takes # for the start of an entity.
    return text.replace("\n", " ").replace(";", ",").replace("#", "n.º ")
