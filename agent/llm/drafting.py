"""One proposal while it is read: its fields, its edits, and what was wrong with them.

In: what the reader of an answer finds, bit by bit. Out: a draft, or the problems that keep it
from being one. All or nothing: a proposal of which one part can't be read is not used.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from agent.llm.blocks import joined
from agent.llm.draft import Draft, Edit, Whole
from agent.llm.fields import LONGEST, read_number, undecorated

MOST_EDITS = 100  # of one proposal; an honest one has a handful
WHOLE_LINES = 30  # a code block without a name is a file only from this many lines on
MODULE_STARTS = ('"""', "'''", "import ", "from ", "#!", 'r"""')


@dataclass
class Drafting:
    """A proposal under construction."""

    number: int  # within the answer
    tagged: bool
    heading: str = ""
    closed: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unnamed: list[list[str]] = field(default_factory=list)  # code blocks that name no file
    open_field: str = ""  # the field that the next lines may carry on

    def set_field(self, name: str, text: str) -> None:
        """A field begins; said twice, the first holds unless it was empty."""
        if self.fields.get(name):
            self.open_field = ""
            return
        self.fields[name] = text
        self.open_field = name

    def begins_anew(self, name: str) -> bool:
        """Whether a field of this name, said again, is another proposal's."""
        said = bool(self.fields.get(name))
        return said and (name == "title" or (name == "hypothesis" and bool(self.edits)))

    def carry_on(self, line: str) -> None:
        """A line of prose, which may belong to the field before it."""
        name, text = self.open_field, line.strip()
        if not name:
            return
        said = self.fields[name]
        over = name != "hypothesis" or not self.tagged
        if not text:
            self.open_field = "" if said and over else name
        elif (said and name not in ("hypothesis", "expected")) or _leads_over(text):
            self.open_field = ""
        elif len(said) < LONGEST:
            text = text.split("</")[0].rstrip()
            self.fields[name] = f"{said} {text}".strip()[:LONGEST]

    def add(self, edit: Edit) -> None:
        """One more edit."""
        self.open_field = ""
        if len(self.edits) == MOST_EDITS:
            self.problems.append(f"it has more than {MOST_EDITS} edits")
        if len(self.edits) <= MOST_EDITS:
            self.edits.append(edit)

    def fail(self, problem: str) -> None:
        """Something that keeps this proposal from being used."""
        self.open_field = ""
        if problem not in self.problems and len(self.problems) < 5:
            self.problems.append(problem)

    @property
    def title(self) -> str:
        """What it calls itself."""
        return undecorated(self.fields.get("title") or self.heading)[:300]

    def finish(self, paths: Collection[str]) -> Draft | str:
        """The draft, or a sentence for its author on why there is none."""
        if not self.edits and not self.problems:
            self._use_unnamed(paths)
        numbers: dict[str, int | None] = {}
        for name in ("parent", "combines", "instruction"):
            numbers[name], problem = read_number(name, self.fields.get(name, ""))
            if problem:
                self.fail(problem)
        if self.problems:
            return f"{self.name()} was not used: {'; '.join(self.problems)}."
        return Draft(
            self.title,
            _said(self.fields.get("hypothesis", "")),
            _said(self.fields.get("expected", "")),
            tuple(self.edits),
            **numbers,
        )

    def name(self) -> str:
        """What a problem calls it."""
        return f"Proposal {self.number}" + (f' ("{self.title[:80]}")' if self.title else "")

    def _use_unnamed(self, paths: Collection[str]) -> None:
        """Takes the one code block as the one file, if it looks like one; or says what lacks."""
        if not self.unnamed:
            self.fail("it has no edit: no SEARCH/REPLACE block and no whole file")
            return
        code = self.unnamed[0]
        first = next((line for line in code if line.strip()), "")
        long = sum(1 for line in code if line.strip()) >= WHOLE_LINES
        if len(self.unnamed) == len(paths) == 1 and long and first.startswith(MODULE_STARTS):
            self.add(Whole(next(iter(paths)), joined(code)))
            return
        self.fail(
            "it has a code block, but no edit. Change a passage with a SEARCH/REPLACE block; for a "
            f"whole file, write its name ({', '.join(sorted(paths)[:8])}) on the line before"
        )


def _said(text: str) -> str:
    """The text of a field as one paragraph."""
    return undecorated(text)[:LONGEST]


def _leads_over(text: str) -> bool:
    """Whether a line of prose leads over to something else: "Changes:", "---"."""
    return (text.endswith(":") and len(text) < 40) or not text.strip("-*_= ")
