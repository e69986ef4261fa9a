"""Tables of experiments and of arms. Their cells are text; numbers of experiments are links."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from agent import ArmRecord
from scheduler import figures
from scheduler.api.dashboard import words
from scheduler.study.records import Experiment

EMPTY = '<div class="quiet q-pa-sm">none</div>'
LINK = """
<q-td :props="props"><a :href="'/experiment/' + props.value">#{{ props.value }}</a></q-td>
"""
STATE = """
<q-td :props="props"><q-icon :name="props.row.icon" :style="{color: props.row.colour}" size="xs"
aria-hidden="true" class="q-mr-xs"></q-icon>{{ props.value }}</q-td>
"""


def _column(
    name: str, *, right: bool = False, wrap: bool = False, wide: bool = False
) -> dict[str, Any]:
    """A column; `wide`: a phone leaves it out."""
    column: dict[str, Any] = {
        "name": name,
        "label": name,
        "field": name,
        "align": "right" if right else "left",
    }
    if wrap:
        column |= {"classes": "wrap", "style": "min-width: 6rem; overflow-wrap: anywhere"}
    if wide:
        column |= {"classes": f"{column.get('classes', '')} wide", "headerClasses": "wide"}
    return column


class Experiments:
    """A table of experiments."""

    def __init__(
        self, metric: str, label: str, *, measured: bool = True, why: bool = False
    ) -> None:
        """`measured`: with what was measured; `why`: with what the rules said to it."""
        self._metric = metric
        columns = [_column("id", right=True)]
        if measured:
            columns += [
                _column("state"),
                _column(metric, right=True),
                _column("trials", right=True, wide=True),
                _column("difference", right=True, wide=True),
            ]
        columns += [_column("title", wrap=True), _column("by", wide=True)]
        if why:
            columns.append(_column("why", wrap=True, wide=True))
        self._table = (
            ui.table(rows=[], columns=columns, row_key="id")
            .classes("w-full")
            .props(f'flat dense hide-pagination :rows-per-page-options="[0]" aria-label="{label}"')
        )
        self._table.add_slot("body-cell-id", LINK)
        self._table.add_slot("body-cell-state", STATE)
        self._table.add_slot("no-data", EMPTY)
        self._shown: object = None

    def show(
        self, experiments: Sequence[Experiment], reference: float | None, on: str = ""
    ) -> None:
        """Show these; `reference`: the metric that differences are taken from, measured `on` this.

        Across classes of hardware nothing is compared.
        """
        if self._shown == (experiments, reference, on):
            return
        self._shown = (experiments, reference, on)
        self._table.rows = [
            self._row(each, reference if each.hardware == on else None) for each in experiments
        ]

    def _row(self, experiment: Experiment, reference: float | None) -> dict[str, Any]:
        icon, colour = words.SIGNS[experiment.state]
        return {
            "id": experiment.id,
            "state": experiment.state.value,
            "icon": icon,
            "colour": colour,
            self._metric: words.metric(experiment.metric),
            "trials": str(experiment.trials or words.NONE),
            "difference": words.difference(experiment.metric, reference),
            "title": words.title(experiment),
            "by": experiment.origin,
            "why": experiment.reason,
        }


class Arms:
    """Who proposes, and what it costs."""

    def __init__(self) -> None:
        names = ("experiments", "kept", "failed", "best gain", "calls", "tokens", "cost")
        left_out = ("failed", "best gain", "calls", "tokens")
        columns = [
            _column("arm", wrap=True),
            *(_column(name, right=True, wide=name in left_out) for name in names),
        ]
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
                "best gain": figures.amount(arm.best_gain) if arm.best_gain else words.NONE,
                "calls": f"{arm.calls:,}",
                "tokens": f"{arm.tokens:,}",
                "cost": words.dollars(arm.dollars),
            }
            for arm in arms
        ]
