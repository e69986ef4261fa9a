"""Which files of a repository travel: what git has and what is new, without what is no part of it.

In: a folder, and the study's own where it lies inside. Out: a `Listing`: names relative to the
folder, sorted, and which were left out as secrets. What `.gitignore` names stays behind: git itself
is asked in a checkout, else its rules are followed. Submodules are part of a repository; studies
are not, though they are kept in it. Nothing of the repository is run here.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pathspec import GitIgnoreSpec

from scheduler.errors import UsageError
from scheduler.study.folder import DATABASE
from scheduler.study.git_call import asked

NEVER = frozenset({".git", ".hg", ".svn", "__pycache__"})
GITLINK = "160000"  # the mode of a submodule in git's index
SECRETS = (".env*", "*.pem", "id_rsa*", "id_ed25519*", ".netrc", "credentials*")
"""Names of files that stay here unless git has them already: every node and trial could read them,
and the study keeps them."""
POINTER = b"version https://git-lfs.github.com/spec/v1"
POINTER_BYTES = 1024  # a pointer is always smaller
SHOWN = 5  # names in a sentence


@dataclass(frozen=True)
class Listing:
    """The files of a repository."""

    names: tuple[str, ...]  # that travel
    secrets: tuple[str, ...] = ()  # new ones that look like keys and stay here
    pointers: tuple[str, ...] = ()  # that travel, and only stand for a file of git LFS

    def notes(self, folder: Path) -> tuple[str, ...]:
        """What a person should know of it, each in a line."""
        lines = []
        if self.secrets:
            lines.append(
                f"left out, as they look like secrets and git does not have them: "
                f"{_some(self.secrets)}"
            )
        if self.pointers:
            lines.append(
                f"git LFS has not fetched {_some(self.pointers)}: trials get a few lines of text "
                f"in their place. Fetch them with: git -C {folder} lfs pull"
            )
        return tuple(lines)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def list_files(folder: Path, study: Path | None = None) -> list[str]:
    """The files of a repository that travel, sorted: tracked and new ones, never ignored ones."""
    return list(look(folder, study).names)


def look(folder: Path, study: Path | None = None) -> Listing:
    """List a repository; `study`: the folder of the study that is to run. Raises UsageError."""
    listed = _listed_by_git(folder)
    tracked, new = ([], [*_walked(folder)]) if listed is None else listed
    hidden = {name for name in new if _is_secret(name)}
    kept = (name for name in {*tracked, *new} - hidden if NEVER.isdisjoint(name.split("/")))
    found = sorted(name for name in kept if os.path.lexists(folder / name))
    names = tuple(_without_studies(folder, found, study))
    secrets = tuple(_without_studies(folder, sorted(hidden), study))
    return Listing(names, secrets, tuple(name for name in names if _is_pointer(folder / name)))


def _is_secret(name: str) -> bool:
    return any(fnmatchcase(name.rpartition("/")[2], pattern) for pattern in SECRETS)


def _is_pointer(path: Path) -> bool:
    """Whether a file stands for one that git LFS keeps elsewhere."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > POINTER_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False  # whoever packs it says so


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


def _listed_by_git(folder: Path) -> tuple[list[str], list[str]] | None:
    """What git has and what is new; None where there is no git, or this is no checkout.

    A folder that another repository ignores is no checkout, though git lists it: as empty.
    """
    listed = _ls_files(folder, "-s")
    new = _ls_files(folder, "-o", "--exclude-standard")
    if listed is None or new is None or not (listed or new or _is_top(folder)):
        return None
    tracked: list[str] = []
    for entry in listed:
        facts, _, name = entry.partition("\t")
        if not facts.startswith(GITLINK):
            tracked.append(name)
        elif (folder / name / ".git").exists():
            inner = _inside(folder, name)
            tracked += inner[0]
            new += inner[1]
        else:
            raise UsageError(
                f"task.source: the submodule {name} of {folder} is not checked out; fetch it with: "
                f"git -C {folder} submodule update --init --recursive"
            )
    for name in [each for each in new if each.endswith("/")]:  # a repository that was cloned here
        inner = _inside(folder, name.rstrip("/"))
        new += [*inner[0], *inner[1]]
    return tracked, [name for name in new if not name.endswith("/")]


def _inside(folder: Path, name: str) -> tuple[list[str], list[str]]:
    """The same of a repository within, by names from the outer one on."""
    tracked, new = _listed_by_git(folder / name) or ([], [])
    return [f"{name}/{each}" for each in tracked], [f"{name}/{each}" for each in new]


def _ls_files(folder: Path, *options: str) -> list[str] | None:
    said = asked(folder, "ls-files", "-z", *options)
    return None if said is None else [name for name in said.split("\0") if name]


def _is_top(folder: Path) -> bool:
    """Whether the folder is a checkout of its own, and not a part of another one."""
    said = asked(folder, "rev-parse", "--show-toplevel")
    return said is not None and Path(said.rstrip("\n")).resolve() == folder.resolve()


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
