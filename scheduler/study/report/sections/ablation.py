"""What each kept edit contributes: the champion without it, where that was measured."""

from scheduler.rules.states import ExperimentState
from scheduler.study.judged import evidence_for
from scheduler.study.report import wording
from scheduler.study.report.blocks import Column, Section, Table, Words
from scheduler.study.report.material import Material
from workers.log import sentence

MOST = 200  # rows


def ablation(material: Material) -> Section | None:
    """One row for each edit that was taken out, the newest ones."""
    found = material.reader.ablations(MOST)
    if not found:
        return None
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
                wording.within(judged.standard_error if judged else None),
                str(judged.seeds) if judged else wording.NONE,
                _what_follows(each.state, each.reason),
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
    return Section("Ablation", (Words(words), Table(caption, columns, rows)))


def _what_follows(state: ExperimentState, reason: str) -> str:
    if state is ExperimentState.KEEP:
        return "removed: the smaller code is no worse"
    if state is ExperimentState.DISCARD:
        return "stays"
    return sentence(f"{state}: {reason}" if reason else state, 100)
