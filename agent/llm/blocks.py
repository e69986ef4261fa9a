"""Reads one SEARCH/REPLACE block out of the lines of an answer.

In: the lines and where the block begins. Out: its two passages, the file that its marks name, and
where it ends; or what is wrong with it, in words for its author. The passages are taken as they
stand, but for a fence around a passage, and the "-" and "+" of a diff where every line has one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent.llm.marks import (
    MARKS,
    divider_length,
    fence_of,
    is_end_mark,
    is_tag,
    proposal_tag,
    search_mark,
)
from agent.llm.paths import named_by, plain

SHOWN = 80  # characters of a line that a problem quotes


@dataclass(frozen=True)
class Block:
    """A block as the answer has it."""

    end: int  # the index of the first line behind it
    path: str = ""  # that its first line names
    search: str = ""
    replace: str = ""
    problem: str = ""  # why it can't be used
    cut: bool = False  # the answer ended within it


def read_block(lines: Sequence[str], start: int, paths: Collection[str], fence: str = "") -> Block:
    """The block whose first mark is `lines[start]`; `fence` is the language of the fence around."""
    first = lines[start].strip()
    opening = search_mark(first)
    assert opening is not None
    size = len(first) - len(first.lstrip(first[0]))
    dividers: list[tuple[int, int]] = []  # where, and how many characters
    end = start + 1
    while end < len(lines) and not is_end_mark(lines[end]):
        line = lines[end]
        if line.lstrip()[:1] not in MARKS:
            end += 1
            continue
        if proposal_tag(line) or search_mark(line) or is_tag(line, "notebook"):
            return Block(end, problem=_unended(dividers, f"the line {line.strip()[:SHOWN]!r}"))
        if length := divider_length(line):
            dividers.append((end, length))
        end += 1
    if end == len(lines):
        return Block(end, problem=_unended(dividers, "the end of the answer"), cut=True)
    rest = opening.group("rest").strip("()[]`* ")
    path = named_by(rest, paths)
    if rest and not path:
        return Block(end + 1, problem=f"{plain(rest)[:SHOWN]!r} behind its first mark is no file")
    middle, problem = _middle(dividers, size)
    if problem:
        return Block(end + 1, problem=problem)
    search, replace = list(lines[start + 1 : middle]), list(lines[middle + 1 : end])
    if not (path or named_by("".join(lines[start - 1 : start]), paths)).endswith(".md"):
        search, replace = _unfenced(search), _unfenced(replace)
    search, replace = _unmarked(search, replace, in_diff=fence in ("diff", "patch", "udiff"))
    return Block(end + 1, path, joined(search), joined(replace))


def joined(lines: Sequence[str]) -> str:
    """Lines as text; each ends with a newline."""
    return "".join(f"{line}\n" for line in lines)


def _unended(dividers: Sequence[object], where: str) -> str:
    missing = "'>>>>>>> REPLACE'" if dividers else "'=======' and '>>>>>>> REPLACE'"
    return f"it has no {missing} before {where}"


def _middle(dividers: Sequence[tuple[int, int]], size: int) -> tuple[int, str]:
    """Where the dividing line is; or why that can't be said."""
    if not dividers:
        return 0, "it has no line '=======' between SEARCH and REPLACE"
    alike = [where for where, length in dividers if length == size]
    if len(dividers) == 1:
        return dividers[0][0], ""
    if len(alike) == 1:
        return alike[0], ""
    return 0, (
        f"it has {len(dividers)} lines that could be its dividing line '======='. Give the marks "
        "of this block another number of characters (5 to 9) than the lines of '=' in the file"
    )


def _unfenced(part: list[str]) -> list[str]:
    """A passage without the fence that stands around the whole of it."""
    used = [index for index, line in enumerate(part) if line.strip()]
    if len(used) < 2:
        return part
    opening, closing = fence_of(part[used[0]]), fence_of(part[used[-1]])
    if opening and closing and closing.closes(opening):
        return part[used[0] + 1 : used[-1]]
    return part


def _unmarked(search: list[str], replace: list[str], in_diff: bool) -> tuple[list[str], list[str]]:
    """Passages without the "-" and "+" of a diff, where every line of them is marked so.

    Within a fence of diff, lines that both share may be marked by a space.
    """

    def marked(part: list[str], mark: str) -> bool:
        signs = {line[0] for line in part if line.strip()}
        return mark in signs and signs <= ({mark, " "} if in_diff else {mark})

    if marked(search, "-") and (marked(replace, "+") or not any(map(str.strip, replace))):
        return [line[1:] for line in search], [line[1:] for line in replace]
    return search, replace
