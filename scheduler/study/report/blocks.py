"""What a report is made of: sections of plain blocks, which every format renders in its own way.

Words are text and never markup: titles, logs and notebooks were written by models and by what
they trained. Renderers escape them. Nothing here knows a study.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A paragraph that must not be overlooked."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names and their values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column:
    """Of a table."""

    title: str
    is_number: bool = False  # to the right, and never broken


@dataclass(frozen=True)
class Table:
    """Rows of cells, as many as there are columns."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Points:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Verbatim:
    """Text whose lines stay as they are: code, commands, a person's or a model's Markdown."""

    text: str
    language: str = ""  # of code
    label: str = ""  # what it is, for those who don't see it


@dataclass(frozen=True)
class Picture:
    """A drawing, for a page that has its own colours and for a file."""

    name: str  # short, of letters and hyphens
    words: str  # what there is to see, for those who don't
    svg: str  # one element <svg>, its colours the variables of a page; made by us
    png: bytes


Block = Words | Caution | Facts | Table | Points | Verbatim | Picture


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]
