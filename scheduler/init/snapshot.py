"""Reads of a repository what says how it is run and measured: names, sources, instructions.

In: a folder, or the address of a git repository. Out: a `Snapshot`: plain text that the pure parts
look through. Links out of the folder, what is no regular file, and what is too large are not
read: data and generated code say nothing here, and a pipe would be waited for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.errors import UsageError
from scheduler.study.git_call import asked
from scheduler.study.git_source import named
from scheduler.study.repository_files import list_files

FILE_BYTES = 1_000_000  # of one source; longer ones are generated
ALL_BYTES = 20_000_000  # of all together: some seconds of parsing
READ = re.compile(
    r".*\.py|.*\.sh|(?:.*/)?README[^/]*|(?:.*/)?Makefile|pyproject\.toml|uv\.lock|"
    r"requirements[^/]*\.txt|environment\.ya?ml",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Snapshot:
    """What a repository holds, as far as it is looked at."""

    names: tuple[str, ...]  # of all files that travel
    texts: Mapping[str, str] = field(default_factory=dict)  # of those that are read
    ignored: tuple[str, ...] = ()  # folders with files that git ignores, without a slash


def take_snapshot(folder: Path) -> Snapshot:
    """Look at a folder. Raises UsageError where there is none, or nothing in it."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "is not there"
        raise UsageError(f"{folder} {what}: name the folder of a repository, or its git address")
    names = list_files(folder)
    if not names:
        raise UsageError(f"{folder} holds no files, without what .gitignore names")
    texts, room, top = {}, ALL_BYTES, folder.resolve()
    # What lies near the top says most, if there is too much for all of it.
    for name in sorted(names, key=lambda each: (each.count("/"), each)):
        if not READ.fullmatch(name):
            continue
        text = _text(top, name)
        if text is not None and len(text) <= room:
            texts[name] = text
            room -= len(text)
    return Snapshot(tuple(names), texts, _ignored(folder))


def newest_revision(address: str) -> str:
    """The commit that an address offers by default. Raises UsageError."""
    commit = named(address, "HEAD")
    if commit is None:
        raise UsageError(f"{address}: it offers no commit. Check the address, or name a folder")
    return commit


def _text(top: Path, name: str) -> str | None:
    path = top / name
    try:
        real = path.resolve(strict=True)
        if not (real.is_file() and real.is_relative_to(top)):
            return None
        if real.stat().st_size > FILE_BYTES:
            return None
        return real.read_text("utf-8")
    except (OSError, RuntimeError, ValueError):  # a loop of links; no text
        return None


def _ignored(folder: Path) -> tuple[str, ...]:
    """Folders that git ignores: data often lies there. Empty where there is no git."""
    options = ["ls-files", "-z", "-oi", "--exclude-standard", "--directory"]
    found = (asked(folder, *options) or "").split("\0")
    return tuple(sorted(name.rstrip("/") for name in found if name.endswith("/")))
