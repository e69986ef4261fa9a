"""Does a figure that was measured again lie where the study says it should? Pure.

In: what the study measured of an experiment and what was measured now, each by seed and class of
hardware, and the study's noise. Out: a verdict with the prediction interval that it rests on. The
interval is that of Student's t for a new mean of the same code on the same hardware, centred on
the study's trials without the first, by which a kept experiment was chosen; where that is the
only one, the words say so. Figures of different classes of hardware are set side by side and not
judged. An interval that says little, and why, is told beside the verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from scheduler.figures import degrees_of_freedom
from scheduler.rules.estimate import estimate
from scheduler.rules.evidence import FEW, ROUNDING
from scheduler.rules.intervals import half_width
from scheduler.rules.noise import Noise

WIDE = 0.1
"""Half an interval, as a part of what is expected, from which on hardly anything is outside of it:
edits that are kept move a metric by a few per cent at most."""


class Verdict(StrEnum):
    """What came of it."""

    WITHIN = "within"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"  # there is no interval, or the two don't compare
    FAILED = "failed"  # now, and not in the study
    FAILED_AGAIN = "failed again"  # as in the study

    @property
    def is_reproduced(self) -> bool:
        """Whether it came out as the study says."""
        return self in (self.WITHIN, self.FAILED_AGAIN)


@dataclass(frozen=True)
class Figure:
    """What one trial measured."""

    number: int  # of the trial within its experiment
    seed: int
    metric: float
    hardware: str


@dataclass(frozen=True)
class Comparison:
    """The study's figures beside the new ones."""

    verdict: Verdict
    expected: float  # mean of the study's figures that count
    counted: int
    measured: float  # mean of the new ones
    half: float | None  # of the prediction interval around what is expected; None: not judged
    noise: Noise
    own_noise: bool  # it is that of the new trials, as the study knows none
    identical: bool  # every new figure equals the study's of the same seed and hardware
    why: str  # there is no verdict, or what else has to be known; "": nothing
    least: float | None = None  # the metric can't be lower; None: it may be any number

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between what new means lie, in 95 % of the cases; None: not judged."""
        if self.half is None:
            return None
        low = self.expected - self.half
        return low if self.least is None else max(low, self.least), self.expected + self.half

    @property
    def caution(self) -> str:
        """Why being within the interval says little; "" where it says what it should."""
        if not self.half or self.identical:
            return ""
        found = []
        if self.noise.degrees < FEW:
            found.append(f"sigma rests on {degrees_of_freedom(self.noise.degrees)} only")
        if self.half > WIDE * abs(self.expected):
            share = f"{100 * self.half / abs(self.expected):.0f} %" if self.expected else "all"
            found.append(f"the interval reaches {share} of the figure to each side")
        return f"{', and '.join(found)}: being within it says little" if found else ""

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.measured - self.expected


def compare(
    study: Sequence[Figure],
    now: Sequence[Figure],
    noise: Mapping[str, Noise],
    *,
    baseline: bool,
    chosen: bool,
    exact: bool,
    differs: str = "",
    least: float | None = None,
) -> Comparison:
    """Judge the new figures; both must have some.

    `baseline`: it was not chosen by its first trial. `chosen`: it was kept. `exact`: the budget is
    a number of steps, so that equal seeds give equal figures. `differs`: what else is not as it was
    in the study, so that nothing can be said. `least`: what no such metric can be below. Where the
    study knows no noise, that of several new trials stands in.
    """
    here = now[0].hardware
    same = [each for each in study if each.hardware == here]
    known = {each.number: each.metric for each in same or study}
    old = estimate(known, baseline=baseline)
    expected, measured = old.mean, fmean(each.metric for each in now)
    theirs = noise.get(here, Noise())
    if own := theirs.sigma is None and len(now) > 1:
        theirs = Noise().taking_all([each.metric for each in now])
    by_seed = {each.seed: each.metric for each in same}
    identical = all(by_seed.get(each.seed) == each.metric for each in now)
    half = half_width(theirs, old.trials, len(now)) if same and not differs else None
    if differs:
        verdict, why = Verdict.UNKNOWN, differs
    elif not same:
        others = ", ".join(sorted({each.hardware or "hardware not recorded" for each in study}))
        verdict = Verdict.UNKNOWN
        why = f"the study measured on {others}, and this is {here}: such figures don't compare"
    elif exact and identical:
        verdict, why = Verdict.WITHIN, ""
    elif half is None:
        verdict = Verdict.UNKNOWN
        why = (
            "the study ran no code with several seeds on this hardware, so that its noise is not "
            "known; several trials here (--repeats 3) measure it"
        )
    else:
        limit = half + ROUNDING * abs(expected)  # where no repeat differed, half is 0
        verdict = Verdict.WITHIN if abs(measured - expected) <= limit else Verdict.OUTSIDE
        why = ""
        if exact and any(by_seed.get(each.seed, each.metric) != each.metric for each in now):
            why = (
                "with a budget of steps the same seed gives the same figure where hardware and "
                "versions are the same, and it did not"
            )
        elif chosen and old.chosen:
            why = (
                "the study's only figure is the one by which it was chosen: such are lucky, and "
                "most come out somewhat worse"
            )
    return Comparison(
        *(verdict, expected, old.trials, measured, half, theirs, own, identical, why), least=least
    )
