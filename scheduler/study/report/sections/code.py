"""What all of it amounts to: the champion's code against the baseline's."""

from scheduler.study.patch import unified_diff
from scheduler.study.report import wording
from scheduler.study.report.blocks import Section, Verbatim, Words
from scheduler.study.report.material import Material

LINES, CHARACTERS = 250, 30_000


def code(material: Material) -> Section | None:
    """The difference, or the beginning of a long one."""
    first, best = material.baseline, material.champion
    if first is None or best is None or first is best:
        return None
    start, end = first.experiment.id, best.experiment.id
    patch = unified_diff(material.reader.files(start), material.reader.files(end))
    text = wording.bounded(patch, LINES, CHARACTERS, f"all of it: autoresearch diff {start} {end}")
    words = f"From the baseline, #{start}, to the best, {wording.named(best.experiment)}."
    label = "The champion's changes to the baseline"
    return Section("The best code", (Words(words), Verbatim(text, "diff", label)))
