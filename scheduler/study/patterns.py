"""Paths and globs of `data.paths`: what of them is a pattern, and what is a name as it stands.

In: what a person wrote. Out: absolute patterns, in which the characters of a glob stand escaped
(`[[]`) wherever they belong to a folder or a file that is there. No file is opened.
"""

import glob
import os
import re
from pathlib import Path

ESCAPED = re.compile(r"\[([*?[])\]")  # as glob.escape writes them


def absolute_pattern(path: str, folder: Path) -> str:
    """The same as an absolute pattern; a relative one starts in `folder`, whatever its name.

    What is there under this very name is meant literally: `notes [1].txt` is a file. Done again
    to its own result it changes nothing.
    """
    named = folder / Path(path).expanduser()
    if os.path.exists(named):  # noqa: PTH110 - what may not be looked at is no error here
        return glob.escape(str(named))
    if path.startswith("~"):
        home, _, rest = path.partition("/")
        return str(Path(glob.escape(str(Path(home).expanduser()))) / rest)
    return str(Path(glob.escape(str(folder))) / path)


def literal_folder(pattern: str) -> Path:
    """The deepest folder above all that an absolute pattern may match, by its name on the disk."""
    parts = Path(pattern).parts
    fixed = Path(parts[0])
    for part in parts[1:-1]:
        if glob.has_magic(ESCAPED.sub("", part)):
            break
        fixed /= ESCAPED.sub(r"\1", part)
    return fixed


def as_written(pattern: str) -> str:
    """The pattern for a person to read: what is escaped stands as it is on the disk."""
    return ESCAPED.sub(r"\1", pattern)
