"""The lines of an answer that mean something: tags, fences, and the marks of SEARCH/REPLACE blocks.

In: one line. Out: what kind of mark it is, if any. Whether the marks make sense together is for
`blocks` and `answer` to say. Every expression here sees a bounded piece of one line, so that an
answer is read in linear time whatever stands in it.
"""

import re
from dataclasses import dataclass

MARKS = frozenset("<>=`~+-")  # what the first character of every mark is
LONGEST = 240  # characters; a longer line is text
SEARCH = re.compile(
    r"^(?:<{5,9}(?!<)\s{0,4}(?:(?:SEARCH|ORIGINAL|OLD|BEFORE|FIND|HEAD)\b)?"
    r"|-{5,9}(?!-)\s{0,4}SEARCH\b)(?:\s?BLOCK\b)?\s{0,4}[:>]?\s{0,4}(?P<rest>.*)$",
    re.IGNORECASE,
)
DIVIDER = re.compile(
    r"^(={5,9})(?:\s{0,4}(?:REPLACE|UPDATED|NEW|AFTER|WITH)\b(?: WITH)?:?)?$", re.IGNORECASE
)
END = re.compile(
    r"^(?:>{5,9}(?!>)(?:\s{0,4}[\w./:-]+){0,3}|<{5,9}(?!<)\s{0,4}/?(?:REPLACE|UPDATED|END)"
    r"|\+{5,9}(?!\+)\s{0,4}REPLACE)\s{0,4}(?:`{3,}|~{3,})?$",
    re.IGNORECASE,
)
FENCE = re.compile(r"^(`{3,}|~{3,})\s*([^`]*)$")
PROPOSAL = re.compile(r"^<(/?)proposal\b[^<>]{0,80}>$", re.IGNORECASE)


@dataclass(frozen=True)
class Fence:
    """A line that opens or closes a fenced code block."""

    mark: str  # "```", "~~~~", ...
    info: str  # the words behind it; "" on every closing line

    def closes(self, other: "Fence") -> bool:
        """Whether it is the end of a block that the other one began."""
        return not self.info and self.mark.startswith(other.mark)


def search_mark(line: str) -> re.Match[str] | None:
    """The first line of a SEARCH/REPLACE block: `<<<<<<< SEARCH`, perhaps with a file's name."""
    line = line.strip()
    if not line.startswith(("<<<<<", "-----")) or len(line) > LONGEST:
        return None
    return None if is_end_mark(line) else SEARCH.match(line)


def divider_length(line: str) -> int:
    """How many characters the dividing line `=======` has; 0 where the line is none."""
    line = line.strip()
    match = DIVIDER.match(line) if line.startswith("=====") and len(line) < 40 else None
    return len(match.group(1)) if match else 0


def is_end_mark(line: str) -> bool:
    """Whether it is the last line of a block: `>>>>>>> REPLACE`."""
    line = line.strip()
    return line[:5] in (">>>>>", "<<<<<", "+++++") and len(line) < 100 and bool(END.match(line))


def fence_of(line: str) -> Fence | None:
    """The fence that a line is, if it is one."""
    line = line.strip()
    if line[:3] not in ("```", "~~~") or len(line) > LONGEST:
        return None
    match = FENCE.match(line)
    return Fence(match.group(1), match.group(2).strip()) if match else None


def proposal_tag(line: str) -> str:
    """ "open" for `<proposal>`, "close" for `</proposal>`, "" for all else."""
    line = line.strip()
    match = PROPOSAL.match(line) if line[:1] == "<" and len(line) < 100 else None
    return "" if match is None else "close" if match.group(1) else "open"


def is_tag(line: str, name: str) -> bool:
    """Whether a line is just this tag, such as "notebook" or "/notebook"."""
    return line.strip().lower() == f"<{name}>"
