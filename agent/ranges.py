"""The range in which the tuner moves one constant, and on which scale, by rule.

In: a constant's name and its value in the champion. Out: a Range, which maps values to
coordinates that a sampler can treat alike, and back to values that read well in a diff. A
range is centred on the champion's value, so it follows the champion. It doesn't know what the
constant means beyond its name, and what is sensible: the trials tell.

    value                                     scale       range
    fraction from 0.8 up to 1 (a beta)        TAIL        1-x between a quarter and four times
    other fraction over 0.1                   LINEAR      +- 0.2, within 0 and 1
    any rate; other positive float            LOG         a quarter to four times
    0.0                                       LINEAR      0 to 0.1
    negative float                            LINEAR      +- three quarters of it
    power of two from 16                      POWER       a quarter to four times
    other whole number from 16                MULTIPLE    half to twice, in steps of its grain
    whole number under 16                     STEP        +- 2, at least 1
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

REACH = 4.0  # how many times smaller or larger than the champion's a value may be
NEAR_ONE = 0.8  # fractions from here are seen as 1 - x: 0.9, 0.99, 0.999 are steps of one kind
WIDTH = 0.2  # of a fraction's range, to either side
RATE = re.compile(r"(^|_)(LR|RATE|EPS|EPSILON|STD|SCALE)(_|$)")  # may pass 1, and 0.3 is no share
FIXED = re.compile(r"(^|_)SEED(_|$)")  # a better seed is luck, not a finding
LARGEST = 10**8  # beyond it a number is an identity or a sentinel, not a quantity


class Scale(StrEnum):
    """How the coordinate follows the value."""

    LOG = "log"  # ln x
    TAIL = "tail"  # -ln(1 - x)
    LINEAR = "linear"  # x
    POWER = "power"  # log2 x, whole
    MULTIPLE = "multiple"  # x / grain, whole
    STEP = "step"  # x, whole


@dataclass(frozen=True)
class Range:
    """Where one constant may go. `low` and `high` are coordinates, both within the range."""

    name: str
    centre: int | float  # the champion's value
    scale: Scale
    low: float
    high: float
    grain: int = 1  # MULTIPLE: values stay multiples of it

    @property
    def whole(self) -> bool:
        """Whether the coordinates are whole numbers."""
        return self.scale in (Scale.POWER, Scale.MULTIPLE, Scale.STEP)

    def coordinate(self, value: int | float) -> float | None:
        """The coordinate of a value, put to the nearer end if it lies outside; None if it has none.

        Zero has no logarithm, for instance. Whole scales give a whole number.
        """
        match self.scale:
            case Scale.LOG:
                place = math.log(value) if value > 0 else None
            case Scale.TAIL:
                place = -math.log1p(-value) if value < 1 else None
            case Scale.POWER:
                place = math.log2(value) if value > 0 else None
            case Scale.MULTIPLE:
                place = value / self.grain
            case Scale.LINEAR | Scale.STEP:
                place = float(value)
        if place is None:
            return None
        place = min(max(place, self.low), self.high)
        return float(round(place)) if self.whole else place

    def value(self, coordinate: float) -> int | float:
        """The value at a coordinate, rounded to two digits that matter."""
        match self.scale:
            case Scale.LOG:
                return _two_digits(math.exp(coordinate))
            case Scale.TAIL:
                return round(1.0 - _two_digits(math.exp(-coordinate)), 12)
            case Scale.LINEAR:
                return float(_two_digits(coordinate))
            case Scale.POWER:
                return 1 << round(coordinate)
            case Scale.MULTIPLE:
                return self.grain * round(coordinate)
            case Scale.STEP:
                return round(coordinate)


def range_of(name: str, value: int | float) -> Range | None:
    """The range of a constant around the champion's value; None if it is better left alone.

    Left alone are seeds, numbers past LARGEST and negative whole numbers, which are marks.
    """
    if FIXED.search(name) or abs(value) > LARGEST:
        return None
    return _of_whole(name, value) if isinstance(value, int) else _of_float(name, value)


def _of_whole(name: str, value: int) -> Range | None:
    if value < 0:
        return None
    if value < 16:
        least = min(1, value)  # 0 is often a switch: it may stay 0 or be turned on
        return Range(name, value, Scale.STEP, max(least, value - 2), value + 2)
    if value.bit_count() == 1:
        reach = round(math.log2(REACH))
        place = value.bit_length() - 1
        return Range(name, value, Scale.POWER, max(0, place - reach), place + reach)
    grain = _grain(value)
    low, high = math.ceil(value / 2 / grain), value * 2 // grain
    return Range(name, value, Scale.MULTIPLE, low, high, grain=grain)


def _of_float(name: str, value: float) -> Range:
    span = math.log(REACH)
    is_rate = RATE.search(name) is not None
    if value == 0.0:
        return Range(name, value, Scale.LINEAR, 0.0, 0.1)
    if value < 0.0:
        return Range(name, value, Scale.LINEAR, 1.75 * value, 0.25 * value)
    if NEAR_ONE <= value < 1.0 and not is_rate:
        place = -math.log1p(-value)
        return Range(name, value, Scale.TAIL, max(0.0, place - span), place + span)
    if 0.1 < value < 1.0 and not is_rate:
        return Range(name, value, Scale.LINEAR, max(0.0, value - WIDTH), min(1.0, value + WIDTH))
    place = math.log(value)
    return Range(name, value, Scale.LOG, place - span, place + span)


def _grain(value: int) -> int:
    """The step of a whole number, at most an eighth of it: 384 moves by 32, 1500 by 100.

    What is divisible by 16 or more is a width, and stays divisible by its heads; other numbers
    move so that two digits change.
    """
    twos = value & -value
    if twos < 16:
        return int(10 ** max(0, len(str(value)) - 2))
    while twos > value / 8:
        twos //= 2
    return twos


def _two_digits(number: float) -> float:
    return float(f"{number:.2g}")
