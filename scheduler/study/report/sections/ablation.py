"""What each kept edit contributes: the champion without it, where that was measured."""

from scheduler.reasons import decision
from scheduler.rules.evidence import Evidence
from scheduler.rules.states import ExperimentState
from scheduler.study.judged import evidence_for
from scheduler.study.records import Experiment
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Column, Points, Section, Table, Words
from scheduler.study.report.material import Material
from workers.log import sentence

MOST = 200  # rows


def ablation(material: Material) -> Section | None:
    """One row for each edit that was taken out, the newest ones."""
    found = material.reader.ablations(MOST)
    refused = [sentence(each, 200) for each in material.reader.not_ablated()[:MOST]]
    if not found and not refused:
        return None
    if not found:
        return Section(
            "Ablation", (Words("No edit could be taken out by itself:"), Points(refused))
        )
    evidence = evidence_for(material.reader, [each.id for each in found])
    rows = []
    for each in found:
        judged = evidence.get(each.id)
        rows.append(
            (
                f"#{each.ablates}",
                wording.title(each).removeprefix(f"without #{each.ablates}: "),
                f"#{each.parent}",
                wording.change(judged.effect if judged else None),
                wording.within((judged.standard_error if judged else None) or None),
                str(judged.seeds) if judged else wording.NONE,
                _what_follows(each, judged),
            )
        )
    better = "lower" if material.minimize else "higher"
    words = (
        "Each kept edit was taken out of the champion by itself and the rest run again, beside the "
        f"champion with the same seeds. The difference is what {material.metric} becomes without "
        f"the edit ({better} is better): where it is within twice its error, nothing was shown to "
        "be lost. An edit that later ones stand on can't be taken out, and what two edits do "
        "together is in neither row. Where the code without an edit was shown to be no worse and "
        "is smaller, it was kept: a champion of its own."
    )
    columns = (
        *(Column("edit", is_number=True), Column("change"), Column("taken out of", is_number=True)),
        *(Column("without it", is_number=True), Column("standard error", is_number=True)),
        *(Column("seeds", is_number=True), Column("what follows")),
    )
    caption = f"{wording.count(len(rows), 'edit')} taken out"
    blocks: list[Block] = [Words(words), Table(caption, columns, rows)]
    if refused:
        blocks += [Words("These could not be taken out by themselves:"), Points(refused)]
    return Section("Ablation", blocks)


def _what_follows(experiment: Experiment, judged: Evidence | None) -> str:
    if experiment.state is ExperimentState.KEEP:
        return "removed: the smaller code is no worse"
    if experiment.state is not ExperimentState.DISCARD or judged is None:
        return sentence(f"{experiment.state}: {decision(experiment)}", 100)
    effect, error = judged.effect, judged.standard_error
    if effect is None or error is None:
        return "not known"
    if abs(effect) > 2 * error:
        return "stays"
    return f"may be removed, nothing is shown to be lost: the code is #{experiment.id}'s"
