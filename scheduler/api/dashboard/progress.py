"""The progress plot: every decided experiment a point, the line of the best, failures below.

In: a Snapshot, whose Drawing has the numbers. Out: an ECharts chart that opens an experiment on a
click, and the sentence that says the same in words. Only the series that have changed are sent.
"""

from typing import Any

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from scheduler.api.dashboard.drawing import Drawing
from scheduler.api.dashboard.snapshot import Snapshot

GREY = "#78818b"  # 4:1 on white and on the dark panel alike: a canvas knows no style sheet
KEPT, DISCARDED, FAILED = "#2a9d4a", "#8b949e", "#e5534b"
SERIES = ("discarded", "failed", "best so far", "kept", "repeats")
LEGEND = ["kept", "discarded", "failed", "best so far"]
TOOLTIP = (  # text on a canvas, never markup
    "p => '#' + p.value[0] + ' ' + p.seriesName"
    " + (p.value.length > 2 ? ' ' + p.value[2] : '') + (p.name ? '\\n' + p.name : '')"
)


class Progress:
    """The plot on one page."""

    def __init__(self, metric: str, *, minimize: bool) -> None:
        self._drawn: Drawing | None = None
        self._summary = ui.label("").classes("quiet text")
        name = f"{metric}, {'lower' if minimize else 'higher'} is better"
        self._chart = (
            ui.echart(_empty(name), on_point_click=_open)
            .classes("w-full")
            .style("height: 22rem")
            .props('role="img" aria-label="Progress of the study: the sentence before it tells it"')
        )

    def show(self, snapshot: Snapshot) -> None:
        """Draw what is new."""
        drawing, before = snapshot.drawing, self._drawn
        if drawing is before:
            return
        self._drawn = drawing
        self._summary.set_text(drawing.words)
        changed: dict[str, Any] = {
            "xAxis": {"max": drawing.last},
            "yAxis": {"min": drawing.low, "max": drawing.high},
            "series": [],
        }
        options = self._chart.options
        old = _data(before) if before else {}
        for place, (name, data) in enumerate(_data(drawing).items()):
            options["series"][place]["data"] = data
            if data != old.get(name):
                changed["series"].append({"name": name, "data": data})
        for axis in ("xAxis", "yAxis"):
            options[axis] |= changed[axis]
        if before is None:
            self._chart.update()
        else:
            self._chart.run_chart_method("setOption", changed)


def _data(drawing: Drawing) -> dict[str, Any]:
    series = (drawing.discarded, drawing.failed, drawing.line, drawing.kept, drawing.repeats)
    return dict(zip(SERIES, series, strict=True))


def _open(event: EChartPointClickEventArguments) -> None:
    value = event.value
    if isinstance(value, list) and value and isinstance(value[0], int | float):
        ui.navigate.to(f"/experiment/{int(value[0])}")


def _empty(name: str) -> dict[str, Any]:
    axis = {
        "type": "value",
        "axisLabel": {"color": GREY, "showMinLabel": False, "showMaxLabel": False},
        "axisLine": {"lineStyle": {"color": GREY}},
        "splitLine": {"lineStyle": {"color": "rgba(128,128,128,.2)"}},
    }
    x = {"name": "experiment", "nameLocation": "middle", "nameGap": 28, "min": 0, "minInterval": 1}
    legend = {"top": 0, "left": 0, "type": "scroll", "textStyle": {"color": GREY}, "data": LEGEND}
    zoom = {"dataZoom": {"title": {"zoom": "zoom", "back": "back"}}, "restore": {"title": "all"}}
    return {
        "animation": False,
        "grid": {"left": 58, "right": 20, "top": 60, "bottom": 44},
        "legend": legend,
        "tooltip": {"trigger": "item", "renderMode": "richText", ":formatter": TOOLTIP},
        "toolbox": {"right": 0, "top": 22, "feature": zoom},
        "xAxis": {**axis, **x, "nameTextStyle": {"color": GREY}, "splitLine": {"show": False}},
        "yAxis": {**axis, "name": name, "nameTextStyle": {"color": GREY, "align": "left"}},
        "series": [_discarded(), _failed(), _best(), _kept(), _repeats()],
    }


def _discarded() -> dict[str, Any]:
    style = {"color": DISCARDED, "opacity": 0.75}
    return {"name": "discarded", "type": "scatter", "symbolSize": 5, "itemStyle": style, "data": []}


def _failed() -> dict[str, Any]:
    return {
        "name": "failed",
        "type": "scatter",
        "symbol": "path://M0,0L4,4M4,0L0,4",
        "symbolSize": 7,
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


def _kept() -> dict[str, Any]:
    return {
        "name": "kept",
        "type": "scatter",
        "symbol": "diamond",
        "symbolSize": 10,
        "itemStyle": {"color": KEPT, "opacity": 1},  # of the labels too
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
