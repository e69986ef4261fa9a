"""The lineage of what was kept: which win stands on which.

In: the kept experiments. Out: a tree in which the main line goes down the page and only what
branches off is indented, since a line of a hundred wins can't be indented a hundred times.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.panels import link_to
from scheduler.study.points import metric_of
from scheduler.study.records import Experiment

MOST = 60  # newest ones


@dataclass
class Branch:
    """A line of wins, each on the one before, and what branches off each of them."""

    line: list[Experiment] = field(default_factory=list)
    off: dict[int, list["Branch"]] = field(default_factory=dict)


def branches(kept: Sequence[Experiment], champion: int | None) -> list[Branch]:
    """The kept ones as branches. The line to the champion is the main one."""
    known = {each.id: each for each in kept}
    children: dict[int | None, list[Experiment]] = defaultdict(list)
    for each in kept:
        children[each.parent if each.parent in known else None].append(each)
    main: set[int] = set()
    at = champion
    while at is not None and at in known and at not in main:
        main.add(at)
        at = known[at].parent
    return [_follow(each, children, main) for each in children[None]]


def _follow(
    first: Experiment, children: dict[int | None, list[Experiment]], main: set[int]
) -> Branch:
    branch, at = Branch(), first
    while True:
        branch.line.append(at)
        mine = sorted(children[at.id], key=lambda e: (e.id not in main, e.id))
        if not mine:
            return branch
        if len(mine) > 1:
            branch.off[at.id] = [_follow(each, children, main) for each in mine[1:]]
        at = mine[0]


class Lineage:
    """The panel of one page."""

    def __init__(self) -> None:
        self._box = ui.column().classes("w-full gap-0")
        self._shown: object = None

    def show(self, kept: Sequence[Experiment], champion: int | None) -> None:
        """Draw what is new."""
        if (kept, champion) == self._shown:
            return
        self._shown = (list(kept), champion)
        self._box.clear()
        with self._box:
            if not kept:
                ui.label("Nothing is kept yet.").classes("quiet")
            if len(kept) > MOST:
                ui.label(f"The newest {MOST} of {len(kept):,}.").classes("quiet")
            for branch in branches(kept[-MOST:], champion):
                _add(branch, champion)


def _add(branch: Branch, champion: int | None) -> None:
    with ui.element("ul").style("list-style: none; margin: 0; padding-left: .5rem"):
        before: Experiment | None = None
        for each in branch.line:
            with ui.element("li").classes("w-full"):
                _add_one(each, before, is_champion=each.id == champion)
                for other in branch.off.get(each.id, ()):
                    with ui.element("div").style(
                        "margin-left: .75rem; border-left: 2px solid rgba(128,128,128,.4)"
                    ):
                        _add(other, champion)
            before = each


def _add_one(each: Experiment, before: Experiment | None, *, is_champion: bool) -> None:
    with ui.row().classes("items-baseline gap-2 no-wrap w-full"):
        link_to(each.id).classes("mono")
        ui.label(words.metric(each.metric)).classes("mono")
        if before is not None:
            gain = words.difference(metric_of(each), metric_of(before))
            ui.label(gain).classes("mono quiet wide")
        if is_champion:
            ui.icon("emoji_events", color="var(--wait)").props('aria-label="champion" role="img"')
        ui.label(words.title(each)).classes("one-line").style("flex: 1 1 0; min-width: 0")
