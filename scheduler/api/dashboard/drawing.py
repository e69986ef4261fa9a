"""The progress plot as numbers: made once for each change of the study, for all who look at it.

In: the points of a study. Out: the series of the chart, the ranges of its axes, and one sentence
that says the same. Of many discarded experiments a part is drawn, evenly chosen; the kept ones,
the line of the best and failures (to the same bound) are whole. Draws nothing itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from scheduler.api.dashboard import words
from scheduler.figures import figure
from scheduler.study.points import Points, best_so_far, metric_of, visible_range
from scheduler.study.records import Experiment

T = TypeVar("T")
Row = list[float | None]

MOST_POINTS = 2000  # of a kind: more are no more than a cloud either, and 20 kB each thousand
MOST_KEPT = 500  # newest ones that are points of their own; the line has all of them
LABELLED = 12  # newest kept ones
LONGEST_LABEL = 28
NEAR = 0.4  # share of the width up to which a label stands to the right of its point
LABEL_ROOM = 0.06  # of the height, beyond the best, for its label
APART = 0.09, 0.05  # shares of width and height that labels keep from each other, one or the other


@dataclass(frozen=True)
class Drawing:
    """What the chart shows. Rows: number, where it is drawn, metric."""

    discarded: Sequence[Row] = ()
    failed: Sequence[Row] = ()
    line: Sequence[Row] = ()
    kept: Sequence[Mapping[str, object]] = ()
    repeats: Sequence[Row] = ()
    low: float = 0.0
    high: float = 1.0
    last: int = 1
    words: str = field(default="No experiment has a metric yet.")


def draw(
    points: Points, spread: Mapping[int, tuple[float, float]], metric: str, *, minimize: bool
) -> Drawing:
    """The drawing of these points; `spread`: lowest and highest of what was measured repeatedly."""
    if not points.metrics:
        return Drawing(
            failed=[[x, 0.02] for x in _thinned(points.failed)], last=max(1, points.last)
        )
    low, high = visible_range(points, minimize=minimize)
    room = LABEL_ROOM * (high - low)
    low, high = (low - room, high) if minimize else (low, high + room)
    floor, ceiling = low + 0.02 * (high - low), high - 0.01 * (high - low)
    best = list(best_so_far(points.kept, minimize=minimize))
    line: list[Row] = [[e.id, _rounded(metric_of(e))] for e in best]
    if line:
        line.append([points.last, line[-1][1]])
    drawn = points.kept[-MOST_KEPT:]
    repeats: list[Row] = []
    for number, (least, most) in sorted(spread.items()):
        repeats += [[number, least], [number, most], [None, None]]
    return Drawing(
        discarded=[
            [x, _rounded(min(max(y, floor), ceiling)), _rounded(y)]
            for x, y in _thinned(points.discarded)
        ],
        failed=[[x, floor] for x in _thinned(points.failed)],
        line=line,
        kept=_kept(drawn, points.last, high - low, below=minimize),
        repeats=repeats[-3 * MOST_KEPT :],
        low=low,
        high=high,
        last=max(1, points.last),
        words=_in_words(points, best, metric),
    )


def _kept(
    drawn: Sequence[Experiment], last: int, height: float, *, below: bool
) -> list[dict[str, object]]:
    """The points of the kept ones. The newest come first where labels want the same place."""
    labelled: list[Experiment] = []
    for one in [*drawn[:0:-1], *drawn[:1]]:
        clear = all(
            abs(one.id - other.id) > APART[0] * last
            or abs(metric_of(one) - metric_of(other)) > APART[1] * height
            for other in labelled
        )
        if clear and len(labelled) < LABELLED:
            labelled.append(one)
    named = {each.id for each in labelled}
    points: list[dict[str, object]] = []
    for each in drawn:
        value, title = _rounded(metric_of(each)), words.title(each)
        point: dict[str, object] = {"value": [each.id, value, value], "name": title}
        if each.id in named:
            point["label"] = _label(each.id, title, right=each.id < NEAR * last, below=below)
        points.append(point)
    return points


def _label(number: int, title: str, *, right: bool, below: bool) -> dict[str, object]:
    """Left of the point, on the side of what is better: there nothing else can be."""
    short = title if len(title) <= LONGEST_LABEL else f"{title[: LONGEST_LABEL - 1]}…"
    place: list[int] = [8, -14] if right else [0, 13 if below else -14]
    return {
        "show": True,
        "formatter": f"#{number} {short}".replace("{", "("),  # no template of the chart's
        "position": place,
        "align": "left" if right else "right",
    }


def _rounded(value: float) -> float:
    """As it is written: what the browser shows, and as few bytes."""
    return float(figure(value))


def _thinned(points: list[T]) -> list[T]:
    if len(points) <= MOST_POINTS:
        return points
    step = len(points) / MOST_POINTS
    return [points[math.floor(n * step)] for n in range(MOST_POINTS - 1)] + points[-1:]


def _in_words(points: Points, line: Sequence[Experiment], metric: str) -> str:
    parts = []
    if line:
        first, best = line[0], line[-1]
        parts.append(f"{metric} {figure(metric_of(first))} (baseline)")
        if best is not first:
            change = 100 * (metric_of(best) / metric_of(first) - 1) if metric_of(first) else 0.0
            signed = f"{change:+.2f}".replace("-", "\N{MINUS SIGN}")
            parts = [f"{parts[0]} → {figure(metric_of(best))} (#{best.id}, {signed} %)"]
    parts.append(
        f"{len(points.kept):,} kept, {len(points.discarded):,} discarded, "
        f"{len(points.failed):,} failed"
    )
    return "; ".join(parts)
