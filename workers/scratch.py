"""Folders that a worker makes for a trial, and their removal: also of those of killed workers.

In: nothing, or a folder to remove. Out: a fresh folder with a lock in it that its maker holds. The
kernel lets go of a lock when its holder dies, whatever killed it and in whichever container it ran,
so a folder whose lock can be had belongs to nobody: the first that a worker makes removes those.
"""

import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
from pathlib import Path

PREFIX = "trial-"
OWNER = "owner"  # the file with the lock
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_swept: set[str] = set()


class Scratch:
    """A fresh folder below the temporary one. Whoever makes one closes it, which removes it."""

    def __init__(self) -> None:
        """Make it. Raises OSError."""
        place = tempfile.gettempdir()
        if place not in _swept:
            _swept.add(place)
            sweep(Path(place))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it has its name: nobody finds the file without the lock.
        fresh = self.path / f"{OWNER}.new"
        self._lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / OWNER)

    def close(self) -> None:
        """Remove the folder, whatever was put into it."""
        remove(self.path)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep(place: Path) -> None:
    """Remove the folders of workers that are no more, of this user."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
            finally:
                os.close(lock)


def remove(folder: Path) -> None:
    """Remove a folder, however deep it is, and also where permissions in it were taken away.

    Folders within it are lifted to its top and emptied there: no recursion, and no path that is too
    long for the system. What can't be removed stays.
    """
    with contextlib.suppress(OSError):
        if folder.is_symlink():
            return
        folder.chmod(0o700)
        top = os.open(folder, _FLAGS)
        try:
            while _emptied(top):
                pass
        finally:
            os.close(top)
        folder.rmdir()


def _emptied(top: int) -> bool:
    """Remove the files of a folder and one level of its folders; whether there is more to do."""
    names = os.listdir(top)
    done = 0
    for name in names:
        with contextlib.suppress(OSError):
            if _unlinked(name, top):
                done += 1
                continue
            done += _lifted(name, top)
    return done > 0 and bool(os.listdir(top))


def _lifted(name: str, top: int) -> int:
    """Empty a folder of the top's, its own folders into the top, and remove it: how much moved."""
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, _FLAGS, dir_fd=top)
    moved = 0
    try:
        for each in os.listdir(inner):  # noqa: PTH208 - a descriptor
            with contextlib.suppress(OSError):
                if not _unlinked(each, inner):
                    os.chmod(each, 0o700, dir_fd=inner)
                    os.rename(each, secrets.token_hex(8), src_dir_fd=inner, dst_dir_fd=top)
                moved += 1
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return moved + 1


def _unlinked(name: str, parent: int) -> bool:
    """Remove what is no folder; False for a folder."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)
    return True
