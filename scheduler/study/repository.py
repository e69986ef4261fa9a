"""A repository of one's own, taken in on the head: fetched, listed, and split in two.

In: the task's section of the configuration, a cache folder. Out: the text of the editable files,
and one bundle of all others that travels to the nodes by its hash. Which files these
are, `repository_files.py` says. Nothing of the repository is run here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SourceError
from agent.globs import is_glob, matches
from agent.source import constants_of, edit_constants, read_constants
from scheduler.errors import UsageError
from scheduler.study.git_source import checkout
from scheduler.study.repository_files import look
from scheduler.study.task_section import TaskSection, editable_of
from workers.bundle import Bundle, content_hash
from workers.errors import BundleError
from workers.files import check_names

NAME = "repository"  # of its bundle
SHOWN = 5  # of the largest files, where there is too much
MOST_EDITABLE = 2_000_000  # characters of all editable files: they are kept with each experiment


@dataclass(frozen=True)
class Repository:
    """What a study needs of a repository."""

    files: Mapping[str, str]  # the editable ones
    fixed: Bundle  # all others
    may_change: tuple[str, ...]  # of those, what a run may alter
    notes: tuple[str, ...] = ()  # what a person should know of it


def source_folder(task: TaskSection, cache: Path) -> tuple[Path, str | None]:
    """The repository's folder, and its commit where it is an address, which is cloned first.

    `task.commit` goes before what `task.revision` stands for by now. Raises UsageError.
    """
    if task.is_url:
        return checkout(task.source, task.commit or task.revision or "HEAD", cache)
    folder = Path(task.source).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"task.source: there is no folder {folder}")
    return folder, None


def read_repository(task: TaskSection, folder: Path, study: Path | None = None) -> Repository:
    """List and read it, without the study's own folder. Raises UsageError that says what to do.

    A file that a figure is read from stays here: there it would be the result of a run that wrote
    none, and what a run writes would change the repository.
    """
    listing = look(folder, study)
    names = listing.names
    editable = editable_of(task)
    chosen = [name for name in names if editable.allows(name)]
    _check_globs(task, names, chosen, folder)
    if pointers := [name for name in chosen if name in listing.pointers]:
        raise UsageError(
            f"task.editable: {', '.join(pointers[:SHOWN])}: git LFS has not fetched what is to be "
            f"edited; fetch it with: git -C {folder} lfs pull"
        )
    files = {name: _text(folder, name) for name in chosen}
    if (size := sum(map(len, files.values()))) > MOST_EDITABLE:
        raise UsageError(
            f"task.editable: {len(files)} files with {size / 1e6:.1f} million characters; "
            f"{MOST_EDITABLE / 1e6:.0f} is the limit. Name the files that are worth an edit: "
            f"{_largest({n: len(t) for n, t in files.items()})}"
        )
    left = [name for name in names if name in task.reported_files]
    rest = [name for name in names if name not in files and name not in left]
    fixed = _bundle(task, folder, rest)
    may_change: tuple[str, ...] = ()
    if task.protected is not None:
        may_change = tuple(name for name in rest if not matches(name, task.protected))
    notes = listing.notes(folder)
    if left:
        notes += (f"left out, as each run is to write its own: {', '.join(left)}",)
    return Repository(_with_constants(task, files), fixed, may_change, notes)


def _check_globs(
    task: TaskSection, names: Sequence[str], chosen: Sequence[str], folder: Path
) -> None:
    for pattern in task.editable:
        if any(matches(name, [pattern]) for name in chosen):
            continue
        hit = [name for name in names if matches(name, [pattern])]
        if hit:
            read = not set(hit).isdisjoint(task.reported_files)
            why = "that a figure is read from" if read else "that task.protected takes out again"
            raise UsageError(
                f"task.editable: {pattern} fits only files {why} ({', '.join(hit[:SHOWN])})"
            )
        there = ", ".join(names[:12]) or "nothing"
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        what = "fits no file" if is_glob(pattern) else "is no file"
        raise UsageError(
            f"task.editable: {pattern} {what} of {folder}, without what .gitignore names "
            f"(there are: {there}{more})"
        )
    for pattern in task.protected or ():
        if not any(matches(name, [pattern]) for name in names):
            raise UsageError(f"task.protected: {pattern} fits no file of {folder}")


def _text(folder: Path, name: str) -> str:
    try:
        text = _bytes(folder, name).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"task.editable: {name} is no text; name only what can be edited, such as **/*.py"
        ) from None
    if name.endswith(".py"):
        try:
            read_constants(text)
        except SourceError as error:
            raise UsageError(f"task.editable: {name}: {error}") from error
    return text


def _bytes(folder: Path, name: str) -> bytes:
    path = folder / name
    real = path.resolve()
    if path.is_symlink() and (path.is_dir() or not real.is_relative_to(folder.resolve())):
        raise UsageError(
            f"task.source: {name} is a link to {real}, which does not travel. Name it in "
            f".gitignore, and show it to trials with: task.mounts: [{real}]"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"task.source: {path} can't be read ({error.strerror})") from error


def _bundle(task: TaskSection, folder: Path, names: Sequence[str]) -> Bundle:
    sizes = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    total, most = sum(sizes.values()), task.max_mb * 1e6
    if total > most:
        raise UsageError(
            f"task.source: {total / 1e6:.0f} MB would travel to every node, and task.max_mb is "
            f"{task.max_mb:g}. Name data and checkpoints in .gitignore (and show them to trials "
            f"with task.mounts), or raise it with: --set task.max_mb={total / 1e6 * 1.2:.0f}. The "
            f"largest: {_largest(sizes)}"
        )
    files = [(name, _bytes(folder, name)) for name in names]
    try:
        check_names(name for name, _ in files)
    except BundleError as error:
        raise UsageError(f"task.source: {error}; rename it or name it in .gitignore") from error
    return Bundle(NAME, content_hash(files), tuple(files))


def _largest(sizes: Mapping[str, int]) -> str:
    ordered = sorted(sizes.items(), key=lambda pair: -pair[1])[:SHOWN]
    return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in ordered)


def _with_constants(task: TaskSection, files: Mapping[str, str]) -> dict[str, str]:
    try:
        known = constants_of(files)
        for name in task.constants:
            if name not in known:
                there = ", ".join(known) or "none"
                raise UsageError(
                    f"task.constants.{name}: no such constant at the top of exactly one editable "
                    f"file (there are: {there})"
                )
        return {**files, **edit_constants(files, task.constants)}
    except SourceError as error:
        raise UsageError(f"task.editable, with task.constants: {error}") from error
