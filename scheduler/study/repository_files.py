"""Which files of a repository travel: what git has and what is new, without what is no part of it.

In: a folder, and the study's own where it lies inside. Out: a `Listing`: names relative to the
folder, sorted, and which were left out as secrets. What `.gitignore` names stays behind: git itself
is asked in a checkout, else its rules are followed. Submodules are part of a repository; studies
are not, though they are kept in it. Nothing of the repository is run here.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from scheduler.study.folder import DATABASE

NEVER = frozenset({".git", ".hg", ".svn", "__pycache__"})
GIT_SECONDS = 600.0  # for a clone
GITLINK = "160000"  # the mode of a submodule in git's index


@dataclass(frozen=True)
class Listing:
    """The files of a repository."""

    names: tuple[str, ...]  # that travel


def list_files(folder: Path, study: Path | None = None) -> list[str]:
    """The files of a repository that travel, sorted: tracked and new ones, never ignored ones."""
    return list(look(folder, study).names)


def look(folder: Path, study: Path | None = None) -> Listing:
    """List a repository; `study`: the folder of the study that is to run. Raises UsageError."""
    listed = _listed_by_git(folder)
    names = [*_walked(folder)] if listed is None else listed
    kept = (name for name in names if NEVER.isdisjoint(name.split("/")))
    found = sorted({name for name in kept if os.path.lexists(folder / name)})
    return Listing(tuple(_without_studies(folder, found, study)))


def _without_studies(folder: Path, names: Sequence[str], study: Path | None) -> Iterator[str]:
    """Those that lie in no study: what a study writes would change the task that it began with."""
    known: dict[str, bool] = {"": False}
    own = None if study is None else study.resolve()

    def is_study(relative: str) -> bool:
        if relative not in known:
            path = folder / relative
            known[relative] = (
                is_study(relative.rpartition("/")[0])
                or (path / DATABASE).is_file()
                or path.resolve() == own
            )
        return known[relative]

    return (name for name in names if not is_study(name.rpartition("/")[0]))


def _listed_by_git(folder: Path) -> list[str] | None:
    """What git lists; None where there is no git, or this is no checkout."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [name for name in names if name and not (folder / name / ".git").exists()]


def _walked(folder: Path) -> Iterator[str]:
    """The same without git: `.gitignore` files count from their own folder down."""
    rules: list[tuple[str, GitIgnoreSpec]] = []
    for parent, folders, names in os.walk(folder):
        here = Path(parent).relative_to(folder).as_posix()
        prefix = "" if here == "." else f"{here}/"
        if ".gitignore" in names:
            lines = Path(parent, ".gitignore").read_text("utf-8", "replace").splitlines()
            rules.append((prefix, GitIgnoreSpec.from_lines(lines)))
        folders[:] = sorted(
            each
            for each in folders
            if each not in NEVER
            and not Path(parent, each).is_symlink()
            and not _ignored(f"{prefix}{each}/", rules)
        )
        links = [each.name for each in Path(parent).iterdir() if each.is_symlink()]
        for each in sorted({*names, *links}):
            if not _ignored(f"{prefix}{each}", rules):
                yield f"{prefix}{each}"


def _ignored(name: str, rules: Sequence[tuple[str, GitIgnoreSpec]]) -> bool:
    verdict = False
    for prefix, spec in rules:
        if name.startswith(prefix):
            found = spec.check_file(name[len(prefix) :]).include
            verdict = verdict if found is None else found
    return verdict
