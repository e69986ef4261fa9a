"""The report's drawings, each twice: in the colours of a page, and as a PNG for a file.

In: points and intervals. Out: a `Picture`. The SVG has text as text, and variables of the page in
the place of colours, so that it is light or dark as the page is; it names nothing outside of
itself. One thread at a time, as the library's settings belong to the process: `LOCK` sees to
that.
"""

# ruff: noqa: PLC0415 - importing matplotlib takes half a second, which only a drawing should cost
import io
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from scheduler.study.plot import LIGHT, Palette, progress_figure
from scheduler.study.points import Points
from scheduler.study.report import wording
from scheduler.study.report.blocks import Picture
from scheduler.study.report.material import Kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOCK = threading.Lock()
VARIABLES = {  # colours that nothing else has -> names in the page's style sheet
    "#010201": "--ink",
    "#010202": "--line",
    "#010203": "--good",
    "#010204": "--faint",
    "#010205": "--bad",
}
PAGE = Palette("#010201", "#010202", "#010203", "#010204", "#010205", paper=None)
MOST_EFFECTS = 40  # the newest: more are no drawing that one can read
TWO_ERRORS = 2.0
# What the library calls its groups: the same in every drawing, and named by nothing.
_GROUPS = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|legend|PathCollection|LineCollection|'
    r'matplotlib\.axis|xtick|ytick|annotation)_\d+"'
)


def draw_progress(
    points: Points, bars: Mapping[int, float], metric: str, words: str, *, minimize: bool
) -> Picture:
    """Every decided experiment, with the intervals of the kept ones."""

    def draw(palette: Palette) -> "Figure":
        return progress_figure(points, metric, minimize=minimize, palette=palette, bars=bars)

    return _picture("progress", words, draw)


def draw_effects(kept: Sequence[Kept], metric: str, words: str, *, minimize: bool) -> Picture:
    """Effects with two standard errors to each side, one below the other."""
    shown = kept[-MOST_EFFECTS:]
    if len(shown) < len(kept):
        words += f", the newest {MOST_EFFECTS} of {len(kept)}"

    def draw(palette: Palette) -> "Figure":
        from matplotlib.figure import Figure

        figure = Figure(
            figsize=(11.0, 1.1 + 0.32 * len(shown)),
            facecolor=palette.paper or "none",
            layout="constrained",
        )
        axes = figure.add_subplot(facecolor=palette.paper or "none")
        axes.axvline(0.0, color=palette.ink, linewidth=1.0)
        for place, each in enumerate(shown):
            evidence = each.evidence
            if evidence is None or evidence.effect is None:
                continue
            error = TWO_ERRORS * (evidence.standard_error or 0.0)
            axes.errorbar(
                [evidence.effect], [place], xerr=[error], fmt="o", color=palette.kept, capsize=3.0
            )
        axes.set_yticks(range(len(shown)))
        axes.set_yticklabels(
            [wording.named(each.experiment)[:60] for each in shown], parse_math=False
        )
        axes.set_ylim(len(shown) - 0.4, -0.6)
        side = "left" if minimize else "right"
        axes.set_xlabel(
            f"effect on {metric[:40]}, with two standard errors; {side} is better",
            color=palette.ink,
            parse_math=False,
        )
        axes.tick_params(colors=palette.ink, labelsize=10, length=0)
        axes.grid(visible=True, axis="x", color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure

    return _picture("effects", words[0].upper() + words[1:], draw)


def _picture(name: str, words: str, draw: Callable[[Palette], "Figure"]) -> Picture:
    import matplotlib

    plain = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with LOCK:
        png = io.BytesIO()
        draw(LIGHT).savefig(png, format="png", dpi=130)
        svg = io.StringIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
            draw(PAGE).savefig(svg, format="svg", metadata=plain)
    return Picture(name, words, _for_a_page(svg.getvalue()), png.getvalue())


def _for_a_page(svg: str) -> str:
    """The element alone, without a size of its own."""
    element = svg[svg.index("<svg") :].strip()
    head, _, rest = element.partition(">")
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    for colour, variable in VARIABLES.items():
        rest = rest.replace(colour, f"var({variable})")
    return f'{head} aria-hidden="true">{_GROUPS.sub("", rest)}'
