"""The difference of two sets of files, as a patch that `git apply` reads.

An edit is small and a script is long: only what lies between the first and the last line that
differ is compared, which takes a tenth of the time.
"""

import difflib
import re
from collections.abc import Iterator, Mapping

NOTHING = "/dev/null"
CONTEXT = 3  # lines that are shown around a change


def unified_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A patch from one set of files to another; "" where they are the same."""
    parts: list[str] = []
    for path in sorted({*before, *after}):
        if (old := before.get(path, "")) != (new := after.get(path, "")):
            names = (
                f"a/{path}" if path in before else NOTHING,
                f"b/{path}" if path in after else NOTHING,
            )
            parts += _modes(path, *names)
            lines = _differences(
                old.splitlines(keepends=True), new.splitlines(keepends=True), *names
            )
            parts += (
                line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
                for line in lines
            )
    return "".join(parts)


def _modes(path: str, old: str, new: str) -> Iterator[str]:
    """What git wants to know of a file that is added or gone."""
    if NOTHING in (old, new):
        yield f"diff --git a/{path} b/{path}\n"
        yield "new file mode 100644\n" if old == NOTHING else "deleted file mode 100644\n"


def _differences(old: list[str], new: list[str], old_name: str, new_name: str) -> Iterator[str]:
    head = _equal(old, new, min(len(old), len(new)))
    tail = _equal(old[::-1], new[::-1], min(len(old), len(new)) - head)
    above, below = max(0, head - CONTEXT), max(0, tail - CONTEXT)
    old, new = old[above : len(old) - below], new[above : len(new) - below]
    for line in difflib.unified_diff(old, new, old_name, new_name, n=CONTEXT):
        # Every other line of a patch begins with a sign: this is a heading, which counts lines.
        yield _moved(line, above) if line.startswith("@@") else line


def _equal(old: list[str], new: list[str], most: int) -> int:
    """How many lines are the same from the beginning on."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if old[least:middle] == new[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _moved(heading: str, by: int) -> str:
    return re.sub(r"(?<=[-+])\d+", lambda number: str(int(number[0]) + by), heading)
