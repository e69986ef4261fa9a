"""Carries the edit of one experiment over to the code of another: a three-way merge.

In: the files that were edited (the base), the edited ones (theirs) and those that they are to be
carried to (ours), all complete. Out: the merged files, or what keeps them apart, for whoever is to
put it right. Text only: nothing is run, and whether the result still makes sense a trial tells.

Constants at the top of a script are merged by name, so that neighbouring ones do not clash as lines
would; where both sides changed one, the edit's value holds. All else is merged by lines: what only
one side changed is taken from it, what both changed alike is taken once, and where they changed the
same lines differently there is a conflict. Neighbouring lines are not the same lines.

Of the libraries one is under a licence that would bind ours, one is no longer kept, and `git` is
not on every machine: the fifty lines are here (docs/log.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from agent.briefing import Constants
from agent.errors import SourceError
from agent.source import constants_of, edit_constants, identify

OURS, BASE, THEIRS, END = "<<<<<<< ours", "||||||| base", "=======", ">>>>>>> edit"


@dataclass(frozen=True)
class Merged:
    """What became of a merge: `files` where it is clean, else `conflicts`."""

    files: Mapping[str, str] = field(default_factory=dict)  # complete
    constants: Constants = field(default_factory=dict)  # that the edit set
    conflicts: str = ""  # the stretches that clash, each between marks; "" where none does

    @property
    def is_clean(self) -> bool:
        """Whether there is a result."""
        return not self.conflicts


def carry(base: Mapping[str, str], theirs: Mapping[str, str], ours: Mapping[str, str]) -> Merged:
    """The edit that made `theirs` of `base`, made to `ours`.

    Raises SourceError where one of them does not parse, which no experiment's code does that ran.
    """
    values = constants_of(ours)
    before, after = constants_of(base), constants_of(theirs)
    edited = {name: v for name, v in after.items() if name in before and before[name] != v}
    level_base, level_theirs = _levelled(base, values), _levelled(theirs, values)
    files: dict[str, str] = {}
    conflicts: list[str] = []
    for path in sorted({*base, *theirs, *ours}):
        sides = (level_base, level_theirs, ours)
        text, clashes = _merge(*(side.get(path, "").splitlines(keepends=True) for side in sides))
        files[path] = text
        conflicts += [f"{path}:\n{clash}" for clash in clashes]
    if conflicts:
        return Merged(conflicts="\n".join(conflicts))
    try:
        here = constants_of(files)
        kept = {name: value for name, value in edited.items() if name in here}
        files |= edit_constants(files, kept)
        identify(files)
    except SourceError as error:
        return Merged(conflicts=f"merged by lines it is no Python: {error}")
    return Merged(files, kept)


def _levelled(files: Mapping[str, str], values: Constants) -> Mapping[str, str]:
    """The files with those values for their constants that fit, so that only the rest differs."""
    level = dict(files)
    for name, value in values.items():
        try:
            level |= edit_constants(level, {name: value})
        except SourceError:
            continue  # no such constant here, or of another kind: it is merged as a line
    return level


@dataclass(frozen=True)
class _Change:
    """Lines `start` to `end` of the base (none: between two lines) become these."""

    start: int
    end: int
    lines: Sequence[str]
    is_theirs: bool


def _merge(
    base: Sequence[str], theirs: Sequence[str], ours: Sequence[str]
) -> tuple[str, list[str]]:
    """The merged text, and the stretches that clash, in which case the text is of no use."""
    changes = [*_changes(base, theirs, is_theirs=True), *_changes(base, ours, is_theirs=False)]
    changes.sort(key=lambda each: (each.start, each.end, each.is_theirs))
    merged: list[str] = []
    clashes: list[str] = []
    at = 0
    while changes:
        group = [changes.pop(0)]
        start, end = group[0].start, group[0].end
        while changes and (
            changes[0].start < end or (changes[0].start, changes[0].end) == (start, end)
        ):
            end = max(end, changes[0].end)
            group.append(changes.pop(0))
        merged += base[at:start]
        at = end
        by_them = _apply(base, [each for each in group if each.is_theirs], start, end)
        by_us = _apply(base, [each for each in group if not each.is_theirs], start, end)
        before = base[start:end]
        if by_them in (before, by_us):
            merged += by_us
        elif by_us == before:
            merged += by_them
        else:
            clashes.append(_show(before, by_them, by_us))
    return "".join((*merged, *base[at:])), clashes


def _changes(base: Sequence[str], side: Sequence[str], *, is_theirs: bool) -> list[_Change]:
    codes = SequenceMatcher(None, base, side, autojunk=False).get_opcodes()
    return [
        _Change(start, end, side[first:last], is_theirs)
        for tag, start, end, first, last in codes
        if tag != "equal"
    ]


def _apply(base: Sequence[str], changes: Sequence[_Change], start: int, end: int) -> list[str]:
    """Lines `start` to `end` of the base after one side's changes."""
    lines: list[str] = []
    for change in changes:
        lines += [*base[start : change.start], *change.lines]
        start = change.end
    return [*lines, *base[start:end]]


def _show(base: Sequence[str], theirs: Sequence[str], ours: Sequence[str]) -> str:
    """A clash between marks, as programmers know them."""
    parts = ((OURS, ours), (BASE, base), (THEIRS, theirs))
    return "".join(f"{mark}\n{_closed(''.join(lines))}" for mark, lines in parts) + END


def _closed(text: str) -> str:
    """The text with a line end where it has none."""
    return text if not text or text.endswith("\n") else text + "\n"
