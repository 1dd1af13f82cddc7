"""The measurements of a load: latencies, before and after, and answers along time."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labkit.errors import BadArgument
from labkit.lens import load_messages as messages
from labkit.lens.plots.drawing import (
    LINES,
    MARKERS,
    PALETTE,
    Drawing,
    Look,
    legend,
    legible,
    looks_of_outcomes,
    new_figure,
    patch_of,
    quiet,
)
from labkit.lens.plots.refusing import refusing
from labkit.lens.samples import Samples, in_words, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 36  # at most, along a whole figure
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds
_FEW, _BRIEF = 40, 0.25  # requests, seconds: of no more, no rate can be told


@refusing
def requests_along_time(result: Samples) -> Drawing:
    """Draw each request of a load by sending time, latency and outcome; below, answers per second."""
    if not result.samples:
        raise BadArgument(messages.NO_SAMPLES)
    looks = looks_of_outcomes(result.counts)
    with legible():
        with_rate = len(result) > _FEW and result.elapsed > _BRIEF
        figure = new_figure(5.2 if with_rate else 3.6)
        if with_rate:
            axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1.35))
            _stack(below, result, _window(result.elapsed), looks)
            below.set(xlabel=messages.TIME_AXIS, ylabel=messages.RATE_AXIS_SHORT)
        else:
            axes = figure.subplots()
            axes.set_xlabel(messages.TIME_AXIS)
        size = 46 if len(result) <= 300 else 22 if len(result) <= 3000 else 9
        handles = []
        for outcome, look in looks.items():
            of_it = [sample for sample in result.samples if sample.outcome == outcome]
            dots = axes.scatter(
                [sample.start for sample in of_it],
                [1e3 * sample.latency for sample in of_it],
                s=size,
                marker=look.marker,
                color=look.colour,
                edgecolors="white" if size > 10 else "none",
                linewidths=0.5,
                label=outcome,
            )
            handles.append(dots)
        _latency_scale(axes.yaxis, [1e3 * sample.latency for sample in result.samples])
        axes.set_ylabel(messages.LATENCY_AXIS)
        axes.set_xlim(left=-0.012 * axes.get_xlim()[1])
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        quiet(axes)
        legend(
            figure,
            [_bigger(look) for look in looks.values()],
            [f"{outcome} ({count})" for outcome, count in result.counts.items()],
        )
        if result.notes:
            figure.supxlabel(_wrapped(result.notes), fontsize=11, x=0.01, ha="left", style="italic")
    return Drawing(figure, repr(result))


def _bigger(look: Look) -> Any:
    """Return a legend's sample of a dot, large enough whatever the size of the dots."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=look.marker, markersize=8, color=look.colour)


def _wrapped(notes: Sequence[str]) -> str:
    return "\n".join(line for note in notes for line in textwrap.wrap(note, 105))


@refusing
def latencies(rows: Mapping[str, Samples | Sequence[float]]) -> Drawing:
    """Draw a distribution of latencies for each row: what part was answered by each time.

    `rows`: for each label the result of a load, or latencies in seconds. Of a load, only answers with a
    status below 400 count as answered, so the line of one that fails ends below 100 %. Raises
    ValueError where there is nothing to draw.
    """
    answered = {label: _answered(row) for label, row in rows.items()}
    if not any(total for _, total in answered.values()):
        raise BadArgument(messages.NO_SAMPLES)
    with legible():
        figure = new_figure(4.0)
        _distribution(figure.subplots(), answered)
        legend(figure, *_lines_of(answered))
    return Drawing(
        figure, "\n".join(_answered_in_words(label, *counted) for label, counted in answered.items())
    )


@refusing
def comparison(rows: Mapping[str, Samples]) -> Drawing:
    """Draw two or more loads on the same axes: latencies, and answers per second by outcome."""
    answered = {label: _answered(row) for label, row in rows.items()}
    outcomes = list(dict.fromkeys(outcome for row in rows.values() for outcome in row.counts))
    outcomes.sort(key=lambda outcome: (not outcome.isdigit(), outcome))
    looks = looks_of_outcomes(outcomes)
    with legible():
        figure = new_figure(4.4)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _distribution(left, answered)
        legend(figure, *_lines_of(answered))
        for y, row in enumerate(rows.values()):
            edge = 0.0
            for outcome, look in looks.items():
                rate = row.counts.get(outcome, 0) / row.elapsed if row.elapsed else 0.0
                right.barh(y, rate, left=edge, height=0.55, **look.patch)
                edge += rate
        right.set(
            yticks=range(len(rows)),
            yticklabels=[_broken(label) for label in rows],
            xlabel=messages.RATE_AXIS,
            ylim=(-0.6, len(rows) - 0.4),
        )
        right.invert_yaxis()
        right.set_xlim(right=1.06 * right.get_xlim()[1])
        right.locator_params(axis="x", nbins=5)
        quiet(right, "left")
        legend(figure, [patch_of(look.patch) for look in looks.values()], list(looks), "lower")
    return Drawing(figure, "\n".join(f"{label}: {in_words(row.counts)}" for label, row in rows.items()))


