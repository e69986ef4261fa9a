"""What was learned, in the words of the study's notebook, and the newest lessons beside it."""

from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Points, Section, Verbatim, Words
from scheduler.study.report.material import Material
from workers.log import sentence

LINES, CHARACTERS = 150, 10_000
LESSONS = 25


def learned(material: Material) -> Section | None:
    """Written by a model or by the rules; nobody has checked it."""
    reader = material.reader
    notebook = reader.notebook()
    blocks: list[Block] = []
    if notebook is not None and notebook.text.strip():
        author = "the study's rules" if notebook.author == "rules" else sentence(notebook.author)
        when = wording.moment(notebook.at)
        blocks.append(Words(f"Condensed by {author}, {when}. Nobody has checked it."))
        text = wording.bounded(notebook.text, LINES, CHARACTERS, "all of it: autoresearch notebook")
        blocks.append(Verbatim(text, label="The study's notebook"))
    lessons = reader.lessons(after=notebook.upto if notebook else 0, limit=LESSONS)
    if lessons:
        blocks.append(Words("Since then:" if notebook else "The newest lessons:"))
        blocks.append(Points([sentence(each, 300) for each in lessons]))
    return Section("What was learned", blocks) if blocks else None
