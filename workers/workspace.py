"""A trial's private copy of a repository: made from the node's cache, looked over after the run.

In: the repository's folder in the cache, the edited files, what set-up has made. Out: a work folder
in which everything may be written, and afterwards the name of a protected file that is not as it
was. Copies, never hard links: a script that opens a linked file for writing would change the cache.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from workers.errors import BundleError
from workers.files import check_names, write_files
from workers.scratch import Scratch

CHUNK = 1 << 20
SCRIPT = b"#!"
NAME = "repository"  # of the folder as tracebacks show it at the basic level


class Workspace:
    """The work folder of one trial. Whoever makes one closes it, which removes it."""

    def __init__(self, repository: Path, files: Mapping[str, str]) -> None:
        """Copy the repository and put the edited files in. Raises OSError, BundleError."""
        check_names(files)
        self._repository = repository
        self._edited = frozenset(files)
        self._top = Scratch()
        self.folder = self._top.path / NAME
        try:
            copy_tree(repository, self.folder)
            encoded = [(n, t.encode("utf-8", "surrogatepass")) for n, t in files.items()]
            try:
                write_files(self.folder, encoded)
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
                raise BundleError(f"a file of the repository is in the way: {error}") from error
            for name, content in encoded:
                if content.startswith(SCRIPT):
                    (self.folder / name).chmod(0o755)
        except BaseException:
            self.close()
            raise

    def link(self, name: str, target: Path) -> None:
        """Let a name in the work folder lead to a path of the node. Raises OSError."""
        link(self.folder / name, target)

    def changed(self, may_change: Collection[str] = ()) -> str | None:
        """The first file of the repository that the run has altered or removed; or None."""
        allowed = {*may_change, *self._edited}
        for name in sorted(_names(self._repository)):
            if name not in allowed and not _equal(self._repository / name, self.folder / name):
                return name
        return None

    def close(self) -> None:
        """Remove the folder, whatever was put into it."""
        self._top.close()


def link(path: Path, target: Path) -> None:
    """Let a path lead to another, unless something is there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.exists() or path.is_symlink()):
        path.symlink_to(target)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of the cache; scripts (files that begin with `#!`) can be run in the copy."""
    shutil.copytree(source, target, copy_function=_copy)


def _copy(source: str, target: str) -> None:
    """One file. Bundles carry no permissions; the kernel runs a text only if it begins so."""
    with Path(source).open("rb") as a, Path(target).open("wb") as b:
        block = a.read(CHUNK)
        if block.startswith(SCRIPT):
            os.fchmod(b.fileno(), 0o755)
        while block:
            b.write(block)
            block = a.read(CHUNK)


def _names(folder: Path) -> Iterable[str]:
    for parent, _, names in os.walk(folder):
        for each in names:
            yield Path(parent, each).relative_to(folder).as_posix()


def _equal(ours: Path, theirs: Path) -> bool:
    """Whether a file still has its content, as a plain file in a plain folder."""
    try:
        found = theirs.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != ours.stat().st_size:
            return False
        with ours.open("rb") as a, theirs.open("rb") as b:
            while block := a.read(CHUNK):
                if block != b.read(CHUNK):
                    return False
    except OSError:
        return False
    return True
