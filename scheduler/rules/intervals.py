"""How far a figure can be trusted: intervals from the pooled noise of repeats. Decides nothing.

In: the noise of a class of hardware, and of how many trials each mean is made. Out: half the
width of a 95 % interval, from Student's t with the noise's own degrees of freedom; None where the
noise is unknown. Trials are taken for independent: where two share a seed they vary less, and the
interval is wider than it need be.
"""

# ruff: noqa: PLC0415 - scipy takes a moment, and most who read a study compute nothing
import math

from scheduler.rules.noise import Noise

CONFIDENCE = 0.95


def half_width(noise: Noise, *trials: int) -> float | None:
    """Of a mean over so many trials; with two numbers, of the difference between two such means.

    The difference is also what a new mean of the same code may be off by: a prediction interval.
    """
    if noise.sigma is None:
        return None
    from scipy.special import stdtrit

    error = noise.sigma * math.sqrt(math.fsum(1 / n for n in trials))
    return float(stdtrit(noise.degrees, 0.5 + CONFIDENCE / 2)) * error


def sigma_range(noise: Noise) -> tuple[float, float] | None:
    """Between what sigma lies, by the chi-square distribution of its estimate."""
    if noise.sigma is None:
        return None
    from scipy.special import chdtri

    tail = (1 - CONFIDENCE) / 2
    low, high = (math.sqrt(noise.squares / chdtri(noise.degrees, p)) for p in (tail, 1 - tail))
    return float(low), float(high)
