"""`progress.png`: every decided experiment a point, and the line of the best so far.

In: a study's reader. Out: one PNG, renamed into place; or the figure, for the report, which adds
intervals and has its own colours. It shows the range in which progress happens: what lies far
outside is counted in the legend, not drawn, so that one diverged run does not flatten a night's
work. Decides nothing; the order of experiments is that of their ids.
"""

# ruff: noqa: PLC0415 - importing matplotlib takes half a second, which only this drawing should cost
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.study.atomic import replacing
from scheduler.study.points import Points, best_so_far, collect, metric_of, visible_range
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment
from workers.log import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, DPI = (11.0, 5.6), 130  # inches, pixels per inch
CLOUD = 1000  # points of a kind above which a vector drawing holds them as an image
LABELS = 12
LABEL_LENGTH = 34  # characters
UNITS = {"val_bpb": "bits per byte"}
PLACES = (  # of a label relative to its point, in points, nearest first
    (9, 9, "left"),
    (9, -15, "left"),
    (-9, -15, "right"),
    (-9, 9, "right"),
    (16, 24, "left"),
    (-12, -32, "right"),
    (16, 42, "left"),
    (-16, -50, "right"),
    (16, 62, "left"),
    (22, 84, "left"),
)


@dataclass(frozen=True)
class Palette:
    """The colours of a drawing. None as paper: none, so that what lies behind shows."""

    ink: str = "#24292f"
    grid: str = "#e6e8eb"
    kept: str = "#1a7f37"
    discarded: str = "#b6bcc4"
    failed: str = "#cf4a3d"
    paper: str | None = "white"


LIGHT = Palette()


def write_plot(
    reader: Reader, path: Path, *, metric: str = "val_bpb", minimize: bool = True
) -> None:
    """Draw the study into a PNG of about 1430 x 730 pixels. Raises OSError."""
    figure = progress_figure(collect(reader), metric, minimize=minimize)
    with replacing(path) as draft:
        figure.savefig(draft, format="png")


