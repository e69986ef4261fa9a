"""Files that a loss of power leaves whole: what is renamed into place was on the disk before.

In: a place and its content. Out: the file, there whole or not at all.
"""

import os
from pathlib import Path


def write_lasting(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_lasting(path: Path, content: bytes) -> None:
    """Put a file into its place, instead of what is there, in one step."""
    partial = path.with_name(f"{path.name}.partial")
    write_lasting(partial, content)
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
