"""The compile cache that travels from one trial to the next: one flat file, packed and unpacked.

In: a folder that torch's compiler fills, and descriptors. Out: that folder as it was left by an
earlier trial, or a file for a later one: a line of JSON, [[name, bytes], ...], and the contents end
to end. Whoever carries it looks at nothing but its size; it is unpacked only by a later trial's
own process, inside its sandbox. Which trial gets whose is decided in `workers/compiled.py`.

It is packed when the candidate is ready to train, and has seen no training data: so nothing that
was learned from those can travel in it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 1 << 26  # 64 MiB; that of a small GPT, both passes, took 4 MB
UNUSED = 1  # seconds since 1970: the time of access of what nobody has read since it was unpacked


def folder() -> Path | None:
    """Where torch's compiler keeps its cache here; None if nobody said."""
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return Path(named) if named else None


def unpack(descriptor: int, into: Path) -> None:
    """Write the files of a cache; closes the descriptor.

    Raises OSError, and ValueError, TypeError or RecursionError for rubbish. That can hurt the
    process that reads it alone: it comes from a trial before.
    """
    with os.fdopen(descriptor, "rb") as file:
        left = os.fstat(file.fileno()).st_size
        for name, size in json.loads(file.readline() or b"[]"):
            path = into / name
            if not 0 <= size <= left or ".." in path.parts or not path.is_relative_to(into):
                raise ValueError(f"no file of a cache: {name} of {size} bytes")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(size))
            os.utime(path, (UNUSED, UNUSED))


def pack(source: Path, descriptor: int) -> None:
    """Write the folder's files into the file; closes the descriptor. Raises OSError.

    Where that is too much, only what was read or written since `unpack` (of some files the
    compiler only asks whether they are there); where that is too, nothing.
    """
    with os.fdopen(descriptor, "wb") as file:
        found = [(path, path.stat()) for path in _files(source)]
        if sum(stat.st_size for _, stat in found) > MOST_BYTES:
            found = [(path, stat) for path, stat in found if stat.st_atime > UNUSED]
        if not found or sum(stat.st_size for _, stat in found) > MOST_BYTES:
            return
        contents = [(path.relative_to(source).as_posix(), path.read_bytes()) for path, _ in found]
        index = [[name, len(content)] for name, content in contents]
        file.write(json.dumps(index).encode() + b"\n")
        for _, content in contents:
            file.write(content)


def _files(source: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(source):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and path.suffix != ".lock":
                yield path
