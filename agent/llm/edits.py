"""Applies the edits of a proposal to the files that it edits: all of them, or none.

In: the editable files, and edits as an answer states them. Out: the files that changed, whole; or
an EditError whose text tells the edit's author what is wrong and what lies nearest. How a passage
may differ from the file and still be found is written in `passage`. It does not ask whether the
result parses or is new: see agent.check.
"""

from collections.abc import Callable, Mapping, Sequence

from agent.errors import EditError
from agent.llm.draft import Edit, Replace, Whole
from agent.llm.elision import elision
from agent.llm.nearest import nearest_passage
from agent.llm.passage import Place, find_places, whole_lines
from agent.llm.paths import nearest, plain, resolve, resolve_loosely

FRAGMENT = 5  # a "whole" file with less than this part of the old one's lines is a fragment ...
FRAGMENT_LINES = 40  # ... if the old one has more lines than this
MOST_NAMED = 40  # files that an error lists
SHOWN = 80  # characters of a line that an error quotes


def apply_edits(
    files: Mapping[str, str],
    edits: Sequence[Edit],
    may_add: Callable[[str], bool] = lambda _: False,
) -> dict[str, str]:
    """The changed files, whole. Edits of one file apply in order, each on what the last one left.

    A file that is not there yet is added whole, where `may_add` allows its name.

    Raises EditError where one edit can't be applied, or nothing is changed by all together.
    """
    if not edits:
        raise EditError("there is no edit")
    now = dict(files)
    touched: set[str] = set()
    for number, edit in enumerate(edits, start=1):
        path = _path_of(edit, now, f"edit {number} of {len(edits)}", may_add)
        try:
            if isinstance(edit, Whole):
                if path in touched:
                    raise EditError("the whole file would undo the edits of it that come before")
                now[path] = _whole(now.get(path, ""), edit)
            else:
                now[path] = _replaced(now.get(path, ""), edit)
        except EditError as error:
            after = " (after the edits before it)" if path in touched else ""
            raise EditError(f"edit {number} of {len(edits)}, {path}{after}: {error}") from None
        touched.add(path)
    changed = {path: text for path, text in now.items() if text != files.get(path)}
    if not changed:
        raise EditError("the edits change nothing: the files are the same after them as before")
    return changed


def _path_of(
    edit: Edit, files: Mapping[str, str], which: str, may_add: Callable[[str], bool]
) -> str:
    """The editable file that an edit means."""
    if not edit.path.strip() and len(files) == 1:
        return next(iter(files))
    # A passage must be found in its file, so that a name with folders too many can't do harm.
    find = resolve_loosely if isinstance(edit, Replace) and edit.search.strip() else resolve
    if (found := find(edit.path, files)) is not None:
        return found
    if isinstance(edit, Whole) or not edit.search.strip():
        if may_add(plain(edit.path)):
            return plain(edit.path)
    elif may_add(plain(edit.path)):
        raise EditError(
            f"{which}: {plain(edit.path)[:SHOWN]} is not there yet, so nothing can be searched in "
            "it; give the new file whole"
        )
    allowed = ", ".join(sorted(files)[:MOST_NAMED])
    if not edit.path.strip():
        raise EditError(f"{which} names no file; name one of {allowed}")
    close = nearest(edit.path, files)
    meant = f"; did you mean {close}?" if close else ""
    name = plain(edit.path)[:SHOWN]
    raise EditError(f"{which}: {name} can't be edited; only {allowed} can{meant}")


def _whole(old: str, edit: Whole) -> str:
    """The new text of a whole file, with the line ends of the old one."""
    new = _split(edit.text)
    lines = old.split("\n")
    if not edit.text.strip():
        raise EditError("the whole file is empty")
    _refuse_elision(new, old, "the whole file given")
    if len(lines) > FRAGMENT_LINES and len(new) * FRAGMENT < len(lines):
        raise EditError(
            f"the whole file given has {len(new)} lines instead of {len(lines)}. If it is meant as "
            "a part, give it as a SEARCH/REPLACE block; a whole file must have all its lines"
        )
    end = _line_end(old)
    return end.join(new) + (end if not old or old.endswith("\n") else "")


