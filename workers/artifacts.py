"""The files that a run leaves and that are kept: which of them, how many, and what is left out.

In: the work folder of a run that has ended, globs, a limit in bytes. Out: names and contents, and
a line for the log that says what was not taken. The folder was written by untrusted code: it may
be nested more deeply than Python can recurse, and its names may be any bytes.
"""

import fnmatch
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.errors import BundleError
from workers.files import check_names

MOST_FILES = 1000
MOST_SEEN = 200_000  # files of the work folder; 2 us each


@dataclass(frozen=True)
class Collected:
    """What is kept, and a sentence on what is not; ""."""

    files: tuple[tuple[str, bytes], ...] = ()
    left_out: str = ""


def collect(folder: Path, globs: Sequence[str], most_bytes: int) -> Collected:
    """The plain files that the globs name, in the order of the globs, as far as they fit.

    As pathlib has it: `*` stays within a folder and `**` spans them. Links are not followed.
    """
    if not globs:
        return Collected()
    seen = tuple(itertools.islice(_files(folder), MOST_SEEN))
    missed: Counter[str] = Counter()
    kept: dict[str, bytes] = {}
    room = most_bytes
    for name in dict.fromkeys(n for glob in globs for n in sorted(filter(_matcher(glob), seen))):
        if len(kept) >= MOST_FILES:
            missed[f"files beyond {MOST_FILES}"] += 1
            continue
        try:
            check_names([name])
            path = folder / name
            if path.stat().st_size > room:
                limit = f"{most_bytes / 1e6:g} MB (task.artifacts_mb)"
                missed[f"files that do not fit into {limit}"] += 1
                continue
            kept[name] = path.read_bytes()
            room -= len(kept[name])
        except (BundleError, UnicodeError):
            missed["files whose names can't travel"] += 1
        except OSError:
            missed["files that can't be read"] += 1
    if len(seen) == MOST_SEEN:
        missed[f"or more of what comes after the first {MOST_SEEN} files"] = 1
    words = ", ".join(f"{count} {what}" for what, count in missed.items())
    return Collected(tuple(kept.items()), f"task.artifacts, left out: {words}" if words else "")


def _files(folder: Path) -> Iterator[str]:
    """The names of plain files below a folder, relative; those first that lie least deep."""
    level = [""]
    while level:
        below: list[str] = []
        for parent in level:
            try:
                entries = list(os.scandir(folder / parent))
            except (OSError, ValueError):  # no permission, or a path too long for the system
                continue
            for entry in entries:
                name = f"{parent}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    below.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    yield name
        level = below


def _matcher(glob: str) -> Callable[[str], object]:
    """Whether a name is one of the glob's, in time that is linear in the name's length."""
    wanted = [None if part == "**" else _part(part) for part in glob.split("/")]

    def fits(name: str) -> bool:
        # The places of the glob that what was read so far may have led to.
        places = _beyond(wanted, {0})
        for part in name.split("/"):
            after = set()
            for place in places:
                if place < len(wanted):
                    one = wanted[place]
                    if one is None:
                        after.add(place)
                    elif one(part):
                        after.add(place + 1)
            places = _beyond(wanted, after)
        return len(wanted) in places

    return fits


def _part(glob: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(glob)).match


def _beyond(wanted: Sequence[object], places: set[int]) -> set[int]:
    """The places, and those after a `**` too, which may stand for no folder at all."""
    found = set(places)
    for place in range(len(wanted)):
        if place in found and wanted[place] is None:
            found.add(place + 1)
    return found
