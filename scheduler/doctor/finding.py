"""What an examination gives: one finding for each thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    NOTE = "note"  # it works, and could be better
    MISSING = "missing"  # a study won't run


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    grade: Grade
    seen: str
    advice: str = ""  # what to do; empty where nothing needs doing


def ok(what: str, seen: str) -> Finding:
    """All is well."""
    return Finding(what, Grade.OK, seen)


def note(what: str, seen: str, advice: str = "") -> Finding:
    """It works, and could be better."""
    return Finding(what, Grade.NOTE, seen, advice)


def missing(what: str, seen: str, advice: str) -> Finding:
    """A study won't run."""
    return Finding(what, Grade.MISSING, seen, advice)
