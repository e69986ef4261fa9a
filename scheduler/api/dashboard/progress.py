"""The progress plot: every decided experiment a point, the line of the best, failures below.

In: a Snapshot. Out: an ECharts chart that opens an experiment on a click, and one sentence that
says the same in words. Of many discarded experiments a part is drawn, evenly chosen; the kept, the
line and the newest are always whole.
"""

import math
from typing import Any, TypeVar

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from scheduler.api.dashboard import words
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.study.points import best_so_far, metric_of, visible_range
from scheduler.study.records import Experiment

T = TypeVar("T")

MOST_POINTS = 3000  # discarded ones that are drawn: more are no more than a cloud either
LABELLED = 12  # newest kept ones
GREY = "#8b949e"  # reads on white and on black
NAMES = ["kept", "discarded", "failed", "best so far"]
KEPT, DISCARDED, FAILED = "#2da44e", "#8b949e", "#e5534b"


class Progress:
    """The plot on one page."""

    def __init__(self, metric: str, *, minimize: bool) -> None:
        self._metric, self._minimize = metric, minimize
        self._drawn: object = None
        self._summary = ui.label("").classes("quiet text")
        self._chart = (
            ui.echart(
                _empty(f"{metric}, {'lower' if minimize else 'higher'} is better"),
                on_point_click=_open,
            )
            .classes("w-full")
            .style("height: 22rem")
        )
        self._chart.props(
            'role="img" aria-label="Progress of the study; the sentence above tells it"'
        )

    def show(self, snapshot: Snapshot) -> None:
        """Draw what is new."""
        points = snapshot.points
        if points is self._drawn:
            return
        self._drawn = points
        self._summary.set_text(_in_words(snapshot, self._metric, minimize=self._minimize))
        options = self._chart.options
        low, high = visible_range(points, minimize=self._minimize) if points.metrics else (0.0, 1.0)
        options["yAxis"]["min"], options["yAxis"]["max"] = low, high
        options["xAxis"]["max"] = max(1, points.last)
        floor = low + 0.02 * (high - low)
        ceiling = high - 0.01 * (high - low)
        line = [[e.id, metric_of(e)] for e in best_so_far(points.kept, minimize=self._minimize)]
        if line:
            line.append([points.last, line[-1][1]])
        options["series"][0]["data"] = [
            [x, min(max(y, floor), ceiling)] for x, y in _thinned(points.discarded)
        ]
        options["series"][1]["data"] = [[x, floor] for x in _thinned(points.failed)]
        options["series"][2]["data"] = line
        options["series"][3]["data"] = [
            _kept(each, labelled=place == 0 or place >= len(points.kept) - LABELLED)
            for place, each in enumerate(points.kept)
        ]
        bars: list[list[float] | list[None]] = []
        for number, (least, most) in sorted(snapshot.spread.items()):
            bars += [[number, least], [number, most], [None, None]]
        options["series"][4]["data"] = bars
        self._chart.update()


def _kept(experiment: Experiment, *, labelled: bool) -> dict[str, object]:
    point: dict[str, object] = {"value": [experiment.id, metric_of(experiment)]}
    if labelled:
        title = words.title(experiment)
        short = title if len(title) <= 28 else f"{title[:27]}…"
        point["label"] = {"show": True, "formatter": f"#{experiment.id} {short}".replace("{", "(")}
    return point


def _thinned(points: list[T]) -> list[T]:
    if len(points) <= MOST_POINTS:
        return points
    step = len(points) / MOST_POINTS
    return [points[math.floor(n * step)] for n in range(MOST_POINTS)]


def _in_words(snapshot: Snapshot, metric: str, *, minimize: bool) -> str:
    points = snapshot.points
    line = list(best_so_far(points.kept, minimize=minimize))
    if not line:
        return "No experiment has a metric yet."
    first, best = line[0], line[-1]
    parts = [f"{metric} {metric_of(first):.6f} (baseline)"]
    if best is not first:
        change = 100 * (metric_of(best) / metric_of(first) - 1) if metric_of(first) else 0.0
        parts = [f"{parts[0]} → {metric_of(best):.6f} (#{best.id}, {change:+.2f} %)"]
    parts.append(
        f"{len(points.kept):,} kept, {len(points.discarded):,} discarded, "
        f"{len(points.failed):,} failed"
    )
    return "; ".join(parts)


def _open(event: EChartPointClickEventArguments) -> None:
    if isinstance(event.value, list) and event.value and isinstance(event.value[0], int | float):
        ui.navigate.to(f"/experiment/{int(event.value[0])}")


def _empty(name: str) -> dict[str, Any]:
    axis = {
        "type": "value",
        "axisLabel": {"color": GREY, "showMinLabel": False, "showMaxLabel": False},
        "axisLine": {"lineStyle": {"color": GREY}},
        "splitLine": {"lineStyle": {"color": "rgba(128,128,128,.2)"}},
    }
    words = {"textStyle": {"color": GREY}}
    x = {"name": "experiment", "nameLocation": "middle", "nameGap": 28, "min": 0}
    return {
        "animation": False,
        "grid": {"left": 64, "right": 24, "top": 64, "bottom": 44},
        "legend": {
            "top": 0,
            "left": 0,
            "type": "scroll",
            "textStyle": {"color": GREY},
            "data": NAMES,
        },
        "tooltip": {"trigger": "item", "renderMode": "richText", "formatter": "{a}: #{c}"},
        "toolbox": {"right": 0, "top": 28, "feature": {"dataZoom": {}, "restore": {}}},
        "xAxis": {**axis, **x, "nameTextStyle": {"color": GREY}, "splitLine": {"show": False}},
        "yAxis": {**axis, "name": name, "nameTextStyle": {"color": GREY, "align": "left"}},
        "series": [_discarded(), _failed(), _best(), _kept_ones(), _repeats()],
    }


def _discarded() -> dict[str, Any]:
    style = {"color": DISCARDED, "opacity": 0.55}
    return {"name": "discarded", "type": "scatter", "symbolSize": 5, "itemStyle": style, "data": []}


def _failed() -> dict[str, Any]:
    return {
        "name": "failed",
        "type": "scatter",
        "symbol": "path://M0,0L4,4M4,0L0,4",
        "symbolSize": 6,
        "itemStyle": {"color": "none", "borderColor": FAILED, "borderWidth": 1.5},
        "data": [],
    }


def _best() -> dict[str, Any]:
    return {
        "name": "best so far",
        "type": "line",
        "step": "end",
        "symbol": "none",
        "lineStyle": {"color": KEPT, "width": 2},
        "itemStyle": {"color": KEPT},
        "silent": True,
        "data": [],
    }


def _kept_ones() -> dict[str, Any]:
    return {
        "name": "kept",
        "type": "scatter",
        "symbol": "diamond",
        "symbolSize": 10,
        "itemStyle": {"color": KEPT},
        "label": {"position": [8, -14], "color": GREY, "fontSize": 11},
        "labelLayout": {"hideOverlap": True},
        "data": [],
    }


def _repeats() -> dict[str, Any]:
    """From the lowest to the highest of those that were measured more than once."""
    return {
        "name": "repeats",
        "type": "line",
        "symbol": "none",
        "connectNulls": False,
        "lineStyle": {"color": KEPT, "width": 1.5, "opacity": 0.7},
        "silent": True,
        "data": [],
    }
