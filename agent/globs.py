"""Which files of a task may be edited: names and globs, and what is taken out of them again.

In: a relative file name and patterns. Out: whether they fit. `*` and `?` stay within a folder,
`**` spans folders, and a pattern without them names one file. No disk is read, so that a file that
an edit would add can be asked for as well.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Editable:
    """The files that may be edited or added; `protected` wins. Nothing can be added by default."""

    patterns: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()  # names that the study uses itself

    def allows(self, name: str) -> bool:
        """Whether an edit may write a file of this name, which need not be there yet."""
        taken = (*self.protected, *self.reserved)
        return is_plain(name) and matches(name, self.patterns) and not matches(name, taken)

    def __str__(self) -> str:
        """For a person or a model, such as `src/**/*.py but src/evaluate.py`."""
        but = f" but {', '.join(self.protected)}" if self.protected else ""
        return f"{', '.join(self.patterns)}{but}"


def is_plain(name: str) -> bool:
    """Whether a name stays within its folder and is written in one way only."""
    path = PurePosixPath(name)
    return bool(name) and str(path) == name and not path.is_absolute() and ".." not in path.parts


def is_glob(pattern: str) -> bool:
    """Whether a pattern may stand for several files."""
    return not MAGIC.isdisjoint(pattern)


def literal(name: str) -> str:
    """The pattern that stands for this very name, whatever characters it holds."""
    return re.sub(r"([*?[])", r"[\1]", name)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns stands for the whole name."""
    return any(_compiled(pattern).fullmatch(name) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", pattern)
    return re.compile("".join(map(_translated, parts)), re.DOTALL)


def _translated(part: str) -> str:
    if part == "**/":
        return "(?:[^/]+/)*"
    if part in ("**", "*", "?"):
        return {"**": ".*", "*": "[^/]*", "?": "[^/]"}[part]
    if len(part) > 2 and part.startswith("[") and part.endswith("]"):
        part = part[0] + part[1:].replace("[", r"\[")
        return f"[^{part[2:-1]}]" if part[1] == "!" else part
    return re.escape(part)
