"""Figures that have a goal: what a benchmark returns, and the one table that all of them end in.

The goals are those of the plan. A figure says what this run saw; whether its goal was reached on a
machine that others use too says little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One figure and its goal, both in `unit`."""

    what: str
    value: float
    unit: str
    goal: float
    bound: Literal["at most", "at least"] = "at most"

    @property
    def reached(self) -> bool:
        """Whether the goal holds."""
        if self.bound == "at most":
            return self.value <= self.goal
        return self.value >= self.goal

    def row(self) -> tuple[str, str, str, str]:
        """What it is, the goal, the figure, and whether they agree."""
        unit = f" {self.unit}" if self.unit else ""
        goal = f"{self.bound} {self.goal:g}{unit}"
        return self.what, goal, f"{self.value:.3g}{unit}", "yes" if self.reached else "NO"


def table(figures: Sequence[Figure]) -> str:
    """All of them, in columns."""
    rows = [("figure", "goal", "seen", "reached"), *(each.row() for each in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
