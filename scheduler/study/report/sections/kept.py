"""What was kept: every change with its effect on the champion of its day, and the evidence."""

from scheduler.rules.intervals import half_width
from scheduler.rules.noise import Noise
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Caution, Column, Section, Table, Words
from scheduler.study.report.material import Kept, Material
from workers.log import sentence

AUTHORS = 20  # with the largest effects, whose words are shown
LONGEST_WORDS = 300  # characters


def kept(material: Material) -> Section | None:
    """All of them, in the order in which they were found."""
    if not material.wins:
        return None
    columns = (
        *(Column("id", is_number=True), Column("change"), Column("by")),
        *(Column("on", is_number=True), Column("effect", is_number=True)),
        *(Column("standard error", is_number=True), Column("seeds", is_number=True)),
        *(Column("p", is_number=True), Column(material.metric, is_number=True)),
        Column("95 % interval", is_number=True),
    )
    rows = [_row(each) for each in material.wins]
    caption = f"{wording.count(len(rows), 'change')} kept"
    blocks: list[Block] = [Table(caption, columns, rows), Words(_explanation(material))]
    if (luck := _luck(material)) is not None:
        blocks.append(luck)
    return Section("What was kept", (*blocks, _authors(material)))


def _row(each: Kept) -> tuple[str, ...]:
    experiment, evidence, found = each.experiment, each.evidence, each.estimate
    return (
        f"#{experiment.id}",
        wording.title(experiment),
        sentence(experiment.origin, 60),
        wording.NONE if experiment.parent is None else f"#{experiment.parent}",
        wording.change(evidence.effect if evidence else None),
        wording.within((evidence.standard_error if evidence else None) or None),
        str(evidence.seeds) if evidence and (each.is_tested or each.is_exact) else wording.NONE,
        wording.chance(evidence.p) if evidence else wording.NONE,
        wording.metric(found.mean if found.trials else experiment.metric),
        wording.within(found.half),
    )


def _explanation(material: Material) -> str:
    words = (
        "The effect is the difference to the champion of that day, in units of the metric; "
        f"{'negative' if material.minimize else 'positive'} is better."
    )
    if any(each.is_tested for each in material.wins):
        words += (
            " It is taken from the seeds that confirm, without the first trial. p is the chance of "
            "such a win without an effect, all looks counted. A test that stops at a good moment "
            "still flatters: effects of one sigma are stated half as large again, those above "
            "three hardly so. Effects do not simply add up, as each was measured on other code."
        )
    if any(each.is_exact for each in material.wins):
        words += (
            " Without an error and a p: every repeat gave the same figure, the seed changes "
            "nothing, so that there is no luck to test against."
        )
    return words


def _luck(material: Material) -> Caution | None:
    """How many of the plain wins are within what luck does."""
    small, judged = 0, 0
    for each in material.wins:
        noise = material.noise.get(each.estimate.hardware, Noise())
        limit = half_width(noise, 1, 1)
        effect = each.evidence.effect if each.evidence else None
        if each.is_tested or not limit or effect is None:
            continue
        judged += 1
        small += abs(effect) < limit
    if not judged:
        return None
    return Caution(
        f"Of the {judged} that were kept by a plain comparison, {small} won by less than two "
        "single trials of the same code differ by in 95 % of the cases: each of these may be luck."
    )


def _authors(material: Material) -> Table:
    """Hypothesis, expectation and lesson of the largest."""

    def size(each: Kept) -> float:
        return abs(each.evidence.effect or 0.0) if each.evidence else 0.0

    largest = sorted(material.wins, key=size, reverse=True)[:AUTHORS]
    rows = [
        (
            f"#{each.experiment.id}",
            sentence(each.experiment.hypothesis, LONGEST_WORDS) or wording.NONE,
            sentence(each.experiment.expected, LONGEST_WORDS) or wording.NONE,
            sentence(each.experiment.lesson or each.experiment.reason, LONGEST_WORDS),
        )
        for each in sorted(largest, key=lambda each: each.experiment.id)
    ]
    caption = "Why, in their authors' words"
    if len(material.wins) > AUTHORS:
        caption += f": the {AUTHORS} with the largest effects"
    columns = (
        *(Column("id", is_number=True), Column("hypothesis"), Column("expected")),
        Column("observed"),
    )
    return Table(caption, columns, rows)