def _replaced(old: str, edit: Replace) -> str:
    """A file's text with one passage exchanged."""
    new = _split(edit.replace)
    _refuse_elision(new, old, "the replacement")
    text = _Text(old)
    if not edit.search.strip():
        if not edit.replace.strip():
            raise EditError("both SEARCH and REPLACE are empty")
        return text.appended(new)
    search = _split(edit.search)
    places = find_places(text.lines, search, new)
    if not places:
        raise EditError(_not_found(text.lines, search, new))
    if len(places) > 1:
        numbers = ", ".join(str(place.start + 1) for place in places)
        raise EditError(
            f"the SEARCH text {_quoted(search)} is found at {len(places)} places, lines {numbers}; "
            "add lines before or after it that only the meant place has"
        )
    return text.spliced(places[0])


def _refuse_elision(new: Sequence[str], old: str, what: str) -> None:
    found = elision(new, {line.strip() for line in old.split("\n")})
    if found:
        number, line = found
        raise EditError(
            f"line {number} of {what}, {line[:SHOWN]!r}, stands for code that was left out, and "
            "that code would be lost. Write it out, or change only passages with SEARCH/REPLACE "
            "blocks; if nothing was left out, delete that line"
        )


def _not_found(lines: Sequence[str], search: Sequence[str], new: Sequence[str]) -> str:
    """Why a passage is not there, as far as that can be said."""
    words = f"the SEARCH text {_quoted(search)} is not in the file. "
    if found := elision(search, {line.strip() for line in lines}):
        words += (
            f"Its line {found[0]}, {found[1][:SHOWN]!r}, leaves something out; SEARCH must be "
            "copied from the file line by line. "
        )
    there = whole_lines(lines, new)
    if len(there) == 1 and any(line.strip() for line in new):
        words += f"The REPLACE text is there already, at line {there[0] + 1}. "
    return words + nearest_passage(lines, search)


def _quoted(lines: Sequence[str]) -> str:
    """The first line of a passage that says something, and how many lines there are."""
    first = next(line.strip() for line in lines if line.strip())
    more = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
    return f"{first[:SHOWN]!r}{more}"


def _split(text: str) -> list[str]:
    """A passage as lines, whatever their ends; the last newline is none's line."""
    text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _line_end(text: str) -> str:
    """The line end that most lines of a text have."""
    windows = text.count("\r\n")
    return "\r\n" if windows * 2 > text.count("\n") else "\n"


class _Text:
    """A file's lines apart from their ends, so that each line that stays keeps its own."""

    def __init__(self, text: str) -> None:
        parts = text.split("\n")
        ends = ["\n"] * (len(parts) - 1) + [""]
        self.end = _line_end(text)
        if parts[-1] == "":
            parts.pop()
            ends.pop()
        crlf = [end and part.endswith("\r") for part, end in zip(parts, ends, strict=True)]
        self.lines = [p[:-1] if c else p for p, c in zip(parts, crlf, strict=True)]
        self._ends = ["\r\n" if c else e for e, c in zip(ends, crlf, strict=True)]

    def spliced(self, place: Place) -> str:
        """The text with other lines at a place."""
        ends = [self.end] * len(place.lines)
        if ends and place.end == len(self.lines):
            ends[-1] = self._ends[-1]  # a missing final newline stays missing
        lines = [*self.lines[: place.start], *place.lines, *self.lines[place.end :]]
        ends = [*self._ends[: place.start], *ends, *self._ends[place.end :]]
        return "".join(line + end for line, end in zip(lines, ends, strict=True))

    def appended(self, new: Sequence[str]) -> str:
        """The text with more lines behind its last one."""
        ends = [end or self.end for end in self._ends]
        old = "".join(line + end for line, end in zip(self.lines, ends, strict=True))
        return old + "".join(f"{line}{self.end}" for line in new)
