"""The training tokens that a worker holds in memory, for one trial after the other.

In: the file of packed tokens. Out: for each trial, a descriptor of its own. Up to `COPIED_BYTES`
each has a copy of its own, made in a tenth of a second. Of more, one sealed copy is made once and
lent: with 4 GB of tokens a copy for each trial takes seconds, and as much memory again.

What one candidate can leave in a lent copy for the next is little. The content is sealed. The
descriptor is opened anew for each, so that its offset, flags and locks are nobody else's, and what
the holder of a descriptor locks or leases ends with it. What belongs to the file itself, its owner
may change, and every candidate has its owner's rights on it: mode, times, hints to the disk,
attributes. The first three are set back before it is lent; and where the time of its last change,
which nobody can set, is not that of our own, the file is given up for a new copy.

Not covered: where its pages lie. A candidate may have some collapsed into huge pages, moved to
another NUMA node or swapped out, and the next may find that out by the clock or by mincore(2). At
two bits a page of 4 KiB that is 85 kB for 1.4 GB at the very most, noisy, and nothing that who
reads the tokens for what they say comes across.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from workers.memory import never, sealed

MODE = 0o400
COPIED_BYTES = 1 << 26  # up to which each trial has a copy of its own
_F_SET_RW_HINT, _NO_HINT = 1036, bytes(8)  # linux/fcntl.h


class TrainingTokens:
    """Holds at most one file of tokens; in use by one trial at a time."""

    def __init__(self, copied: int = COPIED_BYTES) -> None:
        """`copied`: bytes up to which nothing is held."""
        self._copied = copied
        self._held: int | None = None
        self._key: tuple[object, ...] = ()
        self._changed = 0  # when its state was last changed by us, in ns

    def lend(self, path: Path, data: str, stopped: Callable[[], bool] = never) -> int:
        """A descriptor of the file's content, the caller's to close. Raises OSError.

        `data` is the hash of the data that the file belongs to. A copy that is under way is given
        up where `stopped` says so.
        """
        stat = path.stat()
        if stat.st_size <= self._copied or not Path("/proc/self/fd").is_dir():
            # Small, or macOS: no other way to open it anew.
            return sealed("training", path, stopped)
        key = (path, data, stat.st_size, stat.st_mtime_ns)
        if self._held is None or key != self._key or self._was_changed(self._held):
            self.close()
            self._held, self._key = sealed("training", path, stopped), key
        self._set_back(self._held)
        return os.open(f"/proc/self/fd/{self._held}", os.O_RDONLY | os.O_CLOEXEC)

    def _was_changed(self, held: int) -> bool:
        return os.fstat(held).st_ctime_ns != self._changed or bool(_attributes(held))

    def _set_back(self, held: int) -> None:
        with contextlib.suppress(OSError):  # a kernel without such hints has nothing to set back
            fcntl.fcntl(held, _F_SET_RW_HINT, _NO_HINT)
        os.fchmod(held, MODE)
        os.utime(held, ns=(0, 0))
        self._changed = os.fstat(held).st_ctime_ns

    def close(self) -> None:
        """Give the memory back once no trial maps it any more."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _attributes(descriptor: int) -> list[str]:
    with contextlib.suppress(OSError):  # a file system without attributes
        return os.listxattr(descriptor)
    return []
