"""The observed calls as data: a tree, and the tree as text.

The order of siblings is the order in which the code asked for them, also where it asked for several at a
time (see telemetry.Position): it depends on no clock, so the text is the same on every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.lens import messages

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, as its caller saw it.

    `index` is its place in `calls`, `parent` the index of the call during which it was made (None: made by
    the block itself). `caller` and `callee` are names of services; `cliente` for the block, an address for
    what is no service of this kernel. `status` is None without an answer; then `error` says why, in words.
    `start`: seconds since the block began. `duration`: seconds; None for a call that was still running when
    the block ended.
    """

    index: int
    parent: int | None
    caller: str
    callee: str
    method: str
    path: str
    status: int | None
    error: str | None
    start: float
    duration: float | None

    @property
    def outcome(self) -> str:
        """The end in a word: the error, else the status, else that the call is still running."""
        if self.error is not None:
            return self.error
        return messages.RUNNING if self.duration is None else str(self.status)

    @property
    def failed(self) -> bool:
        """True when it ended without an answer, or with a server's error."""
        return self.error is not None or (self.status is not None and self.status >= 500)

    def __str__(self) -> str:
        return f"{self.method} {self.callee} {self.path} → {self.outcome}"


def as_text(root: str, calls: Sequence[Call], limit: int = _SHOWN) -> str:
    """Return the tree below `root` (the first caller), a line a call, without times."""
    if not calls:
        return f"{root}\n{messages.NO_CALLS}"
    lines = [root, *(f"{branch}{call}" for branch, call in zip(branches(calls), calls, strict=True))]
    if len(lines) > limit + 1:
        lines[limit + 1 :] = [messages.MORE_CALLS.format(count=len(calls) - limit)]
    return "\n".join(lines)


def branches(calls: Sequence[Call]) -> list[str]:
    """Return the lines to draw before each call: `│  └─ `. `calls` has parents first, in order."""
    last_child = {call.parent: call.index for call in calls}
    drawn = []
    trunks: dict[int | None, str] = {None: ""}
    for call in calls:
        before, is_last = trunks[call.parent], last_child[call.parent] == call.index
        drawn.append(before + ("└─ " if is_last else "├─ "))
        trunks[call.index] = before + ("   " if is_last else "│  ")
    return drawn
