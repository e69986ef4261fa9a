"""The timeline as a picture: a row for each slot, a colour for each kind, the shares in the legend.

In: a Timeline. Out: one PNG. Each pixel has the colours of what it covers, mixed by their seconds:
a night of 100 slots has trials shorter than a pixel, and drawn one over the other only the last of
them would be seen. Time in which there was no slot at all, as between two sessions, is left out: a
dashed line stands for it.
"""

# ruff: noqa: PLC0415 - importing matplotlib takes half a second, which only this drawing should cost
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.rules.timeline import Kind, Line, Open
from scheduler.study.atomic import replacing
from scheduler.study.plot import DPI, LIGHT
from scheduler.study.timeline import Timeline
from workers.log import sentence

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS: Mapping[Kind, str] = {
    Kind.TRAIN: "#2f9e4f",
    Kind.STARTUP: "#f0b429",
    Kind.WARM_UP: "#e07b24",
    Kind.EVAL: "#3b82d0",
    Kind.TEARDOWN: "#8b6cc9",
    Kind.DISPATCH: "#b08968",
    Kind.RETURN: "#d1b8a0",
    Kind.RUNNING: "#9ad3ab",
    Kind.LOST: "#cf3f34",
    Kind.CANCELLED: "#ec9a92",
    Kind.IDLE: "#d3d8de",
    Kind.PAUSED: "#aab2bd",
    Kind.ENDING: "#e9ecef",
}
WIDTH = 11.0  # inches
COLUMNS = 1200  # of the picture's own pixels: about one of the file's each
ROW, GAP = 0.26, 2  # inches of a row, pixels between two of them
TALLEST = 8.0  # inches of rows: more slots than fit share them
APART = 40  # slots up to which rows stand apart
CELL = 12  # of the picture's own pixels in a row that stands apart
MOST_ROWS = 400


def write_timeline_plot(timeline: Timeline, name: str, path: Path) -> None:
    """Draw it into a PNG of 1430 pixels' width. Raises OSError."""
    figure = _figure(timeline, name)
    with replacing(path) as draft:
        figure.savefig(draft, format="png")


def _figure(timeline: Timeline, name: str) -> "Figure":
    """The drawing, under a line that says whose it is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    slots = len(timeline.lines)
    tall = min(TALLEST, max(0.6, ROW * slots))
    size = (WIDTH, 1.9 + tall)
    figure = Figure(figsize=size, dpi=DPI, facecolor=LIGHT.paper or "none", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=LIGHT.paper or "none")
    shown = Open(timeline.lines)
    unit, words = _unit(shown.seconds)
    _style(axes, timeline, f"{words} with slots" if shown.breaks else words)
    if not slots:
        axes.text(0.5, 0.5, "no slots yet", transform=axes.transAxes, ha="center", color=LIGHT.ink)
        return figure
    axes.set_title(
        _heading(timeline, name), color=LIGHT.ink, fontsize=11, loc="left", parse_math=False
    )
    axes.imshow(
        _picture(timeline, shown),
        extent=(0, shown.seconds / unit, slots - 0.5, -0.5),
        aspect="auto",
        interpolation="nearest",
    )
    for each in shown.breaks:
        axes.axvline(each / unit, color=LIGHT.ink, linewidth=1.0, linestyle=(0, (2, 2)))
    _name_rows(axes, timeline)
    _legend(figure, timeline)
    return figure


def _heading(timeline: Timeline, name: str) -> str:
    slots = f"{len(timeline.lines)} slot{'s' if len(timeline.lines) != 1 else ''}"
    parts = [sentence(name, 40), slots, f"{timeline.seconds / 3600:.2f} slot-hours"]
    if not timeline.complete:
        parts.append("its newest part")
    return ", ".join(parts)


def _unit(seconds: float) -> tuple[float, str]:
    for limit, unit, words in ((300, 1.0, "seconds"), (3 * 3600, 60.0, "minutes")):
        if seconds < limit:
            return unit, words
    return 3600.0, "hours"


def _style(axes: "Axes", timeline: Timeline, words: str) -> None:
    from datetime import datetime

    began = datetime.fromtimestamp(timeline.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    axes.set_xlabel(f"{words} since {began}", color=LIGHT.ink, fontsize=10)
    axes.tick_params(colors=LIGHT.ink, labelsize=9, length=0)
    axes.tick_params(axis="x", length=3)
    axes.set_yticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT.grid)


def _name_rows(axes: "Axes", timeline: Timeline) -> None:
    """Every slot's number where there is room, else every tenth, hundredth, ..."""
    slots, step = len(timeline.lines), 1
    while slots / step > APART:
        step *= 5 if str(step).startswith("2") else 2 if str(step).startswith(("1", "5")) else 1
    rows = range(0, slots, step)
    axes.set_yticks(rows, [str(timeline.lines[row].slot) for row in rows])
    axes.set_ylabel("slot", color=LIGHT.ink, fontsize=10)


def _legend(figure: "Figure", timeline: Timeline) -> None:
    from matplotlib.patches import Patch

    whole = sum(timeline.totals.values())
    marks = [
        Patch(color=COLOURS[kind], label=f"{kind} {100 * seconds / whole:.1f} %")
        for kind, seconds in timeline.totals.items()
    ]
    figure.legend(
        handles=marks,
        loc="outside lower left",
        ncols=6,
        frameon=False,
        fontsize=9,
        labelcolor=LIGHT.ink,
        handlelength=1.0,
        handleheight=1.0,
    )


def _picture(timeline: Timeline, shown: Open) -> "NDArray[np.float32]":
    """Rows of pixels, red, green, blue and how much of each there is."""
    import numpy as np
    from matplotlib.colors import to_rgb

    slots = len(timeline.lines)
    rows = min(slots, MOST_ROWS)
    seconds = np.zeros((rows, COLUMNS, len(Kind)), np.float64)
    width = shown.seconds / COLUMNS
    for place, line in enumerate(timeline.lines):
        _add(seconds[place * rows // slots], line, shown, width)
    slots_of = np.bincount(np.arange(slots) * rows // slots, minlength=rows)
    colours = np.array([to_rgb(COLOURS[kind]) for kind in Kind])
    covered = seconds.sum(axis=2)
    image = np.zeros((rows, COLUMNS, 4), np.float32)
    image[..., :3] = seconds @ colours / np.maximum(covered, 1e-12)[..., None]
    image[..., 3] = np.clip(covered / (width * slots_of[:, None]), 0, 1)
    if slots > APART:
        return image
    apart = np.repeat(image, CELL, axis=0)
    for row in range(rows):
        apart[(row + 1) * CELL - GAP : (row + 1) * CELL, :, 3] = 0
    return apart


def _add(row: "NDArray[Any]", line: Line, shown: Open, width: float) -> None:
    """The seconds of each kind within each pixel of a row."""
    kinds = {kind: number for number, kind in enumerate(Kind)}
    last = len(row) - 1
    for segment in line.segments:
        start = shown.until(segment.start) / width
        end = start + segment.seconds / width
        first, final = min(last, int(start)), min(last, int(end))
        kind = kinds[segment.kind]
        if first == final:
            row[first, kind] += (end - start) * width
        else:
            row[first, kind] += (first + 1 - start) * width
            row[first + 1 : final, kind] += width
            row[final, kind] += (end - final) * width
