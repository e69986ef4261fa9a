"""Turns a diff in an answer into edits: what a hunk shows of the old file, and of the new one.

In: the lines of a unified diff, or of the like ("*** Begin Patch"). Out: edits, or a problem in
words for its author. Line numbers of hunks are not believed, for models miscount: what the hunk
shows must be found in the file. So a hunk that shows nothing of the old file can't be placed.
"""

import re
from collections.abc import Collection, Sequence

from agent.llm.blocks import SHOWN, joined
from agent.llm.draft import Edit, Replace
from agent.llm.paths import PATCH, plain, resolve

HEADER = re.compile(
    r"^(?:diff --git |index [0-9a-f]{4,40}\.\.|(?:old|new) mode |similarity index )"
)
REFUSED = re.compile(
    r"^(?:rename |deleted file|new file|\*\*\* (?:Delete|Add|Move))", re.IGNORECASE
)
BEGINS = ("--- a/", "diff --git ", "*** Begin Patch", "*** Update File:")


def begins_diff(line: str) -> bool:
    """Whether a line outside of a fence can only be the first of a diff."""
    return line.startswith(BEGINS)


def read_diff(
    lines: Sequence[str], path: str, paths: Collection[str]
) -> tuple[tuple[Edit, ...], str]:
    """The edits that a diff makes, or why it can't be read. `path`: the file, if it names none."""
    hunks: list[tuple[str, list[str]]] = [(path, [])]
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        patch = PATCH.match(line)
        if REFUSED.match(line):
            return (), f"its diff has the line {line[:SHOWN]!r}: files can only be changed"
        if line.startswith("--- ") and following.startswith("+++ "):
            path = _named(following, paths)
        elif line.startswith("+++ ") and index and lines[index - 1].startswith("--- "):
            continue
        elif patch and not line.startswith("*** Add"):
            path = resolve(patch.group(1), paths) or plain(patch.group(1))
        elif not (line.startswith(("@@", "*** ", "\\")) or HEADER.match(line)):
            hunks[-1][1].append(line)
            continue
        if not line.startswith("\\"):
            hunks.append((path, []))
    edits: list[Edit] = []
    for name, hunk in hunks:
        if not any(line[:1] in ("+", "-") and line for line in hunk):
            continue
        edit, problem = _hunk(name, hunk)
        if edit is None:
            return (), problem
        edits.append(edit)
    return tuple(edits), "" if edits else "its diff changes no line"


def _named(line: str, paths: Collection[str]) -> str:
    """The file in the header of a diff: without its mark, and what diff puts behind a tab."""
    name = line[4:].split("\t", maxsplit=1)[0].strip()
    if (found := resolve(name, paths)) is not None:
        return found
    return plain(name)[2:] if plain(name)[:2] in ("a/", "b/") else plain(name)


def _hunk(path: str, hunk: Sequence[str]) -> tuple[Replace | None, str]:
    """The edit that one hunk makes, or why it can't be read."""
    hunk = list(hunk)
    while hunk and not hunk[-1].strip():  # the blank line before the next hunk, or the fence
        hunk.pop()
    while hunk and not hunk[0].strip():
        hunk.pop(0)
    if stray := next((line for line in hunk if line.strip() and line[0] not in "+- \t"), None):
        return None, (
            f"the line {stray[:SHOWN]!r} of its diff begins with none of '+', '-' and space"
        )
    old = [line[1:] for line in hunk if line[:1] != "+"]
    new = [line[1:] for line in hunk if line[:1] != "-"]
    if not any(line.strip() for line in old):
        return None, (
            "a hunk of its diff shows no line of the old file, so that its place is not known; "
            "show some lines around the change, or use a SEARCH/REPLACE block"
        )
    return Replace(path, joined(old), joined(new)), ""
