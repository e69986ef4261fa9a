"""The study's notebook: what all experiments before the latest have taught, in bounded space.

In: the notebook so far and the lessons since. Out: the next notebook, Markdown for people and
models alike: what was kept, what was tried and did not help (grouped by the constant that moved
and its direction), which failures recur. `condense` is the way without a model, a fixed rule; where
a model writes the notebook, `accept` bounds what it wrote, and a later `condense` keeps that as
notes. The notebook is its own memory: `condense` reads back what it wrote, so that a study stores
the text and the number of the last experiment in it, and nothing else.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent.lessons import FAILURES, NUMBER, Lesson, read_lesson
from agent.quoting import block, one_line

MOST = 6_000  # characters, about 2,000 tokens: a prompt carries it with every call
MOST_LABEL = 100  # characters
NOTES = 0.4  # of the space, at most, for what a model wrote earlier

# What a part may hold when there is room for all; smaller shares are tried until it fits.
MOST_KEPT, MOST_NEWEST, MOST_KINDS, MOST_CHANGES, MOST_FAILURES = 24, 8, 20, 12, 8
SHARES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.0)

_MOVE = re.compile(rf"([A-Z][A-Z0-9_]*) ({NUMBER}) -> ({NUMBER})")
_DIGITS = re.compile(r"\d+")

_TITLE = "# Notebook"
_HEADING = re.compile(rf"{_TITLE}(?:: (.+))?")
_KEPT, _KINDS, _CHANGES, _FAILED, _NOTES = (
    "## Kept",
    "## Moved constants that did not help",
    "## Other changes that did not help",
    "## Failures",
    "## Earlier notes",
)
_PARTS = (_KEPT, _KINDS, _CHANGES, _FAILED)
_OTHERS = "all others"
_COUNTS = re.compile(r"Experiments up to #(\d+): (\d+) kept, (\d+) not kept, (\d+) failed\.")
_UNSHOWN = ", not shown"  # of what looks better and was not kept
_GAIN = rf"(better by \S+?(?:{_UNSHOWN})?|worse by \S+|no change|not compared)"
_ITEM = re.compile(rf"- #(\d+) (.*): {_GAIN}")
_GROUP = re.compile(rf"- (.*): (\d+) times?, best #(\d+) \((.*)\): {_GAIN}")
_FAILURE = re.compile(r"- (.*): (\d+) times?, last #(\d+) \((.*)\)")


@dataclass(frozen=True)
class _Item:
    """One experiment that is named."""

    id: int
    what: str
    gain: float | None  # against its parent; above 0: better


@dataclass(frozen=True)
class _Group:
    """Experiments of one kind, and the one among them that is named."""

    kind: str
    count: int
    named: int
    rank: float  # of the named one: its gain, or its number where the latest is to be named
    what: str  # that the named one tried

    def plus(self, other: "_Group") -> "_Group":
        named = max(self, other, key=lambda g: (g.rank, -g.named))
        return replace(named, kind=self.kind, count=self.count + other.count)


@dataclass
class _Book:
    """A notebook taken apart."""

    label: str = ""  # of the metric, in the heading
    last: int = 0
    kept_count: int = 0
    not_kept_count: int = 0
    failed_count: int = 0
    kept: list[_Item] = field(default_factory=list)
    kinds: dict[str, _Group] = field(default_factory=dict)
    changes: list[_Item] = field(default_factory=list)
    failures: dict[str, _Group] = field(default_factory=dict)
    notes: str = ""


def condense(notebook: str, lessons: Sequence[str], *, label: str = "", most: int = MOST) -> str:
    """The notebook with the lessons in it, at most `most` characters; "" if there is nothing.

    Without lessons, a notebook of its own comes back as it is. A lesson that `write_lesson` did
    not write is no lesson, and is left out. `most` should be 1,000 or more. `label`: the metric's
    name with what must be known of it, such as "loss (self-reported)", for the heading.
    """
    book = _read(notebook, most)
    book.label = one_line(label, MOST_LABEL) or book.label
    for line in lessons:
        if (lesson := read_lesson(line)) is not None:
            _add(book, lesson)
    for share in SHARES:
        text = _write(book, share, most)
        if len(text) <= most:
            return text
    return text[:most].rsplit("\n", 1)[0]


def accept(text: str, *, most: int = MOST) -> str:
    """A notebook that a model wrote, without what can't be seen, cut at a line where too long.

    "" where it says nothing: the caller keeps the notebook that there was.
    """
    text = block(text[: 4 * most]).strip()
    if len(text) <= most:
        return text
    note = f"\n\n[cut at {most:,} characters]"
    return text[: most - len(note)].rsplit("\n", 1)[0].rstrip() + note


def headed(text: str, label: str) -> str:
    """A notebook, whoever wrote it, with what must be known of the metric in its heading.

    Without a label, or where it stands there already, it comes back as it is.
    """
    label = one_line(label, MOST_LABEL)
    first, _, rest = text.partition("\n")
    known = _HEADING.fullmatch(first)
    if not label or (known is not None and known[1] == label):
        return text
    body = rest.lstrip("\n") if known is not None else text
    return f"{_TITLE}: {label}\n\n{body}"


def _add(book: _Book, lesson: Lesson) -> None:
    """Put one lesson where it belongs."""
    if lesson.state == "cancelled":
        return
    book.last = max(book.last, lesson.id)
    what = one_line(lesson.what, 110)
    if lesson.state == "keep":
        book.kept_count += 1
        book.kept.append(_Item(lesson.id, what, lesson.gain))
    elif lesson.state in FAILURES:
        book.failed_count += 1
        kind = f"{lesson.state}, {_DIGITS.sub('N', one_line(lesson.reason, 90))}"
        _merge(book.failures, _Group(kind, 1, lesson.id, lesson.id, what))
    else:
        book.not_kept_count += 1
        kind = _kind(lesson.what)
        if kind:
            gain = lesson.gain if lesson.gain is not None else float("-inf")
            _merge(book.kinds, _Group(kind, 1, lesson.id, gain, what))
        else:
            book.changes.append(_Item(lesson.id, what, lesson.gain))


def _kind(what: str) -> str:
    """The constants that moved and their directions, as "DEPTH down, MATRIX_LR up"; else ""."""
    parts = what.split(", ")
    moved = [_MOVE.fullmatch(part) for part in parts]
    names = [
        f"{m[1]} {'up' if float(m[3]) > float(m[2]) else 'down'}" for m in moved if m is not None
    ]
    return ", ".join(sorted(names)) if len(names) == len(parts) else ""


def _merge(groups: dict[str, _Group], new: _Group) -> None:
    known = groups.get(new.kind)
    groups[new.kind] = new if known is None else known.plus(new)


# Writing.


def _write(book: _Book, share: float, most: int) -> str:
    """The text, with every part at this share of its full size."""
    parts = [f"{_TITLE}: {book.label}" if book.label else _TITLE]
    if book.last:
        parts.append(
            f"Experiments up to #{book.last}: {book.kept_count} kept, "
            f"{book.not_kept_count} not kept, {book.failed_count} failed."
        )
    kept = _select(book.kept, round(MOST_KEPT * share), round(MOST_NEWEST * share))
    parts += _section(_KEPT, (_item(i) for i in kept))
    kinds = _largest(book.kinds, round(MOST_KINDS * share))
    parts += _section(_KINDS, (_group(g) for g in kinds))
    changes = _select(book.changes, round(MOST_CHANGES * share), round(MOST_NEWEST * share / 2))
    parts += _section(_CHANGES, (_item(i, _UNSHOWN) for i in changes))
    failures = _largest(book.failures, round(MOST_FAILURES * share))
    parts += _section(_FAILED, (_failure(f) for f in failures))
    if notes := accept(book.notes, most=round(NOTES * most)):
        parts += [f"{_NOTES}\n\n{notes}"]
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    text = "\n".join(lines)
    return [f"{heading}\n\n{text}"] if text else []


def _select(items: Sequence[_Item], best: int, newest: int) -> list[_Item]:
    """The newest, and those with the largest gain, `best` in all; in order of their number."""
    by_age = sorted({i.id: i for i in items}.values(), key=lambda i: -i.id)
    recent = by_age[: min(newest, best)]
    rest = sorted(
        by_age[len(recent) :],
        key=lambda i: (i.gain is None, -(i.gain or 0.0), i.id),
    )
    return sorted((*recent, *rest[: best - len(recent)]), key=lambda i: i.id)


def _largest(groups: dict[str, _Group], most: int) -> list[_Group]:
    """The groups with the most members, those left over as one; none where there is no room."""
    named = sorted(
        (g for g in groups.values() if g.kind != _OTHERS), key=lambda g: (-g.count, g.kind)
    )
    others = groups.get(_OTHERS)
    for group in named[most:]:
        others = replace(group, kind=_OTHERS) if others is None else others.plus(group)
    return [*named[:most], *([others] if others is not None else [])]


def _item(item: _Item, doubt: str = "") -> str:
    return f"- #{item.id} {item.what}: {_gain(item.gain, doubt)}"


def _group(group: _Group) -> str:
    named = f"best #{group.named} ({group.what}): {_gain(group.rank, _UNSHOWN)}"
    return f"- {group.kind}: {_times(group.count)}, {named}"


def _failure(failure: _Group) -> str:
    return f"- {failure.kind}: {_times(failure.count)}, last #{failure.named} ({failure.what})"


def _times(count: int) -> str:
    return f"{count} time{'s' if count > 1 else ''}"


def _gain(gain: float | None, doubt: str = "") -> str:
    if gain is None or not math.isfinite(gain):
        return "not compared"
    if gain == 0:
        return "no change"
    return f"better by {gain:.4g}{doubt}" if gain > 0 else f"worse by {-gain:.4g}"


# Reading back.


def _read(notebook: str, most: int) -> _Book:
    """The notebook taken apart; whatever `condense` did not write becomes notes."""
    book = _Book()
    first, blank, _ = notebook.partition("\n\n")
    heading = _HEADING.fullmatch(first)
    if heading is None or not blank:
        book.notes = accept(notebook, most=round(NOTES * most))
        return book
    book.label = heading[1] or ""
    ours = (*_PARTS, _NOTES)
    if not any(line in ours or _COUNTS.fullmatch(line) for line in notebook.splitlines()):
        book.notes = notebook.removeprefix(f"{first}\n\n")  # a model wrote it
        return book
    body, _, book.notes = notebook.partition(f"\n\n{_NOTES}\n\n")
    part, strange = "", []
    for line in body.splitlines()[1:]:
        if line in _PARTS:
            part = line
        elif line.strip() and not _take(book, part, line):
            strange.append(line)
    if strange:  # a model that wrote in this manner
        book.notes = "\n".join([*strange, book.notes]).strip()
    return book


def _take(book: _Book, part: str, line: str) -> bool:
    """Read one line into the book; whether it could be read."""
    if counts := _COUNTS.fullmatch(line):
        numbers = [int(count) for count in counts.groups()]
        book.last, book.kept_count, book.not_kept_count, book.failed_count = numbers
        return True
    item, group, failure = _ITEM.fullmatch(line), _GROUP.fullmatch(line), _FAILURE.fullmatch(line)
    if part in (_KEPT, _CHANGES) and item:
        items = book.kept if part == _KEPT else book.changes
        items.append(_Item(int(item[1]), item[2], _read_gain(item[3])))
    elif part == _KINDS and group:
        gain = _read_gain(group[5])
        rank = float("-inf") if gain is None else gain
        _merge(book.kinds, _Group(group[1], int(group[2]), int(group[3]), rank, group[4]))
    elif part == _FAILED and failure:
        number = int(failure[3])
        _merge(book.failures, _Group(failure[1], int(failure[2]), number, number, failure[4]))
    else:
        return False
    return True


def _read_gain(text: str) -> float | None:
    if text in ("no change", "not compared"):
        return 0.0 if text == "no change" else None
    side, _, size = text.removesuffix(_UNSHOWN).partition(" by ")
    try:
        return float(size) if side == "better" else -float(size)
    except ValueError:  # a model's number
        return None
