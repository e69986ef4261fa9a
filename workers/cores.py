"""Claims of CPU cores on this node, so that neighbours don't disturb each other's clock.

In: how many cores a slot has. Out: that many cores which no other slot holds, in this study or in
another one of this node, for as long as the claim is open. A claim is a lock on a file, which the
kernel gives back when its holder dies, however that happens. It pins nothing itself.
"""

import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = "autoresearch-cores"  # in the node's temporary folder: every user's slots meet there


@contextlib.contextmanager
def claim_cores(wanted: float, folder: Path | None = None) -> Iterator[frozenset[int] | None]:
    """Hold `wanted` whole cores; None where that is no whole number, or too few of them are free.

    None means no pinning: a slot without cores of its own shares all of them, as it did before.
    """
    count = int(wanted)
    if sys.platform != "linux" or count < 1 or count != wanted:
        yield None
        return
    with contextlib.ExitStack() as held:
        claimed: set[int] = set()
        with contextlib.suppress(OSError):  # no folder can be made: a reason not to pin, no more
            place = folder or Path(tempfile.gettempdir(), FOLDER)
            place.mkdir(exist_ok=True)
            with contextlib.suppress(PermissionError):  # it is another user's, who did it
                place.chmod(0o1777)
            for core in sorted(os.sched_getaffinity(0)):
                if len(claimed) < count and (lock := _lock(place / str(core))) is not None:
                    held.callback(os.close, lock)
                    claimed.add(core)
        if len(claimed) < count:
            held.close()
            yield None
        else:
            yield frozenset(claimed)


def unclaimed(folder: Path | None = None) -> frozenset[int]:
    """The cores that this process may use and no slot holds just now; takes no lock itself.

    Where the kernel shows no locks, none.
    """
    place = folder or Path(tempfile.gettempdir(), FOLDER)
    if sys.platform != "linux":
        return frozenset()
    try:
        # "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF": the last part of the sixth is the inode
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        held = {fields[5].rpartition(":")[2] for fields in lines if fields[1] == "FLOCK"}
        files = {path.name: str(path.stat().st_ino) for path in place.iterdir()}
    except (OSError, IndexError):
        return frozenset()
    return frozenset(c for c in os.sched_getaffinity(0) if files.get(str(c)) not in held)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None if another one does."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Another user's file in a shared folder may be opened, but not with O_CREAT.
        existing = 0 if path.exists() else os.O_CREAT
        descriptor = os.open(path, flags | existing, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
