"""A report as Markdown (CommonMark with GitHub's tables), its pictures beside it.

In: a Report, and what the files of its pictures begin with. Out: text. Everything that came from
models, logs or people is escaped, so that it stays the text that it is: no heading, link, image,
mention or HTML comes of it.
"""

import re
from collections.abc import Iterator
from functools import singledispatch

from scheduler.study.report.blocks import (
    Block,
    Caution,
    Facts,
    Picture,
    Points,
    Report,
    Table,
    Verbatim,
    Words,
)
from workers.log import clean

_MARKS = re.compile(r"([\\`*_\[\]|~$])")
_STARTS = re.compile(r"^(#+|[-+=]|\d+(?=[.)](?:\s|$)))")  # of a heading, a list or a rule
_LINKS = re.compile(r"(?i)(?<=:)(?=//)|(?<=\bwww)(?=\.)")  # what GitHub makes links of by itself
_LONGEST_FENCE = re.compile(r"`{3,}")


def render_markdown(report: Report, stem: str) -> str:
    """The whole document; its pictures are `STEM-NAME.png`."""
    parts = [f"# {escape(report.title)}", escape(report.subtitle)]
    for section in report.sections:
        parts.append(f"## {escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, Picture):
                parts.append(f"![{escape(block.words)}]({stem}-{block.name}.png)")
            else:
                parts.append(_render(block))
    return "\n\n".join(parts) + "\n"


def pictures_of(report: Report) -> Iterator[Picture]:
    """All pictures, in their order."""
    for section in report.sections:
        yield from (block for block in section.blocks if isinstance(block, Picture))


def escape(text: str) -> str:
    """Text as one line that Markdown shows as it is."""
    line = " ".join(clean(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _MARKS.sub(r"\\\1", line)
    line = _LINKS.sub(r"\\", line)
    return _STARTS.sub(lambda m: f"{m[1]}\\" if m[1].isdigit() else f"\\{m[1]}", line)


@singledispatch
def _render(block: Block) -> str:
    raise TypeError(f"no way to render {block!r}")


@_render.register
def _(block: Words) -> str:
    return escape(block.text)


@_render.register
def _(block: Caution) -> str:
    return f"> **Caution:** {escape(block.text)}"


@_render.register
def _(block: Facts) -> str:
    return "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in block.rows)


@_render.register
def _(block: Table) -> str:
    lines = [
        [escape(column.title) for column in block.columns],
        ["---:" if column.is_number else "---" for column in block.columns],
        *([escape(cell) for cell in row] for row in block.rows),
    ]
    rows = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"**{escape(block.caption)}**\n\n{rows}"


@_render.register
def _(block: Points) -> str:
    return "\n".join(f"- {escape(item)}" for item in block.items)


@_render.register
def _(block: Verbatim) -> str:
    text = clean(block.text).strip("\n")
    longest = max((len(run) for run in _LONGEST_FENCE.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{block.language or 'text'}\n{text}\n{fence}"
