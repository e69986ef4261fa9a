"""What the study was to find out, in the words of whoever asked."""

from scheduler.study.directions import said
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Section, Verbatim, Words
from scheduler.study.report.material import Material
from workers.log import clean

LINES, CHARACTERS = 120, 8000


def question(material: Material) -> Section | None:
    """The research directions."""
    blocks: list[Block] = []
    if notes := clean(material.config.study.notes).strip():
        blocks.append(Words(notes))
    if program := said(material.program).strip():
        text = wording.bounded(program, LINES, CHARACTERS, "the rest is in the study's program.md")
        blocks.append(Verbatim(text, label="The research directions, program.md"))
    return Section("The question", blocks) if blocks else None
