"""Tables of experiments and of arms. Their cells are text; numbers of experiments are links."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from agent import ArmRecord
from scheduler.api.dashboard import words
from scheduler.study.records import Experiment

EMPTY = '<div class="quiet q-pa-sm">none</div>'
LINK = """
<q-td :props="props"><a :href="'/experiment/' + props.value">#{{ props.value }}</a></q-td>
"""
STATE = """
<q-td :props="props"><q-icon :name="props.row.icon" :class="'text-' + props.row.colour" size="xs"
aria-hidden="true" class="q-mr-xs"></q-icon>{{ props.value }}</q-td>
"""


def _column(name: str, *, right: bool = False, wrap: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": name,
        "label": name,
        "field": name,
        "align": "right" if right else "left",
    }
    if wrap:
        column |= {"classes": "wrap", "style": "min-width: 12rem; overflow-wrap: anywhere"}
    return column


class Experiments:
    """A table of experiments."""

    def __init__(self, metric: str, label: str, *, why: bool = False) -> None:
        self._metric, self._why = metric, why
        columns = [
            _column("id", right=True),
            _column("state"),
            _column(metric, right=True),
            _column("difference", right=True),
            _column("title", wrap=True),
            _column("by"),
        ]
        if why:
            columns.append(_column("why", wrap=True))
        self._table = (
            ui.table(rows=[], columns=columns, row_key="id")
            .classes("w-full")
            .props(f'flat dense hide-pagination :rows-per-page-options="[0]" aria-label="{label}"')
        )
        self._table.add_slot("body-cell-id", LINK)
        self._table.add_slot("body-cell-state", STATE)
        self._table.add_slot("no-data", EMPTY)
        self._shown: object = None

    def show(self, experiments: Sequence[Experiment], reference: float | None) -> None:
        """Show these; `reference`: the metric that differences are taken from."""
        if self._shown == (experiments, reference):
            return
        self._shown = (experiments, reference)
        self._table.rows = [self._row(each, reference) for each in experiments]

    def _row(self, experiment: Experiment, reference: float | None) -> dict[str, Any]:
        icon, colour = words.SIGNS[experiment.state]
        return {
            "id": experiment.id,
            "state": experiment.state.value,
            "icon": icon,
            "colour": colour,
            self._metric: words.metric(experiment.metric),
            "difference": words.difference(experiment.metric, reference),
            "title": words.title(experiment),
            "by": experiment.origin,
            "why": experiment.reason,
        }


class Arms:
    """Who proposes, and what it costs."""

    def __init__(self) -> None:
        names = ("experiments", "kept", "failed", "best gain", "calls", "tokens", "cost")
        columns = [_column("arm"), *(_column(name, right=True) for name in names)]
        self._table = (
            ui.table(rows=[], columns=columns, row_key="arm")
            .classes("w-full")
            .props(
                'flat dense hide-pagination :rows-per-page-options="[0]" aria-label="Who proposes"'
            )
        )
        self._table.add_slot("no-data", EMPTY)
        self._shown: object = None

    def show(self, arms: Sequence[ArmRecord]) -> None:
        """Show these records."""
        if self._shown == arms:
            return
        self._shown = arms
        self._table.rows = [
            {
                "arm": arm.name,
                "experiments": f"{arm.experiments:,}",
                "kept": f"{arm.kept:,}",
                "failed": f"{arm.failed:,}",
                "best gain": f"{arm.best_gain:.6f}" if arm.best_gain else words.NONE,
                "calls": f"{arm.calls:,}",
                "tokens": f"{arm.tokens:,}",
                "cost": words.dollars(arm.dollars),
            }
            for arm in arms
        ]
