"""How much a metric varies when only the seed changes, for one class of hardware.

In come the metrics of experiments that were run with several seeds, out goes their standard
deviation, sigma, with its degrees of freedom: how far it can be trusted. Pooled over all
experiments, as one experiment has too few repeats to tell. Decides nothing; see evidence.py.

An experiment's first trial is what it was chosen by, so that among the confirmed ones first
trials are lucky. Pooling them would overstate sigma by a third: they are left out, but for the
baseline's, which nobody chose. `repeats` says which trials count.
"""

# ruff: noqa: PLC0415 - scipy takes a moment, and most who read a study compute nothing
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

SCREENING = 1  # the number of every experiment's first trial, by which it is screened
PAIRS_NEEDED = 6  # degrees of freedom below which nothing is built on what pairs have in common
DOUBT = 0.1  # chance at which the variance of pairs may be larger than it is taken for


@dataclass(frozen=True)
class Noise:
    """The pooled variance of repeats: a sum of squares and its degrees of freedom.

    `squares` is the sum, over experiments, of the squared distances from the experiment's mean;
    each experiment with n repeats brings n - 1 degrees of freedom. The same for the differences
    between two experiments with equal seeds, in `pair_squares` and `pair_degrees`: where a seed
    brings luck to both, these vary less than two independent trials do.
    """

    squares: float = 0.0
    degrees: float = 0.0
    pair_squares: float = 0.0
    pair_degrees: int = 0

    @property
    def sigma(self) -> float | None:
        """The standard deviation of one trial; None until there is a degree of freedom."""
        return math.sqrt(self.squares / self.degrees) if self.degrees > 0 else None

    @property
    def is_nil(self) -> bool:
        """Whether every repeat so far gave its experiment's very figure: nothing was measured."""
        return self.degrees > 0 and self.squares == 0

    @property
    def pair_variance(self) -> float | None:
        """The variance of a difference between equal seeds, estimated on the safe side.

        An upper bound at 90 %: what pairing saves must have been shown. None before that.
        """
        if self.pair_degrees < PAIRS_NEEDED:
            return None
        from scipy.special import chdtri

        return self.pair_squares / float(chdtri(self.pair_degrees, 1 - DOUBT))

    def taking(self, before: Collection[float], metric: float) -> "Noise":
        """With one more repeat of an experiment that had the repeats `before`."""
        if not before:
            return self
        n = len(before)
        # From the new figure on, so that equal ones give 0 and no error of rounding.
        gap = math.fsum(value - metric for value in before) / n
        grown = self.squares + gap**2 * n / (n + 1)
        return replace(self, squares=grown, degrees=self.degrees + 1)

    def taking_all(self, metrics: Collection[float]) -> "Noise":
        """With all repeats of one more experiment."""
        if len(metrics) < 2:
            return self
        grown = self.squares + _squares(metrics)
        return replace(self, squares=grown, degrees=self.degrees + len(metrics) - 1)

    def taking_pairs(
        self, candidate: Mapping[int, float], champion: Mapping[int, float]
    ) -> "Noise":
        """With the differences of two experiments, once, when the candidate is decided."""
        ours, theirs = repeats(candidate), repeats(champion)
        gaps = [ours[n] - theirs[n] for n in sorted(ours.keys() & theirs.keys())]
        if len(gaps) < 2:
            return self
        return replace(
            self,
            pair_squares=self.pair_squares + _squares(gaps),
            pair_degrees=self.pair_degrees + len(gaps) - 1,
        )


def repeats(metrics: Mapping[int, float], *, baseline: bool = False) -> dict[int, float]:
    """The trials that are no matter of choice: all but the screening one, by their numbers."""
    return {n: metric for n, metric in metrics.items() if baseline or n != SCREENING}


def _squares(values: Collection[float]) -> float:
    first = next(iter(values))
    gaps = [value - first for value in values]  # exactly 0 where all are equal
    mean = math.fsum(gaps) / len(gaps)
    return math.fsum((gap - mean) ** 2 for gap in gaps)
