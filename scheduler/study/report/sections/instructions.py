"""What people asked for while the study ran, and what came of each."""

from collections.abc import Sequence

from scheduler.rules.states import ExperimentState
from scheduler.study.listing import by_numbers
from scheduler.study.records import Experiment
from scheduler.study.report import wording
from scheduler.study.report.blocks import Column, Section, Table
from scheduler.study.report.material import Material
from workers.log import sentence

NEWEST, EXPERIMENTS = 100, 300  # instructions, and experiments of each that are looked at


def instructions(material: Material) -> Section | None:
    """The newest, in the order in which they came."""
    newest = material.reader.latest_instructions(NEWEST)[::-1]
    if not newest:
        return None
    rows = []
    for each in newest:
        found = by_numbers(material.reader, each.experiments[-EXPERIMENTS:])
        rows.append(
            (
                str(each.id),
                sentence(each.text, 400),
                each.state.value,
                str(len(each.experiments)),
                *_results(material, list(found.values())),
            )
        )
    columns = (
        *(Column("id", is_number=True), Column("instruction"), Column("state")),
        *(Column("experiments", is_number=True), Column("kept"), Column("failed", is_number=True)),
        Column(f"best {material.metric}", is_number=True),
    )
    caption = "Instructions" if newest[0].id == 1 else f"The newest {len(newest)} instructions"
    return Section("What people asked for", (Table(caption, columns, rows),))


def _results(material: Material, found: Sequence[Experiment]) -> tuple[str, str, str]:
    kept = [each for each in found if each.state is ExperimentState.KEEP]
    metrics = [each.metric for each in found if each.metric is not None]
    best = (min if material.minimize else max)(metrics) if metrics else None
    numbers = ", ".join(f"#{each.id}" for each in kept) or "0"
    failed = sum(1 for each in found if each.state.is_failure)
    return numbers, str(failed), wording.metric(best)
