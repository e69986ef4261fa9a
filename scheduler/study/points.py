"""The points of a study's progress: what was kept, discarded and failed, in order of the ids.

In: a study's reader. Out: the numbers that a plot needs, and the range of the metric in which
progress happens. Decides nothing, draws nothing; `plot.py` and the dashboard show the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from scheduler.rules.states import ExperimentState
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment


@dataclass
class Points:
    """What is drawn: (id, metric) pairs, and the ids of failures."""

    kept: list[Experiment] = field(default_factory=list)
    discarded: list[tuple[int, float]] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    last: int = 0

    @property
    def metrics(self) -> list[float]:
        """All metrics, kept and discarded."""
        return [*(metric_of(e) for e in self.kept), *(metric for _, metric in self.discarded)]


def collect(reader: Reader) -> Points:
    """The points of all decided experiments. Only the kept ones are read whole."""
    points = Points(kept=list(reader.kept()))
    for number, state, metric in reader.fates():
        points.last = number
        if state is ExperimentState.KEEP:
            continue
        if metric is not None:
            points.discarded.append((number, metric))
        elif state.is_failure:
            points.failed.append(number)
    return points


def best_so_far(kept: Sequence[Experiment], *, minimize: bool) -> Iterator[Experiment]:
    """Those of the kept that beat everything before them; a study has one baseline a task."""
    best: Experiment | None = None
    for experiment in kept:
        metric = metric_of(experiment)
        before = None if best is None else metric_of(best)
        if before is None or (metric < before if minimize else metric > before):
            best = experiment
            yield experiment


def visible_range(points: Points, *, minimize: bool) -> tuple[float, float]:
    """The range of the metric in which progress happens: from the best to a bit past the start.

    On the worse side it ends where Tukey's fence (the quartile and 1.5 interquartile ranges)
    does, but not further from the baseline than the progress made, where there is any; three
    quarters of the points are always shown.
    """
    sign = 1.0 if minimize else -1.0
    values = sorted(sign * value for value in points.metrics)
    best, worst = values[0], values[-1]
    start = sign * metric_of(points.kept[0]) if points.kept else worst
    first, _, third = quantiles(values, n=4) if len(values) > 3 else (best, start, worst)
    fence = min(worst, third + 1.5 * (third - first))
    gain = start - best
    end = max(fence, start)
    if gain > 0:
        end = max(min(fence, start + gain), start + 0.1 * gain, third)
    margin = 0.07 * (end - best) or 0.01 * abs(best) or 0.01
    edges = sign * (best - margin), sign * (end + 1.6 * margin)
    return min(edges), max(edges)


def metric_of(experiment: Experiment) -> float:
    """The metric of one that has one."""
    assert experiment.metric is not None, f"experiment {experiment.id} was kept without a metric"
    return experiment.metric
