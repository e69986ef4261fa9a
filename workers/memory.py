"""Anonymous files in memory: how tokens and logits pass between processes without a path.

In: bytes, a file or a size. Out: a descriptor that belongs to the caller. Each is sealed, so that
no holder can change its size under another's mapping (that would be a SIGBUS), and what is only to
be read can't be written by anyone, not even by opening `/proc/self/fd/N` anew, which for a file on
a disk would work for every process of the same user. macOS has neither memfd nor seals: there it
is a file without a name.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_NAMELESS = hasattr(os, "memfd_create")
COPY_BYTES = 1 << 24  # of one read: the copy never holds more than this beside the data


def shared(name: str, size: int) -> int:
    """A file of `size` zero bytes for two processes to map; its size is sealed. Raises OSError."""
    descriptor = _create(name)
    try:
        os.ftruncate(descriptor, size)
        _seal(descriptor, written=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def never() -> bool:
    """Nobody stops it."""
    return False


def sealed(name: str, content: bytes | Path, stopped: Callable[[], bool] = never) -> int:
    """A file with this content, or with that of the file at a path, that nobody can change.

    `stopped` is asked before each block of a file's. Raises OSError; ECANCELED where it says so.
    """
    descriptor = _create(name)
    try:
        if isinstance(content, Path):
            with content.open("rb") as source:
                while block := source.read(COPY_BYTES):
                    if stopped():
                        raise OSError(errno.ECANCELED, "the copy was stopped", str(content))
                    _write(descriptor, block)
        else:
            _write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _seal(descriptor, written=False)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def growing(name: str) -> int:
    """An empty file that whoever holds it may write, until `seal_written`. Raises OSError."""
    return _create(name)


def seal_written(descriptor: int) -> None:
    """Let nobody change the file of `growing` any more.

    Raises OSError where somebody maps it for writing.
    """
    _seal(descriptor, written=False)


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _create(name: str) -> int:
    if _NAMELESS:
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _seal(descriptor: int, *, written: bool) -> None:
    """Fix the size, the seals themselves and, unless it is to be written, the content."""
    if _NAMELESS:
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals | (0 if written else fcntl.F_SEAL_WRITE))
