"""The first look around a champion: each of its learning rates, twice and half as large.

In: the ranges of the champion's constants. Out: points that move one rate each. Of all constants
the rates are the ones that a new task most often has wrong, and one step of a factor of two is
large enough to be seen above the noise and small enough to be survived; a sampler that knows
nothing yet draws from all of a range, and nearly always too far away. It follows the champion: a
step that won is taken again from where it led.
"""

from collections.abc import Iterator, Mapping

from agent.ranges import RATE, Range, Scale

STEP = 2.0


def first_steps(ranges: Mapping[str, Range]) -> Iterator[dict[str, int | float]]:
    """Every rate larger, in the order of the text, then every rate smaller."""
    rates = [r for r in ranges.values() if r.scale is Scale.LOG and RATE.search(r.name)]
    for factor in (STEP, 1 / STEP):
        for found in rates:
            yield {found.name: float(f"{found.centre * factor:.2g}")}
