"""What a model's answer says, before anything of it is applied. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Replace:
    """Exchange a passage of a file. An empty `search` stands for the end of the file."""

    path: str  # as the answer names the file; "" where it names none
    search: str
    replace: str


@dataclass(frozen=True)
class Whole:
    """A file as a whole, new or in place of the one that is there."""

    path: str
    text: str


Edit = Replace | Whole


@dataclass(frozen=True)
class Draft:
    """One proposal as the answer states it. What it left out is empty or None."""

    title: str
    hypothesis: str
    expected: str
    edits: Sequence[Edit]
    parent: int | None = None
    combines: int | None = None
    instruction: int | None = None


@dataclass(frozen=True)
class Parsed:
    """An answer, taken apart."""

    drafts: tuple[Draft, ...] = ()
    notebook: str = ""
    problems: tuple[str, ...] = field(default=())  # what could not be read, for its author
