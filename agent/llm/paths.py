"""File names as models write them: with quotes, prefixes, decoration; and what they stand for.

In: a name or a line of an answer. Out: an editable file's path, the plain name, or "". Never a
guess between two files. It reads no disk.
"""

import difflib
import re
from collections.abc import Collection

QUOTES = "\"'`\u201c\u201d\u2018\u2019*_"
LONGEST = 200  # characters of a line that may name a file
NAME = re.compile(r"[\w.-]+(?:[/\\][\w.-]+)*")
SUFFIX = re.compile(r"\.(?:py|pyi|yaml|yml|json|toml|cfg|ini|md|txt|sh|c|h|cpp|cu|cuh|rs|js|ts)$")
LABEL = re.compile(
    r"^(?:[-*+>#]{1,6}\s+|\d{1,2}[.)]\s+)?[*_]{0,2}"
    r"(?:(?:updated|modified|changed|edited|full|new|complete)\s+)?"
    r"(?:(?:file(?:\s?name|\s?path)?|path|in|edit|update)\b)\s?:?[*_]{0,2}\s?:?\s?",
    re.IGNORECASE,
)
BULLET = re.compile(r"^(?:[-*+>]\s+|#{1,6}\s+|\d{1,2}[.)]\s+|//\s?)")
TAG = re.compile(r"^<(?:file|path|edit|filename)\b[^>]*?(?:(?:path|name)\s?=\s?[\"']([^\"']+)[\"']"
                 r"[^>]*)?>([^<]*)(?:</\w+>)?$", re.IGNORECASE)  # fmt: skip
PATCH = re.compile(r"^\*\*\* (?:Update|Add|Modify) File:\s?(.+)$")


def plain(name: str) -> str:
    """A name without quotes, decoration and leading "./"."""
    name = name[:LONGEST].strip().strip(QUOTES).strip().rstrip(":").strip(QUOTES).strip()
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name


def resolve(name: str, paths: Collection[str]) -> str | None:
    """The one of `paths` that a name stands for, or None.

    A name stands for the file of the same name, with or without the "a/" and "b/" of a diff.
    """
    name = plain(name)
    if name in paths:
        return name
    if name[:2] in ("a/", "b/") and name[2:] in paths:
        return name[2:]
    return None


def resolve_loosely(name: str, paths: Collection[str]) -> str | None:
    """As `resolve`; or the only file whose path ends in the name, or in which the name ends.

    For edits that must match the file's text anyway: there a wrong file can't go unnoticed.
    """
    if (found := resolve(name, paths)) is not None:
        return found
    name = plain(name)
    alike = [p for p in paths if f"/{name}".endswith(f"/{p}") or f"/{p}".endswith(f"/{name}")]
    return alike[0] if name and len(alike) == 1 else None


def nearest(name: str, paths: Collection[str]) -> str | None:
    """The editable file whose name comes closest, where one comes close."""
    close = difflib.get_close_matches(plain(name), sorted(paths), n=1, cutoff=0.6)
    return close[0] if close else None


def named_by(line: str, paths: Collection[str]) -> str:
    """The file that a line of an answer announces: "train.py", "**File:** `train.py`", ...

    An editable file comes back as its path, another one as it is written; "" where the line
    announces no file.
    """
    line = line.strip()
    if not line or len(line) > LONGEST:
        return ""
    if "." not in line and not any(path in line for path in paths):
        return ""  # most lines, at once
    if match := TAG.match(line) or PATCH.match(line):
        line = next((group for group in match.groups() if group), "")
    bare = BULLET.sub("", line)
    for candidate in (line, bare, LABEL.sub("", line), LABEL.sub("", bare)):
        if (found := resolve(candidate, paths)) is not None:
            return found
        name = plain(candidate)
        if NAME.fullmatch(name) and SUFFIX.search(name) and not name.startswith("-"):
            return name
    return _announced(line, paths)


def _announced(line: str, paths: Collection[str]) -> str:
    """The one editable file within a short line that leads over to code: "Here is `train.py`:"."""
    if not line.rstrip("*_ ").endswith(":") or len(line) > 100:
        return ""
    found = {path for word in line.split() if (path := resolve(word.strip("(),"), paths))}
    return found.pop() if len(found) == 1 else ""
