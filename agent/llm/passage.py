"""Finds the passage of a file that an edit means.

In: the file's lines and the edit's two passages, as lines. Out: where the passage lies, and what
shall stand there. Exact lines come first; then, each only where the one before found nothing: but
for whitespace at line ends; but for blank lines around the passage; but for the indentation of the
whole passage, which its replacement then follows; and last, a piece that begins or ends within a
line. It chooses nothing: two places of one kind are both returned, and the caller refuses them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.errors import EditError

MOST = 20  # places that are looked for; more says nothing more
MOST_PIECES = 2000  # places within lines, most of them parts of longer words, that are looked at
TAB = 4  # columns of a tab, where tabs meet spaces
WORD = re.compile(r"[\w.]")


@dataclass(frozen=True)
class Place:
    """A passage of a file, and the lines that shall stand there."""

    start: int  # index of the first line
    end: int  # index behind the last line
    lines: tuple[str, ...]


def find_places(file: Sequence[str], search: Sequence[str], new: Sequence[str]) -> list[Place]:
    """Where the searched passage lies, by the strictest reading under which it lies anywhere.

    Raises EditError where the replacement can't follow the passage's indentation.
    """
    found = [Place(i, i + len(search), tuple(new)) for i in _runs(file, search, str)]
    if found:
        return found
    found = [Place(i, i + len(search), tuple(new)) for i in _runs(file, search, str.rstrip)]
    if found:
        return found
    search, new = without_edges(search, new)
    for start in _runs(file, search, str.strip):
        passage = file[start : start + len(search)]
        if [line.rstrip() for line in passage] == [line.rstrip() for line in search]:
            found.append(Place(start, start + len(search), tuple(new)))
    if found:
        return found
    for start in _runs(file, search, str.strip):
        passage = file[start : start + len(search)]
        shift = _shift(passage, search)
        if shift is not None:
            lines = tuple(_indented(new, shift, passage))
            found.append(Place(start, start + len(search), lines))
    return found or list(_pieces(file, search, new))


def whole_lines(file: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Where these lines follow each other in the file, whatever their indentation."""
    return list(_runs(file, lines, str.strip))


def without_edges(search: Sequence[str], new: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both passages without the blank lines around the searched one, as far as both have them."""
    search, new = list(search), list(new)
    for end in (0, -1):
        while search and not search[end].strip():
            search.pop(end)
            if new and not new[end].strip():
                new.pop(end)
    return search, new


def _runs(file: Sequence[str], search: Sequence[str], by: Callable[[str], str]) -> Iterator[int]:
    """Where the lines of `search` follow each other in the file, compared by a key; up to MOST."""
    if not search or len(search) > len(file):
        return
    # As one text, for there the search for a passage takes linear time, whatever repeats.
    text = "\n" + "".join(f"{by(line)}\n" for line in file)
    wanted = "\n" + "".join(f"{by(line)}\n" for line in search)
    at, line, counted = text.find(wanted), 0, 0
    for _ in range(MOST):
        if at < 0:
            return
        line, counted = line + text.count("\n", counted, at), at
        yield line
        at = text.find(wanted, at + 1)


def _columns(line: str) -> int:
    """How far a line is indented; a tab leads to the next multiple of TAB."""
    indent = line[: len(line) - len(line.lstrip())]
    return len(indent.expandtabs(TAB))


def _shift(passage: Sequence[str], search: Sequence[str]) -> int | None:
    """By how many columns the whole of `search` is to be moved; None where it is not uniform."""
    pairs = zip(passage, search, strict=True)
    shifts = {_columns(there) - _columns(here) for there, here in pairs if here.strip()}
    return shifts.pop() if len(shifts) == 1 else None


def _indented(lines: Sequence[str], shift: int, passage: Sequence[str]) -> Iterator[str]:
    """The lines moved by `shift` columns, with the tabs or spaces of the passage."""
    tabs = any(line[:1] == "\t" for line in passage)
    for line in lines:
        if not line.strip():
            yield ""
            continue
        columns = _columns(line) + shift
        if columns < 0:
            raise EditError(
                f"the passage stands {-shift} columns further left in the file, and the line "
                f"{line.strip()[:80]!r} of the replacement can't follow; copy the file's "
                "indentation"
            )
        indent = "\t" * (columns // TAB) + " " * (columns % TAB) if tabs else " " * columns
        yield indent + line.lstrip()


def _pieces(file: Sequence[str], search: Sequence[str], new: Sequence[str]) -> Iterator[Place]:
    """Where `search` lies within lines: whole words only, so that 0.02 is not found in 0.025."""
    text, wanted = "\n".join(file), "\n".join(search)
    if not wanted:
        return
    at, found = text.find(wanted), 0
    for _ in range(MOST_PIECES):
        if at < 0 or found == MOST:
            return
        end = at + len(wanted)
        if not (_joins(text, at) or _joins(text, end)):
            yield _piece(text, at, end, new)
            found += 1
        at = text.find(wanted, at + 1)


def _joins(text: str, at: int) -> bool:
    """Whether a word or a number goes on across this index of a text."""
    return 0 < at < len(text) and bool(WORD.match(text[at - 1]) and WORD.match(text[at]))


def _piece(text: str, at: int, end: int, new: Sequence[str]) -> Place:
    """The whole lines that hold text[at:end], with `new` in its place.

    A statement that is deleted takes the comment behind it along. A replacement that brings the
    indentation itself, as whole lines do, is not indented twice.
    """
    first = text.rfind("\n", 0, at) + 1
    last = text.find("\n", end)
    last = len(text) if last < 0 else last
    before, after = text[first:at], text[end:last]
    if not new and not before.strip() and (not after.strip() or after.lstrip().startswith("#")):
        return Place(text.count("\n", 0, first), text.count("\n", 0, last) + 1, ())
    if new and before and not before.strip() and new[0].startswith(before):
        before = ""
    lines = (before + "\n".join(new) + after).split("\n")
    return Place(text.count("\n", 0, first), text.count("\n", 0, last) + 1, tuple(lines))
