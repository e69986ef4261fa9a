"""The progress plot, and the effects of what was kept, with their intervals."""

from dataclasses import replace

from scheduler.study.points import collect
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Section, Words
from scheduler.study.report.drawing import draw_effects, draw_progress
from scheduler.study.report.material import Material


def progress(material: Material) -> Section | None:
    """Where there is a metric to draw."""
    points = collect(material.reader)
    if not points.metrics:
        return None
    fair = {each.experiment.id: each.estimate for each in material.kept if each.estimate.trials}
    points.kept = [replace(e, metric=fair[e.id].mean) if e.id in fair else e for e in points.kept]
    bars = {number: found.half for number, found in fair.items() if found.half is not None}
    words = (
        f"Progress: {material.metric} of {wording.count(len(points.metrics), 'experiment')} in "
        f"the order of their ids, {len(points.kept)} of them kept"
    )
    blocks: list[Block] = [
        draw_progress(points, bars, material.metric, words, minimize=material.minimize),
        Words(_legend(material, has_bars=bool(bars))),
    ]
    tested = [each for each in material.wins if each.is_tested]
    if len(tested) > 1:
        shown = "effect of each confirmed change on the champion of its day"
        blocks.append(draw_effects(tested, material.metric, shown, minimize=material.minimize))
    return Section("Progress", blocks)


def _legend(material: Material, *, has_bars: bool) -> str:
    lucky = [each for each in material.wins if each.estimate.chosen]
    words = "Each point is an experiment. "
    if lucky and len(lucky) == len(material.wins):
        words += "A kept one stands at the very figure that it was chosen by, which is a lucky one"
    elif material.wins:
        words += "A kept one stands at the mean of its trials but the first, by which it was chosen"
        if lucky:
            words += "; those without further seeds at that very figure, which is a lucky one"
    else:
        words += "The baseline stands at the mean of its trials"
    if has_bars:
        words += (
            ". The bars are 95 % intervals, from the noise of the class of hardware and its "
            "degrees of freedom"
        )
        words += "; they know nothing of such luck" if lucky else ""
    return f"{words}. What failed has no figure and is marked along the edge."
