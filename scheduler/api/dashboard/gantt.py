"""Slots' time as pictures of a page: a bar of shares, and the newest trials slot by slot.

In: seconds by kind, and a Timeline. Out: HTML and SVG, made of numbers and of our own words alone.
One path for each kind, so that hundreds of segments are some kilobytes. Draws the same colours as
the picture of `autoresearch timeline`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from scheduler.rules.timeline import Kind, Line, Open, in_words
from scheduler.study.timeline import Timeline
from scheduler.study.timeline_plot import COLOURS

MOST_ROWS = 24  # slots: a cluster of hundreds is told in a sentence
WIDE, TALL, GAP = 1000, 14, 3  # of the drawing's own units: a row, and between two
LEAST = 0.5  # units below which a segment can't be seen


def bar(seconds: Mapping[Kind, float]) -> str:
    """Shares side by side, and what each colour is."""
    whole = sum(seconds.values())
    if whole <= 0:
        return ""
    parts, marks = [], []
    for kind, part in seconds.items():
        share = 100 * part / whole
        colour = COLOURS[kind]
        parts.append(f'<span style="width:{share:.3f}%;background:{colour}"></span>')
        sign = f'<i style="background:{colour}"></i>'
        marks.append(f'<span class="mark">{sign}{kind.value} {share:.1f} %</span>')
    words = in_words(seconds)
    return (
        f'<div class="phases shares" role="img" aria-label="{words}">{"".join(parts)}</div>'
        f'<div class="marks quiet">{"".join(marks)}</div>'
    )


def gantt(timeline: Timeline) -> str:
    """The slots of a timeline, one below the other, time from left to right.

    Time without any slot, as between two sessions, is left out.
    """
    rows = timeline.lines[:MOST_ROWS]
    if not rows:
        return ""
    paths = _paths(rows, Open(timeline.lines))
    tall = len(rows) * (TALL + GAP)
    drawn = "".join(f'<path fill="{COLOURS[k]}" d="{d}"/>' for k, d in paths.items())
    return (
        f'<svg viewBox="0 0 {WIDE} {tall}" preserveAspectRatio="none" width="100%"'
        f' height="{tall}" role="img" aria-label="Slot by slot: '
        f'{in_words(timeline.totals)}" shape-rendering="crispEdges">{drawn}</svg>'
    )


def _paths(rows: Sequence[Line], shown: Open) -> Mapping[Kind, str]:
    found: defaultdict[Kind, list[str]] = defaultdict(list)
    scale = WIDE / shown.seconds
    for number, line in enumerate(rows):
        top = number * (TALL + GAP)
        for segment in line.segments:
            start, wide = scale * shown.until(segment.start), scale * segment.seconds
            if wide >= LEAST:
                found[segment.kind].append(f"M{start:.1f} {top}h{wide:.1f}v{TALL}h-{wide:.1f}z")
    return {kind: "".join(found[kind]) for kind in Kind if kind in found}