def progress_figure(
    points: Points,
    metric: str,
    *,
    minimize: bool,
    palette: Palette = LIGHT,
    bars: Mapping[int, float] | None = None,
) -> "Figure":
    """The drawing. `bars`: half the height of the interval around a kept point, by its id."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=palette.paper or "none", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=palette.paper or "none")
    _style(axes, points, metric, palette, minimize=minimize)
    if points.metrics:
        low, high = _with_bars(visible_range(points, minimize=minimize), points, bars or {})
        axes.set_ylim(low, high)
        _draw(axes, points, (low, high), palette, bars or {}, minimize=minimize)
        figure.draw_without_rendering()  # labels need the final places of the points
        figure.set_layout_engine("none")
        _label(figure, axes, points.kept, _line(points, minimize=minimize), palette)
    else:
        _draw_failures(axes, points, palette)
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no metric yet", transform=axes.transAxes, ha="center", color=palette.ink
        )
    return figure


def _style(axes: "Axes", points: Points, metric: str, palette: Palette, *, minimize: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    better = f"{'lower' if minimize else 'higher'} is better"
    words = f"{UNITS[metric]}, {better}" if metric in UNITS else better
    axes.set_ylabel(
        f"{sentence(metric, 40)} ({words})", color=palette.ink, fontsize=11, parse_math=False
    )
    axes.set_xlabel("experiment", color=palette.ink, fontsize=11)
    margin = max(0.7, 0.02 * points.last)
    axes.set_xlim(-margin, points.last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.ticklabel_format(useOffset=False)
    axes.grid(visible=True, axis="y", color=palette.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.ink, labelsize=10, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.grid)


def _with_bars(
    shown: tuple[float, float], points: Points, bars: Mapping[int, float]
) -> tuple[float, float]:
    """The range with room for intervals; for wild ones, at most as much again on either side."""
    low, high = shown
    ends = [
        metric_of(e) + sign * 1.05 * bars[e.id]
        for e in points.kept
        if e.id in bars and low <= metric_of(e) <= high
        for sign in (-1, 1)
    ]
    room = high - low
    return max(low - room, min((low, *ends))), min(high + room, max((high, *ends)))


def _draw(
    axes: "Axes",
    points: Points,
    shown: tuple[float, float],
    palette: Palette,
    bars: Mapping[int, float],
    *,
    minimize: bool,
) -> None:
    small = len(points.discarded) > 300
    inside = [(x, y) for x, y in points.discarded if shown[0] <= y <= shown[1]]
    outside = len(points.discarded) - len(inside)
    if points.discarded:
        words = f"discarded: {len(points.discarded):,}"
        if outside:
            words += f" ({outside:,} of them off the {'top' if minimize else 'bottom'})"
        axes.scatter(
            [x for x, _ in inside],
            [y for _, y in inside],
            s=9 if small else 26,
            color=palette.discarded,
            alpha=0.55 if small else 0.9,
            linewidths=0,
            rasterized=len(inside) > CLOUD,
            label=words,
        )
    line = _line(points, minimize=minimize)
    axes.step(
        [*(x for x, _ in line), points.last],
        [*(y for _, y in line), line[-1][1]] if line else [],
        where="post",
        color=palette.kept,
        linewidth=1.8,
        alpha=0.75,
        label="best so far",
    ) if line else None
    if held := [e for e in points.kept if bars.get(e.id)]:
        axes.errorbar(
            [e.id for e in held],
            [metric_of(e) for e in held],
            yerr=[bars[e.id] for e in held],
            fmt="none",
            ecolor=palette.kept,
            elinewidth=1.1,
            capsize=3.0 if len(held) < 60 else 0.0,
            zorder=3,
            label="95 % interval",
        )
    axes.scatter(
        [e.id for e in points.kept],
        [metric_of(e) for e in points.kept],
        s=48,
        color=palette.kept,
        edgecolors=palette.paper or "none",
        linewidths=1.0,
        zorder=4,
        label=f"kept: {len(points.kept):,}",
    )
    _draw_failures(axes, points, palette)
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=5,
        frameon=False,
        fontsize=10,
        labelcolor=palette.ink,
    )


def _draw_failures(axes: "Axes", points: Points, palette: Palette) -> None:
    """Failures have no metric: small marks along the top edge, at no height of the scale."""
    if points.failed:
        axes.scatter(
            points.failed,
            [0.988] * len(points.failed),
            transform=axes.get_xaxis_transform(),
            marker="x",
            s=16 if len(points.failed) < 100 else 7,
            color=palette.failed,
            linewidths=1.0 if len(points.failed) < 100 else 0.5,
            rasterized=len(points.failed) > CLOUD,
            label=f"failed: {len(points.failed):,}",
        )


def _line(points: Points, *, minimize: bool) -> list[tuple[int, float]]:
    return [(e.id, metric_of(e)) for e in best_so_far(points.kept, minimize=minimize)]


def _chosen(kept: Sequence[Experiment]) -> list[Experiment]:
    """Which points get a label: the first, the last, and those with the largest steps."""
    if len(kept) <= LABELS:
        return list(kept)
    steps = {
        after.id: abs(metric_of(after) - metric_of(before)) for before, after in pairwise(kept)
    }
    largest = sorted(kept[1:-1], key=lambda e: steps[e.id], reverse=True)[: LABELS - 2]
    return [kept[-1], kept[0], *largest]


def _label(
    figure: "Figure",
    axes: "Axes",
    kept: Sequence[Experiment],
    line: Sequence[tuple[int, float]],
    palette: Palette,
) -> None:
    """Write titles where they cover neither each other nor the line; leave out what has no room."""
    from matplotlib import patheffects
    from matplotlib.text import Text

    halo = (
        [patheffects.withStroke(linewidth=2.5, foreground=palette.paper)] if palette.paper else []
    )
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    room = axes.get_window_extent(renderer)
    taken = _boxes(axes, line)
    for experiment in _chosen(kept):
        for x, y, side in PLACES:
            label = axes.annotate(
                f"#{experiment.id} {sentence(experiment.title, LABEL_LENGTH)}",
                (experiment.id, metric_of(experiment)),
                xytext=(x, y),
                textcoords="offset points",
                ha=side,
                fontsize=8.5,
                color=palette.ink,
                path_effects=halo,
                parse_math=False,
                zorder=5,
                arrowprops={
                    "arrowstyle": "-",
                    "color": palette.discarded,
                    "linewidth": 0.7,
                    "shrinkB": 4,
                }
                if abs(y) > 15
                else None,
            )
            label.update_positions(renderer)
            # Of the text alone: an arrow may cross the line.
            box = Text.get_window_extent(label, renderer).padded(2)
            inside = room.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            inside = inside and room.y0 <= box.y0 and box.y1 <= room.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()


def _boxes(axes: "Axes", line: Sequence[tuple[int, float]]) -> list[Any]:
    """The places on the canvas that the step line covers."""
    from matplotlib.transforms import Bbox

    boxes = []
    corners = axes.transData.transform(line).tolist() if line else []
    for (x, y), (next_x, next_y) in pairwise(corners):
        boxes.append(Bbox.from_extents(x, y - 1, next_x, y + 1))
        boxes.append(Bbox.from_extents(next_x - 1, min(y, next_y), next_x + 1, max(y, next_y)))
    if corners:
        x, y = corners[-1]
        boxes.append(Bbox.from_extents(x, y - 1, axes.bbox.x1, y + 1))
    return boxes
