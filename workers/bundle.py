"""Folders that travel between nodes by content hash, and each node's cache of them.

In: a folder on the head (the task's fixed files, the packed data). Out: the same files on a node,
in `CACHE/HASH/NAME/`, written once per node and checked. How a Bundle travels is not decided
here: see `workers/remote.py`. Packed data may be gigabytes: large files are mapped, not read, and
pickled without a copy.
"""

import hashlib
import mmap
import os
import pickle
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from filelock import FileLock

from workers.errors import BundleError
from workers.files import Content, check_names, write_files

LARGE_BYTES = 1 << 20  # of a file: from here on a copy costs more than a mapping


@dataclass(frozen=True)
class Bundle:
    """The files of one folder: relative POSIX name and content, sorted by name."""

    name: str  # of the folder, as it is called in a cache
    hash: str  # SHA-256 over names and contents, hexadecimal
    files: tuple[tuple[str, Content], ...]

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(len(content) for _, content in self.files)

    def __reduce__(self) -> tuple[Any, ...]:
        """Large contents as buffers: Ray puts them into its store, and takes them out, as such."""
        files = tuple(
            (name, content if len(content) < LARGE_BYTES else pickle.PickleBuffer(content))
            for name, content in self.files
        )
        return _arrived, (self.name, self.hash, files)


def _arrived(name: str, content: str, files: Iterable[tuple[str, Any]]) -> Bundle:
    """A Bundle as it was pickled; its buffers are whatever the pickle's reader gives for them."""
    own = ((each, part if isinstance(part, bytes) else memoryview(part)) for each, part in files)
    return Bundle(name, content, tuple(own))


def content_hash(files: Iterable[tuple[str, Content]]) -> str:
    """SHA-256 over sorted names and contents, each with its length in front, hexadecimal."""
    digest = hashlib.sha256()
    for name, content in sorted(files):
        encoded = name.encode()
        digest.update(b"%d %d\n" % (len(encoded), len(content)))
        digest.update(encoded)
        digest.update(content)
    return digest.hexdigest()


def hashes(bundle: Bundle) -> dict[str, str]:
    """Each file's own SHA-256, to tell which of them differ where the whole does."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in bundle.files}


def pack(folder: Path, *, name: str | None = None, exclude: Collection[str] = ()) -> Bundle:
    """Read every file below `folder` into a Bundle; equal content gives an equal hash anywhere.

    `exclude` holds shell patterns for whole relative names or for one part of them;
    `__pycache__` never travels. Linked folders are not followed. Raises BundleError if nothing
    is left to pack, OSError if a file can't be read.
    """
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each != "__pycache__"]
        for each in names:
            path = Path(parent, each)
            relative = path.relative_to(folder).as_posix()
            if not _excluded(relative, exclude):
                files.append((relative, _content(path)))
    if not files:
        raise BundleError(f"there is no file to pack in {folder}")
    files.sort()
    check_names(each for each, _ in files)
    return Bundle(name or folder.resolve().name, content_hash(files), tuple(files))


def _content(path: Path) -> Content:
    """What a file holds; a large one is mapped."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < LARGE_BYTES:
            return file.read()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _excluded(relative: str, patterns: Collection[str]) -> bool:
    parts = (relative, *relative.split("/"))
    return any(fnmatchcase(part, pattern) for part in parts for pattern in patterns)


def unpack(bundle: Bundle, cache: Path) -> Path:
    """Write the bundle into `cache` unless it is there whole; return its folder.

    Raises BundleError if the bundle's content does not match its hash, OSError if the disk does
    not take it.
    """
    return Cache(cache).unpack(bundle)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The node's cache folder, made if need be.

    `$AUTORESEARCH_CACHE`, or `autoresearch` in `$XDG_CACHE_HOME` or in `~/.cache`; a folder of
    this user in the temporary folder where that one can't be written.
    """
    named = environment.get("AUTORESEARCH_CACHE")
    shared = environment.get("XDG_CACHE_HOME")
    wanted = Path(named) if named else Path(shared or "~/.cache") / "autoresearch"
    try:
        folder = wanted.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        folder = Path(tempfile.gettempdir(), f"autoresearch-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user") from None
        return folder


_Stamp = Mapping[str, tuple[int, int]]  # relative name -> size in bytes, time of change in ns


class Cache:
    """The bundles that lie on this node.

    A folder is read whole and checked against its hash the first time that this process meets
    it; after that only names, sizes and times of change are compared. Candidates run as the same
    user and could write here, so a folder that differs in any file is written anew.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, _Stamp] = {}

    def find(self, content: str, name: str) -> Path | None:
        """The folder of the bundle with this hash and name, or None if it is missing or damaged."""
        folder = self._place(content, name)
        if not folder.is_dir():
            return None
        stamp = _stamp(folder)
        if folder not in self._known:
            files = ((each, _content(folder / each)) for each in stamp)
            if content_hash(files) != content:
                return None
            self._known[folder] = stamp
        return folder if self._known[folder] == stamp else None

    def unpack(self, bundle: Bundle) -> Path:
        """See the function `unpack`."""
        if content_hash(bundle.files) != bundle.hash:
            raise BundleError(f"the bundle {bundle.name!r} does not match its hash")
        folder = self._place(bundle.hash, bundle.name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / ".lock"):
            if found := self.find(bundle.hash, bundle.name):
                return found
            self._known.pop(folder, None)
            fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
            try:
                write_files(fresh, bundle.files)
                fresh.chmod(0o755)
                if folder.exists():
                    shutil.rmtree(folder)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            self._known[folder] = _stamp(folder)
        return folder

    def _place(self, content: str, name: str) -> Path:
        check_names([f"{content}/{name}"])
        return self.root / content / name


def _stamp(folder: Path) -> _Stamp:
    """Every file below the folder, whatever it is called: an extra one is damage too."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for each in (*names, *(link for link in folders if Path(parent, link).is_symlink())):
            path = Path(parent, each)
            facts = path.lstat()
            found[path.relative_to(folder).as_posix()] = (facts.st_size, facts.st_mtime_ns)
    return found
