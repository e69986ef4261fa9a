"""The sections of a report, in their order: one file each, from `Material` to a `Section`.

A section that has nothing to tell of this study is None, and is left out. To add one: a file here
with one function, and its place in `SECTIONS`; every format then has it. It may ask
`material.reader` for what only it needs, with a bound, and escapes nothing: that is the
renderers' business.
"""

from collections.abc import Callable, Sequence

from scheduler.study.report.blocks import Section
from scheduler.study.report.material import Material
from scheduler.study.report.sections.ablation import ablation
from scheduler.study.report.sections.again import again
from scheduler.study.report.sections.baseline import baseline
from scheduler.study.report.sections.checked import checked
from scheduler.study.report.sections.code import code
from scheduler.study.report.sections.cost import cost
from scheduler.study.report.sections.failures import failures
from scheduler.study.report.sections.holds import holds
from scheduler.study.report.sections.instructions import instructions
from scheduler.study.report.sections.kept import kept
from scheduler.study.report.sections.learned import learned
from scheduler.study.report.sections.method import method
from scheduler.study.report.sections.progress import progress
from scheduler.study.report.sections.question import question
from scheduler.study.report.sections.researchers import researchers
from scheduler.study.report.sections.slot_time import slot_time
from scheduler.study.report.sections.summary import summary

SECTIONS: Sequence[Callable[[Material], Section | None]] = (
    summary,
    question,
    method,
    baseline,
    progress,
    kept,
    ablation,
    holds,
    code,
    failures,
    learned,
    instructions,
    researchers,
    slot_time,
    cost,
    checked,
    again,
)
