"""What `make bench` prints: ratios of contestants that took turns, round by round, and their aims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass
class Aim:
    """What a ratio should be: at most, or at least, so much."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def judge(self, value: float, *middle_half: float) -> str:
        """Says so when the rounds disagree: then the median is an opinion of the noise."""
        verdict = "met" if self._holds(value) else "NOT MET"
        agreed = all(self._holds(quartile) == self._holds(value) for quartile in middle_half)
        return verdict if agreed else f"{verdict}, unclear: rounds disagree"

    def _holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


Values = dict[str, list[float]]  # what was measured, by contestant, a value for each round


def print_table(
    title: str, unit: str, values: Values, rows: list[tuple[str, str, Aim | None]], *, over: bool = False
) -> None:
    """Rows of (one contestant, the other, aim): one divided by the other, round by round.

    `over`: the other divided by the one instead, "so many times quicker".
    """
    print(f"\n## {title}\n")
    print_row("what", "against", unit, f"against, {unit}", "ratio", "middle half", "aim", "")
    print_row("---", "---", "---:", "---:", "---:", "---:", "---:", "---")
    for one, other, aim in rows:
        pairs = list(zip(values[one], values[other], strict=False))
        ratios = sorted(b / a if over else a / b for a, b in pairs)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print_row(
            one,
            other,
            brief(median(values[one])),
            brief(median(values[other])),
            brief(median(ratios)),
            f"{brief(low)} to {brief(high)}",
            str(aim or ""),
            aim.judge(median(ratios), low, high) if aim else "for information",
        )


def brief(number: float) -> str:
    """Three digits that count: 0.00321, 1.25, 501, 4874."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def take_turns(rounds: int, measures: dict[str, Callable[[], float]]) -> Values:
    """Measure each once a round, every other round in reverse order."""
    values: Values = {name: [] for name in measures}
    for number in range(rounds):
        order = list(measures) if number % 2 == 0 else list(reversed(measures))
        for name in order:
            values[name].append(measures[name]())
    return values
