"""What an experiment measures: the one figure that stands for it, and how far its trials lie apart.

In come the metrics of its trials on one class of hardware; out goes an `Estimate`. Its mean is the
experiment's metric, wherever that is shown, ranked or sent. An experiment's first trial is what it
was chosen by, so that it is lucky: where there are others it is left out, as it is of the tests
that decide. Nobody chose a baseline: all of its trials count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from scheduler.figures import figure
from scheduler.rules.noise import repeats


@dataclass(frozen=True)
class Estimate:
    """The mean over the trials that count, in units of the metric."""

    mean: float
    trials: int  # that count
    low: float  # of these, the lowest ...
    high: float  # ... and the highest
    chosen: bool  # by this very figure, so that it is lucky: there is no other


@dataclass(frozen=True)
class Repeats:
    """What a metric rests on, where more than one trial was run."""

    trials: int  # whose mean it is
    low: float
    high: float
    without_first: bool  # by which the experiment was chosen

    @property
    def words(self) -> str:
        """In a few words: `mean of 4 trials, 0.991000 to 1.020000, without the first`."""
        apart = f", {figure(self.low)} to {figure(self.high)}" if self.trials > 1 else ""
        many = f"mean of {self.trials} trials" if self.trials > 1 else "one trial"
        return f"{many}{apart}{', without the first' * self.without_first}"


def estimate(metrics: Mapping[int, float], *, baseline: bool) -> Estimate:
    """Of trials on one class of hardware, at least one, by their numbers."""
    fair = repeats(metrics, baseline=baseline)
    counted = (fair or metrics).values()
    mean = fmean(counted)
    return Estimate(mean, len(counted), min(counted), max(counted), chosen=not fair)


def repeated(metrics: Mapping[int, float], *, baseline: bool) -> Repeats | None:
    """What the mean of these rests on; None where it is the figure of the only trial."""
    if len(metrics) < 2:
        return None
    found = estimate(metrics, baseline=baseline)
    without_first = found.trials < len(metrics)
    return Repeats(found.trials, found.low, found.high, without_first)
