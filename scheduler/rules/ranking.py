"""Keep or discard: what an experiment's trials say against the champion.

Until the noise rules exist, better means better: a plain comparison of means.
"""

from dataclasses import dataclass
from statistics import fmean

from scheduler.rules.state import Champion


@dataclass(frozen=True)
class Verdict:
    """The decision and its evidence, in a sentence."""

    keep: bool
    metric: float
    reason: str


def judge(metrics: tuple[float, ...], champion: Champion | None, *, minimize: bool) -> Verdict:
    """Compare the mean of an experiment's trials with the champion.

    Without a champion the experiment is the baseline, which is kept. A tie is no win.
    """
    metric = fmean(metrics)
    if champion is None:
        trials = f"{len(metrics)} trial{'s' if len(metrics) > 1 else ''}"
        return Verdict(keep=True, metric=metric, reason=f"the baseline, over {trials}")
    difference = metric - champion.metric
    keep = difference < 0 if minimize else difference > 0
    where = "below" if difference < 0 else "above"
    against = f"experiment {champion.experiment} ({champion.metric:.6f})"
    if difference == 0:
        return Verdict(keep=False, metric=metric, reason=f"equal to {against}")
    return Verdict(keep=keep, metric=metric, reason=f"{abs(difference):.6f} {where} {against}")