@refusing
def throughput(rows: Samples | Mapping[str, Samples], *, window: float | None = None) -> Drawing:
    """Draw answers per second along time, by outcome; several loads below each other.

    `window`: seconds over which answers are counted (default: a round number that fits).
    """
    by_label = {"": rows} if isinstance(rows, Samples) else dict(rows)
    named(list(by_label.values()), list(by_label))
    if not any(len(row) for row in by_label.values()):
        raise BadArgument(messages.NO_SAMPLES)
    if window is not None and not window > 0:
        raise BadArgument(messages.BAD_WINDOW.format(window=window))
    outcomes = sorted(
        {outcome for row in by_label.values() for outcome in row.counts},
        key=lambda outcome: (not outcome.isdigit(), outcome),
    )
    looks = looks_of_outcomes(outcomes)
    window = window or _window(max(row.elapsed for row in by_label.values()))
    with legible():
        figure = new_figure(1.4 + 1.9 * len(by_label))
        panels = figure.subplots(len(by_label), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (label, row) in zip(panels, by_label.items(), strict=True):
            _stack(axes, row, window, looks)
            axes.set_title(label, loc="left", fontsize=12)
        panels[-1].set_xlabel(messages.TIME_AXIS)
        figure.supylabel(messages.RATE_AXIS, fontsize=12)
        legend(figure, [patch_of(look.patch) for look in looks.values()], list(looks))
    texts = [f"{label}: {in_words(row.counts)}".removeprefix(": ") for label, row in by_label.items()]
    return Drawing(figure, "\n".join(texts))


def _stack(axes: Axes, result: Samples, window: float, looks: Mapping[str, Look]) -> None:
    """Draw bars of one window each, the outcomes on top of each other."""
    last = int(max((sample.end for sample in result.samples), default=0.0) / window)
    bottom = [0.0] * (last + 1)
    for outcome, look in looks.items():
        ended = Counter(int(sample.end / window) for sample in result.samples if sample.outcome == outcome)
        if not ended:
            continue
        heights = [ended[number] / window for number in range(last + 1)]
        axes.bar(
            [(number + 0.5) * window for number in range(last + 1)],
            heights,
            width=window * 0.9,
            bottom=bottom,
            **look.patch | ({} if look.hatch else {"edgecolor": "none"}),
        )
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set_xlim(0, max((last + 1) * window, axes.get_xlim()[1]))
    axes.locator_params(axis="y", nbins=4)
    quiet(axes)


def _window(elapsed: float) -> float:
    return next((step for step in _STEPS if elapsed / step <= _BINS), _STEPS[-1])


def _answered(row: Samples | Sequence[float]) -> tuple[list[float], int]:
    """Return the milliseconds of answered requests, ascending, and how many were asked."""
    if isinstance(row, Samples):
        return sorted(1e3 * sample.latency for sample in row.samples if sample.ok), len(row)
    return sorted(1e3 * latency for latency in row), len(row)


def _answered_in_words(label: str, answered: list[float], total: int) -> str:
    return messages.ANSWERED.format(label=label, answered=len(answered), total=total)


def _distribution(axes: Axes, answered: Mapping[str, tuple[list[float], int]]) -> None:
    longest = max((times[-1] for times, _ in answered.values() if times), default=1.0)
    for number, (times, total) in enumerate(answered.values()):
        if not times:
            continue
        shares = [100 * (place + 1) / total for place in range(len(times))]
        look = {
            "linewidth": 2.2,
            "linestyle": LINES[number % len(LINES)],
            "color": PALETTE[number % len(PALETTE)],
        }
        # From nothing at its first answer to its last one; on to the end of the axis without a mark, for
        # nothing was answered any more.
        axes.step(
            [times[0], *times],
            [0.0, *shares],
            where="post",
            marker=MARKERS[number % len(MARKERS)],
            markersize=7,
            markevery=(0.08 + 0.04 * number, 0.2),
            **look,
        )
        axes.plot([times[-1], longest * 1.04], [shares[-1]] * 2, **look)
    _latency_scale(axes.xaxis, [time for times, _ in answered.values() for time in times])
    axes.set(xlabel=messages.LATENCY_AXIS, ylabel=messages.SHARE_AXIS, ylim=(-2, 104))
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    quiet(axes)


def _lines_of(answered: Mapping[str, tuple[list[float], int]]) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=PALETTE[number % len(PALETTE)],
            linestyle=LINES[number % len(LINES)],
            marker=MARKERS[number % len(MARKERS)],
            linewidth=2.2,
            markersize=7,
        )
        for number in range(len(answered))
    ]
    return handles, [
        messages.OF_SO_MANY.format(label=label, answered=len(times), total=total)
        for label, (times, total) in answered.items()
    ]


def _latency_scale(axis: Any, values: list[float]) -> None:
    """Scale from zero; by logarithm where the longest would press all others against the axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not values:
        return
    values = sorted(values)
    middle = values[len(values) // 2]
    axes, name = axis.axes, axis.axis_name
    if values[-1] > 20 * middle > 0:
        getattr(axes, f"set_{name}scale")("log")
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    else:
        getattr(axes, f"set_{name}lim")(0, values[-1] * 1.06)


def _broken(label: str) -> str:
    return textwrap.fill(label, 16)
