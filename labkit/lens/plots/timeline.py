"""Events along one axis of time: states of machines, and tasks that wait, run or are refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import (
    BLACK,
    BLUE,
    EDGE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PINK,
    RED,
    SKY,
    Drawing,
    Look,
    colours_of,
    legend,
    legible,
    looks_of,
    new_figure,
    patch_of,
    quiet,
    spread_labels,
)
from labkit.lens.plots.refusing import refusing
from labkit.messages import KILLED, PAUSED, RUNNING, STOPPED

_TALLEST = 7.5  # inches
_LETTER = 0.0135  # of the figure's width, generously
_WAITING: dict[str, Any] = {"facecolor": "#E8E8E8", "hatch": "////", "edgecolor": "#999999"}
# What lessons draw most often looks the same in each of them, in whatever order the states come.
_KNOWN_STATES = {
    "closed": Look(GREEN, "", "o"),
    "open": Look(RED, "///", "X"),
    "half-open": Look(ORANGE, "..", "D"),
    RUNNING: Look(GREEN, "", "o"),
    PAUSED: Look(ORANGE, "..", "D"),
    STOPPED: Look(GREY, "\\\\", "s"),
    KILLED: Look(RED, "xx", "X"),
}
# How tasks end that have run, and how those that never ran are marked.
_FAILED_HATCHES = ("xxx", "...", "+++", "ooo", "---")
_REFUSED_MARKS = (("X", RED), ("D", ORANGE), ("P", PINK), ("v", SKY), ("s", BLACK))


@refusing
def states(
    events: Iterable[tuple[float, Any, Any]], *, end: float | None = None, exact: bool = False
) -> Drawing:
    """Draw the states of several machines along time, a row for each.

    `events`: (time in seconds, machine, the state that it enters), in any order. Each state lasts until
    the machine's next event, the last one until `end` (default: a little after the last event).
    `exact`: the times are a ManualClock's and the same on every run: they stand in the text and on the
    axis as they are; otherwise the axis begins with the first event. Raises ValueError for no events, for
    times that are no numbers and for an `end` before the last event.
    """
    ordered = sorted(((_number(t), str(who), str(state)) for t, who, state in events), key=lambda e: e[0])
    if not ordered:
        raise BadArgument(messages.NO_EVENTS)
    first, last = ordered[0][0], ordered[-1][0]
    if end is not None and end < last:
        raise BadArgument(messages.END_TOO_EARLY.format(end=end, last=last))
    shift = 0.0 if exact else first
    until = (last + (0.15 * (last - first) or 1.0) if end is None else _number(end)) - shift
    rows: dict[str, list[tuple[float, str]]] = {}
    for t, who, state in ordered:
        rows.setdefault(who, []).append((t - shift, state))
    looks = _looks_of_states(state for _, _, state in ordered)

    with legible():
        figure = new_figure(min(_TALLEST, 1.35 + 0.62 * len(rows)))
        axes = figure.subplots()
        span = until - (first - shift)
        for y, row in enumerate(rows.values()):
            for (begins, state), ends in zip(row, [*(t for t, _ in row[1:]), until], strict=True):
                axes.barh(y, ends - begins, left=begins, height=0.62, **looks[state].patch)
                axes.plot([begins, begins], [y - 0.38, y + 0.38], color=BLACK, linewidth=1.6)
                if ends - begins > span * _LETTER * (len(state) + 1) and len(rows) <= 10:
                    _write(axes, (begins + ends) / 2, y, state, looks[state])
        _rows_of_names(axes, list(rows))
        axes.set(xlabel=messages.TIME_AXIS, xlim=(first - shift - 0.005 * span, until))
        legend(figure, [patch_of(look.patch) for look in looks.values()], list(looks))
    return Drawing(figure, "\n".join(_row_in_words(who, row, exact) for who, row in rows.items()))


def _looks_of_states(names: Iterable[str]) -> dict[str, Look]:
    found = list(dict.fromkeys(names))
    known: dict[str, Look] = {}
    for name in found:
        # A breaker's and a service's in one figure: who comes second looks like any other.
        if name in _KNOWN_STATES and _KNOWN_STATES[name] not in known.values():
            known[name] = _KNOWN_STATES[name]
    colours = {look.colour for look in known.values()}
    looks = list(looks_of(map(str, range(len(PALETTE) * 3))).values())
    free = [look for look in looks if look.colour not in colours] or looks
    others = [name for name in found if name not in known]
    given = known | {name: free[number % len(free)] for number, name in enumerate(others)}
    return {name: given[name] for name in found}


def _row_in_words(who: str, row: list[tuple[float, str]], exact: bool) -> str:
    steps = [f"{state} ({t:g} s)" if exact else state for t, state in row]
    return f"{who}: " + " → ".join(steps)


@dataclass
class _Task:
    name: str
    arrival: float
    start: float | None
    end: float | None
    outcome: str
    worker: str | None

    @property
    def good(self) -> bool:
        return self.outcome == "ok" or (self.outcome.isdigit() and int(self.outcome) < 400)


@refusing
def bars(records: Iterable[Any], *, exact: bool = False) -> Drawing:
    """Draw tasks or requests as bars along time: those that ran, waited or were refused.

    `records`: objects or mappings with `arrival`, `start` and `end` (seconds), `outcome` (`"ok"` or a
    status below 400 is good; default `"ok"`), `worker` (who ran it; may be missing) and `name` (default: a
    number). `start` None: it never ran, and was refused at its arrival, or at its `end` after waiting so
    long. `end` None: it still runs. From arrival to start is drawn as waiting. Up to seven workers have a
    colour each.
    `exact`: the times are a ManualClock's, see `states`. Raises ValueError for no records and for times
    in the wrong order.
    """
    tasks = [_task(record, number) for number, record in enumerate(records, start=1)]
    if not tasks:
        raise BadArgument(messages.NO_TASKS)
    tasks.sort(key=lambda task: task.arrival)
    words = _tasks_in_words(tasks, exact)
    shift = 0.0 if exact else tasks[0].arrival
    times = [t - shift for task in tasks for t in (task.arrival, task.start, task.end) if t is not None]
    first, last = min(times), max(times)
    span = (last - first) or 1.0
    workers = list(dict.fromkeys(task.worker for task in tasks if task.worker is not None))
    coloured = 1 < len(workers) <= len(PALETTE) - 1
    # Hatching says how it ended here, so the workers have plain colours, and their names on the bars.
    colours = colours_of(sorted(workers)) if coloured else {}

    failed = list(dict.fromkeys(t.outcome for t in tasks if t.start is not None and not t.good))
    hatches = {name: _FAILED_HATCHES[n % len(_FAILED_HATCHES)] for n, name in enumerate(failed)}
    refused = list(dict.fromkeys(t.outcome for t in tasks if t.start is None))
    marks = {name: _REFUSED_MARKS[n % len(_REFUSED_MARKS)] for n, name in enumerate(refused)}

    thin = len(tasks) > 20
    with legible():
        figure = new_figure(min(_TALLEST, 1.4 + 0.42 * len(tasks)))
        axes = figure.subplots()
        handles: dict[str, Any] = {}
        for y, task in enumerate(tasks):
            arrival = task.arrival - shift
            start, end = (None if t is None else t - shift for t in (task.start, task.end))
            waited_until = start if start is not None else end
            if waited_until is not None and waited_until - arrival > span * 0.004:
                axes.barh(y, waited_until - arrival, left=arrival, height=0.7 if thin else 0.45, **_WAITING)
                handles.setdefault(messages.WAITS, patch_of(_WAITING))
            if start is None:
                marker, colour = marks[task.outcome]
                [mark] = axes.plot(
                    [arrival if end is None else end],
                    [y],
                    marker,
                    color=colour,
                    markersize=5 if thin else 10,
                    markeredgecolor=BLACK,
                    clip_on=False,
                )
                handles.setdefault(task.outcome, mark)
                continue
            colour = colours.get(task.worker or "", BLUE)
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": EDGE}
            if task.good or not thin:
                handles.setdefault(_who(task, colours), patch_of(look))
            if not task.good:
                # No hatching fits a thin bar: there it is hollow.
                hatch = hatches[task.outcome]
                look |= (
                    {"facecolor": "white", "edgecolor": RED}
                    if thin
                    else {"hatch": hatch, "edgecolor": "white"}
                )
                sample = look if thin else look | {"facecolor": GREY}
                handles.setdefault(task.outcome, patch_of(sample))
            if end is None:
                look |= {"linestyle": ":", "alpha": 0.55}
                handles.setdefault(messages.STILL_RUNS, patch_of(look))
            ends = end if end is not None else last + 0.04 * span
            axes.barh(y, ends - start, left=start, height=0.7, **look)
            if task.worker and not thin and ends - start > span * _LETTER * (len(task.worker) + 1):
                _write(axes, (start + ends) / 2, y, task.worker, Look(colour, look.get("hatch", ""), "o"))
        _rows_of_names(axes, [task.name for task in tasks])
        axes.set(xlabel=messages.TIME_AXIS, xlim=(first - 0.015 * span, last + 0.04 * span))
        order = sorted(
            handles, key=lambda name: (name not in colours, name != messages.RUNS, name != messages.WAITS)
        )
        legend(figure, [handles[name] for name in order], order)
    return Drawing(figure, words)


def _who(task: _Task, colours: Mapping[str, str]) -> str:
    return task.worker if task.worker in colours and task.worker else messages.RUNS


def _task(record: Any, number: int) -> _Task:
    def get(name: str, default: Any = None) -> Any:
        return record.get(name, default) if isinstance(record, Mapping) else getattr(record, name, default)

    start, end, worker, outcome = get("start"), get("end"), get("worker"), get("outcome")
    arrival = get("arrival", start)
    name = get("name")
    task = _Task(
        str(number) if name is None else str(name),
        _number(arrival),
        None if start is None else _number(start),
        None if end is None else _number(end),
        "ok" if outcome is None else str(outcome),
        None if worker is None else str(worker),
    )
    known = [t for t in (task.arrival, task.start, task.end) if t is not None]
    if known != sorted(known):
        raise BadArgument(messages.WRONG_ORDER.format(name=task.name, times=known))
    return task


def _tasks_in_words(tasks: list[_Task], exact: bool) -> str:
    counts = Counter(task.outcome for task in tasks)
    lines = [
        messages.TASKS[len(tasks) != 1].format(count=len(tasks))
        + ": "
        + " · ".join(f"{outcome} × {counts[outcome]}" for outcome in sorted(counts))
    ]
    if exact:
        for task in tasks:
            times = [
                word.format(t=t)
                for word, t in zip(messages.TASK_TIMES, (task.arrival, task.start, task.end), strict=True)
                if t is not None
            ]
            lines.append(f"{task.name}: {', '.join(times)} · {task.outcome}")
    return "\n".join(lines)


def _rows_of_names(axes: Any, names: list[str]) -> None:
    step = spread_labels(len(names), 18)
    shown = range(0, len(names), step)
    axes.set(yticks=list(shown), yticklabels=[_short(names[y]) for y in shown], ylim=(-0.7, len(names) - 0.3))
    axes.invert_yaxis()
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    quiet(axes, "left")


def _short(name: str, longest: int = 28) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _write(axes: Any, x: float, y: float, text: str, look: Look) -> None:
    """Write on a bar, on a ground of its colour where a hatching would cross the letters."""
    box = {"facecolor": look.colour, "edgecolor": "none", "pad": 1.5} if look.hatch else None
    axes.text(x, y, text, ha="center", va="center_baseline", color=look.ink, fontsize=11.5, bbox=box)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArgument(messages.NO_TIME.format(value=value))
    return float(value)
