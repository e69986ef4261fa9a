"""Relative file names from elsewhere, and writing the files that they name under one folder.

In: names and bytes that a proposal or another node sent. Out: files below a given folder, and
nowhere else. It follows no links, because it only ever writes into folders that it made.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from workers.errors import BundleError

Content = bytes | memoryview


def check_names(names: Iterable[str]) -> None:
    """Raise BundleError unless the names can stand together below any folder.

    Refused are absolute names, `..`, empty parts, backslashes, control characters, names too long
    for a file system, doubles, and a name that is a file and the folder of another one.
    """
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        parts = name.split("/")
        if "\\" in name or not name.isprintable():
            raise BundleError(f"the file name {name!r} holds a character that is not allowed")
        if not all(parts) or ".." in parts or "." in parts:
            raise BundleError(f"the file name {name!r} leaves its folder or is not normalised")
        if len(name) > 1000 or any(len(part.encode()) > 200 for part in parts):
            raise BundleError(f"the file name {name[:60]!r}... is too long")
        if name in files:
            raise BundleError(f"the file name {name!r} comes twice")
        files.add(name)
        folders.update(map(str, PurePosixPath(name).parents))
    if both := files & folders:
        raise BundleError(f"{min(both)!r} is a file and a folder at once")


def write_files(folder: Path, files: Iterable[tuple[str, Content]]) -> None:
    """Write the files below `folder`, which exists.

    Raises BundleError before anything is written if a name is refused, and OSError if the disk
    does not take them.
    """
    listed = tuple(files)
    check_names(name for name, _ in listed)
    for name, content in listed:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
